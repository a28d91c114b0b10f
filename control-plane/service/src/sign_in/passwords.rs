//! Hashing passwords: Argon2id with OWASP's parameters (19 MiB, two passes), a few at a time, in buffers that
//! are made once: an allocator would keep what each thread gives back.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use latchkey_world::World;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many are hashed at once: so many buffers there are at most.
const AT_ONCE: usize = 4;
/// How many may wait for a turn. Whoever comes beyond that is told at once.
const WAITING: usize = 256;
/// How long a turn is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What hashes and verifies passwords.
#[derive(Clone)]
pub struct Passwords {
    /// Of those that wait and those that are hashed.
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    buffers: Arc<Buffers>,
    nobody: SecretString,
}

/// What Argon2 works in; each is used by one hash at a time.
#[derive(Default)]
struct Buffers(Mutex<Vec<Vec<Block>>>);

/// Too many passwords are being checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked: try again in a moment")]
pub struct Busy;

impl Passwords {
    /// Takes one hash's time.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let buffers = Buffers::default();
        let nobody = buffers.lend(|memory| hash(&world.random::<32>(), &world.random(), memory));
        Self {
            places: Arc::new(Semaphore::new(WAITING + AT_ONCE)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            buffers: Arc::new(buffers),
            nobody: nobody.into(),
        }
    }

    /// The hash to keep of a password, in PHC format.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(&self, world: &World, password: SecretString) -> Result<String, Busy> {
        let salt = world.random();
        self.off_the_runtime(move |memory| hash(password.expose_secret().as_bytes(), &salt, memory)).await
    }

    /// Whether the password is the one hashed. Without a hash it is not, after the same time.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, hash: Option<SecretString>, password: SecretString) -> Result<bool, Busy> {
        let (hash, exists) = hash.map_or((self.nobody.clone(), false), |hash| (hash, true));
        self.off_the_runtime(move |memory| verify(&hash, &password, memory) && exists).await
    }

    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let turn: OwnedSemaphorePermit =
            tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned())
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(Busy)?;
        let buffers = Arc::clone(&self.buffers);
        // The turn goes with the work, which goes on when the request that wanted it is gone.
        let work = move || {
            let _turn = (turn, place);
            buffers.lend(work)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

impl Buffers {
    /// One that nobody uses.
    fn lend<T>(&self, work: impl FnOnce(&mut Vec<Block>) -> T) -> T {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = idle.unwrap_or_else(|| vec![Block::new(); Params::default().block_count()]);
        let done = work(&mut memory);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        done
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

fn hash(password: &[u8], salt: &[u8; 16], memory: &mut [Block]) -> String {
    let argon2 = Argon2::default();
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    argon2.hash_password_into_with_memory(password, salt, &mut out, memory).expect("the parameters are fit");
    PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params()).expect("the parameters are fit"),
        salt: Some(Salt::new(salt).expect("16 bytes are a salt")),
        hash: Some(Output::new(&out).expect("32 bytes are a hash")),
    }
    .to_string()
}

fn verify(hash: &SecretString, password: &SecretString, memory: &mut Vec<Block>) -> bool {
    again(hash.expose_secret(), password.expose_secret().as_bytes(), memory).unwrap_or_else(|| {
        tracing::error!("a stored password hash does not read");
        false
    })
}

/// Whether hashing the password as the hash was made gives it; none where the hash does not read.
fn again(hash: &str, password: &[u8], memory: &mut Vec<Block>) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = Version::try_from(hash.version?).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let (salt, expected) = (hash.salt?, hash.hash?);
    memory.resize(memory.len().max(params.block_count()), Block::new());
    let argon2 = Argon2::new(algorithm, version, params);
    let mut out = vec![0; expected.len()];
    argon2.hash_password_into_with_memory(password, &salt, &mut out, memory).ok()?;
    // In constant time.
    Some(Output::new(&out).ok()? == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_that_was_hashed_verifies() {
        let world = World::system();
        let passwords = Passwords::new(&world);
        let hash = passwords.hash(&world, "correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verify = async |hash: Option<&str>, password: &str| {
            passwords.verify(hash.map(SecretString::from), password.into()).await.unwrap()
        };
        assert!(verify(Some(&hash), "correct horse").await);
        assert!(!verify(Some(&hash), "correct horse ").await);
        assert!(!verify(None, "correct horse").await);
        assert!(!verify(Some("damaged"), "correct horse").await);
        assert_ne!(hash, passwords.hash(&world, "correct horse".into()).await.unwrap(), "salted");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn however_many_are_checked_at_once_a_few_buffers_do() {
        let world = World::system();
        let passwords = Passwords::new(&world);
        let hash = passwords.hash(&world, "correct horse".into()).await.unwrap();
        let verify = |right: bool| {
            let password = if right { "correct horse" } else { "correct house" };
            let (passwords, hash) = (passwords.clone(), SecretString::from(hash.clone()));
            async move { passwords.verify(Some(hash), password.into()).await }
        };
        let checked = futures::future::join_all((0..60).map(|n| verify(n % 2 == 0))).await;
        assert!(checked.iter().enumerate().all(|(n, right)| *right == Ok(n % 2 == 0)), "{checked:?}");
        let buffers = passwords.buffers.0.lock().unwrap().len();
        assert!((1..=AT_ONCE).contains(&buffers), "{buffers}");
    }

    #[tokio::test]
    async fn whoever_comes_when_too_many_wait_is_told_at_once() {
        let world = World::system();
        let passwords = Passwords::new(&world);
        let _all = passwords.places.try_acquire_many(u32::try_from(WAITING + AT_ONCE).unwrap()).unwrap();
        assert_eq!(passwords.verify(None, "correct horse".into()).await, Err(Busy));
    }

    #[test]
    fn hashes_of_the_library_verify() {
        use argon2::password_hash::PasswordHasher as _;
        let made: PasswordHash =
            Argon2::default().hash_password_with_salt(b"correct horse", &[7; 16]).unwrap();
        let mut memory = vec![Block::new(); 1];
        assert_eq!(again(&made.to_string(), b"correct horse", &mut memory), Some(true));
        assert_eq!(again(&made.to_string(), b"correct house", &mut memory), Some(false));
        assert_eq!(hash(b"correct horse", &[7; 16], &mut memory), made.to_string());
    }
}
