//! What each replica of the control plane knows of the gateways connected to it, for the others and
//! for the next start. Times are the database's own, since replicas' clocks differ.

use jiff::SignedDuration;
use sqlx::Row as _;

use super::{Backend, Store};

/// One stream of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayStream {
    /// The replica's id, new with each start.
    pub replica: String,
    /// The stream's number on that replica.
    pub stream: i64,
    /// The gateway's name.
    pub gateway: String,
    /// The replica's own record of it, as JSON.
    pub state: String,
    /// How long ago the replica wrote it.
    pub age: SignedDuration,
}

impl Store {
    /// Streams that some replica wrote within the last `age`, but for `replica`'s own.
    ///
    /// # Errors
    /// The database is away.
    pub async fn streams_elsewhere(
        &self,
        replica: &str,
        age: SignedDuration,
    ) -> sqlx::Result<Vec<GatewayStream>> {
        let now = self.database_ms().await?;
        let rows = sqlx::query(
            "SELECT replica, stream, gateway, state, seen_at FROM gateway_streams
             WHERE replica <> $1 AND seen_at >= $2 ORDER BY gateway, seen_at DESC, replica, stream",
        )
        .bind(replica.to_owned())
        .bind(now - clamp(age))
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

    /// Writes all of a replica's streams, and forgets those that it no longer has and whatever no
    /// replica has written for `age`.
    ///
    /// # Errors
    /// The database is away.
    pub async fn write_streams(
        &self,
        replica: &str,
        streams: &[GatewayStream],
        age: SignedDuration,
    ) -> sqlx::Result<()> {
        let now = self.database_ms().await?;
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM gateway_streams WHERE replica = $1 OR seen_at < $2")
            .bind(replica.to_owned())
            .bind(now - clamp(age))
            .execute(&mut *tx.inner)
            .await?;
        for stream in streams {
            sqlx::query(
                "INSERT INTO gateway_streams (replica, stream, gateway, seen_at, state) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(stream.replica.clone())
            .bind(stream.stream)
            .bind(stream.gateway.clone())
            .bind(now)
            .bind(stream.state.clone())
            .execute(&mut *tx.inner)
            .await?;
        }
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

fn clamp(age: SignedDuration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}
