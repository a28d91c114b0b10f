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
pub struct Provider {
    known: Mutex<CachedMetadata>,
    /// Held by the one that fetches.
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct CachedMetadata {
    metadata: Option<CoreProviderMetadata>,
    /// When it came; none where it may lack new keys.
    came_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
}

/// What is known for now.
enum MetadataFreshness {
    /// Good enough.
    Usable(CoreProviderMetadata),
    /// Good enough while it is fetched anew.
    Aged(CoreProviderMetadata),
    /// Not good enough.
    Lacking,
}

/// It failed a moment ago.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it failed to answer a moment ago")]
struct RecentlyFailed;

impl Provider {
    /// The metadata with the keys: as known, or fetched. While one request fetches it anew, and where that
    /// fails, the old one serves.
    pub async fn metadata(
        &self,
        issuer: &str,
        http: &Outbound,
        now: Timestamp,
    ) -> Result<CoreProviderMetadata, Box<dyn Error + Send + Sync>> {
        let _turn = match self.standing(now).await? {
            MetadataFreshness::Usable(metadata) => return Ok(metadata),
            MetadataFreshness::Aged(metadata) => match self.fetching.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(metadata),
            },
            MetadataFreshness::Lacking => self.fetching.lock().await,
        };
        // It may have come while this one waited.
        if let MetadataFreshness::Usable(metadata) = self.standing(now).await? {
            return Ok(metadata);
        }
        let fetched = CoreProviderMetadata::discover_async(IssuerUrl::new(issuer.to_owned())?, http).await;
        let mut known = self.known.lock().await;
        match fetched {
            Ok(metadata) => {
                *known =
                    CachedMetadata { metadata: Some(metadata.clone()), came_at: Some(now), failed_at: None };
                Ok(metadata)
            }
            Err(error) => {
                known.failed_at = Some(now);
                let Some(metadata) = &known.metadata else { return Err(error.into()) };
                tracing::warn!(%error, "the OpenID provider's metadata could not be fetched anew");
                Ok(metadata.clone())
            }
        }
    }

    /// Makes the next use fetch everything anew, unless that was done a moment ago; says whether.
    pub async fn may_have_new_keys(&self, now: Timestamp) -> bool {
        let mut known = self.known.lock().await;
        if known.came_at.is_some_and(|at| now.duration_since(at) < PAUSE) {
            return false;
        }
        known.came_at = None;
        true
    }

    async fn standing(&self, now: Timestamp) -> Result<MetadataFreshness, RecentlyFailed> {
        self.known.lock().await.standing(now)
    }
}

impl CachedMetadata {
    fn standing(&self, now: Timestamp) -> Result<MetadataFreshness, RecentlyFailed> {
        let within = |at: Option<Timestamp>, time| at.is_some_and(|at| now.duration_since(at) < time);
        let is_resting = within(self.failed_at, PAUSE);
        match &self.metadata {
            Some(metadata) if is_resting || within(self.came_at, FRESH) => {
                Ok(MetadataFreshness::Usable(metadata.clone()))
            }
            Some(metadata) if self.came_at.is_some() => Ok(MetadataFreshness::Aged(metadata.clone())),
            None if is_resting => Err(RecentlyFailed),
            _ => Ok(MetadataFreshness::Lacking),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;

    /// A provider that answers once; whoever asks it then takes a permit of the other one, and waits.
    async fn once(asked: Arc<Semaphore>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let (answers, of) = (Arc::new(Semaphore::new(1)), issuer.clone());
        let metadata = async move || {
            match answers.try_acquire() {
                Ok(answer) => answer.forget(),
                Err(_) => {
                    asked.add_permits(1);
                    std::future::pending::<()>().await;
                }
            }
            Json(json!({
                "issuer": of, "authorization_endpoint": of, "jwks_uri": format!("{of}/keys"),
                "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }))
        };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(async || Json(json!({ "keys": [] }))));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        issuer
    }

    #[tokio::test]
    async fn the_old_metadata_serves_while_it_is_fetched_anew() {
        let asked = Arc::new(Semaphore::new(0));
        let issuer = once(Arc::clone(&asked)).await;
        let (provider, http) = (Provider::default(), Outbound::new().unwrap());
        provider.metadata(&issuer, &http, Timestamp::UNIX_EPOCH).await.unwrap();
        let later = Timestamp::UNIX_EPOCH + FRESH;
        let other = async {
            let _asked = asked.acquire().await;
            provider.metadata(&issuer, &http, later).await
        };
        tokio::select! {
            _ = provider.metadata(&issuer, &http, later) => panic!("the provider does not answer"),
            served = other => assert!(served.is_ok()),
        }
    }
}
