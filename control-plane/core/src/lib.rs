//! Latchkey's business rules: what an app, a key and a provider are, and who may do what.
//!
//! Pure: time and randomness are arguments, and nothing here can reach a database or a network.

pub mod access;
pub mod actor;
pub mod address;
pub mod bucket;
pub mod catalogue;
pub mod chain;
pub mod change;
pub mod change_request;
pub mod client;
pub mod content;
pub mod delegation;
pub mod density;
pub mod detector;
pub mod distinct;
pub mod expiry;
pub mod grant;
pub mod guardrails;
pub mod hidden;
pub mod identity;
pub mod invalid;
pub mod lease;
pub mod limits;
pub mod local_path;
pub mod mcp;
pub mod money;
pub mod name;
pub mod password;
pub mod period;
pub mod price;
pub mod profile;
pub mod prompts;
pub mod provider;
pub mod role;
pub mod rotation;
pub mod search;
pub mod selection;
pub mod sequence;
pub mod settings;
pub mod status;
pub mod threshold;
pub mod throttle;
pub mod turns;
pub mod upstream;
