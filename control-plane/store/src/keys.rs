//! App keys and named keys.

use std::collections::HashMap;

use jiff::Timestamp;
use latchkey_core::delegation::KeyTerms;
use latchkey_core::key_search::KeySearch;
use latchkey_core::limits::Limits;
use latchkey_core::name::Name;
use latchkey_core::search::folded;
use latchkey_core::status::Status;
use latchkey_proto::key::{ENDING_CHARS, KeyEnding, KeyHash};
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::conditions::Conditions;
use super::row::{Columns as _, unfit};
use super::{QueryOf, Store, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Opaque; it stays when the secret is rotated.
    pub id: Uuid,
    /// The app that it opens.
    pub app_id: Uuid,
    /// Whose it is; none for the app's own key.
    pub user_id: Option<Uuid>,
    pub name: Name,
    /// Stored status.
    pub status: Status,
    /// When it stops; none for never.
    pub expires_at: Option<Timestamp>,
    /// What it may use; none where the app's limits for named keys apply.
    pub limits: Option<Limits>,
    pub created_at: Timestamp,
    /// When its secret was last replaced.
    pub rotated_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub hash: KeyHash,
    /// What its value ends with; none where that was not known when the secret was written.
    pub ending: Option<KeyEnding>,
    /// The current secret's value, encrypted, where the app lets it be seen again.
    pub sealed_value: Option<Vec<u8>>,
    /// The secret that the last rotation replaced.
    pub retired: Option<Retired>,
    /// Whether it stops while its user may not see the app. Written by
    /// [`write_suspended`](Tx::write_suspended), and when the key is made.
    pub suspended: bool,
    /// The revision of its last change.
    pub revision: i64,
}

impl Key {
    /// What it has of its app.
    #[must_use]
    pub fn terms(&self) -> KeyTerms {
        KeyTerms { created_at: self.created_at, expires_at: self.expires_at, limits: self.limits.clone() }
    }
}

/// A secret that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// What it is found by.
    pub hash: KeyHash,
    /// What its value ends with; none where that is not known.
    pub ending: Option<KeyEnding>,
    /// When it stops, or stopped.
    pub at: Timestamp,
}

/// A key's columns, also where others are joined.
macro_rules! columns {
    () => {
        "keys.id, keys.app_id, keys.user_id, keys.name, keys.status, keys.expires_at, keys.limits, keys.created_at,
         keys.rotated_at, keys.revoked_at, keys.hash, keys.ending, keys.sealed_value, keys.retired_hash,
         keys.retired_ending, keys.retires_at, keys.suspended, keys.revision"
    };
}

/// A key's columns, and whatever follows `FROM keys`.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM keys ", $rest)
    };
}

/// Whether a list of the app's settings names the key's user, by themselves or by a group.
macro_rules! names {
    ($capability:literal, $list:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM app_subjects WHERE app_id = keys.app_id AND capability = '",
            $capability,
            "' AND list = '",
            $list,
            "' AND kind = 'user' AND subject = keys.user_id)
             OR EXISTS (SELECT 1 FROM group_members JOIN app_subjects ON subject = group_id AND kind = 'group'
              WHERE group_members.user_id = keys.user_id AND app_id = keys.app_id AND capability = '",
            $capability,
            "' AND list = '",
            $list,
            "'))"
        )
    };
}

/// Whether the app gives a capability in this mode. Settings are JSON as serde writes it, in which a text cannot
/// have an unescaped quote; metadata, which is JSON too, stands before `self_service`.
macro_rules! mode {
    ("viewer", $mode:literal) => {
        concat!("apps.settings LIKE '%\"self_service\":{\"access\":{\"viewer\":{\"mode\":\"", $mode, "\"%'")
    };
    ("settings_request", $mode:literal) => {
        concat!(
            "apps.settings LIKE '%\"self_service\":{\"access\":{\"viewer\":{%},\"settings_request\":{\"mode\":\"",
            $mode,
            "\"%'"
        )
    };
}
/// Whether a rule by itself gives the key's user its capability, exceptions aside.
macro_rules! gives {
    ($capability:tt) => {
        concat!(
            "(",
            mode!($capability, "everyone"),
            " OR ",
            mode!($capability, "specific"),
            " AND ",
            names!($capability, "allow"),
            ")"
        )
    };
}

