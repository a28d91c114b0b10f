//! Why a request is refused: the table of codes, and the answer in the shape that the client's SDK expects.

mod oauth;
mod rpc;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::reply::Reply;
use crate::guardrails::BlockDetail;
use crate::request::endpoint::ClientApi;
use crate::request::redaction::without_keys;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// For programs.
    pub code: Code,
    /// For people; nothing secret.
    pub message: Cow<'static, str>,
    /// The methods that the path takes, where the method was wrong.
    pub allow: Option<&'static str>,
    /// The wrong member of the body, where one was.
    pub param: Option<Cow<'static, str>>,
    /// Set where a limit decided.
    pub limit_detail: Option<Box<LimitDetail>>,
    /// Set where a guardrail decided.
    pub block: Option<Box<BlockDetail>>,
}

/// The limit that refused a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitDetail {
    /// `requests_per_minute`, `budget`, …: the name in the app's settings.
    pub name: &'static str,
    /// `app` or `key`.
    pub owner: &'static str,
    /// Requests, tokens or nano-USD.
    pub limit: u64,
    pub remaining: u64,
    /// What the request needs at least.
    pub needed: u64,
    /// In Unix seconds; none for never.
    pub resets_at: Option<i64>,
    /// None where trying again does not help.
    #[serde(skip)]
    pub retry_after_ms: Option<u32>,
    /// The `x-ratelimit-*` headers.
    #[serde(skip)]
    pub headers: Vec<(&'static str, String)>,
}

/// A stable code. Each belongs to one rule and has one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    InvalidJson,
    InvalidMultipart,
    InvalidMcpMessage,
    McpHeaderMismatch,
    ModelRequired,
    ModelListNotSupported,
    InvalidParameter,
    EndpointNotSupported,
    InputNotBounded,
    GuardrailBlocked,
    ContentNotInspected,
    PromptNotFound,
    InvalidPromptVariables,
    PromptRequired,
    MaxInputTokensExceeded,
    MaxOutputTokensExceeded,
    KeyInQuery,
    ConversationIdRequired,
    InvalidConversationId,
    InvalidIdentity,
    MissingApiKey,
    InvalidApiKey,
    ConflictingCredentials,
    KeyInactive,
    KeyExpired,
    KeyRevoked,
    KeyRotated,
    KeySuspended,
    AppInactive,
    AppExpired,
    AppRevoked,
    NamedKeyRequired,
    IdentityRequired,
    InvalidUserToken,
    IpNotAllowed,
    IdentityNotAllowed,
    ModelNotAllowed,
    ProviderNotAllowed,
    McpServerNotAllowed,
    McpToolNotAllowed,
    McpToolNotApproved,
    McpToolChanged,
    McpArgumentDenied,
    ModelNotPriced,
    ServiceTierNotPriced,
    EndpointNotMetered,
    UnknownEndpoint,
    ModelNotFound,
    McpServerNotFound,
    McpSessionNotFound,
    MethodNotAllowed,
    RateLimitExceeded,
    QuotaContended,
    InsufficientQuota,
    RequestExceedsLimit,
    InternalError,
    UpstreamRedirected,
    SnapshotNotReady,
    SyncStalled,
    LeaseUnavailable,
    LedgerFull,
    GroupNotRouted,
    GuardrailUnavailable,
}

struct CodeRow {
    status: u16,
    name: &'static str,
    rule: &'static str,
    meaning: &'static str,
}

const fn row(status: u16, name: &'static str, rule: &'static str, meaning: &'static str) -> CodeRow {
    CodeRow { status, name, rule, meaning }
}

