//! Who does something.

use std::net::IpAddr;

use uuid::Uuid;

use crate::role::Role;

/// Who does something: what the audit log and versions name, and what permissions follow from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What they came with.
    pub credential: Credential,
    /// The user whose credential it is; none for automation.
    pub user: Option<Uuid>,
    /// The user who made the token, or the token that made it, and so on: whoever saw its value first.
    /// None for a session, and where nobody noted it.
    pub maker: Option<Uuid>,
    /// The user's email address, or the token's name.
    pub name: String,
    /// What they may do now.
    pub role: Role,
    /// From where; none where it is not known.
    pub address: Option<IpAddr>,
}

/// What an actor came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An API token, by id.
    Token(Uuid),
    /// A browser's session, by id.
    Session(Uuid),
    /// The command line, or a job of the control plane.
    System,
}

impl Actor {
    /// The command line or a job, called `name`.
    #[must_use]
    pub fn system(name: &str) -> Self {
        Self {
            credential: Credential::System,
            user: None,
            maker: None,
            name: name.to_owned(),
            role: Role::Owner,
            address: None,
        }
    }

    /// Which kind of actor this is: `user`, `token` (of nobody) or `system`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match (self.user, self.credential) {
            (Some(_), _) => "user",
            (None, Credential::System) => "system",
            (None, _) => "token",
        }
    }

    /// Whether a user may be behind what is done.
    #[must_use]
    pub fn may_be(&self, user: Uuid) -> bool {
        [self.user, self.maker].contains(&Some(user))
    }

    /// The id of the user, or of the token; empty for the system.
    #[must_use]
    pub fn id(&self) -> String {
        match (self.user, self.credential) {
            (Some(id), _) | (None, Credential::Token(id) | Credential::Session(id)) => id.to_string(),
            (None, Credential::System) => String::new(),
        }
    }
}
