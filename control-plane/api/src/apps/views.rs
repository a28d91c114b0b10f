//! How apps look from outside.

use jiff::Timestamp;
use latchkey_core::guardrails::GuardrailSettings;
use latchkey_core::identity::IdentitySettings;
use latchkey_core::limits::Limits;
use latchkey_core::mcp::McpArgumentRule;
use latchkey_core::name::{Name, deserialize_stored};
use latchkey_core::rotation::Grace;
use latchkey_core::selection::Selection;
use latchkey_core::settings::{AppSettings, CredentialMode};
use latchkey_core::status::Standing;
use latchkey_service::action::apps::save::SavedApp;
use latchkey_service::action::{Issued, Refusal};
use latchkey_service::gateways::propagation::Propagation;
use latchkey_store::apps::{App, AppOrder};
use latchkey_store::keys::Key;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::pagination::PageQuery;

/// Which apps.
#[derive(Clone, Debug, Default, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AppQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only apps whose name holds this, in any case, or one of whose keys ends with it: its last 4 characters,
    /// with or without `…` before them.
    #[param(max_length = 200)]
    pub search: Option<String>,
    /// Only apps that are so now.
    pub status: Option<Standing>,
    /// In which order: `oldest` by default.
    pub sort: Option<AppOrder>,
}

impl AppQuery {
    /// The first page, as long as one can be.
    #[must_use]
    pub fn most() -> Self {
        Self { limit: PageQuery::most().limit, ..Self::default() }
    }
}

/// An app.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct AppView {
    /// Opaque.
    pub id: Uuid,
    /// What people see.
    #[serde(deserialize_with = "deserialize_stored")]
    pub name: Name,
    /// Whether it works.
    pub status: Standing,
    /// Which credential opens it.
    pub mode: CredentialMode,
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
    /// Free JSON, kept with the app.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// Labels.
    pub tags: Vec<String>,
    /// Whether key values are kept, encrypted, to be seen again.
    pub keep_key_values: bool,
    /// How the user behind a request is learnt, where the key does not say.
    pub identity: IdentitySettings,
    /// Whether requests without an `X-Conversation-Id` are refused.
    pub require_conversation_id: bool,
    /// What is looked for in requests and answers, and what is done about it.
    pub guardrails: GuardrailSettings,
    /// Whether system, developer and `instructions` texts must be references to the app's prompts and nothing else.
    pub prompt_required: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The app's own key; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<AppKeyView>,
}

/// An app's own key.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct AppKeyView {
    /// Opaque; it stays when the secret is rotated.
    pub id: Uuid,
    /// What it is recognized by: `sk-quilr-…` and the last 4 characters of its value. Null for a key of an
    /// earlier version whose value is not stored, until it is rotated.
    pub masked: Option<String>,
    /// What the client presents; only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// When its secret was last replaced.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rotated_at: Option<Timestamp>,
    /// When the replaced secret stops or stopped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_secret_stops_at: Option<Timestamp>,
    /// What the replaced secret is recognized by, as `masked`; null where there is none, or it is not known.
    pub old_secret_masked: Option<String>,
}

/// How to rotate.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// For how long the old secret still works: 0 (the default) to 2592000 seconds (30 days).
    #[serde(default)]
    pub grace_seconds: u32,
}

impl Rotate {
    /// How long the old secret works on.
    ///
    /// # Errors
    /// Longer than it may.
    pub(crate) fn grace(self) -> Result<Grace, Refusal> {
        Grace::seconds(self.grace_seconds).map_err(|error| Refusal::field("grace_seconds", error))
    }
}

/// A key with its new secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Reissued<K> {
    pub key: K,
}

/// The same, and how far the secret has come.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Rotated<K> {
    /// The key.
    pub key: K,
    /// Which gateways have applied it.
    pub propagation: Propagation,
}

/// What was made, and how far it has come.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Created<T> {
    /// The app or key.
    #[serde(flatten)]
    pub item: T,
    /// Which gateways know it.
    pub propagation: Propagation,
}

/// What was switched, and how far that has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Switched<T> {
    /// The app or key as it is now.
    #[serde(flatten)]
    pub item: T,
    /// Which gateways have applied it.
    pub propagation: Propagation,
}

/// What was deleted, and how far that has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// Which gateways have applied it.
    pub propagation: Propagation,
}

/// A key's value.
#[derive(Clone, Serialize, ToSchema)]
pub struct KeyValue {
    /// What the client presents.
    pub value: String,
}

impl From<SecretString> for KeyValue {
    fn from(value: SecretString) -> Self {
        Self { value: value.expose_secret().to_owned() }
    }
}

impl AppView {
    /// The view of `app` at `now`, without its key.
    #[must_use]
    pub fn new(app: App, now: Timestamp) -> Self {
        let App { id, name, status, settings, created_at, updated_at, revision: _ } = app;
        let AppSettings {
            mode,
            expires_at,
            allowed_providers,
            allowed_models,
            mcp_scope,
            mcp_argument_rules,
            routing_groups,
            target_header,
            ip_allow_list,
            limits,
            named_key_limits,
            time_zone,
            alert_thresholds,
            metadata,
            tags,
            keep_key_values,
            self_service: _,
            identity,
            require_conversation_id,
            guardrails,
            custom_categories: _,
            prompts: _,
            prompt_required,
        } = settings;
        Self {
            id,
            name,
            status: status.standing(expires_at, now),
            mode,
            expires_at,
            allowed_providers,
            allowed_models,
            mcp_scope,
            mcp_argument_rules,
            routing_groups,
            target_header,
            ip_allow_list,
            limits,
            named_key_limits,
            time_zone,
            alert_thresholds,
            metadata,
            tags,
            keep_key_values,
            identity,
            require_conversation_id,
            guardrails,
            prompt_required,
            created_at,
            updated_at,
            key: None,
        }
    }
}

impl AppView {
    /// The view of an app that was just written, with the value of its key where that was replaced.
    #[must_use]
    pub fn saved(saved: SavedApp, now: Timestamp) -> Self {
        let SavedApp { app, issued, version: _ } = saved;
        Self { key: issued.as_ref().map(AppKeyView::issued), ..Self::new(app, now) }
    }
}

impl AppKeyView {
    /// The view of a key, without its value.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self {
            id: key.id,
            masked: key.ending.map(|ending| ending.masked()),
            value: None,
            rotated_at: key.rotated_at,
            old_secret_stops_at: key.retired.map(|retired| retired.at),
            old_secret_masked: key.retired.and_then(|retired| retired.ending).map(|ending| ending.masked()),
        }
    }

    /// The view of a key that was just made.
    #[must_use]
    pub fn issued(issued: &Issued) -> Self {
        Self { value: Some(issued.value.expose_secret().to_owned()), ..Self::new(&issued.key) }
    }
}
