//! How self-service settings look from outside.

use latchkey_core::access::{AccessMode, Rule, SelfService, Subjects};
use latchkey_core::name::{Email, Name};
use latchkey_service::action::subjects::{FoundSubjects, NamedSubjects, SubjectIds};
use latchkey_store::subjects::SubjectNames;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{GroupRef, PersonRef};
use crate::body::{given, nullable};

/// What users may do with an app by themselves.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SelfServiceView {
    /// Who has which capability.
    pub access: AccessView,
    /// Whether a user's keys stop while they may not see the app; otherwise they keep working.
    pub suspend_keys_on_lost_access: bool,
    /// How many named keys that are not revoked one user may have; null for any number.
    pub most_keys_per_user: Option<u32>,
    /// For how many days a named key lasts at most; null for ever.
    pub longest_key_lifetime_days: Option<u32>,
}

/// Who has each capability.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccessView {
    /// Who sees the app.
    pub viewer: RuleView,
    /// Who asks for changes; implies `viewer`, unless that excepts them.
    pub settings_request: RuleView,
    /// Who sees stored key values.
    pub key_visibility: RuleView,
    /// Who sees everyone's requests.
    pub all_logs: RuleView,
}

/// Who has one capability.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RuleView {
    /// How it is given.
    pub mode: AccessMode,
    /// Who has it in the mode `specific`.
    pub allow: SubjectsView,
    /// Who never has it.
    pub exceptions: SubjectsView,
}

/// People and smart groups.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SubjectsView {
    /// People.
    pub users: Vec<PersonRef>,
    /// Smart groups. One that was deleted, and came back by a rollback, has no name and no members.
    pub groups: Vec<GroupRef>,
}

/// What to change of an app's self-service settings.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditSelfService {
    /// Who has which capability.
    #[serde(default)]
    pub access: EditAccess,
    /// Whether a user's keys stop while they may not see the app; otherwise they keep working.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub suspend_keys_on_lost_access: Option<bool>,
    /// How many named keys that are not revoked one user may have: 1 to 1000; null for any number.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub most_keys_per_user: Option<Option<u32>>,
    /// For how many days a named key lasts at most: 1 to 3650; null for ever. Keys that there are keep
    /// their expiration, and are neither extended nor rotated beyond this.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3650)]
    pub longest_key_lifetime_days: Option<Option<u32>>,
}

/// The rules to replace; what is not named stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditAccess {
    /// Who sees the app.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = NewRule)]
    pub viewer: Option<NewRule>,
    /// Who asks for changes; implies `viewer`, unless that excepts them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = NewRule)]
    pub settings_request: Option<NewRule>,
    /// Who sees stored key values.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = NewRule)]
    pub key_visibility: Option<NewRule>,
    /// Who sees everyone's requests.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = NewRule)]
    pub all_logs: Option<NewRule>,
}

/// Who is to have one capability.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// How it is given.
    pub mode: AccessMode,
    /// Who has it in the mode `specific`.
    #[serde(default)]
    pub allow: NewSubjects,
    /// Who never has it.
    #[serde(default)]
    pub exceptions: NewSubjects,
}

/// People and smart groups, by id or by what they are called: at most 1000 of each.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewSubjects {
    /// Ids of users.
    pub users: Vec<Uuid>,
    /// Addresses of users.
    #[schema(value_type = Vec<String>)]
    pub emails: Vec<Email>,
    /// Ids of smart groups.
    pub groups: Vec<Uuid>,
    /// Names of smart groups, in any case.
    #[schema(value_type = Vec<String>)]
    pub group_names: Vec<Name>,
}

impl SelfServiceView {
    /// The view of settings, with what people and groups are called.
    #[must_use]
    pub fn new(settings: &SelfService, names: &SubjectNames) -> Self {
        let subjects = |Subjects { users, groups }: &Subjects| SubjectsView {
            users: users.iter().map(|id| PersonRef::new(*id, names)).collect(),
            groups: groups.iter().map(|id| GroupRef::new(*id, names)).collect(),
        };
        let rule = |rule: &Rule| RuleView {
            mode: rule.mode,
            allow: subjects(&rule.allow),
            exceptions: subjects(&rule.exceptions),
        };
        let access = &settings.access;
        Self {
            access: AccessView {
                viewer: rule(&access.viewer),
                settings_request: rule(&access.settings_request),
                key_visibility: rule(&access.key_visibility),
                all_logs: rule(&access.all_logs),
            },
            suspend_keys_on_lost_access: settings.suspend_keys_on_lost_access,
            most_keys_per_user: settings.most_keys_per_user,
            longest_key_lifetime_days: settings.longest_key_lifetime_days,
        }
    }
}

