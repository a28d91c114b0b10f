//! What requests did that webhooks ask for: counted with the records, and told once a minute (`notices.rs`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use latchkey_core::event::{GUARDRAIL_VIOLATION, RATE_LIMITED};
use latchkey_store::Tx;
use latchkey_store::ledger::event::EventCount;
use latchkey_store::ledger::stored;

use super::{NewRecords, Recorded};
use crate::notices::minute;

/// The code of a refusal by a limit per time.
const RATE_LIMIT_CODE: &str = "rate_limit_exceeded";

/// Kind, app, rule and action.
type Counted<'a> = (&'static str, String, String, &'a str);

/// Counts the new records' refusals and findings, of the kinds and apps that a webhook asks for.
pub(super) async fn write(tx: &mut Tx, new: &[NewRecords<'_>], now: Timestamp) -> latchkey_store::Result<()> {
    let mut counts: BTreeMap<Counted<'_>, u64> = BTreeMap::new();
    for Recorded { record, findings, .. } in new.iter().flat_map(|new| &new.records).copied() {
        let Some(app) = record.app_id else { continue };
        if record.code.as_deref() == Some(RATE_LIMIT_CODE) {
            let counted = (RATE_LIMITED, app.to_string(), RATE_LIMIT_CODE.to_owned(), "");
            add(&mut counts, counted, record.repeats);
        }
        // What a trial finds would have happened.
        for finding in findings.iter().filter(|finding| finding.change_request.is_none()) {
            let rule = format!("{}/{}", finding.category, finding.detector);
            add(&mut counts, (GUARDRAIL_VIOLATION, app.to_string(), rule, finding.action), finding.count);
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let asked = tx.subscriptions().await?;
    let is_asked_for = |kind: &str, app: &str| asked.iter().any(|one| one.asks_for(kind, app));
    let counts = counts.into_iter().filter(|((kind, app, ..), _)| is_asked_for(kind, app));
    let row = |((kind, app_id, rule, action), total): (Counted<'_>, u64)| EventCount {
        minute: minute(now),
        kind: kind.to_owned(),
        app_id,
        rule,
        action: action.to_owned(),
        total: stored(total),
    };
    tx.add_event_counts(&counts.map(row).collect::<Vec<_>>()).await
}

fn add<'a>(counts: &mut BTreeMap<Counted<'a>, u64>, counted: Counted<'a>, count: u64) {
    let total = counts.entry(counted).or_default();
    *total = total.saturating_add(count);
}
