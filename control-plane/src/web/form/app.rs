//! Fields that several forms of an app and its keys have.

use super::{Field, Kind};

/// How a key is rotated.
pub const ROTATE: &[Field] = &[("grace_seconds", Kind::Number)];

/// The fields of limits at a path.
macro_rules! limits {
    ($at:literal) => {
        &[
            (concat!($at, ".requests_per_minute"), Kind::Number),
            (concat!($at, ".requests_per_hour"), Kind::Number),
            (concat!($at, ".requests_per_day"), Kind::Number),
            (concat!($at, ".tokens_per_minute"), Kind::Number),
            (concat!($at, ".token_budget"), Kind::TokenBudget),
            (concat!($at, ".budget"), Kind::Budget),
            (concat!($at, ".max_input_tokens"), Kind::Number),
            (concat!($at, ".max_output_tokens"), Kind::Number),
            (concat!($at, ".min_output_tokens"), Kind::Number),
        ]
    };
}

/// What all keys of an app may use together, or one that has limits of its own.
pub const LIMITS: &[Field] = limits!("limits");

/// What each named key may use.
pub const NAMED_KEY_LIMITS: &[Field] = limits!("named_key_limits");

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
    ("identity.jwt.audiences", Kind::OptionalList),
    ("identity.jwt.email_claim", Kind::Text),
];
