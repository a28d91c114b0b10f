//! What users may do with an app by themselves.

use latchkey_core::access::SelfService;
use latchkey_core::invalid::Invalid;
use latchkey_core::name::Name;
use latchkey_core::settings::AppSettings;
use latchkey_store::Tx;
use latchkey_store::apps::App;
use uuid::Uuid;

use super::apps::save::SavedApp;
use super::subjects::SubjectIds;
use super::{Context, Refusal, apps};

/// Edits an app's self-service settings. Whom `edit` names must exist.
///
/// # Errors
/// There is no such app, it is revoked, or a field is wrong.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    id: Uuid,
    named: &SubjectIds,
    edit: impl FnOnce(&mut SelfService) + Send,
) -> Result<App, Refusal> {
    // Locked before the head, as by every edit.
    tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
    // Who deletes a group takes it too, so that one waits for the other.
    tx.revision(context.world).await?;
    named.refuse_unknown(tx).await?;
    let edit = |_: &mut Name, settings: &mut AppSettings| {
        let before = settings.self_service.clone();
        edit(&mut settings.self_service);
        check(&settings.self_service, &before)
    };
    let SavedApp { app, .. } = apps::update::update(tx, context, id, edit).await?;
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
