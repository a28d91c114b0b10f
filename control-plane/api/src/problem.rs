//! Errors, as problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_service::refusal::{Refusal, seconds};
use latchkey_store::fault::{Fault, is_foreign_key_violation};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The status's name.
    pub title: &'static str,
    /// Stable, for programs.
    pub code: String,
    /// What is wrong and how to mend it.
    pub detail: String,
    /// The fields that are wrong, where fields are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Where somebody else has changed it since it was read: who, and what.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub changed_meanwhile: Option<Box<ChangedMeanwhile>>,
    /// After how many seconds to try again, as the header `retry-after` says.
    #[serde(skip)]
    pub retry_after: Option<i64>,
}

/// What was done to a resource since it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangedMeanwhile {
    /// Who did it, the oldest first: users by their addresses, tokens by their names.
    pub by: Vec<String>,
    /// The fields that were changed, as far as it is known.
    pub fields: Vec<String>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            code: code.to_owned(),
            detail: detail.into(),
            errors: Vec::new(),
            changed_meanwhile: None,
            retry_after: None,
        }
    }

    #[must_use]
    pub fn invalid(Invalid(errors): Invalid) -> Self {
        let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    /// The database does not do its work for now.
    #[must_use]
    pub fn unavailable(fault: Fault) -> Self {
        let detail = match fault {
            Fault::DiskFull => format!("{fault}: nothing was changed. Free some space, then try again"),
            Fault::ReadOnly => format!("{fault}: nothing was changed. Make it writable, then try again"),
            Fault::InputOutput => {
                format!("{fault}: nothing was changed. See the server log for details, then try again")
            }
            Fault::Busy => format!("{fault}: nothing was changed, try again"),
            // What is lost is perhaps only the answer to a commit.
            Fault::Away => {
                format!("{fault}: try again, and for creations use the same Idempotency-Key")
            }
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail)
    }

    /// A fault of ours; the log says which.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "an internal error occurred; see the server log for details";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            Refusal::Conflict { code, .. } => Self::new(StatusCode::CONFLICT, code, detail),
            Refusal::Invalid(invalid) => Self::invalid(invalid),
            Refusal::Unrecognised { code, .. } => Self::new(StatusCode::UNAUTHORIZED, code, detail),
            Refusal::Forbidden { code, .. } => Self::new(StatusCode::FORBIDDEN, code, detail),
            Refusal::TooMany { wait } => Self {
                retry_after: Some(seconds(wait)),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail)
            },
            Refusal::Unavailable { code, .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail),
            Refusal::Sealed(error) => {
                tracing::error!(%error, "a stored secret does not open");
                Self::internal()
            }
            Refusal::Database(error) => error.into(),
        }
    }
}

impl From<latchkey_store::Error> for Problem {
    fn from(error: latchkey_store::Error) -> Self {
        if let Some(fault) = Fault::of(&error) {
            tracing::warn!(%error, "{fault}");
            return Self::unavailable(fault);
        }
        if is_foreign_key_violation(&error) {
            let detail = "something that this refers to was removed, or something now refers to it: reload and try \
                 again";
            return Self::new(StatusCode::CONFLICT, "changed_meanwhile", detail);
        }
        tracing::error!(%error, "the database failed");
        Self::internal()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let unavailable = status == StatusCode::SERVICE_UNAVAILABLE;
        if let Some(seconds) = self.retry_after.or(unavailable.then_some(1)) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
