//! The database as the discovery servers read it.

mod convert;
mod guardrails;
mod prompts;
mod routing_groups;
pub mod traffic;

use std::collections::BTreeMap;

use latchkey_core::identity::key::PublicKey;
use latchkey_core::limits::Limits;
use latchkey_core::status::Status;
use latchkey_discovery::source::{Batch, From};
use latchkey_proto::discovery as wire;
use latchkey_proto::key::KeyHash;
use prost::Message as _;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::apps::App;
use super::row::unfit;
use super::{Backend, Store};
use convert::{catalogue, limits, policy, status};

/// Where a read of many pages stands: after this revision and id. Rows come by revision, so that
/// one that changes meanwhile is seen again, later.
#[derive(Clone, Debug)]
pub enum FeedCursor {
    Apps(i64, String),
    Keys(i64, String),
    Removals(i64, Vec<u8>),
}

/// A batch is not made larger than about so many bytes.
const LARGEST: usize = 1 << 20;

/// The text of [`Store::key_rows`]: of each key revision, id, app, user, status, expiry, hash, retired
/// hash and when that stops, and limits, with spaces between; `-` and 0 stand for none. The status of an
/// active key that is suspended is `suspended`.
macro_rules! key_lines {
    ($hash:literal, $retired:literal, $which:literal) => {
        concat!(
            "SELECT STRING_AGG(line, '\n') AS lines FROM (SELECT revision || ' ' || id || ' ' || app_id || ' ' || ",
            "COALESCE(user_id, '-') || ' ' || CASE WHEN suspended = 1 AND status = 'active' THEN 'suspended' ELSE status ",
            "END || ' ' || COALESCE(expires_at, 0) || ' ' || ",
            $hash,
            " || ' ' || CASE WHEN retired_hash IS NULL THEN '-' ELSE ",
            $retired,
            " END || ' ' || COALESCE(retires_at, 0) || ' ' || COALESCE(limits, '-') AS line FROM keys ",
            $which,
            ") AS page"
        )
    };
}

impl Store {
    /// One batch of what changed: catalogue, apps, keys, then removals.
    pub async fn feed_batch(
        &self,
        from: From,
        cursor: Option<FeedCursor>,
        limit: usize,
    ) -> sqlx::Result<Batch<FeedCursor>> {
        // What comes after a revision comes after the revision that follows and no id.
        let first = match from {
            From::Everything => 0,
            From::After(revision) => i64::try_from(revision).unwrap_or(i64::MAX).saturating_add(1),
        };
        let mut builder = BatchBuilder { batch: Batch::default(), resources: 0, bytes: 0, limit };
        let mut next = match cursor {
            Some(cursor) => Some(cursor),
            None => {
                self.push_catalogue(&mut builder, first).await?;
                Some(FeedCursor::Apps(first, String::new()))
            }
        };
        while let Some(cursor) = next.take_if(|_| !builder.is_full()) {
            next = match cursor {
                FeedCursor::Apps(revision, id) => match self.push_apps(&mut builder, revision, id).await? {
                    None => Some(FeedCursor::Keys(first, String::new())),
                    more => more,
                },
                FeedCursor::Keys(revision, id) => match self.push_keys(&mut builder, revision, id).await? {
                    None if from == From::Everything => None,
                    None => Some(FeedCursor::Removals(first, Vec::new())),
                    more => more,
                },
                FeedCursor::Removals(revision, resource) => {
                    self.push_removals(&mut builder, revision, resource).await?
                }
            };
        }
        // Read last, so that it is at or after every row.
        let newest = Some(self.head().await?.position);
        Ok(Batch { next, newest, ..builder.batch })
    }

    async fn wire_catalogue(&self) -> sqlx::Result<wire::Catalogue> {
        let densities = self.densities().await?;
        let (providers, models) = (self.upstreams().await?, self.models().await?);
        let (servers, detectors) = (self.upstreams().await?, self.upstreams().await?);
        let (groups, pins) = (self.routing_groups().await?, self.mcp_pins().await?);
        Ok(catalogue(providers, models, servers, &pins, detectors, groups, &densities))
    }

    async fn push_catalogue(&self, builder: &mut BatchBuilder, first: i64) -> sqlx::Result<()> {
        if self.head().await?.catalogue_revision >= first {
            let catalogue = self.wire_catalogue().await?;
            builder.count(catalogue.encoded_len());
            builder.batch.catalogue = Some(catalogue);
        }
        Ok(())
    }

