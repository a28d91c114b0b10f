//! latchkey-core
