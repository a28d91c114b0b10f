//! Fields that several forms of an app and its keys have.

use super::{Field, Kind};

/// How a key is rotated.
pub const ROTATE: &[Field] = &[("grace_seconds", Kind::Number)];

/// What all keys of an app may use together.
pub const LIMITS: &[Field] = &[
    ("limits.requests_per_minute", Kind::Number),
    ("limits.requests_per_hour", Kind::Number),
    ("limits.requests_per_day", Kind::Number),
    ("limits.tokens_per_minute", Kind::Number),
    ("limits.token_budget", Kind::TokenBudget),
    ("limits.budget", Kind::Budget),
    ("limits.max_input_tokens", Kind::Number),
    ("limits.max_output_tokens", Kind::Number),
];

/// What each named key may use.
pub const NAMED_KEY_LIMITS: &[Field] = &[
    ("named_key_limits.requests_per_minute", Kind::Number),
    ("named_key_limits.requests_per_hour", Kind::Number),
    ("named_key_limits.requests_per_day", Kind::Number),
    ("named_key_limits.tokens_per_minute", Kind::Number),
    ("named_key_limits.token_budget", Kind::TokenBudget),
    ("named_key_limits.budget", Kind::Budget),
    ("named_key_limits.max_input_tokens", Kind::Number),
    ("named_key_limits.max_output_tokens", Kind::Number),
];

/// How the user behind a request is learnt, but for JWTs.
pub const IDENTITY: &[Field] = &[
    ("identity.header", Kind::Flag),
    ("identity.enforce", Kind::Flag),
    ("identity.allowed_domains", Kind::OptionalList),
];

/// Which JWTs are accepted, but for their keys.
pub const JWT: &[Field] = &[
    ("identity.jwt.issuers", Kind::OptionalList),
    ("identity.jwt.parties", Kind::OptionalList),
    ("identity.jwt.email_claim", Kind::Text),
];
