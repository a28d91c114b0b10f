//! How far a change has come: what every answer to a change says.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_discovery::registry::Obstacle;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a change has come.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Propagation {
    /// The change's revision.
    pub revision: i64,
    /// Whether every gateway that is not gone has applied it: connected ones, and those that were connected
    /// and may go on with what they had.
    pub complete: bool,
    /// The gateways that have applied it, by name.
    pub applied: Vec<String>,
    /// Those that have not, and why.
    pub pending: Vec<PendingGateway>,
    /// How long that took since the request came, in milliseconds.
    pub elapsed_ms: u64,
}

/// A gateway that has not applied a change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = Pending)]
pub struct PendingGateway {
    /// Its name.
    pub gateway: String,
    /// Why not, as far as it is known.
    pub reason: String,
}

impl Propagation {
    /// Of a revision, where every gateway that is known has these obstacles, or none.
    pub(super) fn of(revision: i64, gateways: BTreeMap<String, BTreeSet<Obstacle>>) -> Self {
        let (applied, late): (Vec<_>, Vec<_>) =
            gateways.into_iter().partition(|(_, obstacles)| obstacles.is_empty());
        let pending = late.into_iter().flat_map(|(gateway, obstacles)| {
            let pending = move |obstacle: Obstacle| PendingGateway {
                gateway: gateway.clone(),
                reason: obstacle.to_string(),
            };
            obstacles.into_iter().map(pending)
        });
        let pending: Vec<_> = pending.collect();
        let applied = applied.into_iter().map(|(gateway, _)| gateway).collect();
        Self { revision, complete: pending.is_empty(), applied, pending, elapsed_ms: 0 }
    }

    /// Of a revision, where nothing is known of any gateway for this reason.
    pub fn unknown(revision: i64, reason: String) -> Self {
        let pending = vec![PendingGateway { gateway: "unknown".to_owned(), reason }];
        Self { revision, complete: false, applied: Vec::new(), pending, elapsed_ms: 0 }
    }

    /// With a further gateway that has not applied it.
    pub(super) fn add_pending(&mut self, gateway: &str, reason: &str) {
        self.complete = false;
        self.pending.push(PendingGateway { gateway: gateway.to_owned(), reason: reason.to_owned() });
    }
}
