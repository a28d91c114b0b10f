//! The gate's whole logic, as values in and values out: what a gateway knows, and what it decides about a
//! request. No I/O, no clock, no randomness: they are arguments.
//!
//! Each module imports only those below it:
//!
//! | module | what |
//! | --- | --- |
//! | [`gate`] | decides a request: the order of the rules |
//! | [`ledger`] | the sync role's end of the ledger stream: leases units and ships records |
//! | [`record`] | follows a request to its record: what it used and is charged |
//! | [`guardrails`] | what is found in texts, and what is done about it |
//! | [`prompts`] | replaces references to stored prompts in system texts |
//! | [`upstream`] | the request to a provider or an MCP server |
//! | [`routing`] | which targets of a routing group serve a request, and which rest |
//! | [`limits`] | the limits that apply, and the units leased for them |
//! | [`content`] | the texts in bodies and streams, and the edits of them |
//! | [`mcp`] | MCP messages, sessions, tool lists and tool definitions |
//! | [`answer`] | refusals and other answers of the gateway's own; usage read from a provider's |
//! | [`identity`] | who is behind a request |
//! | [`request`] | the path, the headers, the key and the body of a request |
//! | [`discovery`] | applies the control plane's responses, and reads them back |
//! | [`store`] | the process's shared data, and how values lie in it |
//! | [`snapshot`] | keys, policies and the catalogue |
//! | [`price`] | tokens, and what they cost |
//!
//! Three arrows point up. A rule of `request` or `identity` refuses with a [`answer::denial::Denial`].
//! `identity` and `answer::readiness` ask [`gate::World`]. An app's policy holds an
//! [`identity::IdentityPolicy`], [`guardrails::Guardrails`], [`prompts::Prompts`] and [`mcp::ArgumentRules`], and a [`discovery::view::View`] the tokens that `identity` has verified.
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

pub mod gate;

pub mod ledger;

pub mod record;

pub mod guardrails;

pub mod prompts;

pub mod upstream;

pub mod routing;

pub mod limits;

pub mod content;

pub mod mcp;

pub mod answer;

pub mod identity;

pub mod request;

pub mod discovery;

pub mod store;

pub mod snapshot;

pub mod price;

#[cfg(test)]
mod testing;
