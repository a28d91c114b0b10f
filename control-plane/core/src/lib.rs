//! Latchkey's business rules: what an app, a key and a provider are, and who may do what.
//!
//! Pure: time and randomness are arguments, and nothing here can reach a database or a network.

pub mod address;
pub mod expiry;
pub mod invalid;
pub mod name;
pub mod provider;
pub mod role;
pub mod rotation;
pub mod selection;
pub mod settings;
pub mod status;
