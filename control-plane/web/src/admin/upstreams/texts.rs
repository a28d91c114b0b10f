//! In what the pages of providers, of MCP servers and of external detectors differ.

use latchkey_api::Api;
use latchkey_api::models;
use latchkey_api::problem::Problem;
use latchkey_api::upstreams::{
    Detector, DetectorProtocol, McpProtocol, McpServer, ModelProtocol, Provider, Upstream, UpstreamResource,
};
use latchkey_core::mcp_tools::ToolPinning;
use latchkey_core::name::Slug;

use super::tools::ToolList;
use crate::form::{Field, FieldKind};
use crate::frame::Visit;

/// A line of what is known of an upstream: its name, its text, and whether that is code.
pub type Fact = (&'static str, String, bool);

/// How upstreams of a protocol look in the console.
pub trait UpstreamPages: UpstreamResource {
    const PATH: &'static str;
    const TITLE: &'static str;
    const ABOUT: &'static str;
    /// What to do while there is none, as HTML.
    const EMPTY: &'static str;
    const NAME_HINT: &'static str;
    const URL_LABEL: &'static str;
    const URL_HINT: &'static str;
    const CREDENTIAL_HINT: &'static str;
    const ENABLED_HINT: &'static str;
    const DISABLE_WARNING: &'static str;
    const DELETE_WARNING: &'static str;
    const CREATE_BUTTON: &'static str;
    /// What is said after it was done.
    const CREATED: &'static str;
    const ENABLED: &'static str;
    const DISABLED: &'static str;

    /// What the form for a new one begins with.
    const FIRST_URL: &'static str;
    const FIRST_NUMBERS: &'static [(&'static str, &'static str)] = &[];
    /// The URL's field, and those of the protocol.
    const FIELDS: &'static [Field];
    /// How logs name it, before its own name.
    const LOG_PREFIX: &'static str;
    /// Whether it is a provider of models.
    const OFFERS_MODELS: bool;
    /// Whether it is an external detector.
    const JUDGES_TEXTS: bool = false;

    /// Whether it is an MCP server.
    const LISTS_TOOLS: bool = false;

    fn facts(api: &Api, upstream: &Upstream<Self>) -> Vec<Fact>;

    /// Its tools, where they are pinned or were.
    fn tools(
        _visit: &Visit,
        _api: &Api,
        _upstream: &Upstream<Self>,
    ) -> impl Future<Output = Result<Option<ToolList>, Problem>> + Send {
        async { Ok(None) }
    }

    /// The models that it offers, by id; none where it is not a provider of models.
    fn models(
        api: &Api,
        name: &Slug,
    ) -> impl Future<Output = Result<Option<Vec<(String, String)>>, Problem>> + Send;
}

pub const KINDS: &[(&str, &str)] = &[
    ("openai", "OpenAI"),
    ("azure_openai", "Azure OpenAI"),
    ("anthropic", "Anthropic"),
    ("openai_compatible", "OpenAI-compatible"),
];

/// Which of an MCP server's tools may be used.
pub const TOOL_PINNINGS: &[(&str, &str)] = &[
    ("unpinned", "Not pinned: allow whatever the server lists"),
    ("trust_first_use", "Pinned: trust on first use, approve each change"),
    ("approval", "Pinned: approve every tool"),
];

/// Under which name a limit of a chat's output is sent.
pub const OUTPUT_LIMITS: &[(&str, &str)] =
    &[("", "Default"), ("max_tokens", "max_tokens"), ("max_completion_tokens", "max_completion_tokens")];

/// Whether the usage of streams is asked for.
pub const STREAM_OPTIONS: &[(&str, &str)] =
    &[("", "Default"), ("true", "Supported"), ("false", "Not supported")];

pub const IDLE_TIMEOUTS: &[(&str, &str)] = &[
    ("", "10 minutes (the gateway's default)"),
    ("60", "1 minute"),
    ("300", "5 minutes"),
    ("600", "10 minutes"),
    ("1200", "20 minutes"),
    ("1800", "30 minutes"),
    ("3600", "1 hour"),
];

impl UpstreamPages for ModelProtocol {
    const PATH: &'static str = "/admin/providers";
    const TITLE: &'static str = "Providers";
    const ABOUT: &'static str = "Providers answer model requests. Credentials are stored encrypted, given to Envoy, \
                                 and never shown again.";
    const EMPTY: &'static str =
        "Create the first one with its credential, then create <a href=\"/admin/models\">its models</a>.";
    const NAME_HINT: &'static str = "Lowercase letters, digits, - and _. It cannot be changed later.";
    const URL_LABEL: &'static str = "Base URL";
    const URL_HINT: &'static str = "Such as https://api.openai.com/v1 or https://api.anthropic.com.";
    const CREDENTIAL_HINT: &'static str = "Its API key. Envoy adds it to each request; clients never see it.";
    const ENABLED_HINT: &'static str = "Its models can be called.";
    const DISABLE_WARNING: &'static str =
        "Requests for its models will be refused, or served by another provider that offers them.";
    const DELETE_WARNING: &'static str = "This cannot be undone. A provider that models or apps use cannot be deleted. Delete its models and \
         remove it from apps first.";
    const CREATE_BUTTON: &'static str = "Create provider";
    const CREATED: &'static str = "Provider created. Now create its models.";
    const ENABLED: &'static str = "Enabled: its models can be called.";
    const DISABLED: &'static str = "Disabled: its models can no longer be called.";

    const FIRST_URL: &'static str = "https://api.openai.com/v1";
    const FIELDS: &'static [Field] = &[
        ("kind", FieldKind::Text),
        ("base_url", FieldKind::Text),
        ("output_limit", FieldKind::Optional),
        ("stream_options", FieldKind::Choice),
        ("idle_timeout_seconds", FieldKind::Number),
    ];
    const LOG_PREFIX: &'static str = "";
    const OFFERS_MODELS: bool = true;

    fn facts(_: &Api, provider: &Provider) -> Vec<Fact> {
        let timeout = match provider.protocol.idle_timeout_seconds {
            Some(seconds) => format!("{} min", seconds / 60),
            None => "the gateway's default".to_owned(),
        };
        vec![
            ("Kind", provider.protocol.kind.as_str().to_owned(), false),
            ("Base URL", provider.url.clone(), true),
            ("Idle timeout", timeout, false),
        ]
    }

    async fn models(api: &Api, name: &Slug) -> Result<Option<Vec<(String, String)>>, Problem> {
        let models = models::of_provider(api, name).await?.into_iter();
        Ok(Some(models.map(|model| (model.id.to_string(), model.name.to_string())).collect()))
    }
}

