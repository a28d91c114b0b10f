//! The conversation that a request is part of, as the client names it.

use latchkey_proto::key::PREFIX;

use crate::answer::denial::{Code, Denial};
use crate::request::header::Headers;
use crate::snapshot::AppPolicy;

/// The header with the conversation's id.
pub const HEADER: &str = "x-conversation-id";

const LONGEST: usize = 128;

/// The header's value is not one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedConversationId;

/// The conversation's id; none where the request has none.
///
/// # Errors
/// When it is not one id, or contains a key, which must not get into records.
pub fn id(headers: Headers<'_>) -> Result<Option<&str>, MalformedConversationId> {
    let mut values = headers.all(HEADER);
    let Some(value) = values.next() else { return Ok(None) };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let fits = (1..=LONGEST).contains(&value.len()) && value.iter().all(plain) && values.next().is_none();
    let text = str::from_utf8(value).ok().filter(|text| fits && !text.contains(PREFIX));
    text.map(Some).ok_or(MalformedConversationId)
}

/// Refuses a request without an id where the app requires one. Elsewhere a malformed id is ignored.
pub fn check(headers: Headers<'_>, app: &AppPolicy) -> Result<(), Denial> {
    if !app.conversation_required {
        return Ok(());
    }
    match id(headers) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Code::ConversationIdRequired.into()),
        Err(MalformedConversationId) => Err(Code::InvalidConversationId.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, MalformedConversationId> {
        let headers: Vec<_> =
            values.iter().map(|value| (HEADER.to_owned(), value.as_bytes().to_vec())).collect();
        id(Headers(&headers)).map(|id| id.map(str::to_owned))
    }

    #[test]
    fn an_id_is_letters_digits_and_a_few_signs() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Chat-7_a.b"]), Ok(Some("Chat-7_a.b".into())));
        assert_eq!(read(&[&"x".repeat(128)]), Ok(Some("x".repeat(128))));
        for bad in ["", "a b", "a:b", "é", &"x".repeat(129), &format!("{PREFIX}abc")] {
            assert_eq!(read(&[bad]), Err(MalformedConversationId), "{bad:?}");
        }
        assert_eq!(read(&["a", "a"]), Err(MalformedConversationId));
    }
}
