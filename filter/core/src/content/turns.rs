//! Who speaks in each message, and which messages are new.

use super::json_string::decode;
use super::object::{OnlyMember, members};
use super::place::Role;
use crate::request::body::JsonCursor;

/// The messages of a request.
#[derive(Debug, Default)]
pub(super) struct Turns {
    messages: Conversation,
    input: Conversation,
}

/// A list of messages or items.
#[derive(Debug, Default)]
struct Conversation {
    roles: Vec<Role>,
    /// The first message after the last answer.
    new_from: usize,
}

impl Turns {
    /// Of the members `messages` and `input` of the object; a request that was read has each once.
    pub(super) fn of_request(body: &str) -> Option<Self> {
        let mut turns = Self::default();
        members(&mut JsonCursor(body), |name, value| {
            let mut buffer = String::new();
            let list = match decode(name, &mut buffer) {
                "messages" => &mut turns.messages,
                "input" => &mut turns.input,
                _ => return value.skip(),
            };
            if value.peek()? != b'[' {
                return value.skip();
            }
            value.take(1)?;
            while value.peek()? != b']' {
                list.roles.push(role(value)?);
                value.comma()?;
            }
            value.take(1)
        })?;
        for list in [&mut turns.messages, &mut turns.input] {
            list.find_new();
        }
        Some(turns)
    }

    /// Of the list of this name.
    pub(super) fn role(&self, list: &str, message: usize) -> Role {
        self.list(list).roles.get(message).copied().unwrap_or_default()
    }

    pub(super) fn is_new(&self, list: &str, message: usize) -> bool {
        message >= self.list(list).new_from
    }

    /// Whether there is no answer yet.
    pub(super) fn all_new(&self) -> bool {
        self.messages.new_from == 0 && self.input.new_from == 0
    }

    fn list(&self, name: &str) -> &Conversation {
        if name == "input" { &self.input } else { &self.messages }
    }
}

impl Conversation {
    fn find_new(&mut self) {
        // The assistant's last messages are where the model is to go on.
        let is_assistant = |role: &Role| *role == Role::Assistant;
        let prefilled = self.roles.iter().rev().take_while(|role| is_assistant(role)).count();
        let asked = self.roles.len().saturating_sub(prefilled);
        let earlier = self.roles.get(..asked).unwrap_or_default();
        self.new_from = earlier.iter().rposition(is_assistant).map_or(0, |last| last.saturating_add(1));
    }
}

/// Of a message, or of an item by its type. A role that two parsers could read differently is none.
fn role(message: &mut JsonCursor<'_>) -> Option<Role> {
    if message.peek()? != b'{' {
        message.skip()?;
        return Some(Role::None);
    }
    let (mut role, mut kind) = (OnlyMember::default(), OnlyMember::default());
    members(message, |name, value| {
        let mut buffer = String::new();
        match decode(name, &mut buffer) {
            name if name.eq_ignore_ascii_case("role") => role.read(value),
            "type" => kind.read(value),
            _ => value.skip(),
        }
    })?;
    let mut buffer = String::new();
    Some(match (role.get().map(|role| decode(role, &mut buffer)), kind.get()) {
        (Some(role), _) => Role::of(role),
        (None, Some(kind)) if kind.ends_with("_output") => Role::Tool,
        (None, Some(kind)) if kind.ends_with("_call") || kind == "reasoning" => Role::Assistant,
        _ => Role::None,
    })
}

impl Role {
    pub(super) fn of(role: &str) -> Self {
        match role {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" | "function" => Self::Tool,
            _ => Self::None,
        }
    }
}
