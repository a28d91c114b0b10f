//! Targets that rest: conversations find theirs again, and all workers of a gateway know.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::load::{self, Call, End};
use latchkey_tests::stack::Stack;
use serde_json::json;

use super::{Act, NAMES, PATIENCE, Place, answer, good, group, wait};

const CONVERSATIONS: usize = 60;

/// Which target serves each conversation; all of them are served.
async fn served(place: &Place) -> Vec<usize> {
    let mut by = Vec::new();
    for number in 0..CONVERSATIONS {
        let conversation = format!("conversation-{number}");
        let answer = place.ask_with(&json!({}), &[("x-conversation-id", &conversation)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        // The last one that was asked: those before have failed.
        let asked = place.taken().map(|requests| requests.len());
        let attempts = super::header(&answer, "x-latchkey-attempts").unwrap_or("1");
        assert_eq!(attempts, asked.iter().sum::<usize>().to_string());
        let failing = place.failing();
        let server = (0..3).find(|at| asked[*at] > 0 && Some(*at) != failing);
        by.push(server.expect("somebody has served it"));
    }
    by
}

impl Place {
    /// The target that fails now.
    fn failing(&self) -> Option<usize> {
        self.targets.iter().position(|target| {
            let acts = target.act.lock().unwrap();
            matches!((acts.act)(0), Act::Answer(bytes) if bytes.starts_with(b"HTTP/1.1 503"))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_stay_where_they_are_while_another_target_rests_and_come_back() {
    let targets =
        NAMES.map(|name| json!({ "provider": name, "model": format!("model-{name}"), "weight": 1 }));
    let mut targets = targets.to_vec();
    for (target, weight) in targets.iter_mut().zip([40, 30, 30]) {
        target["weight"] = json!(weight);
    }
    let sticky = group(json!({ "name": "sticky", "sticky": true, "targets": targets }));
    let place =
        Place::of(Stack::start().await.unwrap(), group(json!({})), json!({ "routing_groups": "all" })).await;
    place.stack.api().post("/api/v1/routing-groups", sticky).await.unwrap().ok().unwrap();
    place.stack.until_synced().await.unwrap();
    let place = Place { model: "sticky", ..place };

    let before = served(&place).await;
    for at in 0..3 {
        let share = before.iter().filter(|served| **served == at).count();
        assert!((5..=40).contains(&share), "{before:?}");
    }
    assert_eq!(served(&place).await, before, "each stays");

    let failing = 1;
    place.targets[failing].will(Act::status("503 Oh", "retry-after: 2\r\n", "{}"));
    let meanwhile = served(&place).await;
    for (number, (now, then)) in meanwhile.iter().zip(&before).enumerate() {
        match *then == failing {
            true => assert_ne!(*now, failing, "{number} moves on"),
            false => assert_eq!(now, then, "{number} stays, with its prompt cache"),
        }
    }
    assert_eq!(served(&place).await, meanwhile, "those that moved stay, too");

    place.targets[failing].will(good());
    let moved = before.iter().position(|served| *served == failing).unwrap();
    let conversation = format!("conversation-{moved}");
    wait::until("the target to be back", PATIENCE, async || {
        let answer = place.ask_with(&json!({}), &[("x-conversation-id", &conversation)]).await;
        anyhow::ensure!(answer.status == 200, "{}", answer.text);
        Ok((!place.taken()[failing].is_empty()).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(served(&place).await, before, "all find theirs again");
}

/// How many connections each worker of the gateway has had.
async fn connections(stack: &Stack) -> BTreeMap<String, u64> {
    let stats = stack.gateway().admin("/stats?filter=worker_[0-9]+.downstream_cx_total").await;
    let lines = stats.unwrap().text;
    let read = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        name.contains("listener.127").then(|| Some((name.to_owned(), value.parse().ok()?)))?
    };
    lines.lines().filter_map(read).collect()
}

/// One request over each of so many connections of their own, at once: how many of them were answered with 200.
async fn at_once(place: &Place, count: usize) -> usize {
    let call = Call::chat(&place.app.key, "fast", 20, "");
    let address = place.stack.gateway().address();
    let outcomes = join_all((0..count).map(|_| load::once(address, &call))).await;
    let is_served = |outcome: &&load::Outcome| outcome.status == 200 && outcome.end == End::Whole;
    outcomes.iter().filter(is_served).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_that_a_target_asks_for_is_known_to_all_workers_and_ends_with_one_trial() {
    const CLIENTS: usize = 32;
    const REST: Duration = Duration::from_secs(4);
    let stack = Stack::builder().concurrency(2).start().await.unwrap();
    let patient = json!({ "attempts": 3, "headers_timeout_ms": 60_000 });
    let place = Place::of(stack, group(json!({ "failover": patient })), json!({})).await;
    assert_eq!(at_once(&place, CLIENTS).await, CLIENTS);
    drop(place.taken());

    let later = format!("retry-after: {}\r\n", REST.as_secs());
    place.targets[0].will(Act::status("429 Later", &later, "{}"));
    let asked = Instant::now();
    assert_eq!(place.ask(&json!({})).await.status, 200);
    assert_eq!(place.taken().map(|requests| requests.len()), [1, 1, 0]);

    // It would answer, but slowly, so that all others come meanwhile.
    let message = answer();
    let whole = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{message}",
        message.len()
    );
    place.targets[0].will(Act::Paced(Duration::from_secs(2), vec![Vec::new(), whole.into_bytes()]));
    let before = connections(&place.stack).await;
    let mut passed_by = 0;
    let trials = loop {
        assert_eq!(at_once(&place, CLIENTS).await, CLIENTS);
        let [a, b, _] = place.taken();
        if !a.is_empty() {
            break a.len();
        }
        passed_by += b.len();
        assert!(asked.elapsed() < PATIENCE, "it never comes back");
    };
    let waited = asked.elapsed();
    let after = connections(&place.stack).await;
    assert!(passed_by >= CLIENTS, "nobody asked it while it rested: {passed_by}");
    let served_by: Vec<_> = after.iter().filter(|(name, count)| before.get(*name) < Some(*count)).collect();
    assert_eq!(served_by.len(), 2, "both workers had requests: {before:?} {after:?}");
    assert!(waited >= REST, "{waited:?}");
    assert_eq!(trials, 1, "one request tries it, whichever worker it is at");

    place.targets[0].will(good());
    assert_eq!(at_once(&place, CLIENTS).await, CLIENTS);
    assert_eq!(place.taken().map(|requests| requests.len()), [CLIENTS, 0, 0], "it is back for all workers");
}
