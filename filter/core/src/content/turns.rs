//! Who speaks in each message, and which messages are new.

use super::object::{OnlyMember, members};
use super::place::Role;
use crate::request::body::JsonCursor;

/// The messages of a conversation.
#[derive(Debug, Default)]
pub(super) struct Turns {
    roles: Vec<Role>,
    /// The first message after the last answer.
    new_from: usize,
}

impl Turns {
    /// Of the members `messages` and `input` of the object; later ones follow earlier ones.
    pub(super) fn of_request(body: &str) -> Option<Self> {
        let mut turns = Self::default();
        members(&mut JsonCursor(body), |name, value| {
            if !matches!(name, "messages" | "input") || value.peek()? != b'[' {
                return value.skip();
            }
            value.take(1)?;
            while value.peek()? != b']' {
                turns.roles.push(role(value)?);
                value.comma()?;
            }
            value.take(1)
        })?;
        // The assistant's last messages are where the model is to go on.
        let is_assistant = |role: &Role| *role == Role::Assistant;
        let prefilled = turns.roles.iter().rev().take_while(|role| is_assistant(role)).count();
        let asked = turns.roles.len().saturating_sub(prefilled);
        let earlier = turns.roles.get(..asked).unwrap_or_default();
        turns.new_from = earlier.iter().rposition(is_assistant).map_or(0, |last| last.saturating_add(1));
        Some(turns)
    }

    pub(super) fn role(&self, message: usize) -> Role {
        self.roles.get(message).copied().unwrap_or_default()
    }

    pub(super) fn is_new(&self, message: Option<usize>) -> bool {
        message.map_or(self.new_from == 0, |message| message >= self.new_from)
    }
}

/// Of a message, or of an item by its type.
fn role(message: &mut JsonCursor<'_>) -> Option<Role> {
    if message.peek()? != b'{' {
        message.skip()?;
        return Some(Role::None);
    }
    let (mut role, mut kind) = (OnlyMember::default(), OnlyMember::default());
    members(message, |name, value| match name {
        "role" => role.read(value),
        "type" => kind.read(value),
        _ => value.skip(),
    })?;
    Some(match (role.get(), kind.get()) {
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
