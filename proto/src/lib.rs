//! What the filter and the control plane say to each other: the generated wire types, and the
//! format of keys.

pub mod key;

/// The discovery stream, generated from `latchkey/discovery.proto`.
#[expect(missing_docs, reason = "generated; the .proto file documents it")]
#[cfg_attr(feature = "grpc", expect(clippy::allow_attributes, reason = "generated stubs carry their own"))]
pub mod discovery {
    include!(concat!(env!("OUT_DIR"), "/latchkey.discovery.v1.rs"));
}
