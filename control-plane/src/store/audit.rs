//! The audit log: entries in one hash chain.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use super::Tx;

/// An entry, before it has a place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// `user`, `token` or `system`.
    pub actor_kind: String,
    /// Of the user or the token; empty for the system.
    pub actor_id: String,
    /// What the actor was called then.
    pub actor_name: String,
    /// From where; empty where it is not known.
    pub client_address: String,
    /// What was done: `key.revoked`, `group.member_removed`, ….
    pub action: String,
    /// What kind of thing it was done to: `key`, `app`, `user`, ….
    pub subject_kind: String,
    /// Its id.
    pub subject_id: String,
    /// What it was called then.
    pub subject_name: String,
    /// The app that it is about; empty where it is about none.
    pub app_id: String,
    /// More of it as JSON, without secrets.
    pub data: String,
}

impl Entry {
    /// The hash of the entry `number` that follows the one with the hash `previous`: SHA-256 over the
    /// number, the time in Unix milliseconds (both 8 bytes, big-endian), `previous`, and each text with
    /// its length in bytes (8 bytes, big-endian) before it, in the order of the columns.
    #[must_use]
    pub fn hash(&self, number: i64, previous: &[u8]) -> Vec<u8> {
        let Self {
            at,
            actor_kind,
            actor_id,
            actor_name,
            client_address,
            action,
            subject_kind,
            subject_id,
            subject_name,
            app_id,
            data,
        } = self;
        let mut hash = Sha256::new();
        hash.update(number.to_be_bytes());
        hash.update(at.as_millisecond().to_be_bytes());
        hash.update(previous);
        let texts = [
            actor_kind,
            actor_id,
            actor_name,
            client_address,
            action,
            subject_kind,
            subject_id,
            subject_name,
            app_id,
            data,
        ];
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().to_vec()
    }
}

impl Tx {
    /// Keeps an entry for the end of this transaction: it is written by the commit, so that those who
    /// add entries wait for each other only there.
    pub fn audit(&mut self, entry: Entry) {
        self.audit.push(entry);
    }

    /// Writes what was kept.
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
        let mut previous: Vec<u8> = row.try_get("hash")?;
        for (number, entry) in (last - added + 1..).zip(entries) {
            let hash = entry.hash(number, &previous);
            self.insert_audit(number, entry, previous, hash.clone()).await?;
            previous = hash;
        }
        sqlx::query("UPDATE audit_head SET hash = $1 WHERE id = 1")
            .bind(previous)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    async fn insert_audit(
        &mut self,
        number: i64,
        entry: Entry,
        previous: Vec<u8>,
        hash: Vec<u8>,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO audit (number, at, actor_kind, actor_id, actor_name, client_address, action, subject_kind,
             subject_id, subject_name, app_id, data, previous, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(number)
        .bind(entry.at.as_millisecond())
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
        .bind(previous)
        .bind(hash)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
