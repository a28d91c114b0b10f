//! The control plane's tests: each runs on SQLite and on PostgreSQL.

mod support;

mod apps;
mod audit;
mod auth;
mod authorization;
mod body;
mod change_requests;
mod content;
mod escalations;
mod explain;
mod feed;
mod gateways;
mod groups;
mod idempotency;
mod identity;
mod keys;
mod ledger;
mod limits;
mod logs;
mod mcp_servers;
mod metrics;
mod my_apps;
mod my_keys;
mod names;
mod openapi;
mod people;
mod prices;
mod providers;
mod scope;
mod self_service;
mod suspension;
mod usage;
mod users;
mod versions;
mod web;
