//! Headers in which a client repeats parts of its message, for routing. A server may believe the headers and
//! not the body, so both must agree.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::McpMessage;
use crate::answer::denial::{Code, Denial};
use crate::request::body::JsonObject;
use crate::request::header::Headers;

const METHOD: &str = "mcp-method";

/// The name of the called tool, or of the prompt or resource.
const NAME: &str = "mcp-name";

/// The protocol's version.
const VERSION: &str = "mcp-protocol-version";

/// The member with a message's protocol version.
const VERSION_MEMBER: &str = "io.modelcontextprotocol/protocolVersion";

/// The values of these headers. (Only the server knows the tools' schemas, and can check `Mcp-Param-…`.)
#[derive(Debug, Default)]
pub struct RepeatedHeaders {
    methods: Vec<Vec<u8>>,
    names: Vec<Vec<u8>>,
    versions: Vec<Vec<u8>>,
}

/// The parts of a message, beside its method, that headers repeat.
#[derive(Debug, Default)]
pub(super) struct RepeatedFields {
    /// Of the tool, prompt or resource; none where the method has none or the message lacks it.
    name: Option<String>,
    has_name: bool,
    version: Option<String>,
}

impl RepeatedFields {
    /// Reads the `params` of a message with this method.
    pub(super) fn read(method: &str, params: Option<&RawValue>) -> Self {
        let member = match method.to_ascii_lowercase().as_str() {
            "tools/call" | "prompts/get" => Some("name"),
            "resources/read" => Some("uri"),
            _ => None,
        };
        let text = params.map(RawValue::get).unwrap_or_default();
        let name = member.and_then(|member| JsonObject::read(text, [member]).ok()?.string(member));
        Self { name, has_name: member.is_some(), version: version(text) }
    }
}

/// The version in `_meta`, where every parser reads the same.
fn version(params: &str) -> Option<String> {
    if !params.contains(VERSION_MEMBER) {
        return None;
    }
    let meta = JsonObject::read(params, ["_meta"]).ok()?.get("_meta")?;
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(meta.get()).ok()?;
    serde_json::from_str(members.get(VERSION_MEMBER)?.get()).ok()
}

impl RepeatedHeaders {
    #[must_use]
    pub fn of(headers: Headers<'_>) -> Self {
        let all = |name| headers.all(name).map(<[u8]>::to_vec).collect();
        Self { methods: all(METHOD), names: all(NAME), versions: all(VERSION) }
    }

    /// Whether the headers agree with the message. Absent headers do.
    ///
    /// # Errors
    /// When one says something else, or cannot be decoded.
    pub fn check(&self, message: Option<&McpMessage>) -> Result<(), Denial> {
        let method = message.and_then(|message| message.method.as_deref()).unwrap_or_default();
        if self.methods.iter().any(|value| value != method.as_bytes()) {
            return Err(mismatch("`Mcp-Method` is not the message's `method`."));
        }
        let Some(RepeatedFields { name, has_name, version }) = message.map(|message| &message.repeated)
        else {
            return Ok(());
        };
        if version.as_ref().is_some_and(|said| self.versions.iter().any(|value| value != said.as_bytes())) {
            return Err(mismatch(
                "`MCP-Protocol-Version` is not the version that the message's `params._meta` names.",
            ));
        }
        for value in self.names.iter().filter(|_| *has_name) {
            let value = decode(value).ok_or_else(|| {
                mismatch("`Mcp-Name` is wrapped as `=?base64?…?=`, and what is in there is not Base64.")
            })?;
            if name.as_ref().is_none_or(|name| *value != *name.as_bytes()) {
                return Err(mismatch("`Mcp-Name` is not the name or URI in the message's `params`."));
            }
        }
        Ok(())
    }
}

/// Decodes a header's value: clients wrap what is not plain ASCII, or looks wrapped.
fn decode(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?=")) {
        Some(wrapped) => STANDARD.decode(wrapped).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(value)),
    }
}

