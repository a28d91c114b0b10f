//! Which headers reach the provider, which reach an MCP server, and which of their answers reach the client.

use memchr::memmem;

use crate::identity;
use crate::prompts;
use crate::request::header::{Header, Headers};
use crate::request::redaction::holds_key;
use crate::request::{conversation, credential};

/// A set of header names.
#[derive(Clone, Copy, Debug)]
pub struct HeaderSet {
    /// Whole names, in lower case.
    pub whole: &'static [&'static str],
    pub prefixes: &'static [&'static str],
}

/// The request headers that reach providers: those that their APIs and SDKs know. Any other is dropped: it
/// may be a key, say who called and from where, command an Envoy, open a cloud's metadata service, or choose
/// a path, a service tier or an account that the gateway does not know of.
pub const FORWARDED: HeaderSet = HeaderSet {
    whole: &[
        "accept",
        "accept-language",
        "content-length",
        "content-type",
        "transfer-encoding",
        "user-agent",
        "idempotency-key",
        "x-client-request-id",
        "x-request-id",
        // OpenAI's, and Codex'.
        "openai-beta",
        "originator",
        "conversation-id",
        "session-id",
        "version",
        // Anthropic's, and Claude Code's.
        "anthropic-beta",
        "anthropic-dangerous-direct-browser-access",
        "anthropic-version",
        "x-app",
        // What keeps a conversation where its prompt cache is.
        "x-grok-conv-id",
        "x-session-affinity",
        "x-session-id",
        // The sample provider's.
        "x-sample",
    ],
    prefixes: &["x-claude-code-", "x-codex-", "x-openai-", "x-stainless-"],
};

/// The request headers that do not reach MCP servers, beside [`credential::HEADERS`]. Any other does, as
/// clients may be configured with headers of a server's own. These are keys; who called, from where and
/// through what; what commands an Envoy; what opens a cloud's metadata service.
pub const WITHHELD_FROM_SERVERS: HeaderSet = HeaderSet {
    whole: &[
        // For the gateway alone.
        "cookie",
        "proxy-authorization",
        identity::EMAIL_HEADER,
        identity::TOKEN_HEADER,
        conversation::HEADER,
        prompts::HEADER,
        // An encoded answer could not be read for its usage.
        "accept-encoding",
        // They choose whom the provider charges: only the operator's credential may.
        "openai-organization",
        "openai-project",
        // Who called. MCP servers refuse the origins of pages that they do not know.
        "forwarded",
        "via",
        "origin",
        "referer",
        "true-client-ip",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-forwarded-for",
        "cf-connecting-ip",
        "fastly-client-ip",
        "baggage",
        // Traces. Envoy adds its own where it traces.
        "b3",
        "grpc-trace-bin",
        "sw8",
        "traceparent",
        "tracestate",
        "uber-trace-id",
        "x-amzn-trace-id",
        "x-client-trace-id",
        "x-cloud-trace-context",
        "x-ot-span-context",
        // What others take for the path or the method.
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
        // Envoy's timeouts, and HTTP's own business between two neighbors.
        "early-data",
        "grpc-timeout",
        "te",
        // Metadata services answer whoever sends these.
        "metadata",
        "x-google-metadata-request",
        "x-identity-header",
    ],
    prefixes: &[
        "x-latchkey-",
        "x-envoy-",
        "x-forwarded-",
        "x-b3-",
        "x-datadog-",
        // What some servers take for the protocol's own headers, which are compared with the message.
        "mcp_",
        "sec-fetch-",
        "metadata-",
        "x-aws-ec2-metadata-",
        "x-aliyun-ecs-metadata-",
    ],
};

/// The answer headers that do not reach clients: what sends a client elsewhere, what speaks for the gateway's
/// own origin, and what tells how the provider's side is built.
pub const WITHHELD_FROM_CLIENTS: HeaderSet = HeaderSet {
    whole: &[
        "alt-svc",
        "azure-asyncoperation",
        "content-location",
        "link",
        "location",
        "operation-location",
        "refresh",
        "sourcemap",
        "x-sourcemap",
        "x-accel-redirect",
        "clear-site-data",
        "content-security-policy",
        "content-security-policy-report-only",
        "nel",
        "report-to",
        "reporting-endpoints",
        "service-worker-allowed",
        "set-cookie",
        "strict-transport-security",
        "openai-organization",
        "openai-project",
        "proxy-authenticate",
        "proxy-status",
        "server-timing",
        "via",
        "x-backend-server",
        "x-powered-by",
        "x-real-ip",
        "x-served-by",
    ],
    // CORS is the gateway's to decide.
    prefixes: &["access-control-", "x-envoy-", "x-forwarded-", "x-latchkey-"],
};

/// The answer headers that always reach clients, whatever their value.
const NEEDED: [&str; 4] = ["content-type", "content-encoding", "mcp-session-id", "mcp-protocol-version"];

