//! The control plane's tests: each runs on SQLite and on PostgreSQL.

mod support;

mod apps;
mod auth;
mod feed;
mod gateways;
mod idempotency;
mod keys;
mod openapi;
mod providers;
mod users;
