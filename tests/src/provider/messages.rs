//! Anthropic's `POST /v1/messages`.

use serde_json::{Value, json};

use super::answer::{Ask, Ends, Input, Text, conversation, text_of};
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
    let Some(limit) = ask.limit(&["max_tokens"]) else {
        return Err(Failure::invalid("max_tokens: Field required".to_owned()));
    };
    let (input, prompt) = conversation(ask.list("messages"));
    let turn = Turn::of(ask, &prompt, limit, behaviour);
    let input = input + Input::of(&text_of(&ask.0["system"]));
    // Thinking is output that this API does not count by itself.
    let usage = input.billed(turn.tokens(), 0, behaviour);
    if ask.streams() {
        return Ok(Reply::events(stream(ask, model, &turn, usage, behaviour), usage));
    }
    let blocks = turn.blocks().into_iter().map(|block| block.whole).collect::<Vec<_>>();
    let mut body = message(ask, model, json!(blocks), json!(turn.reason()));
    if !behaviour.no_usage {
        body["usage"] = told(usage, usage.output);
    }
    Ok(Reply::json(body, usage))
}

/// A block of content: whole, as a stream begins it, and what follows.
struct Block {
    whole: Value,
    begun: Value,
    /// With the tokens of the block up to its end.
    deltas: Vec<(Value, u64)>,
}

impl Turn {
    fn of(ask: &Ask, prompt: &str, limit: u64, behaviour: &Behaviour) -> Self {
        let tools = ask.list("tools").iter();
        let tools = tools
            .map(|tool| Tool {
                name: tool["name"].as_str().unwrap_or_default(),
                parameters: &tool["input_schema"],
            })
            .collect::<Vec<_>>();
        let calls = calls(&tools, Choice::read(&ask.0["tool_choice"]), prompt);
        if calls.is_empty() {
            return Self::Says(Text::answering(prompt, Some(limit), behaviour));
        }
        Self::Calls(calls)
    }

    fn tokens(&self) -> u64 {
        match self {
            Self::Says(text) => text.tokens(),
            Self::Calls(calls) => calls.iter().map(Call::tokens).sum(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Says(Text { ends: Ends::AtLimit, .. }) => "max_tokens",
            Self::Says(_) => "end_turn",
            Self::Calls(_) => "tool_use",
        }
    }

    fn blocks(&self) -> Vec<Block> {
        match self {
            Self::Says(text) => vec![text_block(text)],
            Self::Calls(calls) => {
                calls.iter().enumerate().map(|(index, call)| tool_block(index, call)).collect()
            }
        }
    }
}

fn text_block(text: &Text) -> Block {
    let pieces = text.pieces(&Behaviour::default()).into_iter();
    Block {
        whole: json!({ "type": "text", "text": text.text }),
        begun: json!({ "type": "text", "text": "" }),
        deltas: pieces
            .map(|(piece, shown)| (json!({ "type": "text_delta", "text": piece }), text.reasoning + shown))
            .collect(),
    }
}

fn tool_block(index: usize, call: &Call) -> Block {
    let block = |input: Value| json!({ "type": "tool_use", "id": format!("toolu_sample_{index}"), "name": call.name, "input": input });
    let pieces = call.pieces().into_iter();
    Block {
        whole: block(serde_json::from_str(&call.arguments).unwrap_or_default()),
        begun: block(json!({})),
        deltas: pieces
            .map(|piece| (json!({ "type": "input_json_delta", "partial_json": piece }), call.tokens()))
            .collect(),
    }
}

fn message(ask: &Ask, model: &str, content: Value, reason: Value) -> Value {
    json!({ "id": ask.id("msg_"), "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": reason, "stop_sequence": null })
}

/// Usage as Anthropic tells it: what comes from the cache is not among the input tokens.
fn told(usage: Usage, output: u64) -> Value {
    json!({
        "input_tokens": usage.input - usage.cached, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached, "output_tokens": output, "service_tier": "standard",
    })
}

fn stream(ask: &Ask, model: &str, turn: &Turn, usage: Usage, behaviour: &Behaviour) -> Vec<Event> {
    let mut begin = message(ask, model, json!([]), Value::Null);
    let mut end =
        json!({ "type": "message_delta", "delta": { "stop_reason": turn.reason(), "stop_sequence": null } });
    if !behaviour.no_usage {
        begin["usage"] = told(usage, 1);
        end["usage"] = json!({ "output_tokens": usage.output });
    }
    let mut events = vec![Event::typed(json!({ "type": "message_start", "message": begin }))];
    let mut before = 0;
    for (index, block) in turn.blocks().into_iter().enumerate() {
        events.push(Event::typed(
            json!({ "type": "content_block_start", "index": index, "content_block": block.begun }),
        ));
        events.push(Event::typed(json!({ "type": "ping" })));
        let tokens = block.deltas.last().map_or(0, |(_, tokens)| *tokens);
        events.extend(block.deltas.into_iter().map(|(delta, tokens)| {
            Event::typed(json!({ "type": "content_block_delta", "index": index, "delta": delta }))
                .having(before + tokens)
        }));
        before += tokens;
        events.push(Event::typed(json!({ "type": "content_block_stop", "index": index })));
    }
    events.push(Event::typed(end).having(usage.output));
    events.push(Event::typed(json!({ "type": "message_stop" })));
    events
}