impl HeaderSet {
    /// `name` is in lower case.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.whole.contains(&name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// Envoy finds no route without it; the route itself removes it.
const BY_ROUTES: &str = "x-forwarded-proto";

/// Whether a client's header reaches the provider: it is known, and has no key in it.
#[must_use]
pub fn is_forwarded((name, value): &Header) -> bool {
    is_of_the_request(name) || FORWARDED.contains(name) && !has_key(value)
}

/// Whether a client's header reaches the MCP server: it is not withheld, and has no key in it.
#[must_use]
pub fn is_forwarded_to_server((name, value): &Header) -> bool {
    let is_withheld = || {
        credential::HEADERS.contains(&name.as_str()) || WITHHELD_FROM_SERVERS.contains(name) || has_key(value)
    };
    is_of_the_request(name) || !is_withheld()
}

fn is_of_the_request(name: &str) -> bool {
    name.starts_with(':') || name == BY_ROUTES
}

fn has_key(value: &[u8]) -> bool {
    str::from_utf8(value).map_or_else(|_| has_prefix(value), holds_key)
}

/// The names of an answer's headers that do not reach the client: by their names, or because an absolute URL
/// or the answering host's name is in their value.
pub fn withheld_from_clients<'a>(headers: Headers<'a>, authority: &'a str) -> impl Iterator<Item = &'a str> {
    let host = host(authority);
    let places = move |name: &str, value: &[u8]| {
        !NEEDED.contains(&name)
            && !name.starts_with(':')
            && (memmem::find(value, b"://").is_some() || names(value, host.as_bytes()))
    };
    let withheld = headers
        .0
        .iter()
        .filter(move |(name, value)| WITHHELD_FROM_CLIENTS.contains(name) || places(name, value));
    withheld.map(|(name, _)| name.as_str())
}

/// An authority without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether a value holds a host's whole name.
fn names(value: &[u8], host: &[u8]) -> bool {
    let is_inside =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    !host.is_empty()
        && memmem::find_iter(value, host).any(|at| {
            let before = at.checked_sub(1).and_then(|before| value.get(before));
            let after = at.checked_add(host.len()).and_then(|after| value.get(after));
            !is_inside(before) && !is_inside(after)
        })
}

fn has_prefix(value: &[u8]) -> bool {
    memmem::find(value, latchkey_proto::key::PREFIX.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Header {
        (name.to_owned(), value.as_bytes().to_vec())
    }

    fn passed(headers: &[(&str, &str)], authority: &str) -> Vec<String> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| header(name, value)).collect();
        let withheld: Vec<_> = withheld_from_clients(Headers(&headers), authority).collect();
        let kept = headers.iter().filter(|(name, _)| !withheld.contains(&name.as_str()));
        kept.map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn names_are_in_lower_case_and_said_once() {
        for names in [FORWARDED, WITHHELD_FROM_SERVERS, WITHHELD_FROM_CLIENTS] {
            for (index, name) in names.whole.iter().chain(names.prefixes).enumerate() {
                assert_eq!(**name, name.to_ascii_lowercase());
                assert!(!names.whole.iter().skip(index + 1).any(|other| other == name), "{name}");
            }
        }
    }

    #[test]
    fn a_provider_hears_what_its_api_knows_and_nothing_else() {
        for name in [
            "authorization",
            "cookie",
            "x-envoy-retry-on",
            "x-envoy-anything-new",
            "x-forwarded-host",
            "x-aws-ec2-metadata-token-ttl-seconds",
            "metadata-flavor",
            "metadata",
            "traceparent",
            "openai-organization",
            "x-amzn-bedrock-service-tier",
            "x-original-url",
            "x-http-method-override",
            "x-anything",
        ] {
            assert!(!is_forwarded(&header(name, "x")), "{name}");
        }
        for name in [BY_ROUTES, ":path", "user-agent", "anthropic-version", "x-request-id"] {
            assert!(is_forwarded(&header(name, "x")), "{name}");
        }
        for value in ["my key is sk-quilr-x", "%73k-quilr-x", "%2573k-quilr-x"] {
            assert!(!is_forwarded(&header("user-agent", value)), "{value}");
        }
        assert!(!is_forwarded(&("user-agent".to_owned(), b"\xff sk-quilr-x".to_vec())));
    }

    #[test]
    fn an_mcp_server_hears_nothing_of_the_client_and_nothing_of_the_gateway() {
        for name in [
            "authorization",
            "cookie",
            "x-envoy-retry-on",
            "x-envoy-anything-new",
            "x-forwarded-host",
            "x-aws-ec2-metadata-token-ttl-seconds",
            "metadata-flavor",
            "metadata",
            "traceparent",
            "x-original-url",
        ] {
            assert!(!is_forwarded_to_server(&header(name, "x")), "{name}");
        }
        for name in [
            BY_ROUTES,
            ":path",
            "user-agent",
            "anthropic-version",
            "x-request-id",
            "mcp-session-id",
            "x-tenant",
            "meta",
        ] {
            assert!(is_forwarded_to_server(&header(name, "x")), "{name}");
        }
        for value in ["my key is sk-quilr-x", "%73k-quilr-x", "%2573k-quilr-x"] {
            assert!(!is_forwarded_to_server(&header("x-note", value)), "{value}");
        }
        assert!(!is_forwarded_to_server(&("x-note".to_owned(), b"\xff sk-quilr-x".to_vec())));
    }

    #[test]
    fn a_client_is_sent_nowhere_and_told_no_internal_host() {
        let headers = [
            (":status", "200"),
            ("content-type", "application/json; profile=\"http://json.example\""),
            ("location", "/mcp/"),
            ("link", "</next>; rel=next"),
            ("x-anything", "see https://other.internal/x"),
            ("x-node", "mcp.internal"),
            ("x-nodes", "a=mcp.internal:9300;b"),
            ("x-kept", "xmcp.internal mcp.internals"),
            ("access-control-allow-origin", "*"),
            ("mcp-session-id", "mcp.internal"),
            ("x-ratelimit-remaining-requests", "7"),
        ];
        assert_eq!(
            passed(&headers, "mcp.internal:9300"),
            [":status", "content-type", "x-kept", "mcp-session-id", "x-ratelimit-remaining-requests"]
        );
        assert_eq!(passed(&[("x", "[::1]"), ("y", "::1")], "[::1]:9300"), ["y"]);
    }
}
