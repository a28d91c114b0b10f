//! What an answer says of a revocation is so, whatever dies and however slow the network is: no request that
//! began after it passes at a gateway that it names, and a complete one names every gateway.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use latchkey_tests::stack::api::{Api, App};
use latchkey_tests::stack::link::Link;
use latchkey_tests::stack::{Stack, postgres, wait};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Enough for a network of 700 ms to bring the gateways back.
const LONG_WAIT: &str = "20000";

/// A request that a client sent.
struct Sent {
    gateway: String,
    at: Instant,
    passed: bool,
}

/// Clients that ask every gateway all the time.
struct Clients {
    calm: Arc<AtomicBool>,
    all: JoinSet<Vec<Sent>>,
}

impl Clients {
    fn start(stack: &Stack, key: &str) -> Self {
        let calm = Arc::new(AtomicBool::new(false));
        let mut all = JoinSet::new();
        for gateway in stack.gateways() {
            let (name, url) = (gateway.name().to_owned(), gateway.url() + "/v1/models");
            let (key, calm, client) = (key.to_owned(), Arc::clone(&calm), reqwest::Client::new());
            all.spawn(async move {
                let mut sent = Vec::new();
                while !calm.load(Ordering::Relaxed) {
                    let at = Instant::now();
                    let answer = client.get(&url).bearer_auth(&key).send().await;
                    let passed = answer.is_ok_and(|answer| answer.status().is_success());
                    sent.push(Sent { gateway: name.clone(), at, passed });
                }
                sent
            });
        }
        Self { calm, all }
    }

    /// All that they have sent, once every gateway refuses them.
    async fn stop(self, stack: &Stack, key: &str) -> Vec<Sent> {
        for gateway in stack.gateways() {
            gateway.until_status(key, 401).await.unwrap();
        }
        self.calm.store(true, Ordering::Relaxed);
        self.all.join_all().await.into_iter().flatten().collect()
    }
}

/// Three gateways, each behind a link of this delay.
async fn gateways(stack: &mut Stack, name: &str, link: &Link) {
    for index in 0..3 {
        let options = stack.options(&format!("{name}-{index}")).control_plane(link.address());
        stack.add_gateway(options).await.unwrap();
    }
    stack.until_synced().await.unwrap();
}

async fn new_app(api: &Api, stacks: &[&Stack]) -> App {
    let app = api.create_app(json!({ "name": "to be revoked" })).await.unwrap();
    for gateway in stacks.iter().flat_map(|stack| stack.gateways()) {
        gateway.until_status(&app.key, 200).await.unwrap();
    }
    app
}

fn names(list: &Value, of: impl Fn(&Value) -> Option<&str>) -> BTreeSet<String> {
    list.as_array().unwrap().iter().filter_map(of).map(str::to_owned).collect()
}

/// The answer holds: what it names refuses, and it names everybody who was there.
fn holds(answer: &Value, answered: Instant, sent: &[Sent]) {
    let propagation = &answer["propagation"];
    let applied = names(&propagation["applied"], Value::as_str);
    let pending = names(&propagation["pending"], |late| late["gateway"].as_str());
    let complete = propagation["complete"] == true;
    assert_eq!(complete, pending.is_empty(), "{propagation}");
    let known: BTreeSet<_> = sent.iter().map(|sent| sent.gateway.clone()).collect();
    assert_eq!(applied.union(&pending).cloned().collect::<BTreeSet<_>>(), known, "{propagation}");
    for sent in sent.iter().filter(|sent| sent.passed && sent.at > answered) {
        let late = sent.at - answered;
        assert!(!applied.contains(&sent.gateway), "{} passed {late:?} after {propagation}", sent.gateway);
    }
}

/// Stops the control plane by `stop`, starts it again, and revokes at once.
async fn after_a_restart(delay: Duration, apply_wait: &str, stop: impl AsyncFn(&mut Stack)) -> Value {
    let builder = Stack::builder().gateways(0).variable("LATCHKEY_APPLY_WAIT_MS", apply_wait);
    let mut stack = builder.start().await.unwrap();
    let link = Link::start(stack.grpc_address(), delay).await.unwrap();
    gateways(&mut stack, "edge", &link).await;
    let app = new_app(stack.api(), &[&stack]).await;
    let clients = Clients::start(&stack, &app.key);
    stop(&mut stack).await;
    stack.control_plane().start().await.unwrap();
    let answer = stack.api().act(&app.path(), "revoke").await.unwrap();
    let answered = Instant::now();
    let sent = clients.stop(&stack, &app.key).await;
    holds(&answer, answered, &sent);
    answer
}

async fn kill(stack: &mut Stack) {
    stack.control_plane().kill();
}

async fn terminate(stack: &mut Stack) {
    stack.control_plane().stop().await.unwrap();
}

