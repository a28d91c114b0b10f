//! The request to the provider or the MCP server: its path, its headers and its body.

use std::borrow::Cow;

use crate::guardrails::Inspection;
use crate::limits::account::Demand;
use crate::mcp::{self, McpRelay};
use crate::request::endpoint::ModelOperation;
use crate::request::header::{Header, Headers, essence};
use crate::snapshot::{Provider, ProviderKind};
use crate::upstream::call::UpstreamCall;
use crate::upstream::header_filter;

/// The header from which the route takes the cluster.
pub const CLUSTER_HEADER: &str = "x-latchkey-cluster";

/// The header that selects a route with another idle timeout.
pub const IDLE_TIMEOUT_HEADER: &str = "x-latchkey-idle-timeout";

/// Query parameters that providers get: Anthropic's SDKs and Azure's need them. Any other might name another
/// model, or hold a key.
const FORWARDED_PARAMETERS: [&str; 2] = ["api-version", "beta"];

const JSON: &str = "application/json";

/// What is sent where.
#[derive(Debug)]
pub struct Forward {
    /// With the query.
    pub path: String,
    /// Whether the body was read as JSON.
    pub is_json: bool,
    /// Replaces the client's body, where it must change.
    pub body: Option<Vec<u8>>,
    pub call: UpstreamCall,
    /// Headers to add to the answer: the limits.
    pub response_headers: Vec<(&'static str, String)>,
    /// What to ask the sync role for, where the leases run low.
    pub refill: Option<Demand>,
    /// How an MCP server's answer is passed on.
    pub relay: Option<Box<McpRelay>>,
    /// The MCP server's own id of the session.
    pub session: Option<String>,
    /// What guardrails did, and what they are to do with the answer; none where the app has none.
    pub inspection: Option<Box<Inspection>>,
}

/// A change of one request header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEdit<'a> {
    pub name: Cow<'a, str>,
    /// The only value; none: the header is removed.
    pub value: Option<Cow<'a, str>>,
}

impl<'a> HeaderEdit<'a> {
    /// The header gets this value.
    pub(crate) fn set(name: &'a str, value: &'a str) -> Self {
        Self { name: Cow::Borrowed(name), value: Some(Cow::Borrowed(value)) }
    }
}

impl Forward {
    /// The path of an operation at a provider.
    pub(crate) fn path(provider: &Provider, operation: ModelOperation, query: &str) -> String {
        let query = forwarded_query(query);
        let prefix = &provider.path_prefix;
        let version = match provider.kind {
            ProviderKind::Anthropic if !prefix.ends_with("/v1") => "/v1",
            _ => "",
        };
        [prefix, version, "/", operation.upstream_path(), &query].concat()
    }