    async fn push_apps(
        &self,
        builder: &mut BatchBuilder,
        revision: i64,
        id: String,
    ) -> sqlx::Result<Option<FeedCursor>> {
        let rows = self.apps_changed(revision, &id, builder.room()).await?;
        let whole = rows.len() < builder.rows();
        // Read after the apps: whatever changes later comes with a revision of its own.
        let sets = self.key_sets(rows.iter().filter_map(|row| row.app.as_ref().ok())).await?;
        let secret = self.guardrail_secret().await?;
        let trials = if rows.is_empty() { Vec::new() } else { self.open_guardrail_trials().await? };
        let trials: BTreeMap<_, _> = trials.into_iter().map(|trial| (trial.app_id, trial)).collect();
        let mut next = None;
        for row in rows {
            next = Some(FeedCursor::Apps(row.revision, row.id.to_string()));
            let policy = row
                .app
                .as_ref()
                .map_or_else(|_| unreadable(row.id), |app| policy(app, trials.get(&app.id), &sets, &secret));
            builder.count(policy.encoded_len());
            builder.batch.apps.push(policy);
            if builder.is_full() {
                return Ok(next);
            }
        }
        Ok(next.filter(|_| !whole))
    }

    /// The JWK sets, where one of these apps names one.
    async fn key_sets<'a>(
        &self,
        mut apps: impl Iterator<Item = &'a App>,
    ) -> sqlx::Result<BTreeMap<String, Vec<PublicKey>>> {
        if apps.any(|app| app.settings.identity.jwks_url().is_some()) {
            return self.jwk_keys().await;
        }
        Ok(BTreeMap::new())
    }

    async fn push_keys(
        &self,
        builder: &mut BatchBuilder,
        revision: i64,
        id: String,
    ) -> sqlx::Result<Option<FeedCursor>> {
        let rows = self.key_rows(revision, id, builder.room()).await?;
        let whole = rows.len() < builder.rows();
        let mut next = None;
        for row in rows {
            push_records(&row, builder);
            next = Some(FeedCursor::Keys(row.revision, row.id.to_string()));
            if builder.is_full() {
                return Ok(next);
            }
        }
        Ok(next.filter(|_| !whole))
    }

    /// Keys by revision and id, after these.
    ///
    /// They come as one text, a line each: a million rows one by one would keep the driver busy for
    /// most of a gateway's first snapshot.
    async fn key_rows(&self, revision: i64, id: String, limit: i64) -> sqlx::Result<Vec<FeedKeyRow>> {
        let query = match self.backend {
            Backend::Sqlite => key_lines!(
                "HEX(hash)",
                "HEX(retired_hash)",
                "WHERE (revision, id) > ($1, $2) ORDER BY revision, id LIMIT $3"
            ),
            Backend::Postgres => key_lines!(
                "ENCODE(hash, 'hex')",
                "ENCODE(retired_hash, 'hex')",
                "WHERE (revision, id) > ($1, $2) ORDER BY revision, id LIMIT $3"
            ),
        };
        let row = sqlx::query(query).bind(revision).bind(id).bind(limit).fetch_one(&self.pool).await?;
        let mut rows = key_rows(&row)?;
        rows.sort_unstable_by_key(|row| (row.revision, row.id));
        Ok(rows)
    }

    /// What gateways hold of an app and one of its keys, with the catalogue. The record of the key's
    /// current secret comes last.
    pub async fn held(&self, app: &App, key: Uuid) -> sqlx::Result<Batch<FeedCursor>> {
        let query = match self.backend {
            Backend::Sqlite => key_lines!("HEX(hash)", "HEX(retired_hash)", "WHERE id = $1 AND app_id = $2"),
            Backend::Postgres => key_lines!(
                "ENCODE(hash, 'hex')",
                "ENCODE(retired_hash, 'hex')",
                "WHERE id = $1 AND app_id = $2"
            ),
        };
        let query = sqlx::query(query).bind(key.to_string()).bind(app.id.to_string());
        let row = query.fetch_one(&self.pool).await?;
        let mut builder = BatchBuilder { batch: Batch::default(), resources: 0, bytes: 0, limit: usize::MAX };
        key_rows(&row)?.iter().for_each(|row| push_records(row, &mut builder));
        let sets = self.key_sets(std::iter::once(app)).await?;
        let secret = self.guardrail_secret().await?;
        // A trial denies nothing.
        builder.batch.apps.push(policy(app, None, &sets, &secret));
        builder.batch.catalogue = Some(self.wire_catalogue().await?);
        Ok(builder.batch)
    }

    async fn push_removals(
        &self,
        builder: &mut BatchBuilder,
        revision: i64,
        resource: Vec<u8>,
    ) -> sqlx::Result<Option<FeedCursor>> {
        let rows = sqlx::query(
            "SELECT revision, kind, resource FROM removals WHERE (revision, resource) > ($1, $2)
             ORDER BY revision, resource LIMIT $3",
        )
        .bind(revision)
        .bind(resource)
        .bind(builder.room())
        .fetch_all(&self.pool)
        .await?;
        let whole = rows.len() < builder.rows();
        let mut next = None;
        for row in &rows {
            let resource: Vec<u8> = row.try_get("resource")?;
            match row.try_get("kind")? {
                "app" => builder
                    .batch
                    .removed_apps
                    .push(Uuid::from_slice(&resource).map_err(|error| unfit("resource", error))?),
                _ => builder
                    .batch
                    .removed_keys
                    .push(resource.as_slice().try_into().map_err(|error| unfit("resource", error))?),
            }
            builder.count(resource.len());
            next = Some(FeedCursor::Removals(row.try_get("revision")?, resource));
        }
        Ok(next.filter(|_| !whole))
    }
}

