//! Denials in OAuth's shape (RFC 6749, 5.2), for clients that look for an authorization server and read
//! `error` as a string.

use serde_json::json;

use super::Denial;
use crate::answer::reply::Reply;

impl Denial {
    /// The answer to such a client.
    #[must_use]
    pub fn oauth_reply(&self) -> Reply {
        let error = if self.code.status() < 500 { "invalid_request" } else { "temporarily_unavailable" };
        let body = json!({
            "error": error,
            "error_description": self.message,
            "code": self.code.as_str(),
            "rule": self.code.rule(),
        });
        self.reply_with(body.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::answer::denial::Code;

    #[test]
    fn the_error_is_a_string() {
        let reply = Denial::new(Code::UnknownEndpoint, "no OAuth here").oauth_reply();
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply.status, 404);
        assert_eq!(
            (&body["error"], &body["error_description"]),
            (&json!("invalid_request"), &json!("no OAuth here"))
        );
    }
}
