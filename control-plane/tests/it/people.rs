//! Users, sign-in, sessions, invitations and tokens.

pub mod browser;
mod claims;
mod oidc;
mod passwords;
mod provider;
mod roles;
mod scripted;
mod sessions;
mod throttling;
mod tokens;
