//! Latchkey's control plane: what runs the API, the pages, and what feeds the gateways.
//!
//! A request comes in through the [`router`] to the [API](latchkey_api), does one [action](latchkey_service::action)
//! in one transaction of the [store](latchkey_store), and the commit wakes the [`feed`], from which the discovery
//! servers send it to every gateway.

pub mod config;
pub mod feed;
pub mod jwks;
pub mod leases;
pub mod listen;
pub mod mail;
pub mod router;
pub mod serve;
pub mod webhooks;
