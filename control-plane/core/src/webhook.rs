//! Webhooks: which events they ask for, what their messages are, where they may be, and when a message is sent
//! again.

mod chat;
pub mod message;
pub mod schedule;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

use crate::event::KINDS;
use crate::outbound_url;
use crate::selection::Selection;
use crate::upstream::{Opened, OutOfReach};

/// The setting that opens private addresses to webhooks.
pub const SETTING: &str = "LATCHKEY_WEBHOOK_ALLOW";

/// Who reads the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookFormat {
    /// A program, as the Standard Webhooks specification has it: signed.
    #[default]
    Standard,
    /// A channel in Slack.
    Slack,
    /// A channel in Microsoft Teams.
    Teams,
}

/// Which kinds of events: one (`quota.exceeded`), those that begin alike (`change_request.*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "quota.*")]
pub struct EventPattern(String);

/// Why a text is no [`EventPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event: use `*`, a prefix such as `quota.*`, or one of {kinds}", kinds = KINDS.join(", "))]
pub struct NoSuchEvent(String);

/// Why a webhook is not sent to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedWebhookAddress {
    /// Whatever is opened.
    #[error("{0} is a link-local or otherwise special address, which webhooks are never sent to")]
    Special(String),
    /// Unless it is opened.
    #[error(
        "{0} is a private address, which webhooks are not sent to: an operator can allow it with {SETTING}"
    )]
    Private(String),
}

impl WebhookFormat {
    /// As JSON has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Slack => "slack",
            Self::Teams => "teams",
        }
    }

    /// Whether messages are signed, with a secret that the webhook's owner keeps. The URL of a chat is one itself.
    #[must_use]
    pub fn is_signed(self) -> bool {
        self == Self::Standard
    }

    /// What may be shown of a URL: of a chat's its host alone, of others all but the query.
    #[must_use]
    pub fn shown(self, url: &Url) -> String {
        let origin = url.origin().ascii_serialization();
        match (self, url.query()) {
            (Self::Slack | Self::Teams, _) => format!("{origin}/…"),
            (Self::Standard, Some(_)) => format!("{origin}{}?…", url.path()),
            (Self::Standard, None) => format!("{origin}{}", url.path()),
        }
    }
}

impl FromStr for WebhookFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Standard, Self::Slack, Self::Teams];
        all.into_iter().find(|each| each.as_str() == text).ok_or_else(|| format!("`{text}` is not a format"))
    }
}

impl EventPattern {
    /// Whether events of this kind are meant.
    #[must_use]
    pub fn matches(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => kind.starts_with(prefix),
            None => self.0 == kind,
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventPattern {
    type Error = NoSuchEvent;

    fn try_from(text: String) -> Result<Self, NoSuchEvent> {
        // A prefix ends at a dot, so that a kind that is added later is not asked for by chance.
        let is_whole = text.strip_suffix('*').is_none_or(|prefix| prefix.is_empty() || prefix.ends_with('.'));
        let pattern = Self(text);
        match is_whole && KINDS.iter().any(|kind| pattern.matches(kind)) {
            true => Ok(pattern),
            false => Err(NoSuchEvent(pattern.0)),
        }
    }
}

impl From<EventPattern> for String {
    fn from(EventPattern(text): EventPattern) -> Self {
        text
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether events of this app are asked for, given as its id; empty for an event about no app, which only those
/// have who ask for all, or for none of an app.
#[must_use]
pub fn asks_for_app(apps: &Selection, app: &str) -> bool {
    match apps {
        Selection::All => true,
        Selection::None => app.is_empty(),
        Selection::Only(ids) => ids.iter().any(|id| id == app),
    }
}

/// A webhook's URL in its normal form: with `https`, or with `http` on this machine where that is opened.
///
/// # Errors
/// Says what is wrong with it.
pub fn webhook_url(text: &str, opened: &Opened) -> Result<Url, String> {
    let url = outbound_url::url(text, "someone in between could read the messages")?;
    check_host(&url, opened).map_err(|refused| refused.to_string())?;
    Ok(url)
}

/// Allows the host of a URL as far as it can be told before its name is resolved.
fn check_host(url: &Url, opened: &Opened) -> Result<(), RefusedWebhookAddress> {
    let host = match url.host() {
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(Host::Domain(name)) => name.to_owned(),
        None => String::new(),
    };
    opened.check(&host).map_err(RefusedWebhookAddress::from)
}

/// Allows an address that a webhook's host has, or says why not.
///
/// # Errors
/// As said.
pub fn check_address(opened: &Opened, host: &str, address: IpAddr) -> Result<(), RefusedWebhookAddress> {
    opened.check_address(host, address).map_err(RefusedWebhookAddress::from)
}

impl From<OutOfReach> for RefusedWebhookAddress {
    fn from(refused: OutOfReach) -> Self {
        match refused {
            OutOfReach::Special(host) => Self::Special(host),
            OutOfReach::Private(host) => Self::Private(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<EventPattern, NoSuchEvent> {
        text.to_owned().try_into()
    }

    #[test]
    fn patterns_ask_for_kinds_that_there_are() {
        for (text, asked, not_asked) in [
            ("quota.exceeded", "quota.exceeded", "quota.threshold"),
            ("change_request.*", "change_request.stale", "key.created"),
            ("*", "audit.action", ""),
        ] {
            let pattern = pattern(text).unwrap();
            assert!(pattern.matches(asked), "{text}");
            assert!(text == "*" || !pattern.matches(not_asked), "{text}");
        }
        for wrong in ["", "quota", "quota*", "quota.", "quota.*.*", "*.exceeded", "none.*", "webhook.test"] {
            assert!(pattern(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn apps_are_asked_for_by_name_and_by_word() {
        let only = Selection::Only(vec!["a".to_owned()]);
        for (apps, app, asked) in [
            (&Selection::All, "a", true),
            (&Selection::All, "", true),
            (&Selection::None, "a", false),
            (&Selection::None, "", true),
            (&only, "a", true),
            (&only, "b", false),
            (&only, "", false),
        ] {
            assert_eq!(asks_for_app(apps, app), asked, "{apps:?} {app}");
        }
    }

    #[test]
    fn private_addresses_take_being_opened() {
        let closed = Opened::default();
        let opened = Opened::new(vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
        for good in ["https://hooks.acme.com/x?y=1", "https://8.8.8.8/"] {
            assert!(webhook_url(good, &closed).is_ok(), "{good}");
        }
        for private in
            ["https://10.0.0.1/", "http://127.0.0.1:8000/", "http://localhost/", "https://localhost./"]
        {
            assert!(webhook_url(private, &closed).is_err(), "{private}");
            assert!(webhook_url(private, &opened).is_ok(), "{private}");
        }
        let plain = Opened::new(vec!["10.0.0.0/8".parse().unwrap()]);
        for bad in
            ["http://10.0.0.1/", "http://hooks.acme.com/", "https://169.254.169.254/", "ftp://a.org/", "x"]
        {
            assert!(webhook_url(bad, &plain).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_chats_url_is_not_shown() {
        let url = Url::parse("https://hooks.slack.com/services/T0/B0/secret?x=1").unwrap();
        assert_eq!(WebhookFormat::Slack.shown(&url), "https://hooks.slack.com/…");
        assert_eq!(WebhookFormat::Teams.shown(&url), "https://hooks.slack.com/…");
        assert_eq!(WebhookFormat::Standard.shown(&url), "https://hooks.slack.com/services/T0/B0/secret?…");
    }
}
