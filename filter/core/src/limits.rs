//! What a request may use: which limits apply to it, and the units that this process has leased of them.

pub mod quota;

pub mod account;
