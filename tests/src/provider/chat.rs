//! `POST /v1/chat/completions`.

use serde_json::{Value, json};

use super::answer::{Ask, CREATED, Ends, Text, conversation};
use super::behaviour::Behaviour;
use super::reply::{Event, Failure, Reply, Usage};
use super::tools::{Call, Choice, Tool, calls};

/// What the assistant does.
enum Turn {
    Says(Text),
    Calls(Vec<Call>),
}

pub(super) fn answer(ask: &Ask, behaviour: &Behaviour) -> Result<Reply, Failure> {
    let model = ask.model()?;
    let messages = ask.list("messages");
    if messages.is_empty() {
        return Err(Failure::invalid("'messages' must not be empty".to_owned()));
    }
    let (input, prompt) = conversation(messages);
    let turn = Turn::of(ask, messages, &prompt, behaviour);
    let choices = ask.choices();
    let usage = input.billed(choices * turn.tokens(), choices * turn.reasoning(), behaviour);
    if ask.streams() {
        return Ok(Reply::events(stream(ask, model, &turn, usage, behaviour), usage));
    }
    let mut body = json!({
        "id": ask.id("chatcmpl-"), "object": "chat.completion", "created": CREATED, "model": model,
        "choices": (0..choices).map(|index| {
            json!({ "index": index, "message": turn.message(), "logprobs": null, "finish_reason": turn.reason() })
        }).collect::<Vec<_>>(),
        "service_tier": "default", "system_fingerprint": "fp_sample",
    });
    if !behaviour.no_usage {
        body["usage"] = shown(usage);
    }
    Ok(Reply::json(body, usage))
}

impl Turn {
    fn of(ask: &Ask, messages: &[Value], prompt: &str, behaviour: &Behaviour) -> Self {
        let functions = ask.list("tools").iter().map(|tool| &tool["function"]);
        let tools = functions
            .map(|function| Tool {
                name: function["name"].as_str().unwrap_or_default(),
                parameters: &function["parameters"],
            })
            .collect::<Vec<_>>();
        let answers_a_tool = messages.last().is_some_and(|message| message["role"] == "tool");
        let calls = calls(&tools, Choice::read(&ask.0["tool_choice"]), prompt);
        if !calls.is_empty() && !answers_a_tool {
            return Self::Calls(calls);
        }
        let limit = ask.limit(&["max_tokens", "max_completion_tokens"]);
        Self::Says(Text::answering(prompt, limit, behaviour))
    }

    fn tokens(&self) -> u64 {
        match self {
            Self::Says(text) => text.tokens(),
            Self::Calls(calls) => calls.iter().map(Call::tokens).sum(),
        }
    }

    fn reasoning(&self) -> u64 {
        match self {
            Self::Says(text) => text.reasoning,
            Self::Calls(_) => 0,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Says(Text { ends: Ends::AtLimit, .. }) => "length",
            Self::Says(_) => "stop",
            Self::Calls(_) => "tool_calls",
        }
    }

    fn message(&self) -> Value {
        match self {
            Self::Says(text) => {
                json!({ "role": "assistant", "content": text.text, "refusal": null, "annotations": [] })
            }
            Self::Calls(calls) => {
                let calls = calls.iter().enumerate().map(|(index, call)| {
                    json!({ "id": call_id(index), "type": "function",
                        "function": { "name": call.name, "arguments": call.arguments } })
                });
                json!({ "role": "assistant", "content": null, "refusal": null, "annotations": [],
                    "tool_calls": calls.collect::<Vec<_>>() })
            }
        }
    }

    /// The deltas between the first, which names the role, and the last, which is empty; each with
    /// the tokens shown up to its end.
    fn deltas(&self, behaviour: &Behaviour) -> Vec<(Value, u64)> {
        match self {
            Self::Says(text) => {
                let pieces = text.pieces(behaviour).into_iter();
                pieces.map(|(piece, shown)| (json!({ "content": piece }), shown)).collect()
            }
            Self::Calls(calls) => {
                let deltas = calls.iter().enumerate().flat_map(|(index, call)| deltas(index, call));
                deltas.map(|delta| (delta, self.tokens())).collect()
            }
        }
    }
}

fn deltas(index: usize, call: &Call) -> Vec<Value> {
    let begin = json!({ "tool_calls": [{ "index": index, "id": call_id(index), "type": "function",
        "function": { "name": call.name, "arguments": "" } }] });
    let arguments = call
        .pieces()
        .into_iter()
        .map(|piece| json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] }));
    std::iter::once(begin).chain(arguments).collect()
}

fn stream(ask: &Ask, model: &str, turn: &Turn, usage: Usage, behaviour: &Behaviour) -> Vec<Event> {
    let with_usage = ask.0["stream_options"]["include_usage"] == true;
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": ask.id("chatcmpl-"), "object": "chat.completion.chunk", "created": CREATED, "model": model,
            "service_tier": "default", "system_fingerprint": "fp_sample", "choices": choices,
        });
        if with_usage {
            chunk["usage"] = usage;
        }
        Event::data(chunk)
    };
    let mut events = vec![];
    for index in 0..ask.choices() {
        let choice = |delta: Value, reason: Option<&str>| {
            let choice = json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": reason });
            chunk(json!([choice]), Value::Null)
        };
        // All is thought before the first word of the first choice.
        let before = usage.reasoning + index * (turn.tokens() - turn.reasoning());
        let content = if matches!(turn, Turn::Says(_)) { json!("") } else { Value::Null };
        let role = json!({ "role": "assistant", "content": content, "refusal": null });
        events.push(choice(role, None).having(before));
        let deltas = turn.deltas(behaviour).into_iter();
        events.extend(deltas.map(|(delta, shown)| choice(delta, None).having(before + shown)));
        events.push(choice(json!({}), Some(turn.reason())));
    }
    if with_usage && !behaviour.no_usage {
        events.push(chunk(json!([]), shown(usage)));
    }
    events.push(Event::done());
    events
}

fn call_id(index: usize) -> String {
    format!("call_sample_{index}")
}

/// Usage as chat completions and the older completions tell it.
pub(super) fn shown(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": { "cached_tokens": usage.cached, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0 },
    })
}
