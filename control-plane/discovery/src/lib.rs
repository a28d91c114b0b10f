//! The gRPC servers that feed gateways: keys, app policies and the catalogue over Latchkey's own
//! discovery stream, provider clusters and credentials over Envoy's ADS.
//!
//! Generic over a [`source::Source`]: nothing here knows the database or the HTTP API. What one
//! stream does is decided by a pure state machine ([`session`], `ads::stream`); [`server`] and
//! [`ads`] carry its effects out.

pub mod source;

pub mod resource;

pub mod session;

pub mod registry;

pub mod admission;

pub mod server;

pub mod ads;
