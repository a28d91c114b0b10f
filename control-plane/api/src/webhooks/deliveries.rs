//! `/api/v1/webhooks/{id}/deliveries`, tests and replays

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::event::{KINDS, TEST};
use latchkey_service::action::Refusal;
use latchkey_service::action::webhooks::messages::{self, Replay};
use latchkey_store::deliveries::{Delivery, DeliveryFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Api;
use crate::auth::AdminGuard;
use crate::body::{JsonBody, PathParams, Query};
use crate::pagination::{ListPage, bad_query, paging};
use crate::problem::Problem;

pub use latchkey_store::deliveries::{DeliveryAttempt, DeliveryState};

/// How many attempts are shown of a delivery: the newest.
const SHOWN: i64 = 50;

/// A message to a webhook, and what came of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Later ones have higher ones.
    pub id: i64,
    /// The `webhook-id` of the message: the same at every attempt.
    pub message_id: String,
    /// Which event it tells of, as `/api/v1/events` lists it; null for a test.
    pub event_id: Option<i64>,
    /// The kind of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// The app that the event is about.
    pub app_id: Option<Uuid>,
    /// When the event happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What has become of it.
    pub state: DeliveryState,
    /// How many attempts there were.
    pub attempts: u64,
    /// When it is sent next; null where it is not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// A message, with what it says and its attempts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeliveryDetails {
    /// The message.
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// What is sent, as of the format `standard`.
    #[schema(value_type = Object)]
    pub body: Value,
    /// The newest 50 attempts, oldest first.
    pub log: Vec<DeliveryAttempt>,
}

/// Which deliveries.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeliveryQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// Only of events of this kind.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// A test that is being sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TestSent {
    /// The `webhook-id` of its message.
    pub message_id: String,
}

/// Messages that are sent again.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// How many.
    pub messages: u64,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let Delivery { id, webhook_id: _, event_id, message_id, kind, app_id, at, state, .. } = delivery;
        let Delivery { attempts, next_at, body: _, step: _, .. } = delivery;
        let next_at = Some(next_at).filter(|_| state == DeliveryState::Pending);
        Self { id, message_id, event_id, kind, app_id, at, state, attempts, next_at }
    }
}

/// Sends a test to a webhook, whatever it asks for.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks", operation_id = "test_webhook",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 202, body = TestSent), (status = "4XX", body = Problem)))]
pub async fn test(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<(StatusCode, Json<TestSent>), Problem> {
    let mut tx = api.store.begin().await?;
    let message_id = messages::test(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(TestSent { message_id })))
}

/// Lists what a webhook was sent, or is to be, newest first.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks", operation_id = "list_deliveries",
    params(("id" = Uuid, Path), DeliveryQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<DeliveryView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<DeliveryQuery>,
) -> Result<ListPage<DeliveryView>, Problem> {
    let DeliveryQuery { cursor, limit, state, kind } = query;
    let paging = paging(cursor.as_deref(), limit, None)?;
    if let Some(kind) = &kind
        && kind != TEST
        && !KINDS.contains(&kind.as_str())
    {
        return Err(bad_query(format!(
            "`{kind}` is not a valid `type`: use one of {TEST}, {}",
            KINDS.join(", ")
        )));
    }
    api.store.webhook(id).await?.ok_or(Refusal::NotFound("webhook"))?;
    let filter = DeliveryFilter { webhook: id, state, kind, before: paging.after };
    let rows = api.store.deliveries(&filter, paging.rows()).await?;
    Ok(paging.page(rows, |delivery| delivery.id, DeliveryView::from))
}

/// Shows a message to a webhook, and its attempts.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries/{delivery}", tag = "webhooks",
    operation_id = "read_delivery", params(("id" = Uuid, Path), ("delivery" = i64, Path)),
    security(("token" = [])), responses((status = 200, body = DeliveryDetails), (status = "4XX", body = Problem)))]
pub async fn read(
    _: AdminGuard,
    State(api): State<Api>,
    PathParams((id, delivery)): PathParams<(Uuid, i64)>,
) -> Result<Json<DeliveryDetails>, Problem> {
    let delivery = api.store.delivery(id, delivery).await?.ok_or(Refusal::NotFound("delivery"))?;
    let log = api.store.delivery_attempts(delivery.id, SHOWN).await?;
    let body = serde_json::from_str(&delivery.body).unwrap_or_default();
    Ok(Json(DeliveryDetails { delivery: delivery.into(), body, log }))
}

/// Sends a message again: the same, with the same id.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/deliveries/{delivery}/replay", tag = "webhooks",
    operation_id = "replay_delivery", params(("id" = Uuid, Path), ("delivery" = i64, Path)),
    security(("token" = [])), responses((status = 202, body = DeliveryView), (status = "4XX", body = Problem)))]
pub async fn replay_one(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, delivery)): PathParams<(Uuid, i64)>,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let mut tx = api.store.begin().await?;
    let delivery = messages::replay_one(&mut tx, api.context(&actor), id, delivery).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(delivery.into())))
}

/// Sends again what happened in some time, also what the webhook was never sent: at most 1,000 messages.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/replay", tag = "webhooks", operation_id = "replay_deliveries",
    params(("id" = Uuid, Path)), request_body = Replay,
    security(("token" = [])), responses((status = 202, body = Replayed), (status = "4XX", body = Problem)))]
pub async fn replay(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(which): JsonBody<Replay>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let mut tx = api.store.begin().await?;
    let messages = messages::replay(&mut tx, api.context(&actor), id, which).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { messages })))
}
