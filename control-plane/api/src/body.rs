//! What comes with a request: JSON bodies, paths and queries, refused with the field's path.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use latchkey_core::invalid::FieldError;
use serde::de::DeserializeOwned;

use super::pagination::bad_query;
use super::problem::Problem;

/// Tells a field that is null from one that is missing; and one that may be missing, but not null.
pub use latchkey_core::limits::{given, nullable};

#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

/// A JSON body that may be null, or missing altogether.
#[derive(Clone, Debug)]
pub struct OptionalJsonBody<T>(pub T);

/// No body: what comes as one is not looked at.
#[derive(Clone, Copy, Debug)]
pub struct NoBody;

#[derive(Clone, Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct PathParams<T>(pub T);

#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // No text that is stored has this character, and PostgreSQL takes none that has.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(bad_query("the query contains a NUL character"));
        }
        let axum::extract::Query(query) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(
                |value| value.split(';').next().is_some_and(|kind| kind.trim() == "application/json"),
            );
        if !json {
            let detail = "send JSON with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail));
        }
        parse(&bytes(request, state).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        Ok(Self(parse::<Option<T>>(&bytes)?.unwrap_or_default()))
    }
}

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(_: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self)
    }
}

pub async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        let detail = "the body is incomplete or too large: the limit is 256 KiB, or 17 MiB for `explain`";
        Problem::new(rejection.into_response().status(), "body_unreadable", detail)
    })
}

/// Reads JSON; an error names the field.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Else the values of an array would be taken for the fields, in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::invalid(FieldError::new("", "must be an object, not an array").into()));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            let path = if path == "." { String::new() } else { path };
            return Problem::invalid(FieldError::new(path, inner).into());
        }
        Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is not valid JSON: {inner}"))
    })?;
    json.end().map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is not valid JSON: {error}"))
    })?;
    Ok(value)
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "not found: an ID in the path is malformed")
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", rejection.body_text())
    }
}
