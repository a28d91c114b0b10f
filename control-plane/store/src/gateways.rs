//! What each replica of the control plane knows of the gateways connected to it, for the others and
//! for the next start. Times are the database's own, since replicas' clocks differ.

use jiff::SignedDuration;
use sqlx::Row as _;

use super::{Backend, Store, Tx};

/// One stream of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayStream {
    /// The replica's id, new with each start.
    pub replica: String,
    /// The stream's number on that replica.
    pub stream: i64,
    pub gateway: String,
    /// The replica's own record of it, as JSON.
    pub state: String,
    /// How long ago the replica wrote it.
    pub age: SignedDuration,
}

impl Store {
    /// The streams of all replicas, whether open, ended, or of a replica that is no more.
    pub async fn gateway_streams(&self) -> sqlx::Result<Vec<GatewayStream>> {
        let now = self.database_ms().await?;
        let rows = sqlx::query(
            "SELECT replica, stream, gateway, state, seen_at FROM gateway_streams
             ORDER BY gateway, seen_at DESC, replica, stream",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(GatewayStream {
                    replica: row.try_get("replica")?,
                    stream: row.try_get("stream")?,
                    gateway: row.try_get("gateway")?,
                    state: row.try_get("state")?,
                    age: SignedDuration::from_millis(now - row.try_get::<i64, _>("seen_at")?),
                })
            })
            .collect()
    }

    /// Shows that a replica lives: writes those of its streams that have `changed`, and of other replicas'
    /// their state alone; forgets some.
    pub async fn write_gateway_streams(
        &self,
        replica: &str,
        changed: &[GatewayStream],
        forgotten: &[GatewayStream],
    ) -> sqlx::Result<()> {
        let now = self.database_ms().await?;
        let mut tx = self.begin().await?;
        for stream in changed {
            tx.write_gateway_stream(stream, (stream.replica == replica).then_some(now)).await?;
        }
        for stream in forgotten {
            tx.forget_gateway_stream(stream).await?;
        }
        sqlx::query("UPDATE gateway_streams SET seen_at = $1 WHERE replica = $2")
            .bind(now)
            .bind(replica.to_owned())
            .execute(&mut *tx.inner)
            .await?;
        tx.commit().await
    }

    /// The database's clock, in Unix milliseconds.
    async fn database_ms(&self) -> sqlx::Result<i64> {
        let query = match self.backend {
            Backend::Sqlite => "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS ms",
            Backend::Postgres => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS ms",
        };
        sqlx::query(query).fetch_one(&self.pool).await?.try_get("ms")
    }
}

impl Tx {
    pub async fn forget_gateway_stream(&mut self, stream: &GatewayStream) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM gateway_streams WHERE replica = $1 AND stream = $2")
            .bind(stream.replica.clone())
            .bind(stream.stream)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Writes a stream as seen now; without a time only the state of one that is there.
    async fn write_gateway_stream(&mut self, stream: &GatewayStream, now: Option<i64>) -> sqlx::Result<()> {
        let query = match now {
            Some(now) => sqlx::query(
                "INSERT INTO gateway_streams (replica, stream, gateway, state, seen_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (replica, stream) DO UPDATE SET
                 gateway = excluded.gateway, state = excluded.state, seen_at = excluded.seen_at",
            )
            .bind(stream.replica.clone())
            .bind(stream.stream)
            .bind(stream.gateway.clone())
            .bind(stream.state.clone())
            .bind(now),
            None => sqlx::query("UPDATE gateway_streams SET state = $1 WHERE replica = $2 AND stream = $3")
                .bind(stream.state.clone())
                .bind(stream.replica.clone())
                .bind(stream.stream),
        };
        query.execute(&mut *self.inner).await.map(drop)
    }
}
