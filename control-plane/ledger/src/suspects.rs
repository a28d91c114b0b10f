//! Apps that refused a user's token just now: their issuers may have keys that gateways do not know yet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use latchkey_filter_core::answer::denial::Code;
use uuid::Uuid;

use super::intake::GatewayReport;

/// The most that are remembered at once. Others come up again with their next refusal.
const MOST: usize = 1000;

/// Apps to look after, each once however many tokens it refused.
#[derive(Clone, Debug, Default)]
pub struct Suspects(Arc<Mutex<BTreeSet<Uuid>>>);

impl Suspects {
    /// Notes which apps refused tokens, as a gateway's records say. Why they did is not told apart: a new key
    /// may have an unknown name, an old name, or none.
    pub fn note(&self, report: &GatewayReport) {
        let entries = report.batches.iter().flat_map(|batch| &batch.entries);
        let records = entries.filter_map(|entry| entry.record.as_ref().ok());
        let refused =
            records.filter(|told| told.record.code.as_deref() == Some(Code::InvalidUserToken.as_str()));
        self.add(refused.filter_map(|told| told.record.app_id));
    }

    /// Adds apps.
    pub fn add(&self, apps: impl IntoIterator<Item = Uuid>) {
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for app in apps {
            if suspects.len() < MOST {
                suspects.insert(app);
            }
        }
    }

    /// Those that were noted, who are no longer.
    #[must_use]
    pub fn take(&self) -> BTreeSet<Uuid> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
