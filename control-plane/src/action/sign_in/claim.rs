//! Groups that a claim fills.

use serde_json::json;

use crate::action::audit::Done;
use crate::action::{By, Refusal};
use crate::store::Tx;
use crate::store::identities::ClaimedGroup;
use crate::store::users::User;

/// Makes the user's memberships by claim those that the claim's values name. Memberships given by
/// hand stay.
///
/// # Errors
/// The database failed.
pub async fn follow(tx: &mut Tx, by: By<'_>, user: &User, values: &[String]) -> Result<(), Refusal> {
    for group in tx.claimed_groups(user.id).await? {
        let named = !group.claim.is_empty() && values.contains(&group.claim);
        let action = match (named, group.member, group.by_claim) {
            (true, false, _) => {
                tx.insert_claimed_member(group.id, user.id, by.world.now()).await?;
                "group.member_added"
            }
            (false, _, true) => {
                tx.remove_claimed_member(group.id, user.id).await?;
                "group.member_removed"
            }
            _ => continue,
        };
        by.audit(tx, done(action, user, &group));
    }
    Ok(())
}

fn done<'a>(action: &'static str, user: &User, group: &'a ClaimedGroup) -> Done<'a> {
    let data = json!({ "user_id": user.id, "user": user.email, "source": "claim" });
    Done { action, kind: "group", id: group.id.to_string(), name: &group.name, app: None, data }
}
