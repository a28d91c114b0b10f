//! The life of an app or a key: active, inactive, expired, revoked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is stored. Expiry is not: it follows from the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Works, until it expires.
    Active,
    /// Switched off; can be switched on again.
    Inactive,
    /// Switched off for good; kept for audit.
    Revoked,
}

/// What people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Works.
    Active,
    /// Switched off; can be switched on again.
    Inactive,
    /// Past its expiration; works again when that is extended.
    Expired,
    /// Switched off for good.
    Revoked,
}

/// What an admin does to an app or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Inactive → active.
    Activate,
    /// Active → inactive.
    Deactivate,
    /// Anything → revoked.
    Revoke,
}

/// Revoked is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is permanently revoked: create a new one")]
pub struct Final;

impl Status {
    /// The status after `switch`. Switching to what it already is changes nothing and is no error.
    ///
    /// # Errors
    /// [`Final`], for a revoked one that would come back.
    pub fn after(self, switch: Switch) -> Result<Self, Final> {
        match (self, switch) {
            (_, Switch::Revoke) => Ok(Self::Revoked),
            (Self::Revoked, _) => Err(Final),
            (_, Switch::Activate) => Ok(Self::Active),
            (_, Switch::Deactivate) => Ok(Self::Inactive),
        }
    }

    /// What people see at `now`.
    #[must_use]
    pub fn standing(self, expires_at: Option<Timestamp>, now: Timestamp) -> Standing {
        match self {
            Self::Revoked => Standing::Revoked,
            _ if expires_at.is_some_and(|at| at <= now) => Standing::Expired,
            Self::Inactive => Standing::Inactive,
            Self::Active => Standing::Active,
        }
    }

    /// The status's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Revoked => "revoked",
        }
    }
}

/// A word in the database that is not a status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a status")]
pub struct NotAStatus(String);

impl std::str::FromStr for Status {
    type Err = NotAStatus;

    fn from_str(word: &str) -> Result<Self, NotAStatus> {
        [Self::Active, Self::Inactive, Self::Revoked]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| NotAStatus(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inactive_is_reversible_and_revoked_is_final() {
        assert_eq!(Status::Active.after(Switch::Deactivate), Ok(Status::Inactive));
        assert_eq!(Status::Inactive.after(Switch::Activate), Ok(Status::Active));
        assert_eq!(Status::Inactive.after(Switch::Revoke), Ok(Status::Revoked));
        assert_eq!(Status::Revoked.after(Switch::Revoke), Ok(Status::Revoked));
        assert_eq!(Status::Revoked.after(Switch::Activate), Err(Final));
        assert_eq!(Status::Revoked.after(Switch::Deactivate), Err(Final));
    }

    #[test]
    fn expiry_shows_at_its_very_moment_but_never_hides_a_revocation() {
        let now = Timestamp::from_second(1_000).unwrap();
        let later = Timestamp::from_second(1_001).unwrap();
        assert_eq!(Status::Active.standing(Some(later), now), Standing::Active);
        assert_eq!(Status::Active.standing(Some(now), now), Standing::Expired);
        assert_eq!(Status::Inactive.standing(Some(now), now), Standing::Expired);
        assert_eq!(Status::Revoked.standing(Some(now), now), Standing::Revoked);
        assert_eq!(Status::Active.standing(None, now), Standing::Active);
    }
}
