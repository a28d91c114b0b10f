//! What follows from access that was gained or lost.

use std::collections::{BTreeSet, HashMap};

use latchkey_core::access::SelfService;
use latchkey_store::Tx;
use latchkey_store::suspension::AccessKey;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{By, Refusal};

pub use latchkey_store::suspension::AccessScope;

/// How many keys access that was gained or lost has stopped, or let work again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refreshed {
    /// Keys that stopped.
    pub suspended: usize,
    /// Keys that work again.
    pub resumed: usize,
}

impl Refreshed {
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.suspended + self.resumed > 0
    }
}

/// Suspends the keys in `scope` whose users may no longer see an app that suspends keys then, and lets
/// those of others work again. It is called after the change, in its transaction, by whoever changes
/// groups' members, self-service settings, or whether a user may sign in.
///
/// It takes the transaction's revision first. Who creates a key takes it before reading the user's
/// groups; so of a removal and a creation at the same time, the later one sees the earlier.
pub async fn refresh(tx: &mut Tx, by: By<'_>, scope: AccessScope<'_>) -> Result<Refreshed, Refusal> {
    let revision = tx.revision(by.world).await?;
    let mut apps: HashMap<Uuid, SelfService> = tx.self_services(scope).await?.into_iter().collect();
    if !matches!(scope, AccessScope::App(_)) {
        // Elsewhere no key is suspended, and none is to be.
        apps.retain(|_, settings| settings.suspend_keys_on_lost_access);
    }
    let held = tx.held_keys(scope, &apps.keys().copied().collect::<Vec<_>>()).await?;
    let users: BTreeSet<_> = held.iter().map(|held| held.user).collect();
    let members = tx.members(&users).await?;
    let decided = |held: &AccessKey| {
        let (settings, member) = (apps.get(&held.app)?, members.get(&held.user)?);
        let suspended = settings.suspends(member);
        (suspended != held.suspended).then_some(AccessKey { suspended, ..*held })
    };
    let changed: Vec<_> = held.iter().filter_map(decided).collect();
    tx.write_suspended(&changed, revision).await?;
    let suspended = changed.iter().filter(|held| held.suspended).count();
    Ok(Refreshed { suspended, resumed: changed.len() - suspended })
}
