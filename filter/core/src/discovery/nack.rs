//! What a NACK says: why a response of the discovery stream is rejected, and which resources are to blame.

use std::fmt::{self, Write as _};

use latchkey_proto::discovery as wire;
use latchkey_proto::key::KeyHash;

use crate::snapshot::AppId;

/// Why a response is rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct Nack {
    /// Set when no resource is to blame.
    pub error_detail: String,
    /// The resources to blame.
    pub rejected: Vec<ResourceRejection>,
}

/// Why a resource is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRejection {
    pub resource: ResourceName,
    pub reason: String,
}

/// A resource, as the control plane names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceName {
    Catalogue,
    App(AppId),
    Key(KeyHash),
    /// Its id or hash is itself malformed.
    Nameless(String),
}

impl Nack {
    /// For a response of which no resource is to blame.
    pub fn whole(error_detail: impl Into<String>) -> Self {
        Self { error_detail: error_detail.into(), rejected: Vec::new() }
    }
}

impl From<ResourceRejection> for wire::Rejected {
    fn from(ResourceRejection { resource, reason }: ResourceRejection) -> Self {
        Self { resource: resource.to_string(), reason }
    }
}

impl fmt::Display for ResourceRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.resource, self.reason)
    }
}

impl ResourceName {
    pub(super) fn app(id: &[u8]) -> Self {
        AppId::try_from(id).map_or_else(|_| Self::Nameless(format!("app/{}", hex(id))), Self::App)
    }

    pub(super) fn key(hash: &[u8]) -> Self {
        KeyHash::try_from(hash).map_or_else(|_| Self::Nameless(format!("key/{}", hex(hash))), Self::Key)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue => f.write_str("catalogue"),
            Self::App(id) => write!(f, "app/{id}"),
            Self::Key(hash) => write!(f, "key/{hash}"),
            Self::Nameless(name) => f.write_str(name),
        }
    }
}

/// The first 32 bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(32).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