impl UpstreamPages for McpProtocol {
    const PATH: &'static str = "/admin/mcp-servers";
    const TITLE: &'static str = "MCP servers";
    const ABOUT: &'static str = "Keys can call tools on these servers through the gateway, within the MCP scope of their app. Credentials are stored encrypted, sent only to Envoy, and never shown \
                                 again.";
    const EMPTY: &'static str = "Create the first one. Every app whose MCP scope is \"all\" can call it right away, so first narrow \
         the scope of apps that should not.";
    const NAME_HINT: &'static str = "Lowercase letters, digits, - and _. Clients call /mcp/name, and MCP scopes \
                                     refer to it. It cannot be changed later.";
    const URL_LABEL: &'static str = "URL";
    const URL_HINT: &'static str =
        "The server's endpoint (streamable HTTP), such as https://mcp.example.com/mcp.";
    const CREDENTIAL_HINT: &'static str =
        "Envoy sends it as a bearer token; clients never see it. Empty for none.";
    const ENABLED_HINT: &'static str = "Available to clients.";
    const DISABLE_WARNING: &'static str = "Calls to its tools will be refused. MCP scopes do not change.";
    const DELETE_WARNING: &'static str = "This cannot be undone. A server in an app's MCP scope cannot be deleted. Remove it from the scopes \
         first.";
    const CREATE_BUTTON: &'static str = "Create MCP server";
    const CREATED: &'static str = "MCP server created. Apps whose MCP scope includes it can call it now.";
    const ENABLED: &'static str = "Enabled: it can be called.";
    const DISABLED: &'static str = "Disabled: it can no longer be called.";

