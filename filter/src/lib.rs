//! Latchkey's proxy-wasm filter: one module, three roles, chosen by the plugin's configuration.
//! Everything that is decided is decided in `latchkey-filter-core`; here are the host calls.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod configuration;

mod host;

mod properties;

mod shared_data;

mod root;

mod queue;

mod worker;

mod gate;

mod anatomy;

mod attempt;

mod detectors;

mod sync;

mod grpc_stream;

mod grpc_service;

mod metrics;

mod start;
