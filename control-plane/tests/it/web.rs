//! The pages, as a browser without a script sees them.

mod apps;
mod authorization;
mod groups;
mod models;
mod providers;
mod sign_in;
mod tokens;
mod users;
mod visitor;
mod watch;
