//! What an app keeps for its guardrails and its users: categories of its own, and prompts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A category of content that an app's guardrails look for besides the built-in ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomCategory {
    /// Unique in the app.
    pub name: String,
    /// What people see.
    #[serde(default)]
    pub description: String,
    /// Words and phrases, in any case.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Regular expressions.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Examples of such content.
    #[serde(default)]
    pub examples: Vec<String>,
}

/// A prompt that an app keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Unique in the app.
    pub name: String,
    /// The text.
    pub text: String,
}