/// Whether the key's user may not sign in.
macro_rules! deactivated {
    () => {
        "EXISTS (SELECT 1 FROM users WHERE id = keys.user_id AND deactivated_at IS NOT NULL)"
    };
}

/// Whether the key's user may not see the app: what [`Access::grants`] says of viewers.
///
/// [`Access::grants`]: latchkey_core::access::Access::grants
macro_rules! without_access {
    () => {
        concat!(
            "(",
            deactivated!(),
            " OR ",
            names!("viewer", "except"),
            " OR NOT (",
            gives!("viewer"),
            " OR (",
            gives!("settings_request"),
            " AND NOT ",
            names!("settings_request", "except"),
            ")))"
        )
    };
}

/// Whether the app gives anybody access.
macro_rules! open_to_somebody {
    () => {
        concat!(
            "(",
            mode!("viewer", "everyone"),
            " OR ",
            mode!("viewer", "specific"),
            " OR ",
            mode!("settings_request", "everyone"),
            " OR ",
            mode!("settings_request", "specific"),
            ")"
        )
    };
}
pub(super) use {mode, open_to_somebody};

impl FromRow<'_, AnyRow> for Key {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let retired_hash: Option<&[u8]> = row.try_get("retired_hash")?;
        let retired = match (retired_hash, row.optional_time("retires_at")?) {
            (Some(hash), Some(at)) => Some(Retired {
                hash: key_hash("retired_hash", hash)?,
                ending: ending(row, "retired_ending")?,
                at,
            }),
            _ => None,
        };
        let limits: Option<&str> = row.try_get("limits")?;
        let limits = limits.map(serde_json::from_str).transpose().map_err(|error| unfit("limits", error))?;
        Ok(Self {
            id: row.uuid("id")?,
            app_id: row.uuid("app_id")?,
            user_id: row.optional_uuid("user_id")?,
            name: Name::stored(row.try_get("name")?).map_err(|error| unfit("name", error))?,
            status: row.parsed("status")?,
            expires_at: row.optional_time("expires_at")?,
            limits,
            created_at: row.time("created_at")?,
            rotated_at: row.optional_time("rotated_at")?,
            revoked_at: row.optional_time("revoked_at")?,
            hash: key_hash("hash", row.try_get("hash")?)?,
            ending: ending(row, "ending")?,
            sealed_value: row.try_get("sealed_value")?,
            retired,
            suspended: row.flag("suspended")?,
            revision: row.try_get("revision")?,
        })
    }
}

/// Which named keys a list holds.
#[derive(Clone, Debug)]
pub struct KeyFilter {
    pub of: KeysOf,
    pub search: KeySearch,
    /// Whose; none for anybody's.
    pub user_id: Option<Uuid>,
    /// Those that are active and expire after the first and not after the second.
    pub expires: Option<(Timestamp, Timestamp)>,
    pub access: KeyAccess,
    /// By which those that have expired are told.
    pub now: Timestamp,
    pub after: Option<Uuid>,
}

/// Named keys of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysOf {
    App(Uuid),
    /// Of all apps, also of those that were deleted.
    User(Uuid),
    /// Of every app that was not deleted.
    Everything,
}

/// What became of the access of a key's user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyAccess {
    /// Not looked at.
    #[default]
    Any,
    /// They may not see the app, and the key is not over: it is neither revoked nor expired.
    Without,
    /// The same, but for keys of active people for an app that gives nobody access: admins manage those.
    Lost,
}

