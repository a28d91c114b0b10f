//! Writing an app's configuration: the one way to it, so that nothing can be forgotten.

use latchkey_core::access::SelfService;
use latchkey_core::change::{Change, Configuration, Operation};
use latchkey_core::content::refuse_unaffordable;
use latchkey_core::expiry::BadExpiry;
use latchkey_core::guardrails::check_trials;
use latchkey_core::name::Name;
use latchkey_core::prompts::Prompt;
use latchkey_core::rotation::{Grace, LONGEST_GRACE_SECONDS};
use latchkey_core::settings::{AppSettings, CredentialMode};
use latchkey_core::status::{Final, Status};
use latchkey_store::Tx;
use latchkey_store::apps::App;
use latchkey_store::versions::NewVersion;
use latchkey_world::World;
use serde_json::json;
use uuid::Uuid;

use super::{keeps_app_key, refuse_unknown_names};
use crate::action::access::{self, AccessScope};
use crate::action::audit::AuditedAction;
use crate::action::change_requests;
use crate::action::keys::rotate;
use crate::action::subjects::SubjectIds;
use crate::action::{Context, Issued, Refusal};

/// What a configuration is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionOrigin {
    Edit,
    /// The version with this number is restored.
    Rollback(i64),
    /// This change request was approved.
    Request(Uuid),
}

/// An app whose configuration was written.
#[derive(Debug)]
pub struct SavedApp {
    pub app: App,
    /// The app key, where it had to be replaced:
    /// - from named to shared, since every named key contains the old one; that stops at once;
    /// - from shared to named where its value was not kept, since named keys are made of it.
    pub issued: Option<Issued>,
    /// The new version; none where nothing differs, and so nothing was written.
    pub version: Option<i64>,
}

/// Gives the app, which was read in this transaction, another name and other settings, as a version.
///
/// # Errors
/// The app is revoked, or the settings are wrong or name what does not exist.
pub async fn save(
    tx: &mut Tx,
    context: Context<'_>,
    before: App,
    name: Name,
    settings: AppSettings,
    origin: VersionOrigin,
) -> Result<SavedApp, Refusal> {
    if before.status == Status::Revoked {
        return Err(Final.into());
    }
    let settings = checked(settings, &before.settings, origin, context.world)?;
    let now = Configuration::of(&name, &settings);
    let changes = Configuration::of(&before.name, &before.settings).changes(&now);
    if changes.is_empty() {
        return Ok(SavedApp { app: before, issued: None, version: None });
    }
    // Who deletes what the settings name takes it too, so that one waits for the other.
    let revision = tx.revision(context.world).await?;
    refuse_impossible(tx, context.world, &before, &settings).await?;
    let (mode, before_service) = (before.settings.mode, before.settings.self_service.clone());
    let app = App { name, settings, updated_at: context.world.now(), revision, ..before };
    tx.update_app(&app).await?;
    let version = record(tx, context, &app, origin, &changes).await?;
    if app.settings.mode != mode {
        let data = json!({"from": mode, "to": app.settings.mode});
        context.audit(tx, AuditedAction::to_app("app.mode_switched", &app, data));
    }
    change_requests::outdate(tx, context.by(), &app, version, &changes, &now).await?;
    change_requests::trial::end_overtaken(tx, context.by(), &app, version, &changes).await?;
    let suspends = |service: &SelfService| service.suspend_keys_on_lost_access;
    if before_service != app.settings.self_service
        && (suspends(&before_service) || suspends(&app.settings.self_service))
    {
        access::refresh(tx, context.by(), AccessScope::App(app.id)).await?;
    }
    let issued = keep_keys_in_step(tx, context, &app, mode).await?;
    Ok(SavedApp { app, issued, version: Some(version) })
}

