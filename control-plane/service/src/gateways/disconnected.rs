//! Events of gateways that have disconnected and have not come back soon.

use std::time::Duration;

use jiff::SignedDuration;
use latchkey_store::events::NewEvent;
use serde_json::json;
use tokio::time::Instant;

use super::{Gateway, Gateways};

/// How long gateways may take to come back when the control plane starts.
const START: Duration = Duration::from_secs(60);
/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(15);
/// A restart or a reconnect takes less.
const AWAY: SignedDuration = SignedDuration::from_mins(1);
/// What was not told by then is no news.
const OLD: SignedDuration = SignedDuration::from_hours(1);

impl Gateways {
    /// Tells of gateways that disconnect, for as long as the process runs. Several replicas may: each is told once.
    pub async fn tell(&self) {
        // At the start nobody has come back yet.
        let mut periods = tokio::time::interval_at(Instant::now() + START, PERIOD);
        periods.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            periods.tick().await;
            if let Err(error) = self.tell_disconnected().await {
                tracing::warn!(%error, "could not look for gateways that have disconnected");
            }
        }
    }

    /// Looks once.
    ///
    /// # Errors
    /// The database is away.
    pub async fn tell_disconnected(&self) -> latchkey_store::Result<()> {
        let now = self.world.now();
        for Gateway { name, instance, connected_at, disconnected_at, .. } in self.list().await? {
            let Some(since) = disconnected_at else { continue };
            let away = now.duration_since(since);
            let once = format!("gateway/{name}/{instance}/{}/disconnected", connected_at.as_millisecond());
            if away < AWAY || away > OLD || self.store.has_event(&once).await? {
                continue;
            }
            let mut tx = self.store.begin().await?;
            let event = NewEvent {
                at: now,
                kind: "gateway.disconnected",
                app_id: String::new(),
                key_id: String::new(),
                data: json!({"gateway": name, "connected_at": connected_at, "disconnected_at": since}),
                once: Some(once),
            };
            tx.insert_event(event).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}
