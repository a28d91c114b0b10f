//! What the targets of a routing group do: each try of a request, and how long a failed one rests.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::name::{ModelName, Slug};

/// One try of a request at a target of a routing group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// The provider's name.
    #[schema(value_type = Slug)]
    pub provider: String,
    /// As the provider was asked.
    #[schema(value_type = ModelName)]
    pub model: String,
    /// Of the target's answer; null where none came.
    pub status: Option<u16>,
    /// How it ended.
    pub end: AttemptEnd,
    /// How long it took.
    pub duration_ms: u64,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// Its answer went to the client.
    Served,
    /// A status that counts as a failure.
    Status,
    /// No connection, or one that ended before the answer.
    Connection,
    /// It took too long.
    Timeout,
    /// The first event of its stream was an error.
    ErrorEvent,
    /// One that only a newer version knows.
    #[serde(other)]
    Unknown,
}

/// A target that has failed, and gets no requests for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestingTarget {
    /// The provider's name.
    #[schema(value_type = Slug)]
    pub provider: String,
    /// The model's name.
    #[schema(value_type = ModelName)]
    pub model: String,
    /// Until when, by the gateway's clock.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// How the try ended for which it rests.
    pub reason: AttemptEnd,
    /// Of the answer that counted as a failure; null where none came.
    pub status: Option<u16>,
}
