//! Fields that several forms of an app and its keys have.

use super::{Field, FieldKind};

/// How a key is rotated.
pub const ROTATE: &[Field] = &[("grace_seconds", FieldKind::Number)];

/// The fields of limits at a path.
macro_rules! limits {
    ($at:literal) => {
        &[
            (concat!($at, ".requests_per_minute"), FieldKind::Number),
            (concat!($at, ".requests_per_hour"), FieldKind::Number),
            (concat!($at, ".requests_per_day"), FieldKind::Number),
            (concat!($at, ".tokens_per_minute"), FieldKind::Number),
            (concat!($at, ".token_budget"), FieldKind::TokenBudget),
            (concat!($at, ".budget"), FieldKind::Budget),
            (concat!($at, ".max_input_tokens"), FieldKind::Number),
            (concat!($at, ".max_output_tokens"), FieldKind::Number),
            (concat!($at, ".min_output_tokens"), FieldKind::Number),
        ]
    };
}

/// What all keys of an app may use together, or one that has limits of its own.
pub const LIMITS: &[Field] = limits!("limits");

/// What each named key may use.
pub const NAMED_KEY_LIMITS: &[Field] = limits!("named_key_limits");

/// How the user behind a request is learnt, but for JWTs.
pub const IDENTITY: &[Field] = &[
    ("identity.header", FieldKind::Flag),
    ("identity.enforce", FieldKind::Flag),
    ("identity.allowed_domains", FieldKind::OptionalList),
];

/// Which JWTs are accepted, but for their keys.
pub const JWT: &[Field] = &[
    ("identity.jwt.issuers", FieldKind::OptionalList),
    ("identity.jwt.parties", FieldKind::OptionalList),
    ("identity.jwt.audiences", FieldKind::OptionalList),
    ("identity.jwt.email_claim", FieldKind::Text),
];
