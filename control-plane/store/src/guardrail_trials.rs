//! What change requests ask of guardrails, tried on an app's requests.

use jiff::Timestamp;
use latchkey_core::guardrails::Proposal;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::Columns as _;
use super::{Store, Tx};

/// A trial of a change request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardrailTrial {
    pub change_request: Uuid,
    pub app_id: Uuid,
    /// None where this version cannot read it: nothing is tried then.
    pub proposal: Option<Proposal>,
    /// The first time that it was started.
    pub started_at: Timestamp,
    /// It ends by itself then.
    pub until: Timestamp,
    /// When it was over, where that is noted.
    pub ended_at: Option<Timestamp>,
    /// Why it was over before its time; empty where it was not.
    pub ended_because: String,
}

/// A trial that nobody has noted to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTrial {
    pub change_request: Uuid,
    pub app_id: Uuid,
    /// It ends by itself then.
    pub until: Timestamp,
}

/// On how many requests a change request was tried, and in how many of them it would have done what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialCounts {
    pub requests: u64,
    pub blocked: u64,
    pub redacted: u64,
    pub anonymized: u64,
    pub monitored: u64,
}

/// The trials of which this holds.
macro_rules! trials {
    ($which:literal) => {
        concat!(
            "SELECT change_request_id, app_id, proposal, started_at, until, ended_at, ended_because
             FROM guardrail_trials WHERE ",
            $which
        )
    };
}

impl GuardrailTrial {
    /// Whether requests are tried.
    #[must_use]
    pub fn runs(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.until
    }
}

impl OpenTrial {
    /// Whether requests are tried.
    #[must_use]
    pub fn runs(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

impl FromRow<'_, AnyRow> for OpenTrial {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let (change_request, app_id) = (row.uuid("change_request_id")?, row.uuid("app_id")?);
        Ok(Self { change_request, app_id, until: row.time("until")? })
    }
}

impl FromRow<'_, AnyRow> for GuardrailTrial {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let (change_request, proposal) = (row.uuid("change_request_id")?, row.try_get("proposal")?);
        let proposal = serde_json::from_str::<Proposal>(proposal);
        let unreadable =
            |error: &_| tracing::error!(%change_request, %error, "a guardrail trial cannot be read");
        Ok(Self {
            change_request,
            app_id: row.uuid("app_id")?,
            proposal: proposal.inspect_err(unreadable).ok(),
            started_at: row.time("started_at")?,
            until: row.time("until")?,
            ended_at: row.optional_time("ended_at")?,
            ended_because: row.try_get("ended_because")?,
        })
    }
}

impl Store {
    /// The trial of a change request, also one that is over.
    pub async fn guardrail_trial(&self, request: Uuid) -> sqlx::Result<Option<GuardrailTrial>> {
        sqlx::query_as(trials!("change_request_id = $1"))
            .bind(request.to_string())
            .fetch_optional(&self.pool)
            .await
    }

    /// The trials of all apps that nobody has noted to be over.
    pub async fn open_guardrail_trials(&self) -> sqlx::Result<Vec<GuardrailTrial>> {
        sqlx::query_as(trials!("ended_at IS NULL")).fetch_all(&self.pool).await
    }

    /// What a change request would have done so far, by the records and findings that are kept.
    pub async fn trial_counts(&self, request: Uuid) -> sqlx::Result<TrialCounts> {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(repeats), 0) AS BIGINT) AS requests FROM records
             WHERE tried_change_request <> '' AND tried_change_request = $1",
        )
        .bind(request.to_string())
        .fetch_one(&self.pool)
        .await?;
        let mut counts = TrialCounts { requests: row.count("requests")?, ..TrialCounts::default() };
        let rows = sqlx::query(
            "SELECT action, COUNT(DISTINCT request_id) AS requests FROM findings
             WHERE change_request_id <> '' AND change_request_id = $1 GROUP BY action",
        )
        .bind(request.to_string())
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let count = row.count("requests")?;
            match row.try_get("action")? {
                "would_block" => counts.blocked = count,
                "would_redact" => counts.redacted = count,
                "would_anonymize" => counts.anonymized = count,
                "would_monitor" => counts.monitored = count,
                _ => {}
            }
        }
        Ok(counts)
    }

    /// Notes the end of trials whose time is over: gateways end them by themselves.
    pub async fn close_guardrail_trials(&self, now: Timestamp) -> sqlx::Result<()> {
        sqlx::query("UPDATE guardrail_trials SET ended_at = until WHERE ended_at IS NULL AND until <= $1")
            .bind(now.as_millisecond())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

impl Tx {
    /// The trial of an app that nobody has noted to be over.
    pub async fn open_guardrail_trial(&mut self, app: Uuid) -> sqlx::Result<Option<OpenTrial>> {
        sqlx::query_as(
            "SELECT change_request_id, app_id, until FROM guardrail_trials WHERE app_id = $1 AND ended_at IS NULL",
        )
        .bind(app.to_string())
        .fetch_optional(&mut *self.inner)
        .await
    }

    /// Starts a trial, or starts it again: it keeps its first start then.
    pub async fn start_guardrail_trial(&mut self, trial: &GuardrailTrial) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO guardrail_trials (change_request_id, app_id, proposal, started_at, until, ended_because)
             VALUES ($1, $2, $3, $4, $5, '')
             ON CONFLICT (change_request_id) DO UPDATE SET proposal = EXCLUDED.proposal, until = EXCLUDED.until,
             ended_at = NULL, ended_because = ''",
        )
        .bind(trial.change_request.to_string())
        .bind(trial.app_id.to_string())
        .bind(serde_json::to_string(&trial.proposal).expect("a proposal is plain JSON"))
        .bind(trial.started_at.as_millisecond())
        .bind(trial.until.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Notes that a trial is over.
    pub async fn end_guardrail_trial(
        &mut self,
        request: Uuid,
        at: Timestamp,
        because: &str,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE guardrail_trials SET ended_at = $1, ended_because = $2
             WHERE change_request_id = $3 AND ended_at IS NULL",
        )
        .bind(at.as_millisecond())
        .bind(because.to_owned())
        .bind(request.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Has gateways get an app anew: something beside its settings changed.
    pub async fn restamp_app(&mut self, app: Uuid, revision: i64) -> sqlx::Result<()> {
        sqlx::query("UPDATE apps SET revision = $1 WHERE id = $2")
            .bind(revision)
            .bind(app.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
