//! `POST /v1/responses`.

use serde_json::{Value, json};

use super::answer::{Ask, CREATED, Ends, Input, Text, conversation, text_of};
use super::behaviour::Behaviour;
use super::reply::{Event, Failure, Reply, Usage};
use super::tools::{Call, Choice, Tool, calls};

/// An item of the output: whole, as a stream begins it, and the events between.
struct Item {
    whole: Value,
    begun: Value,
    /// With the tokens shown up to their ends.
    between: Vec<(Value, u64)>,
}

pub(super) fn answer(ask: &Ask, behaviour: &Behaviour) -> Result<Reply, Failure> {
    let model = ask.model()?;
    let (input, prompt) = match &ask.0["input"] {
        Value::String(text) => (Input::of(text), text.clone()),
        _ => conversation(ask.list("input")),
    };
    let calls = called(ask, &prompt);
    let text = Text::answering(&prompt, ask.limit(&["max_output_tokens"]), behaviour);
    let says = calls.is_empty();
    let complete = !says || text.ends == Ends::Complete;
    let (output, reasoning) = match says {
        true => (text.tokens(), text.reasoning),
        false => (calls.iter().map(Call::tokens).sum(), 0),
    };
    let items = if says {
        vec![message(ask, &text, behaviour)]
    } else {
        calls.iter().enumerate().map(|(index, call)| function_call(index, call)).collect()
    };
    let input = input + Input::of(&text_of(&ask.0["instructions"]));
    let usage = input.billed(output, reasoning, behaviour);

    let whole = items.iter().map(|item| item.whole.clone()).collect::<Vec<_>>();
    let mut last = response(ask, model, if complete { "completed" } else { "incomplete" }, json!(whole));
    if !complete {
        last["incomplete_details"] = json!({ "reason": "max_output_tokens" });
    }
    if !behaviour.no_usage {
        last["usage"] = shown(usage);
    }
    if !ask.streams() {
        return Ok(Reply::json(last, usage));
    }
    let begun = response(ask, model, "in_progress", json!([]));
    Ok(Reply::events(stream(begun, items, last, usage), usage))
}

fn called(ask: &Ask, prompt: &str) -> Vec<Call> {
    let tools = ask.list("tools").iter();
    let tools = tools
        .map(|tool| Tool { name: tool["name"].as_str().unwrap_or_default(), parameters: &tool["parameters"] })
        .collect::<Vec<_>>();
    calls(&tools, Choice::read(&ask.0["tool_choice"]), prompt)
}

fn response(ask: &Ask, model: &str, status: &str, output: Value) -> Value {
    json!({
        "id": ask.id("resp_"), "object": "response", "created_at": CREATED, "status": status, "model": model,
        "output": output, "error": null, "incomplete_details": null, "instructions": ask.0["instructions"],
        "max_output_tokens": ask.0["max_output_tokens"], "metadata": {}, "parallel_tool_calls": true,
        "previous_response_id": null, "reasoning": { "effort": null, "summary": null }, "store": true,
        "temperature": 1.0, "text": { "format": { "type": "text" } }, "tool_choice": "auto",
        "tools": ask.list("tools"), "top_p": 1.0, "truncation": "disabled", "usage": null, "user": null,
    })
}

fn message(ask: &Ask, text: &Text, behaviour: &Behaviour) -> Item {
    let id = ask.id("msg_");
    let status = if text.ends == Ends::Complete { "completed" } else { "incomplete" };
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
    let message = |status: &str, content: Value| json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content });
    let event = |kind: &str, field: &str, value: Value| {
        let mut event = json!({ "type": kind, "item_id": id, "content_index": 0 });
        event[field] = value;
        event
    };
    let delta = |piece: &str| {
        let mut delta = event("response.output_text.delta", "delta", json!(piece));
        delta["logprobs"] = json!([]);
        delta
    };
    let mut done = event("response.output_text.done", "text", json!(text.text));
    done["logprobs"] = json!([]);

    let mut between = vec![(event("response.content_part.added", "part", part("")), 0)];
    between.extend(text.pieces(behaviour).into_iter().map(|(piece, shown)| (delta(piece), shown)));
    let shown = text.tokens() - text.reasoning;
    between.push((done, shown));
    between.push((event("response.content_part.done", "part", part(&text.text)), shown));
    Item {
        whole: message(status, json!([part(&text.text)])),
        begun: message("in_progress", json!([])),
        between,
    }
}

fn function_call(index: usize, call: &Call) -> Item {
    let id = format!("fc_sample_{index}");
    let item = |status: &str, arguments: &str| {
        json!({ "id": id, "type": "function_call", "call_id": format!("call_sample_{index}"), "name": call.name,
            "arguments": arguments, "status": status })
    };
    let delta =
        |piece| json!({ "type": "response.function_call_arguments.delta", "item_id": id, "delta": piece });
    let mut between = call.pieces().into_iter().map(delta).collect::<Vec<_>>();
    between.push(json!({ "type": "response.function_call_arguments.done", "item_id": id, "name": call.name,
        "arguments": call.arguments }));
    let between = between.into_iter().map(|event| (event, call.tokens())).collect();
    Item { whole: item("completed", &call.arguments), begun: item("in_progress", ""), between }
}

fn stream(begun: Value, items: Vec<Item>, last: Value, usage: Usage) -> Vec<Event> {
    let mut events = vec![
        (json!({ "type": "response.created", "response": begun }), 0),
        (json!({ "type": "response.in_progress", "response": begun }), 0),
    ];
    let mut before = usage.reasoning;
    for (index, item) in items.into_iter().enumerate() {
        let around = |kind: &str, item: Value| json!({ "type": format!("response.output_item.{kind}"), "output_index": index, "item": item });
        let shown = item.between.last().map_or(0, |(_, shown)| *shown);
        events.push((around("added", item.begun), before));
        events.extend(item.between.into_iter().map(|(mut event, shown)| {
            event["output_index"] = json!(index);
            (event, before + shown)
        }));
        before += shown;
        events.push((around("done", item.whole), before));
    }
    let end = if last["status"] == "completed" { "response.completed" } else { "response.incomplete" };
    events.push((json!({ "type": end, "response": last }), usage.output));
    let numbered = events.into_iter().enumerate().map(|(number, (mut event, generated))| {
        event["sequence_number"] = json!(number);
        Event::typed(event).having(generated)
    });
    numbered.collect()
}

fn shown(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input, "input_tokens_details": { "cached_tokens": usage.cached },
        "output_tokens": usage.output, "output_tokens_details": { "reasoning_tokens": usage.reasoning },
        "total_tokens": usage.input + usage.output,
    })
}
