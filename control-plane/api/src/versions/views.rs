//! How versions look from outside.

use jiff::Timestamp;
use latchkey_core::change::{Change, Operation, Path, redacted};
use latchkey_core::name::Name;
use latchkey_store::versions::{AppVersion, VersionHead};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::apps::AppView;

/// Which page of a list of versions.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VersionPage {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
}

/// What to compare a version with.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VersionQuery {
    /// The number of another version; the one before by default.
    pub against: Option<i64>,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionActor {
    /// `user`, `token` (of nobody) or `system`.
    pub kind: String,
    /// Of the user or the token; null for the system.
    pub id: Option<String>,
    /// The user's email address or the token's name, as it was then.
    pub name: String,
}

/// A state that an app's configuration had.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionView {
    /// From 1, per app.
    pub number: i64,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it came of.
    pub operation: Operation,
    /// Who made it.
    pub actor: VersionActor,
    /// The change request that was approved with it.
    pub change_request_id: Option<Uuid>,
    /// The fields that differ from the version before: `limits.requests_per_minute`.
    #[schema(value_type = Vec<String>)]
    pub changed: Vec<Path>,
}

/// A version, and what differs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionDetail {
    /// What is told of it in lists.
    #[serde(flatten)]
    pub version: VersionView,
    /// The app's name then.
    #[schema(value_type = String)]
    pub name: Name,
    /// Its settings then, without what looks like a secret.
    #[schema(value_type = Object)]
    pub settings: Value,
    /// The version that it is compared with; null for the first.
    pub against: Option<i64>,
    /// What differs from that one.
    pub changes: Vec<FieldChange>,
}

/// A field that differs. What looks like a secret reads `[redacted]`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct FieldChange {
    /// Which: `limits.requests_per_minute`.
    #[schema(value_type = String)]
    pub path: Path,
    /// Its value before; missing where it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    pub before: Option<Value>,
    /// Its value after; missing where it is no longer there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    pub after: Option<Value>,
}

/// An app that was rolled back.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RolledBack {
    /// The number of the version that this made.
    pub version: i64,
    /// The app as it is now.
    pub app: AppView,
}

impl From<VersionHead> for VersionView {
    fn from(head: VersionHead) -> Self {
        let VersionHead {
            number,
            at,
            operation,
            actor_kind,
            actor_id,
            actor_name,
            change_request_id,
            changed,
        } = head;
        let id = Some(actor_id).filter(|id| !id.is_empty());
        let actor = VersionActor { kind: actor_kind, id, name: actor_name };
        Self { number, at, operation, actor, change_request_id, changed }
    }
}

impl VersionDetail {
    /// The view of `version`, which differs from the one with the number `against` by `changes`.
    #[must_use]
    pub fn new(version: AppVersion, against: Option<i64>, changes: Vec<Change>) -> Self {
        let AppVersion { head, name, settings } = version;
        let settings = serde_json::to_value(settings).unwrap_or_default();
        Self {
            version: head.into(),
            name,
            settings: redacted(&Path::new(Vec::new()), settings),
            against,
            changes: changes.into_iter().map(FieldChange::from).collect(),
        }
    }
}

impl From<Change> for FieldChange {
    fn from(change: Change) -> Self {
        let Change { path, before, after } = change.redacted();
        Self { path, before, after }
    }
}
