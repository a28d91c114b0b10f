//! How many bytes the tokens of a model have, as records show it.

use latchkey_core::density::{DensityHistogram, Quality, TextKind};
use latchkey_proto::density;
use latchkey_store::Store;
use latchkey_store::ledger::density::DensityKey;
use latchkey_store::models::Model;
use serde::Serialize;
use utoipa::ToSchema;

/// How many bytes of text a token of a model has: with it gateways estimate a request's input for
/// `tokens_per_minute`. Budgets do not rely on it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DensityView {
    /// `ascii`, or `other` for characters beyond: each byte counts as one of these.
    pub text: &'static str,
    /// What gateways count with: measured, or what is assumed until there are 100 requests to compare.
    pub bytes_per_token: f64,
    /// Whether it was measured.
    pub measured: bool,
    /// How many requests were compared: those of at least 1,000 bytes of text and nothing else.
    pub samples: u64,
    /// Bytes per token of those, on average; null where there are none.
    pub mean_bytes_per_token: Option<f64>,
    /// How many percent of those had more tokens than are counted with it: 5 at most once it is measured.
    pub beyond_percent: Option<f64>,
    /// How many tokens are counted for 100 that the provider reports, on average.
    pub counted_percent: Option<f64>,
}

const ASSUMED: [(TextKind, u32); 2] =
    [(TextKind::Ascii, density::ASSUMED.0), (TextKind::Other, density::ASSUMED.1)];

/// What is known of a model.
pub(super) async fn read(store: &Store, model: &Model) -> latchkey_store::Result<Vec<DensityView>> {
    let (provider, model) = (model.provider.as_str(), model.upstream_name.as_str());
    let told = store.densities_of(provider, model).await?;
    let samples = store.density_samples_of(provider, model).await?;
    let view = |(kind, assumed): (TextKind, u32)| {
        let key = DensityKey { provider: provider.to_owned(), model: model.to_owned(), kind };
        let measured = told.get(&key);
        let used = measured.unwrap_or(assumed);
        let quality = samples.get(&key).and_then(|samples| samples.quality(used));
        DensityView {
            text: kind.as_str(),
            bytes_per_token: f64::from(used) / 1_000.0,
            measured: measured.is_some(),
            samples: samples.get(&key).map_or(0, DensityHistogram::samples),
            mean_bytes_per_token: quality.map(|Quality { mean, .. }| f64::from(mean) / 1_000.0),
            beyond_percent: quality.map(|Quality { beyond, .. }| f64::from(beyond) / 100.0),
            counted_percent: quality.map(|Quality { counted, .. }| f64::from(counted) / 100.0),
        }
    };
    Ok(ASSUMED.into_iter().map(view).collect())
}

#[cfg(test)]
mod tests {
    use latchkey_filter_core::price::density::BytesPerToken;

    use super::*;

    #[test]
    fn what_is_shown_as_assumed_is_what_gateways_assume() {
        let [(TextKind::Ascii, ascii), (TextKind::Other, other)] = ASSUMED else { panic!("{ASSUMED:?}") };
        assert_eq!(BytesPerToken::measured(ascii, other), BytesPerToken::default());
    }
}
