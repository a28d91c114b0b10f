//! How apps are written.

use jiff::Timestamp;
use latchkey_core::distinct;
use latchkey_core::expiry::{self, Lifetime, expiration};
use latchkey_core::guardrails::{GuardrailSettings, check_trials};
use latchkey_core::identity::IdentitySettings;
use latchkey_core::limits::{EditLimits, Limits, given, nullable};
use latchkey_core::mcp::McpArgumentRule;
use latchkey_core::name::Name;
use latchkey_core::selection::Selection;
use latchkey_core::settings::{AppSettings, CredentialMode};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::action::Refusal;

/// An app to create.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    /// What people see: 1 to 100 characters.
    pub name: Name,
    /// Which credential opens it.
    #[serde(default)]
    pub mode: CredentialMode,
    /// When it and its keys stop.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The same, as a lifetime.
    pub expires_in: Option<Lifetime>,
    /// Names of providers.
    #[serde(default)]
    pub allowed_providers: Selection,
    /// Names of models; `*` stands for any run of characters.
    #[serde(default)]
    pub allowed_models: Selection,
    /// MCP servers by name, and single tools as `server/tool`; `*` in a tool stands for any run of characters.
    #[serde(default)]
    pub mcp_scope: Selection,
    /// What the arguments of calls of MCP tools must be; all rules of a tool hold.
    #[serde(default)]
    pub mcp_argument_rules: Vec<McpArgumentRule>,
    /// Names of routing groups, which clients ask for as the model.
    #[serde(default = "Selection::none")]
    pub routing_groups: Selection,
    /// Whether clients may choose a target of a group with `x-latchkey-target: provider/model`.
    #[serde(default)]
    pub target_header: bool,
    /// Addresses and CIDR ranges; null for any.
    pub ip_allow_list: Option<Vec<String>>,
    /// What all its keys may use together.
    #[serde(default)]
    pub limits: EditLimits,
    /// What each named key may use that has no limits of its own: within the app's.
    #[serde(default)]
    pub named_key_limits: EditLimits,
    /// Whose days, weeks and months budgets follow: an IANA name, UTC by default.
    pub time_zone: Option<String>,
    /// At which percentages of a budget an event is written: 50, 80 and 100 by default.
    pub alert_thresholds: Option<Vec<u8>>,
    /// Free JSON, kept with the app.
    #[serde(default, deserialize_with = "distinct::map")]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether key values are kept, encrypted, to be seen again.
    #[serde(default)]
    pub keep_key_values: bool,
    /// How the user behind a request is learnt, where the key does not say.
    #[serde(default)]
    pub identity: IdentitySettings,
    /// Whether requests without an `X-Conversation-Id` are refused.
    #[serde(default)]
    pub require_conversation_id: bool,
    /// What is looked for in requests and answers, and what is done about it; nothing by default.
    #[serde(default)]
    pub guardrails: GuardrailSettings,
    /// Whether system, developer and `instructions` texts must be references to the app's prompts and nothing else.
    #[serde(default)]
    pub prompt_required: bool,
}

/// What to change of an app.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditApp {
    /// What people see.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Name)]
    pub name: Option<Name>,
    /// Which credential opens it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = CredentialMode)]
    pub mode: Option<CredentialMode>,
    /// When it and its keys stop; null for never.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Option<Timestamp>>,
    /// The same, as a lifetime from now.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Lifetime)]
    pub expires_in: Option<Lifetime>,
    /// Names of providers.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Selection)]
    pub allowed_providers: Option<Selection>,
    /// Names of models.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Selection)]
    pub allowed_models: Option<Selection>,
    /// MCP servers by name, and single tools as `server/tool`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Selection)]
    pub mcp_scope: Option<Selection>,
    /// What the arguments of calls of MCP tools must be; replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<McpArgumentRule>)]
    pub mcp_argument_rules: Option<Vec<McpArgumentRule>>,
    /// Names of routing groups, which clients ask for as the model.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Selection)]
    pub routing_groups: Option<Selection>,
    /// Whether clients may choose a target of a group with `x-latchkey-target: provider/model`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub target_header: Option<bool>,
    /// Addresses and CIDR ranges; null for any.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>)]
    pub ip_allow_list: Option<Option<Vec<String>>>,
    /// What all its keys may use together: what is not named stays; null lifts all of them.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<EditLimits>)]
    pub limits: Option<Option<EditLimits>>,
    /// What each named key may use that has no limits of its own: as `limits`, and within those.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<EditLimits>)]
    pub named_key_limits: Option<Option<EditLimits>>,
    /// Whose days, weeks and months budgets follow: an IANA name.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub time_zone: Option<String>,
    /// At which percentages of a budget an event is written; replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<u8>)]
    pub alert_thresholds: Option<Vec<u8>>,
    /// Free JSON; replaced as a whole.
    #[serde(default, deserialize_with = "metadata")]
    #[schema(value_type = Object)]
    pub metadata: Option<Map<String, Value>>,
    /// Labels; replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<String>)]
    pub tags: Option<Vec<String>>,
    /// Whether key values are kept. Turning it off forgets those that were.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub keep_key_values: Option<bool>,
    /// How the user behind a request is learnt; replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = IdentitySettings)]
    pub identity: Option<IdentitySettings>,
    /// Whether requests without an `X-Conversation-Id` are refused.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub require_conversation_id: Option<bool>,
    /// What is looked for in requests and answers, and what is done about it; replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = GuardrailSettings)]
    pub guardrails: Option<GuardrailSettings>,
    /// Whether system, developer and `instructions` texts must be references to the app's prompts and nothing else.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub prompt_required: Option<bool>,
}

