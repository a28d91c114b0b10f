//! The pages, as a browser without a script sees them.

mod apps;
mod groups;
mod sign_in;
mod visitor;
