//! What users may do with an app by themselves.

use std::collections::{BTreeSet, HashMap};

use latchkey_core::access::{Access, SelfService};
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::name::{Email, Name};
use latchkey_core::settings::AppSettings;
use uuid::Uuid;

use super::apps::save::Saved;
use super::{Context, Refusal, apps};
use crate::store::Tx;
use crate::store::apps::App;

/// Whom an edit names, with the field's path.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Ids of users.
    pub users: Vec<(String, Uuid)>,
    /// Ids of smart groups.
    pub groups: Vec<(String, Uuid)>,
}

impl Named {
    /// Whom the rules at `path` name.
    #[must_use]
    pub fn by(access: &Access, path: &str) -> Self {
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
}

/// People and groups as people name them, with the field's path.
#[derive(Clone, Debug, Default)]
pub struct Called {
    /// Addresses of users.
    pub emails: Vec<(String, Email)>,
    /// Names of smart groups, in any case.
    pub groups: Vec<(String, Name)>,
}

/// Whom addresses and names mean.
#[derive(Clone, Debug, Default)]
pub struct Meant {
    users: HashMap<String, Uuid>,
    groups: HashMap<String, Uuid>,
}

impl Meant {
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

/// Finds people and groups by what they are called.
///
/// # Errors
/// Every one that there is none of, by its path.
pub async fn meant(tx: &mut Tx, called: &Called) -> Result<Meant, Refusal> {
    let emails: BTreeSet<_> = called.emails.iter().map(|(_, email)| email.as_str().to_owned()).collect();
    let names: BTreeSet<_> = called.groups.iter().map(|(_, name)| name.as_str().to_lowercase()).collect();
    let users = if emails.is_empty() { HashMap::new() } else { tx.users_by_email(&emails).await? };
    let groups = if names.is_empty() { HashMap::new() } else { tx.groups_by_name(&names).await? };
    let meant = Meant { users, groups };
    let mut invalid = Invalid::default();
    for (path, email) in &called.emails {
        if meant.user(email).is_none() {
            let message = format!("there is no user with the address {}", email.as_str());
            invalid.0.push(FieldError::new(path, message));
        }
    }
    for (path, name) in &called.groups {
        if meant.group(name).is_none() {
            invalid
                .0
                .push(FieldError::new(path, format!("there is no smart group called {}", name.as_str())));
        }
    }
    invalid.into_result()?;
    Ok(meant)
}

/// Edits an app's self-service settings. Whom `edit` names must exist.
///
/// # Errors
/// There is no such app, it is revoked, or a field is wrong.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    id: Uuid,
    named: &Named,
    edit: impl FnOnce(&mut SelfService) + Send,
) -> Result<App, Refusal> {
    // Locked before the head, as by every edit.
    tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
    // Who deletes a group takes it too, so that one waits for the other.
    tx.revision(context.world).await?;
    refuse_unknown(tx, named).await?;
    let edit = |_: &mut Name, settings: &mut AppSettings| {
        let before = settings.self_service.clone();
        edit(&mut settings.self_service);
        check(&settings.self_service, &before)
    };
    let Saved { app, .. } = apps::update::update(tx, context, id, edit).await?;
    Ok(app)
}

/// Refuses settings that are out of range, or that would have no effect and were not so `before`.
///
/// # Errors
/// Every field that is, by its path in these settings.
pub fn check(settings: &SelfService, before: &SelfService) -> Result<(), Refusal> {
    let mut invalid = Invalid::default();
    settings.check("", &mut invalid);
    settings.check_lists(before, &mut invalid);
    Ok(invalid.into_result()?)
}

/// Refuses people and groups that do not exist.
///
/// # Errors
/// Every one of them, by its path.
pub async fn refuse_unknown(tx: &mut Tx, named: &Named) -> Result<(), Refusal> {
    let ids = |named: &[(String, Uuid)]| named.iter().map(|(_, id)| *id).collect::<Vec<_>>();
    let users = tx.users_among(&ids(&named.users)).await?;
    let groups = tx.groups_among(&ids(&named.groups)).await?;
    let mut invalid = Invalid::default();
    for (path, id) in &named.users {
        if !users.contains_key(id) {
            invalid.0.push(FieldError::new(path, "there is no user of this id"));
        }
    }
    for (path, id) in &named.groups {
        if !groups.contains(id) {
            invalid.0.push(FieldError::new(path, "there is no group of this id"));
        }
    }
    Ok(invalid.into_result()?)
}
