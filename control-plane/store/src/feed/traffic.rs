//! What a gateway would hold of an app under other settings, and what it costs elsewhere.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use latchkey_core::limits::Limits;
use latchkey_discovery::source::Batch;
use latchkey_proto::discovery as wire;
use sqlx::Row as _;
use uuid::Uuid;

use super::FeedCursor;
use super::convert::{limits, policy, price};
use crate::Store;
use crate::apps::App;
use crate::ledger::bulk::Column::Text;
use crate::ledger::bulk::{Bulk, id_rows};
use crate::row::{Columns as _, unfit};

/// A key of an app, whatever its status: by its id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficKey {
    /// Whose named key it is; none for the app's own.
    pub user: Option<Uuid>,
    /// Its own limits; none where the app's for named keys apply.
    pub limits: Option<Limits>,
    /// The same as gateways hold them.
    pub wire_limits: Option<wire::Limits>,
}

/// A price that an offer had, as gateways hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferPrice {
    pub provider: String,
    /// What the provider calls the model.
    pub upstream_name: String,
    /// From when on.
    pub since: Timestamp,
    pub price: wire::Price,
}

static KEYS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new("SELECT id, user_id, limits FROM keys WHERE id IN ({rows})", &[Text("id")]));

impl Store {
    /// What gateways would hold of these states of one app, with the catalogue as it is.
    pub async fn held_apps(&self, apps: &[&App]) -> sqlx::Result<Batch<FeedCursor>> {
        let sets = self.key_sets(apps.iter().copied()).await?;
        let secret = self.guardrail_secret().await?;
        let apps = apps.iter().map(|app| policy(app, None, &sets, &secret)).collect();
        Ok(Batch { apps, catalogue: Some(self.wire_catalogue().await?), ..Batch::default() })
    }

    /// These keys; those that are gone are missing.
    pub async fn traffic_keys(&self, ids: &[Uuid]) -> sqlx::Result<BTreeMap<Uuid, TrafficKey>> {
        let mut keys = BTreeMap::new();
        for page in ids.chunks(1_000) {
            let mut tx = self.snapshot().await?;
            for row in tx.read(&KEYS, &id_rows(page)).await? {
                let own: Option<&str> = row.try_get("limits")?;
                let own: Option<Limits> =
                    own.map(serde_json::from_str).transpose().map_err(|error| unfit("limits", error))?;
                let wire_limits = own.as_ref().map(limits);
                let key = TrafficKey { user: row.optional_uuid("user_id")?, limits: own, wire_limits };
                keys.insert(row.uuid("id")?, key);
            }
        }
        Ok(keys)
    }

    /// Every price of the models of these names that are there, oldest first.
    pub async fn offer_prices(&self, is_asked: impl Fn(&str) -> bool) -> sqlx::Result<Vec<OfferPrice>> {
        let mut prices = Vec::new();
        for model in self.models().await?.into_iter().filter(|model| is_asked(model.name.as_str())) {
            let past = self.prices(model.id).await?.into_iter().rev();
            prices.extend(past.map(|past| OfferPrice {
                provider: model.provider.clone(),
                upstream_name: model.upstream_name.as_str().to_owned(),
                since: past.created_at,
                price: price(past.charged),
            }));
        }
        Ok(prices)
    }
}
