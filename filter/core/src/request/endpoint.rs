//! The endpoints: what a request asks for, by its method and path. Only exact paths are served.

use percent_encoding::percent_decode_str;

use crate::answer::denial::{Code, Denial};
use crate::request::mcp_endpoint::{self, McpTarget, McpVerb};
use crate::snapshot::ProviderKind;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Call(ModelOperation),
    /// Something of an MCP server.
    Mcp(McpTarget),
    /// The models that the key may call through an API.
    ListModels(ClientApi),
    RetrieveModel(ClientApi, String),
    /// The gateway's readiness.
    Ready,
}

/// An operation of a model API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelOperation {
    ChatCompletions,
    Completions,
    Embeddings,
    Responses,
    Moderations,
    ImageGenerations,
    ImageEdits,
    ImageVariations,
    Speech,
    Transcriptions,
    Translations,
    Messages,
    CountTokens,
}

/// The vendor whose API, and whose error shape, a client expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientApi {
    OpenAi,
    Anthropic,
}

impl ModelOperation {
    pub const ALL: [Self; 13] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Moderations,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::ImageVariations,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
        Self::Messages,
        Self::CountTokens,
    ];

    /// After the API's version.
    #[must_use]
    pub fn upstream_path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Moderations => "moderations",
            Self::ImageGenerations => "images/generations",
            Self::ImageEdits => "images/edits",
            Self::ImageVariations => "images/variations",
            Self::Speech => "audio/speech",
            Self::Transcriptions => "audio/transcriptions",
            Self::Translations => "audio/translations",
            Self::Messages => "messages",
            Self::CountTokens => "messages/count_tokens",
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Moderations => "moderations",
            Self::ImageGenerations => "image_generations",
            Self::ImageEdits => "image_edits",
            Self::ImageVariations => "image_variations",
            Self::Speech => "speech",
            Self::Transcriptions => "transcriptions",
            Self::Translations => "translations",
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
        }
    }

    /// Whether its use is measured in tokens, and can be bounded before.
    #[must_use]
    pub fn is_metered(self) -> bool {
        self.has_output() || self == Self::Embeddings
    }

    /// Whether a model writes text for it.
    #[must_use]
    pub fn has_output(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions | Self::Responses | Self::Messages)
    }

    /// Whether providers of this kind do not charge for it. Only OpenAI does not charge for moderation.
    #[must_use]
    pub fn is_free(self, kind: ProviderKind) -> bool {
        match self {
            Self::Moderations => matches!(kind, ProviderKind::OpenAi | ProviderKind::AzureOpenAi),
            _ => self == Self::CountTokens,
        }
    }

    #[must_use]
    pub fn client_api(self) -> ClientApi {
        match self {
            Self::Messages | Self::CountTokens => ClientApi::Anthropic,
            _ => ClientApi::OpenAi,
        }
    }

    /// Whether clients send it files.
    #[must_use]
    pub fn takes_multipart(self) -> bool {
        matches!(self, Self::ImageEdits | Self::ImageVariations | Self::Transcriptions | Self::Translations)
    }

    fn find(path: &str, api: ClientApi) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.client_api() == api && operation.upstream_path() == path)
    }
}

impl ClientApi {
    /// By the path, served or not.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/anthropic_messages") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Anthropic,
            _ => Self::OpenAi,
        }
    }
}