fn mismatch(message: &'static str) -> Denial {
    Denial::new(Code::McpHeaderMismatch, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(headers: &[(&str, &str)], body: &str) -> bool {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let message = McpMessage::read(body.as_bytes()).unwrap();
        RepeatedHeaders::of(Headers(&headers)).check(Some(&message)).is_ok()
    }

    fn call(tool: &str) -> String {
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}})
            .to_string()
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let call = &*call("read");
        let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a://b"}}"#;
        let prompt = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"read"}}"#;
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        for (headers, body) in [
            (&[][..], call),
            (&[("mcp-method", "tools/call"), ("mcp-name", "read")], call),
            (&[("mcp-method", "resources/read"), ("mcp-name", "a://b")], read),
            (&[("mcp-name", "read")], prompt),
            (&[("mcp-name", "anything")], list),
            (&[], answer),
        ] {
            assert!(check(headers, body), "{headers:?} {body}");
        }
        for (headers, body) in [
            (&[("mcp-name", "drop")][..], call),
            (&[("mcp-name", "read"), ("mcp-name", "drop")], call),
            (&[("mcp-name", "read,drop")], call),
            (&[("mcp-name", "Read")], call),
            (&[("mcp-name", "a://c")], read),
            (&[("mcp-name", "drop")], prompt),
            (&[("mcp-name", "x")], r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get"}"#),
            (&[("mcp-method", "tools/list")], call),
            (&[("mcp-method", "tools/call")], read),
            (&[("mcp-method", "tools/call")], answer),
        ] {
            assert!(!check(headers, body), "{headers:?} {body}");
        }
        let headers = [("mcp-method".to_owned(), b"tools/call".to_vec())];
        assert!(
            RepeatedHeaders::of(Headers(&headers)).check(None).is_err(),
            "a request without a message has no method"
        );
    }

    #[test]
    fn wrapped_names_are_decoded_first() {
        for (header, name) in [
            ("=?base64?cmVjaGVyY2hlX2Rvbm7DqWVz?=", "recherche_données"),
            ("=?base64?w5xiZXItU3VjaGU=?=", "Über-Suche"),
            ("=?base64?PT9iYXNlNjQ/WVE9PT89?=", "=?base64?YQ==?="),
            ("=?base64?YQ==?=", "a"),
            ("recherche_données", "recherche_données"),
            ("=?Base64?YQ==?=", "=?Base64?YQ==?="),
            ("=?base64?=", "=?base64?="),
        ] {
            assert!(check(&[("mcp-name", header)], &call(name)), "{header}");
        }
        for (header, name) in [
            ("=?base64?ZHJvcA==?=", "recherche_données"),
            ("=?base64?YQ==?=", "=?base64?YQ==?="),
            ("=?base64?YQ?=", "a"),
            ("=?base64?YR==?=", "a"),
            ("=?base64?Y Q==?=", "a"),
            ("=?base64?w5xiZXItU3VjaGU?=", "Über-Suche"),
            ("=?base64?/w==?=", "ÿ"),
            ("=?base64??=", "a"),
        ] {
            assert!(!check(&[("mcp-name", header)], &call(name)), "{header}");
        }
    }

    #[test]
    fn the_version_is_the_one_that_the_message_names() {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{{"{VERSION_MEMBER}":"2026-07-28"}}}}}}"#
        );
        assert!(check(&[("mcp-protocol-version", "2026-07-28")], &body));
        assert!(!check(&[("mcp-protocol-version", "2025-06-18")], &body));
        let older = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{}}}"#;
        assert!(check(&[("mcp-protocol-version", "2025-06-18")], older));
    }

    proptest! {
        #[test]
        fn a_name_passes_as_its_client_wraps_it_and_as_no_other(
            name in "[^\\p{C}]{1,20}",
            other in "[^\\p{C}]{1,20}",
        ) {
            let wrap = |text: &str| format!("=?base64?{}?=", STANDARD.encode(text));
            prop_assert!(check(&[("mcp-name", &wrap(&name))], &call(&name)));
            prop_assert_eq!(check(&[("mcp-name", &wrap(&other))], &call(&name)), name == other);
        }
    }
}
