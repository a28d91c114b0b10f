//! Who may open a stream, and keep it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::source::{Authenticator, Claim};

/// How often the token of an open stream is checked again.
const RECHECK: Duration = Duration::from_secs(60);

/// A stream's right to be open.
#[derive(Debug)]
pub struct Admission<A> {
    authenticator: Arc<A>,
    token: SecretString,
}

impl<A: Authenticator> Admission<A> {
    /// Lets a request pass that carries a bearer token of a gateway.
    ///
    /// # Errors
    /// The status that refuses the stream.
    pub async fn check(authenticator: &Arc<A>, metadata: &MetadataMap) -> Result<Self, Status> {
        let Some(token) = bearer(metadata) else {
            return Err(Status::unauthenticated("no gateway token: send `authorization: Bearer <token>`"));
        };
        match authenticator.admit(token).await {
            Ok(true) => Ok(Self { authenticator: Arc::clone(authenticator), token: token.into() }),
            Ok(false) => {
                tracing::warn!("gateway refused: wrong token");
                Err(refusal())
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "gateway token cannot be checked");
                Err(Status::unavailable("the gateway token cannot be checked now"))
            }
        }
    }

    /// Lets a stream go on whose peer says that it is this gateway.
    ///
    /// # Errors
    /// The status that ends the stream: the token is another gateway's, or that cannot be told.
    pub async fn claim(&self, gateway: &str) -> Result<(), Status> {
        match self.authenticator.claim(self.token.expose_secret(), gateway).await {
            Ok(Claim::Granted) => Ok(()),
            Ok(Claim::BoundTo(bound)) => {
                tracing::warn!(gateway, bound, "gateway refused: its token is bound to another name");
                let what =
                    "the gateway token is bound to another gateway: give each Envoy a token of its own";
                Err(Status::permission_denied(what))
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "gateway token cannot be checked");
                Err(Status::unavailable("the gateway token cannot be checked now"))
            }
        }
    }

    /// Resolves once the token is no longer admitted, with the status that ends the stream.
    ///
    /// While the token cannot be checked the stream stays: gateways outlive a database that is away.
    pub async fn lost(&self) -> Status {
        loop {
            tokio::time::sleep(RECHECK).await;
            match self.authenticator.admit(self.token.expose_secret()).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!("gateway let go: its token is no longer admitted");
                    return refusal();
                }
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "token of an open stream cannot be checked"
                    );
                }
            }
        }
    }
}

fn refusal() -> Status {
    Status::unauthenticated("the gateway token is wrong or was revoked")
}

fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let (scheme, token) = metadata.get("authorization")?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
