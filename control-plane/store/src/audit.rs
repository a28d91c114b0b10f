//! The audit log: entries in one hash chain.

use jiff::Timestamp;
use latchkey_core::chain::{AuditEntry, AuditLink, ChainHead, Hash};
use latchkey_core::event::AUDIT_ACTION;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::conditions::Conditions;
use super::events::NewEvent;
use super::row::unfit;
use super::{Store, Tx};

/// Which entries a list holds.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub app: Option<String>,
    /// By this user or token.
    pub actor: Option<String>,
    pub subject: Option<String>,
    pub action: Option<String>,
    /// What was done begins with this.
    pub action_prefix: Option<String>,
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    pub before: Option<i64>,
}

const PAGE: &str =
    "SELECT number, at, actor_kind, actor_id, actor_name, client_address, action, subject_kind, subject_id,
     subject_name, app_id, data, previous, hash FROM audit {where} ORDER BY number DESC {limit}";

impl Store {
    /// Entries, newest first.
    pub async fn audit(&self, filter: &AuditFilter, limit: i64) -> sqlx::Result<Vec<AuditLink>> {
        let AuditFilter { app, actor, subject, action, action_prefix, from, to, before } = filter;
        Conditions::default()
            .text("app_id =", app.as_ref())
            .text("actor_id =", actor.as_ref())
            .text("subject_id =", subject.as_ref())
            .text("action =", action.as_ref())
            .prefix("action", action_prefix.as_ref())
            .number("at >=", from.map(Timestamp::as_millisecond))
            .number("at <", to.map(Timestamp::as_millisecond))
            .number("number <", *before)
            .query(PAGE, limit)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(link)
            .collect()
    }

    /// Entries in the order of the chain, from the number `first` to `last`.
    pub async fn audit_chain(&self, first: i64, last: i64, limit: i64) -> sqlx::Result<Vec<AuditLink>> {
        sqlx::query(
            "SELECT number, at, actor_kind, actor_id, actor_name, client_address, action, subject_kind, subject_id,
             subject_name, app_id, data, previous, hash FROM audit
             WHERE number >= $1 AND number <= $2 ORDER BY number LIMIT $3",
        )
        .bind(first)
        .bind(last)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(link)
        .collect()
    }

    /// The end of the chain; none when its row is gone.
    pub async fn audit_head(&self) -> sqlx::Result<Option<ChainHead>> {
        // One statement, so that an entry that is being added is in both or in neither.
        let row = sqlx::query(
            "SELECT number, hash, (SELECT COALESCE(MAX(number), 0) FROM audit) AS last FROM audit_head WHERE id = 1",
        )
        .fetch_optional(&self.pool)
        .await?;
        let head = |row: AnyRow| {
            Ok(ChainHead {
                number: row.try_get("number")?,
                hash: row.try_get("hash")?,
                last: row.try_get("last")?,
            })
        };
        row.map(head).transpose()
    }

    /// The numbers of the first entry at `from` or later, and of the last before `to`.
    pub async fn audit_span(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> sqlx::Result<Option<(i64, i64)>> {
        let row = sqlx::query(
            "SELECT (SELECT MIN(number) FROM audit WHERE at >= $1) AS first,
             (SELECT MAX(number) FROM audit WHERE at < $2) AS last",
        )
        .bind(from.map_or(i64::MIN, Timestamp::as_millisecond))
        .bind(to.map_or(i64::MAX, Timestamp::as_millisecond))
        .fetch_one(&self.pool)
        .await?;
        let (first, last): (Option<i64>, Option<i64>) = (row.try_get("first")?, row.try_get("last")?);
        Ok(first.zip(last))
    }
}

fn link(row: &AnyRow) -> sqlx::Result<AuditLink> {
    Ok(AuditLink {
        number: row.try_get(0)?,
        entry: AuditEntry {
            at_ms: row.try_get(1)?,
            actor_kind: row.try_get(2)?,
            actor_id: row.try_get(3)?,
            actor_name: row.try_get(4)?,
            client_address: row.try_get(5)?,
            action: row.try_get(6)?,
            subject_kind: row.try_get(7)?,
            subject_id: row.try_get(8)?,
            subject_name: row.try_get(9)?,
            app_id: row.try_get(10)?,
            data: row.try_get(11)?,
        },
        previous: row.try_get(12)?,
        hash: row.try_get(13)?,
    })
}

impl Tx {
    /// Keeps an entry for the end of this transaction: it is written by the commit, so that those who
    /// add entries wait for each other only there.
    pub fn audit(&mut self, entry: AuditEntry) {
        self.audit.push(entry);
    }

