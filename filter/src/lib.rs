//! latchkey-filter
