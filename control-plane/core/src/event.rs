//! Events: which kinds there are, and how people read them.

use serde_json::Value;

use crate::hidden::reveal;
use crate::wording::{count, words};

/// Every kind of event that is listed and sent to webhooks.
pub const KINDS: [&str; 20] = [
    "quota.threshold",
    "quota.exceeded",
    "quota.resolved",
    "key.created",
    "key.rotated",
    "key.revoked",
    "key.expiring",
    "change_request.submitted",
    "change_request.approved",
    "change_request.rejected",
    "change_request.failed",
    "change_request.stale",
    "change_request.withdrawn",
    GUARDRAIL_VIOLATION,
    RATE_LIMITED,
    "gateway.disconnected",
    "provider.failing",
    TOOL_CHANGED,
    "webhook.disabled",
    AUDIT_ACTION,
];

/// What guardrails found, counted by app, rule and minute. Written only while a webhook asks for it.
pub const GUARDRAIL_VIOLATION: &str = "guardrail.violation";

/// Requests that a limit per time refused, counted by app, rule and minute. Written only while a webhook asks for it.
pub const RATE_LIMITED: &str = "request.rate_limited";

/// A pinned tool of an MCP server that has changed and is quarantined.
pub const TOOL_CHANGED: &str = "mcp_tool.changed";

/// Whatever the audit log is told. Written only while a webhook asks for it.
pub const AUDIT_ACTION: &str = "audit.action";

/// A message that only says that messages arrive. Webhooks get it, whatever they ask for; it is never listed.
pub const TEST: &str = "webhook.test";

/// What happened, in a sentence. Whose key or app it is stands beside it.
#[must_use]
pub fn sentence(kind: &str, data: &Value) -> String {
    let by = |done: &str| match data["actor"]["name"].as_str() {
        Some(name) => format!("{done} by {name}"),
        None => done.to_owned(),
    };
    match kind {
        "quota.threshold" => format!("{}% of {}", text(&data["percent"]), quota(data)),
        "quota.exceeded" => format!("Used up: {}", quota(data)),
        "quota.resolved" if data["limit"].is_null() => {
            "Available again: there is no budget anymore".to_owned()
        }
        "quota.resolved" => format!("Available again ({}): {}", words(&text(&data["reason"])), quota(data)),
        "key.created" => by("Key created"),
        "key.rotated" => by("Key rotated"),
        "key.revoked" if data["all_keys"] == true => by("All keys of the app revoked"),
        "key.revoked" => by("Key revoked"),
        "key.expiring" => {
            let days = data["days"].as_u64().unwrap_or(0);
            let (within, at) = (if days == 1 { "day" } else { "days" }, text(&data["expires_at"]));
            format!("Key expires within {days} {within}, at {at}")
        }
        GUARDRAIL_VIOLATION => {
            let (rule, action) = (text(&data["rule"]), words(&text(&data["action"])));
            format!("{} findings of {rule} in one minute: {action}", text(&data["count"]))
        }
        RATE_LIMITED => {
            format!("{} requests refused in one minute: {}", text(&data["count"]), text(&data["rule"]))
        }
        "gateway.disconnected" => format!("Gateway {} is disconnected", text(&data["gateway"])),
        "provider.failing" => {
            let (provider, model) = (text(&data["provider"]), text(&data["model"]));
            let status = data["status"].as_u64().map(|status| format!(" {status}")).unwrap_or_default();
            let reason = words(&text(&data["reason"]));
            format!("{provider}/{model} is failing at {}: {reason}{status}", text(&data["gateway"]))
        }
        TOOL_CHANGED => {
            let (tool, server) = (reveal(&text(&data["tool"])), text(&data["server"]));
            format!("The tool {tool} of the MCP server {server} has changed and is quarantined")
        }
        "webhook.disabled" => {
            let (name, reason) = (text(&data["subject"]["name"]), text(&data["reason"]));
            format!("Webhook {name} was disabled: {reason}")
        }
        AUDIT_ACTION => {
            let (action, name) = (text(&data["action"]), text(&data["subject"]["name"]));
            by(&format!("{action}: {name}"))
        }
        TEST => "Test: messages from this webhook arrive here.".to_owned(),
        kind if kind.starts_with("change_request.") => {
            let (kind, requester, reason) =
                (words(&text(&data["kind"])), text(&data["requester"]), text(&data["reason"]));
            format!("{kind} by {requester}: {reason}")
        }
        _ => pairs(data),
    }
}

/// `the budget of $10 per month: $8.12 used`.
fn quota(data: &Value) -> String {
    let (bucket, unit) = match data["bucket"].as_str() {
        Some("cost_budget") => ("budget", "$"),
        Some("token_budget") => ("token budget", ""),
        _ => ("limit", ""),
    };
    let per = match data["per"].as_str() {
        None | Some("total") => "in total".to_owned(),
        Some(per) => format!("per {per}"),
    };
    let (limit, used) = (text(&data["limit"]), text(&data["used"]));
    format!("the {bucket} of {unit}{limit} {per}: {unit}{used} used")
}

fn pairs(data: &Value) -> String {
    let pairs = data.as_object().into_iter().flatten();
    pairs.map(|(name, value)| format!("{}: {}", words(name), text(value))).collect::<Vec<_>>().join(", ")
}

fn text(value: &Value) -> String {
    if let Some(number) = value.as_u64() {
        return count(number);
    }
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_told_in_words() {
        let budget =
            json!({"bucket": "cost_budget", "per": "month", "limit": "10", "used": "8.12", "percent": 80});
        assert_eq!(sentence("quota.threshold", &budget), "80% of the budget of $10 per month: $8.12 used");
        let tokens = json!({"bucket": "token_budget", "per": "total", "limit": 5_000, "used": 5_010});
        assert_eq!(
            sentence("quota.exceeded", &tokens),
            "Used up: the token budget of 5,000 in total: 5,010 used"
        );
        let by = json!({"actor": {"kind": "user", "id": "1", "name": "owner@acme.com"}});
        assert_eq!(sentence("key.rotated", &by), "Key rotated by owner@acme.com");
        let days = json!({"days": 1, "expires_at": "2026-12-01T00:00:00Z"});
        assert_eq!(sentence("key.expiring", &days), "Key expires within 1 day, at 2026-12-01T00:00:00Z");
        let found = json!({"rule": "pii/email", "action": "would_block", "count": 1_200});
        assert_eq!(
            sentence(GUARDRAIL_VIOLATION, &found),
            "1,200 findings of pii/email in one minute: would block"
        );
        let tool = json!({"server": "github", "tool": "add\u{200b}"});
        assert_eq!(
            sentence(TOOL_CHANGED, &tool),
            "The tool add⟨U+200B⟩ of the MCP server github has changed and is quarantined"
        );
        assert_eq!(sentence("some.other", &json!({"key_name": "laptop"})), "key name: laptop");
    }
}
