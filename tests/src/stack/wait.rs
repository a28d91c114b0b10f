//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::bail;

const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer. A failed attempt is no answer; the last one is
/// told when the time is up.
///
/// # Errors
/// When there is no answer within the limit.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        let found = probe().await;
        if let Ok(Some(found)) = found {
            return Ok(found);
        }
        if start.elapsed() > limit {
            let reason = found.err().map(|error| format!(": {error:#}")).unwrap_or_default();
            bail!("waited {limit:?} for {what}{reason}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
