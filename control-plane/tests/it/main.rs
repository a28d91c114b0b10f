//! The control plane's tests: each runs on SQLite and on PostgreSQL.

mod support;

mod apps;
mod audit;
mod auth;
mod authorization;
mod body;
mod change_requests;
mod content;
mod explain;
mod feed;
mod gateways;
mod idempotency;
mod identity;
mod keys;
mod ledger;
mod limits;
mod logs;
mod metrics;
mod openapi;
mod people;
mod prices;
mod providers;
mod scope;
mod usage;
mod users;
mod versions;
