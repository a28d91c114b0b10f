//! The methods that are open to an app that may use some of a server's tools only.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::McpMessage;

/// From all versions of the protocol: what opens a session or tells about the server, tools, and
/// notifications by clients. Not: resources, prompts and their completion; tasks, which any key of the app
/// could have started; and unknown methods.
const OPEN: [&str; 11] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "tools/call",
    "logging/setLevel",
    "subscriptions/listen",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
];

impl McpMessage {
    /// Whether an app that may use some tools only may send it: one of these methods in exact spelling, or an
    /// answer to the server.
    #[must_use]
    pub fn is_open_to_partial_access(&self) -> bool {
        self.method.as_deref().is_none_or(|method| OPEN.contains(&method)) && !self.subscribes
    }
}

/// Whether the `params` of `subscriptions/listen` name resources.
pub(super) fn subscribes(params: Option<&str>) -> bool {
    let Some(params) = params else { return false };
    let Ok(AllMembers(params)) = serde_json::from_str(params) else { return true };
    params.iter().filter(|(name, _)| name.eq_ignore_ascii_case("notifications")).any(|(_, wanted)| {
        let Ok(AllMembers(wanted)) = serde_json::from_str(wanted.get()) else { return true };
        let is_subscription = |name: &str| name.to_ascii_lowercase().contains("subscription");
        wanted.iter().any(|(name, value)| is_subscription(name) && !matches!(value.get(), "null" | "[]"))
    })
}

/// All members of an object, in order.
#[derive(Default)]
pub(super) struct AllMembers<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for AllMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AllMembersVisitor)
    }
}

struct AllMembersVisitor;

impl<'de> Visitor<'de> for AllMembersVisitor {
    type Value = AllMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AllMembers<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(AllMembers(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open_to_partial_access(method: &str, params: &str) -> bool {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        McpMessage::read(body.as_bytes()).unwrap().is_open_to_partial_access()
    }

    #[test]
    fn what_is_not_known_is_not_open() {
        for method in OPEN {
            assert!(is_open_to_partial_access(method, r#"{"name":"x"}"#), "{method}");
        }
        for method in [
            "tasks/list",
            "tasks/get",
            "tasks/result",
            "tasks/cancel",
            "tasks/update",
            "tools/call/",
            "x/y",
            "resources/read",
            "resources/subscribe",
            "prompts/get",
            "completion/complete",
            "Tools/List",
            "Tools/Call",
            "notifications/",
            "notifications/x",
            "initialize/",
            "sampling/createMessage",
        ] {
            assert!(!is_open_to_partial_access(method, r#"{"name":"x"}"#), "{method}");
        }
        let answer = McpMessage::read(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap();
        assert!(answer.is_open_to_partial_access());
    }

    #[test]
    fn resources_are_not_listened_to() {
        let listen = |wanted: &str| is_open_to_partial_access("subscriptions/listen", wanted);
        for wanted in [
            "{}",
            r#"{"notifications":{"toolsListChanged":true,"resourcesListChanged":true}}"#,
            r#"{"notifications":{"resourceSubscriptions":[]}}"#,
        ] {
            assert!(listen(wanted), "{wanted}");
        }
        for wanted in [
            r#"{"notifications":{"resourceSubscriptions":["file:///a"]}}"#,
            r#"{"notifications":{"resourceSubscriptions":["a"],"resourceSubscriptions":[]}}"#,
            r#"{"notifications":[]}"#,
            "[]",
        ] {
            assert!(!listen(wanted), "{wanted}");
        }
    }
}
