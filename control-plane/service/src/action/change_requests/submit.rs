//! Asking for a change.

use latchkey_core::access::{Capability, Member};
use latchkey_core::change::{Change, Configuration};
use latchkey_core::change_request::{Kind, Status};
use latchkey_core::distinct;
use latchkey_core::status::{self, Final};
use latchkey_store::Tx;
use latchkey_store::apps::App;
use latchkey_store::change_requests::ChangeRequest;
use latchkey_store::users::User;
use latchkey_world::World;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::edit::{ParsedEdit, RequestedEdit};
use super::{given, tell};
use crate::action::apps::save::refuse_impossible;
use crate::action::{By, Refusal};

/// A change to ask for.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChangeRequest {
    /// What is to be changed.
    pub kind: Kind,
    /// How, in the shape of that kind.
    #[serde(deserialize_with = "distinct::value")]
    #[schema(value_type = RequestedEdit)]
    pub edit: Value,
    /// Why: 1 to 2000 characters.
    pub reason: String,
    /// The version of the app that it is meant for, as its preview has it: with another it is refused.
    /// Left out, it is meant for whichever is the newest.
    pub base_version: Option<i64>,
}

/// The edit may have values that must not be printed.
impl std::fmt::Debug for NewChangeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, edit: _, reason: _, base_version } = self;
        let mut debug = f.debug_struct("NewChangeRequest");
        debug.field("kind", kind).field("base_version", base_version).finish_non_exhaustive()
    }
}

/// What a request would ask for, if it were submitted.
#[derive(Clone, Debug)]
pub struct ChangeDraft {
    /// The app as it is.
    pub app: App,
    pub base_version: i64,
    /// Each field that the request touches; at least one.
    pub changes: Vec<Change>,
    /// The edit in the place of the one that was sent, where that holds values which are kept nowhere.
    pub hashed_edit: Option<Value>,
}

const MOST_PENDING: usize = 20;

/// Refuses who may not ask for changes of an app.
///
/// # Errors
/// They do not see the app, or may not ask.
pub fn refuse_without_access(app: &App, member: &Member) -> Result<(), Refusal> {
    let access = &app.settings.self_service.access;
    if !access.grants(Capability::Viewer, member) {
        return Err(Refusal::NotFound("app"));
    }
    if !access.grants(Capability::SettingsRequest, member) {
        let detail = "you can see this app, but not request changes to it".to_owned();
        return Err(Refusal::Forbidden { code: "no_settings_request", detail });
    }
    Ok(())
}

/// What a request of the user with this id would ask for. It must be possible now, as an edit of an admin would be.
///
/// # Errors
/// The user does not see the app or may not ask for changes, or the edit is wrong or changes nothing.
pub async fn draft(
    tx: &mut Tx,
    world: &World,
    user: Uuid,
    app: Uuid,
    kind: Kind,
    edit: ParsedEdit,
) -> Result<ChangeDraft, Refusal> {
    let member = tx.member(user).await?.ok_or(Refusal::NotFound("app"))?;
    let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
    refuse_without_access(&app, &member)?;
    if app.status == status::Status::Revoked {
        return Err(Final.into());
    }
    let edit = edit.hashed(tx, app.id).await.map_err(|refusal| refusal.within("edit"))?;
    let hashed_edit = match &edit {
        ParsedEdit::Categories(categories) => {
            // What was sent in its place has the values.
            let hashed = serde_json::to_value(categories);
            Some(hashed.map_err(|_| Refusal::field("edit", "cannot be stored with its values as hashes"))?)
        }
        ParsedEdit::App(_) | ParsedEdit::Prompt(_) => None,
    };
    let (mut name, mut settings) = (app.name.clone(), app.settings.clone());
    edit.apply(&mut name, &mut settings, world.now()).map_err(|refusal| refusal.within("edit"))?;
    let settings = settings.validated_over(&app.settings);
    let settings = settings.map_err(|invalid| Refusal::from(invalid).within("edit"))?;
    let wanted = Configuration::of(&app.name, &settings);
    let changes = kind.only(Configuration::of(&app.name, &app.settings).changes(&wanted));
    if changes.is_empty() {
        return Err(Refusal::field("edit", "would change nothing: the app already has these settings"));
    }
    refuse_impossible(tx, world, &app, &settings).await.map_err(|refusal| refusal.within("edit"))?;
    let base_version = tx.newest_version(app.id).await?;
    Ok(ChangeDraft { app, base_version, changes, hashed_edit })
}

/// Submits a request of `user` for a change of an app.
///
/// # Errors
/// As [`draft`], or no reason is given, the app is no longer at the version that the request is meant
/// for, or too many requests of the user wait already.
pub async fn submit(
    tx: &mut Tx,
    by: By<'_>,
    user: &User,
    app: Uuid,
    new: NewChangeRequest,
) -> Result<ChangeRequest, Refusal> {
    let edit = ParsedEdit::parse(new.kind, &new.edit)?;
    let ChangeDraft { app, base_version, changes, hashed_edit } =
        draft(tx, by.world, user.id, app, new.kind, edit).await?;
    given("reason", &new.reason)?;
    if new.base_version.is_some_and(|base| base != base_version) {
        let detail = format!(
            "the app has changed in the meantime (now version {base_version}): review your request and \
             submit it again"
        );
        return Err(Refusal::conflict("changed_meanwhile", detail));
    }
    if tx.pending_requests(app.id, Some(user.id)).await?.len() >= MOST_PENDING {
        let detail = format!("you have {MOST_PENDING} pending requests for this app: withdraw one first");
        return Err(Refusal::conflict("too_many_pending", detail));
    }
    let request = ChangeRequest {
        id: by.world.id(),
        app_id: app.id,
        app_name: app.name.as_str().to_owned(),
        user_id: user.id,
        user_email: user.email.as_str().to_owned(),
        kind: new.kind,
        status: Status::Pending,
        reason: new.reason,
        base_version,
        changes,
        created_at: by.world.now(),
        decided_at: None,
        decided_by: None,
        comment: String::new(),
        version: None,
    };
    tx.insert_change_request(&request, hashed_edit.as_ref().unwrap_or(&new.edit)).await?;
    tell(tx, by, &request, "change_request.submitted", "").await?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_printed_shows_no_values() {
        let edit =
            serde_json::json!({ "custom_categories": [{ "name": "Customers", "values": ["C-100977"] }] });
        let kind = Kind::CustomCategories;
        let new = NewChangeRequest { kind, edit, reason: "for C-100977".to_owned(), base_version: Some(3) };
        let printed = format!("{new:?}");
        assert!(printed.contains("CustomCategories") && !printed.contains("100977"), "{printed}");
    }
}
