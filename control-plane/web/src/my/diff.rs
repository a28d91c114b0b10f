//! What differs, field by field, as people read it.

use std::collections::BTreeSet;

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
    if let ["custom_categories", _, leaf @ ("values" | "learned")] =
        path.segments().iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        let said = if leaf == "values" { values } else { learned };
        let name = format!("custom categories: “{}”: “{leaf}”", path.segments()[1]);
        return DiffRow {
            name,
            before: said(before.as_ref(), None),
            after: said(after.as_ref(), before.as_ref()),
        };
    }
    let condensed = |value: &Option<Value>| match path.root() {
        "custom_categories" => value.clone().map(condensed),
        _ => value.clone(),
    };
    let (before, after) = (&condensed(before), &condensed(after));
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

/// A category without hashes and weights.
fn condensed(mut category: Value) -> Value {
    let said = [values(category.get("values"), None), learned(category.get("learned"), None)];
    for (field, said) in ["values", "learned"].into_iter().zip(said) {
        if let Some(value) = category.get_mut(field) {
            *value = said.into();
        }
    }
    category
}

/// How many values a list has: `12 (3 added, 1 removed)`.
fn values(list: Option<&Value>, before: Option<&Value>) -> String {
    let items = |list: Option<&Value>| list.and_then(Value::as_array).cloned().unwrap_or_default();
    let set = |list| items(list).iter().map(Value::to_string).collect::<BTreeSet<_>>();
    let (now, then) = (set(list), set(before));
    let all = if now.is_empty() { "none".to_owned() } else { count(now.len() as u64) };
    let (added, removed) = (now.difference(&then).count(), then.difference(&now).count());
    if before.is_none() { all } else { format!("{all} ({added} added, {removed} removed)") }
}

/// How good it is.
fn learned(learned: Option<&Value>, _: Option<&Value>) -> String {
    let percent = |field: &str| learned.and_then(|it| it[field].as_u64());
    match (percent("precision_percent"), percent("recall_percent")) {
        (Some(precision), Some(recall)) => format!("{precision}% precision, {recall}% recall"),
        _ => "nothing".to_owned(),
    }
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
        let of =
            read("custom_categories.P.values", Some(json!(["hash:a"])), Some(json!(["hash:b", "hash:c"])));
        assert_eq!(of, words("custom categories: “P”: “values”", "1", "2 (2 added, 1 removed)"));
        let learned = json!({"precision_percent": 93, "recall_percent": 80, "weights": "AAAA"});
        let of = read("custom_categories.P.learned", None, Some(learned.clone()));
        assert_eq!(of, words("custom categories: “P”: “learned”", "nothing", "93% precision, 80% recall"));
        let (.., after) =
            read("custom_categories.P", None, Some(json!({"learned": learned, "values": ["hash:a"]})));
        assert!(
            after.contains("93% precision") && !after.contains("AAAA") && !after.contains("hash:"),
            "{after}"
        );
    }
}
