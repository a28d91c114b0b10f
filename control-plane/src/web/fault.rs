//! Problems, as pages that help.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::frame::{Frame, forget_flash, redirect};
use super::html;
use crate::api::Api;
use crate::api::problem::Problem;

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    frame: Frame,
    problem: Problem,
}

/// No script or style but our own files, and no frame of another site's around a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The one place where pages' problems are answered: whoever must sign in is led there and back, all else is
/// said in words. The API's own paths answer as they do.
pub async fn pages(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let mut response = next.run(request).await;
    if is_for_programs(uri.path()) {
        return response;
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let mut page = answer(&api, &method, &uri, &headers, problem);
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

fn is_for_programs(path: &str) -> bool {
    ["/api/", "/metrics", "/healthz", "/readyz", "/assets/"].iter().any(|prefix| path.starts_with(prefix))
}

fn answer(api: &Api, method: &Method, uri: &Uri, headers: &HeaderMap, problem: Problem) -> Response {
    if problem.status == StatusCode::UNAUTHORIZED.as_u16() && uri.path() != "/sign-in" {
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
        StatusCode::SERVICE_UNAVAILABLE => "Not available just now",
        _ if status.is_server_error() => "Something went wrong",
        _ => "That did not work",
    };
    let frame = Frame::outside(title, headers, &api.world);
    match html(&FaultPage { frame, problem }) {
        Ok(page) => (status, page).into_response(),
        Err(problem) => problem.into_response(),
    }
}
