//! Why a request is refused, in the shape that the client's SDK expects.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::endpoint::Shape;
use crate::reply::Reply;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What it is, for programs.
    pub code: Code,
    /// What it is, for people; nothing secret.
    pub message: Cow<'static, str>,
    /// The methods that the path knows, where the method was wrong.
    pub allow: Option<&'static str>,
}

/// A stable code. Each belongs to one rule and has one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "`meaning` says what each one is")]
pub enum Code {
    InvalidJson,
    InvalidMultipart,
    ModelRequired,
    ModelListNotSupported,
    EndpointNotSupported,
    KeyInQuery,
    MissingApiKey,
    InvalidApiKey,
    ConflictingCredentials,
    KeyInactive,
    KeyExpired,
    KeyRevoked,
    KeyRotated,
    AppInactive,
    AppExpired,
    AppRevoked,
    NamedKeyRequired,
    IpNotAllowed,
    ModelNotAllowed,
    ProviderNotAllowed,
    UnknownEndpoint,
    ModelNotFound,
    MethodNotAllowed,
    InternalError,
    SnapshotNotReady,
    SyncStalled,
}

/// What is fixed about a code.
struct Row {
    status: u16,
    name: &'static str,
    rule: &'static str,
    meaning: &'static str,
}

const fn row(status: u16, name: &'static str, rule: &'static str, meaning: &'static str) -> Row {
    Row { status, name, rule, meaning }
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 26] = [
        Self::InvalidJson,
        Self::InvalidMultipart,
        Self::ModelRequired,
        Self::ModelListNotSupported,
        Self::EndpointNotSupported,
        Self::KeyInQuery,
        Self::MissingApiKey,
        Self::InvalidApiKey,
        Self::ConflictingCredentials,
        Self::KeyInactive,
        Self::KeyExpired,
        Self::KeyRevoked,
        Self::KeyRotated,
        Self::AppInactive,
        Self::AppExpired,
        Self::AppRevoked,
        Self::NamedKeyRequired,
        Self::IpNotAllowed,
        Self::ModelNotAllowed,
        Self::ProviderNotAllowed,
        Self::UnknownEndpoint,
        Self::ModelNotFound,
        Self::MethodNotAllowed,
        Self::InternalError,
        Self::SnapshotNotReady,
        Self::SyncStalled,
    ];

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// The code as clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The rule that decides it.
    #[must_use]
    pub fn rule(self) -> &'static str {
        self.row().rule
    }

    /// What it means, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// Whether the same request may succeed when it is sent again.
    #[must_use]
    pub fn may_be_retried(self) -> bool {
        self.status() == 503
    }

    #[rustfmt::skip]
    const fn row(self) -> Row {
        match self {
            Self::InvalidJson => row(400, "invalid_json", "request.body", "The body is not a JSON object, or has two models."),
            Self::InvalidMultipart => row(400, "invalid_multipart", "request.body", "The body is not a multipart form, or has two models."),
            Self::ModelRequired => row(400, "model_required", "request.model", "The request names no model."),
            Self::ModelListNotSupported => row(400, "model_list_not_supported", "request.model", "The request lists further models: name one, as model."),
            Self::EndpointNotSupported => row(400, "endpoint_not_supported", "provider.kind", "The model's provider does not serve this endpoint."),
            Self::KeyInQuery => row(400, "key_in_query", "credential", "A key in a URL is logged everywhere: send it in a header, and rotate this one."),
            Self::MissingApiKey => row(401, "missing_api_key", "credential", "The request has no API key."),
            Self::InvalidApiKey => row(401, "invalid_api_key", "credential", "The API key is malformed or unknown."),
            Self::ConflictingCredentials => row(401, "conflicting_credentials", "credential", "The request has two different API keys."),
            Self::KeyInactive => row(401, "key_inactive", "key.status", "The key has been deactivated."),
            Self::KeyExpired => row(401, "key_expired", "key.expiry", "The key has expired."),
            Self::KeyRevoked => row(401, "key_revoked", "key.status", "The key has been revoked."),
            Self::KeyRotated => row(401, "key_rotated", "key.rotation", "The key has been rotated and this is an old secret."),
            Self::AppInactive => row(401, "app_inactive", "app.status", "The key's app has been deactivated."),
            Self::AppExpired => row(401, "app_expired", "app.expiry", "The key's app has expired."),
            Self::AppRevoked => row(401, "app_revoked", "app.status", "The key's app has been revoked."),
            Self::NamedKeyRequired => row(401, "named_key_required", "app.credential_mode", "The app accepts named keys only."),
            Self::IpNotAllowed => row(403, "ip_not_allowed", "app.addresses", "The app may not be used from this address."),
            Self::ModelNotAllowed => row(403, "model_not_allowed", "app.models", "The app may not use this model."),
            Self::ProviderNotAllowed => row(403, "provider_not_allowed", "app.providers", "The app may not use any provider of this model."),
            Self::UnknownEndpoint => row(404, "unknown_endpoint", "endpoint", "The gateway does not serve this path."),
            Self::ModelNotFound => row(404, "model_not_found", "catalogue", "No enabled provider offers this model."),
            Self::MethodNotAllowed => row(405, "method_not_allowed", "endpoint", "The path does not take this method."),
            Self::InternalError => row(500, "internal_error", "gateway", "The gateway could not read or edit the request."),
            Self::SnapshotNotReady => row(503, "snapshot_not_ready", "snapshot", "The gateway has not yet been told what it needs to decide."),
            Self::SyncStalled => row(503, "sync_stalled", "heartbeat", "The gateway has stopped listening to the control plane."),
        }
    }
}

