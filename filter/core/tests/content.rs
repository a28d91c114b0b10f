//! The texts in bodies and streams: found, looked at, and replaced byte for byte.

#[path = "content/agent.rs"]
mod agent;
#[path = "content/bodies.rs"]
mod bodies;
#[path = "content/conversations.rs"]
mod conversations;
#[path = "content/examples.rs"]
mod examples;
#[path = "content/planted.rs"]
mod planted;
#[path = "content/shapes.rs"]
mod shapes;
#[path = "content/source.rs"]
mod source;
#[path = "content/streams.rs"]
mod streams;
