//! `POST /v1/embeddings`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{Ask, Input};
use super::behaviour::Behaviour;
use super::reply::Usage;
use super::reply::{Failure, Reply};

const DIMENSIONS: u64 = 1536;
const MOST_DIMENSIONS: u64 = 4096;

pub(super) fn answer(ask: &Ask, behaviour: &Behaviour) -> Result<Reply, Failure> {
    let model = ask.model()?;
    let inputs = inputs(&ask.0["input"])?;
    let dimensions = ask.limit(&["dimensions"]).unwrap_or(DIMENSIONS).min(MOST_DIMENSIONS);
    let as_base64 = ask.0["encoding_format"] == "base64";
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let vector = vector(input, dimensions);
        let embedding = if as_base64 { json!(packed(&vector)) } else { json!(vector) };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    // No provider caches the input of embeddings, or says so.
    let usage = Usage { cached: 0, ..said(&ask.0["input"]).billed(0, 0, behaviour) };
    let mut body = json!({ "object": "list", "model": model, "data": data.collect::<Vec<_>>() });
    if !behaviour.no_usage {
        body["usage"] = json!({ "prompt_tokens": usage.input, "total_tokens": usage.input });
    }
    Ok(Reply::json(body, usage))
}

/// One text, several, or the same as token numbers.
fn inputs(input: &Value) -> Result<Vec<String>, Failure> {
    let inputs = match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().all(Value::is_number) => vec![input.to_string()],
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
        }
        _ => vec![],
    };
    if inputs.is_empty() || input == &json!([]) {
        return Err(Failure::invalid("'input' must not be empty".to_owned()));
    }
    Ok(inputs)
}

/// The tokens of all inputs; a number is a token.
fn said(input: &Value) -> Input {
    match input {
        Value::String(text) => Input::of(text),
        Value::Number(_) => Input::counted(1),
        Value::Array(items) => items.iter().map(said).sum(),
        _ => Input::default(),
    }
}

/// A vector of length one that only this input has.
fn vector(input: &str, dimensions: u64) -> Vec<f32> {
    let raw = (0..dimensions)
        .map(|dimension| {
            let mut hasher = DefaultHasher::new();
            (input, dimension).hash(&mut hasher);
            (hasher.finish() % 2001) as f32 - 1000.0
        })
        .collect::<Vec<_>>();
    let length = raw.iter().map(|value| value * value).sum::<f32>().sqrt().max(1.0);
    raw.into_iter().map(|value| value / length).collect()
}

/// The vector as the SDK asks for it: little-endian floats in base64.
fn packed(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}