impl Denial {
    /// A refusal with a message of its own.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), allow: None }
    }

    /// The answer to the client.
    #[must_use]
    pub fn reply(&self, shape: Shape) -> Reply {
        let status = self.code.status();
        let mut headers = vec![("content-type", "application/json")];
        if self.code.may_be_retried() {
            headers.extend([("retry-after", "1"), ("retry-after-ms", "1000")]);
        } else {
            headers.push(("x-should-retry", "false"));
        }
        if status == 401 {
            headers.push(("www-authenticate", "Bearer"));
        }
        headers.extend(self.allow.map(|methods| ("allow", methods)));
        let body = self.body(shape).to_string().into_bytes();
        Reply { status, headers, body, code: Some(self.code), attribution: None }
    }

    fn body(&self, shape: Shape) -> Value {
        let (code, rule, message) = (self.code.as_str(), self.code.rule(), &self.message);
        match shape {
            Shape::OpenAi => {
                let kind = if self.code.status() < 500 { "invalid_request_error" } else { "server_error" };
                let param = matches!(self.code.rule(), "request.model" | "app.models" | "catalogue");
                let param = param.then_some("model");
                json!({"error": {"message": message, "type": kind, "param": param, "code": code, "rule": rule}})
            }
            Shape::Anthropic => {
                let kind = match self.code.status() {
                    401 => "authentication_error",
                    403 => "permission_error",
                    404 => "not_found_error",
                    500.. => "api_error",
                    _ => "invalid_request_error",
                };
                json!({"type": "error", "error": {"type": kind, "message": message, "code": code, "rule": rule}})
            }
        }
    }
}

/// The code with its meaning as the message.
impl From<Code> for Denial {
    fn from(code: Code) -> Self {
        Self::new(code, code.meaning())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn body(denial: &Denial, shape: Shape) -> Value {
        serde_json::from_slice(&denial.reply(shape).body).unwrap()
    }

    #[test]
    fn codes_are_all_listed_and_unlike() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(Code::SyncStalled as usize + 1, Code::ALL.len());
    }

    #[test]
    fn openai_clients_get_openais_shape() {
        assert_eq!(
            body(&Code::ModelNotAllowed.into(), Shape::OpenAi),
            json!({"error": {"message": "The app may not use this model.", "type": "invalid_request_error",
                "param": "model", "code": "model_not_allowed", "rule": "app.models"}})
        );
    }

    #[test]
    fn anthropic_clients_get_anthropics_shape() {
        assert_eq!(
            body(&Code::KeyRevoked.into(), Shape::Anthropic),
            json!({"type": "error", "error": {"type": "authentication_error",
                "message": "The key has been revoked.", "code": "key_revoked", "rule": "key.status"}})
        );
    }

    #[test]
    fn headers_say_whether_to_try_again() {
        let headers = |code| Denial::from(code).reply(Shape::OpenAi).headers;
        assert!(headers(Code::SnapshotNotReady).contains(&("retry-after-ms", "1000")));
        assert!(headers(Code::KeyExpired).contains(&("x-should-retry", "false")));
        assert!(headers(Code::KeyExpired).contains(&("www-authenticate", "Bearer")));
    }
}
