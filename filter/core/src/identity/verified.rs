//! Tokens that were verified: a signature is paid for once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem;
use std::rc::{Rc, Weak};

use sha2::{Digest as _, Sha256};

use super::jwt;
use super::policy::JwtPolicy;
use crate::denial::{Code, Denial};
use crate::snapshot::{AppPolicy, UnixMs};

/// How many of each age are kept: twice that in all.
const KEPT: usize = 128;

/// What was verified by one VM, for as long as the token and the app's policy last.
#[derive(Debug, Default)]
pub struct Verified(RefCell<Ages>);

/// When the young are too many they become the old, and the old are forgotten but for those in use.
#[derive(Debug, Default)]
struct Ages {
    young: HashMap<Digest, Entry>,
    old: HashMap<Digest, Entry>,
}

/// Of the app's id and the token.
type Digest = [u8; 32];

#[derive(Clone, Debug)]
struct Entry {
    /// It holds its place in memory, so that no later policy can be mistaken for this one.
    policy: Weak<AppPolicy>,
    email: Rc<str>,
    until: UnixMs,
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
        now: UnixMs,
    ) -> Result<Rc<str>, Denial> {
        let token = bare(token);
        let digest = digest(app, token);
        if let Some(entry) = self.0.borrow_mut().take(&digest, app, now) {
            return Ok(entry);
        }
        let claims = jwt::verify(token, policy, now).map_err(|refused| {
            Denial::new(Code::InvalidUserToken, format!("The user token is refused: {refused}."))
        })?;
        let email: Rc<str> = claims.email.into();
        let entry = Entry { policy: Rc::downgrade(app), email: Rc::clone(&email), until: claims.until };
        self.0.borrow_mut().put(digest, entry);
        Ok(email)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let ages = self.0.borrow();
        ages.young.len() + ages.old.len()
    }
}

impl Ages {
    fn take(&mut self, digest: &Digest, app: &Rc<AppPolicy>, now: UnixMs) -> Option<Rc<str>> {
        if let Some(entry) = self.young.get(digest) {
            return entry.email_for(app, now);
        }
        let entry = self.old.remove(digest)?;
        let email = entry.email_for(app, now)?;
        self.put(*digest, entry);
        Some(email)
    }

    fn put(&mut self, digest: Digest, entry: Entry) {
        if self.young.len() >= KEPT {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest, entry);
    }
}

impl Entry {
    fn email_for(&self, app: &Rc<AppPolicy>, now: UnixMs) -> Option<Rc<str>> {
        let holds = now < self.until && self.policy.as_ptr() == Rc::as_ptr(app);
        holds.then(|| Rc::clone(&self.email))
    }
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
