//! Messages for chats: what happened in a sentence. What people named themselves cannot mention anybody there, or
//! become a link.

use serde_json::{Value, json};

use crate::event::sentence;

/// Slack's incoming webhooks take text in which `&`, `<` and `>` are escaped: mentions and links begin with one.
pub fn slack(message: &str) -> String {
    let ChatMessage { title, subject, sentence, at: _ } = read(message);
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let subject = if subject.is_empty() { subject } else { format!("{}: ", escape(&subject)) };
    json!({"text": format!("*{}*\n{subject}{}", escape(&title), escape(&sentence))}).to_string()
}

/// Teams' workflows take an Adaptive Card, whose texts are a kind of Markdown.
pub fn teams(message: &str) -> String {
    let ChatMessage { title, subject, sentence, at } = read(message);
    let escape = |text: &str| {
        text.chars().fold(String::new(), |mut escaped, c| {
            if "\\`*_[]()<>#".contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
            escaped
        })
    };
    let mut facts =
        vec![json!({"title": "Event", "value": escape(&title)}), json!({"title": "Time", "value": at})];
    if !subject.is_empty() {
        facts.insert(0, json!({"title": "About", "value": escape(&subject)}));
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": escape(&sentence), "wrap": true, "weight": "Bolder"},
            {"type": "FactSet", "facts": facts},
        ],
    });
    let attachment = json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
    json!({"type": "message", "attachments": [attachment]}).to_string()
}

/// What a chat shows of a message.
struct ChatMessage {
    /// The kind of event.
    title: String,
    /// The app and the key; empty where it is about none.
    subject: String,
    sentence: String,
    at: String,
}

fn read(message: &str) -> ChatMessage {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data = &message["data"];
    let names = ["app_name", "key_name"].map(|name| text(&data[name]));
    let subject = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" / ");
    let title = text(&message["type"]);
    ChatMessage { sentence: sentence(&title, data), title, subject, at: text(&message["timestamp"]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAISED: &str = r#"{"type": "quota.exceeded", "timestamp": "2026-11-30T08:00:00Z", "data": {
        "app_name": "<!channel> & [Bot](https://evil.org)", "key_name": null, "bucket": "cost_budget",
        "per": "month", "limit": "10", "used": "10.5"}}"#;

    #[test]
    fn slack_is_told_without_mentions() {
        let told: Value = serde_json::from_str(&slack(RAISED)).unwrap();
        assert_eq!(
            told["text"],
            "*quota.exceeded*\n&lt;!channel&gt; &amp; [Bot](https://evil.org): Used up: the budget of $10 per month: \
             $10.5 used"
        );
        assert_eq!(told.as_object().unwrap().len(), 1);
    }

    #[test]
    fn teams_is_told_by_a_card_without_links() {
        let told: Value = serde_json::from_str(&teams(RAISED)).unwrap();
        assert_eq!(told["type"], "message");
        let attachment = &told["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!((card["type"].as_str(), card["version"].as_str()), (Some("AdaptiveCard"), Some("1.4")));
        assert_eq!(card["body"][0]["text"], "Used up: the budget of $10 per month: $10.5 used");
        assert_eq!(
            card["body"][1]["facts"][0],
            json!({"title": "About", "value": "\\<!channel\\> & \\[Bot\\]\\(https://evil.org\\)"})
        );
    }
}