    const FIRST_URL: &'static str = "";
    const FIELDS: &'static [Field] = &[("url", FieldKind::Text), ("tool_pinning", FieldKind::Text)];
    const LOG_PREFIX: &'static str = "mcp/";
    const OFFERS_MODELS: bool = false;
    const LISTS_TOOLS: bool = true;

    fn facts(api: &Api, server: &McpServer) -> Vec<Fact> {
        let address = format!("{}/mcp/{}", api.gateway_url, server.name);
        let pinning = server.protocol.tool_pinning.as_str();
        let tools =
            TOOL_PINNINGS.iter().find(|(word, _)| *word == pinning).map_or(pinning, |(_, words)| *words);
        vec![
            ("Clients call", address, true),
            ("Served by", server.url.clone(), true),
            ("Tools", tools.to_owned(), false),
        ]
    }

    async fn tools(visit: &Visit, api: &Api, server: &McpServer) -> Result<Option<ToolList>, Problem> {
        let tools = ToolList::of(visit, api, &server.name).await?;
        let is_pinned = server.protocol.tool_pinning != ToolPinning::Unpinned;
        Ok(Some(tools).filter(|tools| is_pinned || !tools.rows.is_empty()))
    }

    async fn models(_: &Api, _: &Slug) -> Result<Option<Vec<(String, String)>>, Problem> {
        Ok(None)
    }
}

impl UpstreamPages for DetectorProtocol {
    const PATH: &'static str = "/admin/detectors";
    const TITLE: &'static str = "External detectors";
    const ABOUT: &'static str = "Your own models that check the text of requests. Each app's guardrails determine which ones are \
         used. Credentials are stored encrypted, sent only to Envoy, and never shown again.";
    const EMPTY: &'static str = "Create the first one, then use it in an app's guardrails. The documentation describes what a \
         detector receives and returns.";
    const NAME_HINT: &'static str =
        "Lowercase letters, digits, - and _. Guardrail rules refer to it. It cannot be changed later.";
    const URL_LABEL: &'static str = "URL";
    const URL_HINT: &'static str = "Where texts are sent, such as https://detector.example.com/judge.";
    const CREDENTIAL_HINT: &'static str =
        "Envoy sends it as a bearer token; clients never see it. Empty for none.";
    const ENABLED_HINT: &'static str = "It can be used in guardrails.";
    const DISABLE_WARNING: &'static str = "It will no longer be used. Rules that use it do what they specify for a failure: refuse requests, \
         or let them pass.";
    const DELETE_WARNING: &'static str = "This cannot be undone. A detector that an app's guardrails use cannot be deleted. Remove it from \
         the rules first.";
    const CREATE_BUTTON: &'static str = "Create detector";
    const CREATED: &'static str = "Detector created. Use it in an app's guardrails.";
    const ENABLED: &'static str = "Enabled: it can be used.";
    const DISABLED: &'static str = "Disabled: it is no longer used.";

    const FIRST_URL: &'static str = "";
    const FIRST_NUMBERS: &'static [(&'static str, &'static str)] =
        &[("timeout_ms", "500"), ("max_text_bytes", "65536")];
    const FIELDS: &'static [Field] =
        &[("url", FieldKind::Text), ("timeout_ms", FieldKind::Number), ("max_text_bytes", FieldKind::Number)];
    const LOG_PREFIX: &'static str = "";
    const OFFERS_MODELS: bool = false;
    const JUDGES_TEXTS: bool = true;

    fn facts(_: &Api, detector: &Detector) -> Vec<Fact> {
        let DetectorProtocol { timeout_ms, max_text_bytes } = detector.protocol;
        vec![
            ("URL", detector.url.clone(), true),
            ("Timeout", format!("{timeout_ms} ms"), false),
            ("Text per request", format!("{max_text_bytes} bytes"), false),
        ]
    }

    async fn models(_: &Api, _: &Slug) -> Result<Option<Vec<(String, String)>>, Problem> {
        Ok(None)
    }
}
