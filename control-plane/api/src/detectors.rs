//! `/api/v1/detectors`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::detector::{USUAL_TEXT_BYTES, USUAL_TIMEOUT_MS};
use latchkey_core::name::Slug;
use latchkey_service::action::upstreams::{EditDetectorProtocol, EditUpstream, NewUpstream};
use latchkey_store::upstreams::{Detector, DetectorProtocol};
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

/// An external detector: a model of your own behind HTTP, which judges the texts of requests for guardrails.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DetectorView {
    /// Unique; it cannot be changed. Guardrail rules of the category `external` name it.
    pub name: Slug,
    /// To which texts are sent, such as `https://detector.example.com/judge`.
    pub url: String,
    /// How long a request waits for its answer, in milliseconds.
    pub timeout_ms: u32,
    /// How much text of one request it is sent, in bytes.
    pub max_text_bytes: u32,
    /// Whether a credential is stored. The credential itself is never shown.
    pub has_credential: bool,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// Whether Latchkey runs that cluster; otherwise your own Envoy configuration does.
    pub managed_cluster: bool,
    /// Whether it is asked. While it is not, rules that name it do what their `on_failure` says.
    pub enabled: bool,
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

/// An external detector to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDetector {
    /// Unique: lower-case letters, digits, `-` and `_`.
    pub name: Slug,
    /// To which texts are sent, such as `https://detector.example.com/judge`.
    pub url: String,
    /// How long a request waits for its answer, in milliseconds: 10 to 5000, 500 by default.
    #[serde(default = "usual_timeout_ms")]
    pub timeout_ms: u32,
    /// How much text of one request it is sent, in bytes: 1024 to 1048576, 65536 by default. What is beyond is not
    /// sent, and counts as not looked at.
    #[serde(default = "usual_text_bytes")]
    pub max_text_bytes: u32,
    /// What it knows us by, sent as a bearer token; stored encrypted, never shown.
    #[schema(value_type = Option<String>, write_only)]
    pub credential: Option<SecretString>,
    /// The name of a cluster that your own Envoy configuration brings, with its credential.
    pub cluster: Option<String>,
    /// Whether it is asked: true by default.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

/// What to change of an external detector.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditDetector {
    /// To which texts are sent.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub url: Option<String>,
    /// How long a request waits for its answer, in milliseconds: 10 to 5000.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = u32)]
    pub timeout_ms: Option<u32>,
    /// How much text of one request it is sent, in bytes: 1024 to 1048576.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = u32)]
    pub max_text_bytes: Option<u32>,
    /// What it knows us by; null for nothing.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, write_only)]
    pub credential: Option<Option<SecretString>>,
    /// The name of a cluster that your own Envoy configuration brings; null has Latchkey run one.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub cluster: Option<Option<String>>,
    /// Whether it is asked.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub enabled: Option<bool>,
}

fn enabled() -> bool {
    true
}

fn usual_timeout_ms() -> u32 {
    USUAL_TIMEOUT_MS
}

fn usual_text_bytes() -> u32 {
    USUAL_TEXT_BYTES
}

impl From<NewDetector> for NewUpstream<DetectorProtocol> {
    fn from(new: NewDetector) -> Self {
        let NewDetector { name, url, timeout_ms, max_text_bytes, credential, cluster, enabled } = new;
        let protocol = DetectorProtocol { timeout_ms, max_text_bytes };
        Self { name, url, credential, cluster, enabled, protocol }
    }
}

impl From<EditDetector> for EditUpstream<DetectorProtocol> {
    fn from(edit: EditDetector) -> Self {
        let EditDetector { url, timeout_ms, max_text_bytes, credential, cluster, enabled } = edit;
        let protocol = EditDetectorProtocol { timeout_ms, max_text_bytes };
        Self { url, credential, cluster, enabled, protocol }
    }
}

impl UpstreamResource for DetectorProtocol {
    type View = DetectorView;
    type NewBody = NewDetector;
    type EditBody = EditDetector;

    fn view(detector: Detector, out_of_reach: Option<String>) -> DetectorView {
        let DetectorProtocol { timeout_ms, max_text_bytes } = detector.protocol;
        DetectorView {
            cluster: detector.cluster_name(),
            managed_cluster: detector.cluster.is_none(),
            has_credential: detector.sealed_credential.is_some(),
            name: detector.name,
            url: detector.url,
            timeout_ms,
            max_text_bytes,
            enabled: detector.enabled,
            out_of_reach,
            created_at: detector.created_at,
            updated_at: detector.updated_at,
        }
    }
}

/// Lists every external detector, oldest first.
#[utoipa::path(get, path = "/api/v1/detectors", tag = "detectors", operation_id = "list_detectors",
    security(("token" = [])), responses((status = 200, body = ListPage<DetectorView>), (status = "4XX", body = Problem)))]
pub async fn list(_: ReaderGuard, State(api): State<Api>) -> Result<ListPage<DetectorView>, Problem> {
    upstreams::list::<DetectorProtocol>(&api).await
}

/// Adds an external detector.
#[utoipa::path(post, path = "/api/v1/detectors", tag = "detectors", operation_id = "create_detector",
    request_body = NewDetector, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = DetectorView), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewDetector>>,
) -> Result<Answered<DetectorView>, Problem> {
    upstreams::create::<DetectorProtocol>(&api, &actor, new).await
}

/// Shows an external detector, without its credential.
#[utoipa::path(get, path = "/api/v1/detectors/{name}", tag = "detectors", operation_id = "read_detector",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 200, body = DetectorView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
) -> Result<Tagged<DetectorView>, Problem> {
    Ok(Tagged::of(upstreams::view::<DetectorProtocol>(&api, upstreams::find(&api, &name).await?)))
}

/// Edits an external detector. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/detectors/{name}", tag = "detectors", operation_id = "update_detector",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = EditDetector,
    security(("token" = [])), responses((status = 200, body = DetectorView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditDetector>,
) -> Result<Tagged<DetectorView>, Problem> {
    let edited = upstreams::update::<DetectorProtocol>(&api, &actor, &name, &if_match, edit).await?;
    Ok(Tagged::of(upstreams::view(&api, edited)))
}

/// Removes an external detector that no app's guardrails name.
#[utoipa::path(delete, path = "/api/v1/detectors/{name}", tag = "detectors", operation_id = "delete_detector",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
) -> Result<StatusCode, Problem> {
    upstreams::delete::<DetectorProtocol>(&api, &actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
