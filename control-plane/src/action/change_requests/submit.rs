//! Asking for a change.

use latchkey_core::access::Capability;
use latchkey_core::change::Configuration;
use latchkey_core::change_request::{Kind, Status};
use latchkey_core::name::Name;
use latchkey_core::settings::AppSettings;
use latchkey_core::status::{self, Final};
use serde_json::Value;
use uuid::Uuid;

use super::{given, tell};
use crate::action::apps::save::refuse_impossible;
use crate::action::{By, Refusal};
use crate::store::Tx;
use crate::store::change_requests::ChangeRequest;
use crate::store::users::User;

/// A request to submit.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// What is to be changed.
    pub kind: Kind,
    /// The edit, as it came.
    pub edit: Value,
    /// Why.
    pub reason: String,
}

const MOST_PENDING: usize = 20;

/// Submits a request of `user` for what `edit` makes of an app's settings. It must be possible now, as an
/// edit of an admin would be.
///
/// # Errors
/// The user does not see the app or may not ask for changes, or the edit is wrong or changes nothing.
pub async fn submit(
    tx: &mut Tx,
    by: By<'_>,
    user: &User,
    app: Uuid,
    new: NewRequest,
    edit: impl FnOnce(&mut Name, &mut AppSettings) -> Result<(), Refusal> + Send,
) -> Result<ChangeRequest, Refusal> {
    let member = tx.member(user.id).await?.ok_or(Refusal::NotFound("app"))?;
    let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
    let access = &app.settings.self_service.access;
    if !access.grants(Capability::Viewer, &member) {
        return Err(Refusal::NotFound("app"));
    }
    if !access.grants(Capability::SettingsRequest, &member) {
        let detail = "you may see this app, but not ask for changes of it".to_owned();
        return Err(Refusal::Forbidden { code: "no_settings_request", detail });
    }
    if app.status == status::Status::Revoked {
        return Err(Final.into());
    }
    given("reason", &new.reason)?;
    if tx.pending_requests(app.id, Some(user.id)).await?.len() >= MOST_PENDING {
        let detail = format!("you have {MOST_PENDING} pending requests for this app: withdraw one first");
        return Err(Refusal::conflict("too_many_pending", detail));
    }
    let (mut name, mut settings) = (app.name.clone(), app.settings.clone());
    edit(&mut name, &mut settings).map_err(|refusal| refusal.within("edit"))?;
    let settings = settings.validated().map_err(|invalid| Refusal::from(invalid).within("edit"))?;
    let wanted = Configuration::of(&app.name, &settings);
    let changes = new.kind.only(Configuration::of(&app.name, &app.settings).changes(&wanted));
    if changes.is_empty() {
        return Err(Refusal::field("edit", "would change nothing: the app is so already"));
    }
    refuse_impossible(tx, by.world, &app, &settings).await.map_err(|refusal| refusal.within("edit"))?;
    let request = ChangeRequest {
        id: by.world.id(),
        app_id: app.id,
        app_name: app.name.as_str().to_owned(),
        user_id: user.id,
        user_email: user.email.as_str().to_owned(),
        kind: new.kind,
        status: Status::Pending,
        reason: new.reason,
        base_version: tx.newest_version(app.id).await?,
        changes,
        created_at: by.world.now(),
        decided_at: None,
        decided_by: None,
        comment: String::new(),
        version: None,
    };
    tx.insert_change_request(&request, &new.edit).await?;
    tell(tx, by, &request, "change_request.submitted", "").await?;
    Ok(request)
}
