//! What people do: one use case, one function, within one transaction that the caller commits.

pub mod access;
pub mod apps;
pub mod audit;
pub mod change_requests;
pub mod content;
pub mod gateways;
pub mod groups;
pub mod invitations;
pub mod keys;
pub mod mails;
pub mod mcp_tools;
pub mod models;
pub mod my_keys;
pub mod passwords;
pub mod prompts;
pub mod routing_groups;
pub mod self_service;
pub mod sessions;
pub mod sign_in;
pub mod subjects;
pub mod tokens;
pub mod upstreams;
pub mod users;
pub mod webhooks;

use latchkey_core::actor::Actor;
use latchkey_store::fault::is_unique_violation;
use latchkey_store::keys::Key;
use latchkey_store::seal::MasterKey;
use latchkey_world::World;
use secrecy::SecretString;

pub use crate::refusal::Refusal;

/// Who acts, and when: what actions are given that seal nothing.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// Who acts.
    pub actor: &'a Actor,
    /// Clock and randomness.
    pub world: &'a World,
}

/// What other actions are given.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who acts.
    pub actor: &'a Actor,
    /// Clock and randomness.
    pub world: &'a World,
    /// What stored secrets are sealed with.
    pub master: &'a MasterKey,
}

impl<'a> Context<'a> {
    /// Without the master key.
    #[must_use]
    pub fn by(&self) -> By<'a> {
        By { actor: self.actor, world: self.world }
    }
}

/// A key with its value, which is shown now or never.
#[derive(Debug)]
pub struct Issued {
    /// The record.
    pub key: Key,
    /// What the client presents.
    pub value: SecretString,
}

/// Turns a unique violation into a refusal of the field at `path`.
fn taken(error: latchkey_store::Error, path: &str, message: &str) -> Refusal {
    if is_unique_violation(&error) {
        return Refusal::field(path, message);
    }
    error.into()
}
