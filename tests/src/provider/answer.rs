//! What is asked, and the words that answer it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use super::behaviour::{Behaviour, Chunks};
use super::reply::Failure;

/// When everything here was made, in Unix seconds.
pub(super) const CREATED: u64 = 1_700_000_000;

const BYTES_PER_TOKEN: u64 = 4;

/// A request's body.
pub(super) struct Ask(pub(super) Value);

/// An answer's text, and whether all of it was allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) ends: Ends,
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
        let Some(limit) = limit.filter(|limit| *limit < tokens(&text)) else {
            return Self { text, ends: Ends::Complete };
        };
        let bytes = usize::try_from(limit * BYTES_PER_TOKEN).unwrap_or(usize::MAX);
        text.truncate(text.floor_char_boundary(bytes));
        Self { text, ends: Ends::AtLimit }
    }

    /// The text in the pieces that a stream sends: words, or all of it.
    pub(super) fn pieces(&self, behaviour: &Behaviour) -> Vec<&str> {
        match behaviour.chunks {
            Chunks::Huge => vec![&self.text],
            Chunks::Events | Chunks::Tiny => self.text.split_inclusive(' ').collect(),
        }
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

/// The tokens of all messages, and the text of the last.
pub(super) fn conversation(messages: &[Value]) -> (u64, String) {
    let count = messages.iter().map(|message| tokens(&text_of(&message["content"]))).sum();
    (count, messages.last().map(|message| text_of(&message["content"])).unwrap_or_default())
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
        assert_eq!(text, Text { text: "You said: é".to_owned(), ends: Ends::AtLimit });
        let text = Text::answering("hi", Some(3), &Behaviour::default());
        assert_eq!(text, Text { text: "You said: hi".to_owned(), ends: Ends::Complete });
    }

    #[test]
    fn parts_without_text_say_nothing() {
        let content = json!([{ "type": "text", "text": "a" }, { "type": "image_url", "image_url": {} }, { "type": "text", "text": "b" }]);
        assert_eq!(text_of(&content), "ab");
    }
}
