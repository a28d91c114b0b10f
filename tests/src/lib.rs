//! Runs the whole system for real: a provider that behaves like OpenAI, the control plane, Envoys.
//!
//! End-to-end tests, benchmarks and `make up` are written with [`stack::Stack`]:
//!
//! ```no_run
//! use latchkey_tests::stack::Stack;
//! use serde_json::json;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let stack = Stack::start().await?;
//! let app = stack.api().create_app(json!({ "name": "billing" })).await?;
//! stack.gateway().until_status(&app.key, 200).await?;
//! stack.api().act(&app.path(), "revoke").await?;
//! assert_eq!(stack.gateway().hello(&app.key).await?.status, 401);
//! # Ok(())
//! # }
//! ```

pub mod agents;
pub mod issuer;
pub mod load;
pub mod mcp;
pub mod openid;
pub mod portal;
pub mod provider;
pub mod python;
pub mod raw;
pub mod smtp;
pub mod stack;
pub mod upstream;
