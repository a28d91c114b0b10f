//! What is sent.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{WebhookFormat, chat};

/// The most bytes that a message has: what the Standard Webhooks specification proposes.
const LARGEST: usize = 20_000;

/// What an event is about, by the names of now.
#[derive(Clone, Debug, Default)]
pub struct MessageSubject {
    /// The event's number; none for a test.
    pub event_id: Option<i64>,
    pub app_id: Option<String>,
    pub app_name: Option<String>,
    /// Of which key; none for the app as a whole.
    pub key_id: Option<String>,
    pub key_name: Option<String>,
}

/// The message of an event: `{"type", "timestamp", "data"}`. What would make it too large is left out, the largest
/// members first, and named in `omitted`.
#[must_use]
pub fn message(kind: &str, at: Timestamp, subject: MessageSubject, event: Value) -> String {
    let MessageSubject { event_id, app_id, app_name, key_id, key_name } = subject;
    let mut data = Map::new();
    data.insert("event_id".to_owned(), json!(event_id));
    data.insert("app_id".to_owned(), json!(app_id));
    data.insert("app_name".to_owned(), json!(app_name));
    data.insert("key_id".to_owned(), json!(key_id));
    data.insert("key_name".to_owned(), json!(key_name));
    if let Value::Object(event) = event {
        data.extend(event);
    }
    let mut omitted = Vec::new();
    loop {
        let message = json!({"type": kind, "timestamp": at, "data": data}).to_string();
        let largest = data.iter().filter(|(name, _)| *name != "omitted");
        let largest = largest.max_by_key(|(_, value)| value.to_string().len()).map(|(name, _)| name.clone());
        let Some(largest) = largest.filter(|_| message.len() > LARGEST) else { return message };
        data.remove(&largest);
        omitted.push(largest);
        data.insert("omitted".to_owned(), json!(omitted));
    }
}

/// A message as its reader takes it. The same message is always the same text.
#[must_use]
pub fn in_format(format: WebhookFormat, message: &str) -> String {
    match format {
        WebhookFormat::Standard => message.to_owned(),
        WebhookFormat::Slack => chat::slack(message),
        WebhookFormat::Teams => chat::teams(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Value {
        assert!(message.len() <= LARGEST);
        serde_json::from_str(message).unwrap()
    }

    #[test]
    fn a_message_says_what_happened_when_and_to_what() {
        let subject = MessageSubject { app_id: Some("a".to_owned()), ..MessageSubject::default() };
        let message = message("quota.exceeded", Timestamp::UNIX_EPOCH, subject, json!({"limit": "10"}));
        assert_eq!(
            read(&message),
            json!({"type": "quota.exceeded", "timestamp": "1970-01-01T00:00:00Z", "data": {
                "event_id": null, "app_id": "a", "app_name": null, "key_id": null, "key_name": null, "limit": "10"}})
        );
    }

    #[test]
    fn what_is_too_large_is_left_out_and_named() {
        let data =
            json!({"reason": "so", "comment": "c".repeat(15_000), "changed": vec!["x".repeat(40); 1_000]});
        let message =
            message("change_request.failed", Timestamp::UNIX_EPOCH, MessageSubject::default(), data);
        let data = &read(&message)["data"];
        assert_eq!(data["omitted"], json!(["changed"]));
        assert_eq!(
            (data["reason"].as_str(), data["comment"].as_str().map(str::len)),
            (Some("so"), Some(15_000))
        );
    }
}
