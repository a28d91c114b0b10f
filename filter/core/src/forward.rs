//! A request on its way to a provider or an MCP server.

use std::borrow::Cow;

use latchkey_proto::key::PREFIX;
use memchr::memmem;

use crate::account::Demand;
use crate::conversation;
use crate::credential;
use crate::endpoint::Operation;
use crate::header::Headers;
use crate::identity;
use crate::mcp::{self, Relay};
use crate::metering::Call;
use crate::snapshot::{Provider, ProviderKind};

/// The header that the route reads the cluster from.
pub const CLUSTER_HEADER: &str = "x-latchkey-cluster";

/// Headers for us alone begin so.
const OWN_PREFIX: &str = "x-latchkey-";

/// What a provider is never told, beside the API key. An encoded answer could not be read for its
/// usage. The last two choose whom it charges, and
/// there the operator's credential counts, not the client.
const PRIVATE: [&str; 8] = [
    "accept-encoding",
    "cookie",
    "proxy-authorization",
    identity::EMAIL_HEADER,
    identity::TOKEN_HEADER,
    conversation::HEADER,
    "openai-organization",
    "openai-project",
];

/// Where a request goes, and what it says there.
#[derive(Debug)]
pub struct Forward {
    /// The path there, with the query.
    pub path: String,
    /// Replaces the body, where the provider must be told something else than the client said.
    pub body: Option<Vec<u8>>,
    /// What is asked, of whom, and what is held for it.
    pub call: Call,
    /// Headers for the answer: how the limits stand.
    pub announced: Vec<(&'static str, String)>,
    /// Leases run low: what to ask the sync role for.
    pub ahead: Option<Demand>,
    /// Of an MCP server's answer: how it is passed on.
    pub relay: Option<Box<Relay>>,
    /// The MCP server's id of the session that the request is for.
    pub session: Option<String>,
}

/// One change of the request's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// The header.
    pub name: &'a str,
    /// Its only value from now on; none: the header is removed.
    pub value: Option<Cow<'a, str>>,
}

impl Forward {
    /// The path of an operation at a provider.
    pub(crate) fn path(provider: &Provider, operation: Operation, query: &str) -> String {
        let prefix = &provider.path_prefix;
        let version = match provider.kind {
            ProviderKind::Anthropic if !prefix.ends_with("/v1") => "/v1",
            _ => "",
        };
        [prefix, version, "/", operation.upstream_path(), query].concat()
    }

    /// What must change in the client's headers: no more than that, because each costs a host call.
    #[must_use]
    pub fn edits<'a>(&'a self, headers: Headers<'a>) -> Vec<Edit<'a>> {
        let mut edits: Vec<Edit<'a>> = [
            (":path", self.path.as_str()),
            (":authority", self.call.authority()),
            (CLUSTER_HEADER, self.call.cluster()),
        ]
        .into_iter()
        .filter(|(name, value)| headers.text(name) != Some(value))
        .map(|(name, value)| Edit { name, value: Some(Cow::Borrowed(value)) })
        .collect();
        if let Some(session) = &self.session {
            edits.push(Edit { name: mcp::SESSION_HEADER, value: Some(Cow::Borrowed(session)) });
        }
        if let Some(body) = &self.body
            && headers.all("content-length").next().is_some()
        {
            let value = Some(Cow::Owned(body.len().to_string()));
            edits.push(Edit { name: "content-length", value });
        }
        let key = memmem::Finder::new(PREFIX);
        for (name, value) in headers.0 {
            let withheld = is_withheld(name) || !name.starts_with(':') && key.find(value).is_some();
            if withheld && edits.iter().all(|edit| edit.name != name) {
                edits.push(Edit { name, value: None });
            }
        }
        edits
    }
}

fn is_withheld(name: &str) -> bool {
    credential::HEADERS.contains(&name)
        || PRIVATE.contains(&name)
        || name.starts_with(OWN_PREFIX) && name != CLUSTER_HEADER
}
