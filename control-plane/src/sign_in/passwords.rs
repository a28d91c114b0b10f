//! Hashing passwords: Argon2id with OWASP's parameters (19 MiB, two passes), a few at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::world::World;

/// How many are hashed at once.
const AT_ONCE: usize = 4;
/// How long a turn is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What hashes and verifies passwords.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    nobody: SecretString,
}

/// Too many passwords are being checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked: try again in a moment")]
pub struct Busy;

impl Passwords {
    /// Takes one hash's time.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let nobody = hash(&world.random::<32>(), &world.random());
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), nobody: nobody.into() }
    }

    /// The hash to keep of a password, in PHC format.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(&self, world: &World, password: SecretString) -> Result<String, Busy> {
        let salt = world.random();
        self.off_the_runtime(move || hash(password.expose_secret().as_bytes(), &salt)).await
    }

    /// Whether the password is the one hashed. Without a hash it is not, after the same time.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, hash: Option<SecretString>, password: SecretString) -> Result<bool, Busy> {
        let (hash, exists) = hash.map_or((self.nobody.clone(), false), |hash| (hash, true));
        self.off_the_runtime(move || verify(&hash, &password) && exists).await
    }

    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let turn: OwnedSemaphorePermit =
            tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned())
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(Busy)?;
        // The turn goes with the work, which goes on when the request that wanted it is gone.
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

fn hash(password: &[u8], salt: &[u8; 16]) -> String {
    let hash: PasswordHash =
        Argon2::default().hash_password_with_salt(password, salt).expect("the parameters are fit");
    hash.to_string()
}

fn verify(hash: &SecretString, password: &SecretString) -> bool {
    let Ok(hash) = PasswordHash::new(hash.expose_secret()) else {
        tracing::error!("a stored password hash does not read");
        return false;
    };
    Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok()
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
}
