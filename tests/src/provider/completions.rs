//! `POST /v1/completions`.

use serde_json::{Value, json};

use super::answer::{Ask, CREATED, Ends, Text, tokens};
use super::behaviour::Behaviour;
use super::reply::{Event, Failure, Reply, Usage};

pub(super) fn answer(ask: &Ask, behaviour: &Behaviour) -> Result<Reply, Failure> {
    let model = ask.model()?;
    let prompt = match &ask.0["prompt"] {
        Value::String(text) => text.clone(),
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    };
    let text = Text::answering(&prompt, ask.limit(&["max_tokens"]), behaviour);
    let usage = Usage { input: tokens(&prompt), output: tokens(&text.text) };
    let reason = if text.ends == Ends::AtLimit { "length" } else { "stop" };
    let shown = json!({ "prompt_tokens": usage.input, "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output });
    let body = |choices: Value| {
        json!({ "id": ask.id("cmpl-"), "object": "text_completion", "created": CREATED, "model": model,
            "choices": choices })
    };
    let choice = |text: &str, reason: Option<&str>| {
        body(json!([{ "index": 0, "text": text, "logprobs": null, "finish_reason": reason }]))
    };

    if !ask.streams() {
        let mut body = choice(&text.text, Some(reason));
        if !behaviour.no_usage {
            body["usage"] = shown;
        }
        return Ok(Reply::json(body, usage));
    }
    let mut events =
        text.pieces(behaviour).iter().map(|piece| Event::data(choice(piece, None))).collect::<Vec<_>>();
    events.push(Event::data(choice("", Some(reason))));
    if ask.0["stream_options"]["include_usage"] == true && !behaviour.no_usage {
        let mut last = body(json!([]));
        last["usage"] = shown;
        events.push(Event::data(last));
    }
    events.push(Event::done());
    Ok(Reply::events(events, usage))
}
