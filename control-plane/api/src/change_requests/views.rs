//! How change requests look from outside.

use jiff::Timestamp;
use latchkey_core::change::{Change, Configuration, Path, redacted};
use latchkey_core::change_request::{Kind, Status};
use latchkey_store::apps::App;
use latchkey_store::change_requests::ChangeRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::trial::TrialView;
use crate::versions::FieldChange;

/// An approval.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApproveChange {
    /// What the requester is told: at most 2000 characters.
    pub comment: String,
}

/// A rejection.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectChange {
    /// What the requester is told: 1 to 2000 characters.
    pub reason: String,
}

/// Which change requests.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RequestQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only for this app.
    pub app_id: Option<Uuid>,
    /// Only by this user.
    pub user_id: Option<Uuid>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only with this status.
    pub status: Option<Status>,
}

/// Which change requests for an app.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AppRequestQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only by this user.
    pub user_id: Option<Uuid>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only with this status.
    pub status: Option<Status>,
}

/// Which change requests of one's own.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MyRequestQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only for this app.
    pub app_id: Option<Uuid>,
    /// Only with this status.
    pub status: Option<Status>,
}

/// One page of change requests.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChangeRequestList {
    /// The items.
    pub items: Vec<ChangeRequestView>,
    /// Give it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
    /// How many wait for a decision: of those asked for, whatever the page and the status asked for.
    pub pending: i64,
}

/// The app of a change request.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct RequestedApp {
    /// Opaque.
    pub id: Uuid,
    /// What it is called now.
    pub name: String,
}

/// A user of a change request.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Requester {
    /// Opaque.
    pub id: Uuid,
    /// The address.
    pub email: String,
}

/// A change that a user asked for.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ChangeRequestView {
    /// Opaque.
    pub id: Uuid,
    /// For which app.
    pub app: RequestedApp,
    /// Who asks.
    pub requester: Requester,
    /// What is to be changed.
    pub kind: Kind,
    /// How far it has come.
    pub status: Status,
    /// Why the requester wants it.
    pub reason: String,
    /// The version of the app that it was made on.
    pub base_version: i64,
    /// Each field that it touches: the value when it was submitted, and the one asked for.
    pub changes: Vec<FieldChange>,
    /// When it was submitted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was decided, withdrawn or overtaken; null while it is pending.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    /// Who did; null where that was a token of nobody, or another change.
    pub decided_by: Option<Requester>,
    /// What they say, or why it failed or is stale.
    pub comment: Option<String>,
    /// The version that it made.
    pub version: Option<i64>,
}

/// A change request, and the app now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChangeRequestDetail {
    /// The request.
    #[serde(flatten)]
    pub request: ChangeRequestView,
    /// The app's newest version.
    pub newest_version: i64,
    /// The fields that it touches, as they are now; empty where the app is deleted.
    pub now: Vec<FieldNow>,
    /// Its trial; null where it was never tried.
    pub trial: Option<TrialView>,
}

/// A field as it is now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldNow {
    /// Which.
    #[schema(value_type = String)]
    pub path: Path,
    /// Its value; missing where it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    pub value: Option<Value>,
    /// Whether it is not what it was when the request was submitted.
    pub differs: bool,
}

impl From<ChangeRequest> for ChangeRequestView {
    fn from(request: ChangeRequest) -> Self {
        let ChangeRequest {
            id,
            app_id,
            app_name,
            user_id,
            user_email,
            kind,
            status,
            reason,
            base_version,
            changes,
            created_at,
            decided_at,
            decided_by,
            comment,
            version,
        } = request;
        Self {
            id,
            app: RequestedApp { id: app_id, name: app_name },
            requester: Requester { id: user_id, email: user_email },
            kind,
            status,
            reason,
            base_version,
            changes: changes.into_iter().map(FieldChange::from).collect(),
            created_at,
            decided_at,
            decided_by: decided_by.map(|(id, email)| Requester { id, email }),
            comment: Some(comment).filter(|comment| !comment.is_empty()),
            version,
        }
    }
}

impl ChangeRequestDetail {
    /// The view of a request beside the app as it is now.
    #[must_use]
    pub fn new(
        request: ChangeRequest,
        app: Option<&App>,
        newest_version: i64,
        trial: Option<TrialView>,
    ) -> Self {
        let now = app.map(|app| Configuration::of(&app.name, &app.settings));
        let field = |change: &Change| {
            let now = now.as_ref()?;
            let path = change.path.clone();
            let value = now.at(&path).map(|value| redacted(&path, value.clone()));
            Some(FieldNow { path, value, differs: change.differs(now) })
        };
        let now = request.changes.iter().filter_map(field).collect();
        Self { request: request.into(), newest_version, now, trial }
    }
}
