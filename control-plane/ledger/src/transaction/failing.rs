//! Targets of routing groups that fail, as gateways tell: an event each, at most once an hour.

use std::collections::BTreeMap;

use jiff::Timestamp;
use latchkey_core::attempt::RestingTarget;
use latchkey_store::Tx;
use latchkey_store::events::NewEvent;
use serde_json::json;

const HOUR_MS: i64 = 3_600_000;

/// Tells of those that rest now, by gateway.
pub(super) async fn write(
    tx: &mut Tx,
    resting: &BTreeMap<&String, &Vec<RestingTarget>>,
    now: Timestamp,
) -> latchkey_store::Result<()> {
    // Sorted by what they are told once by, so that replicas do not lock each other out.
    let mut failing = BTreeMap::new();
    for (gateway, target) in
        resting.iter().flat_map(|(gateway, targets)| targets.iter().map(move |target| (gateway, target)))
    {
        failing.entry((&target.provider, &target.model)).or_insert((gateway, target));
    }
    let hour = now.as_millisecond().div_euclid(HOUR_MS);
    for ((provider, model), (gateway, target)) in failing {
        let RestingTarget { until, reason, status, .. } = target;
        let data = json!({
            "provider": provider, "model": model, "gateway": gateway, "reason": reason, "status": status,
            "rests_until": until,
        });
        let event = NewEvent {
            at: now,
            kind: "provider.failing",
            app_id: String::new(),
            key_id: String::new(),
            data,
            once: Some(format!("provider/{provider}/{model}/failing/{hour}")),
        };
        tx.insert_event(event).await?;
    }
    Ok(())
}
