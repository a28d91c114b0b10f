//! Denials in JSON-RPC's shape, for clients of MCP servers.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Code, Denial};
use crate::answer::reply::Reply;
use crate::request::redaction::without_keys;

const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
/// MCP's own, for headers that contradict the message.
const HEADER_MISMATCH: i32 = -32_020;
/// As MCP's SDKs report an unknown session.
const SESSION_NOT_FOUND: i32 = -32_001;
/// The first number that JSON-RPC leaves to servers.
const SERVER_ERROR: i32 = -32_000;

#[derive(Serialize)]
struct RpcErrorMessage<'a> {
    jsonrpc: &'static str,
    /// Null where unknown.
    id: Option<&'a RawValue>,
    error: Value,
}

impl Code {
    /// The code's number in JSON-RPC.
    #[must_use]
    pub fn rpc_number(self) -> i32 {
        match self {
            Self::InvalidJson => PARSE_ERROR,
            Self::McpHeaderMismatch => HEADER_MISMATCH,
            Self::McpSessionNotFound => SESSION_NOT_FOUND,
            code if matches!(code.status(), 400 | 405) || code == Self::UnknownEndpoint => INVALID_REQUEST,
            _ => SERVER_ERROR,
        }
    }
}

impl Denial {
    /// The answer to the request of this id.
    #[must_use]
    pub fn rpc_reply(&self, id: Option<&RawValue>) -> Reply {
        self.reply_with(self.rpc_error(id).into_bytes())
    }

    /// The same as a message.
    #[must_use]
    pub fn rpc_error(&self, id: Option<&RawValue>) -> String {
        let mut data = json!({"code": self.code.as_str(), "rule": self.code.rule()});
        if let (Some(limit), Some(data)) = (&self.limit_detail, data.as_object_mut()) {
            data.insert("limit".to_owned(), json!(limit));
        }
        if let (Some(block), Some(data)) = (&self.block, data.as_object_mut()) {
            data.insert("guardrail".to_owned(), json!(block));
        }
        let error =
            json!({"code": self.code.rpc_number(), "message": without_keys(&self.message), "data": data});
        serde_json::to_string(&RpcErrorMessage { jsonrpc: "2.0", id, error }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::denial::LimitDetail;

    fn body(denial: &Denial, id: Option<&str>) -> Value {
        let id = id.map(|id| RawValue::from_string(id.to_owned()).unwrap());
        serde_json::from_slice(&denial.rpc_reply(id.as_deref()).body).unwrap()
    }

    #[test]
    fn clients_of_mcp_servers_get_json_rpcs_shape() {
        assert_eq!(
            body(&Code::McpServerNotAllowed.into(), Some("\"a\"")),
            json!({"jsonrpc": "2.0", "id": "a", "error": {"code": -32000,
                "message": "The app is not allowed to use this MCP server.",
                "data": {"code": "mcp_server_not_allowed", "rule": "app.mcp"}}})
        );
        assert_eq!(body(&Code::KeyRevoked.into(), None)["id"], Value::Null);
        let reply = Denial::from(Code::KeyRevoked).rpc_reply(None);
        assert_eq!(reply.status, 401);
        assert!(reply.headers.contains(&("www-authenticate", "Bearer".into())));
    }

    #[test]
    fn a_limit_says_what_is_left() {
        let limit_detail = LimitDetail {
            name: "requests_per_minute",
            owner: "app",
            limit: 60,
            remaining: 0,
            needed: 1,
            resets_at: None,
            retry_after_ms: Some(2_400),
            headers: vec![],
        };
        let denial = Denial { limit_detail: Some(Box::new(limit_detail)), ..Code::RateLimitExceeded.into() };
        let error = &body(&denial, Some("7"))["error"];
        assert_eq!(error["data"]["limit"]["remaining"], 0);
        assert_eq!(error["code"], -32000);
        assert!(denial.rpc_reply(None).headers.contains(&("retry-after-ms", "2400".into())));
    }

    #[test]
    fn the_numbers_are_json_rpcs_where_they_fit() {
        assert_eq!(Code::InvalidJson.rpc_number(), -32700);
        for code in [Code::InvalidMcpMessage, Code::KeyInQuery, Code::UnknownEndpoint, Code::MethodNotAllowed]
        {
            assert_eq!(code.rpc_number(), -32600, "{code:?}");
        }
        assert_eq!(Code::McpHeaderMismatch.rpc_number(), -32020);
        assert_eq!(Code::McpSessionNotFound.rpc_number(), -32001);
        for code in [Code::MissingApiKey, Code::McpServerNotFound, Code::McpToolNotAllowed, Code::LedgerFull]
        {
            assert_eq!(code.rpc_number(), -32000, "{code:?}");
        }
    }
}
