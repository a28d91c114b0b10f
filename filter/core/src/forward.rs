//! A request on its way to a provider.

use std::borrow::Cow;
use std::rc::Rc;

use latchkey_proto::key::PREFIX;
use memchr::memmem;

use crate::credential;
use crate::endpoint::Operation;
use crate::header::Headers;
use crate::snapshot::{Provider, ProviderKind};

/// The header that the route reads the cluster from.
pub const CLUSTER_HEADER: &str = "x-latchkey-cluster";

/// Headers for us alone begin so.
const OWN_PREFIX: &str = "x-latchkey-";

/// What a provider is never told, beside the API key. The last two choose whom it charges, and
/// there the operator's credential counts, not the client.
const PRIVATE: [&str; 5] =
    ["cookie", "proxy-authorization", "x-user-email", "openai-organization", "openai-project"];

/// Where a request goes, and what it says there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Who serves it.
    pub provider: Rc<Provider>,
    /// The path there, with the query.
    pub path: String,
    /// What the client has asked for.
    pub model: String,
    /// Replaces the body, where the provider has another name for the model.
    pub body: Option<Vec<u8>>,
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
    pub(crate) fn new(
        provider: Rc<Provider>,
        operation: Operation,
        query: &str,
        model: String,
        body: Option<Vec<u8>>,
    ) -> Self {
        let prefix = &provider.path_prefix;
        let version = match provider.kind {
            ProviderKind::Anthropic if !prefix.ends_with("/v1") => "/v1",
            _ => "",
        };
        let path = [prefix, version, "/", operation.upstream_path(), query].concat();
        Self { provider, path, model, body }
    }

    /// What must change in the client's headers: no more than that, because each costs a host call.
    #[must_use]
    pub fn edits<'a>(&'a self, headers: Headers<'a>) -> Vec<Edit<'a>> {
        let mut edits: Vec<Edit<'a>> = [
            (":path", self.path.as_str()),
            (":authority", &self.provider.authority),
            (CLUSTER_HEADER, &self.provider.cluster),
        ]
        .into_iter()
        .filter(|(name, value)| headers.text(name) != Some(value))
        .map(|(name, value)| Edit { name, value: Some(Cow::Borrowed(value)) })
        .collect();
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
