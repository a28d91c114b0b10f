//! The usage that an answer tells its client.

use std::ops::Add;

use serde_json::Value;

/// Tokens, in one way of counting for all APIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// With those from the cache.
    pub input: u64,
    /// Of these, the ones from the cache.
    pub cached: u64,
    /// With those for reasoning.
    pub output: u64,
    /// Of these, the ones for reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// What a body tells, JSON or a stream's events; of several, what the last ones say.
    #[must_use]
    pub fn told(body: &str) -> Option<Self> {
        if let Ok(whole) = serde_json::from_str::<Value>(body) {
            return Self::read(&whole["usage"]);
        }
        let events = body.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        let told = |event: Value| {
            ["response", "message"]
                .iter()
                .find_map(|around| Self::read(&event[*around]["usage"]))
                .or_else(|| Self::read(&event["usage"]))
        };
        // Anthropic tells the input first and the output last.
        events.filter_map(told).reduce(|before, last| Self {
            input: before.input.max(last.input),
            cached: before.cached.max(last.cached),
            output: last.output,
            reasoning: last.reasoning,
        })
    }

    fn read(usage: &Value) -> Option<Self> {
        let number = |names: &[&str]| names.iter().find_map(|name| usage.pointer(name)?.as_u64());
        let read = number(&["/cache_read_input_tokens"]).unwrap_or(0);
        let created = number(&["/cache_creation_input_tokens"]).unwrap_or(0);
        usage.as_object()?;
        Some(Self {
            input: number(&["/prompt_tokens", "/input_tokens"]).unwrap_or(0) + read + created,
            cached: read
                + number(&["/prompt_tokens_details/cached_tokens", "/input_tokens_details/cached_tokens"])
                    .unwrap_or(0),
            output: number(&["/completion_tokens", "/output_tokens"]).unwrap_or(0),
            reasoning: number(&[
                "/completion_tokens_details/reasoning_tokens",
                "/output_tokens_details/reasoning_tokens",
            ])
            .unwrap_or(0),
        })
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            cached: self.cached + other.cached,
            output: self.output + other.output,
            reasoning: self.reasoning + other.reasoning,
        }
    }
}
