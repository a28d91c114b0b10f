//! What the provider says of itself: fetched when it is needed first, kept for an hour.

use std::error::Error;

use jiff::{SignedDuration, Timestamp};
use openidconnect::IssuerUrl;
use openidconnect::core::CoreProviderMetadata;
use tokio::sync::Mutex;

use crate::outbound::Outbound;

/// After so long it is fetched again.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// It is fetched no more often than this, whether it came or not.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// The metadata and keys of a provider, once they are known.
#[derive(Debug, Default)]
pub struct Provider(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    metadata: Option<(CoreProviderMetadata, Timestamp)>,
    failed_at: Option<Timestamp>,
}

/// It failed a moment ago.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it failed to answer a moment ago")]
struct Resting;

impl Provider {
    /// The metadata with the keys: as known, or fetched. Where it cannot be fetched anew, the old
    /// one serves.
    pub async fn metadata(
        &self,
        issuer: &str,
        http: &Outbound,
        now: Timestamp,
    ) -> Result<CoreProviderMetadata, Box<dyn Error + Send + Sync>> {
        let mut known = self.0.lock().await;
        let resting = known.failed_at.is_some_and(|at| now.duration_since(at) < PAUSE);
        match &known.metadata {
            Some((metadata, at)) if resting || now.duration_since(*at) < FRESH => return Ok(metadata.clone()),
            None if resting => return Err(Resting.into()),
            _ => {}
        }
        match CoreProviderMetadata::discover_async(IssuerUrl::new(issuer.to_owned())?, http).await {
            Ok(metadata) => {
                known.metadata = Some((metadata.clone(), now));
                known.failed_at = None;
                Ok(metadata)
            }
            Err(error) => {
                known.failed_at = Some(now);
                let Some((metadata, _)) = &known.metadata else { return Err(error.into()) };
                tracing::warn!(%error, "the OpenID provider's metadata could not be fetched anew");
                Ok(metadata.clone())
            }
        }
    }

    /// Makes the next use fetch everything anew, unless that was done a moment ago; says whether.
    pub async fn may_have_new_keys(&self, now: Timestamp) -> bool {
        let mut known = self.0.lock().await;
        let Some((_, at)) = &mut known.metadata else { return true };
        if now.duration_since(*at) < PAUSE {
            return false;
        }
        *at = Timestamp::MIN;
        true
    }
}
