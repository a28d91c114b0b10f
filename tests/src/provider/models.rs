//! `GET /v1/models` and `GET /v1/models/{id}`. Any other model can be used as well.

use serde_json::{Value, json};

use super::answer::CREATED;
use super::reply::{Failure, Reply, Usage};

const MODELS: [&str; 5] =
    ["gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "claude-sonnet-4-5"];

pub(super) fn list() -> Reply {
    Reply::json(json!({ "object": "list", "data": MODELS.map(model) }), Usage::default())
}

pub(super) fn retrieve(id: &str) -> Result<Reply, Failure> {
    if !MODELS.contains(&id) {
        return Err(Failure::no_model(id));
    }
    Ok(Reply::json(model(id), Usage::default()))
}

fn model(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "sample" })
}
