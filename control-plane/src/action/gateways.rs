//! Gateways that are gone.

use jiff::Timestamp;
use serde_json::json;

use super::audit::Done;
use super::{Context, Refusal};
use crate::ledger::subjects::LimitSubjects;
use crate::ledger::transaction;
use crate::store::Tx;
use crate::store::ledger::retention::LostProcess;

/// Charges for good what a process that is gone holds of budgets, and can have spent at most.
///
/// # Errors
/// It holds nothing, or has been heard of lately.
pub async fn write_off(tx: &mut Tx, context: Context<'_>, instance: &str) -> Result<LostProcess, Refusal> {
    let now = context.world.now();
    let lost = tx.lost_process(instance).await?.ok_or(Refusal::NotFound("lost gateway process"))?;
    if lost.ended_at > now {
        return Err(Refusal::conflict(
            "may_come_back",
            format!(
                "its leases run until {}: until then it may come back and settle them itself",
                lost.ended_at
            ),
        ));
    }
    let budgets = transaction::write_off(tx, &mut LimitSubjects::default(), instance, now).await?;
    let data = json!({ "gateway": lost.gateway, "budgets": budgets, "last_heard_of": moment(lost.ended_at) });
    let name = lost.gateway.clone();
    let id = instance.to_owned();
    context
        .audit(tx, Done { action: "gateway.written_off", kind: "gateway", id, name: &name, app: None, data });
    Ok(lost)
}

fn moment(at: Timestamp) -> String {
    at.to_string()
}