impl Endpoint {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Call(operation) => operation.name(),
            Self::Mcp(_) => mcp_endpoint::NAME,
            Self::ListModels(_) | Self::RetrieveModel(..) => "models",
            Self::Ready => "ready",
        }
    }

    /// Reads a method and a path without its query.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 for a method that the path does not take.
    pub fn parse(method: &str, path: &str) -> Result<Self, Denial> {
        if let Some(server) = mcp_endpoint::server_at(path) {
            let verb = McpVerb::parse(method).ok_or_else(|| not_allowed(McpVerb::ALLOWED))?;
            return Ok(Self::Mcp(McpTarget { server: server.to_owned(), verb }));
        }
        let endpoint = Self::at(path).ok_or_else(|| unknown(path))?;
        let allowed = endpoint.methods();
        if !allowed.split(", ").any(|known| known == method) {
            return Err(not_allowed(allowed));
        }
        Ok(endpoint)
    }

    fn at(path: &str) -> Option<Self> {
        if path == "/latchkey/ready" {
            return Some(Self::Ready);
        }
        const PREFIXES: [(&str, ClientApi); 4] = [
            ("/anthropic_messages/v1/", ClientApi::Anthropic),
            ("/openai_compatible/v1/", ClientApi::OpenAi),
            ("/openai_compatible/", ClientApi::OpenAi),
            ("/v1/", ClientApi::OpenAi),
        ];
        let found = |(prefix, api): &(&str, ClientApi)| Some((path.strip_prefix(prefix)?, *api));
        let (rest, api) = PREFIXES.iter().find_map(found)?;
        match rest.strip_prefix("models") {
            Some("") => Some(Self::ListModels(api)),
            Some(id) => {
                let id = percent_decode_str(id.strip_prefix('/')?).decode_utf8().ok()?;
                (!id.is_empty()).then(|| Self::RetrieveModel(api, id.into_owned()))
            }
            None => ModelOperation::find(rest, api).map(Self::Call),
        }
    }

    /// The methods that it takes.
    fn methods(&self) -> &'static str {
        match self {
            Self::Call(_) => "POST",
            Self::Mcp(_) => McpVerb::ALLOWED,
            Self::ListModels(_) | Self::RetrieveModel(..) => "GET",
            // Load balancers use HEAD.
            Self::Ready => "GET, HEAD",
        }
    }
}

/// An unknown endpoint. The message suggests a path that is nearly the same.
fn unknown(path: &str) -> Denial {
    if is_oauth(path) {
        return Denial::new(Code::UnknownEndpoint, NO_OAUTH);
    }
    let meant = match path.strip_prefix("/mcp/").and_then(|rest| rest.split('/').next()) {
        Some(server) => ["/mcp/", server].concat(),
        None => path.trim_end_matches('/').to_owned(),
    };
    if meant == path || Endpoint::at(&meant).is_none() && mcp_endpoint::server_at(&meant).is_none() {
        return Code::UnknownEndpoint.into();
    }
    Denial::new(Code::UnknownEndpoint, format!("The gateway does not serve this path. Did you mean {meant}?"))
}

/// For a client that was refused and then tries to sign in.
const NO_OAUTH: &str = "This gateway has no OAuth sign-in. It takes an API key, sent as `Authorization: Bearer`. If \
     a client comes here by itself, its API key is missing, wrong, expired or revoked: check the key.";

/// Whether a client looks for an authorization server there: some do when their key is refused. The paths are
/// those of RFC 8414, RFC 9728 and OpenID Connect, below any path, and MCP's defaults.
#[must_use]
pub fn is_oauth(path: &str) -> bool {
    path.split('/').any(|segment| segment == ".well-known")
        || matches!(path, "/register" | "/authorize" | "/token")
}

fn not_allowed(methods: &'static str) -> Denial {
    Denial { allow: Some(methods), ..Code::MethodNotAllowed.into() }
}

