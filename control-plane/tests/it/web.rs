//! The pages, as a browser without a script sees them.

mod apps;
mod authorization;
mod conflicts;
mod detectors;
mod email;
mod findings;
mod groups;
mod guardrails;
mod mcp_servers;
mod models;
mod my_apps;
mod my_keys;
mod my_logs;
mod my_requests;
mod playground;
mod prompts;
mod providers;
mod routing_groups;
mod sign_in;
mod simulation;
mod tokens;
mod typed;
mod unchanged;
mod users;
pub mod visitor;
mod watch;
mod webhooks;
