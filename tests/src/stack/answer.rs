//! An answer that was read to its end.

use anyhow::ensure;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as text.
    pub text: String,
    /// Its body as JSON; null when it is something else.
    pub body: Value,
}

impl Answer {
    /// Reads a response.
    ///
    /// # Errors
    /// When the connection ends too early.
    pub async fn read(response: reqwest::Response) -> anyhow::Result<Self> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { status, headers, text, body })
    }

    /// The body of a success.
    ///
    /// # Errors
    /// When it is not one; then with what it says.
    pub fn ok(self) -> anyhow::Result<Value> {
        ensure!((200..300).contains(&self.status), "answered {}: {}", self.status, self.text);
        Ok(self.body)
    }

    /// A header's value; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The `code` of an error in OpenAI's shape, or in JSON-RPC's; empty when it is none.
    #[must_use]
    pub fn code(&self) -> &str {
        let error = &self.body["error"];
        error["code"].as_str().or_else(|| error["data"]["code"].as_str()).unwrap_or_default()
    }
}
