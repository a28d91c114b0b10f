//! How named keys look from outside.

use jiff::Timestamp;
use latchkey_core::limits::Limits;
use latchkey_core::name::{Name, deserialize_stored};
use latchkey_core::status::Standing;
use latchkey_service::action::Issued;
use latchkey_service::gateways::propagation::Propagation;
use latchkey_store::keys::Key;
use latchkey_store::subjects::SubjectNames;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::PersonRef;

/// A user's key for one app.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyView {
    /// Opaque; it stays when the secret is rotated.
    pub id: Uuid,
    /// The app that it opens.
    pub app_id: Uuid,
    /// Whose it is.
    pub user_id: Option<Uuid>,
    /// Who that is; for admins only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<PersonRef>,
    /// What people see.
    #[serde(deserialize_with = "deserialize_stored")]
    pub name: Name,
    /// What it is recognized by: `sk-quilr-…` and the last 4 characters of its value. Null for a key of an
    /// earlier version whose value is not stored, until it is rotated.
    pub masked: Option<String>,
    /// Whether it works, as far as the key itself goes; its app may be switched off.
    pub status: Standing,
    /// Whether it stops while its user may not see the app, as the app's self-service settings say.
    pub suspended: bool,
    /// When it stops; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// What it may use, within the app's limits; null where the app's `named_key_limits` apply.
    pub limits: Option<Limits>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its secret was last replaced.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rotated_at: Option<Timestamp>,
    /// When the replaced secret stops or stopped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_secret_stops_at: Option<Timestamp>,
    /// What the replaced secret is recognized by, as `masked`; null where there is none, or it is not known.
    pub old_secret_masked: Option<String>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// What the client presents; only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Which of an app's named keys.
#[derive(Clone, Debug, Default, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct KeyQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only keys whose name holds this, in any case, or whose value, also the one that the last rotation replaced,
    /// ends with it: its last 4 characters, or fewer with `…` before them. Of a whole key only the end is used.
    #[param(max_length = 200)]
    pub search: Option<String>,
    /// Only this user's keys.
    pub user_id: Option<Uuid>,
    /// Only active keys that expire within so many days: 1 to 3650.
    #[param(minimum = 1, maximum = 3650)]
    pub expires_within_days: Option<u16>,
    /// With true, only keys that are neither revoked nor expired and whose user may no longer see the app, or
    /// is deactivated. In an app that gives nobody access, only the keys of deactivated users are among them.
    pub lost_access: Option<bool>,
}

/// A named key, and its app.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserKey {
    /// The key.
    #[serde(flatten)]
    pub key: KeyView,
    /// What its app is called now.
    pub app_name: String,
    /// When it was last used; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// The keys of a user that were revoked.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RevokedKeys {
    /// Their ids.
    pub revoked: Vec<Uuid>,
    /// Which gateways have applied it.
    pub propagation: Propagation,
}

impl KeyView {
    /// The view of `key` at `now`, without its value.
    #[must_use]
    pub fn new(key: &Key, now: Timestamp) -> Self {
        Self {
            id: key.id,
            app_id: key.app_id,
            user_id: key.user_id,
            user: None,
            name: key.name.clone(),
            masked: key.ending.map(|ending| ending.masked()),
            status: key.status.standing(key.expires_at, now),
            suspended: key.suspended,
            expires_at: key.expires_at,
            limits: key.limits.clone(),
            created_at: key.created_at,
            rotated_at: key.rotated_at,
            old_secret_stops_at: key.retired.map(|retired| retired.at),
            old_secret_masked: key.retired.and_then(|retired| retired.ending).map(|ending| ending.masked()),
            revoked_at: key.revoked_at,
            value: None,
        }
    }

    /// The same, with who its user is.
    #[must_use]
    pub fn of(self, names: &SubjectNames) -> Self {
        Self { user: self.user_id.map(|id| PersonRef::new(id, names)), ..self }
    }

    /// The view of a key that was just made.
    #[must_use]
    pub fn issued(issued: &Issued, now: Timestamp) -> Self {
        Self { value: Some(issued.value.expose_secret().to_owned()), ..Self::new(&issued.key, now) }
    }
}
