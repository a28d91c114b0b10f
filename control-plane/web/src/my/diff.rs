//! What differs, field by field, as people read it.

use latchkey_api::versions::FieldChange;
use serde_json::Value;

use crate::format::count;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffRow {
    /// Which: `limits: requests per minute`.
    pub name: String,
    /// What it is, or was.
    pub before: String,
    /// What it is to be.
    pub after: String,
}

#[must_use]
pub fn rows(changes: &[FieldChange]) -> Vec<DiffRow> {
    changes.iter().map(row).collect()
}

fn row(FieldChange { path, before, after }: &FieldChange) -> DiffRow {
    let shown = |value: &Option<Value>| match value {
        None | Some(Value::Null) => nothing(path.root()).to_owned(),
        Some(value) => shown(value),
    };
    let (root, rest) = path.segments().split_first().map_or(("", [].as_slice()), |(root, rest)| (root, rest));
    let free = ["custom_categories", "prompts", "metadata"].contains(&root);
    let name = |segment: &String| if free { format!("“{segment}”") } else { segment.replace('_', " ") };
    let names = std::iter::once(root.replace('_', " ")).chain(rest.iter().map(name));
    DiffRow { name: names.collect::<Vec<_>>().join(": "), before: shown(before), after: shown(after) }
}

/// What a field that is null or not there means.
fn nothing(root: &str) -> &'static str {
    match root {
        "limits" | "named_key_limits" => "no limit",
        "expires_at" => "never",
        "ip_allow_list" => "any address",
        "identity" => "not set",
        _ => "none",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), count),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(shown).collect::<Vec<_>>().join("\n")
        }
        Value::Object(_) | Value::Array(_) => {
            budget(value).unwrap_or_else(|| serde_json::to_string_pretty(value).unwrap_or_default())
        }
    }
}

/// `$12.50 per month`, `1,000 tokens in total`.
fn budget(value: &Value) -> Option<String> {
    let amount = match (value["usd"].as_str(), value["tokens"].as_u64()) {
        (Some(usd), _) => format!("${usd}"),
        (None, Some(tokens)) => format!("{} tokens", count(tokens)),
        (None, None) => return None,
    };
    Some(match value["per"].as_str()? {
        "total" => format!("{amount} in total"),
        per => format!("{amount} per {per}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(path: &str, before: Option<Value>, after: Option<Value>) -> (String, String, String) {
        let DiffRow { name, before, after } =
            row(&FieldChange { path: path.parse().unwrap(), before, after });
        (name, before, after)
    }

    fn words(name: &str, before: &str, after: &str) -> (String, String, String) {
        (name.to_owned(), before.to_owned(), after.to_owned())
    }

    #[test]
    fn fields_are_said_in_words() {
        let of = read("limits.requests_per_minute", None, Some(json!(1200)));
        assert_eq!(of, words("limits: requests per minute", "no limit", "1,200"));
        let of = read("limits.budget", Some(json!({"usd": "5", "per": "month"})), Some(Value::Null));
        assert_eq!(of, words("limits: budget", "$5 per month", "no limit"));
        let of = read("allowed_models", Some(json!("all")), Some(json!(["a", "b"])));
        assert_eq!(of, words("allowed models", "all", "a\nb"));
        let of = read("prompts.my\\.p_1", None, Some(json!({"text": "Hi"})));
        assert_eq!(of, words("prompts: “my.p_1”", "none", "{\n  \"text\": \"Hi\"\n}"));
        assert_eq!(read("tags", Some(json!([])), Some(json!(["a"]))), words("tags", "none", "a"));
    }
}
