//! Answers that redirect. A client that followed would bypass the gateway and learn internal hosts, so it is
//! told that an admin must register another URL.

use std::borrow::Cow;

use crate::answer::denial::{Code, Denial};
use crate::answer::reply::Reply;
use crate::request::header::Headers;
use crate::upstream::call::UpstreamCall;

/// Longest location to show, in bytes.
const LONGEST: usize = 256;

/// What to do with an answer that redirects.
#[derive(Debug)]
pub struct Redirect {
    pub reply: Reply,
    /// The target, without query and password, for the operator's log.
    pub location: String,
}

impl Redirect {
    /// None where the answer does not redirect.
    #[must_use]
    pub fn of(status: u16, headers: Headers<'_>, call: &UpstreamCall) -> Option<Self> {
        if !(300..400).contains(&status) {
            return None;
        }
        let location = String::from_utf8_lossy(headers.all("location").next().unwrap_or_default());
        let denial = Denial::new(Code::UpstreamRedirected, message(call, path(&location)));
        let reply = match call {
            UpstreamCall::Model(call) => denial.reply(call.operation.client_api()),
            UpstreamCall::Mcp(_) => denial.rpc_reply(None),
        };
        Some(Self { reply, location: shortened(&place(&location)).to_owned() })
    }
}

fn message(call: &UpstreamCall, path: Option<Cow<'_, str>>) -> String {
    let who = match call {
        UpstreamCall::Model(_) => "The provider",
        UpstreamCall::Mcp(_) => "The MCP server",
    };
    let to = path.map(|path| format!(" to …{path}")).unwrap_or_default();
    format!(
        "{who} redirects{to} instead of answering, and the gateway does not follow. An admin must register the \
         URL that it redirects to: Envoy's access log has it as redirected_to."
    )
}

/// A location without user, password, query and fragment, which may be secret.
fn place(location: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let location = location.get(..end).unwrap_or_default();
    let Some((scheme, rest)) = location.split_once("//") else { return location.to_owned() };
    let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    [scheme, "//", host, path].concat()
}

/// The path of a location without the host: `http://mcp.internal:9300/mcp/?x` leads to `/mcp/`.
fn path(location: &str) -> Option<Cow<'_, str>> {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let location = location.get(..end)?;
    let scheme_ends = location.find("://").map(|at| at.saturating_add(1));
    let after_scheme = location.get(scheme_ends.unwrap_or_default()..)?;
    let path = match after_scheme.starts_with("//") {
        true => {
            let authority = after_scheme.trim_start_matches('/');
            authority.get(authority.find('/')?..)?
        }
        false => after_scheme,
    };
    let path = shortened(path);
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains([':', '\\', '@']);
    match plain && !path.is_empty() {
        true if path.starts_with('/') => Some(Cow::Borrowed(path)),
        true => Some(Cow::Owned(["/", path].concat())),
        false => None,
    }
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_path_of_a_location_is_told() {
        for (location, told) in [
            ("http://mcp.internal:9300/mcp/", Some("/mcp/")),
            ("HTTPS://user:secret@mcp.internal/mcp/?token=x#y", Some("/mcp/")),
            ("//mcp.internal/mcp/", Some("/mcp/")),
            ("/mcp/", Some("/mcp/")),
            ("mcp/", Some("/mcp/")),
            ("http://mcp.internal", None),
            ("//mcp.internal?x=/y", None),
            ("mailto:ana@acme.com", None),
            ("\\\\mcp.internal\\mcp", None),
            ("///mcp.internal/mcp/", Some("/mcp/")),
            (" //mcp.internal/mcp/", None),
            ("/\\mcp.internal/mcp/", None),
            ("", None),
        ] {
            assert_eq!(path(location).as_deref(), told, "{location}");
        }
    }

    #[test]
    fn no_secret_of_a_location_is_logged() {
        for (location, logged) in [
            ("https://user:secret@mcp.internal:1/mcp/?token=x#y", "https://mcp.internal:1/mcp/"),
            ("//a@b@mcp.internal", "//mcp.internal"),
            ("/mcp/?token=x", "/mcp/"),
            ("", ""),
        ] {
            assert_eq!(place(location), logged, "{location}");
        }
    }

    proptest! {
        #[test]
        fn no_host_is_told(
            start in "(https?:|HTTP:)?[/ \\\\]{2,3}",
            user in "([a-z]{1,5}@)?",
            rest in "(:[0-9]{1,5})?(/[a-z/]{0,20})?([?#][a-z:/.]{0,20})?",
        ) {
            let told = path(&format!("{start}{user}mcp.internal{rest}")).unwrap_or_default().into_owned();
            prop_assert!(!told.contains("internal"), "{}", told);
        }
    }
}
