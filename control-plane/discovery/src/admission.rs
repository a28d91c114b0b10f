//! Who may open a stream.

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::source::Authenticator;

/// Lets a request pass that carries a bearer token of a gateway.
pub(crate) async fn admit<A: Authenticator>(authenticator: &A, metadata: &MetadataMap) -> Result<(), Status> {
    let Some(token) = bearer(metadata) else {
        return Err(Status::unauthenticated("no gateway token: send `authorization: Bearer <token>`"));
    };
    match authenticator.admit(token).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            tracing::warn!("gateway refused: wrong token");
            Err(Status::unauthenticated("the gateway token is wrong or was revoked"))
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "gateway token cannot be checked");
            Err(Status::unavailable("the gateway token cannot be checked now"))
        }
    }
}

fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let (scheme, token) = metadata.get("authorization")?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
