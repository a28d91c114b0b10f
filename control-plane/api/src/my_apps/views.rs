//! How apps look to their users. Other people's data, metadata, address lists and self-service lists are
//! not among it.

use jiff::Timestamp;
use latchkey_core::access::{Capability, Member};
use latchkey_core::guardrails::{GuardrailRule, UnseenTexts};
use latchkey_core::limits::Limits;
use latchkey_core::mcp;
use latchkey_core::name::{ModelName, Name, Slug};
use latchkey_core::provider::ProviderKind;
use latchkey_core::selection::Selection;
use latchkey_core::settings::{AppSettings, CredentialMode};
use latchkey_core::status::Standing;
use latchkey_store::apps::App;
use latchkey_store::keys::Key;
use latchkey_store::models::Model;
use latchkey_store::routing_groups::RoutingGroup;
use latchkey_store::upstreams::{McpServer, Provider};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::activity::{Active, UsageOfLimits};
use crate::models::PriceView;

/// An app that a user may view.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyApp {
    /// Opaque.
    pub id: Uuid,
    /// What people see.
    #[schema(value_type = String)]
    pub name: Name,
    /// Whether it works.
    pub status: Standing,
    /// Whether its users share its key, or create their own.
    pub mode: CredentialMode,
    /// When it and its keys stop; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// What the user may do.
    pub capabilities: Vec<Capability>,
    /// How many keys that are not revoked the user has.
    pub keys: u64,
}

/// An app that a user may view, as its page shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyAppDetails {
    /// The app.
    #[serde(flatten)]
    pub app: MyApp,
    /// Labels.
    pub tags: Vec<String>,
    /// The providers that it may use.
    pub providers: Vec<MyProvider>,
    /// The models that it may use, with what they cost.
    pub models: Vec<MyModel>,
    /// The MCP servers that it may use, of which the gateway serves each under `/mcp/<name>`.
    pub mcp_servers: Vec<MyMcpServer>,
    /// The routing groups that it may use, of which each is asked for as the model.
    pub routing_groups: Vec<MyRoutingGroup>,
    /// What all its keys may use together; what is absent is not limited.
    pub limits: Limits,
    /// What each named key may use that has no limits of its own.
    pub named_key_limits: Limits,
    /// How much of each limit is used, and left.
    pub usage: UsageOfLimits,
    /// Requests of all its users since it was made; only with the capability `all_logs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Whose days, weeks and months budgets follow: an IANA name.
    pub time_zone: String,
    /// Whether requests without an `X-Conversation-Id` are refused.
    pub require_conversation_id: bool,
    /// Whether system, developer and `instructions` texts must be references to the app's prompts and nothing else.
    pub prompt_required: bool,
    /// What is looked for in requests and answers, and what is done about it.
    pub guardrails: MyGuardrails,
    /// How many keys that are not revoked one user may have; null for any number.
    pub most_keys_per_user: Option<u32>,
    /// For how many days a key lasts at most; null for ever.
    pub longest_key_lifetime_days: Option<u32>,
    /// Whether the user can see key values again: the app keeps them, and they have key visibility.
    pub values_visible: bool,
    /// The app key, in shared mode, without its value; null in named mode.
    pub key: Option<MyAppKey>,
}

/// An app's guardrails, without the values that are no findings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyGuardrails {
    /// At most one for each category and detector.
    pub rules: Vec<GuardrailRule>,
    /// The names of the app's own categories. Those without a rule are monitored.
    pub custom_categories: Vec<String>,
    /// What becomes of a request that has the provider read texts that the gateway does not see.
    pub unseen_texts: UnseenTexts,
}

/// The key that an app's users share.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyAppKey {
    /// What it is recognized by: `sk-quilr-…` and the last 4 characters of its value; null where that is not known.
    pub masked: Option<String>,
    /// When its secret was last replaced.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rotated_at: Option<Timestamp>,
    /// When the replaced secret stops or stopped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_secret_stops_at: Option<Timestamp>,
}

/// A provider.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyProvider {
    /// Its name.
    #[schema(value_type = String)]
    pub name: Slug,
    /// Whose protocol it speaks.
    pub kind: ProviderKind,
}

/// An MCP server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyMcpServer {
    /// Its name.
    #[schema(value_type = String)]
    pub name: Slug,
    /// The tools of it that the app may use, in which `*` stands for any run of characters; null for all.
    pub tools: Option<Vec<String>>,
}

/// A routing group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyRoutingGroup {
    /// What to ask for as the model.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// For people.
    pub description: String,
    /// What `x-latchkey-target` may name, as `provider/model`; null where the app does not take that header.
    pub targets: Option<Vec<String>>,
}

/// A model, as the provider offers it that serves it for this app.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyModel {
    /// What to ask for.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// Who serves it.
    pub provider: String,
    /// What a million tokens cost; null where that is not known.
    pub price: Option<PriceView>,
    /// The most tokens of one answer; null where that is not known.
    pub max_output_tokens: Option<u64>,
    /// The most tokens of input and output together; null where that is not known.
    pub context_window: Option<u64>,
}

