//! Prices: every one that a model ever had. What was charged names a version, so rows never change.

use jiff::Timestamp;
use latchkey_core::money::NanoUsd;
use latchkey_core::price::{LongContext, Price, Rates};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::models::Model;
use super::row::{Columns as _, unfit};
use super::{Store, Tx};

/// A price with the version that records of it carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// One history for all models; from 1.
    pub version: u64,
    /// Per million tokens.
    pub price: Price,
}

/// A price, and since when it was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastPrice {
    pub charged: Charged,
    pub created_at: Timestamp,
}

/// The columns of a price's amounts, in the order of `Rates::named`.
macro_rules! columns {
    () => {
        "input, cached_input, cache_write_5m, cache_write_1h, output, long_above, long_input, long_cached_input, \
         long_cache_write_5m, long_cache_write_1h, long_output, tiers"
    };
}
pub(super) use columns;

impl Store {
    /// Every price that a model had, newest first.
    pub async fn prices(&self, model: Uuid) -> sqlx::Result<Vec<PastPrice>> {
        sqlx::query(concat!(
            "SELECT version AS price_version, ",
            columns!(),
            ", created_at FROM prices WHERE model_id = $1 ORDER BY version DESC"
        ))
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
    pub async fn insert_price(
        &mut self,
        model: &Model,
        price: Price,
        now: Timestamp,
    ) -> sqlx::Result<Charged> {
        let tiers = serde_json::to_string(&price.tiers).map_err(|error| unfit("tiers", error))?;
        let mut query = sqlx::query(concat!(
            "INSERT INTO prices (version, model_id, model, provider, created_at, ",
            columns!(),
            ") SELECT COALESCE(MAX(version), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
             $16 FROM prices RETURNING version"
        ))
        .bind(model.id.to_string())
        .bind(model.name.as_str().to_owned())
        .bind(model.provider.clone())
        .bind(now.as_millisecond());
        for (_, rate) in price.rates.named() {
            query = query.bind(nanos(rate)?);
        }
        let long = price.long_context;
        let above = long.map(|long| i64::try_from(long.above)).transpose();
        query = query.bind(above.map_err(|error| unfit("long_above", error))?);
        for index in 0..price.rates.named().len() {
            let rate = long.and_then(|long| long.rates.named().get(index).map(|(_, rate)| *rate));
            query = query.bind(rate.map(nanos).transpose()?);
        }
        let row = query.bind(tiers).fetch_one(&mut *self.inner).await?;
        let version: i64 = row.try_get("version")?;
        Ok(Charged { version: u64::try_from(version).map_err(|error| unfit("version", error))?, price })
    }
}

/// The price in the columns `price_version` and those of `columns!`, unless the version is null.
pub(super) fn charged(row: &AnyRow) -> sqlx::Result<Option<Charged>> {
    let Some(version) = row.optional_count("price_version")? else { return Ok(None) };
    let long_context = match row.optional_count("long_above")? {
        Some(above) => Some(LongContext { above, rates: rates(row, "long_")? }),
        None => None,
    };
    let tiers: &str = row.try_get("tiers")?;
    let tiers = serde_json::from_str(tiers).map_err(|error| unfit("tiers", error))?;
    let price = Price { rates: rates(row, "")?, long_context, tiers };
    Ok(Some(Charged { version, price }))
}

/// The rates in the columns that begin so.
fn rates(row: &AnyRow, prefix: &str) -> sqlx::Result<Rates> {
    let nanos = |column| row.count(&format!("{prefix}{column}")).map(NanoUsd);
    Ok(Rates {
        input: nanos("input")?,
        cached_input: nanos("cached_input")?,
        cache_write_5m: nanos("cache_write_5m")?,
        cache_write_1h: nanos("cache_write_1h")?,
        output: nanos("output")?,
    })
}

fn nanos(amount: NanoUsd) -> sqlx::Result<i64> {
    i64::try_from(amount.0).map_err(|error| unfit("price", error))
}
