//! Fetches a JWK set: encrypted unless it is on this machine, small, soon, without redirects, and only from
//! where it may.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use latchkey_core::identity::jwks_network::{JwksNetworkPolicy, RefusedJwksAddress, jwks_url};
use tower::Service;
use url::Host;

/// How long an answer may take, whole.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const LARGEST: usize = 256 * 1024;
/// The longest `ETag` that is kept, in bytes.
const LONGEST_ETAG: usize = 256;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Fetches JWK sets.
#[derive(Clone)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>,
    reach: JwksNetworkPolicy,
}

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
    /// It is not asked.
    #[error(transparent)]
    RefusedJwksAddress(#[from] RefusedJwksAddress),
    /// No answer in time.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    Late,
    /// No connection.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Another status.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// Elsewhere.
    #[error("it answers {0}: redirects are not followed, give the URL that it leads to")]
    Redirect(StatusCode),
    /// It broke off, or is too large.
    #[error("the answer broke off or is larger than {} KiB", LARGEST / 1024)]
    Body,
}

impl Fetcher {
    /// Trusts the certificate authorities of this machine, and asks what `reach` allows.
    ///
    /// # Errors
    /// There are no authorities.
    pub fn new(reach: JwksNetworkPolicy) -> anyhow::Result<Self> {
        let mut http = HttpConnector::new_with_resolver(Resolver(reach));
        http.enforce_http(false);
        http.set_connect_timeout(Some(PATIENCE));
        let https = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("this machine has no certificate authorities: install ca-certificates")?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(https), reach })
    }

    /// Asks for the set at `url`, unless it is still the one of this `ETag`.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn fetch(&self, url: &str, etag: Option<&str>) -> Result<Answer, Failed> {
        let url = jwks_url(url).map_err(Failed::Url)?;
        // Names are checked when they are resolved.
        match url.host() {
            Some(Host::Ipv4(address)) => self.reach.check(address.into())?,
            Some(Host::Ipv6(address)) => self.reach.check(address.into())?,
            _ => {}
        }
        let mut request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json, application/jwk-set+json")
            // A copy on the way may be older than the key that is missing.
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::USER_AGENT, "latchkey");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let request = request.body(Empty::new()).map_err(|error| Failed::Url(error.to_string()))?;
        tokio::time::timeout(PATIENCE, self.exchange(request)).await.unwrap_or(Err(Failed::Late))
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<Answer, Failed> {
        let response =
            self.client.request(request).await.map_err(|error| Failed::Unreachable(cause(&error)))?;
        let (parts, body) = response.into_parts();
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

/// The innermost reason: the outer ones say nothing more.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}

/// Finds a host's addresses, if all of them may be asked.
#[derive(Clone, Copy)]
struct Resolver(JwksNetworkPolicy);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self(reach) = *self;
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &addresses {
                reach.check(address.ip())?;
            }
            Ok(addresses.into_iter())
        })
    }
}
