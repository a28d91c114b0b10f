//! What a client says of its message in headers, for those who route by them. A server may believe the
//! headers and not the body, so the two must agree.

use super::{Asks, Message};
use crate::denial::{Code, Denial};
use crate::header::Headers;

/// The message's method.
const METHOD: &str = "mcp-method";

/// The name of the tool that is called.
const NAME: &str = "mcp-name";

/// The values of these headers, in the order in which they came.
#[derive(Debug, Default)]
pub struct Mirror {
    methods: Vec<Vec<u8>>,
    names: Vec<Vec<u8>>,
}

impl Mirror {
    /// Of a request.
    #[must_use]
    pub fn of(headers: Headers<'_>) -> Self {
        let all = |name| headers.all(name).map(<[u8]>::to_vec).collect();
        Self { methods: all(METHOD), names: all(NAME) }
    }

    /// Decides whether they say what the message says. Headers that are not there say nothing.
    ///
    /// # Errors
    /// When one says something else.
    pub fn check(&self, message: Option<&Message>) -> Result<(), Denial> {
        let method = message.and_then(|message| message.method.as_deref()).unwrap_or_default();
        let differs = |values: &[Vec<u8>], said: &str| values.iter().any(|value| value != said.as_bytes());
        if differs(&self.methods, method) {
            return Err(Denial::new(Code::InvalidMcpMessage, "`Mcp-Method` is not the message's `method`."));
        }
        match message.map(|message| &message.asks) {
            Some(Asks::CallTool(tool)) if differs(&self.names, tool) => {
                Err(Denial::new(Code::InvalidMcpMessage, "`Mcp-Name` is not the message's `params.name`."))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)], body: &str) -> bool {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let message = Message::read(body.as_bytes()).unwrap();
        Mirror::of(Headers(&headers)).check(Some(&message)).is_ok()
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}"#;
        let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a://b"}}"#;
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        for (headers, body) in [
            (&[][..], call),
            (&[("mcp-method", "tools/call"), ("mcp-name", "read")], call),
            (&[("mcp-method", "resources/read"), ("mcp-name", "a://b")], read),
            (&[], answer),
        ] {
            assert!(check(headers, body), "{headers:?} {body}");
        }
        for (headers, body) in [
            (&[("mcp-name", "drop")][..], call),
            (&[("mcp-name", "read"), ("mcp-name", "drop")], call),
            (&[("mcp-name", "Read")], call),
            (&[("mcp-method", "tools/list")], call),
            (&[("mcp-method", "tools/call")], read),
            (&[("mcp-method", "tools/call")], answer),
        ] {
            assert!(!check(headers, body), "{headers:?} {body}");
        }
        let headers = [("mcp-method".to_owned(), b"tools/call".to_vec())];
        assert!(
            Mirror::of(Headers(&headers)).check(None).is_err(),
            "a request without a message has no method"
        );
    }
}
