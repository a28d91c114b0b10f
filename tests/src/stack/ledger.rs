//! What the API says of limits, prices and what was used.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, App};
use super::wait;
use crate::load::Usage;

/// A model of the sample provider, and what a million of its tokens cost, in US dollars.
#[derive(Clone, Copy, Debug)]
pub struct Priced {
    /// Its name.
    pub name: &'static str,
    /// Of input.
    pub input: &'static str,
    /// Of input from the cache.
    pub cached_input: &'static str,
    /// Of output.
    pub output: &'static str,
    /// The most tokens of an answer.
    pub max_output_tokens: u64,
}

/// As cheap as models are: a token is a whole number of nano-USD.
pub const CHEAP: Priced = Priced {
    name: "test/cheap",
    input: "0.15",
    cached_input: "0.075",
    output: "0.60",
    max_output_tokens: 16_384,
};

/// So dear that a dollar is soon spent: a token of output is a thousandth of a cent.
pub const DEAR: Priced =
    Priced { name: "test/dear", input: "5", cached_input: "0.50", output: "10", max_output_tokens: 4_096 };

/// A record of `GET /api/v1/logs`. What is listed here must be there.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    pub at: String,
    pub request_id: String,
    pub gateway: String,
    pub app_id: String,
    pub key_id: String,
    pub user_id: Option<String>,
    pub model: Option<String>,
    pub served_model: Option<String>,
    pub provider: Option<String>,
    pub endpoint: String,
    pub status: Option<u16>,
    pub code: Option<String>,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// In US dollars.
    pub cost: String,
    pub price_version: Option<u64>,
    pub settlement: String,
    pub settlement_reason: Option<String>,
    pub latency_ms: u64,
    pub first_token_ms: Option<u64>,
    pub streamed: bool,
    pub client_address: String,
    pub conversation_id: Option<String>,
    pub identity: Option<String>,
    pub identity_source: String,
    pub old_secret: bool,
    pub repeats: u64,
    pub metadata: Value,
    /// What each target of a routing group did that was tried.
    #[serde(default)]
    pub attempts: Vec<Value>,
}

/// How much of a limit is used, in its unit or in nano-USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitUsage {
    /// The most.
    pub limit: u64,
    /// What was used for good.
    pub used: u64,
    /// What gateways hold.
    pub reserved: u64,
}

impl Record {
    /// Its tokens.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            input: self.input_tokens,
            cached: self.cached_input_tokens,
            output: self.output_tokens,
            reasoning: self.reasoning_tokens,
        }
    }

    /// What it cost, in nano-USD.
    #[must_use]
    pub fn cost(&self) -> u64 {
        nano_usd(&self.cost)
    }
}

impl Priced {
    /// What these tokens cost, in nano-USD.
    #[must_use]
    pub fn cost(&self, usage: Usage) -> u64 {
        let parts = [
            (usage.input - usage.cached, self.input),
            (usage.cached, self.cached_input),
            (usage.output, self.output),
        ];
        parts.into_iter().map(|(tokens, price)| tokens * nano_usd(price) / 1_000_000).sum()
    }
}

