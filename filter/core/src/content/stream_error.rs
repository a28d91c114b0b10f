//! The event by which each API ends a stream with an error.

use serde_json::{Value, json};

use crate::answer::denial::Denial;
use crate::request::endpoint::{ClientApi, ModelOperation};

/// The event that ends a stream because of a denial. Nothing may follow it.
#[must_use]
pub fn stream_error(operation: ModelOperation, denial: &Denial) -> Vec<u8> {
    let api = operation.client_api();
    let body = denial.reply(api).body;
    let event = match (api, operation) {
        (ClientApi::Anthropic, _) => [b"event: error\ndata: ", body.as_slice()].concat(),
        (_, ModelOperation::Responses) => [b"event: error\ndata: ", responses(&body).as_slice()].concat(),
        _ => [b"data: ", body.as_slice()].concat(),
    };
    [&event, b"\n\n".as_slice()].concat()
}

/// The Responses API has the error's members in the event itself.
fn responses(body: &[u8]) -> Vec<u8> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error").cloned().unwrap_or_default();
    let member = |name: &str| error.get(name).cloned().unwrap_or_default();
    let event = json!({
        "type": "error", "code": member("code"), "message": member("message"), "param": member("param"),
        "sequence_number": 0,
    });
    event.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::denial::Code;

    fn event(operation: ModelOperation) -> String {
        String::from_utf8(stream_error(operation, &Code::ModelNotAllowed.into())).unwrap()
    }

    #[test]
    fn each_api_has_its_own_event() {
        let chat = event(ModelOperation::ChatCompletions);
        assert!(chat.starts_with("data: {\"error\":{") && chat.ends_with("}}\n\n"), "{chat}");
        let anthropic = event(ModelOperation::Messages);
        assert!(anthropic.starts_with("event: error\ndata: {"), "{anthropic}");
        let (_, data) = anthropic.trim_end().split_once("data: ").unwrap();
        assert_eq!(serde_json::from_str::<Value>(data).unwrap()["type"], "error");
        let responses = event(ModelOperation::Responses);
        let (name, data) = responses.trim_end().split_once("\ndata: ").unwrap();
        assert_eq!(name, "event: error");
        assert_eq!(
            serde_json::from_str::<Value>(data).unwrap(),
            json!({"type": "error", "code": "model_not_allowed", "message": "The app is not allowed to use this model.",
                "param": "model", "sequence_number": 0})
        );
    }
}
