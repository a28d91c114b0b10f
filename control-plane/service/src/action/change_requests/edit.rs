//! What users may ask for, in the shape of an admin's edit.

use jiff::Timestamp;
use latchkey_core::change_request::Kind;
use latchkey_core::expiry::Lifetime;
use latchkey_core::guardrails::GuardrailSettings;
use latchkey_core::identity::IdentitySettings;
use latchkey_core::limits::{EditLimits, given, nullable};
use latchkey_core::mcp::McpArgumentRule;
use latchkey_core::name::Name;
use latchkey_core::selection::Selection;
use latchkey_core::settings::AppSettings;
use latchkey_store::Tx;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::action::Refusal;
use crate::action::apps::edit::EditApp;
use crate::action::content::CustomCategories;
use crate::action::prompts::{NewPrompt, NewPromptVersion, PromptEdit};

/// What is asked for, by kind. What an edit does not name stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum RequestedEdit {
    /// `update_config`
    Config(Box<AskConfig>),
    /// `set_tags`
    Tags(AskTags),
    /// `jwt_auth_settings`
    Identity(AskIdentity),
    /// `custom_categories`
    Categories(CustomCategories),
    /// `prompt_store`
    Prompt(AskPrompt),
}

/// What to change of an app with `update_config`. An app's name, mode, metadata, self-service settings,
/// and whether it keeps key values, are its admins' alone.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskConfig {
    /// When it and its keys stop; null for never.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Option<Timestamp>>,
    /// The same, as a lifetime that counts from the request.
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
    /// What each named key may use that has no limits of its own.
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

/// Another list of tags.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskTags {
    /// Labels; replaced as a whole.
    pub tags: Vec<String>,
}

/// Another way to recognise users.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskIdentity {
    /// Replaced as a whole.
    pub identity: IdentitySettings,
}

/// A change of one prompt.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskPrompt {
    /// Add this one.
    Create(NewPrompt),
    /// Add a version to one.
    AddVersion(AskPromptVersion),
    /// Set a label of one to a version.
    SetLabel(AskPromptLabel),
    /// Remove a label of one.
    RemoveLabel(AskPromptLabelRemoval),
    /// Remove the one of this name.
    Delete(String),
}

/// A further version of a prompt.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskPromptVersion {
    /// Of the prompt.
    pub name: String,
    /// Another text than that of the newest version: 1 to 32768 characters.
    pub text: String,
    /// Labels to set to this version.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// A label of a prompt, and where it is set.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskPromptLabel {
    /// Of the prompt.
    pub name: String,
    /// Which label.
    pub label: String,
    /// The number of one of the prompt's versions.
    pub version: u32,
}

/// A label of a prompt that is to go.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskPromptLabelRemoval {
    /// Of the prompt.
    pub name: String,
    /// Which label.
    pub label: String,
}

impl AskPrompt {
    /// The edit, and the member of what was asked that it comes from.
    fn edit(self) -> (PromptEdit, &'static str) {
        match self {
            Self::Create(new) => (PromptEdit::Create(new), "create"),
            Self::AddVersion(AskPromptVersion { name, text, labels }) => {
                let new = NewPromptVersion { text, labels };
                (PromptEdit::AddVersion { name, new }, "add_version")
            }
            Self::SetLabel(AskPromptLabel { name, label, version }) => {
                (PromptEdit::SetLabel { name, label, version }, "set_label")
            }
            Self::RemoveLabel(AskPromptLabelRemoval { name, label }) => {
                (PromptEdit::RemoveLabel { name, label }, "remove_label")
            }
            Self::Delete(name) => (PromptEdit::Delete(name), "delete"),
        }
    }
}

/// An edit that was read.
#[derive(Clone, Debug)]
pub enum ParsedEdit {
    App(Box<EditApp>),
    Categories(CustomCategories),
    Prompt(AskPrompt),
}

impl ParsedEdit {
    /// Reads the edit of a kind.
    ///
    /// # Errors
    /// A field that is wrong, or that this kind may not touch.
    pub fn parse(kind: Kind, edit: &Value) -> Result<Self, Refusal> {
        let app = |edit| Self::App(Box::new(edit));
        Ok(match kind {
            Kind::UpdateConfig => app(part::<AskConfig>(edit)?.into()),
            Kind::SetTags => app(part::<AskTags>(edit)?.into()),
            Kind::JwtAuthSettings => app(part::<AskIdentity>(edit)?.into()),
            Kind::CustomCategories => Self::Categories(part(edit)?),
            Kind::PromptStore => Self::Prompt(part(edit)?),
        })
    }

    /// The same with keyed hashes in the place of values that are kept nowhere.
    ///
    /// # Errors
    /// A value cannot be looked for, or is to be taken off a list that does not have it.
    pub(super) async fn hashed(self, tx: &mut Tx, app: Uuid) -> Result<Self, Refusal> {
        Ok(match self {
            Self::Categories(categories) => Self::Categories(categories.hashed(tx, app).await?),
            Self::App(_) | Self::Prompt(_) => self,
        })
    }

    /// Makes the edit.
    ///
    /// # Errors
    /// It does not fit the app; paths are within the edit.
    pub(super) fn apply(
        self,
        name: &mut Name,
        settings: &mut AppSettings,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        match self {
            Self::App(edit) => edit.apply(name, settings, now),
            Self::Categories(CustomCategories { custom_categories }) => {
                settings.custom_categories = custom_categories;
                Ok(())
            }
            Self::Prompt(ask) => {
                let (edit, member) = ask.edit();
                edit.apply(settings).map_err(|refusal| match refusal {
                    // What was asked for is wrong, and not where it was sent.
                    Refusal::NotFound(what) => {
                        let field = match (member, what) {
                            ("delete", _) => "",
                            (_, "label") => ".label",
                            _ => ".name",
                        };
                        let message = format!("the app has no {what} of this name");
                        Refusal::field(&[member, field].concat(), message)
                    }
                    refusal => refusal.within(member),
                })
            }
        }
    }
}

/// Reads the body's member `edit`; an error names the field.
fn part<T: DeserializeOwned>(json: &Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "edit".to_owned() } else { format!("edit.{path}") };
        Refusal::field(&path, error.into_inner())
    })
}

impl From<AskConfig> for EditApp {
    fn from(ask: AskConfig) -> Self {
        let AskConfig {
            expires_at,
            expires_in,
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
            require_conversation_id,
            guardrails,
            prompt_required,
        } = ask;
        Self {
            expires_at,
            expires_in,
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
            require_conversation_id,
            guardrails,
            prompt_required,
            ..Self::default()
        }
    }
}

impl From<AskTags> for EditApp {
    fn from(ask: AskTags) -> Self {
        Self { tags: Some(ask.tags), ..Self::default() }
    }
}

impl From<AskIdentity> for EditApp {
    fn from(ask: AskIdentity) -> Self {
        Self { identity: Some(ask.identity), ..Self::default() }
    }
}