impl Code {
    pub const ALL: [Self; 63] = [
        Self::InvalidJson,
        Self::InvalidMultipart,
        Self::InvalidMcpMessage,
        Self::McpHeaderMismatch,
        Self::ModelRequired,
        Self::ModelListNotSupported,
        Self::InvalidParameter,
        Self::EndpointNotSupported,
        Self::InputNotBounded,
        Self::GuardrailBlocked,
        Self::ContentNotInspected,
        Self::PromptNotFound,
        Self::InvalidPromptVariables,
        Self::PromptRequired,
        Self::MaxInputTokensExceeded,
        Self::MaxOutputTokensExceeded,
        Self::KeyInQuery,
        Self::ConversationIdRequired,
        Self::InvalidConversationId,
        Self::InvalidIdentity,
        Self::MissingApiKey,
        Self::InvalidApiKey,
        Self::ConflictingCredentials,
        Self::KeyInactive,
        Self::KeyExpired,
        Self::KeyRevoked,
        Self::KeyRotated,
        Self::KeySuspended,
        Self::AppInactive,
        Self::AppExpired,
        Self::AppRevoked,
        Self::NamedKeyRequired,
        Self::IdentityRequired,
        Self::InvalidUserToken,
        Self::IpNotAllowed,
        Self::IdentityNotAllowed,
        Self::ModelNotAllowed,
        Self::ProviderNotAllowed,
        Self::McpServerNotAllowed,
        Self::McpToolNotAllowed,
        Self::McpToolNotApproved,
        Self::McpToolChanged,
        Self::McpArgumentDenied,
        Self::ModelNotPriced,
        Self::ServiceTierNotPriced,
        Self::EndpointNotMetered,
        Self::UnknownEndpoint,
        Self::ModelNotFound,
        Self::McpServerNotFound,
        Self::McpSessionNotFound,
        Self::MethodNotAllowed,
        Self::RateLimitExceeded,
        Self::QuotaContended,
        Self::InsufficientQuota,
        Self::RequestExceedsLimit,
        Self::InternalError,
        Self::UpstreamRedirected,
        Self::SnapshotNotReady,
        Self::SyncStalled,
        Self::LeaseUnavailable,
        Self::LedgerFull,
        Self::GroupNotRouted,
        Self::GuardrailUnavailable,
    ];

    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// As clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The rule that decides it.
    #[must_use]
    pub fn rule(self) -> &'static str {
        self.row().rule
    }

    /// In a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn may_be_retried(self) -> bool {
        matches!(self, Self::RateLimitExceeded | Self::QuotaContended) || self.status() == 503
    }

    #[rustfmt::skip]
    const fn row(self) -> CodeRow {
        match self {
            Self::InvalidJson => row(400, "invalid_json", "request.body", "The body is not a JSON object, or has a duplicate member or a member of the wrong type."),
            Self::InvalidMultipart => row(400, "invalid_multipart", "request.body", "The body is not a multipart form, or has two models."),
            Self::InvalidMcpMessage => row(400, "invalid_mcp_message", "request.body", "The body is not a single JSON-RPC message, or has a duplicate member or a member of the wrong type."),
            Self::McpHeaderMismatch => row(400, "mcp_header_mismatch", "request.headers", "A header that repeats part of the MCP message does not match it, or cannot be decoded."),
            Self::ModelRequired => row(400, "model_required", "request.model", "The request does not name a model."),
            Self::ModelListNotSupported => row(400, "model_list_not_supported", "request.model", "The request lists several models: name only one, as model."),
            Self::InvalidParameter => row(400, "invalid_parameter", "request.body", "A parameter has a value that the gateway does not support; the message names it."),
            Self::EndpointNotSupported => row(400, "endpoint_not_supported", "provider.kind", "The model's provider does not serve this endpoint."),
            Self::InputNotBounded => row(400, "input_not_bounded", "limits.tokens", "The request lets the provider read or do something that the gateway cannot see, so its tokens and cost cannot be limited; the message names the parameter."),
            Self::GuardrailBlocked => row(400, "guardrail_blocked", "app.guardrails", "The app's guardrails blocked something in the request or in its answer; the message says what and where."),
            Self::ContentNotInspected => row(400, "content_not_inspected", "app.guardrails", "The request refers to text that the gateway cannot see, but the app's guardrails must inspect all text; the message names the parameter."),
            Self::PromptNotFound => row(400, "prompt_not_found", "app.prompts", "A system text refers to a stored prompt, a version or a label that the app does not have; the message names it."),
            Self::InvalidPromptVariables => row(400, "invalid_prompt_variables", "app.prompts", "X-Prompt-Variables is malformed, lacks a variable of a stored prompt, or has one that no prompt uses; the message names it."),
            Self::PromptRequired => row(400, "prompt_required", "app.prompts", "The app requires system texts to contain only references to its stored prompts; the message says where one does not."),
            Self::MaxInputTokensExceeded => row(400, "max_input_tokens_exceeded", "limits.max_input_tokens", "The request has more input tokens than the limit per request."),
            Self::MaxOutputTokensExceeded => row(400, "max_output_tokens_exceeded", "limits.max_output_tokens", "The request's thinking budget does not fit in the limit on output tokens per request."),
            Self::KeyInQuery => row(400, "key_in_query", "credential", "Keys in URLs end up in logs: send the key in a header, and rotate this one."),
            Self::ConversationIdRequired => row(400, "conversation_id_required", "app.conversation", "The app requires the header X-Conversation-Id."),
            Self::InvalidConversationId => row(400, "invalid_conversation_id", "app.conversation", "X-Conversation-Id must be a single ID of 1 to 128 letters, digits, hyphens, underscores, and dots."),
            Self::InvalidIdentity => row(400, "invalid_identity", "app.identity", "The headers that identify the user are malformed, duplicated, or contradictory."),
            Self::MissingApiKey => row(401, "missing_api_key", "credential", "The request has no API key."),
            Self::InvalidApiKey => row(401, "invalid_api_key", "credential", "The API key is malformed or unknown."),
            Self::ConflictingCredentials => row(401, "conflicting_credentials", "credential", "The request has two different API keys."),
            Self::KeyInactive => row(401, "key_inactive", "key.status", "The key has been deactivated."),
            Self::KeyExpired => row(401, "key_expired", "key.expiry", "The key has expired."),
            Self::KeyRevoked => row(401, "key_revoked", "key.status", "The key has been revoked."),
            Self::KeyRotated => row(401, "key_rotated", "key.rotation", "The key has been rotated, and this is an old secret."),
            Self::KeySuspended => row(
                401,
                "key_suspended",
                "access",
                "The key is suspended because its user has no access to the app.",
            ),
            Self::AppInactive => row(401, "app_inactive", "app.status", "The key's app has been deactivated."),
            Self::AppExpired => row(401, "app_expired", "app.expiry", "The key's app has expired."),
            Self::AppRevoked => row(401, "app_revoked", "app.status", "The key's app has been revoked."),
            Self::NamedKeyRequired => row(401, "named_key_required", "app.credential_mode", "The app accepts only named keys."),
            Self::IdentityRequired => row(401, "identity_required", "app.identity", "The app requires requests to identify their user, and this one does not."),
            Self::InvalidUserToken => row(401, "invalid_user_token", "app.identity", "The app does not accept the JWT in X-User-Token."),
            Self::IpNotAllowed => row(403, "ip_not_allowed", "app.addresses", "The app does not allow requests from this address."),
            Self::IdentityNotAllowed => row(403, "identity_not_allowed", "app.identity", "The app does not accept users from this email domain."),
            Self::ModelNotAllowed => row(403, "model_not_allowed", "app.models", "The app is not allowed to use this model."),
            Self::ProviderNotAllowed => row(403, "provider_not_allowed", "app.providers", "The app is not allowed to use any provider of this model."),
            Self::McpServerNotAllowed => row(403, "mcp_server_not_allowed", "app.mcp", "The app is not allowed to use this MCP server."),
            Self::McpToolNotAllowed => row(403, "mcp_tool_not_allowed", "app.mcp", "The app is not allowed to use this tool or method of the MCP server."),
            Self::McpToolNotApproved => row(403, "mcp_tool_not_approved", "mcp.tools", "The MCP server's tools are pinned, and this one has not been approved."),
            Self::McpToolChanged => row(403, "mcp_tool_changed", "mcp.tools", "The tool's definition has changed since it was approved: an admin must review and approve the change."),
            Self::McpArgumentDenied => row(403, "mcp_argument_denied", "app.mcp", "The app's argument rules do not allow this call; the message says which argument or name is wrong, and what it must be."),
            Self::ModelNotPriced => row(403, "model_not_priced", "limits.budget", "The app has a budget, and this model has no price: an admin can set one."),
            Self::ServiceTierNotPriced => row(400, "service_tier_not_priced", "limits.budget", "The app has a budget, and the model has no price for the requested service tier."),
            Self::EndpointNotMetered => row(403, "endpoint_not_metered", "limits.tokens", "The app limits tokens or money, and the usage of this endpoint cannot be bounded."),
            Self::UnknownEndpoint => row(404, "unknown_endpoint", "endpoint", "The gateway does not serve this path."),
            Self::ModelNotFound => row(404, "model_not_found", "catalogue", "No enabled provider offers this model."),
            Self::McpServerNotFound => row(404, "mcp_server_not_found", "catalogue", "No enabled MCP server has this name."),
            Self::McpSessionNotFound => row(404, "mcp_session_not_found", "request.session", "The MCP session has ended, or was opened by another key: open a new one."),
            Self::MethodNotAllowed => row(405, "method_not_allowed", "endpoint", "The path does not support this method."),
            Self::RateLimitExceeded => row(429, "rate_limit_exceeded", "limits.rate", "Too many requests or tokens within the window: wait and try again."),
            Self::QuotaContended => row(429, "quota_contended", "limits.budget", "The rest of the budget is reserved for requests in progress: try again when they are done."),
            Self::InsufficientQuota => row(429, "insufficient_quota", "limits.budget", "The budget is spent, or has too little left for this request."),
            Self::RequestExceedsLimit => row(429, "request_exceeds_limit", "limits.size", "The request alone may need more than the whole limit, so waiting does not help."),
            Self::InternalError => row(500, "internal_error", "gateway", "The gateway could not read or edit the request."),
            Self::UpstreamRedirected => row(502, "upstream_redirected", "upstream", "The provider or MCP server redirected the request, and the gateway does not follow redirects: an admin must register the URL that it redirects to."),
            Self::SnapshotNotReady => row(503, "snapshot_not_ready", "snapshot", "The gateway has not received its configuration yet."),
            Self::SyncStalled => row(503, "sync_stalled", "heartbeat", "The gateway has stopped listening to the control plane."),
            Self::LeaseUnavailable => row(503, "lease_unavailable", "limits.lease", "The gateway cannot reach the control plane to check the limit."),
            Self::LedgerFull => row(503, "ledger_full", "ledger", "The gateway has no room for more records, because the control plane does not accept any."),
            Self::GroupNotRouted => row(503, "group_not_routed", "gateway.routes", "This gateway's Envoy configuration has no route for routing groups: see Routing groups in envoy/README.md."),
            Self::GuardrailUnavailable => row(503, "guardrail_unavailable", "app.guardrails", "An external detector that must check the request did not respond, or its response could not be read."),
        }
    }
}

