//! Problems, as pages that help.

use askama::Template;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use latchkey_api::Api;
use latchkey_api::problem::Problem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::frame::{Frame, Visit, forget_flash, redirect};
use super::html;

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    frame: Frame,
    problem: Problem,
}

/// No script or style but our own files, and no frame of another site's around a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Turns the problems of pages into pages. Someone who must sign in is redirected there and back; any other
/// problem is shown in words. The API's own paths, and every path that is asked by a program, keep their answers.
pub async fn pages(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let mut response = next.run(request).await;
    if is_for_programs(uri.path()) {
        return response;
    }
    if is_for_people(&headers)
        && let Some(problem) = response.extensions_mut().remove::<Problem>()
    {
        let mut page = answer(&api, &method, &uri, &headers, problem).await;
        let cookies = response.headers().get_all(header::SET_COOKIE).into_iter().cloned();
        page.headers_mut().extend(cookies.map(|cookie| (header::SET_COOKIE, cookie)));
        response = page;
    }
    forget_flash(&headers, &mut response);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // The way to the OpenID provider has a stricter one.
    let same_origin = HeaderValue::from_static("same-origin");
    response.headers_mut().entry(header::REFERRER_POLICY).or_insert(same_origin);
    response
}

/// Browsers ask for HTML.
fn is_for_people(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

fn is_for_programs(path: &str) -> bool {
    ["/api/", "/metrics", "/healthz", "/readyz", "/assets/"].iter().any(|prefix| path.starts_with(prefix))
}

async fn answer(api: &Api, method: &Method, uri: &Uri, headers: &HeaderMap, problem: Problem) -> Response {
    let signing_in = uri.path() == "/sign-in" || uri.path().starts_with("/auth/");
    if problem.status == StatusCode::UNAUTHORIZED.as_u16() && !signing_in {
        let wanted = uri.path_and_query().map(|wanted| wanted.as_str()).filter(|_| method.is_safe());
        let wanted = wanted.filter(|wanted| *wanted != "/");
        let back =
            wanted.map(|wanted| format!("?return_to={}", utf8_percent_encode(wanted, NON_ALPHANUMERIC)));
        return redirect(&format!("/sign-in{}", back.unwrap_or_default()));
    }
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::SERVICE_UNAVAILABLE => "Temporarily unavailable",
        _ if status.is_server_error() => "Something went wrong",
        _ => "That didn't work",
    };
    let frame = frame(api, title, headers).await;
    match html(&FaultPage { frame, problem }) {
        Ok(page) => (status, page).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// The frame of the signed-in user, with their navigation; without a session, the one of the sign-in page.
async fn frame(api: &Api, title: &str, headers: &HeaderMap) -> Frame {
    let mut request = axum::http::Request::new(());
    request.headers_mut().clone_from(headers);
    match Visit::from_request_parts(&mut request.into_parts().0, api).await {
        Ok(visit) => visit.frame(title),
        Err(_) => Frame::outside(title, headers, &api.world),
    }
}