    pub(super) async fn write_audit(&mut self) -> sqlx::Result<()> {
        let entries = std::mem::take(&mut self.audit);
        if entries.is_empty() {
            return Ok(());
        }
        let added = entries.len() as i64;
        let row =
            sqlx::query("UPDATE audit_head SET number = number + $1 WHERE id = 1 RETURNING number, hash")
                .bind(added)
                .fetch_one(&mut *self.inner)
                .await?;
        let last: i64 = row.try_get("number")?;
        let stored: &[u8] = row.try_get("hash")?;
        let mut previous = Hash::try_from(stored).map_err(|error| unfit("hash", error))?;
        for (number, entry) in (last - added + 1..).zip(entries) {
            let hash = entry.hash(number, previous);
            self.tell_webhooks(number, &entry).await?;
            self.insert_audit(number, entry, previous, hash).await?;
            previous = hash;
        }
        sqlx::query("UPDATE audit_head SET hash = $1 WHERE id = 1")
            .bind(previous.0.to_vec())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Writes the events that an entry is: what was done to keys, and for those who ask for it whatever was done.
    async fn tell_webhooks(&mut self, number: i64, entry: &AuditEntry) -> sqlx::Result<()> {
        let AuditEntry { at_ms, actor_kind, actor_id, actor_name, client_address, action, .. } = entry;
        let AuditEntry { subject_kind, subject_id, subject_name, app_id, data, .. } = entry;
        let at = Timestamp::from_millisecond(*at_ms).map_err(|error| unfit("at", error))?;
        let actor = json!({"kind": actor_kind, "id": actor_id, "name": actor_name});
        let subject = json!({"kind": subject_kind, "id": subject_id, "name": subject_name});
        let told: Value = serde_json::from_str(data).map_err(|error| unfit("data", error))?;
        let event = |kind, key_id: &str, data| NewEvent {
            at,
            kind,
            app_id: app_id.clone(),
            key_id: key_id.to_owned(),
            data,
            once: None,
        };
        let happened = match action.as_str() {
            "key.created" => Some(("key.created", subject_id.as_str(), told.clone())),
            "key.rotated" => Some(("key.rotated", subject_id.as_str(), told.clone())),
            "key.revoked" => Some(("key.revoked", subject_id.as_str(), told.clone())),
            "app.revoked" | "app.deleted" => {
                Some(("key.revoked", "", json!({"all_keys": true, "because": action})))
            }
            "webhook.disabled" => Some(("webhook.disabled", "", told.clone())),
            _ => None,
        };
        if let Some((kind, key_id, mut data)) = happened {
            data["actor"] = actor.clone();
            data["subject"] = subject.clone();
            self.insert_event(event(kind, key_id, data)).await?;
        }
        if self.subscriptions().await?.iter().any(|one| one.asks_for(AUDIT_ACTION, app_id)) {
            let data = json!({
                "number": number, "action": action, "actor": actor, "subject": subject,
                "client_address": client_address, "details": told,
            });
            self.insert_event(event(AUDIT_ACTION, "", data)).await?;
        }
        Ok(())
    }

    async fn insert_audit(
        &mut self,
        number: i64,
        entry: AuditEntry,
        previous: Hash,
        hash: Hash,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO audit (number, at, actor_kind, actor_id, actor_name, client_address, action, subject_kind,
             subject_id, subject_name, app_id, data, previous, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(number)
        .bind(entry.at_ms)
        .bind(entry.actor_kind)
        .bind(entry.actor_id)
        .bind(entry.actor_name)
        .bind(entry.client_address)
        .bind(entry.action)
        .bind(entry.subject_kind)
        .bind(entry.subject_id)
        .bind(entry.subject_name)
        .bind(entry.app_id)
        .bind(entry.data)
        .bind(previous.0.to_vec())
        .bind(hash.0.to_vec())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
