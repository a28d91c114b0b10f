//! What it takes to refuse made-up user tokens, each of which is a new one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use latchkey_tests::issuer::{Issuer, Signer, claims, encode, unsigned};
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::gateway::Gateway;
use latchkey_tests::stack::{Stack, wait};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;

use crate::report::Report;
use crate::system;

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 8;

/// Measures them, `tokens` of each kind.
pub async fn measure(tokens: u64) -> anyhow::Result<Report> {
    let stack = Stack::start().await?;
    let signers = [
        ("RS256, 2,048 bits", Signer::rsa()),
        ("RS256, 4,096 bits", Signer::rsa_of(4096)),
        ("ES256", Signer::ec(1)),
        ("EdDSA", Signer::ed(1)),
    ];
    let kids = ["a", "b", "c", "d"];
    let keys = signers.iter().zip(kids).map(|((_, signer), kid)| signer.jwk(kid)).collect::<Vec<_>>();
    let issuer = Issuer::start(&keys).await;
    let identity = json!({ "jwt": { "keys": { "jwks_url": issuer.url } } });
    let app = stack.api().create_app(json!({ "name": "shared", "identity": identity })).await?;
    let good = signers[0].1.issue("a", &claims("alice@acme.com", json!({})));
    wait::until("a token to be accepted", std::time::Duration::from_secs(20), async || {
        Ok((ask(stack.gateway(), &client(), &app, &good).await? == StatusCode::OK).then_some(()))
    })
    .await?;

    let mut report = Report::new("Made-up user tokens, each a new one");
    let unknown = flood(&stack, &app, &signers[2].1, "x", tokens).await?;
    report.note("refused by its kid alone", show(unknown));
    for ((name, signer), kid) in signers.iter().zip(kids) {
        report.note(
            &format!("{name}: a wrong signature"),
            show(flood(&stack, &app, signer, kid, tokens).await?),
        );
    }
    Ok(report)
}

fn show((cpu, throughput): (f64, f64)) -> String {
    format!("{cpu:.0} µs, {throughput:.0}/s")
}

/// Sends so many tokens, each with other claims under one signature, and tells Envoy's CPU time for each, in
/// microseconds, and how many it refuses in a second.
async fn flood(
    stack: &Stack,
    app: &App,
    signer: &Signer,
    kid: &str,
    tokens: u64,
) -> anyhow::Result<(f64, f64)> {
    let header = json!({ "alg": signer.algorithm(), "kid": kid });
    let signature = encode(signer.signature("another text"));
    let next = AtomicU64::new(0);
    let drive = async || {
        let client = client();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= tokens {
                return anyhow::Ok(());
            }
            let signed = unsigned(&header, &claims("alice@acme.com", json!({ "jti": number })));
            let status = ask(stack.gateway(), &client, app, &format!("{signed}.{signature}")).await?;
            ensure!(status == StatusCode::UNAUTHORIZED, "a made-up token is answered {status}");
        }
    };
    let usage = system::usage(stack.gateway())?;
    let (before, begun) = (usage.cpu()?, Instant::now());
    try_join_all((0..CONNECTIONS).map(|_| drive())).await?;
    let (cpu, elapsed) = (usage.cpu()? - before, begun.elapsed());
    Ok((cpu.as_secs_f64() * 1e6 / tokens as f64, tokens as f64 / elapsed.as_secs_f64()))
}

fn client() -> Client {
    Client::builder().pool_max_idle_per_host(1).build().unwrap_or_default()
}

async fn ask(gateway: &Gateway, client: &Client, app: &App, token: &str) -> anyhow::Result<StatusCode> {
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hello" }] });
    let request = client.request(Method::POST, format!("{}/v1/chat/completions", gateway.url()));
    let request = request.bearer_auth(&app.key).header("x-user-token", token).json(&body);
    let answer = request.send().await.context("asking the gateway")?;
    let status = answer.status();
    answer.bytes().await?;
    Ok(status)
}
