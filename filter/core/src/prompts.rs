//! The prompts that an app keeps: what refers to them in system, developer and `instructions` texts is replaced by
//! their texts, once, before anything else looks at the request.
//!
//! What replaces a reference is never read for references, and the values of variables are never read at all. The
//! texts of users, assistants and tools are never touched.

mod expansion;
mod reference;
mod stored;
#[cfg(test)]
mod tests;
mod variables;

pub use expansion::{ExpandedRequest, UsedPrompts, expand};
pub use stored::Prompts;
pub use variables::{HEADER, VariablesHeader};
