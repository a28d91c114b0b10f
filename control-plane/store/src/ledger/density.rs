//! How dense the tokens of models were, and what gateways are told of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use latchkey_core::density::{self, Bin, Density, DensityHistogram, Sample, TextKind};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::bulk::Column::{Number, Text};
use super::bulk::{Bulk, Column};
use super::{count, stored};
use crate::records::Record;
use crate::row::unfit;
use crate::{Store, Tx};

/// A model by its provider and the provider's name for it, and a kind of text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DensityKey {
    pub provider: String,
    /// What the provider calls the model.
    pub model: String,
    pub kind: TextKind,
}

/// What gateways are told.
#[derive(Clone, Debug, Default)]
pub struct Densities(BTreeMap<DensityKey, u32>);

/// Samples of some records, to be added.
#[derive(Clone, Debug, Default)]
pub struct DensitySamples(BTreeMap<DensityKey, DensityHistogram>);

#[derive(Serialize)]
struct SampleRow<'a> {
    provider: &'a str,
    model: &'a str,
    text: &'static str,
    eighths: i64,
    samples: i64,
    bytes: i64,
    tokens: i64,
}

const SAMPLES: [Column; 7] = [
    Text("provider"),
    Text("model"),
    Text("text"),
    Number("eighths"),
    Number("samples"),
    Number("bytes"),
    Number("tokens"),
];

static ADD: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO density_samples ({columns}) {rows} ON CONFLICT (provider, model, text, eighths)
         DO UPDATE SET samples = density_samples.samples + excluded.samples,
         bytes = density_samples.bytes + excluded.bytes, tokens = density_samples.tokens + excluded.tokens",
        &SAMPLES,
    )
});

impl Densities {
    /// What is known of a model; none where that is nothing.
    #[must_use]
    pub fn of(&self, provider: &str, model: &str) -> Option<Density> {
        let of =
            |kind| self.get(&DensityKey { provider: provider.to_owned(), model: model.to_owned(), kind });
        let density = Density { ascii: of(TextKind::Ascii), other: of(TextKind::Other) };
        (density != Density::default()).then_some(density)
    }

    /// The same of one kind of text.
    #[must_use]
    pub fn get(&self, key: &DensityKey) -> Option<u32> {
        self.0.get(key).copied()
    }
}

impl DensitySamples {
    /// Adds what a record says, if it says something.
    pub fn add(&mut self, record: &Record, text: Option<density::Text>) {
        let Some(sample) = text.and_then(|text| Sample::of(text, record.input_tokens)) else { return };
        let (provider, model) = (record.provider.clone(), record.served_model.clone());
        let (provider, model) = (provider.unwrap_or_default(), model.unwrap_or_default());
        self.0.entry(DensityKey { provider, model, kind: sample.kind }).or_default().add(sample);
    }
}

impl Store {
    /// What gateways are told of every model.
    pub async fn densities(&self) -> sqlx::Result<Densities> {
        let all = "SELECT provider, model, text, bytes_per_token FROM densities";
        told(&sqlx::query(all).fetch_all(&self.pool).await?)
    }

    /// What gateways are told of one model.
    pub async fn densities_of(&self, provider: &str, model: &str) -> sqlx::Result<Densities> {
        let rows = sqlx::query(
            "SELECT provider, model, text, bytes_per_token FROM densities WHERE provider = $1 AND model = $2",
        )
        .bind(provider.to_owned())
        .bind(model.to_owned())
        .fetch_all(&self.pool)
        .await?;
        told(&rows)
    }

    pub async fn density_samples(&self) -> sqlx::Result<BTreeMap<DensityKey, DensityHistogram>> {
        let rows =
            sqlx::query("SELECT provider, model, text, eighths, samples, bytes, tokens FROM density_samples")
                .fetch_all(&self.pool)
                .await?;
        histograms(&rows)
    }

    /// The samples of one model.
    pub async fn density_samples_of(
        &self,
        provider: &str,
        model: &str,
    ) -> sqlx::Result<BTreeMap<DensityKey, DensityHistogram>> {
        let rows = sqlx::query(
            "SELECT provider, model, text, eighths, samples, bytes, tokens FROM density_samples
             WHERE provider = $1 AND model = $2",
        )
        .bind(provider.to_owned())
        .bind(model.to_owned())
        .fetch_all(&self.pool)
        .await?;
        histograms(&rows)
    }
}

impl Tx {
    pub async fn add_density_samples(&mut self, samples: &DensitySamples) -> sqlx::Result<()> {
        let rows = samples.0.iter().flat_map(|(key, histogram)| {
            histogram.0.iter().map(|(eighths, bin)| SampleRow {
                provider: &key.provider,
                model: &key.model,
                text: key.kind.as_str(),
                eighths: stored(*eighths),
                samples: stored(bin.samples),
                bytes: stored(bin.bytes),
                tokens: stored(bin.tokens),
            })
        });
        self.write(&ADD, &rows.collect::<Vec<_>>()).await
    }

    /// Tells gateways another density, once a revision of the catalogue is taken.
    pub async fn set_density(
        &mut self,
        key: &DensityKey,
        bytes_per_token: u32,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO densities (provider, model, text, bytes_per_token, measured_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (provider, model, text)
             DO UPDATE SET bytes_per_token = excluded.bytes_per_token, measured_at = excluded.measured_at",
        )
        .bind(key.provider.clone())
        .bind(key.model.clone())
        .bind(key.kind.as_str())
        .bind(i64::from(bytes_per_token))
        .bind(now.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Halves the samples of a model, so that later ones count for more.
    pub async fn halve_density_samples(&mut self, key: &DensityKey) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE density_samples SET samples = (samples + 1) / 2, bytes = (bytes + 1) / 2,
             tokens = (tokens + 1) / 2 WHERE provider = $1 AND model = $2 AND text = $3",
        )
        .bind(key.provider.clone())
        .bind(key.model.clone())
        .bind(key.kind.as_str())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}

fn told(rows: &[AnyRow]) -> sqlx::Result<Densities> {
    let read = |row: &AnyRow| -> sqlx::Result<_> {
        let told = count(row.try_get("bytes_per_token")?);
        Ok((key(row)?, u32::try_from(told).map_err(|error| unfit("bytes_per_token", error))?))
    };
    Ok(Densities(rows.iter().map(read).collect::<sqlx::Result<_>>()?))
}

fn histograms(rows: &[AnyRow]) -> sqlx::Result<BTreeMap<DensityKey, DensityHistogram>> {
    let mut all = BTreeMap::<_, DensityHistogram>::new();
    for row in rows {
        let number = |column| row.try_get(column).map(count);
        let bin = Bin { samples: number("samples")?, bytes: number("bytes")?, tokens: number("tokens")? };
        all.entry(key(row)?).or_default().0.insert(number("eighths")?, bin);
    }
    Ok(all)
}

fn key(row: &AnyRow) -> sqlx::Result<DensityKey> {
    let text: &str = row.try_get("text")?;
    let kind = TextKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    let kind = kind.ok_or_else(|| unfit("text", "no kind of text is called so"))?;
    Ok(DensityKey { provider: row.try_get("provider")?, model: row.try_get("model")?, kind })
}