/// A path, and its query with the question mark or nothing.
#[must_use]
pub fn split_query(path: &str) -> (&str, &str) {
    path.find('?').and_then(|at| path.split_at_checked(at)).unwrap_or((path, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(method: &str, path: &str) -> Code {
        Endpoint::parse(method, path).unwrap_err().code
    }

    #[test]
    fn every_operation_is_served_under_each_of_its_prefixes() {
        for operation in ModelOperation::ALL {
            let prefixes: &[&str] = match operation.client_api() {
                ClientApi::OpenAi => &["/v1", "/openai_compatible/v1", "/openai_compatible"],
                ClientApi::Anthropic => &["/anthropic_messages/v1"],
            };
            for prefix in prefixes {
                let path = format!("{prefix}/{}", operation.upstream_path());
                assert_eq!(Endpoint::parse("POST", &path), Ok(Endpoint::Call(operation)), "{path}");
            }
        }
    }

    #[test]
    fn model_names_may_have_slashes_and_escapes() {
        for (prefix, api) in [
            ("/v1", ClientApi::OpenAi),
            ("/openai_compatible", ClientApi::OpenAi),
            ("/openai_compatible/v1", ClientApi::OpenAi),
            ("/anthropic_messages/v1", ClientApi::Anthropic),
        ] {
            let list = Endpoint::parse("GET", &format!("{prefix}/models"));
            assert_eq!(list, Ok(Endpoint::ListModels(api)));
            let one = Endpoint::parse("GET", &format!("{prefix}/models/org/model%3A7b"));
            assert_eq!(one, Ok(Endpoint::RetrieveModel(api, "org/model:7b".into())));
        }
    }

    #[test]
    fn what_is_not_served_is_refused() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/messages",
            "/v1/files",
            "/v2/models",
            "/v1/models/",
            "/v1/chat/completions/",
        ] {
            assert_eq!(code("GET", path), Code::UnknownEndpoint, "{path}");
        }
        assert_eq!(code("GET", "/anthropic_messages/v1/chat/completions"), Code::UnknownEndpoint);
        assert_eq!(code("GET", "/v1/modelsx"), Code::UnknownEndpoint);
    }

    #[test]
    fn a_wrong_method_is_told_the_right_one() {
        let denial = Endpoint::parse("GET", "/v1/chat/completions").unwrap_err();
        assert_eq!((denial.code, denial.allow), (Code::MethodNotAllowed, Some("POST")));
        assert_eq!(Endpoint::parse("POST", "/v1/models").unwrap_err().allow, Some("GET"));
    }

    #[test]
    fn a_path_that_is_nearly_served_is_told_the_right_one() {
        for (path, meant) in [
            ("/mcp/github/", Some("/mcp/github")),
            ("/mcp/github/x/y", Some("/mcp/github")),
            ("/v1/chat/completions/", Some("/v1/chat/completions")),
            ("/anthropic_messages/v1/messages//", Some("/anthropic_messages/v1/messages")),
            ("/mcp/", None),
            ("/mcp/Git Hub/", None),
            ("/v1/files/", None),
            ("/", None),
        ] {
            let denial = Endpoint::parse("POST", path).unwrap_err();
            assert_eq!(denial.code, Code::UnknownEndpoint);
            let told =
                denial.message.rsplit_once("Did you mean ").map(|(_, meant)| meant.trim_end_matches('?'));
            assert_eq!(told, meant, "{path}");
        }
    }

    #[test]
    fn readiness_may_be_asked_for_without_its_body() {
        for method in ["GET", "HEAD"] {
            assert_eq!(Endpoint::parse(method, "/latchkey/ready"), Ok(Endpoint::Ready));
        }
        assert_eq!(Endpoint::parse("POST", "/latchkey/ready").unwrap_err().allow, Some("GET, HEAD"));
    }

    #[test]
    fn an_mcp_server_is_one_plain_segment_and_takes_three_methods() {
        for (method, verb) in [("POST", McpVerb::Post), ("GET", McpVerb::Get), ("DELETE", McpVerb::Delete)] {
            let target = McpTarget { server: "git-hub_2".into(), verb };
            assert_eq!(Endpoint::parse(method, "/mcp/git-hub_2"), Ok(Endpoint::Mcp(target)));
        }
        for method in ["PUT", "HEAD", "OPTIONS", "post", ""] {
            let denial = Endpoint::parse(method, "/mcp/github").unwrap_err();
            assert_eq!((denial.code, denial.allow), (Code::MethodNotAllowed, Some("GET, POST, DELETE")));
        }
        for path in [
            "/mcp",
            "/mcp/",
            "/mcp/github/",
            "/mcp/github/x",
            "/mcp//github",
            "/mcp/git%68ub",
            "/mcp/Github",
            "/mcp/..",
            "/mcpx/github",
            "/v1/mcp/github",
        ] {
            assert_eq!(code("POST", path), Code::UnknownEndpoint, "{path}");
        }
    }

    #[test]
    fn the_error_shape_follows_the_path() {
        assert_eq!(ClientApi::of("/anthropic_messages/v1/x"), ClientApi::Anthropic);
        assert_eq!(ClientApi::of("/anthropic_messagesx"), ClientApi::OpenAi);
    }

    proptest! {
        #[test]
        fn no_path_panics(method in "GET|POST|PUT", path in "(/mcp/)?\\PC*") {
            let _ = Endpoint::parse(&method, &path);
            let (head, query) = split_query(&path);
            prop_assert_eq!(format!("{head}{query}"), path);
        }
    }
}
