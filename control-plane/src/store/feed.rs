//! The database as the discovery servers read it.

use latchkey_core::selection::Selection;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Status;
use latchkey_discovery::source::{Batch, From};
use latchkey_proto::discovery as wire;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::Store;
use super::apps::App;
use super::models::Model;
use super::providers::Provider;
use super::row::{Columns as _, unfit};

/// Where a read of many pages stands. Rows come by revision, so that one that changes meanwhile is
/// seen again, later.
#[derive(Clone, Debug)]
pub enum Cursor {
    /// Apps after this revision and id.
    Apps(i64, String),
    /// Keys after this revision and id.
    Keys(i64, String),
    /// Removals after this revision and resource.
    Removals(i64, Vec<u8>),
}

impl Store {
    /// One page of what changed: catalogue, apps, keys, then removals.
    ///
    /// # Errors
    /// The database is away, or holds what does not fit.
    pub async fn page(
        &self,
        from: From,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> sqlx::Result<Batch<Cursor>> {
        let mut batch = match cursor {
            None => self.first_page(since(from), limit).await?,
            Some(Cursor::Apps(revision, id)) => self.apps_page(revision, &id, since(from), limit).await?,
            Some(Cursor::Keys(revision, id)) => self.keys_page(revision, &id, from, limit).await?,
            Some(Cursor::Removals(revision, resource)) => {
                self.removals_page(revision, resource, limit).await?
            }
        };
        // Read last, so that it is at or after every row.
        batch.newest = Some(self.head().await?.position);
        Ok(batch)
    }

    async fn first_page(&self, since: i64, limit: usize) -> sqlx::Result<Batch<Cursor>> {
        let mut batch = self.apps_page(since, LAST_ID, since, limit.saturating_sub(1)).await?;
        if self.head().await?.catalogue_revision > since {
            batch.catalogue = Some(catalogue(self.providers().await?, self.models().await?));
        }
        Ok(batch)
    }

    async fn apps_page(
        &self,
        revision: i64,
        id: &str,
        since: i64,
        limit: usize,
    ) -> sqlx::Result<Batch<Cursor>> {
        let apps = self.apps_changed(revision, id, count(limit)).await?;
        let next = match apps.last() {
            Some(app) if apps.len() >= limit => Cursor::Apps(app.revision, app.id.to_string()),
            _ => Cursor::Keys(since, LAST_ID.to_owned()),
        };
        Ok(Batch { apps: apps.iter().map(policy).collect(), next: Some(next), ..Batch::default() })
    }

    async fn keys_page(
        &self,
        revision: i64,
        id: &str,
        from: From,
        limit: usize,
    ) -> sqlx::Result<Batch<Cursor>> {
        let rows = sqlx::query(
            "SELECT id, app_id, user_id, status, expires_at, hash, retired_hash, retires_at, revision FROM keys
             WHERE (revision, id) > ($1, $2) ORDER BY revision, id LIMIT $3",
        )
        .bind(revision)
        .bind(id.to_owned())
        .bind(count(limit))
        .fetch_all(&self.pool)
        .await?;
        let mut batch = Batch::default();
        for row in &rows {
            // A row gives up to two records.
            if batch.keys.len() + 2 > limit {
                break;
            }
            push_records(row, &mut batch.keys)?;
            batch.next = Some(Cursor::Keys(row.try_get("revision")?, row.try_get("id")?));
        }
        let whole = rows.len() < limit && rows.len() <= batch.keys.len() && batch.keys.len() + 2 <= limit;
        if whole {
            batch.next = match from {
                From::Everything => None,
                From::After(_) => Some(Cursor::Removals(since(from), vec![u8::MAX; 33])),
            };
        }
        Ok(batch)
    }

    async fn removals_page(
        &self,
        revision: i64,
        resource: Vec<u8>,
        limit: usize,
    ) -> sqlx::Result<Batch<Cursor>> {
        let rows = sqlx::query(
            "SELECT revision, kind, resource FROM removals WHERE (revision, resource) > ($1, $2)
             ORDER BY revision, resource LIMIT $3",
        )
        .bind(revision)
        .bind(resource)
        .bind(count(limit))
        .fetch_all(&self.pool)
        .await?;
        let mut batch = Batch::default();
        for row in &rows {
            let resource: Vec<u8> = row.try_get("resource")?;
            match row.try_get("kind")? {
                "app" => batch
                    .removed_apps
                    .push(Uuid::from_slice(&resource).map_err(|error| unfit("resource", error))?),
                _ => batch
                    .removed_keys
                    .push(resource.as_slice().try_into().map_err(|error| unfit("resource", error))?),
            }
            if rows.len() >= limit {
                batch.next = Some(Cursor::Removals(row.try_get("revision")?, resource));
            }
        }
        Ok(batch)
    }
}

/// An id after every other: a cursor at (revision, this) is past all of that revision.
const LAST_ID: &str = "~";

fn since(from: From) -> i64 {
    match from {
        From::Everything => -1,
        From::After(revision) => i64::try_from(revision).unwrap_or(i64::MAX),
    }
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn push_records(row: &AnyRow, records: &mut Vec<wire::KeyRecord>) -> sqlx::Result<()> {
    let current = wire::KeyRecord {
        hash: row.try_get("hash")?,
        key_id: row.uuid("id")?.as_bytes().to_vec(),
        app_id: row.uuid("app_id")?.as_bytes().to_vec(),
        user_id: row.optional_uuid("user_id")?.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        status: status(row.parsed("status")?).into(),
        expires_at_ms: row.try_get::<Option<i64>, _>("expires_at")?.unwrap_or(0),
        retires_at_ms: 0,
    };
    if let Some(hash) = row.try_get("retired_hash")? {
        let retires_at_ms = row.try_get("retires_at")?;
        records.push(wire::KeyRecord { hash, retires_at_ms, ..current.clone() });
    }
    records.push(current);
    Ok(())
}

/// An app as gateways hold it.
fn policy(app: &App) -> wire::AppPolicy {
    let settings = &app.settings;
    wire::AppPolicy {
        id: app.id.as_bytes().to_vec(),
        name: app.name.as_str().to_owned(),
        status: status(app.status).into(),
        expires_at_ms: settings.expires_at.map_or(0, jiff::Timestamp::as_millisecond),
        mode: match settings.mode {
            CredentialMode::Shared => wire::CredentialMode::Shared,
            CredentialMode::Named => wire::CredentialMode::Named,
        }
        .into(),
        providers: Some(selection(&settings.allowed_providers)),
        models: Some(selection(&settings.allowed_models)),
        addresses: settings.ip_allow_list.clone().map(|ranges| wire::AddressList { ranges }),
    }
}

fn status(status: Status) -> wire::Status {
    match status {
        Status::Active => wire::Status::Active,
        Status::Inactive => wire::Status::Inactive,
        Status::Revoked => wire::Status::Revoked,
    }
}

fn selection(selection: &Selection) -> wire::Selection {
    use wire::selection::Kind;
    let kind = match selection {
        Selection::All => Kind::All(wire::Everything {}),
        Selection::None => Kind::None(wire::Nothing {}),
        Selection::Only(names) => Kind::Only(wire::Names { names: names.clone() }),
    };
    wire::Selection { kind: Some(kind) }
}

/// The enabled providers and their enabled models.
fn catalogue(providers: Vec<Provider>, models: Vec<Model>) -> wire::Catalogue {
    use latchkey_core::provider::ProviderKind;
    let providers: Vec<_> = providers.into_iter().filter(|provider| provider.enabled).collect();
    let served = |model: &Model| {
        model.enabled && providers.iter().any(|provider| provider.name.as_str() == model.provider)
    };
    let models = models.into_iter().filter(served).map(|model| wire::Model {
        name: model.name.into(),
        provider: model.provider,
        upstream_name: model.upstream_name.into(),
        created_at: model.created_at.as_second(),
    });
    wire::Catalogue {
        models: models.collect(),
        providers: providers
            .iter()
            .map(|provider| wire::Provider {
                name: provider.name.as_str().to_owned(),
                kind: match provider.kind {
                    ProviderKind::Openai => wire::ProviderKind::Openai,
                    ProviderKind::AzureOpenai => wire::ProviderKind::AzureOpenai,
                    ProviderKind::Anthropic => wire::ProviderKind::Anthropic,
                    ProviderKind::OpenaiCompatible => wire::ProviderKind::OpenaiCompatible,
                }
                .into(),
                cluster: provider.cluster_name(),
                authority: provider.url.authority.clone(),
                path_prefix: provider.url.path_prefix.clone(),
            })
            .collect(),
    }
}
