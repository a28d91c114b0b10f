//! What the filter and the control plane say to each other: the generated wire types, and what both
//! sides must read alike: the format of keys, what limits count, how a window slides, how prompts
//! are referred to, and what is assumed where nothing is known.

pub mod bucket;
pub mod density;
pub mod key;
pub mod price;
pub mod prompt;
mod redacted;
pub mod window;

/// The discovery stream, generated from `latchkey/discovery.proto`.
#[cfg_attr(feature = "grpc", expect(clippy::allow_attributes, reason = "generated stubs carry their own"))]
pub mod discovery {
    include!(concat!(env!("OUT_DIR"), "/latchkey.discovery.v1.rs"));
}

/// The ledger stream, generated from `latchkey/ledger.proto`.
#[cfg_attr(feature = "grpc", expect(clippy::allow_attributes, reason = "generated stubs carry their own"))]
pub mod ledger {
    include!(concat!(env!("OUT_DIR"), "/latchkey.ledger.v1.rs"));
}
