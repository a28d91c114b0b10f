//! `/auth/oidc`: the way of browsers to the OpenID provider and back.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use latchkey_core::local_path::LocalPath;
use latchkey_service::action;
use latchkey_service::action::Refusal;
use latchkey_service::sign_in::Cookie;
use latchkey_service::sign_in::oidc::{Callback, Oidc, PATIENCE};
use serde::Deserialize;

use super::Api;
use super::body::Query;
use super::pagination::bad_query;
use super::problem::Problem;
use super::sign_in::{UnauthenticatedClient, session_cookie, sign_in_context};

#[derive(Clone, Debug, Deserialize)]
pub struct OidcSignInQuery {
    return_to: Option<String>,
}

/// Sends the browser to the provider.
pub async fn begin(
    State(api): State<Api>,
    Query(begin): Query<OidcSignInQuery>,
) -> Result<Response, Problem> {
    let return_to = match begin.return_to.as_deref() {
        None => LocalPath::home(),
        Some(path) => LocalPath::try_from(path).map_err(|error| bad_query(format!("`return_to` {error}")))?,
    };
    let oidc = configured(&api)?;
    let departure = oidc.begin(&api.world, &api.master, &api.sign_in.public_url, &return_to).await?;
    let cookie = api.sign_in.set_cookie(Cookie::Pending, &departure.pending, PATIENCE);
    Ok(redirect(departure.to.as_str(), [Some(cookie), None]))
}

/// Takes in the browser that the provider sends back, and sends it on to where it was going.
pub async fn finish(
    State(api): State<Api>,
    UnauthenticatedClient(client): UnauthenticatedClient,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Problem> {
    let oidc = configured(&api)?;
    let pending = api.sign_in.cookie(Cookie::Pending, &headers);
    let over = api.sign_in.clear_cookie(Cookie::Pending);
    let arrived = async {
        let (profile, return_to) =
            oidc.finish(&api.world, &api.master, &api.sign_in.public_url, pending, callback).await?;
        let begun =
            action::sign_in::by_oidc(sign_in_context(&api, &client), oidc.settings(), profile).await?;
        Ok::<_, Refusal>((begun, return_to))
    };
    match arrived.await {
        Ok((begun, return_to)) => {
            Ok(redirect(return_to.as_str(), [Some(session_cookie(&api, &begun)), Some(over)]))
        }
        Err(refusal) => {
            let problem = Problem::from(refusal);
            Ok((AppendHeaders([(header::SET_COOKIE, over)]), problem).into_response())
        }
    }
}

fn configured(api: &Api) -> Result<&Oidc, Problem> {
    let detail = "no OpenID provider is configured: sign in with a password, or set LATCHKEY_OIDC_ISSUER";
    api.sign_in
        .oidc
        .as_ref()
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "oidc_not_configured", detail))
}

/// Codes and states stay out of `Referer`.
fn redirect(to: &str, cookies: [Option<HeaderValue>; 2]) -> Response {
    let Ok(to) = HeaderValue::try_from(to) else { return Problem::internal().into_response() };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
