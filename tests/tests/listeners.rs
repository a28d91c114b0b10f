//! Strangers who open connections to the control plane and say nothing, and who sign in all at once.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use latchkey_tests::stack::{Stack, wait};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What most systems give a process.
const DESCRIPTORS: u32 = 1024;

async fn silent(address: SocketAddr, count: usize, said: &[u8]) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let Ok(mut connection) = TcpStream::connect(address).await else { continue };
        // Where there is no room for it, it is closed.
        let _ = connection.write_all(said).await;
        open.push(connection);
    }
    open
}

async fn works(stack: &Stack) {
    let url = stack.api().url().to_owned();
    let ready = wait::until("readiness", Duration::from_secs(10), async || {
        let answer = reqwest::Client::new().get(format!("{url}/readyz")).send().await?;
        Ok((answer.status() == 200).then_some(()))
    });
    ready.await.unwrap();
    let app = stack.api().create_app(json!({ "name": "meanwhile" })).await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
}

#[tokio::test]
async fn connections_that_say_nothing_stop_neither_the_api_nor_the_gateways() {
    let mut stack = Stack::start().await.unwrap();
    stack.control_plane().stop().await.unwrap();
    stack.control_plane().limit_descriptors(DESCRIPTORS);
    stack.control_plane().start().await.unwrap();
    let http: SocketAddr = stack.api().url().trim_start_matches("http://").parse().unwrap();
    let grpc = stack.grpc_address();
    let slow = b"POST /api/v1/auth/sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{";
    let mut open = silent(http, 1_000, b"").await;
    open.extend(silent(http, 500, b"GET /readyz HTTP/1.1\r\nhost:").await);
    open.extend(silent(http, 500, slow).await);
    open.extend(silent(grpc, 600, b"").await);
    open.extend(silent(grpc, 600, b"PRI * HTTP/2.0\r\n").await);
    works(&stack).await;
    // A gateway that comes now is let in, too.
    stack.gateway_mut().restart().await.unwrap();
    stack.until_synced().await.unwrap();
    works(&stack).await;
    // All that are left are closed in the end.
    let closed = open.into_iter().map(|mut connection| async move {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(90), connection.read_to_end(&mut rest)).await.is_ok()
    });
    assert!(join_all(closed).await.into_iter().all(|closed| closed));
}

fn resident_mb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn two_hundred_sign_ins_at_once_take_a_few_buffers() {
    // Their addresses count, as behind a proxy.
    let builder = Stack::builder().gateways(0).variable("LATCHKEY_TRUSTED_PROXIES", "127.0.0.1");
    let mut stack = builder.start().await.unwrap();
    let process = stack.control_plane().id().unwrap();
    let before = resident_mb(process);
    let client = reqwest::Client::new();
    let url = format!("{}/api/v1/auth/sign-in", stack.api().url());
    let sign_in = |n: usize| {
        let body = json!({ "email": format!("{n}@acme.com"), "password": "correct horse battery" });
        let request =
            client.post(&url).header("x-forwarded-for", format!("10.0.{}.{}", n / 250, n % 250)).json(&body);
        async move { request.send().await.map(|answer| answer.status().as_u16()) }
    };
    let answers = join_all((0..200).map(sign_in)).await;
    for answer in answers {
        // Nobody is held up as one who guesses: each is looked at, or told that too many are.
        assert!(matches!(answer, Ok(401 | 503)), "{answer:?}");
    }
    let after = resident_mb(process);
    assert!(after < before + 4 * 20 + 40, "from {before} to {after} MB");
}
