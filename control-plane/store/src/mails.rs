//! Email to people: how often they want it, a queue ([`queue`](super::queue)) of what is pending, and what waits for
//! the digest of a day.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

use jiff::Timestamp;
use latchkey_core::mail::MailPreferences;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::Columns as _;
use super::{Backend, Store, Tx, json};

/// What an email is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailKind {
    /// One event.
    Event,
    /// The events of a day.
    Digest,
    /// None: it only says that email arrives.
    Test,
}

/// What has become of an email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailState {
    Pending,
    /// The server has taken it.
    Sent,
    /// It was refused, or no attempt has succeeded.
    Failed,
    /// There was nothing left to say: its reader may not see it any more, or does not want it.
    Dropped,
}

/// An email to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Later ones have higher ones.
    pub id: i64,
    /// The same at every attempt.
    pub message_id: String,
    pub user_id: Uuid,
    pub kind: MailKind,
    /// When it was put into the queue.
    pub at: Timestamp,
    /// How many attempts there were.
    pub attempts: u64,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAttempt {
    /// What the email is then.
    pub state: MailState,
    pub at: Timestamp,
    /// When it is due again, where it is pending.
    pub next_at: Timestamp,
    /// Why it did not succeed; empty where it did.
    pub error: String,
}

/// How email is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct MailSums {
    /// How many are being sent, or will be.
    pub pending: u64,
    /// How many events wait for the digests of people.
    pub waiting_for_digest: u64,
    /// How many have failed for good in the last 24 hours.
    pub failed: u64,
    /// When one was last sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<Timestamp>,
    /// When an attempt last failed that has not succeeded since, and why.
    pub last_failure: Option<MailFailure>,
}

/// An attempt that has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MailFailure {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why.
    pub error: String,
}

/// Takes a lease of some that are due.
macro_rules! lease {
    ($locked:literal) => {
        concat!(
            "UPDATE mails SET leased_by = $1 WHERE id IN (SELECT id FROM mails WHERE state = 'pending' ",
            "AND leased_by = '' AND (next_at <= $2 OR next_at > $3) ORDER BY next_at, id LIMIT $4",
            $locked,
            ") RETURNING id, message_id, user_id, kind, at, attempts"
        )
    };
}

/// Removes some that are over, or that nobody sends.
macro_rules! forget {
    ($locked:literal) => {
        concat!(
            "DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE at < $1 AND ",
            "(state <> 'pending' OR (leased_by = '' AND next_at < $1)) ORDER BY at LIMIT $2",
            $locked,
            ")"
        )
    };
}

macro_rules! preferences {
    ($backend:ident) => {
        concat!(
            "SELECT user_id, preferences FROM mail_preferences WHERE user_id IN ",
            in_list!($backend, "$1")
        )
    };
}

impl MailKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }
}

impl FromStr for MailKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Event, Self::Digest, Self::Test];
        all.into_iter()
            .find(|each| each.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no kind of mail"))
    }
}

impl MailState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl FromRow<'_, AnyRow> for Mail {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            message_id: row.try_get("message_id")?,
            user_id: row.uuid("user_id")?,
            kind: row.parsed("kind")?,
            at: row.time("at")?,
            attempts: row.count("attempts")?,
        })
    }
}

/// The defaults where they cannot be read, so that nobody misses anything.
fn preferences(row: &AnyRow) -> sqlx::Result<MailPreferences> {
    let stored: &str = row.try_get("preferences")?;
    Ok(serde_json::from_str(stored).unwrap_or_else(|error| {
        tracing::error!(%error, "how often somebody wants email cannot be read; it comes at once");
        MailPreferences::default()
    }))
}

impl Store {
    /// How often somebody wants email about what.
    pub async fn mail_preferences(&self, user: Uuid) -> sqlx::Result<MailPreferences> {
        let query = sqlx::query("SELECT preferences FROM mail_preferences WHERE user_id = $1");
        let row = query.bind(user.to_string()).fetch_optional(&self.pool).await?;
        Ok(row.as_ref().map(preferences).transpose()?.unwrap_or_default())
    }

