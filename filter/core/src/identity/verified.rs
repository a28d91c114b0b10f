//! Tokens that were looked at: a signature is paid for once, whether it holds or not.

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem;
use std::rc::{Rc, Weak};

use sha2::{Digest as _, Sha256};

use super::jwt::{self, JwtRefusal};
use super::policy::JwtPolicy;
use crate::answer::denial::{Code, Denial};
use crate::gate::World;
use crate::snapshot::{AppPolicy, UnixMs};

/// How many of each age are kept: twice that of those that hold, and as many of others. The longest entry has
/// less than 512 bytes, however long its token is, so all of them together have less than 2 MiB.
pub(super) const KEPT: usize = if cfg!(test) { 64 } else { 1024 };

/// What was verified by one VM, for as long as the token and the app's policy last.
#[derive(Debug, Default)]
pub struct Verified {
    held: RefCell<Ages<Rc<str>>>,
    /// Apart, so that made-up tokens do not push out those in use.
    refused: RefCell<Ages<JwtRefusal>>,
}

/// When the young are too many they become the old, and the old are forgotten but for those in use.
#[derive(Debug)]
struct Ages<T> {
    young: HashMap<Digest, CachedOutcome<T>>,
    old: HashMap<Digest, CachedOutcome<T>>,
}

/// Of the app's id and the token.
type Digest = [u8; 32];

#[derive(Clone, Debug)]
struct CachedOutcome<T> {
    /// It holds its place in memory, so that no later policy can be mistaken for this one.
    policy: Weak<AppPolicy>,
    outcome: T,
    until: UnixMs,
}

impl<T> Default for Ages<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl Verified {
    /// The address that a token names, if it holds.
    ///
    /// # Errors
    /// Says why it does not.
    pub(super) fn email(
        &self,
        token: &[u8],
        app: &Rc<AppPolicy>,
        policy: &JwtPolicy,
        world: &impl World,
    ) -> Result<Rc<str>, Denial> {
        let now = world.now();
        let token = bare(token);
        let digest = digest(app, token);
        if let Some(email) = self.held.borrow_mut().take(&digest, app, now) {
            return Ok(email);
        }
        if let Some(refused) = self.refused.borrow_mut().take(&digest, app, now) {
            return Err(denial(refused));
        }
        match jwt::verify(token, policy, world) {
            Ok(claims) => {
                let email: Rc<str> = claims.email.into();
                self.held.borrow_mut().put(digest, CachedOutcome::new(app, Rc::clone(&email), claims.until));
                Ok(email)
            }
            Err(refused) => {
                if refused.is_worth_remembering() {
                    self.refused.borrow_mut().put(digest, CachedOutcome::new(app, refused, UnixMs(i64::MAX)));
                }
                Err(denial(refused))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.borrow().len()
    }

    #[cfg(test)]
    pub(super) fn refusals(&self) -> usize {
        self.refused.borrow().len()
    }
}

impl<T: Clone> Ages<T> {
    fn take(&mut self, digest: &Digest, app: &Rc<AppPolicy>, now: UnixMs) -> Option<T> {
        if let Some(entry) = self.young.get(digest) {
            return entry.outcome_for(app, now);
        }
        let entry = self.old.remove(digest)?;
        let outcome = entry.outcome_for(app, now)?;
        self.put(*digest, entry);
        Some(outcome)
    }

    fn put(&mut self, digest: Digest, entry: CachedOutcome<T>) {
        if self.young.len() >= KEPT {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest, entry);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

impl<T: Clone> CachedOutcome<T> {
    fn new(app: &Rc<AppPolicy>, outcome: T, until: UnixMs) -> Self {
        Self { policy: Rc::downgrade(app), outcome, until }
    }

    fn outcome_for(&self, app: &Rc<AppPolicy>, now: UnixMs) -> Option<T> {
        let holds = now < self.until && self.policy.as_ptr() == Rc::as_ptr(app);
        holds.then(|| self.outcome.clone())
    }
}

fn denial(refused: JwtRefusal) -> Denial {
    Denial::new(Code::InvalidUserToken, format!("The user token was refused: {refused}."))
}

/// Without the scheme, where there is one.
fn bare(token: &[u8]) -> &[u8] {
    match token.split_at_checked(b"Bearer ".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"Bearer ") => rest.trim_ascii(),
        _ => token,
    }
}

fn digest(app: &AppPolicy, token: &[u8]) -> Digest {
    Sha256::new().chain_update(app.id.0.as_bytes()).chain_update(token).finalize().into()
}
