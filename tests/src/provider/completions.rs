//! `POST /v1/completions`.

use serde_json::{Value, json};

use super::answer::{Ask, CREATED, Ends, Input, Text};
use super::behaviour::Behaviour;
use super::chat::shown as shown_usage;
use super::reply::{Event, Failure, Reply};

pub(super) fn answer(ask: &Ask, behaviour: &Behaviour) -> Result<Reply, Failure> {
    let model = ask.model()?;
    let prompts = match &ask.0["prompt"] {
        Value::String(text) => vec![text.as_str()],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => vec![""],
    };
    let answered = |prompt: &&str| Text::answering(prompt, ask.limit(&["max_tokens"]), behaviour);
    let texts = prompts.iter().map(answered).collect::<Vec<_>>();
    let shown = (0..ask.choices()).flat_map(|_| &texts).collect::<Vec<_>>();
    // The best are shown, all are billed.
    let generated = ask.choices().max(ask.0["best_of"].as_u64().unwrap_or(1));
    let sum = |tokens: fn(&Text) -> u64| generated * texts.iter().map(tokens).sum::<u64>();
    let input: Input = prompts.into_iter().map(Input::of).sum();
    let usage = input.billed(sum(Text::tokens), sum(|text| text.reasoning), behaviour);

    let body = |choices: Value| {
        json!({ "id": ask.id("cmpl-"), "object": "text_completion", "created": CREATED, "model": model,
            "choices": choices })
    };
    let choice = |index: usize, text: &str, reason: Option<&str>| json!({ "index": index, "text": text, "logprobs": null, "finish_reason": reason });

    if !ask.streams() {
        let choices = shown.iter().enumerate().map(|(index, text)| choice(index, &text.text, reason(text)));
        let mut body = body(choices.collect());
        if !behaviour.no_usage {
            body["usage"] = shown_usage(usage);
        }
        return Ok(Reply::json(body, usage));
    }
    let mut events = vec![];
    // What was thought, and what is not shown, comes first.
    let mut before = usage.output - shown.iter().map(|text| text.tokens() - text.reasoning).sum::<u64>();
    for (index, text) in shown.into_iter().enumerate() {
        let event = |piece: &str, reason| Event::data(body(json!([choice(index, piece, reason)])));
        let pieces = text.pieces(behaviour).into_iter();
        events.extend(pieces.map(|(piece, said)| event(piece, None).having(before + said)));
        before += text.tokens() - text.reasoning;
        events.push(event("", reason(text)).having(before));
    }
    if ask.0["stream_options"]["include_usage"] == true && !behaviour.no_usage {
        let mut last = body(json!([]));
        last["usage"] = shown_usage(usage);
        events.push(Event::data(last));
    }
    events.push(Event::done());
    Ok(Reply::events(events, usage))
}

fn reason(text: &Text) -> Option<&'static str> {
    Some(if text.ends == Ends::AtLimit { "length" } else { "stop" })
}
