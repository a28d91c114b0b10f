//! Gateways that are gone.

use jiff::Timestamp;
use latchkey_ledger::subjects::LimitSubjects;
use latchkey_ledger::transaction;
use latchkey_store::Tx;
use latchkey_store::ledger::retention::LostProcess;
use serde_json::json;

use super::audit::AuditedAction;
use super::{By, Context, Refusal};
use crate::gateways::Gateways;

/// Forgets a gateway's processes that have no stream, and that an admin knows to be gone for good: changes
/// no longer wait for them.
///
/// # Errors
/// There is no such gateway, or all of its processes are connected.
pub async fn forget(tx: &mut Tx, by: By<'_>, gateways: &Gateways, name: &str) -> Result<(), Refusal> {
    let (open, ended) = gateways.streams_of(name).await?;
    if open.is_empty() && ended.is_empty() {
        return Err(Refusal::NotFound("gateway"));
    }
    if ended.is_empty() {
        let detail = "this gateway is connected: stop its Envoy first, or revoke its token";
        return Err(Refusal::conflict("gateway_connected", detail));
    }
    for stream in &ended {
        tx.forget_gateway_stream(stream).await?;
    }
    let data = json!({ "processes": ended.len() });
    let id = name.to_owned();
    by.audit(tx, AuditedAction { action: "gateway.forgotten", kind: "gateway", id, name, app: None, data });
    Ok(())
}

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
                "its leases run until {}: until then, it may still reconnect and settle them",
                lost.ended_at
            ),
        ));
    }
    let budgets = transaction::write_off(tx, &mut LimitSubjects::default(), instance, now).await?;
    let data = json!({ "gateway": lost.gateway, "budgets": budgets, "last_heard_of": moment(lost.ended_at) });
    let name = lost.gateway.clone();
    let id = instance.to_owned();
    context.audit(
        tx,
        AuditedAction { action: "gateway.written_off", kind: "gateway", id, name: &name, app: None, data },
    );
    Ok(lost)
}

fn moment(at: Timestamp) -> String {
    at.to_string()
}