/// The settings as they may be written in the place of those `before`.
///
/// # Errors
/// They are wrong.
pub(in crate::action) fn checked(
    settings: AppSettings,
    before: &AppSettings,
    origin: VersionOrigin,
    world: &World,
) -> Result<AppSettings, Refusal> {
    // An older version may hold what has no effect.
    let settings = match origin {
        VersionOrigin::Edit => settings.validated_over(before)?,
        VersionOrigin::Rollback(_) => {
            // What came after it may have taken a version's place.
            let mut settings = settings.continuing(before);
            settings.prompts.iter_mut().for_each(Prompt::drop_dangling_labels);
            let settings = settings.validated()?;
            refuse_unaffordable(before, &settings)?;
            settings
        }
        VersionOrigin::Request(_) => {
            let settings = settings.continuing(before).validated()?;
            refuse_unaffordable(before, &settings)?;
            // Time has passed since it was asked for.
            check_trials(&before.guardrails, &settings.guardrails, world.now())?;
            settings
        }
    };
    Ok(settings)
}

/// Refuses settings, right in themselves, that cannot be given to the app now: they name what does not
/// exist, or end it in the past.
///
/// # Errors
/// Which they are.
pub(in crate::action) async fn refuse_impossible(
    tx: &mut Tx,
    world: &World,
    before: &App,
    settings: &AppSettings,
) -> Result<(), Refusal> {
    let ended = settings.expires_at.is_some_and(|at| at <= world.now());
    if ended && settings.expires_at != before.settings.expires_at {
        return Err(BadExpiry::Past.into());
    }
    refuse_unknown_names(tx, settings).await?;
    if settings.self_service.access != before.settings.self_service.access {
        SubjectIds::of(&settings.self_service.access, "self_service.access").refuse_unknown(tx).await?;
    }
    Ok(())
}

/// Adds the version, and tells the audit log.
async fn record(
    tx: &mut Tx,
    context: Context<'_>,
    app: &App,
    origin: VersionOrigin,
    changes: &[Change],
) -> Result<i64, Refusal> {
    let (operation, change_request) = match origin {
        VersionOrigin::Edit => (Operation::of(changes), None),
        VersionOrigin::Request(id) => (Operation::of(changes), Some(id)),
        VersionOrigin::Rollback(_) => (Operation::Rollback, None),
    };
    let new = NewVersion { app, operation, actor: context.actor, change_request, changes };
    let version = tx.insert_version(new).await?;
    let changed: Vec<_> = changes.iter().map(|change| &change.path).collect();
    let mut data = json!({"version": version, "operation": operation, "changed": changed});
    match origin {
        VersionOrigin::Edit => {}
        VersionOrigin::Request(id) => data["change_request_id"] = json!(id),
        VersionOrigin::Rollback(to) => data["to"] = json!(to),
    }
    let action = match operation {
        Operation::Rollback => "app.rolled_back",
        Operation::SelfService => "app.self_service_updated",
        _ => "app.updated",
    };
    if operation == Operation::SelfService {
        // Who was granted what, and who no longer is.
        data["changes"] = json!(changes);
    }
    context.audit(tx, AuditedAction::to_app(action, app, data));
    Ok(version)
}

/// Forgets the values that are no longer kept, and replaces the app key where the mode's change asks
/// for it.
async fn keep_keys_in_step(
    tx: &mut Tx,
    context: Context<'_>,
    app: &App,
    before: CredentialMode,
) -> Result<Option<Issued>, Refusal> {
    if !app.settings.keep_key_values {
        tx.forget_named_values(app.id).await?;
    }
    if !keeps_app_key(&app.settings) {
        tx.forget_app_key_value(app.id).await?;
    }
    match (before, app.settings.mode) {
        (CredentialMode::Named, CredentialMode::Shared) => {
            rotate::app_key(tx, context, app, Grace::NONE).await.map(Some)
        }
        (CredentialMode::Shared, CredentialMode::Named)
            if tx.app_key(app.id).await?.sealed_value.is_none() =>
        {
            // The old one is refused for want of a name while the app stays in named mode.
            let grace =
                Grace::seconds(LONGEST_GRACE_SECONDS).map_err(|error| Refusal::field("mode", error))?;
            rotate::app_key(tx, context, app, grace).await.map(Some)
        }
        _ => Ok(None),
    }
}
