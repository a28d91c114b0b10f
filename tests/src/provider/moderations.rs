//! `POST /v1/moderations`: violent is what speaks of killing.

use serde_json::{Value, json};

use super::answer::{Ask, text_of};
use super::reply::{Failure, Reply, Usage};

pub(super) fn answer(ask: &Ask) -> Result<Reply, Failure> {
    let inputs = match &ask.0["input"] {
        Value::Array(items) if items.iter().all(Value::is_string) => items.iter().map(text_of).collect(),
        input => vec![text_of(input)],
    };
    let results = inputs.iter().map(|input| {
        let violent = input.contains("kill");
        let score = if violent { 0.9 } else { 0.001 };
        json!({
            "flagged": violent,
            "categories": { "hate": false, "harassment": false, "self-harm": false, "sexual": false, "violence": violent },
            "category_scores": { "hate": 0.0, "harassment": 0.0, "self-harm": 0.0, "sexual": 0.0, "violence": score },
        })
    });
    let model = ask.0["model"].as_str().unwrap_or("omni-moderation-latest");
    let body = json!({ "id": ask.id("modr-"), "model": model, "results": results.collect::<Vec<_>>() });
    Ok(Reply::json(body, Usage::default()))
}
