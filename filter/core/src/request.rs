//! What a client sends: the path, the headers, the key, the body.

pub mod header;

pub mod endpoint;

pub mod mcp_endpoint;

pub mod credential;

pub mod client_address;

pub mod conversation;

pub mod body;

pub mod redaction;