fn metadata<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Map<String, Value>>, D::Error> {
    distinct::map(json).map(Some)
}

impl NewApp {
    /// The name and settings that are asked for at `now`.
    ///
    /// # Errors
    /// An expiration in the past, or two, or a trial of a rule that is over.
    pub(super) fn settings(self, now: Timestamp) -> Result<(Name, AppSettings), Refusal> {
        let expires_at = expiration(self.expires_at, self.expires_in, now)?;
        let default = AppSettings::default();
        check_trials(&default.guardrails, &self.guardrails, now)?;
        let settings = AppSettings {
            mode: self.mode,
            expires_at,
            allowed_providers: self.allowed_providers,
            allowed_models: self.allowed_models,
            mcp_scope: self.mcp_scope,
            mcp_argument_rules: self.mcp_argument_rules,
            routing_groups: self.routing_groups,
            target_header: self.target_header,
            ip_allow_list: self.ip_allow_list,
            limits: self.limits.alone(),
            named_key_limits: self.named_key_limits.alone(),
            time_zone: self.time_zone.unwrap_or(default.time_zone),
            alert_thresholds: self.alert_thresholds.unwrap_or(default.alert_thresholds),
            metadata: self.metadata,
            tags: self.tags,
            keep_key_values: self.keep_key_values,
            identity: self.identity,
            require_conversation_id: self.require_conversation_id,
            guardrails: self.guardrails,
            prompt_required: self.prompt_required,
            ..default
        };
        Ok((self.name, settings))
    }
}

impl EditApp {
    /// Makes the edit.
    ///
    /// # Errors
    /// An expiration in the past, or two, or a trial of a rule that is over.
    pub(in crate::action) fn apply(
        self,
        name: &mut Name,
        settings: &mut AppSettings,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        replace(&mut settings.expires_at, expiry::edited(self.expires_at, self.expires_in, now)?);
        if let Some(guardrails) = &self.guardrails {
            check_trials(&settings.guardrails, guardrails, now)?;
        }
        replace(name, self.name);
        replace(&mut settings.mode, self.mode);
        replace(&mut settings.allowed_providers, self.allowed_providers);
        replace(&mut settings.allowed_models, self.allowed_models);
        replace(&mut settings.mcp_scope, self.mcp_scope);
        replace(&mut settings.mcp_argument_rules, self.mcp_argument_rules);
        replace(&mut settings.routing_groups, self.routing_groups);
        replace(&mut settings.target_header, self.target_header);
        replace(&mut settings.ip_allow_list, self.ip_allow_list);
        merge(&mut settings.limits, self.limits);
        merge(&mut settings.named_key_limits, self.named_key_limits);
        replace(&mut settings.time_zone, self.time_zone);
        replace(&mut settings.alert_thresholds, self.alert_thresholds);
        replace(&mut settings.metadata, self.metadata);
        replace(&mut settings.tags, self.tags);
        replace(&mut settings.keep_key_values, self.keep_key_values);
        replace(&mut settings.identity, self.identity);
        replace(&mut settings.require_conversation_id, self.require_conversation_id);
        replace(&mut settings.guardrails, self.guardrails);
        replace(&mut settings.prompt_required, self.prompt_required);
        Ok(())
    }
}

fn replace<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}

fn merge(limits: &mut Limits, edit: Option<Option<EditLimits>>) {
    match edit {
        None => {}
        Some(None) => *limits = Limits::default(),
        Some(Some(edit)) => *limits = edit.apply(std::mem::take(limits)),
    }
}