impl KeyFilter {
    /// All named keys of `of`.
    #[must_use]
    pub fn new(of: KeysOf, now: Timestamp) -> Self {
        Self {
            of,
            search: KeySearch::parse(""),
            user_id: None,
            expires: None,
            access: KeyAccess::Any,
            now,
            after: None,
        }
    }
}

fn named_key(app: Uuid, id: Uuid) -> QueryOf<Key> {
    sqlx::query_as(select!("WHERE id = $1 AND app_id = $2 AND user_id IS NOT NULL"))
        .bind(id.to_string())
        .bind(app.to_string())
}

fn app_key(app: Uuid) -> QueryOf<Key> {
    sqlx::query_as(select!("WHERE app_id = $1 AND user_id IS NULL")).bind(app.to_string())
}

impl Store {
    /// A named key of an app.
    pub async fn named_key(&self, app: Uuid, id: Uuid) -> sqlx::Result<Option<Key>> {
        named_key(app, id).fetch_optional(&self.pool).await
    }

    pub async fn app_key(&self, app: Uuid) -> sqlx::Result<Option<Key>> {
        app_key(app).fetch_optional(&self.pool).await
    }

    /// Named keys by age, oldest first, each with its app's name.
    pub async fn named_keys(&self, filter: &KeyFilter, limit: i64) -> sqlx::Result<Vec<(Key, String)>> {
        let KeyFilter { of, search, user_id, expires, access, now, after } = filter;
        let (app, user) = match of {
            KeysOf::App(app) => (Some(app), None),
            KeysOf::User(user) => (None, Some(user)),
            KeysOf::Everything => (None, None),
        };
        let mut conditions = Conditions::default()
            .text("keys.app_id =", app)
            .text("keys.user_id =", user)
            .text("keys.user_id =", *user_id)
            .text("keys.id >", *after)
            .number("keys.expires_at >", expires.map(|(from, _)| from.as_millisecond()))
            .number("keys.expires_at <=", expires.map(|(_, until)| until.as_millisecond()));
        let mut rest = found(&mut conditions, search);
        if *of == KeysOf::Everything {
            rest.push_str(" AND apps.deleted_at IS NULL");
        }
        if expires.is_some() {
            rest.push_str(" AND keys.status = 'active'");
        }
        if *access != KeyAccess::Any {
            let live = "(keys.expires_at IS NULL OR keys.expires_at > {})";
            conditions = conditions.number(live, Some(now.as_millisecond()));
            rest.push_str(concat!(" AND keys.status <> 'revoked' AND ", without_access!()));
        }
        if *access == KeyAccess::Lost {
            rest.push_str(concat!(" AND (", deactivated!(), " OR ", open_to_somebody!(), ")"));
        }
        let shape = format!(
            "SELECT {columns}, apps.name AS app_name FROM keys JOIN apps ON apps.id = keys.app_id
             {{where}} AND keys.user_id IS NOT NULL{rest} ORDER BY keys.id {{limit}}",
            columns = columns!(),
        );
        conditions
            .query(&shape, limit)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(|row| Ok((Key::from_row(&row)?, row.try_get("app_name")?)))
            .collect()
    }

    /// How many named keys are active and expire after `from` and not after `until`.
    pub async fn count_expiring_keys(&self, from: Timestamp, until: Timestamp) -> sqlx::Result<u64> {
        sqlx::query(
            "SELECT COUNT(*) AS held FROM keys JOIN apps ON apps.id = keys.app_id
             WHERE keys.status = 'active' AND keys.expires_at > $1 AND keys.expires_at <= $2
             AND keys.user_id IS NOT NULL AND apps.deleted_at IS NULL",
        )
        .bind(from.as_millisecond())
        .bind(until.as_millisecond())
        .fetch_one(&self.pool)
        .await?
        .count("held")
    }