    /// The changes to the client's headers, no more than needed: each costs a host call.
    #[must_use]
    pub fn edits<'a>(&'a self, headers: Headers<'a>) -> Vec<HeaderEdit<'a>> {
        let mut edits: Vec<HeaderEdit<'a>> = match self.call.attempts() {
            // Each try sets its own path and authority.
            Some(attempts) => attempts.borrow().retry_headers(),
            None => [
                (":path", self.path.as_str()),
                (":authority", self.call.authority()),
                (CLUSTER_HEADER, self.call.cluster()),
            ]
            .into_iter()
            .filter(|(name, value)| headers.text(name) != Some(value))
            .map(|(name, value)| HeaderEdit::set(name, value))
            .collect(),
        };
        edits.extend(self.session.iter().map(|session| HeaderEdit::set(mcp::SESSION_HEADER, session)));
        // Providers that go by the type must read the same as the gate.
        if self.is_json && headers.text("content-type").is_none_or(|it| !is_json(it)) {
            edits.push(HeaderEdit::set("content-type", JSON));
        }
        let idle_timeout = self.call.idle_timeout().filter(|_| self.call.attempts().is_none());
        edits.extend(idle_timeout.map(|it| HeaderEdit::set(IDLE_TIMEOUT_HEADER, it)));
        if let Some(body) = &self.body
            && headers.all("content-length").next().is_some()
        {
            let value = Some(Cow::Owned(body.len().to_string()));
            edits.push(HeaderEdit { name: Cow::Borrowed("content-length"), value });
        }
        let is_forwarded = match self.call {
            UpstreamCall::Model(_) => header_filter::is_forwarded,
            UpstreamCall::Mcp(_) => header_filter::is_forwarded_to_server,
        };
        // They repeat the message as the client has sent it, and a server may believe them and not the body.
        let is_stale = |name: &str| {
            let UpstreamCall::Mcp(call) = &self.call else { return false };
            let is_edited = self.body.is_some();
            let is_judged = is_edited || call.has_argument_rules;
            is_edited && name == "mcp-name" || is_judged && is_mcp_parameter(name)
        };
        let is_removed = |header: &&Header| !is_forwarded(header) || is_stale(&header.0);
        for header in headers.0.iter().filter(is_removed) {
            let name = header.0.as_str();
            let is_ours = name == CLUSTER_HEADER && self.call.attempts().is_none();
            if !is_ours && edits.iter().all(|edit| edit.name != name) {
                edits.push(HeaderEdit { name: Cow::Borrowed(name), value: None });
            }
        }
        edits
    }
}

/// Whether a header repeats an argument. Some servers do not tell `_` from `-`.
fn is_mcp_parameter(name: &str) -> bool {
    const PREFIX: &[u8] = b"mcp-param-";
    let prefix = name.as_bytes().get(..PREFIX.len()).unwrap_or_default();
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    prefix.iter().map(plain).eq(PREFIX.iter().copied())
}

/// The provider's query with its question mark, or nothing.
fn forwarded_query(query: &str) -> String {
    let is_plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_forwarded = |parameter: &&str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        FORWARDED_PARAMETERS.contains(&name) && is_plain(value)
    };
    let parameters: Vec<_> = query.trim_start_matches('?').split('&').filter(is_forwarded).collect();
    match parameters.as_slice() {
        [] => String::new(),
        _ => ["?", &parameters.join("&")].concat(),
    }
}

/// Whether every reader takes a content type for JSON.
fn is_json(content_type: &str) -> bool {
    let parameters = content_type.split_once(';').map_or("", |(_, parameters)| parameters);
    let parameters = parameters.trim().to_ascii_lowercase();
    essence(content_type).eq_ignore_ascii_case(JSON)
        && matches!(&*parameters, "" | "charset=utf-8" | "charset=utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_told_the_parameters_that_are_known() {
        for (query, told) in [
            ("", ""),
            ("?", ""),
            ("?beta=true", "?beta=true"),
            ("?model=dear", ""),
            ("?model=dear&beta=true&n=8&api-version=2026-01-01", "?beta=true&api-version=2026-01-01"),
            ("?beta=true;model=dear", ""),
            ("?beta=%26model=dear", ""),
            ("?%62eta=true&Beta=1&beta[x]=1", ""),
            ("?beta", "?beta"),
        ] {
            assert_eq!(forwarded_query(query), told, "{query}");
        }
    }

    #[test]
    fn headers_that_repeat_arguments_are_known_by_their_prefix() {
        for name in ["mcp-param-repo", "mcp-param-", "mcp_param_repo", "mcp-param_x"] {
            assert!(is_mcp_parameter(name), "{name}");
        }
        for name in ["mcp-param", "mcp-name", "x-mcp-param-repo", "mcp-params-x", ""] {
            assert!(!is_mcp_parameter(name), "{name}");
        }
    }

    #[test]
    fn what_is_read_as_json_is_sent_as_json() {
        for same in ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=UTF-8"]
        {
            assert!(is_json(same), "{same}");
        }
        for other in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json, application/x-www-form-urlencoded",
            "application/json; x=multipart/form-data",
            "application/jsonp",
        ] {
            assert!(!is_json(other), "{other}");
        }
    }
}
