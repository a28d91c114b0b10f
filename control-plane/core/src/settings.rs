//! An app's settings: what its keys may do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::access::SelfService;
use crate::address;
use crate::content::{self, CustomCategory};
use crate::guardrails::{self, GuardrailSettings};
use crate::hidden;
use crate::identity::IdentitySettings;
use crate::invalid::Invalid;
use crate::limits::Limits;
use crate::mcp::{self, McpArgumentRule};
use crate::period;
use crate::prompts::{self, Prompt};
use crate::routing_group;
use crate::selection::Selection;

/// Which credential opens an app at the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialMode {
    /// The app key; it may be shared.
    #[default]
    Shared,
    /// Only a user's own named key.
    Named,
}

/// An app's settings, as they are stored. Those of a newer version may hold more, of an older less:
/// while replicas are upgraded one by one, each reads what the others write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// Which credential opens the app.
    pub mode: CredentialMode,
    /// When the app and all its keys stop; none for never.
    pub expires_at: Option<Timestamp>,
    /// Names of providers.
    pub allowed_providers: Selection,
    /// Names of models; `*` matches any characters.
    pub allowed_models: Selection,
    /// MCP servers by name, and single tools as `server/tool`, in which `*` matches any characters.
    /// Stored settings without one are of a version that knew no MCP: they hold none.
    #[serde(default = "Selection::none")]
    pub mcp_scope: Selection,
    /// What the arguments of calls of MCP tools must be.
    pub mcp_argument_rules: Vec<McpArgumentRule>,
    /// Names of routing groups.
    pub routing_groups: Selection,
    /// Whether clients may choose a target of a group with `x-latchkey-target`.
    pub target_header: bool,
    /// Ranges of client addresses; none for any.
    pub ip_allow_list: Option<Vec<String>>,
    /// What all keys of the app may use together.
    pub limits: Limits,
    /// What each named key may use that has no limits of its own, within the app's.
    pub named_key_limits: Limits,
    /// Whose days, weeks and months budgets follow: an IANA name.
    pub time_zone: String,
    /// At which percentages of a budget, of money or tokens, an event is written, ascending.
    pub alert_thresholds: Vec<u8>,
    /// Free JSON, kept with the app.
    pub metadata: Map<String, Value>,
    /// Labels.
    pub tags: Vec<String>,
    /// Whether key values are kept, encrypted, so that they can be seen again.
    pub keep_key_values: bool,
    /// What users may do by themselves.
    pub self_service: SelfService,
    /// How the user behind a request is learnt.
    pub identity: IdentitySettings,
    /// Whether requests without an `X-Conversation-Id` are refused.
    pub require_conversation_id: bool,
    /// What is looked for in requests and answers.
    pub guardrails: GuardrailSettings,
    /// Categories of content of its own.
    pub custom_categories: Vec<CustomCategory>,
    /// Prompts that it keeps.
    pub prompts: Vec<Prompt>,
    /// Whether system, developer and `instructions` texts must be references to them and nothing else.
    pub prompt_required: bool,
}

/// Whether a text or a name in it has the character U+0000.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Largest metadata, in bytes of JSON.
const LARGEST_METADATA: usize = 16 * 1024;
/// Most entries of any list.
const MOST_ENTRIES: usize = 1000;
const MOST_THRESHOLDS: usize = 20;
const MOST_TAGS: usize = 50;
const LONGEST_TAG: usize = 64;

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            mode: CredentialMode::default(),
            expires_at: None,
            allowed_providers: Selection::default(),
            allowed_models: Selection::default(),
            mcp_scope: Selection::default(),
            mcp_argument_rules: Vec::new(),
            routing_groups: Selection::None,
            target_header: false,
            ip_allow_list: None,
            limits: Limits::default(),
            named_key_limits: Limits::default(),
            time_zone: "UTC".to_owned(),
            alert_thresholds: vec![50, 80, 100],
            metadata: Map::new(),
            tags: Vec::new(),
            keep_key_values: false,
            self_service: SelfService::default(),
            identity: IdentitySettings::default(),
            require_conversation_id: false,
            guardrails: GuardrailSettings::default(),
            custom_categories: Vec::new(),
            prompts: Vec::new(),
            prompt_required: false,
        }
    }
}

