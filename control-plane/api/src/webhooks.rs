//! `/api/v1/webhooks`

pub mod deliveries;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::name::{Name, deserialize_stored};
use latchkey_core::rotation::Grace;
use latchkey_core::selection::Selection;
use latchkey_core::webhook::{EventPattern, WebhookFormat};
use latchkey_service::action::Refusal;
use latchkey_service::action::webhooks::{self, EditWebhook, IssuedWebhook, NewWebhook};
use latchkey_store::webhooks::Webhook;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::auth::AdminGuard;
use super::body::{JsonBody, OptionalJsonBody, PathParams};
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::precondition::{EntityTag, IfMatch, Tagged};
use super::problem::Problem;

/// For how long a replaced secret signs as well, unless it is said: a day.
const USUAL_GRACE_SECONDS: u32 = 24 * 3600;

/// A webhook: where events are sent to.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct WebhookView {
    /// Opaque.
    pub id: Uuid,
    /// What people see.
    #[serde(deserialize_with = "deserialize_stored")]
    #[schema(value_type = String)]
    pub name: Name,
    /// Who reads the messages. It cannot be changed.
    pub format: WebhookFormat,
    /// Where messages are sent to: without its query, and of a chat the host alone, since the rest is a secret.
    pub url: String,
    /// Which events: kinds, prefixes such as `change_request.*`, or `*`.
    pub events: Vec<EventPattern>,
    /// Of which apps: "all", with what is about no app; "none", only what is about no app; or ids.
    pub apps: Selection,
    /// Whether it gets anything.
    pub enabled: bool,
    /// Why Latchkey disabled it; null where it did not.
    pub disabled_reason: Option<String>,
    /// Since when attempts have failed, with no success since; null where the last one succeeded.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failing_since: Option<Timestamp>,
    /// Until when messages are signed with the secret that was replaced, too; null where only the newest signs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub previous_secret_until: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// What messages are signed with, `whsec_…`; only where it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// For how long the replaced secret signs as well.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecret {
    /// In seconds: 86,400 (a day) by default, 2,592,000 (30 days) at most.
    #[serde(default)]
    #[schema(maximum = 2_592_000)]
    pub grace_seconds: Option<u32>,
}

impl WebhookView {
    fn of(webhook: Webhook, now: Timestamp) -> Self {
        let Webhook { id, name, format, shown_url, events, apps, previous_secret, enabled, .. } = webhook;
        let Webhook { disabled_reason, failing_since, created_at, updated_at, .. } = webhook;
        Self {
            id,
            name,
            format,
            url: shown_url,
            events,
            apps,
            enabled,
            disabled_reason: Some(disabled_reason).filter(|reason| !reason.is_empty()),
            failing_since,
            previous_secret_until: previous_secret.map(|(_, until)| until).filter(|until| *until > now),
            created_at,
            updated_at,
            secret: None,
        }
    }

    fn issued(IssuedWebhook { webhook, secret }: IssuedWebhook, now: Timestamp) -> Self {
        let secret = secret.map(|secret| secret.expose_secret().to_owned());
        Self { secret, ..Self::of(webhook, now) }
    }
}

/// Lists webhooks, oldest first.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    security(("token" = [])), responses((status = 200, body = ListPage<WebhookView>), (status = "4XX", body = Problem)))]
pub async fn list(_: AdminGuard, State(api): State<Api>) -> Result<ListPage<WebhookView>, Problem> {
    let webhooks = api.store.webhooks().await?.into_iter();
    let now = api.world.now();
    Ok(ListPage { items: webhooks.map(|webhook| WebhookView::of(webhook, now)).collect(), next_cursor: None })
}

/// Adds a webhook. Its secret is in this answer alone.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "create_webhook",
    request_body = NewWebhook, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = WebhookView), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewWebhook>>,
) -> Result<Answered<WebhookView>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let issued = webhooks::create(tx, api.context(&actor), &api.opened_to_webhooks, new).await?;
        Ok(WebhookView::issued(issued, api.world.now()))
    })
    .await
}

/// Shows a webhook.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}", tag = "webhooks", operation_id = "read_webhook",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = WebhookView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Tagged<WebhookView>, Problem> {
    let webhook = api.store.webhook(id).await?.ok_or(Refusal::NotFound("webhook"))?;
    Ok(tagged(webhook, api.world.now()))
}

/// Edits a webhook. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/webhooks/{id}", tag = "webhooks", operation_id = "update_webhook",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = EditWebhook,
    security(("token" = [])), responses((status = 200, body = WebhookView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditWebhook>,
) -> Result<Tagged<WebhookView>, Problem> {
    let mut tx = api.store.begin().await?;
    if let Some(now) = tx.webhook(id).await? {
        if_match.check(&api, ("webhook", &id.to_string()), &edited(&now)).await?;
    }
    let webhook = webhooks::update(&mut tx, api.context(&actor), &api.opened_to_webhooks, id, edit).await?;
    tx.commit().await?;
    Ok(tagged(webhook, api.world.now()))
}

/// With a tag that deliveries do not change, unless they disable the webhook.
fn tagged(webhook: Webhook, now: Timestamp) -> Tagged<WebhookView> {
    let tag = EntityTag::of(&edited(&webhook));
    Tagged(WebhookView::of(webhook, now), tag)
}

/// What of a webhook can be edited. Its URL is sealed anew with each change.
fn edited(webhook: &Webhook) -> Value {
    let Webhook { name, sealed_url, events, apps, enabled, .. } = webhook;
    json!([name, sealed_url, events, apps, enabled])
}

/// Removes a webhook, what it is still to be sent, and the log of what it was sent.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", tag = "webhooks", operation_id = "delete_webhook",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    webhooks::delete(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces a webhook's secret. For the grace, messages carry a signature by each. The secret is in this answer alone.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/rotate-secret", tag = "webhooks",
    operation_id = "rotate_webhook_secret", request_body = Option<RotateSecret>,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 200, body = WebhookView), (status = "4XX", body = Problem)))]
pub async fn rotate_secret(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    rotate: Creation<OptionalJsonBody<RotateSecret>>,
) -> Result<Answered<WebhookView>, Problem> {
    rotate
        .once(&api, StatusCode::OK, async |tx, OptionalJsonBody(RotateSecret { grace_seconds })| {
            let grace = Grace::seconds(grace_seconds.unwrap_or(USUAL_GRACE_SECONDS));
            let grace = grace.map_err(|error| Refusal::field("grace_seconds", error))?;
            let issued = webhooks::rotate_secret(tx, api.context(&actor), id, grace).await?;
            Ok(WebhookView::issued(issued, api.world.now()))
        })
        .await
}
