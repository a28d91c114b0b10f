//! `/api/v1/me/apps/{id}/settings`, `/api/v1/me/apps/{id}/change-requests/preview`: what one looks at
//! before one asks for a change.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use latchkey_core::change::Configuration;
use latchkey_core::change_request::Kind;
use latchkey_core::content::CustomCategory;
use latchkey_core::distinct;
use latchkey_core::guardrails::GuardrailSettings;
use latchkey_core::identity::IdentitySettings;
use latchkey_core::limits::Limits;
use latchkey_core::mcp::McpArgumentRule;
use latchkey_core::selection::Selection;
use latchkey_core::settings::AppSettings;
use latchkey_service::action::change_requests::edit::{ParsedEdit, RequestedEdit};
use latchkey_service::action::change_requests::submit::{self, ChangeDraft};
use latchkey_service::action::{Refusal, my_keys};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::mine::own;
use crate::Api;
use crate::auth::Person;
use crate::body::{JsonBody, PathParams, Query};
use crate::problem::Problem;
use crate::prompts::PromptView;
use crate::versions::FieldChange;

/// What users may ask to change of an app.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyAppSettings {
    /// The app's newest version.
    pub version: i64,
    /// When it and its keys stop; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Names of providers.
    pub allowed_providers: Selection,
    /// Names of models; `*` stands for any run of characters.
    pub allowed_models: Selection,
    /// MCP servers by name, and single tools as `server/tool`; `*` in a tool stands for any run of characters.
    pub mcp_scope: Selection,
    /// What the arguments of calls of MCP tools must be; all rules of a tool hold.
    pub mcp_argument_rules: Vec<McpArgumentRule>,
    /// Names of routing groups, which clients ask for as the model.
    pub routing_groups: Selection,
    /// Whether clients may choose a target of a group with `x-latchkey-target: provider/model`.
    pub target_header: bool,
    /// Ranges of client addresses; null for any.
    pub ip_allow_list: Option<Vec<String>>,
    /// What all its keys may use together; what is absent is not limited.
    pub limits: Limits,
    /// What each named key may use that has no limits of its own.
    pub named_key_limits: Limits,
    /// Whose days, weeks and months budgets follow: an IANA name.
    pub time_zone: String,
    /// At which percentages of a budget an event is written.
    pub alert_thresholds: Vec<u8>,
    /// Whether requests without an `X-Conversation-Id` are refused.
    pub require_conversation_id: bool,
    /// What is looked for in requests and answers, and what is done about it.
    pub guardrails: GuardrailSettings,
    /// Whether system, developer and `instructions` texts must be references to the app's prompts and nothing else.
    pub prompt_required: bool,
    /// Labels.
    pub tags: Vec<String>,
    /// How the user behind a request is learnt, where the key does not say.
    pub identity: IdentitySettings,
    /// Its own categories of content.
    pub custom_categories: Vec<CustomCategory>,
    /// Its prompts.
    pub prompts: Vec<PromptView>,
}

/// As what to show them.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SettingsQuery {
    /// As they would be now with what this change request of one's own asked for.
    pub change_request: Option<Uuid>,
}

/// A change that one may ask for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPreview {
    /// What is to be changed.
    pub kind: Kind,
    /// How, in the shape of that kind.
    #[serde(deserialize_with = "distinct::value")]
    #[schema(value_type = RequestedEdit)]
    pub edit: Value,
}

/// What a change request would ask for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChangePreview {
    /// The app's newest version; give it with the request, so that it asks for this and nothing else.
    pub base_version: i64,
    /// Each field that it touches: the value now, and the one asked for.
    pub changes: Vec<FieldChange>,
}

/// Shows what one may ask to change of an app.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/settings", tag = "me", operation_id = "read_my_app_settings",
    params(("id" = Uuid, Path), SettingsQuery),
    security(("token" = [])), responses((status = 200, body = MyAppSettings), (status = "4XX", body = Problem)))]
pub async fn settings(
    Person { user, .. }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<SettingsQuery>,
) -> Result<Json<MyAppSettings>, Problem> {
    // Read first, so that whoever gives it with a request has seen nothing newer.
    let version = api.store.newest_version(id).await?;
    let (app, member) = my_keys::viewed(&api.store, user.id, id).await?;
    submit::refuse_without_access(&app, &member)?;
    let Some(request) = query.change_request else {
        return Ok(Json(MyAppSettings::new(version, app.settings)));
    };
    let request = own(&api, user.id, request).await?;
    if request.app_id != id {
        return Err(Refusal::NotFound("change request").into());
    }
    let wanted = Configuration::of(&app.name, &app.settings).with(&request.changes).into_parts();
    let (_, settings) = wanted.map_err(|_| {
        Refusal::conflict(
            "no_longer_fits",
            "the requested change no longer fits the settings: submit a new request",
        )
    })?;
    Ok(Json(MyAppSettings::new(version, settings)))
}

/// Shows what a change request would ask for, and submits none. It is refused as the request would be.
#[utoipa::path(post, path = "/api/v1/me/apps/{id}/change-requests/preview", tag = "me",
    operation_id = "preview_change_request", params(("id" = Uuid, Path)), request_body = NewPreview,
    security(("token" = [])), responses((status = 200, body = ChangePreview), (status = "4XX", body = Problem)))]
pub async fn preview(
    Person { user, .. }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(NewPreview { kind, edit }): JsonBody<NewPreview>,
) -> Result<Json<ChangePreview>, Problem> {
    let edit = ParsedEdit::parse(kind, &edit)?;
    let mut tx = api.store.begin().await?;
    let draft = submit::draft(&mut tx, &api.world, user.id, id, kind, edit).await;
    tx.abandon().await?;
    let ChangeDraft { base_version, changes, .. } = draft?;
    Ok(Json(ChangePreview { base_version, changes: changes.into_iter().map(FieldChange::from).collect() }))
}

impl MyAppSettings {
    /// Those of an app's settings, which are of its version of this number.
    #[must_use]
    pub fn new(version: i64, settings: AppSettings) -> Self {
        Self {
            version,
            expires_at: settings.expires_at,
            allowed_providers: settings.allowed_providers,
            allowed_models: settings.allowed_models,
            mcp_scope: settings.mcp_scope,
            mcp_argument_rules: settings.mcp_argument_rules,
            routing_groups: settings.routing_groups,
            target_header: settings.target_header,
            ip_allow_list: settings.ip_allow_list,
            limits: settings.limits,
            named_key_limits: settings.named_key_limits,
            time_zone: settings.time_zone,
            alert_thresholds: settings.alert_thresholds,
            require_conversation_id: settings.require_conversation_id,
            guardrails: settings.guardrails,
            prompt_required: settings.prompt_required,
            tags: settings.tags,
            identity: settings.identity,
            custom_categories: settings.custom_categories,
            prompts: settings.prompts.into_iter().map(PromptView::from).collect(),
        }
    }
}
