//! Prices: every one that a model ever had. What was charged names a version, so rows never change.

use jiff::Timestamp;
use latchkey_core::catalogue::Price;
use latchkey_core::money::NanoUsd;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::models::Model;
use super::row::{Columns as _, unfit};
use super::{Store, Tx};

/// A price with the version that records of it carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// One history for all models; from 1.
    pub version: u64,
    /// Per million tokens.
    pub price: Price,
}

/// A price, and since when it was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastPrice {
    /// The price.
    pub charged: Charged,
    /// When it was set.
    pub created_at: Timestamp,
}

impl Store {
    /// Every price that a model had, newest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn prices(&self, model: Uuid) -> sqlx::Result<Vec<PastPrice>> {
        sqlx::query(
            "SELECT version AS price_version, input, cached_input, output, created_at FROM prices
             WHERE model_id = $1 ORDER BY version DESC",
        )
        .bind(model.to_string())
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|row| {
            let charged = charged(row)?.ok_or_else(|| unfit("version", "is null"))?;
            Ok(PastPrice { charged, created_at: row.time("created_at")? })
        })
        .collect()
    }
}

impl Tx {
    /// Gives a price the next version. The transaction must have taken its revision before: that
    /// keeps others from taking the same version.
    ///
    /// # Errors
    /// The database is away.
    pub async fn insert_price(
        &mut self,
        model: &Model,
        price: Price,
        now: Timestamp,
    ) -> sqlx::Result<Charged> {
        let row = sqlx::query(
            "INSERT INTO prices (version, model_id, model, provider, input, cached_input, output, created_at)
             SELECT COALESCE(MAX(version), 0) + 1, $1, $2, $3, $4, $5, $6, $7 FROM prices
             RETURNING version",
        )
        .bind(model.id.to_string())
        .bind(model.name.as_str().to_owned())
        .bind(model.provider.clone())
        .bind(nanos(price.input)?)
        .bind(nanos(price.cached_input)?)
        .bind(nanos(price.output)?)
        .bind(now.as_millisecond())
        .fetch_one(&mut *self.inner)
        .await?;
        let version: i64 = row.try_get("version")?;
        Ok(Charged { version: u64::try_from(version).map_err(|error| unfit("version", error))?, price })
    }
}

/// The price in the columns `price_version`, `input`, `cached_input` and `output`, unless they are null.
pub(super) fn charged(row: &AnyRow) -> sqlx::Result<Option<Charged>> {
    let Some(version) = row.optional_count("price_version")? else { return Ok(None) };
    let nanos = |column| row.count(column).map(NanoUsd);
    let price =
        Price { input: nanos("input")?, cached_input: nanos("cached_input")?, output: nanos("output")? };
    Ok(Some(Charged { version, price }))
}

fn nanos(amount: NanoUsd) -> sqlx::Result<i64> {
    i64::try_from(amount.0).map_err(|error| unfit("price", error))
}