impl Denial {
    /// With a message of its own.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), allow: None, param: None, limit_detail: None, block: None }
    }

    /// The answer to the client.
    #[must_use]
    pub fn reply(&self, api: ClientApi) -> Reply {
        self.reply_with(self.body(api).to_string().into_bytes())
    }

    fn reply_with(&self, body: Vec<u8>) -> Reply {
        let status = self.code.status();
        let mut headers: Vec<(&'static str, Cow<'static, str>)> =
            vec![("content-type", "application/json".into())];
        match self.retry_after_ms() {
            Some(ms) => headers.extend([
                ("retry-after", ms.div_ceil(1000).to_string().into()),
                ("retry-after-ms", ms.to_string().into()),
            ]),
            None => headers.push(("x-should-retry", "false".into())),
        }
        if status == 401 {
            headers.push(("www-authenticate", "Bearer".into()));
        }
        headers.extend(self.allow.map(|methods| ("allow", methods.into())));
        let standing = self.limit_detail.iter().flat_map(|limit| &limit.headers);
        headers.extend(standing.map(|(name, value)| (*name, value.clone().into())));
        Reply {
            status,
            headers,
            body,
            code: Some(self.code),
            attribution: None,
            endpoint: "",
            model: String::new(),
            provider: String::new(),
            inspection: None,
        }
    }

    /// None where trying again does not help.
    fn retry_after_ms(&self) -> Option<u32> {
        let usual = self.code.may_be_retried().then_some(match self.code {
            // As long as a detector rests that does not answer.
            Code::GuardrailUnavailable => 5000,
            _ => 1000,
        });
        self.limit_detail.as_ref().map_or(usual, |limit| limit.retry_after_ms.filter(|_| usual.is_some()))
    }

    fn body(&self, api: ClientApi) -> Value {
        let mut body = self.error(api);
        if let (Some(limit), Some(error)) =
            (&self.limit_detail, body.get_mut("error").and_then(Value::as_object_mut))
        {
            error.insert("limit".to_owned(), json!(limit));
        }
        if let (Some(block), Some(error)) =
            (&self.block, body.get_mut("error").and_then(Value::as_object_mut))
        {
            error.insert("guardrail".to_owned(), json!(block));
        }
        body
    }

    fn error(&self, api: ClientApi) -> Value {
        let (code, rule, message) = (self.code.as_str(), self.code.rule(), without_keys(&self.message));
        match api {
            ClientApi::OpenAi => {
                let kind = match self.code {
                    Code::InsufficientQuota | Code::QuotaContended => "insufficient_quota",
                    Code::RateLimitExceeded | Code::RequestExceedsLimit => "rate_limit_error",
                    code if code.status() < 500 => "invalid_request_error",
                    _ => "server_error",
                };
                let param = matches!(self.code.rule(), "request.model" | "app.models" | "catalogue");
                let param = self.param.as_deref().or(param.then_some("model"));
                json!({"error": {"message": message, "type": kind, "param": param, "code": code, "rule": rule}})
            }
            ClientApi::Anthropic => {
                let kind = match self.code.status() {
                    401 => "authentication_error",
                    403 => "permission_error",
                    404 => "not_found_error",
                    429 => "rate_limit_error",
                    500.. => "api_error",
                    _ => "invalid_request_error",
                };
                json!({"type": "error", "error": {"type": kind, "message": message, "code": code, "rule": rule}})
            }
        }
    }
}

