//! A dollar, spent by many clients through many gateways, while processes die.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use latchkey_tests::load::{self, Call, End, Leaves, Outcome, Usage};
use latchkey_tests::provider::Billed;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::{DEAR, Record};
use latchkey_tests::stack::{Stack, wait};
use serde_json::json;

/// In nano-USD; a call costs about a thousandth of it.
const DOLLAR: u64 = 1_000_000_000;
const CLIENTS: usize = 64;
/// Calls after which a run that spends nothing is given up.
const MOST_CALLS: u64 = 200_000;
/// Refusals in a row, over some seconds, after which nobody is expected to give anything back.
const MOST_CONTENDED: usize = 20_000;
/// Several times what a dollar buys.
const MOST_ANSWERED: usize = 5_000;

/// Three gateways with two workers each, and an app with a dollar.
async fn stack() -> (Stack, App) {
    let stack = Stack::builder().priced().gateways(3).concurrency(2).start().await.unwrap();
    let limits = json!({ "budget": { "usd": "1.00", "per": "total" } });
    let app = stack.api().create_limited_app("dollar", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    (stack, app)
}

/// JSON, streams, and streams that are left early.
fn mixed(app: &App, number: u64) -> Call {
    let call = Call::chat(&app.key, DEAR.name, 100, "tokens=100,reasoning=10");
    match number % 5 {
        0 | 1 => call,
        2 | 3 => call.streamed(),
        _ => {
            let bytes = 200 + number as usize * 37 % 4_000;
            Call { sample: "tokens=100,pace=2".to_owned(), ..call }
                .streamed()
                .leaving(Leaves::AfterBytes(bytes))
        }
    }
}

/// When a run is over.
#[derive(Default)]
struct Spree {
    refused: AtomicUsize,
    /// Refused because somebody, alive or not, still holds what is left.
    contended: AtomicUsize,
    answered: AtomicUsize,
    /// Set when whatever disturbs the run is done.
    calm: AtomicBool,
}

impl Spree {
    /// Calls until the dollar is spent, and nothing disturbs any more.
    async fn run(&self, stack: &[std::net::SocketAddr], app: &App) -> Vec<Outcome> {
        let next = |number: u64| {
            let in_vain = self.refused.load(Ordering::Relaxed) > 200
                || self.contended.load(Ordering::Relaxed) > MOST_CONTENDED;
            let over = self.calm.load(Ordering::Relaxed) && in_vain;
            let endless = self.answered.load(Ordering::Relaxed) > MOST_ANSWERED;
            (!over && !endless && number < MOST_CALLS).then(|| mixed(app, number))
        };
        let seen = |outcome: &Outcome| match outcome.status {
            429 if outcome.code() == "insufficient_quota" => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            200 => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.refused.store(0, Ordering::Relaxed);
                self.contended.store(0, Ordering::Relaxed);
            }
            429 if outcome.code() == "quota_contended" => {
                self.contended.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        };
        load::run_watched(stack, CLIENTS, next, seen).await
    }

    /// Waits until as many calls were answered, or the dollar is spent.
    async fn until_answered(&self, count: usize) {
        wait::until("calls to be answered", Duration::from_secs(60), async || {
            let enough = self.answered.load(Ordering::Relaxed) >= count;
            Ok((enough || self.refused.load(Ordering::Relaxed) > 200).then_some(()))
        })
        .await
        .unwrap();
    }
}

fn bill(billed: Billed) -> u64 {
    DEAR.cost(Usage {
        input: billed.input_tokens,
        cached: billed.cached_input_tokens,
        output: billed.output_tokens,
        reasoning: billed.reasoning_tokens,
    })
}

/// No more than the dollar, by the provider's count and by ours.
async fn not_overspent(stack: &Stack, app: &App) {
    let billed = bill(stack.provider().settled().await.unwrap().total());
    assert!(billed <= DOLLAR, "the provider bills {billed}");
    let usage = stack.api().limit_usage(&app.path(), "budget").await.unwrap();
    assert!(usage.used + usage.reserved <= DOLLAR, "{usage:?}");
}

/// Waits until all is settled: then nine tenths of the dollar are spent, and it is what records say.
async fn well_spent(stack: &Stack, app: &App, outcomes: &[Outcome]) {
    let usage = stack.api().until_used(&app.path(), "budget", |usage| usage.reserved == 0).await.unwrap();
    assert!((DOLLAR * 9 / 10..=DOLLAR).contains(&usage.used), "{usage:?}");
    let records = all_recorded(stack, app, outcomes, &[]).await;
    assert_eq!(records.iter().map(Record::cost).sum::<u64>(), usage.used);
}

/// Waits until each call that a living gateway has let through has its record, and one only. Refusals that
/// repeat are counted together.
async fn all_recorded(stack: &Stack, app: &App, outcomes: &[Outcome], dead: &[usize]) -> Vec<Record> {
    let answered = outcomes.iter().filter(|outcome| outcome.status == 200);
    let answered = answered.filter(|outcome| !dead.contains(&outcome.gateway));
    let expected = answered.map(|outcome| outcome.header("x-request-id").to_owned()).collect::<BTreeSet<_>>();
    wait::until("a record of every answer", Duration::from_secs(60), async || {
        let records = stack.api().records(app, "").await?;
        let found = records.iter().map(|record| record.request_id.clone()).collect::<BTreeSet<_>>();
        anyhow::ensure!(
            found.len() == records.len(),
            "{} records of {} requests",
            records.len(),
            found.len()
        );
        let missing = expected.difference(&found).collect::<Vec<_>>();
        let lost = |outcome: &&Outcome| missing.iter().any(|id| *id == outcome.header("x-request-id"));
        let first = outcomes.iter().find(lost).map(|it| (it.number, it.status, &it.end, &it.headers));
        anyhow::ensure!(missing.is_empty(), "{} of {} are missing: {first:?}", missing.len(), expected.len());
        Ok(Some(records))
    })
    .await
    .unwrap()
}

/// Answers that were read to their end: the records say what the provider said.
fn reported_as_told(outcomes: &[Outcome], records: &[Record]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.status == 200 && outcome.end == End::Whole) {
        let id = outcome.header("x-request-id");
        let record = records.iter().find(|record| record.request_id == id).unwrap();
        assert_eq!(record.settlement, "reported", "{record:?}");
        assert!(outcome.usage().is_none_or(|told| told == record.usage()), "{outcome:?} {record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dollar_is_spent_and_never_overspent() {
    let (stack, app) = stack().await;
    let spree = Spree { calm: AtomicBool::new(true), ..Spree::default() };
    let outcomes = spree.run(&stack.addresses(), &app).await;
    not_overspent(&stack, &app).await;
    well_spent(&stack, &app, &outcomes).await;
    not_overspent(&stack, &app).await;
    reported_as_told(&outcomes, &all_recorded(&stack, &app, &outcomes, &[]).await);
    let left = outcomes.iter().filter(|outcome| outcome.end == End::Left).count();
    assert!(left >= 50, "only {left} clients left early");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_dies_again_and_again_loses_nothing() {
    let (mut stack, app) = stack().await;
    let (addresses, spree) = (stack.addresses(), Spree::default());
    let crashes = async {
        for count in [50, 200, 350, 500, 650] {
            spree.until_answered(count).await;
            stack.crash_control_plane().await.unwrap();
        }
        spree.calm.store(true, Ordering::Relaxed);
    };
    let (outcomes, ()) = tokio::join!(spree.run(&addresses, &app), crashes);
    stack.until_synced().await.unwrap();
    not_overspent(&stack, &app).await;
    well_spent(&stack, &app, &outcomes).await;
    not_overspent(&stack, &app).await;
    for outcome in outcomes.iter().filter(|outcome| outcome.status != 200 && outcome.end != End::Left) {
        assert!(matches!(outcome.status, 429 | 503), "{:?} {}", outcome.end, outcome.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_gateway_held_stays_charged() {
    const TOKENS: u64 = 4_000;
    let (mut stack, app) = stack().await;
    let addresses = stack.addresses();
    // Under way in the gateway that dies: nobody will ever tell what it used.
    let doomed = Call::chat(&app.key, DEAR.name, TOKENS, &format!("tokens={TOKENS},pace=60000")).streamed();
    let doomed = load::run(&addresses[2..], 4, |number| (number < 4).then(|| doomed.clone()));
    let held = 4 * TOKENS * 10_000;
    let death = async {
        wait::until("the calls to be under way", Duration::from_secs(20), async || {
            Ok((stack.provider().counts().under_way == 4).then_some(()))
        })
        .await
        .unwrap();
        stack.gateways_mut()[2].kill();
    };
    let (doomed, ()) = tokio::join!(doomed, death);
    assert!(doomed.iter().all(|outcome| outcome.end != End::Whole));

    let spree = Spree { calm: AtomicBool::new(true), ..Spree::default() };
    let outcomes = spree.run(&addresses[..2], &app).await;
    let usage = stack.api().until_used(&app.path(), "budget", |usage| usage.used + held >= DOLLAR / 2).await;
    let usage = usage.unwrap();
    assert!(usage.reserved >= held && usage.used + usage.reserved <= DOLLAR, "{usage:?}, {held} held");
    let records = all_recorded(&stack, &app, &outcomes, &[]).await;
    assert!(records.iter().map(Record::cost).sum::<u64>() <= DOLLAR - held);

    // It comes back as another process: what it held is not given back.
    stack.gateways_mut()[2].start().await.unwrap();
    stack.until_synced().await.unwrap();
    let usage = stack.api().limit_usage(&app.path(), "budget").await.unwrap();
    assert!(usage.reserved >= held, "{usage:?}");
    not_overspent(&stack, &app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_amid_the_spending_overspends_nothing() {
    let (mut stack, app) = stack().await;
    let (addresses, spree) = (stack.addresses(), Spree::default());
    let death = async {
        spree.until_answered(300).await;
        stack.gateways_mut()[1].kill();
        spree.calm.store(true, Ordering::Relaxed);
    };
    let (outcomes, ()) = tokio::join!(spree.run(&addresses, &app), death);
    not_overspent(&stack, &app).await;
    all_recorded(&stack, &app, &outcomes, &[1]).await;
    not_overspent(&stack, &app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_requests_holds_while_the_control_plane_restarts_in_between() {
    let (mut stack, _) = stack().await;
    let limits = json!({ "requests_per_hour": 90 });
    let app = stack.api().create_limited_app("hourly", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    let call = || Call::chat(&app.key, DEAR.name, 5, "tokens=5");
    let mut admitted = 0;
    for _ in 0..3 {
        let outcomes = load::run(&stack.addresses(), 8, |number| (number < 60).then(call)).await;
        admitted += outcomes.iter().filter(|outcome| outcome.status == 200).count();
        stack.crash_control_plane().await.unwrap();
        stack.until_synced().await.unwrap();
    }
    assert!((81..=90).contains(&admitted), "{admitted} of 90");
}