impl AppSettings {
    /// The settings in their normal form.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn validated(mut self) -> Result<Self, Invalid> {
        let mut invalid = Invalid::default();
        if let Some(ranges) = self.ip_allow_list.take() {
            self.ip_allow_list = invalid.check("ip_allow_list", not_empty(&ranges)).map(|()| {
                let normal = |(i, range): (usize, &String)| {
                    invalid.check(&format!("ip_allow_list[{i}]"), address::range(range))
                };
                ranges.iter().enumerate().filter_map(normal).collect()
            });
        }
        let selections = [
            ("allowed_models", &self.allowed_models),
            ("allowed_providers", &self.allowed_providers),
            ("mcp_scope", &self.mcp_scope),
            ("routing_groups", &self.routing_groups),
        ];
        for (path, selection) in selections {
            if let Selection::Only(names) = selection {
                invalid.check(path, at_most(names.len(), MOST_ENTRIES));
            }
        }
        mcp::check("mcp_scope", &self.mcp_scope, &mut invalid);
        mcp::check_arguments("mcp_argument_rules", &self.mcp_argument_rules, &mut invalid);
        routing_group::check_names("routing_groups", &self.routing_groups, &mut invalid);
        self.limits.check("limits", &mut invalid);
        self.named_key_limits.check("named_key_limits", &mut invalid);
        if let Err(beyond) = self.named_key_limits.within("named_key_limits", &self.limits, "limits") {
            invalid.0.extend(beyond.0);
        }
        self.identity = self.identity.normal("identity", self.mode, &mut invalid);
        self.self_service.check("self_service.", &mut invalid);
        invalid.check("time_zone", period::zone(&self.time_zone));
        self.alert_thresholds.sort_unstable();
        self.alert_thresholds.dedup();
        invalid.check("alert_thresholds", percentages(&self.alert_thresholds));
        for (i, tag) in self.tags.iter().enumerate() {
            invalid.check(&format!("tags[{i}]"), plain_tag(tag));
        }
        invalid.check("tags", at_most(self.tags.len(), MOST_TAGS));
        self.guardrails.check("guardrails", &self.custom_categories, &mut invalid);
        content::check_categories("custom_categories", &self.custom_categories, &mut invalid);
        prompts::check_prompts("prompts", &self.prompts, &mut invalid);
        self.custom_categories.sort_by(|a, b| a.name.cmp(&b.name));
        self.guardrails.sort();
        self.prompts.sort_by(|a, b| a.name.cmp(&b.name));
        let metadata = Value::Object(self.metadata.clone());
        if has_nul(&metadata) {
            // PostgreSQL does not read it.
            invalid.check::<(), _>("metadata", Err("must not have the character U+0000".to_owned()));
        }
        let size = metadata.to_string().len();
        if size > LARGEST_METADATA {
            invalid.check::<(), _>(
                "metadata",
                Err(format!("is {size} bytes; the maximum is {LARGEST_METADATA}")),
            );
        }
        invalid.into_result().map(|()| self)
    }
}

impl AppSettings {
    /// The same, where other texts of prompts that were there `before` are new versions of these, and what can be
    /// learned from new examples was learned.
    #[must_use]
    pub fn continuing(self, before: &Self) -> Self {
        Self {
            prompts: prompts::continued(&before.prompts, self.prompts),
            custom_categories: content::learned(&before.custom_categories, self.custom_categories),
            ..self
        }
    }

    /// The same of settings that were `before`, where nothing new is set that would change nothing: it would
    /// look as if it did. What was there may stay.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn validated_over(self, before: &Self) -> Result<Self, Invalid> {
        let this = self.continuing(before);
        let mut invalid = Invalid::default();
        let limits = [&this.limits, &this.named_key_limits];
        // A named key may have a budget of its own.
        let has_budget = this.mode == CredentialMode::Named
            || limits.iter().any(|limits| limits.budget.is_some() || limits.token_budget.is_some());
        if this.alert_thresholds != before.alert_thresholds && !has_budget {
            let why = "have no effect without a budget: set a budget, or do not change the thresholds";
            invalid.check::<(), _>("alert_thresholds", Err(why));
        }
        if this.time_zone != before.time_zone && !has_budget {
            let why = "has no effect without a budget: set a budget, or do not change the time zone";
            invalid.check::<(), _>("time_zone", Err(why));
        }
        if this.target_header && !before.target_header && this.routing_groups == Selection::None {
            let why = "has no effect without routing groups: add some to `routing_groups`, or turn it off";
            invalid.check::<(), _>("target_header", Err(why));
        }
        mcp::refuse_arguments_without_effect(
            "mcp_argument_rules",
            &before.mcp_argument_rules,
            &this.mcp_argument_rules,
            &this.mcp_scope,
            &mut invalid,
        );
        guardrails::refuse_without_effect(before, &this, &mut invalid);
        content::refuse_new(before, &this, &mut invalid);
        prompts::refuse_new(before, &this, &mut invalid);
        match this.validated() {
            Ok(settings) => invalid.into_result().map(|()| settings),
            Err(Invalid(mut wrong)) => {
                invalid.0.retain(|error| wrong.iter().all(|known| known.path != error.path));
                wrong.append(&mut invalid.0);
                Err(Invalid(wrong))
            }
        }
    }
}

fn not_empty(ranges: &[String]) -> Result<(), String> {
    if ranges.is_empty() {
        return Err("is empty, which would lock everyone out: use null to allow any address".to_owned());
    }
    at_most(ranges.len(), MOST_ENTRIES)
}

