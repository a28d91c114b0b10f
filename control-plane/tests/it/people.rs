//! Users, sign-in, sessions, invitations and tokens.

pub mod browser;
mod oidc;
mod passwords;
mod provider;
mod roles;
mod sessions;
mod throttling;
mod tokens;
