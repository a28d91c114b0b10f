//! What is asked, and the words that answer it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use super::behaviour::{Behaviour, Chunks};
use super::reply::{Failure, Usage};

/// When everything here was made, in Unix seconds.
pub(super) const CREATED: u64 = 1_700_000_000;

const BYTES_PER_TOKEN: u64 = 4;

/// A request's body.
pub(super) struct Ask(pub(super) Value);

/// An answer's text, and whether all of it was allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    /// Tokens spent before the text began.
    pub(super) reasoning: u64,
    pub(super) ends: Ends,
}

/// What a request says, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    bytes: u64,
    tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Complete,
    AtLimit,
}

impl Ask {
    pub(super) fn model(&self) -> Result<&str, Failure> {
        let model = self.0["model"].as_str().filter(|model| !model.is_empty());
        model.ok_or_else(|| Failure::invalid("you must provide a model parameter".to_owned()))
    }

    pub(super) fn streams(&self) -> bool {
        self.0["stream"] == true
    }

    /// The field's items.
    pub(super) fn list(&self, field: &str) -> &[Value] {
        self.0[field].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The smallest of the limits that the request sets.
    pub(super) fn limit(&self, fields: &[&str]) -> Option<u64> {
        fields.iter().filter_map(|field| self.0[*field].as_u64()).min()
    }

    /// How many answers are asked for.
    pub(super) fn choices(&self) -> u64 {
        self.0["n"].as_u64().unwrap_or(1).max(1)
    }

    /// An id that the same request always gets.
    pub(super) fn id(&self, prefix: &str) -> String {
        let mut hasher = DefaultHasher::new();
        self.0.to_string().hash(&mut hasher);
        format!("{prefix}{:016x}", hasher.finish())
    }
}

impl Text {
    /// The answer to `prompt`: as long as the behaviour asks, and no longer than the limit.
    pub(super) fn answering(prompt: &str, limit: Option<u64>, behaviour: &Behaviour) -> Self {
        let mut text = format!("You said: {prompt}");
        if let Some(tokens) = behaviour.tokens {
            let bytes = usize::try_from(tokens * BYTES_PER_TOKEN).unwrap_or(usize::MAX);
            text = "All work and no play. ".chars().cycle().take(bytes).collect();
        }
        let wanted = behaviour.reasoning + tokens(&text);
        let Some(limit) = limit.filter(|limit| *limit < wanted) else {
            return Self { text, reasoning: behaviour.reasoning, ends: Ends::Complete };
        };
        let reasoning = behaviour.reasoning.min(limit);
        let bytes = usize::try_from((limit - reasoning) * BYTES_PER_TOKEN).unwrap_or(usize::MAX);
        text.truncate(text.floor_char_boundary(bytes));
        Self { text, reasoning, ends: Ends::AtLimit }
    }

    /// All that it took.
    pub(super) fn tokens(&self) -> u64 {
        self.reasoning + tokens(&self.text)
    }

    /// The text in the pieces that a stream sends, words or all of it, each with the tokens of the
    /// text up to its end.
    pub(super) fn pieces(&self, behaviour: &Behaviour) -> Vec<(&str, u64)> {
        let pieces = match behaviour.chunks {
            Chunks::Huge => vec![self.text.as_str()],
            Chunks::Events | Chunks::Tiny => self.text.split_inclusive(' ').collect(),
        };
        let mut bytes = 0;
        let counted = pieces.into_iter().map(|piece| {
            bytes += piece.len() as u64;
            (piece, bytes.div_ceil(BYTES_PER_TOKEN))
        });
        counted.collect()
    }
}

impl Input {
    /// A text.
    pub(super) fn of(text: &str) -> Self {
        Self { bytes: text.len() as u64, tokens: tokens(text) }
    }

    /// As many tokens, already counted by the client.
    pub(super) fn counted(tokens: u64) -> Self {
        Self { bytes: tokens, tokens }
    }

    /// What it is billed as, with an answer of as many tokens: a request is at least one token.
    pub(super) fn billed(self, output: u64, reasoning: u64, behaviour: &Behaviour) -> Usage {
        let input = if behaviour.dense { self.bytes } else { self.tokens }.max(1);
        Usage { input, cached: behaviour.cached.min(input), output, reasoning }
    }
}

impl std::ops::Add for Input {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, tokens: self.tokens + other.tokens }
    }
}

impl std::iter::Sum for Input {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), std::ops::Add::add)
    }
}

/// The tokens of a text.
pub(super) fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

/// The text of a message's content: a string, or parts of which some have text.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(|part| text_of(&part["text"])).collect(),
        _ => String::new(),
    }
}

/// What all messages say, and the text of the last that is no instruction: Claude Code's come last.
pub(super) fn conversation(messages: &[Value]) -> (Input, String) {
    let input = messages.iter().map(|message| Input::of(&text_of(&message["content"]))).sum();
    let is_instruction = |message: &&Value| message["role"] == "system" || message["role"] == "developer";
    let asked = messages.iter().rev().find(|message| !is_instruction(message)).or(messages.last());
    (input, asked.map(|message| text_of(&message["content"])).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_four_bytes_begun() {
        assert_eq!([tokens(""), tokens("a"), tokens("four"), tokens("fives")], [0, 1, 1, 2]);
    }

    #[test]
    fn an_answer_stops_at_the_limit_between_characters() {
        let text = Text::answering("ééé", Some(3), &Behaviour::default());
        let text_of = |text: &str, ends| Text { text: text.to_owned(), reasoning: 0, ends };
        assert_eq!(text, text_of("You said: é", Ends::AtLimit));
        let text = Text::answering("hi", Some(3), &Behaviour::default());
        assert_eq!(text, text_of("You said: hi", Ends::Complete));
    }

    #[test]
    fn what_is_thought_counts_against_the_limit() {
        let behaviour = Behaviour { reasoning: 10, tokens: Some(10), ..Behaviour::default() };
        let tokens = |limit| {
            let text = Text::answering("", limit, &behaviour);
            (text.reasoning, text.tokens(), text.ends)
        };
        assert_eq!(tokens(None), (10, 20, Ends::Complete));
        assert_eq!(tokens(Some(20)), (10, 20, Ends::Complete));
        assert_eq!(tokens(Some(15)), (10, 15, Ends::AtLimit));
        assert_eq!(tokens(Some(4)), (4, 4, Ends::AtLimit));
    }

    #[test]
    fn the_pieces_of_a_text_count_up_to_its_tokens() {
        let text = Text::answering("a bb ccc", None, &Behaviour::default());
        let pieces = text.pieces(&Behaviour::default());
        assert_eq!(pieces.iter().map(|(piece, _)| *piece).collect::<String>(), text.text);
        assert_eq!(pieces.last().map(|(_, tokens)| *tokens), Some(text.tokens()));
        assert!(pieces.is_sorted_by_key(|(_, tokens)| *tokens));
    }

    #[test]
    fn parts_without_text_say_nothing() {
        let content = json!([{ "type": "text", "text": "a" }, { "type": "image_url", "image_url": {} }, { "type": "text", "text": "b" }]);
        assert_eq!(text_of(&content), "ab");
    }
}
