//! An answer that the gateway gives by itself.

use std::borrow::Cow;

use serde::Serialize;

use crate::answer::denial::Code;
use crate::identity::CallerIdentity;
use crate::snapshot::{AppId, KeyId, KeyRecord, UserId};

/// What is sent to the client instead of forwarding its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers beside it.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// JSON.
    pub body: Vec<u8>,
    /// Set on a denial.
    pub code: Option<Code>,
    /// Whose request it was, where the key was found.
    pub attribution: Option<Attribution>,
    /// What records call what was asked; empty where the key was not found.
    pub endpoint: &'static str,
    /// The model that was asked for; empty where that was not read.
    pub model: String,
    /// Who would have served it, as records call them; empty where that is not known.
    pub provider: String,
}

/// Whose request it is: by the stored record, and by what the app accepts of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The app.
    pub app: AppId,
    /// The key.
    pub key: KeyId,
    /// A named key's user.
    pub user: Option<UserId>,
    /// How it is known who sent it.
    pub identity: CallerIdentity,
    /// Whether the key came with a secret that was replaced.
    pub old_secret: bool,
}

impl Reply {
    /// 200 with `value` as JSON.
    #[must_use]
    pub fn ok(value: &impl Serialize) -> Self {
        let headers = vec![("content-type", "application/json".into())];
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self {
            status: 200,
            headers,
            body,
            code: None,
            attribution: None,
            endpoint: "",
            model: String::new(),
            provider: String::new(),
        }
    }

    /// The same answer, attributed.
    #[must_use]
    pub fn attributed(self, attribution: Attribution, endpoint: &'static str) -> Self {
        Self { attribution: Some(attribution), endpoint, ..self }
    }
}

impl From<&KeyRecord> for Attribution {
    fn from(record: &KeyRecord) -> Self {
        Self {
            app: record.app,
            key: record.key,
            user: record.user,
            identity: CallerIdentity::of(record),
            old_secret: record.retires.is_some(),
        }
    }
}