    /// How many named keys that are not revoked this user has, by app.
    pub async fn count_keys_of(&self, user: Uuid) -> sqlx::Result<HashMap<Uuid, u64>> {
        let rows = sqlx::query(
            "SELECT app_id, COUNT(*) AS held FROM keys WHERE user_id = $1 AND status <> 'revoked' GROUP BY app_id",
        )
        .bind(user.to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.uuid("app_id")?, row.count("held")?))).collect()
    }
}

impl Tx {
    /// Whose key it is: none within for an app's own, none at all where there is no such key.
    pub async fn key_user(&mut self, id: Uuid) -> sqlx::Result<Option<Option<Uuid>>> {
        let query = sqlx::query("SELECT user_id FROM keys WHERE id = $1").bind(id.to_string());
        let row = query.fetch_optional(&mut *self.inner).await?;
        row.map(|row| row.optional_uuid("user_id")).transpose()
    }

    /// How many named keys of an app that are not revoked this user has. Who is to add one holds the app's
    /// lock, so that two additions count one after the other.
    pub async fn count_keys(&mut self, app: Uuid, user: Uuid) -> sqlx::Result<u64> {
        sqlx::query(
            "SELECT COUNT(*) AS held FROM keys WHERE user_id = $1 AND app_id = $2 AND status <> 'revoked'",
        )
        .bind(user.to_string())
        .bind(app.to_string())
        .fetch_one(&mut *self.inner)
        .await?
        .count("held")
    }

