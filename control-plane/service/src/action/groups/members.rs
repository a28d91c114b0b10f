//! Who is in a smart group.

use std::collections::{BTreeSet, HashMap};

use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::name::Email;
use latchkey_core::profile::groups::Stated;
use latchkey_store::Tx;
use latchkey_store::group_members::MembershipSource;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{audit, find};
use crate::action::access::{AccessScope, Refreshed, refresh};
use crate::action::{By, Refusal};

/// The most people to add at once.
const MOST: usize = 5000;

/// Whom to add to a smart group: 1 to 5000 people.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMembers {
    /// By id.
    #[serde(default)]
    pub users: Vec<Uuid>,
    /// By address.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub emails: Vec<Email>,
}

#[derive(Clone, Copy, Debug)]
pub struct AddedMembers {
    /// How many were not members before, or were only by claim.
    pub added: usize,
    /// What became of their keys.
    pub keys: Refreshed,
}

/// Adds people to a group; all of them, or none when one is unknown.
///
/// # Errors
/// There is no such group, someone is unknown, or they are nobody or too many.
pub async fn add(tx: &mut Tx, by: By<'_>, id: Uuid, new: AddMembers) -> Result<AddedMembers, Refusal> {
    let group = find(tx, id).await?;
    let known = known(tx, &new).await?;
    let users: Vec<_> = known.keys().copied().collect();
    let added = tx.add_group_members(id, &users, MembershipSource::Admin, by.world.now()).await?;
    let keys = refresh(tx, by, AccessScope::Group(id, &added)).await?;
    if let [user] = added[..] {
        let data = json!({ "user_id": user, "email": known.get(&user), "keys": keys });
        audit(tx, by, &group, "group.member_added", data);
    } else if !added.is_empty() {
        audit(tx, by, &group, "group.members_added", json!({ "user_ids": added, "keys": keys }));
    }
    Ok(AddedMembers { added: added.len(), keys })
}

/// Takes someone out of a group, with effect on every app at once.
///
/// # Errors
/// There is no such group, or they are not in it.
pub async fn remove(tx: &mut Tx, by: By<'_>, id: Uuid, user: Uuid) -> Result<Refreshed, Refusal> {
    let group = find(tx, id).await?;
    if !tx.remove_group_member(id, user).await? {
        return Err(Refusal::NotFound("member"));
    }
    let email = tx.users_among(&[user]).await?.remove(&user);
    let keys = refresh(tx, by, AccessScope::Group(id, &[user])).await?;
    audit(tx, by, &group, "group.member_removed", json!({ "user_id": user, "email": email, "keys": keys }));
    Ok(keys)
}

/// Puts a user into the groups that their provider states, at sign-in, and takes them out of those that it
/// no longer does. Where an admin has added them by hand they stay.
pub async fn replace_claimed(
    tx: &mut Tx,
    by: By<'_>,
    user: Uuid,
    stated: &Stated,
) -> Result<Refreshed, Refusal> {
    let mut changed = false;
    let groups = tx.claimed_groups(user).await?;
    let wanted = stated.among(&groups.iter().map(|(_, claim, _)| claim.as_str()).collect());
    for (id, claim, held) in &groups {
        let (id, held, wanted) = (*id, *held, wanted.contains(claim.as_str()));
        let action = match (held, wanted) {
            (false, true) => {
                let added =
                    tx.add_group_members(id, &[user], MembershipSource::Claim, by.world.now()).await?;
                (!added.is_empty()).then_some("group.member_added")
            }
            (true, false) => tx.remove_group_member(id, user).await?.then_some("group.member_removed"),
            _ => None,
        };
        if let Some(action) = action {
            changed = true;
            let group = find(tx, id).await?;
            audit(tx, by, &group, action, json!({ "user_id": user, "claim": claim }));
        }
    }
    if changed { refresh(tx, by, AccessScope::Users(&[user])).await } else { Ok(Refreshed::default()) }
}

/// The users that are meant, with their addresses.
async fn known(tx: &mut Tx, new: &AddMembers) -> Result<HashMap<Uuid, String>, Refusal> {
    let count = new.users.len() + new.emails.len();
    if !(1..=MOST).contains(&count) {
        let message = format!("give 1 to {MOST} people, by `users` (IDs) or `emails`");
        return Err(Refusal::field("", message));
    }
    let unique: BTreeSet<_> = new.users.iter().copied().collect();
    let mut known = tx.users_among(&unique.into_iter().collect::<Vec<_>>()).await?;
    let addresses: BTreeSet<_> = new.emails.iter().map(|email| email.as_str().to_owned()).collect();
    let by_email = tx.users_by_email(&addresses).await?;
    let mut invalid = Invalid::default();
    for (i, user) in new.users.iter().enumerate() {
        if !known.contains_key(user) {
            invalid.0.push(FieldError::new(format!("users[{i}]"), "no user has this ID"));
        }
    }
    for (i, email) in new.emails.iter().enumerate() {
        if !by_email.contains_key(email.as_str()) {
            invalid.0.push(FieldError::new(format!("emails[{i}]"), "no user has this address"));
        }
    }
    invalid.into_result()?;
    known.extend(by_email.into_iter().map(|(email, id)| (id, email)));
    Ok(known)
}
