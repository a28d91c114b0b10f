//! `/api/v1/providers`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::name::Slug;
use latchkey_core::provider::{Dialect, DialectEdit, OutputLimit, ProviderKind};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::auth::{Admin, Reader};
use super::body::{Body, Path, given, nullable};
use super::idempotency::{Answered, Creation};
use super::page::Page;
use super::problem::Problem;
use super::upstream::{self, Target};
use crate::action::Refusal;
use crate::action::providers::{self, ProviderEdit};
use crate::store::providers::Provider;

/// A provider of models.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProviderView {
    /// Unique; it cannot be changed.
    pub name: Slug,
    /// Whose protocol it speaks.
    pub kind: ProviderKind,
    /// Such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// Whether a credential is stored. The credential itself is never shown.
    pub has_credential: bool,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// Whether Latchkey runs that cluster; otherwise your own Envoy configuration does.
    pub managed_cluster: bool,
    /// Under which name it takes a limit of a chat's output; null: as its kind, which is `max_completion_tokens`
    /// for OpenAI and Azure OpenAI and `max_tokens` for others. Where it is set, a limit under the other name is
    /// renamed wherever the gateway limits the output.
    pub output_limit: Option<OutputLimit>,
    /// Whether it takes `stream_options`, by which the usage of a stream is asked for; null: it does.
    pub stream_options: Option<bool>,
    /// Whether its models can be called.
    pub enabled: bool,
    /// For how many seconds an answer may be silent before the gateway gives it up; null for the gateway's own
    /// limit, which is 600.
    pub idle_timeout_seconds: Option<u32>,
    /// Why gateways refuse to connect to it: it is at a private address that LATCHKEY_UPSTREAM_ALLOW does not
    /// open. Null where they do connect, as far as the URL tells.
    pub out_of_reach: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A provider to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProvider {
    /// Unique: lower-case letters, digits, `-` and `_`.
    pub name: Slug,
    /// Whose protocol it speaks.
    pub kind: ProviderKind,
    /// Such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// What it knows us by; stored encrypted, never shown.
    #[schema(value_type = Option<String>, write_only)]
    pub credential: Option<SecretString>,
    /// The name of a cluster that your own Envoy configuration brings, with its credential.
    pub cluster: Option<String>,
    /// Under which name it takes a limit of a chat's output; null: as its kind, which is `max_completion_tokens`
    /// for OpenAI and Azure OpenAI and `max_tokens` for others. Where it is set, a limit under the other name is
    /// renamed wherever the gateway limits the output.
    pub output_limit: Option<OutputLimit>,
    /// Whether it takes `stream_options`, by which the usage of a stream is asked for; null: it does.
    pub stream_options: Option<bool>,
    /// Whether its models can be called: true by default.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// For how many seconds an answer may be silent: 60, 300, 600, 1200, 1800 or 3600. Null for the gateway's
    /// own limit, which is 600.
    pub idle_timeout_seconds: Option<u32>,
}

/// What to change of a provider.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditProvider {
    /// Whose protocol it speaks.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = ProviderKind)]
    pub kind: Option<ProviderKind>,
    /// Such as `https://api.openai.com/v1`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub base_url: Option<String>,
    /// What it knows us by; null for nothing.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, write_only)]
    pub credential: Option<Option<SecretString>>,
    /// The name of a cluster that your own Envoy configuration brings; null has Latchkey run one.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub cluster: Option<Option<String>>,
    /// Under which name it takes a limit of a chat's output; null: as its kind, which is `max_completion_tokens`
    /// for OpenAI and Azure OpenAI and `max_tokens` for others. Where it is set, a limit under the other name is
    /// renamed wherever the gateway limits the output.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<OutputLimit>)]
    pub output_limit: Option<Option<OutputLimit>>,
    /// Whether it takes `stream_options`, by which the usage of a stream is asked for; null: it does.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<bool>)]
    pub stream_options: Option<Option<bool>>,
    /// Whether its models can be called.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub enabled: Option<bool>,
    /// For how many seconds an answer may be silent: 60, 300, 600, 1200, 1800 or 3600. Null for the gateway's
    /// own limit, which is 600.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    pub idle_timeout_seconds: Option<Option<u32>>,
}

fn enabled() -> bool {
    true
}

impl ProviderView {
    fn of(api: &Api, provider: Provider) -> Self {
        Self {
            out_of_reach: upstream::out_of_reach(api, &provider.url, provider.cluster.as_deref()),
            cluster: provider.cluster_name(),
            managed_cluster: provider.cluster.is_none(),
            has_credential: provider.sealed_credential.is_some(),
            name: provider.name,
            kind: provider.kind,
            base_url: provider.base_url,
            output_limit: provider.dialect.output_limit,
            stream_options: provider.dialect.stream_options,
            enabled: provider.enabled,
            idle_timeout_seconds: provider.idle_timeout_seconds,
            created_at: provider.created_at,
            updated_at: provider.updated_at,
        }
    }
}

