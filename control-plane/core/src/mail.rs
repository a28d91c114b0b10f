//! Email to people: what it is about, how often it comes, whom it concerns, and what it says.

pub mod content;
pub mod schedule;

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// What email is about: people choose for each how often it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MailTopic {
    /// Budgets that are nearly used up, used up, or available again.
    Budgets,
    /// Keys that expire soon.
    ExpiringKeys,
    /// Change requests that wait for a decision.
    RequestsToDecide,
    /// What became of one's own change requests.
    MyRequests,
    /// Webhooks that Latchkey has disabled.
    Webhooks,
}

/// How often email comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailFrequency {
    /// One for each event, right away.
    #[default]
    AtOnce,
    /// One a day, with all of the day.
    Daily,
    /// None.
    Off,
}

/// How often somebody wants email about what. By default all of it comes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MailPreferences {
    /// Budgets of one's keys, and of apps that one is in charge of.
    #[schema(required)]
    pub budgets: MailFrequency,
    /// The same of keys that expire soon.
    #[schema(required)]
    pub expiring_keys: MailFrequency,
    /// Change requests that wait for a decision: for admins.
    #[schema(required)]
    pub requests_to_decide: MailFrequency,
    /// What became of one's own change requests.
    #[schema(required)]
    pub my_requests: MailFrequency,
    /// Webhooks that Latchkey has disabled: for admins.
    #[schema(required)]
    pub webhooks: MailFrequency,
}

/// The server that email is sent by, as people may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// Its host and port.
    pub address: String,
    /// Who the sender is: `Latchkey <latchkey@example.com>`.
    pub from: String,
}

/// Whom an event concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Concern {
    /// The user whose key it is; of an app's own key those in charge of the app.
    KeyOwner(Uuid),
    /// Those in charge of the event's app.
    PeopleInCharge,
    /// Admins, but for the one who asks.
    Deciders {
        requester: Option<Uuid>,
    },
    /// The one who asked.
    Requester(Uuid),
    Admins,
}

impl MailTopic {
    pub const ALL: [Self; 5] =
        [Self::Budgets, Self::ExpiringKeys, Self::RequestsToDecide, Self::MyRequests, Self::Webhooks];

    /// What an event of this kind is about; none where nobody gets email about it.
    #[must_use]
    pub fn of(kind: &str) -> Option<Self> {
        match kind {
            "quota.threshold" | "quota.exceeded" | "quota.resolved" => Some(Self::Budgets),
            "key.expiring" => Some(Self::ExpiringKeys),
            "change_request.submitted" => Some(Self::RequestsToDecide),
            "change_request.approved"
            | "change_request.rejected"
            | "change_request.failed"
            | "change_request.stale" => Some(Self::MyRequests),
            "webhook.disabled" => Some(Self::Webhooks),
            _ => None,
        }
    }

    /// Whether only admins get it.
    #[must_use]
    pub fn is_for_admins(self) -> bool {
        matches!(self, Self::RequestsToDecide | Self::Webhooks)
    }

    /// What it is, for who chooses.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Budgets => {
                "A budget of one of your keys, or of an app you're responsible for, is nearly used up, used \
                 up, or available again."
            }
            Self::ExpiringKeys => {
                "One of your keys, or a key of an app you're responsible for, expires within 7 days (and \
                 again within 1 day)."
            }
            Self::RequestsToDecide => "Someone requests a change to an app.",
            Self::MyRequests => {
                "One of your requests was approved or rejected, could not be applied, or is out of date."
            }
            Self::Webhooks => "Latchkey disabled a failing webhook.",
        }
    }

    /// As pages and mails name it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Budgets => "Budgets",
            Self::ExpiringKeys => "Expiring keys",
            Self::RequestsToDecide => "Change requests to decide",
            Self::MyRequests => "Decisions on my change requests",
            Self::Webhooks => "Disabled webhooks",
        }
    }
}

impl MailFrequency {
    const ALL: [Self; 3] = [Self::AtOnce, Self::Daily, Self::Off];

    /// As JSON has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at_once",
            Self::Daily => "daily",
            Self::Off => "off",
        }
    }
}

impl FromStr for MailFrequency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a frequency: use at_once, daily, or off"))
    }
}

impl MailPreferences {
    #[must_use]
    pub fn frequency(&self, topic: MailTopic) -> MailFrequency {
        match topic {
            MailTopic::Budgets => self.budgets,
            MailTopic::ExpiringKeys => self.expiring_keys,
            MailTopic::RequestsToDecide => self.requests_to_decide,
            MailTopic::MyRequests => self.my_requests,
            MailTopic::Webhooks => self.webhooks,
        }
    }
}

/// Whom an event concerns: its kind, and the data of its message. None where nobody gets email about it.
#[must_use]
pub fn concern(kind: &str, data: &Value) -> Option<Concern> {
    let id = |name: &str| data[name].as_str().and_then(|id| id.parse::<Uuid>().ok());
    match MailTopic::of(kind)? {
        MailTopic::Budgets | MailTopic::ExpiringKeys => {
            Some(id("key_id").map_or(Concern::PeopleInCharge, Concern::KeyOwner))
        }
        MailTopic::RequestsToDecide => Some(Concern::Deciders { requester: id("requester_id") }),
        MailTopic::MyRequests => id("requester_id").map(Concern::Requester),
        MailTopic::Webhooks => Some(Concern::Admins),
    }
}

/// Whether mail to this address can arrive anywhere: the owner that the first start creates has none.
#[must_use]
pub fn is_reachable(email: &str) -> bool {
    email.rsplit_once('@').is_some_and(|(_, domain)| !domain.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::KINDS;

    #[test]
    fn events_concern_those_who_can_do_something_about_them() {
        let (key, user) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let data = json!({"key_id": key, "requester_id": user});
        let of = |kind| concern(kind, &data);
        assert_eq!(of("quota.exceeded"), Some(Concern::KeyOwner(key)));
        assert_eq!(of("key.expiring"), Some(Concern::KeyOwner(key)));
        assert_eq!(concern("quota.threshold", &json!({"key_id": null})), Some(Concern::PeopleInCharge));
        assert_eq!(of("change_request.submitted"), Some(Concern::Deciders { requester: Some(user) }));
        assert_eq!(of("change_request.stale"), Some(Concern::Requester(user)));
        assert_eq!(of("webhook.disabled"), Some(Concern::Admins));
        // What people do themselves, and what may be many, is no reason to write to them.
        let told = KINDS.into_iter().filter(|kind| MailTopic::of(kind).is_some()).count();
        assert_eq!((told, of("key.created"), of("change_request.withdrawn")), (10, None, None));
    }

    #[test]
    fn preferences_that_are_not_given_are_the_defaults() {
        let stored: MailPreferences =
            serde_json::from_str(r#"{"budgets": "daily", "later": "off"}"#).unwrap();
        assert_eq!(stored, MailPreferences { budgets: MailFrequency::Daily, ..MailPreferences::default() });
        for topic in MailTopic::ALL {
            let expected = if topic == MailTopic::Budgets { "daily" } else { "at_once" };
            assert_eq!(stored.frequency(topic).as_str(), expected);
        }
        assert!("weekly".parse::<MailFrequency>().is_err());
    }

    #[test]
    fn the_first_owner_has_no_address() {
        assert!(is_reachable("ada@acme.com") && is_reachable("ada@mail.localhost.acme.com"));
        assert!(!is_reachable("owner@localhost") && !is_reachable("owner"));
    }
}
