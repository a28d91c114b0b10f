//! Fields that several forms of an app and its keys have.

use std::sync::LazyLock;

use latchkey_core::limits::{LIMITS, LimitField, Unit};

use super::{Field, FieldKind};

/// How a key is rotated.
pub const ROTATE: &[Field] = &[("grace_seconds", FieldKind::Number)];

/// What all keys of an app may use together, or one that has limits of its own.
pub static LIMIT_FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| limits_at("limits"));

/// What each named key may use.
pub static NAMED_KEY_LIMIT_FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| limits_at("named_key_limits"));

/// The fields of limits at a path. Their names are made once, and last as long as the process.
fn limits_at(path: &str) -> Vec<Field> {
    let field = |limit: &LimitField| {
        let kind = match (limit.is_budget(), limit.unit()) {
            (false, _) => FieldKind::Number,
            (true, Unit::Cost) => FieldKind::Budget,
            (true, _) => FieldKind::TokenBudget,
        };
        (&*format!("{path}.{}", limit.name).leak(), kind)
    };
    LIMITS.iter().map(field).collect()
}

/// How the user behind a request is learnt, but for JWTs.
pub const IDENTITY: &[Field] = &[
    ("identity.header", FieldKind::Flag),
    ("identity.enforce", FieldKind::Flag),
    ("identity.allowed_domains", FieldKind::OptionalList),
];

/// Which JWTs are accepted, without the keys that verify them.
pub const JWT: &[Field] = &[
    ("identity.jwt.issuers", FieldKind::OptionalList),
    ("identity.jwt.parties", FieldKind::OptionalList),
    ("identity.jwt.audiences", FieldKind::OptionalList),
    ("identity.jwt.email_claim", FieldKind::Text),
];
