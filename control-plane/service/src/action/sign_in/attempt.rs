//! Holding up those who guess: each attempt counts as failed before it is looked at, so that many
//! at once are no way around.

use jiff::SignedDuration;
use latchkey_core::client;
use latchkey_core::name::Email;
use latchkey_core::throttle::{Counted, Failures};
use latchkey_store::Tx;
use sha2::{Digest as _, Sha256};

use super::SignInContext;
use crate::action::Refusal;

/// A browser's address is known for so long after a sign-in.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// An attempt that was admitted, and counted as failed.
#[derive(Debug)]
pub struct SignInAttempt {
    guesser: String,
    address: Option<String>,
    /// None where the account's user signed in from this address before.
    account: Option<String>,
}

impl SignInAttempt {
    /// Admits an attempt at the account with this address, or holds it up: whoever guesses, not the account,
    /// unless it is tried from very many addresses. Even that does not hold up who comes from where the
    /// account's user signed in before.
    ///
    /// # Errors
    /// It has to wait.
    pub async fn admit(context: SignInContext<'_>, email: &str) -> Result<Self, Refusal> {
        let now = context.world.now();
        let address = context.client.address;
        let known = match (address, Email::stored(email.to_owned())) {
            (Some(address), Ok(email)) => {
                let since = now.checked_sub(REMEMBERED).unwrap_or(jiff::Timestamp::MIN);
                context.store.was_here(&email, &address.to_string(), since).await?
            }
            _ => false,
        };
        let from = address.map(|address| client::network(address).to_string());
        let attempt = Self {
            guesser: subject(email, from.as_deref().unwrap_or("unknown")),
            account: (!known).then(|| subject(email, "")),
            address: from.map(|network| format!("address:{network}")),
        };
        let mut tx = context.store.begin().await?;
        count(&mut tx, &attempt.guesser, Counted::Guesser, now).await?;
        if let Some(address) = &attempt.address {
            count(&mut tx, address, Counted::Address, now).await?;
        }
        if let Some(account) = &attempt.account {
            count(&mut tx, account, Counted::Account, now).await?;
        }
        tx.commit().await?;
        Ok(attempt)
    }

    /// Takes back that it failed.
    pub async fn succeeded(self, tx: &mut Tx) -> Result<(), Refusal> {
        tx.forget_sign_in_failures(&self.guesser).await?;
        if let Some(address) = &self.address {
            tx.take_back_sign_in_failure(address).await?;
        }
        if let Some(account) = &self.account {
            tx.forget_sign_in_failures(account).await?;
        }
        Ok(())
    }
}

/// Forgets the failures at the account with this address.
pub async fn forget(tx: &mut Tx, email: &str) -> Result<(), Refusal> {
    Ok(tx.forget_sign_in_failures(&subject(email, "")).await?)
}

/// The account as it is counted: hashed, for what people type there may be a password.
fn subject(email: &str, from: &str) -> String {
    use std::fmt::Write as _;

    let hash =
        Sha256::new().chain_update(email.to_lowercase()).chain_update([0]).chain_update(from).finalize();
    hash.iter().fold("account:".to_owned(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn count(tx: &mut Tx, subject: &str, counted: Counted, now: jiff::Timestamp) -> Result<(), Refusal> {
    let before = tx.sign_in_failures(subject, now).await?;
    if let Some(wait) = before.wait(now) {
        return Err(Refusal::TooMany { wait });
    }
    Ok(tx.keep_sign_in_failures(subject, Failures::more(Some(before), counted, now)).await?)
}