impl MyApp {
    /// The view of `app` at `now` for `member`, who has so many keys of it.
    #[must_use]
    pub fn new(app: &App, member: &Member, keys: u64, now: Timestamp) -> Self {
        let settings = &app.settings;
        Self {
            id: app.id,
            name: app.name.clone(),
            status: app.status.standing(settings.expires_at, now),
            mode: settings.mode,
            expires_at: settings.expires_at,
            capabilities: settings.self_service.access.granted(member),
            keys,
        }
    }
}

impl MyAppDetails {
    /// The view of `app`, whose `key` is given in shared mode.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a part of what is shown")]
    pub fn new(
        active: Active<MyApp>,
        app: App,
        member: &Member,
        key: Option<Key>,
        providers: &[Provider],
        models: Vec<Model>,
        servers: Vec<McpServer>,
        groups: Vec<RoutingGroup>,
    ) -> Self {
        let Active { item, requests, usage, last_used_at: _, old_secret_used_at: _ } = active;
        let settings = app.settings;
        let grants = |capability| settings.self_service.access.grants(capability, member);
        let providers: Vec<_> = providers
            .iter()
            .filter(|provider| provider.enabled && settings.allowed_providers.holds(provider.name.as_str()))
            .map(|provider| MyProvider { name: provider.name.clone(), kind: provider.protocol.kind })
            .collect();
        Self {
            routing_groups: usable_groups(&settings, &providers, &models, groups),
            models: served(&settings, &providers, models),
            providers,
            mcp_servers: reachable_servers(&settings.mcp_scope, servers),
            usage,
            requests: Some(requests).filter(|_| grants(Capability::AllLogs)),
            values_visible: settings.keep_key_values && grants(Capability::KeyVisibility),
            key: key.map(|key| MyAppKey {
                masked: key.ending.map(|ending| ending.masked()),
                rotated_at: key.rotated_at,
                old_secret_stops_at: key.retired.map(|retired| retired.at),
            }),
            most_keys_per_user: settings.self_service.most_keys_per_user,
            longest_key_lifetime_days: settings.self_service.longest_key_lifetime_days,
            app: item,
            tags: settings.tags,
            limits: settings.limits,
            named_key_limits: settings.named_key_limits,
            time_zone: settings.time_zone,
            require_conversation_id: settings.require_conversation_id,
            prompt_required: settings.prompt_required,
            guardrails: MyGuardrails {
                rules: settings.guardrails.rules,
                custom_categories: settings.custom_categories.into_iter().map(|own| own.name).collect(),
                unseen_texts: settings.guardrails.unseen_texts,
            },
        }
    }
}

/// The MCP servers that a scope holds, with its tools where it holds some only.
fn reachable_servers(scope: &Selection, servers: Vec<McpServer>) -> Vec<MyMcpServer> {
    let reached = servers.into_iter().filter(|server| server.enabled);
    let reached = reached.filter(|server| mcp::reaches(scope, server.name.as_str()));
    reached
        .map(|server| MyMcpServer { tools: mcp::tools(scope, server.name.as_str()), name: server.name })
        .collect()
}

/// The groups that an app has with a target that it may use.
fn usable_groups(
    settings: &AppSettings,
    providers: &[MyProvider],
    models: &[Model],
    groups: Vec<RoutingGroup>,
) -> Vec<MyRoutingGroup> {
    let mut usable = Vec::new();
    for group in groups.into_iter().filter(|group| settings.routing_groups.holds(group.name.as_str())) {
        let mut targets = Vec::new();
        for (_, target) in group.settings.targets() {
            let is_offered = |model: &Model| {
                model.name == target.model
                    && model.provider == target.provider.as_str()
                    && is_offered(settings, providers, model)
            };
            let name = format!("{}/{}", target.provider, target.model);
            if models.iter().any(is_offered) && !targets.contains(&name) {
                targets.push(name);
            }
        }
        if !targets.is_empty() {
            let targets = settings.target_header.then_some(targets);
            usable.push(MyRoutingGroup {
                name: group.name,
                description: group.settings.description,
                targets,
            });
        }
    }
    usable
}

/// Whether an app may use a model of these providers.
fn is_offered(settings: &AppSettings, providers: &[MyProvider], model: &Model) -> bool {
    model.enabled
        && settings.allowed_models.holds(model.name.as_str())
        && providers.iter().any(|provider| provider.name.as_str() == model.provider)
}

/// The models that an app may use of these providers. Of several that offer one model, the first serves it.
fn served(settings: &AppSettings, providers: &[MyProvider], models: Vec<Model>) -> Vec<MyModel> {
    let mut served: Vec<MyModel> = Vec::new();
    for model in models {
        if is_offered(settings, providers, &model) && !served.iter().any(|other| other.name == model.name) {
            let Model { name, provider, price, max_output_tokens, context_window, .. } = model;
            let price = price.map(PriceView::from);
            served.push(MyModel { name, provider, price, max_output_tokens, context_window });
        }
    }
    served
}
