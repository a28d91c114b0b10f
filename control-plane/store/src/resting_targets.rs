//! The targets of routing groups that rest at each gateway.

use std::collections::BTreeMap;

use jiff::Timestamp;
use latchkey_core::attempt::RestingTarget;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::row::unfit;
use super::{Store, Tx};

impl Store {
    /// As each gateway last said; some may rest no longer.
    pub async fn resting_targets(&self) -> sqlx::Result<BTreeMap<String, Vec<RestingTarget>>> {
        let rows = sqlx::query("SELECT gateway, targets FROM resting_targets").fetch_all(&self.pool).await?;
        let read = |row: &AnyRow| {
            let targets: &str = row.try_get("targets")?;
            Ok((
                row.try_get("gateway")?,
                serde_json::from_str(targets).map_err(|error| unfit("targets", error))?,
            ))
        };
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Replaces what a gateway said before.
    pub async fn set_resting_targets(
        &mut self,
        gateway: &str,
        targets: &[RestingTarget],
        now: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO resting_targets (gateway, targets, reported_at) VALUES ($1, $2, $3)
             ON CONFLICT (gateway) DO UPDATE SET targets = excluded.targets, reported_at = excluded.reported_at",
        )
        .bind(gateway.to_owned())
        .bind(serde_json::json!(targets).to_string())
        .bind(now.as_millisecond())
        .execute(&mut *self.inner)
        .await
        .map(drop)
    }
}
