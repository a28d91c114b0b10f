//! latchkey-filter-core
