//! An answer of the gateway's own.

use std::borrow::Cow;

use serde::Serialize;

use crate::answer::denial::Code;
use crate::guardrails::InspectionReport;
use crate::identity::CallerIdentity;
use crate::snapshot::{AppId, KeyId, KeyRecord, UserId};

/// What the client gets instead of an upstream's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// JSON.
    pub body: Vec<u8>,
    /// Set on a denial.
    pub code: Option<Code>,
    /// None where the key is unknown.
    pub attribution: Option<Attribution>,
    /// The endpoint's name in records; empty where the key is unknown.
    pub endpoint: &'static str,
    /// The model asked for; empty where it was not read.
    pub model: String,
    /// The provider that would have served it; empty where unknown.
    pub provider: String,
    /// What guardrails did before; none where they did not look.
    pub inspection: Option<Box<InspectionReport>>,
}

/// Whose request it is, by the key's record and by the identity that the app accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    pub app: AppId,
    pub key: KeyId,
    pub user: Option<UserId>,
    /// How the sender is known.
    pub identity: CallerIdentity,
    /// Whether the request used a secret that a rotation has replaced.
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
            inspection: None,
        }
    }

    /// After guardrails have looked at the request, where they have.
    #[must_use]
    pub fn inspected(mut self, report: Option<Box<InspectionReport>>) -> Self {
        let header = report.as_ref().and_then(|report| report.header());
        self.headers.extend(header.map(|(name, value)| (name, value.into())));
        Self { inspection: report, ..self }
    }

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
