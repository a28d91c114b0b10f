//! `/api/v1/providers`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::name::Slug;
use latchkey_core::provider::{Dialect, DialectEdit, OutputLimit, ProviderKind};
use latchkey_service::action::upstreams::{EditModelProtocol, EditUpstream, NewUpstream};
use latchkey_store::upstreams::{ModelProtocol, Protocol as _, Provider};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams, given, nullable};
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::precondition::{IfMatch, Tagged};
use super::problem::Problem;
use super::upstreams::{self, UpstreamResource};

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
    /// The Envoy cluster that reaches it for routing groups; null until it is a target of one. It is run by the
    /// same side as `cluster`.
    pub group_cluster: Option<String>,
    /// Whether Latchkey runs these clusters; otherwise your own Envoy configuration does.
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

impl From<NewProvider> for NewUpstream<ModelProtocol> {
    fn from(new: NewProvider) -> Self {
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
        let protocol = ModelProtocol { kind, dialect, idle_timeout_seconds, group_slot: None };
        Self { name, url: base_url, credential, cluster, enabled, protocol }
    }
}

impl From<EditProvider> for EditUpstream<ModelProtocol> {
    fn from(edit: EditProvider) -> Self {
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
        let protocol = EditModelProtocol { kind, dialect, idle_timeout_seconds };
        Self { url: base_url, credential, cluster, enabled, protocol }
    }
}

impl UpstreamResource for ModelProtocol {
    type View = ProviderView;
    type NewBody = NewProvider;
    type EditBody = EditProvider;

    fn view(provider: Provider, out_of_reach: Option<String>) -> ProviderView {
        ProviderView {
            cluster: provider.cluster_name(),
            group_cluster: provider.protocol.group_cluster(),
            managed_cluster: provider.cluster.is_none(),
            has_credential: provider.sealed_credential.is_some(),
            name: provider.name,
            kind: provider.protocol.kind,
            base_url: provider.url,
            output_limit: provider.protocol.dialect.output_limit,
            stream_options: provider.protocol.dialect.stream_options,
            enabled: provider.enabled,
            idle_timeout_seconds: provider.protocol.idle_timeout_seconds,
            out_of_reach,
            created_at: provider.created_at,
            updated_at: provider.updated_at,
        }
    }
}

/// Lists every provider, oldest first.
#[utoipa::path(get, path = "/api/v1/providers", tag = "providers", operation_id = "list_providers",
    security(("token" = [])), responses((status = 200, body = ListPage<ProviderView>), (status = "4XX", body = Problem)))]
pub async fn list(_: ReaderGuard, State(api): State<Api>) -> Result<ListPage<ProviderView>, Problem> {
    upstreams::list::<ModelProtocol>(&api).await
}

/// Adds a provider.
#[utoipa::path(post, path = "/api/v1/providers", tag = "providers", operation_id = "create_provider",
    request_body = NewProvider, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = ProviderView), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewProvider>>,
) -> Result<Answered<ProviderView>, Problem> {
    upstreams::create::<ModelProtocol>(&api, &actor, new).await
}

/// Shows a provider, without its credential.
#[utoipa::path(get, path = "/api/v1/providers/{name}", tag = "providers", operation_id = "read_provider",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 200, body = ProviderView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
) -> Result<Tagged<ProviderView>, Problem> {
    Ok(Tagged::of(upstreams::view::<ModelProtocol>(&api, upstreams::find(&api, &name).await?)))
}

/// Edits a provider. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/providers/{name}", tag = "providers", operation_id = "update_provider",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = EditProvider,
    security(("token" = [])), responses((status = 200, body = ProviderView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditProvider>,
) -> Result<Tagged<ProviderView>, Problem> {
    let edited = upstreams::update::<ModelProtocol>(&api, &actor, &name, &if_match, edit).await?;
    Ok(Tagged::of(upstreams::view(&api, edited)))
}

/// Removes a provider that no model and no app refers to.
#[utoipa::path(delete, path = "/api/v1/providers/{name}", tag = "providers", operation_id = "delete_provider",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
) -> Result<StatusCode, Problem> {
    upstreams::delete::<ModelProtocol>(&api, &actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
