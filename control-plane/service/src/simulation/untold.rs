//! What records do not tell of a change, by name.

use latchkey_core::change::Configuration;
use latchkey_store::apps::App;
use serde::Serialize;
use utoipa::ToSchema;

/// Something that a change touches and records do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Untold {
    /// What guardrails would find: records have no texts.
    Guardrails,
    /// What the app's own categories would find.
    CustomCategories,
    /// Which system texts refer to prompts, and with which variables.
    Prompts,
    /// Whom tokens and headers name that were not looked at.
    Identity,
    /// Arguments of MCP tools, and which methods that call no tool.
    McpArguments,
    /// Which target of a routing group a client asked for.
    RoutingTarget,
    /// Whose keys would have been suspended.
    SuspendedKeys,
    /// Requests that the app as it is refuses as well: since then it was changed, or a model is gone.
    RefusedAnyway,
    /// How large requests were that were refused for their size.
    RequestSize,
    /// Requests of which the record says too little: the key or the endpoint is gone.
    Request,
}

impl Untold {
    /// For people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Guardrails => {
                "What guardrails would find, because logs contain no text. Try the rules in shadow mode on \
                 live requests."
            }
            Self::CustomCategories => {
                "What custom categories would find, because logs contain no text. Try a rule for them in \
                 shadow mode on live requests."
            }
            Self::Prompts => "Which requests refer to stored prompts, and with which variables.",
            Self::Identity => {
                "Identities that some requests may have carried but that were not checked at the time. \
                 These requests are not judged."
            }
            Self::McpArguments => {
                "Arguments of MCP tool calls. Requests that call no tool are judged as tool lists."
            }
            Self::RoutingTarget => "Which target of a routing group a client asked for.",
            Self::SuspendedKeys => "Whose keys would have been suspended.",
            Self::RefusedAnyway => {
                "Some requests would be refused with and without the change, because the app has changed \
                 since or a model is gone. They are not counted as refused."
            }
            Self::RequestSize => "The size of requests that were refused because of their size.",
            Self::Request => "Some records have too little information to judge their requests.",
        }
    }

    /// What a change touches of it, whatever the requests are.
    #[must_use]
    pub fn of_change(now: &App, then: &App) -> Vec<Self> {
        let of = |app: &App| Configuration::of(&app.name, &app.settings);
        let changes = of(now).changes(&of(then));
        let touches = |path: &str| {
            changes.iter().any(|change| change.path.segments().first().is_some_and(|first| first == path))
        };
        let suspends = |app: &App| app.settings.self_service.suspend_keys_on_lost_access;
        [
            (Self::Guardrails, touches("guardrails")),
            (Self::CustomCategories, touches("custom_categories")),
            (Self::Prompts, touches("prompts") || touches("prompt_required")),
            (Self::McpArguments, touches("mcp_scope") || touches("mcp_argument_rules")),
            (Self::RoutingTarget, touches("target_header")),
            (Self::SuspendedKeys, touches("self_service") && (suspends(now) || suspends(then))),
        ]
        .into_iter()
        .filter_map(|(untold, touched)| touched.then_some(untold))
        .collect()
    }
}
