//! Requests that the control plane makes itself: short, small, encrypted, without redirects, and only to addresses
//! that may be asked. A name is resolved once, and what is connected to is an address that was checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::http::{Request, Response, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use tower::Service;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const LARGEST: usize = 1024 * 1024;

/// Whatever went wrong.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Allows an address that a host has, or says why not.
type AddressCheck = Arc<dyn Fn(&str, IpAddr) -> Result<(), Failure> + Send + Sync>;

/// A client.
#[derive(Clone)]
pub struct Outbound {
    client: Client<HttpsConnector<HttpConnector<CheckingResolver>>, Full<Bytes>>,
    check: AddressCheck,
}

/// Finds a host's addresses, if all of them may be asked.
#[derive(Clone)]
struct CheckingResolver(AddressCheck);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It would go over the network in plaintext.
    #[error("{0} would be requested in plaintext: use https")]
    Plaintext(String),
    /// It is not asked.
    #[error(transparent)]
    Refused(Failure),
    /// No answer in time.
    #[error("no response within {} seconds", PATIENCE.as_secs())]
    Late,
    /// No connection.
    #[error("no connection: {}", cause(.0))]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// An answer that broke off or is too large.
    #[error("the response could not be read: {0}")]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
}

impl Outbound {
    /// Trusts the certificate authorities of this machine, and asks any address: for URLs that whoever runs Latchkey
    /// has set.
    ///
    /// # Errors
    /// There are no authorities.
    pub fn new() -> anyhow::Result<Self> {
        Self::checked(|_, _| Ok(()))
    }

    /// The same, asking only addresses of hosts that pass `check`: for URLs that others name.
    ///
    /// # Errors
    /// There are no authorities.
    pub fn checked(
        check: impl Fn(&str, IpAddr) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let check: AddressCheck = Arc::new(check);
        let mut http = HttpConnector::new_with_resolver(CheckingResolver(Arc::clone(&check)));
        http.enforce_http(false);
        http.set_connect_timeout(Some(PATIENCE));
        let https = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("this machine has no certificate authorities: install ca-certificates")?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(https), check })
    }

    /// Sends a request, and gives the answer as it begins, whatever its status and however long that takes.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn open(&self, request: Request<Vec<u8>>) -> Result<Response<Body>, Failed> {
        if !is_private(request.uri()) {
            return Err(Failed::Plaintext(request.uri().host().unwrap_or_default().to_owned()));
        }
        // Names are checked when they are resolved.
        if let Some(address) = request.uri().host().and_then(literal) {
            (self.check)(&address.to_string(), address).map_err(Failed::Refused)?;
        }
        let response = self.client.request(request.map(|body| Full::new(body.into()))).await;
        Ok(response.map_err(Failed::Unreachable)?.map(Body::new))
    }

    /// Sends a request and reads the answer whole, whatever its status.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Failed> {
        let exchange = async {
            let (parts, body) = self.open(request).await?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(Failed::Unreadable)?;
            Ok(Response::from_parts(parts, body.to_bytes().into()))
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(Failed::Late))
    }
}

impl<'c> openidconnect::AsyncHttpClient<'c> for Outbound {
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, Failed>> + Send + 'c>>;

    fn call(&'c self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}

impl Service<Name> for CheckingResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let check = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &addresses {
                check(name.as_str(), address.ip())?;
            }
            Ok(addresses.into_iter())
        })
    }
}

/// The address that a URL names in the place of a host's name.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// The innermost reason.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether nobody between can read along: encrypted, or on this machine.
fn is_private(uri: &Uri) -> bool {
    let is_here = |host: &str| literal(host).map_or(host == "localhost", |address| address.is_loopback());
    uri.scheme_str() == Some("https") || uri.host().is_some_and(is_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_stays_on_this_machine() {
        for (uri, private) in [
            ("https://id.example.com/x", true),
            ("http://127.0.0.1:1/x", true),
            ("http://[::1]:1/x", true),
            ("http://localhost/x", true),
            ("http://id.example.com/x", false),
            ("http://localhost.example.com/x", false),
            ("http://10.0.0.1/x", false),
        ] {
            assert_eq!(is_private(&uri.parse().unwrap()), private, "{uri}");
        }
    }
}
