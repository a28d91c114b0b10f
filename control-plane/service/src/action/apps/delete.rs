//! Deleting an app.

use latchkey_store::Tx;
use serde_json::json;
use uuid::Uuid;

use crate::action::audit::AuditedAction;
use crate::action::change_requests::outdate_all;
use crate::action::{Context, Refusal};

/// Hides an app for good and revokes its keys; the records stay. Gives its last revision.
///
/// # Errors
/// There is no such app.
pub async fn delete(tx: &mut Tx, context: Context<'_>, id: Uuid) -> Result<i64, Refusal> {
    let app = tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
    let now = context.world.now();
    let revision = tx.revision(context.world).await?;
    tx.mark_app_deleted(app.id, now, revision).await?;
    tx.revoke_keys_of(app.id, now, revision).await?;
    tx.remove_app(context.world, app.id).await?;
    context.audit(tx, AuditedAction::to_app("app.deleted", &app, json!({})));
    outdate_all(tx, context.by(), &app, "the app was deleted").await?;
    Ok(revision)
}
