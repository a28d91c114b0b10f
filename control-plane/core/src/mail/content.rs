//! What email says: subject, text and HTML, made of events' messages. Only what is named here is told of an event, so
//! that nothing else that it holds, now or later, is sent.

mod item;
mod render;

#[cfg(test)]
mod tests;

use item::MailItem;
use render::{Layout, Paragraph};

use super::MailTopic;
use super::schedule::DIGEST_HOUR;

/// The most events that a digest lists.
pub const MOST_LISTED: usize = 100;

/// Where people choose which email they get.
const PREFERENCES: &str = "/account#email";

/// An email without its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailContent {
    /// One line.
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// Whom it is for.
#[derive(Clone, Copy, Debug)]
pub struct MailReader<'a> {
    /// Where browsers find Latchkey: without a path.
    pub origin: &'a str,
    pub pages: MailPages,
}

/// Which pages the reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailPages {
    Portal,
    /// The console, too.
    Console,
}

impl MailReader<'_> {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Where the reader chooses which email they get.
    #[must_use]
    pub fn preferences(&self) -> String {
        self.at(PREFERENCES)
    }
}

/// The email about one event, from its message; none where nobody gets email about it.
#[must_use]
pub fn event_mail(message: &str, reader: MailReader<'_>) -> Option<MailContent> {
    let item = MailItem::read(message, reader)?;
    let because = match item.topic {
        MailTopic::Budgets => "it concerns one of your keys or an app you're responsible for",
        MailTopic::ExpiringKeys => "the key is yours, or you're responsible for its app",
        MailTopic::RequestsToDecide => "you can decide on change requests",
        MailTopic::MyRequests => "you made the request",
        MailTopic::Webhooks => "you are an admin",
    };
    let layout = Layout {
        subject: item.title.clone(),
        heading: item.title.clone(),
        paragraphs: vec![Paragraph::of(&item)],
        because,
        preferences: reader.preferences(),
    };
    Some(layout.render())
}

/// The email about the events of a day, from their messages, oldest first; `more` are not listed. None where there are
/// none that anybody gets email about.
#[must_use]
pub fn digest_mail(messages: &[String], more: u64, reader: MailReader<'_>) -> Option<MailContent> {
    let items: Vec<_> = messages.iter().filter_map(|message| MailItem::read(message, reader)).collect();
    let all = u64::try_from(items.len()).unwrap_or(u64::MAX).saturating_add(more);
    let heading = match (items.as_slice(), all) {
        ([], _) => return None,
        ([only], 1) => only.title.clone(),
        _ => format!("{all} notifications"),
    };
    let mut paragraphs = Vec::new();
    for topic in MailTopic::ALL {
        let of_topic: Vec<_> = items.iter().filter(|item| item.topic == topic).collect();
        if !of_topic.is_empty() {
            paragraphs.push(Paragraph::Heading(topic.title()));
            paragraphs.extend(of_topic.into_iter().map(Paragraph::of));
        }
    }
    if more > 0 {
        paragraphs.push(Paragraph::Words(format!("{more} more notifications are not shown.")));
    }
    let layout = Layout {
        subject: format!("Latchkey daily digest: {heading}"),
        heading,
        paragraphs,
        because: "you chose a daily digest, or because many emails to you were waiting",
        preferences: reader.preferences(),
    };
    Some(layout.render())
}

/// The email that only says that email arrives.
#[must_use]
pub fn test_mail(reader: MailReader<'_>) -> MailContent {
    let words = format!(
        "Email from Latchkey at {} is working. Daily digests are sent at {DIGEST_HOUR:02}:00 UTC.",
        reader.origin
    );
    let layout = Layout {
        subject: "Test email from Latchkey".to_owned(),
        heading: "Test email from Latchkey".to_owned(),
        paragraphs: vec![Paragraph::Words(words)],
        because: "you requested it",
        preferences: reader.preferences(),
    };
    layout.render()
}
