//! Smart groups.

mod members;

use latchkey_core::hidden;
use latchkey_core::invalid::Invalid;
use latchkey_core::limits::{given, nullable};
use latchkey_core::name::Name;
use latchkey_store::Tx;
use latchkey_store::groups::Group;
use latchkey_store::subjects::GroupReference;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::{AccessScope, Refreshed, refresh};
use super::audit::AuditedAction;
use super::{By, Refusal, taken};

pub use members::{AddMembers, AddedMembers, add, remove, replace_claimed};

const LONGEST_DESCRIPTION: usize = 500;
const LONGEST_CLAIM: usize = 200;

/// A smart group to create.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Unique, whatever the case: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
    /// For people: at most 500 characters.
    #[serde(default)]
    pub description: String,
    /// The value of the groups claim that fills it at sign-in.
    pub claim: Option<String>,
}

/// What to change of a smart group.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditGroup {
    /// Unique, whatever the case.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub name: Option<Name>,
    /// For people.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub description: Option<String>,
    /// The value of the groups claim that fills it at sign-in; null for none.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub claim: Option<Option<String>>,
}

/// Makes a group.
///
/// # Errors
/// A field is wrong, or another group has this name or claim.
pub async fn create(tx: &mut Tx, by: By<'_>, new: NewGroup) -> Result<Group, Refusal> {
    let NewGroup { name, description, claim } = new;
    let now = by.world.now();
    let group =
        Group { id: by.world.id(), name, description, claim, created_at: now, updated_at: now, members: 0 };
    check(tx, &group).await?;
    tx.insert_group(&group).await.map_err(|error| taken(error, "name", NAME_TAKEN))?;
    let data = json!({ "description": group.description, "claim": group.claim });
    audit(tx, by, &group, "group.created", data);
    Ok(group)
}

/// Edits a group.
///
/// # Errors
/// There is no such group, a field is wrong, or another group has this name or claim.
pub async fn update(
    tx: &mut Tx,
    by: By<'_>,
    id: Uuid,
    edit: EditGroup,
) -> Result<(Group, Refreshed), Refusal> {
    let mut group = find(tx, id).await?;
    let before = group.clone();
    group.name = edit.name.unwrap_or(group.name);
    group.description = edit.description.unwrap_or(group.description);
    group.claim = edit.claim.unwrap_or(group.claim);
    if group == before {
        return Ok((group, Refreshed::default()));
    }
    check(tx, &group).await?;
    group.updated_at = by.world.now();
    tx.update_group(&group).await.map_err(|error| taken(error, "name", NAME_TAKEN))?;
    let mut refreshed = Refreshed::default();
    let mut left = Vec::new();
    if group.claim != before.claim {
        left = tx.remove_claimed_members(id).await?;
        group.members = group.members.saturating_sub(left.len() as u64);
        refreshed = refresh(tx, by, AccessScope::Group(id, &left)).await?;
    }
    let shape =
        |group: &Group| json!({ "name": group.name, "description": group.description, "claim": group.claim });
    let data = json!({ "before": shape(&before), "after": shape(&group), "left": left, "keys": refreshed });
    audit(tx, by, &group, "group.updated", data);
    Ok((group, refreshed))
}

/// Deletes a group that no app names.
///
/// # Errors
/// There is no such group, or apps name it.
pub async fn delete(tx: &mut Tx, by: By<'_>, id: Uuid) -> Result<(), Refusal> {
    let group = find(tx, id).await?;
    // Who names a group in an app's settings takes it before looking for the group.
    tx.revision(by.world).await?;
    let uses = tx.group_uses(id, SHOWN_USES + 1).await?;
    if !uses.is_empty() {
        return Err(Refusal::conflict("group_in_use", in_use(&group, &uses)));
    }
    tx.delete_group(id).await?;
    audit(tx, by, &group, "group.deleted", json!({ "members": group.members }));
    Ok(())
}

const NAME_TAKEN: &str = "another group has this name (names are not case-sensitive)";
const SHOWN_USES: i64 = 5;

fn in_use(group: &Group, uses: &[GroupReference]) -> String {
    let shown = uses.iter().take(SHOWN_USES as usize).map(|one| {
        let lists = one.lists.iter().map(|(capability, list)| format!("{} {list}", capability.as_str()));
        format!("{} ({})", one.name, lists.collect::<Vec<_>>().join(", "))
    });
    let shown = shown.collect::<Vec<_>>().join("; ");
    let more = if uses.len() > SHOWN_USES as usize { "; and more" } else { "" };
    format!("apps use this group {}: {shown}{more}. Remove it from those apps first", group.name)
}

async fn find(tx: &mut Tx, id: Uuid) -> Result<Group, Refusal> {
    tx.group(id).await?.ok_or(Refusal::NotFound("group"))
}

async fn check(tx: &mut Tx, group: &Group) -> Result<(), Refusal> {
    let mut invalid = Invalid::default();
    let long = group.description.chars().count() > LONGEST_DESCRIPTION;
    if long || group.description.chars().any(|c| c.is_control() && c != '\n') {
        let message = format!("must be at most {LONGEST_DESCRIPTION} characters, without control characters");
        invalid.check::<(), _>("description", Err(message));
    }
    if let Some(claim) = &group.claim {
        invalid.check("claim", check_claim(claim));
    }
    invalid.into_result()?;
    let (name, claim) = tx.group_clashes(&group.name, group.claim.as_deref(), group.id).await?;
    let mut invalid = Invalid::default();
    if name {
        invalid.check::<(), _>("name", Err(NAME_TAKEN));
    }
    if claim {
        invalid.check::<(), _>("claim", Err("another group uses this claim value"));
    }
    Ok(invalid.into_result()?)
}

fn check_claim(claim: &str) -> Result<(), String> {
    if let Some(hidden) = hidden::find(claim) {
        return Err(format!("must not contain the invisible character {hidden}"));
    }
    let fits = (1..=LONGEST_CLAIM).contains(&claim.chars().count()) && claim.trim() == claim;
    if fits && !claim.contains(char::is_control) {
        Ok(())
    } else {
        Err(format!(
            "must be 1 to {LONGEST_CLAIM} characters without control characters or surrounding spaces, or null for \
             no claim"
        ))
    }
}

fn audit(tx: &mut Tx, by: By<'_>, group: &Group, action: &'static str, data: serde_json::Value) {
    let (id, name) = (group.id.to_string(), group.name.as_str());
    by.audit(tx, AuditedAction { action, kind: "group", id, name, app: None, data });
}
