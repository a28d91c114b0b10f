//! One event, as email tells it.

use jiff::Timestamp;
use serde_json::Value;

use super::{MailPages, MailReader};
use crate::event::sentence;
use crate::hidden::reveal;
use crate::mail::MailTopic;
use crate::wording::words;

/// The most characters that are shown of what people wrote.
const LONGEST: usize = 500;

/// One event.
#[derive(Clone, Debug)]
pub struct MailItem {
    pub topic: MailTopic,
    /// What happened to what, in one line.
    pub title: String,
    /// More of it; empty where the title says all.
    pub sentence: String,
    pub facts: Vec<(&'static str, String)>,
    /// Where it is seen, in words and as a URL.
    pub link: (&'static str, String),
}

/// An event's message, read.
struct EventText<'a> {
    kind: &'a str,
    data: &'a Value,
    app: String,
    key: String,
}

impl MailItem {
    /// None where nobody gets email about it.
    pub fn read(message: &str, reader: MailReader<'_>) -> Option<Self> {
        let message: Value = serde_json::from_str(message).ok()?;
        let (kind, data) = (message["type"].as_str()?, &message["data"]);
        let topic = MailTopic::of(kind)?;
        let event = EventText { kind, data, app: line(&data["app_name"]), key: line(&data["key_name"]) };
        let mut facts = event.facts();
        if let Some(at) = moment(&message["timestamp"]) {
            facts.push(("Time", at));
        }
        Some(Self {
            topic,
            title: event.title(topic),
            sentence: event.sentence(topic),
            facts,
            link: event.link(reader),
        })
    }
}

impl EventText<'_> {
    /// `laptop of Support Bot`, or the app alone.
    fn subject(&self) -> String {
        match (self.app.as_str(), self.key.as_str()) {
            ("", "") => "An app".to_owned(),
            (app, "") => app.to_owned(),
            ("", key) => key.to_owned(),
            (app, key) => format!("{key} of {app}"),
        }
    }

    fn title(&self, topic: MailTopic) -> String {
        let subject = self.subject();
        let budget = if self.data["bucket"] == "token_budget" { "token budget" } else { "budget" };
        let app = if self.app.is_empty() { "an app" } else { &self.app };
        match (topic, self.kind) {
            (_, "quota.threshold") => {
                let percent = self.data["percent"].as_u64().unwrap_or(0);
                format!("{subject}: {percent}% of the {budget} is used")
            }
            (_, "quota.exceeded") => format!("{subject}: the {budget} is used up"),
            (_, "quota.resolved") => format!("{subject}: the {budget} is available again"),
            (MailTopic::ExpiringKeys, _) => {
                let days = self.data["days"].as_u64().unwrap_or(0);
                let within = if days == 1 { "a day".to_owned() } else { format!("{days} days") };
                format!("{subject}: the key expires within {within}")
            }
            (MailTopic::RequestsToDecide, _) => {
                format!("{} requested a change to {app}", line(&self.data["requester"]))
            }
            (_, "change_request.approved") => format!("Your change request for {app} was approved"),
            (_, "change_request.rejected") => format!("Your change request for {app} was rejected"),
            (_, "change_request.failed") => format!("Your change request for {app} could not be applied"),
            (MailTopic::MyRequests, _) => format!("Your change request for {app} is out of date"),
            (MailTopic::Budgets | MailTopic::Webhooks, _) => {
                format!("The webhook {} was disabled", line(&self.data["subject"]["name"]))
            }
        }
    }

    fn sentence(&self, topic: MailTopic) -> String {
        match topic {
            MailTopic::Budgets => line(&Value::from(sentence(self.kind, self.data))) + ".",
            MailTopic::ExpiringKeys => {
                let at = moment(&self.data["expires_at"]).unwrap_or_default();
                format!(
                    "The key stops working at {at}. Rotating it does not extend it: create a new key before \
                     then."
                )
            }
            MailTopic::RequestsToDecide | MailTopic::MyRequests => String::new(),
            MailTopic::Webhooks => {
                format!("It no longer receives messages: {}.", line(&self.data["reason"]))
            }
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("App", self.app.clone()), ("Key", self.key.clone())];
        if self.kind.starts_with("change_request.") {
            facts.push(("Change", words(&line(&self.data["kind"]))));
            // A decision goes to the one who asked.
            let is_decided = self.kind != "change_request.submitted";
            facts.push((if is_decided { "Your reason" } else { "Reason" }, line(&self.data["reason"])));
            facts.push(("Admin's comment", line(&self.data["comment"])));
        }
        facts.retain(|(_, value)| !value.is_empty());
        facts
    }

    fn link(&self, reader: MailReader<'_>) -> (&'static str, String) {
        let id = |name: &str| {
            let id = self.data[name].as_str().unwrap_or_default();
            id.chars().all(|c| c.is_ascii_hexdigit() || c == '-').then_some(id).filter(|id| !id.is_empty())
        };
        let console = reader.pages == MailPages::Console;
        // An app's own keys have no pages.
        let key = id("key_id").filter(|_| self.data["of"] != "app");
        let (words, path) = match (self.kind, id("change_request_id"), id("app_id"), key) {
            ("change_request.submitted", Some(request), ..) => {
                ("View request", format!("/admin/requests/{request}"))
            }
            (_, Some(request), ..) => ("View request", format!("/requests/{request}")),
            ("webhook.disabled", ..) => ("View webhooks", "/admin/webhooks".to_owned()),
            (_, _, Some(app), Some(key)) if !console => ("View key", format!("/apps/{app}/keys/{key}")),
            (_, _, Some(app), Some(key)) => ("View key", format!("/admin/apps/{app}/keys/{key}")),
            (_, _, Some(app), None) if console => ("View app", format!("/admin/apps/{app}")),
            (_, _, Some(app), None) => ("View app", format!("/apps/{app}")),
            _ => ("Open Latchkey", "/".to_owned()),
        };
        (words, reader.at(&path))
    }
}

/// What somebody wrote, in one line: cut, and with what nobody sees made visible.
fn line(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = text.chars().take(LONGEST).collect();
    let cut = if cut.len() < text.len() { cut + "…" } else { cut };
    reveal(&cut)
}

/// `Nov 30, 2026, 08:00 UTC`.
fn moment(value: &Value) -> Option<String> {
    let at: Timestamp = value.as_str()?.parse().ok()?;
    Some(at.strftime("%b %-d, %Y, %H:%M UTC").to_string())
}