    /// Whether this user has a key for this app that has this name, in any case, and is not revoked.
    pub async fn has_key_named(&mut self, app: Uuid, user: Uuid, name: &Name) -> sqlx::Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM keys WHERE app_id = $1 AND user_id = $2 AND search_text = $3 AND status <> 'revoked'
             LIMIT 1",
        )
        .bind(app.to_string())
        .bind(user.to_string())
        .bind(folded(name.as_str()))
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.is_some())
    }

    /// The apps of a user's named keys that are not revoked, by id.
    pub async fn apps_of_keys(&mut self, user: Uuid) -> sqlx::Result<Vec<Uuid>> {
        let query =
            "SELECT DISTINCT app_id FROM keys WHERE user_id = $1 AND status <> 'revoked' ORDER BY app_id";
        let rows = sqlx::query(query).bind(user.to_string()).fetch_all(&mut *self.inner).await?;
        rows.iter().map(|row| row.uuid("app_id")).collect()
    }

    /// A user's named keys that are not revoked.
    pub async fn live_keys(&mut self, user: Uuid) -> sqlx::Result<Vec<Key>> {
        sqlx::query_as(select!("WHERE user_id = $1 AND status <> 'revoked' ORDER BY id"))
            .bind(user.to_string())
            .fetch_all(&mut *self.inner)
            .await
    }

    /// A named key of an app.
    pub async fn named_key(&mut self, app: Uuid, id: Uuid) -> sqlx::Result<Option<Key>> {
        named_key(app, id).fetch_optional(&mut *self.inner).await
    }

    /// An app's own key; every app has one.
    pub async fn app_key(&mut self, app: Uuid) -> sqlx::Result<Key> {
        app_key(app).fetch_one(&mut *self.inner).await
    }

    pub async fn insert_key(&mut self, key: &Key) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO keys (id, app_id, user_id, name, status, expires_at, created_at, hash, sealed_value, revision,
             limits, suspended, search_text, ending)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(key.id.to_string())
        .bind(key.app_id.to_string())
        .bind(key.user_id.map(|id| id.to_string()))
        .bind(key.name.as_str().to_owned())
        .bind(key.status.as_str())
        .bind(key.expires_at.map(Timestamp::as_millisecond))
        .bind(key.created_at.as_millisecond())
        .bind(key.hash.as_bytes().to_vec())
        .bind(key.sealed_value.clone())
        .bind(key.revision)
        .bind(key.limits.as_ref().map(json))
        .bind(i64::from(key.suspended))
        .bind(folded(key.name.as_str()))
        .bind(key.ending.map(|ending| ending.to_string()))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Writes everything of a key that can be changed for it alone.
    pub async fn update_key(&mut self, key: &Key) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE keys SET name = $1, status = $2, expires_at = $3, rotated_at = $4, revoked_at = $5, hash = $6,
             sealed_value = $7, retired_hash = $8, retires_at = $9, revision = $10, limits = $11,
             search_text = $12, ending = $13, retired_ending = $14 WHERE id = $15",
        )
        .bind(key.name.as_str().to_owned())
        .bind(key.status.as_str())
        .bind(key.expires_at.map(Timestamp::as_millisecond))
        .bind(key.rotated_at.map(Timestamp::as_millisecond))
        .bind(key.revoked_at.map(Timestamp::as_millisecond))
        .bind(key.hash.as_bytes().to_vec())
        .bind(key.sealed_value.clone())
        .bind(key.retired.map(|retired| retired.hash.as_bytes().to_vec()))
        .bind(key.retired.map(|retired| retired.at.as_millisecond()))
        .bind(key.revision)
        .bind(key.limits.as_ref().map(json))
        .bind(folded(key.name.as_str()))
        .bind(key.ending.map(|ending| ending.to_string()))
        .bind(key.retired.and_then(|retired| retired.ending).map(|ending| ending.to_string()))
        .bind(key.id.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Revokes every key of an app, and forgets their values.
    pub async fn revoke_keys_of(&mut self, app: Uuid, at: Timestamp, revision: i64) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE keys SET status = 'revoked', revoked_at = $1, sealed_value = NULL, revision = $2
             WHERE app_id = $3 AND status <> 'revoked'",
        )
        .bind(at.as_millisecond())
        .bind(revision)
        .bind(app.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Forgets the values of an app's named keys, which may no longer be seen.
    pub async fn forget_named_values(&mut self, app: Uuid) -> sqlx::Result<()> {
        sqlx::query("UPDATE keys SET sealed_value = NULL WHERE app_id = $1 AND user_id IS NOT NULL")
            .bind(app.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Forgets the value of an app's own key, which may no longer be seen.
    pub async fn forget_app_key_value(&mut self, app: Uuid) -> sqlx::Result<()> {
        sqlx::query("UPDATE keys SET sealed_value = NULL WHERE app_id = $1 AND user_id IS NULL")
            .bind(app.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}

/// What keys must be that a search finds, as SQL that goes on after other conditions.
fn found(conditions: &mut Conditions, search: &KeySearch) -> String {
    let KeySearch { name, ending } = search;
    let mut either = Vec::new();
    if let Some(name) = name {
        either
            .push(format!("keys.search_text LIKE {} ESCAPE '\\'", conditions.bind(super::containing(name))));
    }
    if let Some(ending) = ending {
        let from = ENDING_CHARS.saturating_sub(ending.len()) + 1;
        let ending = conditions.bind(ending);
        let ends = ["ending", "retired_ending"].map(|column| match from {
            1 => format!("keys.{column} = {ending}"),
            from => format!("substr(keys.{column}, {from}) = {ending}"),
        });
        either.extend(ends);
    }
    match either.as_slice() {
        [] => " AND FALSE".to_owned(),
        either => format!(" AND ({})", either.join(" OR ")),
    }
}

fn ending(row: &AnyRow, column: &str) -> sqlx::Result<Option<KeyEnding>> {
    let text: Option<&str> = row.try_get(column)?;
    Ok(text.and_then(KeyEnding::of))
}

fn key_hash(column: &str, bytes: &[u8]) -> sqlx::Result<KeyHash> {
    KeyHash::try_from(bytes).map_err(|error| unfit(column, error))
}

fn json(limits: &Limits) -> String {
    serde_json::to_string(limits).expect("limits are plain JSON")
}
