//! Who may do what with an app in the self-service portal.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

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

impl Subjects {
    /// Whether `member`, or a group of theirs, is among them.
    #[must_use]
    pub fn hold(&self, member: &Member) -> bool {
        self.users.contains(&member.user) || !self.groups.is_disjoint(&member.groups)
    }
}

impl Rule {
    /// Whether the rule by itself gives its capability to `member`. Exceptions come first.
    #[must_use]
    pub fn grants(&self, member: &Member) -> bool {
        !self.exceptions.hold(member)
            && match self.mode {
                AccessMode::Disabled => false,
                AccessMode::Everyone => true,
                AccessMode::Specific => self.allow.hold(member),
            }
    }
}

impl Access {
    /// Whether `member` has `capability`. Who may ask for changes may see the app, unless excepted from
    /// that by name; what is shown of an app counts only for those who may see it.
    #[must_use]
    pub fn grants(&self, capability: Capability, member: &Member) -> bool {
        let may_ask = || self.settings_request.grants(member);
        let sees = || self.viewer.grants(member) || (!self.viewer.exceptions.hold(member) && may_ask());
        member.is_active
            && match capability {
                Capability::Viewer => sees(),
                Capability::SettingsRequest => may_ask(),
                Capability::KeyVisibility => sees() && self.key_visibility.grants(member),
                Capability::AllLogs => sees() && self.all_logs.grants(member),
            }
    }
}
