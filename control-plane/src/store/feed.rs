//! The database as the discovery servers read it.

use latchkey_core::selection::Selection;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Status;
use latchkey_discovery::source::{Batch, From};
use latchkey_proto::discovery as wire;
use prost::Message as _;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::Store;
use super::apps::App;
use super::models::Model;
use super::providers::Provider;
use super::row::{Columns as _, unfit};

/// Where a read of many pages stands: after this revision and id. Rows come by revision, so that
/// one that changes meanwhile is seen again, later.
#[derive(Clone, Debug)]
pub enum Cursor {
    /// Among the apps.
    Apps(i64, String),
    /// Among the keys.
    Keys(i64, String),
    /// Among the removals.
    Removals(i64, Vec<u8>),
}

/// A batch is not made larger than about so many bytes.
const LARGEST: usize = 1 << 20;

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
        // What comes after a revision comes after the revision that follows and no id.
        let first = match from {
            From::Everything => 0,
            From::After(revision) => i64::try_from(revision).unwrap_or(i64::MAX).saturating_add(1),
        };
        let mut page = Page { batch: Batch::default(), resources: 0, bytes: 0, limit };
        let mut next = match cursor {
            Some(cursor) => Some(cursor),
            None => {
                self.push_catalogue(&mut page, first).await?;
                Some(Cursor::Apps(first, String::new()))
            }
        };
        while let Some(cursor) = next.take_if(|_| !page.is_full()) {
            next = match cursor {
                Cursor::Apps(revision, id) => match self.push_apps(&mut page, revision, id).await? {
                    None => Some(Cursor::Keys(first, String::new())),
                    more => more,
                },
                Cursor::Keys(revision, id) => match self.push_keys(&mut page, revision, id).await? {
                    None if from == From::Everything => None,
                    None => Some(Cursor::Removals(first, Vec::new())),
                    more => more,
                },
                Cursor::Removals(revision, resource) => {
                    self.push_removals(&mut page, revision, resource).await?
                }
            };
        }
        // Read last, so that it is at or after every row.
        let newest = Some(self.head().await?.position);
        Ok(Batch { next, newest, ..page.batch })
    }

    async fn push_catalogue(&self, page: &mut Page, first: i64) -> sqlx::Result<()> {
        if self.head().await?.catalogue_revision >= first {
            let catalogue = catalogue(self.providers().await?, self.models().await?);
            page.count(catalogue.encoded_len());
            page.batch.catalogue = Some(catalogue);
        }
        Ok(())
    }

    async fn push_apps(&self, page: &mut Page, revision: i64, id: String) -> sqlx::Result<Option<Cursor>> {
        let rows = self.apps_changed(revision, &id, page.room()).await?;
        let whole = rows.len() < page.rows();
        let mut next = None;
        for row in rows {
            next = Some(Cursor::Apps(row.revision, row.id.to_string()));
            let policy = row.app.as_ref().map_or_else(|_| unreadable(row.id), policy);
            page.count(policy.encoded_len());
            page.batch.apps.push(policy);
            if page.is_full() {
                return Ok(next);
            }
        }
        Ok(next.filter(|_| !whole))
    }

    async fn push_keys(&self, page: &mut Page, revision: i64, id: String) -> sqlx::Result<Option<Cursor>> {
        let rows = sqlx::query(
            "SELECT id, app_id, user_id, status, expires_at, hash, retired_hash, retires_at, revision FROM keys
             WHERE (revision, id) > ($1, $2) ORDER BY revision, id LIMIT $3",
        )
        .bind(revision)
        .bind(id)
        .bind(page.room())
        .fetch_all(&self.pool)
        .await?;
        let whole = rows.len() < page.rows();
        let mut next = None;
        for row in &rows {
            push_records(row, page)?;
            next = Some(Cursor::Keys(row.try_get("revision")?, row.try_get("id")?));
            if page.is_full() {
                return Ok(next);
            }
        }
        Ok(next.filter(|_| !whole))
    }

    async fn push_removals(
        &self,
        page: &mut Page,
        revision: i64,
        resource: Vec<u8>,
    ) -> sqlx::Result<Option<Cursor>> {
        let rows = sqlx::query(
            "SELECT revision, kind, resource FROM removals WHERE (revision, resource) > ($1, $2)
             ORDER BY revision, resource LIMIT $3",
        )
        .bind(revision)
        .bind(resource)
        .bind(page.room())
        .fetch_all(&self.pool)
        .await?;
        let whole = rows.len() < page.rows();
        let mut next = None;
        for row in &rows {
            let resource: Vec<u8> = row.try_get("resource")?;
            match row.try_get("kind")? {
                "app" => page
                    .batch
                    .removed_apps
                    .push(Uuid::from_slice(&resource).map_err(|error| unfit("resource", error))?),
                _ => page
                    .batch
                    .removed_keys
                    .push(resource.as_slice().try_into().map_err(|error| unfit("resource", error))?),
            }
            page.count(resource.len());
            next = Some(Cursor::Removals(row.try_get("revision")?, resource));
        }
        Ok(next.filter(|_| !whole))
    }
}

/// A batch that is being filled.
struct Page {
    batch: Batch<Cursor>,
    resources: usize,
    bytes: usize,
    limit: usize,
}

impl Page {
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

fn push_records(row: &AnyRow, page: &mut Page) -> sqlx::Result<()> {
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
        let retired = wire::KeyRecord { hash, retires_at_ms, ..current.clone() };
        page.count(retired.encoded_len());
        page.batch.keys.push(retired);
    }
    page.count(current.encoded_len());
    page.batch.keys.push(current);
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
