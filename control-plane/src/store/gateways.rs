//! What each replica of the control plane knows of the gateways connected to it, for the others.

use jiff::Timestamp;
use sqlx::Row as _;

use super::Store;
use super::row::{Columns as _, unfit};

/// One stream of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayStream {
    /// The replica's id, new with each start.
    pub replica: String,
    /// The stream's number on that replica.
    pub stream: i64,
    /// The gateway's name.
    pub gateway: String,
    /// When the replica last wrote it.
    pub seen_at: Timestamp,
    /// The replica's own record of it, as JSON.
    pub state: String,
}

impl Store {
    /// Streams that some replica wrote since `since`, but for `replica`'s own.
    ///
    /// # Errors
    /// The database is away.
    pub async fn streams_elsewhere(
        &self,
        replica: &str,
        since: Timestamp,
    ) -> sqlx::Result<Vec<GatewayStream>> {
        let rows = sqlx::query(
            "SELECT replica, stream, gateway, seen_at, state FROM gateway_streams
             WHERE replica <> $1 AND seen_at >= $2 ORDER BY gateway, replica, stream",
        )
        .bind(replica.to_owned())
        .bind(since.as_millisecond())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(GatewayStream {
                    replica: row.try_get("replica")?,
                    stream: row.try_get("stream")?,
                    gateway: row.try_get("gateway")?,
                    seen_at: row.time("seen_at")?,
                    state: row.try_get("state")?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| unfit("gateway_streams", error))
    }

    /// Writes all of a replica's streams, and forgets those that it no longer has and whatever no
    /// replica has written since `stale`.
    ///
    /// # Errors
    /// The database is away.
    pub async fn write_streams(
        &self,
        replica: &str,
        streams: &[GatewayStream],
        stale: Timestamp,
    ) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM gateway_streams WHERE replica = $1 OR seen_at < $2")
            .bind(replica.to_owned())
            .bind(stale.as_millisecond())
            .execute(&mut *tx.inner)
            .await?;
        for stream in streams {
            sqlx::query(
                "INSERT INTO gateway_streams (replica, stream, gateway, seen_at, state) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(stream.replica.clone())
            .bind(stream.stream)
            .bind(stream.gateway.clone())
            .bind(stream.seen_at.as_millisecond())
            .bind(stream.state.clone())
            .execute(&mut *tx.inner)
            .await?;
        }
        tx.commit().await
    }
}
