//! Why something that was asked for is not done.

use jiff::SignedDuration;
use latchkey_core::delegation::Excess;
use latchkey_core::expiry::BadExpiry;
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::status::Final;
use latchkey_store::seal::Sealed;

use crate::sign_in::passwords::Busy;

/// Why an action was refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing.
    #[error("there is no {0} with this ID")]
    NotFound(&'static str),
    /// It does not go with the state of things: a stable code, and what to do.
    #[error("{detail}")]
    Conflict {
        /// Stable, for programs.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// It is not theirs to do, though they may know of it: a stable code, and what it takes.
    #[error("{detail}")]
    Forbidden {
        /// Stable, for programs.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// Fields that are wrong.
    #[error("{} fields are invalid", .0.0.len())]
    Invalid(Invalid),
    /// Who it is was not shown: a stable code, and what to do.
    #[error("{detail}")]
    Unrecognised {
        /// Stable, for programs.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// Too many attempts.
    #[error("too many failed attempts: try again in {} seconds", seconds(*.wait))]
    TooMany {
        /// Until the next may be made.
        wait: SignedDuration,
    },
    /// What it takes is away: a stable code, and what to do.
    #[error("{detail}")]
    Unavailable {
        /// Stable, for programs.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// A stored secret does not open.
    #[error(transparent)]
    Sealed(#[from] Sealed),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] latchkey_store::Error),
}

impl Refusal {
    /// A conflict.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into() }
    }

    /// The same, where the fields are those of the member `outer` of what was sent.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        let Self::Invalid(Invalid(mut errors)) = self else { return self };
        for FieldError { path, .. } in &mut errors {
            *path = if path.is_empty() { outer.to_owned() } else { format!("{outer}.{path}") };
        }
        Self::Invalid(Invalid(errors))
    }

    /// One wrong field.
    pub fn field(path: &str, message: impl ToString) -> Self {
        Self::Invalid(FieldError::new(path, message).into())
    }
}

/// In whole seconds, rounded up.
pub fn seconds(wait: SignedDuration) -> i64 {
    wait.as_secs() + i64::from(wait.subsec_nanos() > 0)
}

impl From<Busy> for Refusal {
    fn from(busy: Busy) -> Self {
        Self::Unavailable { code: "busy", detail: busy.to_string() }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<BadExpiry> for Refusal {
    fn from(error: BadExpiry) -> Self {
        Self::field("expires_at", error)
    }
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Fields(invalid) => Self::Invalid(invalid),
            Excess::TooMany(most) => Self::conflict(
                "too_many_keys",
                format!("each user can have at most {most} active keys for this app: revoke one first"),
            ),
        }
    }
}

impl From<Final> for Refusal {
    fn from(error: Final) -> Self {
        Self::conflict("revoked", error.to_string())
    }
}