impl EditSelfService {
    /// Whom it names by id, with the paths.
    #[must_use]
    pub fn subject_ids(&self) -> SubjectIds {
        let mut ids = SubjectIds::default();
        for (list, subjects) in self.access.lists() {
            ids.add(&list, subjects.users.iter().copied(), subjects.groups.iter().copied());
        }
        ids
    }

    /// Whom it names by what they are called, with the paths.
    #[must_use]
    pub fn subject_names(&self) -> NamedSubjects {
        let mut names = NamedSubjects::default();
        for (list, subjects) in self.access.lists() {
            names.emails.extend(with_paths(&list, "emails", &subjects.emails));
            names.groups.extend(with_paths(&list, "group_names", &subjects.group_names));
        }
        names
    }

    /// The same edit, by ids only.
    #[must_use]
    pub fn resolved(mut self, found: &FoundSubjects) -> Self {
        let EditAccess { viewer, settings_request, key_visibility, all_logs } = &mut self.access;
        for rule in [viewer, settings_request, key_visibility, all_logs].into_iter().flatten() {
            for NewSubjects { users, emails, groups, group_names } in [&mut rule.allow, &mut rule.exceptions]
            {
                users.extend(std::mem::take(emails).iter().filter_map(|email| found.user(email)));
                groups.extend(std::mem::take(group_names).iter().filter_map(|name| found.group(name)));
            }
        }
        self
    }

    pub fn apply(self, settings: &mut SelfService) {
        let Self { access, suspend_keys_on_lost_access, most_keys_per_user, longest_key_lifetime_days } =
            self;
        let EditAccess { viewer, settings_request, key_visibility, all_logs } = access;
        let rules = [
            (&mut settings.access.viewer, viewer),
            (&mut settings.access.settings_request, settings_request),
            (&mut settings.access.key_visibility, key_visibility),
            (&mut settings.access.all_logs, all_logs),
        ];
        for (rule, new) in rules {
            if let Some(new) = new {
                *rule = new.into();
            }
        }
        settings.suspend_keys_on_lost_access =
            suspend_keys_on_lost_access.unwrap_or(settings.suspend_keys_on_lost_access);
        settings.most_keys_per_user = most_keys_per_user.unwrap_or(settings.most_keys_per_user);
        settings.longest_key_lifetime_days =
            longest_key_lifetime_days.unwrap_or(settings.longest_key_lifetime_days);
    }
}

impl EditAccess {
    /// Every list that is replaced, with its path.
    fn lists(&self) -> impl Iterator<Item = (String, &NewSubjects)> {
        let Self { viewer, settings_request, key_visibility, all_logs } = self;
        let rules = [
            ("viewer", viewer),
            ("settings_request", settings_request),
            ("key_visibility", key_visibility),
            ("all_logs", all_logs),
        ];
        rules.into_iter().filter_map(|(capability, rule)| Some((capability, rule.as_ref()?))).flat_map(
            |(capability, rule)| {
                [("allow", &rule.allow), ("exceptions", &rule.exceptions)]
                    .map(|(list, subjects)| (format!("access.{capability}.{list}"), subjects))
            },
        )
    }
}

/// The items of a list, each with its path.
fn with_paths<T: Clone>(list: &str, kind: &str, items: &[T]) -> Vec<(String, T)> {
    let path = |(i, item): (usize, &T)| (format!("{list}.{kind}[{i}]"), item.clone());
    items.iter().enumerate().map(path).collect()
}

impl From<NewRule> for Rule {
    fn from(NewRule { mode, allow, exceptions }: NewRule) -> Self {
        Self { mode, allow: allow.into(), exceptions: exceptions.into() }
    }
}

impl From<NewSubjects> for Subjects {
    /// Of those that are named by id.
    fn from(NewSubjects { users, groups, emails: _, group_names: _ }: NewSubjects) -> Self {
        Self { users: users.into_iter().collect(), groups: groups.into_iter().collect() }
    }
}
