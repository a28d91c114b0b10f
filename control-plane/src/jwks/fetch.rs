//! Fetches a JWK set: encrypted unless it is on this machine, small, soon, without redirects, and only from
//! where it may.

use std::time::Duration;

use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use latchkey_core::identity::jwks_network::{JwksNetworkPolicy, jwks_url};
use latchkey_service::outbound::{self, Outbound};

/// How long an answer may take, whole.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const LARGEST: usize = 256 * 1024;
/// The longest `ETag` that is kept, in bytes.
const LONGEST_ETAG: usize = 256;

/// Fetches JWK sets.
#[derive(Clone)]
pub struct Fetcher(Outbound);

/// What a source has answered.
#[derive(Debug)]
pub struct Answer {
    /// The set; none: it is the one that the `ETag` names.
    pub body: Option<Vec<u8>>,
    /// Its version.
    pub etag: Option<String>,
    /// For how long it may be kept.
    pub fresh_for: Option<Duration>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It is not asked.
    #[error("the URL {0}")]
    Url(String),
    /// No answer in time.
    #[error("no response within {} seconds", PATIENCE.as_secs())]
    Late,
    /// It is not asked, or cannot be.
    #[error(transparent)]
    Outbound(#[from] outbound::Failed),
    /// Another status.
    #[error("it responded with {0}")]
    Status(StatusCode),
    /// Elsewhere.
    #[error("it responded with {0}: redirects are not followed, so use the URL that it redirects to")]
    Redirect(StatusCode),
    /// It broke off, or is too large.
    #[error("the response was cut off or is larger than {} KiB", LARGEST / 1024)]
    Body,
}

impl Fetcher {
    /// Trusts the certificate authorities of this machine, and asks what `reach` allows.
    ///
    /// # Errors
    /// There are no authorities.
    pub fn new(reach: JwksNetworkPolicy) -> anyhow::Result<Self> {
        Outbound::checked(move |_, address| Ok(reach.check(address)?)).map(Self)
    }

    /// Asks for the set at `url`, unless it is still the one of this `ETag`.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn fetch(&self, url: &str, etag: Option<&str>) -> Result<Answer, Failed> {
        let url = jwks_url(url).map_err(Failed::Url)?;
        let mut request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json, application/jwk-set+json")
            // A copy on the way may be older than the key that is missing.
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::USER_AGENT, "latchkey");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let request = request.body(Vec::new()).map_err(|error| Failed::Url(error.to_string()))?;
        tokio::time::timeout(PATIENCE, self.exchange(request)).await.unwrap_or(Err(Failed::Late))
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Answer, Failed> {
        let (parts, body) = self.0.open(request).await?.into_parts();
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let etag = text(header::ETAG).filter(|etag| etag.len() <= LONGEST_ETAG).map(str::to_owned);
        let fresh_for = max_age(&parts.headers);
        let body = match parts.status {
            StatusCode::OK => {
                let body = Limited::new(body, LARGEST).collect().await.map_err(|_| Failed::Body)?;
                Some(body.to_bytes().to_vec())
            }
            StatusCode::NOT_MODIFIED => None,
            status if status.is_redirection() => return Err(Failed::Redirect(status)),
            status => return Err(Failed::Status(status)),
        };
        Ok(Answer { body, etag, fresh_for })
    }
}

/// `max-age` of `Cache-Control`.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(header::CACHE_CONTROL)?.to_str().ok()?;
    let seconds = directives.split(',').find_map(|each| each.trim().strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}