    /// At most `limit` people whose digest is due at `now`, by Unix milliseconds. What is due only after `latest` was
    /// noted by a clock that has been set back since: it is due as well.
    pub async fn digests_due(&self, (now, latest): (i64, i64), limit: i64) -> sqlx::Result<Vec<Uuid>> {
        let rows = sqlx::query(
            "SELECT DISTINCT user_id FROM mail_events WHERE mail_id IS NULL AND (due_at <= $1 OR due_at > $2)
             ORDER BY user_id LIMIT $3",
        )
        .bind(now)
        .bind(latest)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| row.uuid("user_id")).collect()
    }

    /// Gives a worker at most `limit` emails that are due, those first that have waited longest.
    pub async fn lease_mails(
        &self,
        worker: &str,
        (now, latest): (i64, i64),
        limit: i64,
    ) -> sqlx::Result<Vec<Mail>> {
        let query = match self.backend {
            Backend::Sqlite => lease!(""),
            Backend::Postgres => lease!(" FOR UPDATE SKIP LOCKED"),
        };
        sqlx::query_as(query)
            .bind(worker.to_owned())
            .bind(now)
            .bind(latest)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }

    /// Ends an attempt of this worker; false where another has taken the email over, and nothing is noted.
    pub async fn end_mail_attempt(
        &self,
        worker: &str,
        mail: &Mail,
        attempt: &MailAttempt,
    ) -> sqlx::Result<bool> {
        let MailAttempt { state, at, next_at, error } = attempt;
        let tried = i64::from(*state != MailState::Dropped);
        let done = sqlx::query(
            "UPDATE mails SET state = $1, attempts = attempts + $2, next_at = $3, tried_at = $4, error = $5,
             leased_by = '' WHERE id = $6 AND leased_by = $7 AND message_id = $8",
        )
        .bind(state.as_str())
        .bind(tried)
        .bind(next_at.as_millisecond())
        .bind(at.as_millisecond())
        .bind(error.clone())
        .bind(mail.id)
        .bind(worker.to_owned())
        // SQLite may give the id of an email that was deleted to another.
        .bind(mail.message_id.clone())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// How email is doing; what failed before `since` is not counted.
    pub async fn mail_sums(&self, since: Timestamp) -> sqlx::Result<MailSums> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM mails WHERE state = 'pending') AS pending,
             (SELECT COUNT(*) FROM mail_events WHERE mail_id IS NULL) AS waiting,
             (SELECT COUNT(*) FROM mails WHERE tried_at >= $1 AND state = 'failed') AS failed,
             (SELECT MAX(tried_at) FROM mails WHERE state = 'sent') AS sent_at",
        )
        .bind(since.as_millisecond())
        .fetch_one(&self.pool)
        .await?;
        let failure =
            sqlx::query("SELECT tried_at, error FROM mails WHERE error <> '' ORDER BY tried_at DESC LIMIT 1");
        let failure = failure.fetch_optional(&self.pool).await?;
        let failure = failure.map(|row| {
            Ok::<_, sqlx::Error>(MailFailure { at: row.time("tried_at")?, error: row.try_get("error")? })
        });
        Ok(MailSums {
            pending: row.count("pending")?,
            waiting_for_digest: row.count("waiting")?,
            failed: row.count("failed")?,
            sent_at: row.optional_time("sent_at")?,
            last_failure: failure.transpose()?,
        })
    }

    /// Removes at most `limit` emails from before `before`; how many. One that is pending stays, unless it has been due
    /// since then, as where email is not set up any more.
    pub async fn forget_mails(&self, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
        let query = match self.backend {
            Backend::Sqlite => forget!(""),
            Backend::Postgres => forget!(" FOR UPDATE SKIP LOCKED"),
        };
        let done = sqlx::query(query).bind(before.as_millisecond()).bind(limit).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }

    /// Removes at most `limit` events of which a digest was to tell before `before`; how many.
    pub async fn forget_untold(&self, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
        let done = sqlx::query(
            "DELETE FROM mail_events WHERE (event_id, user_id) IN
             (SELECT event_id, user_id FROM mail_events WHERE mail_id IS NULL AND due_at < $1 LIMIT $2)",
        )
        .bind(before.as_millisecond())
        .bind(limit)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

impl Tx {
    /// How often these people want email about what; those who never said are missing.
    pub async fn mail_preferences(
        &mut self,
        users: &BTreeSet<Uuid>,
    ) -> sqlx::Result<HashMap<Uuid, MailPreferences>> {
        let query = match self.backend {
            Backend::Sqlite => preferences!(sqlite),
            Backend::Postgres => preferences!(postgres),
        };
        let rows = sqlx::query(query).bind(json(users)?).fetch_all(&mut *self.inner).await?;
        rows.iter().map(|row| Ok((row.uuid("user_id")?, preferences(row)?))).collect()
    }

    /// How often somebody wants email about what, which nobody else changes until this transaction ends.
    pub async fn lock_mail_preferences(&mut self, user: Uuid) -> sqlx::Result<MailPreferences> {
        let query = sqlx::query(
            "INSERT INTO mail_preferences (user_id, preferences) VALUES ($1, '{}')
             ON CONFLICT (user_id) DO UPDATE SET preferences = mail_preferences.preferences RETURNING preferences",
        );
        preferences(&query.bind(user.to_string()).fetch_one(&mut *self.inner).await?)
    }

    /// Changes what [`lock_mail_preferences`](Self::lock_mail_preferences) has read.
    pub async fn put_mail_preferences(
        &mut self,
        user: Uuid,
        preferences: &MailPreferences,
    ) -> sqlx::Result<()> {
        sqlx::query("UPDATE mail_preferences SET preferences = $1 WHERE user_id = $2")
            .bind(serde_json::to_string(preferences).expect("preferences are plain JSON"))
            .bind(user.to_string())
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }

    /// How many emails to somebody are pending.
    pub async fn pending_mails(&mut self, user: Uuid) -> sqlx::Result<u64> {
        sqlx::query("SELECT COUNT(*) AS pending FROM mails WHERE user_id = $1 AND state = 'pending'")
            .bind(user.to_string())
            .fetch_one(&mut *self.inner)
            .await?
            .count("pending")
    }

    /// Puts an email into the queue, due at `now`; its id.
    pub async fn queue_mail(
        &mut self,
        user: Uuid,
        kind: MailKind,
        message_id: &str,
        now: Timestamp,
    ) -> sqlx::Result<i64> {
        sqlx::query(
            "INSERT INTO mails (message_id, user_id, kind, at, state, attempts, next_at)
             VALUES ($1, $2, $3, $4, 'pending', 0, $4) RETURNING id",
        )
        .bind(message_id.to_owned())
        .bind(user.to_string())
        .bind(kind.as_str())
        .bind(now.as_millisecond())
        .fetch_one(&mut *self.inner)
        .await?
        .try_get("id")
    }

    /// Notes that somebody is told of an event by this email, or by the digest that is due at `due`.
    pub async fn tell_by_mail(
        &mut self,
        event: i64,
        user: Uuid,
        mail: Option<i64>,
        due: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO mail_events (event_id, user_id, mail_id, due_at) VALUES ($1, $2, $3, $4)")
            .bind(event)
            .bind(user.to_string())
            .bind(mail)
            .bind(due.as_millisecond())
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }

    /// Makes this email the digest of what waits for somebody and is due: see [`digests_due`](Store::digests_due). How
    /// many events that are.
    pub async fn take_digest(
        &mut self,
        user: Uuid,
        mail: i64,
        (now, latest): (i64, i64),
    ) -> sqlx::Result<u64> {
        let done = sqlx::query(
            "UPDATE mail_events SET mail_id = $1
             WHERE user_id = $2 AND mail_id IS NULL AND (due_at <= $3 OR due_at > $4)",
        )
        .bind(mail)
        .bind(user.to_string())
        .bind(now)
        .bind(latest)
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected())
    }

    /// When a test to somebody was last queued, if that was after `since`.
    pub async fn last_test_mail(&mut self, user: Uuid, since: Timestamp) -> sqlx::Result<Option<Timestamp>> {
        sqlx::query("SELECT MAX(at) AS at FROM mails WHERE user_id = $1 AND kind = 'test' AND at > $2")
            .bind(user.to_string())
            .bind(since.as_millisecond())
            .fetch_one(&mut *self.inner)
            .await?
            .optional_time("at")
    }
}
