//! Who may do what with an app in the self-service portal.

mod reason;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::invalid::Invalid;

pub use reason::{Reason, Via};

/// The most people, or groups, on one list.
const MOST_SUBJECTS: usize = 1000;
const MOST_KEYS_PER_USER: u32 = 1000;
const LONGEST_LIFETIME_DAYS: u32 = 3650;

/// What can be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// See the app.
    Viewer,
    /// Ask for changes of its settings.
    SettingsRequest,
    /// See stored key values.
    KeyVisibility,
    /// See everyone's requests, not only one's own.
    AllLogs,
}

/// How a capability is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessMode {
    /// To no one.
    #[default]
    Disabled,
    /// To everyone who can sign in, but for the exceptions.
    Everyone,
    /// To those on the allow list, but for the exceptions.
    Specific,
}

/// People and smart groups, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Subjects {
    /// Ids of users.
    pub users: BTreeSet<Uuid>,
    /// Ids of smart groups.
    pub groups: BTreeSet<Uuid>,
}

/// Who has one capability.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// How it is given.
    pub mode: AccessMode,
    /// Who has it in the mode `specific`.
    pub allow: Subjects,
    /// Who never has it.
    pub exceptions: Subjects,
}

/// Who has each capability of an app. By default no one has any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Who sees the app.
    pub viewer: Rule,
    /// Who asks for changes; implies `viewer`.
    pub settings_request: Rule,
    /// Who sees stored key values.
    pub key_visibility: Rule,
    /// Who sees everyone's requests.
    pub all_logs: Rule,
}

/// What users may do with an app by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelfService {
    /// Who has which capability.
    pub access: Access,
    /// Whether a user's keys stop while they may not see the app; otherwise they keep working.
    pub suspend_keys_on_lost_access: bool,
    /// How many named keys that are not revoked one user may have; null for any number.
    pub most_keys_per_user: Option<u32>,
    /// For how many days a named key that users make lasts at most; null for ever.
    pub longest_key_lifetime_days: Option<u32>,
}

/// A user, with the groups that they are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user: Uuid,
    /// Whether they may sign in. Who may not has no capability.
    pub is_active: bool,
    /// Their smart groups.
    pub groups: BTreeSet<Uuid>,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::SettingsRequest, Self::KeyVisibility, Self::AllLogs];

    /// The capability's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::SettingsRequest => "settings_request",
            Self::KeyVisibility => "key_visibility",
            Self::AllLogs => "all_logs",
        }
    }
}

impl Access {
    /// The rule of a capability.
    #[must_use]
    pub fn rule(&self, capability: Capability) -> &Rule {
        match capability {
            Capability::Viewer => &self.viewer,
            Capability::SettingsRequest => &self.settings_request,
            Capability::KeyVisibility => &self.key_visibility,
            Capability::AllLogs => &self.all_logs,
        }
    }

    /// Whether `member` has `capability`.
    #[must_use]
    pub fn grants(&self, capability: Capability, member: &Member) -> bool {
        self.explain(capability, member).is_granted()
    }

    /// The capabilities that `member` has.
    #[must_use]
    pub fn granted(&self, member: &Member) -> Vec<Capability> {
        Capability::ALL.into_iter().filter(|capability| self.grants(*capability, member)).collect()
    }
}

impl SelfService {
    /// Whether the keys of `member` stop: they may not see the app, and it suspends keys then.
    #[must_use]
    pub fn suspends(&self, member: &Member) -> bool {
        self.suspend_keys_on_lost_access && !self.access.grants(Capability::Viewer, member)
    }

    /// Notes every list that is not as it was `before`, and that the mode beside it does not look at: it would
    /// seem to give or to take access. Lists that were there stay, for the mode to be switched back.
    pub fn check_lists(&self, before: &Self, invalid: &mut Invalid) {
        for capability in Capability::ALL {
            let (rule, old) = (self.access.rule(capability), before.access.rule(capability));
            for (list, subjects) in rule.idle(capability) {
                if *subjects != Subjects::default() && subjects != old.list(list) {
                    let why = match list {
                        "allow" => "has no effect in this mode: choose `specific`, or leave it empty",
                        _ => "has no effect in the mode `disabled`: choose another, or leave it empty",
                    };
                    let path = format!("access.{}.{list}", capability.as_str());
                    invalid.check::<(), _>(&path, Err(why));
                }
            }
        }
    }

    /// Notes every number that is out of range and every list that is too long; `prefix` comes before each
    /// path.
    pub fn check(&self, prefix: &str, invalid: &mut Invalid) {
        for capability in Capability::ALL {
            let rule = self.access.rule(capability);
            for (list, subjects) in [("allow", &rule.allow), ("exceptions", &rule.exceptions)] {
                for (kind, ids) in [("users", &subjects.users), ("groups", &subjects.groups)] {
                    let path = format!("{prefix}access.{}.{list}.{kind}", capability.as_str());
                    invalid.check(&path, short_enough(ids.len()));
                }
            }
        }
        let numbers = [
            ("most_keys_per_user", self.most_keys_per_user, MOST_KEYS_PER_USER),
            ("longest_key_lifetime_days", self.longest_key_lifetime_days, LONGEST_LIFETIME_DAYS),
        ];
        for (name, number, most) in numbers {
            if number.is_some_and(|number| !(1..=most).contains(&number)) {
                let message = format!("must be 1 to {most}, or null for no limit");
                invalid.check::<(), _>(&format!("{prefix}{name}"), Err(message));
            }
        }
    }
}

impl Rule {
    /// Which of its lists its mode does not look at. Exceptions of `viewer` always count: also for those who see
    /// the app because they may ask for changes.
    fn idle(&self, capability: Capability) -> impl Iterator<Item = (&'static str, &Subjects)> {
        let allow = self.mode != AccessMode::Specific;
        let exceptions = self.mode == AccessMode::Disabled && capability != Capability::Viewer;
        [(allow, "allow", &self.allow), (exceptions, "exceptions", &self.exceptions)]
            .into_iter()
            .filter_map(|(idle, list, subjects)| idle.then_some((list, subjects)))
    }

    fn list(&self, list: &str) -> &Subjects {
        if list == "allow" { &self.allow } else { &self.exceptions }
    }
}

fn short_enough(entries: usize) -> Result<(), String> {
    match entries {
        0..=MOST_SUBJECTS => Ok(()),
        _ => Err(format!("has {entries} entries; the maximum is {MOST_SUBJECTS}: use a smart group instead")),
    }
}
