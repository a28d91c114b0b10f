//! The history of what gateways should hold: one revision per publishing transaction.

use latchkey_discovery::source::Position;
use latchkey_world::World;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::row::unfit;
use super::{Store, Tx};

/// The newest revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryHead {
    /// The newest revision and its tag.
    pub position: Position,
    /// The newest revision that touched a provider, a model, an MCP server or a detector.
    pub catalogue_revision: i64,
}

impl Store {
    /// The newest revision that is committed.
    pub async fn head(&self) -> sqlx::Result<HistoryHead> {
        let row = sqlx::query("SELECT revision, tag, catalogue_revision FROM head WHERE id = 1")
            .fetch_one(&self.pool)
            .await?;
        Ok(HistoryHead { position: position(&row)?, catalogue_revision: row.try_get("catalogue_revision")? })
    }

    /// Whether `at` is a point of this history.
    pub async fn was(&self, at: &Position) -> sqlx::Result<bool> {
        let Ok(revision) = i64::try_from(at.revision) else { return Ok(false) };
        let row = sqlx::query("SELECT revision, tag FROM revisions WHERE revision = $1")
            .bind(revision)
            .fetch_optional(&self.pool)
            .await?;
        row.map_or(Ok(false), |row| Ok(position(&row)? == *at))
    }

    /// The points of this history from `revision` on.
    pub async fn history_from(&self, revision: u64) -> sqlx::Result<Vec<Position>> {
        let Ok(revision) = i64::try_from(revision) else { return Ok(Vec::new()) };
        let rows = sqlx::query("SELECT revision, tag FROM revisions WHERE revision >= $1")
            .bind(revision)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(position).collect()
    }

    /// Forgets all but the newest `keep` revisions; a gateway older than those gets a full snapshot.
    pub async fn forget_revisions(&self, keep: i64) -> sqlx::Result<u64> {
        let done = sqlx::query(
            "DELETE FROM revisions WHERE revision < (SELECT revision - $1 FROM head WHERE id = 1)",
        )
        .bind(keep)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

impl Tx {
    /// The revision of this transaction, taken on the first call. From then on, other publishing
    /// transactions wait, so that revisions are committed in their order.
    pub async fn revision(&mut self, world: &World) -> sqlx::Result<i64> {
        if let Some(revision) = self.revision {
            return Ok(revision);
        }
        let tag = world.random::<16>().to_vec();
        let row =
            sqlx::query("UPDATE head SET revision = revision + 1, tag = $1 WHERE id = 1 RETURNING revision")
                .bind(tag.clone())
                .fetch_one(&mut *self.inner)
                .await?;
        let revision = row.try_get("revision")?;
        sqlx::query("INSERT INTO revisions (revision, tag, created_at) VALUES ($1, $2, $3)")
            .bind(revision)
            .bind(tag)
            .bind(world.now().as_millisecond())
            .execute(&mut *self.inner)
            .await?;
        self.revision = Some(revision);
        Ok(revision)
    }

    /// The revision of this transaction, which touches a provider, a model, an MCP server or a detector.
    pub async fn catalogue_revision(&mut self, world: &World) -> sqlx::Result<i64> {
        let revision = self.revision(world).await?;
        sqlx::query("UPDATE head SET catalogue_revision = $1 WHERE id = 1")
            .bind(revision)
            .execute(&mut *self.inner)
            .await?;
        Ok(revision)
    }

    /// Notes that gateways must forget the secret with this hash.
    pub async fn remove_key_hash(&mut self, world: &World, hash: Vec<u8>) -> sqlx::Result<()> {
        self.insert_removal(world, "key", hash).await
    }

    /// Notes that gateways must forget an app.
    pub async fn remove_app(&mut self, world: &World, app: Uuid) -> sqlx::Result<()> {
        self.insert_removal(world, "app", app.as_bytes().to_vec()).await
    }

    async fn insert_removal(&mut self, world: &World, kind: &str, resource: Vec<u8>) -> sqlx::Result<()> {
        let revision = self.revision(world).await?;
        sqlx::query("INSERT INTO removals (revision, kind, resource) VALUES ($1, $2, $3)")
            .bind(revision)
            .bind(kind)
            .bind(resource)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}

fn position(row: &AnyRow) -> sqlx::Result<Position> {
    let revision: i64 = row.try_get("revision")?;
    let tag: Vec<u8> = row.try_get("tag")?;
    Ok(Position {
        revision: u64::try_from(revision).map_err(|error| unfit("revision", error))?,
        tag: tag.try_into().map_err(|_| unfit("tag", "not 16 bytes"))?,
    })
}
