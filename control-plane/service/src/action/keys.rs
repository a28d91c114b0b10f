//! App keys and named keys.

pub mod create;
pub mod revoke_all;
pub mod rotate;
pub mod secret;
pub mod show;
pub mod switch;
pub mod update;
