//! Tells gateways how many bytes the tokens of each model have, as records show it.

use std::time::Duration;

use latchkey_core::density::DensityHistogram;
use latchkey_store::Store;
use latchkey_store::ledger::density::DensityKey;
use latchkey_world::World;

/// How often the records are looked at.
const PERIOD: Duration = Duration::from_secs(60);
/// From so many samples on the older ones fade: they are halved.
const MOST_SAMPLES: u64 = 100_000;

/// Looks for as long as the process runs. Several replicas may: they find the same.
pub async fn keep_calibrated(store: Store, world: World) {
    let mut periods = tokio::time::interval(PERIOD);
    periods.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        periods.tick().await;
        if let Err(error) = calibrate(&store, &world).await {
            tracing::warn!(%error, "could not measure how dense tokens are");
        }
    }
}

/// Looks once; how many measurements have changed.
pub async fn calibrate(store: &Store, world: &World) -> latchkey_store::Result<usize> {
    let (told, samples) = (store.densities().await?, store.density_samples().await?);
    let measured = |(key, histogram): (&DensityKey, &DensityHistogram)| {
        let measured = histogram.bytes_per_token()?;
        (told.get(key) != Some(measured)).then(|| (key.clone(), measured))
    };
    let changed: Vec<_> = samples.iter().filter_map(measured).collect();
    let many: Vec<_> =
        samples.iter().filter(|(_, samples)| samples.samples() >= MOST_SAMPLES).map(|(key, _)| key).collect();
    if changed.is_empty() && many.is_empty() {
        return Ok(0);
    }
    let mut tx = store.begin().await?;
    if !changed.is_empty() {
        tx.catalogue_revision(world).await?;
    }
    for (key, measured) in &changed {
        tracing::info!(
            provider = key.provider,
            model = key.model,
            text = key.kind.as_str(),
            measured,
            "tokens measured"
        );
        tx.set_density(key, *measured, world.now()).await?;
    }
    for key in many {
        tx.halve_density_samples(key).await?;
    }
    tx.commit().await?;
    Ok(changed.len())
}
