//! Roles and what they permit.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whom a token or a session speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An admin who also manages members and roles.
    Owner,
    /// Configures the gateway.
    Admin,
    /// Sees everything, changes nothing.
    Auditor,
    /// Anyone who can sign in.
    User,
    /// An Envoy: may open the streams that feed gateways, and nothing else.
    Gateway,
}

/// What an endpoint asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// `gateway.read`: see the configuration.
    GatewayRead,
    /// `gateway.update`: change it.
    GatewayUpdate,
    /// Manage members and their roles.
    MembersUpdate,
    /// Open the discovery and ADS streams.
    Stream,
}

/// Why a word is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: use owner, admin, auditor, user, or gateway")]
pub struct NotARole(String);

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Auditor, Self::User, Self::Gateway];

    /// Whether the role permits `permission`.
    #[must_use]
    pub fn permits(self, permission: Permission) -> bool {
        match permission {
            Permission::GatewayRead => matches!(self, Self::Owner | Self::Admin | Self::Auditor),
            Permission::GatewayUpdate => matches!(self, Self::Owner | Self::Admin),
            Permission::MembersUpdate => self == Self::Owner,
            Permission::Stream => self == Self::Gateway,
        }
    }

    /// The role, but no more than what `most` permits: of a token, whose user may have been demoted.
    #[must_use]
    pub fn capped(self, most: Self) -> Self {
        let rank = |role: Self| Self::ALL.iter().position(|other| *other == role);
        if rank(self) < rank(most) { most } else { self }
    }

    /// Whether a person with the role `own` may give this one to a token: never a gateway's.
    #[must_use]
    pub fn within(self, own: Self) -> bool {
        self != Self::Gateway && self.capped(own) == self
    }

    /// The role's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::User => "user",
            Self::Gateway => "gateway",
        }
    }
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 4] = [Self::GatewayRead, Self::GatewayUpdate, Self::MembersUpdate, Self::Stream];

    /// The permission's name, as errors give it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GatewayRead => "gateway.read",
            Self::GatewayUpdate => "gateway.update",
            Self::MembersUpdate => "members.update",
            Self::Stream => "gateway.stream",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = NotARole;

    fn from_str(word: &str) -> Result<Self, NotARole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| NotARole(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_permission_names_its_roles() {
        let permitted =
            |permission| Role::ALL.into_iter().filter(|role| role.permits(permission)).collect::<Vec<_>>();
        assert_eq!(permitted(Permission::GatewayRead), [Role::Owner, Role::Admin, Role::Auditor]);
        assert_eq!(permitted(Permission::GatewayUpdate), [Role::Owner, Role::Admin]);
        assert_eq!(permitted(Permission::MembersUpdate), [Role::Owner]);
        assert_eq!(permitted(Permission::Stream), [Role::Gateway]);
    }

    #[test]
    fn a_token_has_no_role_beyond_that_of_its_maker() {
        for own in Role::ALL {
            for given in Role::ALL {
                let more = Permission::ALL.into_iter().any(|each| given.permits(each) && !own.permits(each));
                assert!(!given.within(own) || !more, "{given:?} by {own:?}");
            }
            assert!(!Role::Gateway.within(own), "a gateway's token by {own:?}");
        }
        assert!(Role::Owner.within(Role::Owner) && Role::User.within(Role::Owner));
    }
}
