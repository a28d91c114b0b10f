//! The CPU time that Envoy needs for a request, of several kinds that take turns.

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use latchkey_tests::stack::Stack;
use latchkey_tests::stack::api::App;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::statistics::median;
use crate::system;

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 4;

/// Turns of each kind.
const ROUNDS: usize = 15;

/// A chat of an app.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub app: &'a App,
    pub body: &'a Value,
    /// What the sample provider is told.
    pub sample: &'a str,
}

/// The median CPU time of a request of each kind, in microseconds.
pub async fn cpu_times<const N: usize>(
    stack: &Stack,
    asks: [Ask<'_>; N],
    requests: usize,
) -> anyhow::Result<[f64; N]> {
    let mut times = [const { vec![] }; N];
    for round in 0..=ROUNDS {
        for (ask, times) in asks.iter().zip(&mut times) {
            let time = turn(stack, ask, requests).await?;
            // The first warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    Ok(times.map(|times| median(times.into_iter())))
}

async fn turn(stack: &Stack, ask: &Ask<'_>, requests: usize) -> anyhow::Result<f64> {
    let usage = system::usage(stack.gateway())?;
    let before = usage.cpu()?;
    let body = ask.body.to_string();
    let drive = async || {
        let client = Client::builder().pool_max_idle_per_host(1).build()?;
        for _ in 0..requests.div_ceil(CONNECTIONS) {
            let url = format!("{}/v1/chat/completions", stack.gateway().url());
            let request = client.request(Method::POST, url).bearer_auth(&ask.app.key);
            let request = request.header("x-sample", ask.sample).header("content-type", "application/json");
            let answer = request.body(body.clone()).send().await.context("asking the gateway")?;
            ensure!(answer.status() == StatusCode::OK, "{}", answer.text().await?);
            answer.bytes().await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..CONNECTIONS).map(|_| drive())).await?;
    let sent = requests.div_ceil(CONNECTIONS) * CONNECTIONS;
    Ok((usage.cpu()? - before).as_secs_f64() * 1e6 / sent as f64)
}