impl Api {
    /// Changes what is at `path`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn edit(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.send(Method::PATCH, path, Some(body)).await?;
        answer.ok().with_context(|| format!("editing {path}"))
    }

    /// Creates an app with these limits.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_limited_app(&self, name: &str, limits: Value) -> anyhow::Result<App> {
        self.create_app(json!({ "name": name, "limits": limits })).await
    }

    /// Sets limits of an app; `null` lifts one, and what is left out stays.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn limit(&self, app: &App, limits: Value) -> anyhow::Result<Value> {
        self.edit(&app.path(), json!({ "limits": limits })).await
    }

    /// Creates a model with a price.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_priced_model(&self, model: &Priced, provider: &str) -> anyhow::Result<Value> {
        let Priced { name, input, cached_input, output, max_output_tokens } = model;
        let body = json!({
            "name": name, "provider": provider, "max_output_tokens": max_output_tokens,
            "context_window": 128_000,
            "price": { "input": input, "cached_input": cached_input, "output": output },
        });
        self.post("/api/v1/models", body).await?.ok().with_context(|| format!("creating model {name}"))
    }

    /// All records that a filter lets through, such as `status=429`.
    ///
    /// # Errors
    /// When the list is refused, or a record has not all fields.
    pub async fn records(&self, app: &App, filter: &str) -> anyhow::Result<Vec<Record>> {
        let path = format!("/api/v1/logs?limit=200&app_id={}&{filter}", app.id);
        let items = self.all(path.trim_end_matches('&')).await?;
        items
            .into_iter()
            .map(|item| {
                let text = item.to_string();
                serde_json::from_value(item).with_context(|| format!("a record of another shape: {text}"))
            })
            .collect()
    }

    /// Waits until an app has this many records, and gives them.
    ///
    /// # Errors
    /// When it has fewer after 20 seconds, or more.
    pub async fn until_recorded(&self, app: &App, count: usize) -> anyhow::Result<Vec<Record>> {
        let what = format!("{count} records");
        let records = wait::until(&what, Duration::from_secs(20), async || {
            let records = self.records(app, "").await?;
            ensure!(records.len() >= count, "there are {}", records.len());
            Ok(Some(records))
        })
        .await?;
        ensure!(records.len() == count, "{} records instead of {count}", records.len());
        Ok(records)
    }

    /// The sums of everything of an app that a filter lets through, such as `model=gpt-4o`.
    ///
    /// # Errors
    /// When they are refused.
    pub async fn sums(&self, app: &App, filter: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/usage?app_id={}&{filter}", app.id);
        Ok(self.get(path.trim_end_matches('&')).await?.ok()?["totals"].clone())
    }

    /// All events of an app, newest first.
    ///
    /// # Errors
    /// When the list is refused.
    pub async fn events(&self, app: &App) -> anyhow::Result<Vec<Value>> {
        self.all(&format!("/api/v1/events?app_id={}", app.id)).await
    }

    /// How much of one limit the app or key at `path` has used: `requests_per_minute`, `budget`, ….
    ///
    /// # Errors
    /// When there is no such limit.
    pub async fn limit_usage(&self, path: &str, limit: &str) -> anyhow::Result<LimitUsage> {
        let owner = self.get(path).await?.ok()?;
        let usage = &owner["usage"][limit];
        ensure!(usage.is_object(), "no usage of {limit}: {owner}");
        Ok(LimitUsage {
            limit: amount(&usage["limit"]),
            used: amount(&usage["used"]),
            reserved: amount(&usage["reserved"]),
        })
    }

    /// Waits until the usage of a limit is as wanted, and gives it.
    ///
    /// # Errors
    /// When it is not after five and a half minutes; then as it is.
    pub async fn until_used(
        &self,
        path: &str,
        limit: &str,
        wanted: impl Fn(LimitUsage) -> bool,
    ) -> anyhow::Result<LimitUsage> {
        let what = format!("the usage of {limit} to be as wanted");
        // A few units may lie idle for five minutes.
        wait::until(&what, Duration::from_secs(330), async || {
            let usage = self.limit_usage(path, limit).await?;
            ensure!(wanted(usage), "it is {usage:?}");
            Ok(Some(usage))
        })
        .await
    }

    /// Every page of a list.
    async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = vec![];
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}{cursor}")).await?.ok().with_context(|| path.to_owned())?;
            items.extend(page["items"].as_array().context("a page without items")?.iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { return Ok(items) };
            cursor = format!("&cursor={next}");
        }
    }
}

/// A number as it is; text as US dollars, in nano-USD.
fn amount(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| nano_usd(value.as_str().unwrap_or_default()))
}

/// US dollars in nano-USD: `"0.15"`. What is no amount is 0.
#[must_use]
pub fn nano_usd(dollars: &str) -> u64 {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_nano_dollars() {
        assert_eq!(
            ["1.00", "0.15", "12", "0.000000001"].map(nano_usd),
            [1_000_000_000, 150_000_000, 12_000_000_000, 1]
        );
    }

    #[test]
    fn what_comes_from_the_cache_costs_less() {
        let usage = Usage { input: 10, cached: 4, output: 3, reasoning: 2 };
        assert_eq!(CHEAP.cost(usage), 6 * 150 + 4 * 75 + 3 * 600);
        assert_eq!(DEAR.cost(usage), 6 * 5_000 + 4 * 500 + 3 * 10_000);
    }
}