fn percentages(thresholds: &[u8]) -> Result<(), String> {
    if thresholds.iter().all(|threshold| (1..=100).contains(threshold)) {
        return at_most(thresholds.len(), MOST_THRESHOLDS);
    }
    Err("must be percentages from 1 to 100".to_owned())
}

fn at_most(count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("has {count} entries; the maximum is {most}")) } else { Ok(()) }
}

fn plain_tag(tag: &str) -> Result<(), String> {
    if let Some(hidden) = hidden::find(tag) {
        return Err(format!("must not contain the invisible character {hidden}"));
    }
    let fits = (1..=LONGEST_TAG).contains(&tag.chars().count()) && !tag.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(format!("must be 1 to {LONGEST_TAG} characters without control characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let settings = AppSettings {
            ip_allow_list: Some(vec!["10.0.0.1".into(), "nowhere".into()]),
            tags: vec!["ok".into(), String::new()],
            ..AppSettings::default()
        };
        let Invalid(errors) = settings.validated().unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, ["ip_allow_list[1]", "tags[1]"]);
    }

    #[test]
    fn an_empty_allow_list_is_refused_and_none_means_any() {
        let empty = AppSettings { ip_allow_list: Some(vec![]), ..AppSettings::default() };
        assert_eq!(empty.validated().unwrap_err().0[0].path, "ip_allow_list");
        assert_eq!(AppSettings::default().validated().unwrap().ip_allow_list, None);
    }

    #[test]
    fn settings_of_a_version_that_knew_no_mcp_hold_none() {
        let mut stored = serde_json::to_value(AppSettings::default()).unwrap();
        assert_eq!(stored.as_object_mut().unwrap().remove("mcp_scope"), Some("all".into()));
        let read: AppSettings = serde_json::from_value(stored).unwrap();
        assert_eq!(read, AppSettings { mcp_scope: Selection::None, ..AppSettings::default() });
    }

    #[test]
    fn an_app_has_no_routing_group_unless_it_is_given_one() {
        let read: AppSettings = serde_json::from_str("{}").unwrap();
        assert_eq!((&read.routing_groups, read.target_header), (&Selection::None, false));
        let header = AppSettings { target_header: true, ..AppSettings::default() };
        let Invalid(errors) = header.clone().validated_over(&AppSettings::default()).unwrap_err();
        assert_eq!(errors[0].path, "target_header");
        assert!(header.clone().validated_over(&header).is_ok(), "it was there before");
        let with = AppSettings { routing_groups: Selection::All, ..header };
        assert!(with.validated_over(&AppSettings::default()).is_ok());
    }

    #[test]
    fn what_would_change_nothing_is_refused_where_it_is_new() {
        let default = AppSettings::default();
        let odd = AppSettings {
            alert_thresholds: vec![70],
            time_zone: "Europe/Berlin".to_owned(),
            ..AppSettings::default()
        };
        let paths = |settings: &AppSettings, before: &AppSettings| -> Vec<String> {
            let checked = settings.clone().validated_over(before);
            checked.err().into_iter().flat_map(|Invalid(errors)| errors).map(|error| error.path).collect()
        };
        assert_eq!(paths(&odd, &default), ["alert_thresholds", "time_zone"]);
        assert_eq!(paths(&odd, &odd), [""; 0], "it was there before");
        let budget = serde_json::from_value(serde_json::json!({"usd": "1", "per": "day"})).unwrap();
        let limits = Limits { budget: Some(budget), ..Limits::default() };
        assert_eq!(paths(&AppSettings { limits, ..odd.clone() }, &default), [""; 0]);
        let tokens = serde_json::from_value(serde_json::json!({"tokens": 1, "per": "day"})).unwrap();
        let limits = Limits { token_budget: Some(tokens), ..Limits::default() };
        assert_eq!(paths(&AppSettings { limits: limits.clone(), ..odd.clone() }, &default), [""; 0]);
        assert_eq!(paths(&AppSettings { named_key_limits: limits, ..odd.clone() }, &default), [""; 0]);
        let named = AppSettings { mode: CredentialMode::Named, ..odd };
        assert_eq!(paths(&named, &default), [""; 0], "its keys may have budgets of their own");
        let wrong =
            AppSettings { time_zone: "Mars".to_owned(), tags: vec![String::new()], ..default.clone() };
        assert_eq!(paths(&wrong, &default), ["time_zone", "tags[0]"], "all at once, each once");
    }

    #[test]
    fn addresses_are_stored_as_ranges() {
        let settings = AppSettings { ip_allow_list: Some(vec!["10.0.0.1".into()]), ..AppSettings::default() };
        assert_eq!(settings.validated().unwrap().ip_allow_list.unwrap(), ["10.0.0.1/32"]);
    }
}
