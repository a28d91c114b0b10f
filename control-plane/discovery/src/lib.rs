//! latchkey-discovery
