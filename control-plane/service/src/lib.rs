//! What people do with Latchkey, and what that stands on: an [`action`] is one use case in one transaction of the
//! store.

pub mod action;
pub mod audit;
pub mod explain;
pub mod gateways;
pub mod metrics;
pub mod outbound;
pub mod refusal;
pub mod sign_in;
pub mod simulation;
pub mod tokens;