/// A batch that is being filled.
struct BatchBuilder {
    batch: Batch<FeedCursor>,
    resources: usize,
    bytes: usize,
    limit: usize,
}

impl BatchBuilder {
    fn count(&mut self, bytes: usize) {
        self.resources += 1;
        self.bytes += bytes;
    }

    /// A key's row gives up to two records, so that the last place stays free.
    fn is_full(&self) -> bool {
        self.resources + 2 > self.limit || self.bytes >= LARGEST
    }

    /// How many rows to read.
    fn rows(&self) -> usize {
        self.limit.saturating_sub(self.resources).max(1)
    }

    fn room(&self) -> i64 {
        i64::try_from(self.rows()).unwrap_or(i64::MAX)
    }
}

/// An app whose row cannot be read: gateways refuse it, keep what they have, and say so to admins.
fn unreadable(id: Uuid) -> wire::AppPolicy {
    wire::AppPolicy { id: id.as_bytes().to_vec(), ..wire::AppPolicy::default() }
}

/// A key as gateways need it.
struct FeedKeyRow {
    revision: i64,
    id: Uuid,
    app: Uuid,
    user: Option<Uuid>,
    status: wire::Status,
    expires_at: i64,
    hash: KeyHash,
    retired: Option<(KeyHash, i64)>,
    limits: Option<Limits>,
}

impl FeedKeyRow {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(10, ' ');
        let mut next = || fields.next();
        let row = Self {
            revision: next()?.parse().ok()?,
            id: next()?.parse().ok()?,
            app: next()?.parse().ok()?,
            user: match next()? {
                "-" => None,
                id => Some(id.parse().ok()?),
            },
            status: match next()? {
                "suspended" => wire::Status::Suspended,
                word => status(word.parse::<Status>().ok()?),
            },
            expires_at: next()?.parse().ok()?,
            hash: key_hash(next()?)?,
            retired: match (next()?, next()?) {
                ("-", _) => None,
                (hash, at) => Some((key_hash(hash)?, at.parse().ok()?)),
            },
            limits: match next()? {
                "-" => None,
                json => Some(serde_json::from_str(json).ok()?),
            },
        };
        Some(row)
    }
}

/// The rows of one text of lines.
fn key_rows(row: &AnyRow) -> sqlx::Result<Vec<FeedKeyRow>> {
    let lines: Option<&str> = row.try_get("lines")?;
    let read =
        |line: &str| FeedKeyRow::parse(line).ok_or_else(|| unfit("lines", "a key's row cannot be read"));
    lines.unwrap_or_default().lines().map(read).collect()
}

fn key_hash(hex: &str) -> Option<KeyHash> {
    let (high, low) = hex.split_at_checked(32)?;
    let half = |hex| u128::from_str_radix(hex, 16).map(u128::to_be_bytes).ok();
    let bytes = [half(high)?, half(low)?].concat();
    KeyHash::try_from(bytes.as_slice()).ok().filter(|_| low.len() == 32)
}

fn push_records(row: &FeedKeyRow, builder: &mut BatchBuilder) {
    let current = wire::KeyRecord {
        hash: row.hash.as_bytes().to_vec(),
        key_id: row.id.as_bytes().to_vec(),
        app_id: row.app.as_bytes().to_vec(),
        user_id: row.user.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        status: row.status.into(),
        expires_at_ms: row.expires_at,
        retires_at_ms: 0,
        limits: row.limits.as_ref().map(limits),
    };
    if let Some((hash, retires_at_ms)) = row.retired {
        let retired = wire::KeyRecord { hash: hash.as_bytes().to_vec(), retires_at_ms, ..current.clone() };
        builder.count(retired.encoded_len());
        builder.batch.keys.push(retired);
    }
    builder.count(current.encoded_len());
    builder.batch.keys.push(current);
}