#[tokio::test]
async fn a_revocation_after_a_kill_waits_for_every_gateway_to_acknowledge() {
    for delay in [0, 100] {
        let answer = after_a_restart(Duration::from_millis(delay), LONG_WAIT, kill).await;
        assert_eq!(answer["propagation"]["complete"], true, "{answer}");
    }
}

#[tokio::test]
async fn a_revocation_after_a_kill_holds_on_a_slow_network() {
    let answer = after_a_restart(Duration::from_millis(700), LONG_WAIT, kill).await;
    assert_eq!(answer["propagation"]["complete"], true, "{answer}");
}

#[tokio::test]
async fn a_revocation_that_does_not_wait_that_long_names_whom_it_does_not_know() {
    let answer = after_a_restart(Duration::from_millis(700), "100", kill).await;
    assert_eq!(answer["propagation"]["complete"], false, "{answer}");
}

#[tokio::test]
async fn a_revocation_after_an_orderly_stop_waits_just_so() {
    let answer = after_a_restart(Duration::from_millis(100), LONG_WAIT, terminate).await;
    assert_eq!(answer["propagation"]["complete"], true, "{answer}");
}

#[tokio::test]
async fn the_death_of_a_replica_does_not_forget_its_gateways() {
    let database = postgres::database().await.unwrap();
    let builder = || Stack::builder().gateways(0).database_url(&database);
    let mut first = builder().start().await.unwrap();
    let master = first.dir().join("master.key").display().to_string();
    let second = builder()
        .variable("LATCHKEY_MASTER_KEY_FILE", &master)
        .variable("LATCHKEY_APPLY_WAIT_MS", LONG_WAIT)
        .without_catalogue();
    let mut second = second.start().await.unwrap();
    let delay = Duration::from_millis(100);
    let (link, other) = (
        Link::start(first.grpc_address(), delay).await.unwrap(),
        Link::start(second.grpc_address(), delay).await.unwrap(),
    );
    gateways(&mut first, "first", &link).await;
    gateways(&mut second, "second", &other).await;
    for orderly in [false, true] {
        let app = new_app(second.api(), &[&first, &second]).await;
        let (one, two) = (Clients::start(&first, &app.key), Clients::start(&second, &app.key));
        link.lead_to(second.grpc_address());
        match orderly {
            false => first.control_plane().kill(),
            true => first.control_plane().stop().await.unwrap(),
        }
        let answer = second.api().act(&app.path(), "revoke").await.unwrap();
        let answered = Instant::now();
        let mut sent = one.stop(&first, &app.key).await;
        sent.extend(two.stop(&second, &app.key).await);
        holds(&answer, answered, &sent);
        assert_eq!(answer["propagation"]["complete"], true, "they came back to the other: {answer}");
        first.control_plane().start().await.unwrap();
        link.lead_to(first.grpc_address());
    }
}

#[tokio::test]
async fn an_envoy_that_is_gone_for_good_is_awaited_until_then() {
    let builder = Stack::builder().gateways(2).variable("LATCHKEY_APPLY_WAIT_MS", "300");
    let mut stack = builder.variable("LATCHKEY_GATEWAY_GONE_SECONDS", "6").start().await.unwrap();
    let app = new_app(stack.api(), &[&stack]).await;
    stack.gateways_mut()[1].kill();
    stack.crash_control_plane().await.unwrap();
    let off = stack.api().act(&app.path(), "deactivate").await.unwrap();
    let named = names(&off["propagation"]["pending"], |late| late["gateway"].as_str());
    assert!(named.contains("gateway-1"), "{off}");
    wait::until("the dead gateway to be gone", Duration::from_secs(60), async || {
        Ok(stack.api().gateway("gateway-1").await?.filter(|gateway| gateway["status"] == "gone"))
    })
    .await
    .unwrap();
    stack.until_synced().await.unwrap();
    let revoked = stack.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(revoked["propagation"]["complete"], true, "{revoked}");
    assert_eq!(revoked["propagation"]["applied"], json!(["gateway-0"]));
    // Back, it is awaited again.
    stack.gateways_mut()[1].start().await.unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(stack.gateways()[1].hello(&app.key).await.unwrap().status, 401);
}

#[tokio::test]
async fn a_new_key_works_everywhere_once_it_is_answered() {
    let stack = Stack::builder().gateways(3).start().await.unwrap();
    for round in 0..10 {
        let app =
            stack.api().create_app(json!({ "name": format!("app {round}"), "mode": "named" })).await.unwrap();
        let user = stack.api().create_user(&format!("{round}@acme.com")).await.unwrap();
        let key = stack.api().create_key(&app, &user, "laptop").await.unwrap();
        for gateway in stack.gateways() {
            assert_eq!(gateway.hello(&key.value).await.unwrap().status, 200, "{}", gateway.name());
        }
        stack.api().act(&key.path(), "deactivate").await.unwrap();
        stack.api().act(&key.path(), "activate").await.unwrap();
        for gateway in stack.gateways() {
            assert_eq!(gateway.hello(&key.value).await.unwrap().status, 200, "{}", gateway.name());
        }
    }
}
