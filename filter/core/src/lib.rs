//! The gate's whole logic, as values in and values out: what a gateway knows (`discovery`,
//! `snapshot`, kept in a [`store::Store`] by `replica` and read back by `view`), and what it
//! decides about a request (`gate`). No I/O, no clock, no randomness: they are arguments.
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

pub mod tokens;

pub mod price;

pub mod snapshot;

pub mod discovery;

pub mod store;

pub mod memory;

pub mod layout;

pub mod replica;

pub mod view;

pub mod account;

pub mod record;

pub mod ring;

pub mod refusals;

pub mod ledger;

pub mod backoff;

pub mod header;

pub mod secret;

pub mod endpoint;

pub mod credential;

pub mod address;

pub mod identity;

pub mod conversation;

pub mod body;

pub mod usage;

pub mod mcp;

pub mod metering;

pub mod calibration;

pub mod quota;

pub mod gate;

pub mod forward;

pub mod withheld;

pub mod redirect;

pub mod model_list;
mod model_page;

pub mod readiness;

pub mod denial;

pub mod reply;

#[cfg(test)]
mod testing;
