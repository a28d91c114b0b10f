//! Latchkey's control plane: the database, the REST API, and what feeds the gateways.
//!
//! A request comes in through [`api`], does one [`action`] in one transaction of the [store](latchkey_store), and
//! the commit wakes the [`feed`], from which the discovery servers send it to every gateway.

pub mod action;
pub mod api;
pub mod audit;
pub mod config;
pub mod explain;
pub mod feed;
pub mod gateways;
pub mod jwks;
pub mod listen;
pub mod metrics;
pub mod outbound;
pub mod refusal;
pub mod router;
pub mod serve;
pub mod sign_in;
pub mod tokens;
pub mod web;