/// Lists every provider, oldest first.
#[utoipa::path(get, path = "/api/v1/providers", tag = "providers", operation_id = "list_providers",
    security(("token" = [])), responses((status = 200, body = Page<ProviderView>), (status = "4XX", body = Problem)))]
pub async fn list(_: Reader, State(api): State<Api>) -> Result<Page<ProviderView>, Problem> {
    let items = api.store.providers().await?.into_iter().map(|it| ProviderView::of(&api, it)).collect();
    Ok(Page { items, next_cursor: None })
}

/// Adds a provider.
#[utoipa::path(post, path = "/api/v1/providers", tag = "providers", operation_id = "create_provider",
    request_body = NewProvider, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = ProviderView), (status = "4XX", body = Problem)))]
pub async fn create(
    Admin(actor): Admin,
    State(api): State<Api>,
    new: Creation<Body<NewProvider>>,
) -> Result<Answered, Problem> {
    let NewProvider { base_url, credential, cluster, enabled, .. } = &new.new.0;
    let target = Target {
        cluster: cluster.as_deref(),
        url: base_url,
        has_credential: credential.is_some(),
        enabled: *enabled,
    };
    target.check_new(&api, "base_url").await?;
    new.once(&api, StatusCode::CREATED, async |tx, Body(new)| {
        let NewProvider {
            name,
            kind,
            base_url,
            credential,
            cluster,
            output_limit,
            stream_options,
            enabled,
            idle_timeout_seconds,
        } = new;
        let dialect = Dialect { output_limit, stream_options };
        let new = providers::NewProvider {
            name,
            kind,
            base_url,
            credential,
            cluster,
            dialect,
            enabled,
            idle_timeout_seconds,
        };
        let provider = providers::create(tx, api.context(&actor), new).await?;
        Ok(ProviderView::of(&api, provider))
    })
    .await
}

/// Shows a provider, without its credential.
#[utoipa::path(get, path = "/api/v1/providers/{name}", tag = "providers", operation_id = "read_provider",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 200, body = ProviderView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: Reader,
    State(api): State<Api>,
    Path(name): Path<Slug>,
) -> Result<Json<ProviderView>, Problem> {
    let provider = api.store.provider(name.as_str()).await?.ok_or(Refusal::NotFound("provider"))?;
    Ok(Json(ProviderView::of(&api, provider)))
}

/// Edits a provider. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/providers/{name}", tag = "providers", operation_id = "update_provider",
    params(("name" = String, Path)), request_body = EditProvider,
    security(("token" = [])), responses((status = 200, body = ProviderView), (status = "4XX", body = Problem)))]
pub async fn update(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(name): Path<Slug>,
    Body(edit): Body<EditProvider>,
) -> Result<Json<ProviderView>, Problem> {
    check_reach(&api, &name, &edit).await?;
    let EditProvider {
        kind,
        base_url,
        credential,
        cluster,
        output_limit,
        stream_options,
        enabled,
        idle_timeout_seconds,
    } = edit;
    let dialect = DialectEdit { output_limit, stream_options };
    let edit = ProviderEdit { kind, base_url, credential, cluster, dialect, enabled, idle_timeout_seconds };
    let mut tx = api.store.begin().await?;
    let provider = providers::update(&mut tx, api.context(&actor), name.as_str(), edit).await?;
    tx.commit().await?;
    Ok(Json(ProviderView::of(&api, provider)))
}

/// Refuses to send gateways where they do not go.
async fn check_reach(api: &Api, name: &Slug, edit: &EditProvider) -> Result<(), Problem> {
    let Some(now) = api.store.provider(name.as_str()).await? else { return Ok(()) };
    let before = Target {
        cluster: now.cluster.as_deref(),
        url: &now.base_url,
        has_credential: now.sealed_credential.is_some(),
        enabled: now.enabled,
    };
    let EditProvider { base_url, credential, cluster, enabled, .. } = edit;
    let after = Target {
        cluster: cluster.as_ref().map_or(before.cluster, Option::as_deref),
        url: base_url.as_deref().unwrap_or(before.url),
        has_credential: credential.as_ref().map_or(before.has_credential, Option::is_some),
        enabled: enabled.unwrap_or(before.enabled),
    };
    after.check_edit(api, "base_url", before, credential.is_some()).await
}

/// Removes a provider that no model and no app refers to.
#[utoipa::path(delete, path = "/api/v1/providers/{name}", tag = "providers", operation_id = "delete_provider",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(name): Path<Slug>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    providers::delete(&mut tx, api.context(&actor), name.as_str()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
