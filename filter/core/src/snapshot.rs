//! What a gateway knows, parsed from the wire: keys, apps' policies and the catalogue.

mod catalogue;
mod detector;
mod glob;
mod key;
mod limits;
mod mcp;
mod policy;
mod routing;

use std::fmt;

use uuid::Uuid;

pub use catalogue::{Catalogue, Offer, Provider, ProviderKind};
pub use detector::{Detector, LONGEST_TIMEOUT_MS, MOST_TEXT_BYTES};
pub use glob::Glob;
pub use key::KeyRecord;
pub use latchkey_proto::bucket::{BucketKind, Unit};
pub use limits::{BucketLimit, Limits};
pub use mcp::{McpEntry, McpServer, PROVIDER_PREFIX, SessionKey, ToolHash, ToolPin, ToolPins};
pub use policy::{AppPolicy, CredentialMode, Selection};
pub use routing::{Failover, MOST_ATTEMPTS, RoutingBalance, RoutingGroup, RoutingTarget, RoutingTier};

use latchkey_proto::discovery as wire;

/// A key's id: stable over rotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub Uuid);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppId(pub Uuid);

/// The id of the user to whom a named key was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserId(pub Uuid);

/// A moment: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMs(pub i64);

/// A point in the control plane's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Grows with each change.
    pub revision: u64,
    /// Random for each revision; at most 64 bytes.
    pub tag: Vec<u8>,
}

/// Whether a key or an app is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    /// Switched off; it may come back.
    Inactive,
    Revoked,
    /// Of a named key: its user may not use the app for the time being.
    Suspended,
}

/// Why a resource on the wire is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResource {
    /// An id or a hash of the wrong length.
    #[error("{field} has {actual} bytes instead of {expected}")]
    Length {
        /// The field's name on the wire.
        field: &'static str,
        /// How many bytes it must have.
        expected: usize,
        actual: usize,
    },
    /// A field that must be set, or an enum's unspecified or unknown value.
    #[error("{0} is not set, or not to a known value")]
    Unset(&'static str),
    #[error("{0} is negative")]
    Negative(&'static str),
    /// A name that is empty or has a control character.
    #[error("{0} is empty or has a control character")]
    Name(&'static str),
    #[error("{0} is 0")]
    Zero(&'static str),
    /// Two buckets of one kind, by its number on the wire.
    #[error("limits.buckets has kind {0} twice")]
    LimitedTwice(i32),
    /// Limits of its own on a key that shares its app's.
    #[error("limits are set on an app key")]
    AppKeyLimits,
    /// A key for JWTs that is malformed, weak, or of an unknown algorithm; by its kid.
    #[error("identity.jwt.keys: the key `{0}` cannot be used")]
    JwtKey(String),
    /// A rule, an exception or a custom category that this gateway cannot follow.
    #[error("guardrails: {0}")]
    Guardrails(String),
    /// A prompt that cannot be referred to.
    #[error("prompts: {0}")]
    Prompts(String),
    /// An entry of the IP allow-list.
    #[error("addresses: `{0}` is neither an address nor a CIDR range")]
    Range(String),
    /// A provider's field that cannot be sent on.
    #[error("provider `{provider}`: {field} is malformed")]
    Provider {
        provider: String,
        /// The field's name on the wire.
        field: &'static str,
    },
    /// Two providers of one name.
    #[error("two providers are named `{0}`")]
    TwoProviders(String),
    /// A model of a provider that the catalogue lacks.
    #[error("model `{model}` names the provider `{provider}`, which is not in the catalogue")]
    NoProvider {
        model: String,
        /// The provider that it names.
        provider: String,
    },
    /// An MCP server's field that cannot be sent on.
    #[error("MCP server `{server}`: {field} is malformed")]
    McpServer {
        server: String,
        /// The field's name on the wire.
        field: &'static str,
    },
    /// Two MCP servers of one name.
    #[error("two MCP servers are named `{0}`")]
    TwoMcpServers(String),
    /// A tool of an MCP server that has two pins.
    #[error("an MCP server's tool `{0}` is pinned twice")]
    PinnedTwice(String),
    /// A rule about the arguments of a tool that this gateway cannot follow.
    #[error("mcp_argument_rules: {0}")]
    ArgumentRule(String),
    /// A routing group that this gateway cannot follow.
    #[error("routing group `{group}`: {field} is malformed")]
    RoutingGroup {
        group: String,
        /// The field's name on the wire.
        field: &'static str,
    },
    /// Two routing groups of one name.
    #[error("two routing groups are named `{0}`")]
    TwoRoutingGroups(String),
    /// A detector's field that is malformed, or beyond what gateways take.
    #[error("detector `{detector}`: {field} is malformed")]
    Detector {
        detector: String,
        /// The field's name on the wire.
        field: &'static str,
    },
    /// Two detectors of one name.
    #[error("two detectors are named `{0}`")]
    TwoDetectors(String),
    /// A model that one provider offers twice.
    #[error("provider `{provider}` offers model `{model}` twice")]
    OfferedTwice { model: String, provider: String },
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<&[u8]> for AppId {
    type Error = InvalidResource;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidResource> {
        id(bytes, "app_id").map(Self)
    }
}

impl Status {
    /// Reads a status from the wire; `field` names it in the error.
    fn read(status: i32, field: &'static str) -> Result<Self, InvalidResource> {
        match wire::Status::try_from(status) {
            Ok(wire::Status::Active) => Ok(Self::Active),
            Ok(wire::Status::Inactive) => Ok(Self::Inactive),
            Ok(wire::Status::Revoked) => Ok(Self::Revoked),
            Ok(wire::Status::Suspended) => Ok(Self::Suspended),
            Ok(wire::Status::Unspecified) | Err(_) => Err(InvalidResource::Unset(field)),
        }
    }
}

/// A UUID of exactly 16 bytes.
pub(crate) fn id(bytes: &[u8], field: &'static str) -> Result<Uuid, InvalidResource> {
    Uuid::from_slice(bytes).map_err(|_| InvalidResource::Length { field, expected: 16, actual: bytes.len() })
}

/// A moment of which 0 means never.
pub(crate) fn moment(ms: i64, field: &'static str) -> Result<Option<UnixMs>, InvalidResource> {
    match ms {
        0 => Ok(None),
        1.. => Ok(Some(UnixMs(ms))),
        _ => Err(InvalidResource::Negative(field)),
    }
}

/// A name that can be shown and compared: not empty, no control characters.
fn name(text: String, field: &'static str) -> Result<String, InvalidResource> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(InvalidResource::Name(field));
    }
    Ok(text)
}
