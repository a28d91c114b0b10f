//! The people and smart groups that an edit names.

use std::collections::{BTreeSet, HashMap};

use latchkey_core::access::Access;
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::name::{Email, Name};
use latchkey_store::Tx;
use uuid::Uuid;

use super::Refusal;

/// Those that are named by id, with the field's path.
#[derive(Clone, Debug, Default)]
pub struct SubjectIds {
    pub users: Vec<(String, Uuid)>,
    pub groups: Vec<(String, Uuid)>,
}

impl SubjectIds {
    /// Those that the rules at `path` name.
    #[must_use]
    pub fn of(access: &Access, path: &str) -> Self {
        let Access { viewer, settings_request, key_visibility, all_logs } = access;
        let rules = [
            ("viewer", viewer),
            ("settings_request", settings_request),
            ("key_visibility", key_visibility),
            ("all_logs", all_logs),
        ];
        let mut named = Self::default();
        for (capability, rule) in rules {
            for (list, subjects) in [("allow", &rule.allow), ("exceptions", &rule.exceptions)] {
                let path = format!("{path}.{capability}.{list}");
                named.add(&path, subjects.users.iter().copied(), subjects.groups.iter().copied());
            }
        }
        named
    }

    /// Adds those of the list at `path`.
    pub fn add(
        &mut self,
        path: &str,
        users: impl IntoIterator<Item = Uuid>,
        groups: impl IntoIterator<Item = Uuid>,
    ) {
        let each = |kind: &str, (i, id): (usize, Uuid)| (format!("{path}.{kind}[{i}]"), id);
        self.users.extend(users.into_iter().enumerate().map(|user| each("users", user)));
        self.groups.extend(groups.into_iter().enumerate().map(|group| each("groups", group)));
    }

    /// Refuses those that do not exist.
    ///
    /// # Errors
    /// Every one of them, by its path.
    pub async fn refuse_unknown(&self, tx: &mut Tx) -> Result<(), Refusal> {
        let of = |ids: &[(String, Uuid)]| ids.iter().map(|(_, id)| *id).collect::<Vec<_>>();
        let users = tx.users_among(&of(&self.users)).await?;
        let groups = tx.groups_among(&of(&self.groups)).await?;
        let mut invalid = Invalid::default();
        for (path, id) in &self.users {
            if !users.contains_key(id) {
                invalid.0.push(FieldError::new(path, "no user has this ID"));
            }
        }
        for (path, id) in &self.groups {
            if !groups.contains(id) {
                invalid.0.push(FieldError::new(path, "no group has this ID"));
            }
        }
        Ok(invalid.into_result()?)
    }
}

/// People and groups as people name them, with the field's path.
#[derive(Clone, Debug, Default)]
pub struct NamedSubjects {
    pub emails: Vec<(String, Email)>,
    /// In any case.
    pub groups: Vec<(String, Name)>,
}

/// The ids of those that were named by address or name.
#[derive(Clone, Debug, Default)]
pub struct FoundSubjects {
    users: HashMap<String, Uuid>,
    groups: HashMap<String, Uuid>,
}

impl FoundSubjects {
    /// The user with this address.
    #[must_use]
    pub fn user(&self, email: &Email) -> Option<Uuid> {
        self.users.get(email.as_str()).copied()
    }

    /// The group of this name.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<Uuid> {
        self.groups.get(&name.as_str().to_lowercase()).copied()
    }
}

/// Finds people and groups by address and name.
///
/// # Errors
/// Every one that there is none of, by its path.
pub async fn find(tx: &mut Tx, names: &NamedSubjects) -> Result<FoundSubjects, Refusal> {
    let emails: BTreeSet<_> = names.emails.iter().map(|(_, email)| email.as_str().to_owned()).collect();
    let group_names: BTreeSet<_> =
        names.groups.iter().map(|(_, name)| name.as_str().to_lowercase()).collect();
    let users = if emails.is_empty() { HashMap::new() } else { tx.users_by_email(&emails).await? };
    let groups =
        if group_names.is_empty() { HashMap::new() } else { tx.groups_by_name(&group_names).await? };
    let found = FoundSubjects { users, groups };
    let mut invalid = Invalid::default();
    for (path, email) in &names.emails {
        if found.user(email).is_none() {
            let message = format!("no user has the address {}", email.as_str());
            invalid.0.push(FieldError::new(path, message));
        }
    }
    for (path, name) in &names.groups {
        if found.group(name).is_none() {
            invalid.0.push(FieldError::new(path, format!("no smart group is named {}", name.as_str())));
        }
    }
    invalid.into_result()?;
    Ok(found)
}
