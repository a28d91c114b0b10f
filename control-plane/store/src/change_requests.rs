//! What users asked to be changed. A row leaves `pending` once, and never comes back.

use jiff::Timestamp;
use latchkey_core::change::Change;
use latchkey_core::change_request::{Kind, Status};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::conditions::Conditions;
use super::row::{Columns as _, unfit};
use super::{Store, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRequest {
    /// Opaque; later ones are greater.
    pub id: Uuid,
    pub app_id: Uuid,
    /// What that is called now.
    pub app_name: String,
    pub user_id: Uuid,
    pub user_email: String,
    /// What is to be changed.
    pub kind: Kind,
    /// How far it has come.
    pub status: Status,
    /// Why the requester wants it.
    pub reason: String,
    /// The version of the app that it was made on.
    pub base_version: i64,
    /// Each field that it touches: the value then, and the one wanted.
    pub changes: Vec<Change>,
    pub created_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    /// The user who decided, with their address; none where it was a token of nobody, or nobody.
    pub decided_by: Option<(Uuid, String)>,
    /// What the one who decided says, or why it failed or is stale.
    pub comment: String,
    /// The version that it made.
    pub version: Option<i64>,
}

/// Which requests a list holds.
#[derive(Clone, Debug, Default)]
pub struct RequestFilter {
    pub app: Option<Uuid>,
    pub user: Option<Uuid>,
    pub kind: Option<Kind>,
    pub status: Option<Status>,
    /// Those older than this one.
    pub before: Option<Uuid>,
}

/// How a request leaves `pending`.
#[derive(Clone, Copy, Debug)]
pub struct RequestDecision<'a> {
    pub status: Status,
    pub at: Timestamp,
    pub by: Option<Uuid>,
    /// What they say, or why.
    pub comment: &'a str,
}

const PAGE: &str = "SELECT asked.id, asked.app_id, apps.name AS app_name, asked.user_id, users.email AS user_email,
    asked.kind, asked.status, asked.reason, asked.base_version, asked.changes, asked.created_at, asked.decided_at,
    asked.decided_by, deciders.email AS decider_email, asked.comment, asked.version
    FROM change_requests asked JOIN apps ON apps.id = asked.app_id JOIN users ON users.id = asked.user_id
    LEFT JOIN users deciders ON deciders.id = asked.decided_by {where} ORDER BY asked.id DESC {limit}";
const COUNT: &str = "SELECT COUNT(*) AS requests FROM change_requests asked {where} {limit}";

impl FromRow<'_, AnyRow> for ChangeRequest {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let changes: &str = row.try_get("changes")?;
        let decider: Option<String> = row.try_get("decider_email")?;
        Ok(Self {
            id: row.uuid("id")?,
            app_id: row.uuid("app_id")?,
            app_name: row.try_get("app_name")?,
            user_id: row.uuid("user_id")?,
            user_email: row.try_get("user_email")?,
            kind: row.parsed("kind")?,
            status: row.parsed("status")?,
            reason: row.try_get("reason")?,
            base_version: row.try_get("base_version")?,
            changes: serde_json::from_str(changes).map_err(|error| unfit("changes", error))?,
            created_at: row.time("created_at")?,
            decided_at: row.optional_time("decided_at")?,
            decided_by: row.optional_uuid("decided_by")?.zip(decider),
            comment: row.try_get("comment")?,
            version: row.try_get("version")?,
        })
    }
}

impl RequestFilter {
    fn conditions(&self) -> Conditions {
        let Self { app, user, kind, status, before } = self;
        Conditions::default()
            .text("asked.app_id =", app.as_ref())
            .text("asked.user_id =", user.as_ref())
            .text("asked.kind =", kind.map(Kind::as_str))
            .text("asked.status =", status.map(Status::as_str))
            .text("asked.id <", before.as_ref())
    }
}

fn one(id: Uuid) -> Conditions {
    Conditions::default().text("asked.id =", Some(id))
}

impl Store {
    /// Requests, newest first.
    pub async fn change_requests(
        &self,
        filter: &RequestFilter,
        limit: i64,
    ) -> sqlx::Result<Vec<ChangeRequest>> {
        filter.conditions().query_as(PAGE, limit).fetch_all(&self.pool).await
    }

    /// How many requests there are.
    pub async fn count_change_requests(&self, filter: &RequestFilter) -> sqlx::Result<i64> {
        filter.conditions().query(COUNT, 1).fetch_one(&self.pool).await?.try_get("requests")
    }

    pub async fn change_request(&self, id: Uuid) -> sqlx::Result<Option<ChangeRequest>> {
        one(id).query_as(PAGE, 1).fetch_optional(&self.pool).await
    }
}

impl Tx {
    pub async fn change_request(&mut self, id: Uuid) -> sqlx::Result<Option<ChangeRequest>> {
        one(id).query_as(PAGE, 1).fetch_optional(&mut *self.inner).await
    }

    /// The requests of an app that are pending: by one user, or by all.
    pub async fn pending_requests(
        &mut self,
        app: Uuid,
        user: Option<Uuid>,
    ) -> sqlx::Result<Vec<ChangeRequest>> {
        let status = Some(Status::Pending);
        let filter = RequestFilter { app: Some(app), user, status, ..RequestFilter::default() };
        filter.conditions().query_as(PAGE, i64::MAX).fetch_all(&mut *self.inner).await
    }

    /// Adds a request; `edit` is what was asked for, as it came.
    pub async fn insert_change_request(&mut self, new: &ChangeRequest, edit: &Value) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO change_requests (id, app_id, user_id, kind, status, reason, base_version, edit, changes,
             created_at, comment) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(new.id.to_string())
        .bind(new.app_id.to_string())
        .bind(new.user_id.to_string())
        .bind(new.kind.as_str())
        .bind(new.status.as_str())
        .bind(new.reason.clone())
        .bind(new.base_version)
        .bind(edit.to_string())
        .bind(serde_json::to_string(&new.changes).expect("changes are plain JSON"))
        .bind(new.created_at.as_millisecond())
        .bind(new.comment.clone())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Takes a request out of `pending`; false where it is not pending, and stays as it is.
    pub async fn decide(&mut self, id: Uuid, decision: RequestDecision<'_>) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "UPDATE change_requests SET status = $1, decided_at = $2, decided_by = $3, comment = $4
             WHERE id = $5 AND status = 'pending'",
        )
        .bind(decision.status.as_str())
        .bind(decision.at.as_millisecond())
        .bind(decision.by.map(|id| id.to_string()))
        .bind(decision.comment.to_owned())
        .bind(id.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes which version an approved request made.
    pub async fn applied_as(&mut self, id: Uuid, version: i64) -> sqlx::Result<()> {
        sqlx::query("UPDATE change_requests SET version = $1 WHERE id = $2")
            .bind(version)
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