/// The code with its meaning as the message.
impl From<Code> for Denial {
    fn from(code: Code) -> Self {
        Self::new(code, code.meaning())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn body(denial: &Denial, api: ClientApi) -> Value {
        serde_json::from_slice(&denial.reply(api).body).unwrap()
    }

    #[test]
    fn codes_are_all_listed_and_unlike() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(Code::GuardrailUnavailable as usize + 1, Code::ALL.len());
    }

    #[test]
    fn openai_clients_get_openais_shape() {
        assert_eq!(
            body(&Code::ModelNotAllowed.into(), ClientApi::OpenAi),
            json!({"error": {"message": "The app is not allowed to use this model.", "type": "invalid_request_error",
                "param": "model", "code": "model_not_allowed", "rule": "app.models"}})
        );
    }

    #[test]
    fn anthropic_clients_get_anthropics_shape() {
        assert_eq!(
            body(&Code::KeyRevoked.into(), ClientApi::Anthropic),
            json!({"type": "error", "error": {"type": "authentication_error",
                "message": "The key has been revoked.", "code": "key_revoked", "rule": "key.status"}})
        );
    }

    #[test]
    fn a_limit_says_what_is_left_and_when_to_come_back() {
        let limit_detail = LimitDetail {
            name: "requests_per_minute",
            owner: "app",
            limit: 60,
            remaining: 0,
            needed: 1,
            resets_at: Some(1_700_000_060),
            retry_after_ms: Some(2_400),
            headers: vec![("x-ratelimit-limit-requests", "60".to_owned())],
        };
        let denial = Denial { limit_detail: Some(Box::new(limit_detail)), ..Code::RateLimitExceeded.into() };
        let reply = denial.reply(ClientApi::OpenAi);
        assert!(reply.headers.contains(&("retry-after", "3".into())));
        assert!(reply.headers.contains(&("retry-after-ms", "2400".into())));
        assert!(reply.headers.contains(&("x-ratelimit-limit-requests", "60".into())));
        assert_eq!(
            body(&denial, ClientApi::OpenAi)["error"]["limit"],
            json!({"name": "requests_per_minute", "owner": "app", "limit": 60, "remaining": 0,
                "needed": 1, "resets_at": 1_700_000_060})
        );
        let spent = Denial { code: Code::InsufficientQuota, ..denial };
        assert!(spent.reply(ClientApi::OpenAi).headers.contains(&("x-should-retry", "false".into())));
    }

    #[test]
    fn headers_say_whether_to_try_again() {
        let headers = |code| Denial::from(code).reply(ClientApi::OpenAi).headers;
        assert!(headers(Code::SnapshotNotReady).contains(&("retry-after-ms", "1000".into())));
        assert!(headers(Code::KeyExpired).contains(&("x-should-retry", "false".into())));
        assert!(headers(Code::KeyExpired).contains(&("www-authenticate", "Bearer".into())));
    }
}
