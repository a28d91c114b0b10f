//! Many clients near a small limit, over several gateways that run their own code: what is left is used,
//! and who is refused was refused for a reason.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use latchkey_core::bucket::{Bucket, Spent};
use latchkey_core::grant::{LeaseRequest, LeaseVerdict, LimitTerms, decide};
use latchkey_core::lease::ReportedLease;
use latchkey_core::limits::LimitWindow;
use latchkey_core::period::Period;
use latchkey_filter_core::identity::CallerIdentity;
use latchkey_filter_core::ledger::{LedgerClient, LedgerConfig, LedgerEffect, LedgerEvent};
use latchkey_filter_core::limits::account::{
    self, ActualUse, LimitSubject, Need, Patience, RefusalReason, Reservation, ReserveOutcome, SubjectId,
};
use latchkey_filter_core::limits::quota::spread_retry_ms;
use latchkey_filter_core::price::{NanoUsd, Price, TierChoice, TokenUsage};
use latchkey_filter_core::record::ring::{Ring, take_worker};
use latchkey_filter_core::record::{Record, Settlement};
use latchkey_filter_core::snapshot::{AppId, BucketKind, BucketLimit, KeyId, Limits, UnixMs};
use latchkey_filter_core::store::memory::Memory;
use latchkey_proto::ledger as wire;
use latchkey_proto::ledger::ledger_request::Kind;
use uuid::Uuid;

const START: i64 = 1_767_225_600_000;
const STEP_MS: i64 = 5;
const APP: SubjectId = SubjectId([1; 16]);

/// A nano-USD for each token.
fn price() -> Price {
    let each = 1_000_000;
    let price = latchkey_proto::discovery::Price {
        version: 1,
        input: each,
        cached_input: each,
        output: each,
        cache_write_5m: Some(each),
        cache_write_1h: Some(each),
        ..Default::default()
    };
    price.try_into().unwrap()
}

/// How the clients and the machines are.
#[derive(Clone, Copy)]
struct Scene {
    kind: BucketKind,
    limit: u64,
    gateways: usize,
    clients: usize,
    /// What a request reserves: input, and output wanted and at least.
    input: u64,
    output: u64,
    floor: u64,
    /// The output that requests want at gateways other than the first.
    other_output: u64,
    /// What it uses.
    actual: u64,
    /// How long an answer takes, and a message, at most.
    answer_ms: u64,
    message_ms: u64,
    seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    passed: u64,
    used: u64,
    cut: u64,
    refused: u64,
    /// What passed at the first gateway.
    passed_first: u64,
    /// The sum of all waits that were told.
    told_ms: u64,
    least_told_ms: u32,
    /// For how long, at most, a request was kept waiting though it fitted.
    longest_fit_ms: i64,
}

struct Gateway {
    name: String,
    store: &'static Memory,
    ledger: LedgerClient<&'static Memory>,
    ring: Ring,
    up: VecDeque<(i64, wire::Report)>,
    down: VecDeque<(i64, wire::LedgerResponse)>,
}

enum Client {
    /// It sends a request then.
    Idle(i64),
    /// Its request waits at the gate since then.
    Waiting(i64),
    /// It is answered then.
    Answered(i64, Reservation),
}

struct Fleet {
    scene: Scene,
    random: u64,
    now_ms: i64,
    bucket: Bucket,
    sequences: BTreeMap<String, u64>,
    gateways: Vec<Gateway>,
    clients: Vec<Client>,
    /// What is used and not yet known to the control plane, and what is reserved.
    unreported: u64,
    held: u64,
    /// Since when a request fits, without interruption.
    fits_since: Option<i64>,
    admitted: Vec<(i64, u64)>,
    outcome: Outcome,
}

impl Gateway {
    fn new(number: usize) -> Self {
        let store: &'static Memory = Box::leak(Box::default());
        let name = format!("gateway-{number}");
        let config = LedgerConfig {
            gateway: name.clone(),
            instance: name.clone(),
            ring_capacity: 64,
            away_after_ms: 60_000,
            offline_limits_ms: 0,
        };
        let mut ledger = LedgerClient::resume(store, config);
        ledger.on(LedgerEvent::Tick, START);
        let ring = Ring::new(take_worker(&store).unwrap(), 64);
        Self { name, store, ledger, ring, up: VecDeque::new(), down: VecDeque::new() }
    }
}

impl Fleet {
    fn new(scene: Scene) -> Self {
        let window = match scene.kind.span_ms() {
            Some(span_ms) => LimitWindow::Sliding { span_ms },
            None => LimitWindow::Calendar(Period::Total),
        };
        let mut fleet = Self {
            scene,
            random: scene.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now_ms: START,
            bucket: Bucket::new(Spent::nothing(window), BTreeMap::new()),
            sequences: BTreeMap::new(),
            gateways: (0..scene.gateways).map(Gateway::new).collect(),
            clients: Vec::new(),
            unreported: 0,
            held: 0,
            fits_since: None,
            admitted: Vec::new(),
            outcome: Outcome { least_told_ms: u32::MAX, ..Outcome::default() },
        };
        for _ in 0..scene.clients {
            let at = START + 200 + fleet.below(300);
            fleet.clients.push(Client::Idle(at));
        }
        for number in 0..scene.gateways {
            fleet.on(number, LedgerEvent::Connected);
        }
        fleet
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn below(&mut self, most: u64) -> i64 {
        i64::try_from(self.next() % most.max(1)).unwrap()
    }

    fn on(&mut self, number: usize, event: LedgerEvent) {
        let effects = self.gateways[number].ledger.on(event, self.now_ms);
        let mut wakes = false;
        for effect in effects {
            match effect {
                LedgerEffect::Send(wire::LedgerRequest { kind: Some(Kind::Report(report)) }) => {
                    let last = self.gateways[number].up.back().map_or(0, |(at, _)| *at);
                    let at = (self.now_ms + self.below(self.scene.message_ms)).max(last);
                    self.gateways[number].up.push_back((at, report));
                }
                LedgerEffect::Wake => wakes = true,
                LedgerEffect::Send(_) | LedgerEffect::Log(_) => {}
            }
        }
        if wakes {
            self.retry(number);
        }
    }

    fn run(mut self, ms: i64) -> Outcome {
        let end = START + ms;
        while self.now_ms < end {
            self.now_ms += STEP_MS;
            self.deliver();
            if self.now_ms % 100 == 0 {
                for number in 0..self.gateways.len() {
                    self.on(number, LedgerEvent::Tick);
                    self.retry(number);
                }
            }
            self.clients();
            self.watch();
        }
        self.check();
        self.outcome
    }

    fn deliver(&mut self) {
        for number in 0..self.gateways.len() {
            while self.gateways[number].up.front().is_some_and(|(at, _)| *at <= self.now_ms) {
                let (_, report) = self.gateways[number].up.pop_front().unwrap();
                self.report(number, report);
            }
            while self.gateways[number].down.front().is_some_and(|(at, _)| *at <= self.now_ms) {
                let (_, response) = self.gateways[number].down.pop_front().unwrap();
                self.on(number, LedgerEvent::Response(response));
            }
        }
    }

    fn clients(&mut self) {
        for index in 0..self.clients.len() {
            match &self.clients[index] {
                Client::Idle(at) if *at <= self.now_ms => {
                    let others_wait = self.waiting_at(index % self.scene.gateways) > 0;
                    self.clients[index] = Client::Waiting(self.now_ms);
                    // Who comes later does not overtake them.
                    if !others_wait {
                        self.request(index);
                    }
                }
                Client::Answered(at, _) if *at <= self.now_ms => self.finish(index),
                _ => {}
            }
        }
    }

    fn waiting_at(&self, number: usize) -> usize {
        let clients = self.clients.iter().skip(number).step_by(self.scene.gateways);
        clients.filter(|client| matches!(client, Client::Waiting(_))).count()
    }

    /// Those that wait at a gateway try again, in the order in which they came.
    fn retry(&mut self, number: usize) {
        let of_gateway = (number..self.clients.len()).step_by(self.scene.gateways);
        let since = |index: usize| match &self.clients[index] {
            Client::Waiting(since) => Some((*since, index)),
            _ => None,
        };
        let mut waiting: Vec<_> = of_gateway.filter_map(since).collect();
        waiting.sort_unstable();
        for (_, index) in waiting {
            self.request(index);
        }
    }

    fn request(&mut self, index: usize) {
        let Client::Waiting(since) = self.clients[index] else { return };
        let number = index % self.gateways.len();
        let Scene { kind, limit, input, floor, .. } = self.scene;
        let output = if number == 0 { self.scene.output } else { self.scene.other_output };
        let limits = Limits { buckets: vec![BucketLimit { kind, limit }], ..Limits::default() };
        let owners = [LimitSubject { id: APP, limits: &limits }];
        let need = Need {
            input_tokens: input,
            input_estimate: input,
            output_wanted: output,
            output_least: floor,
            price: price().ceiling(&TierChoice::default()).ok(),
            further_tries: 0,
        };
        let patience = Patience::after(self.now_ms - since);
        match account::reserve(&self.gateways[number].store, &owners, &need, patience, self.now_ms) {
            ReserveOutcome::Reserved(reserved) => {
                let reservation = reserved.reservation;
                self.outcome.cut += u64::from(reservation.output_tokens < output);
                self.held += reservation.held()[0].amount;
                self.admitted.push((self.now_ms, self.scene.actual));
                let at = self.now_ms + 10 + self.below(self.scene.answer_ms);
                self.clients[index] = Client::Answered(at, reservation);
                if let Some(demand) = reserved.refill {
                    self.on(number, LedgerEvent::Demand(demand.encode()));
                }
            }
            ReserveOutcome::Wait(demand) => {
                if !demand.buckets.is_empty() {
                    self.on(number, LedgerEvent::Demand(demand.encode()));
                }
            }
            ReserveOutcome::Refused(refusal) => {
                assert_ne!(refusal.reason, RefusalReason::TooLarge);
                let random = self.next();
                let told_ms = spread_retry_ms(refusal.reason, refusal.retry_after_ms, random);
                self.outcome.refused += 1;
                self.outcome.told_ms += u64::from(told_ms);
                self.outcome.least_told_ms = self.outcome.least_told_ms.min(told_ms);
                self.clients[index] = Client::Idle(self.now_ms + i64::from(told_ms));
            }
            ReserveOutcome::Unpriced(_) | ReserveOutcome::Failed => panic!(),
        }
    }

    fn finish(&mut self, index: usize) {
        let Client::Answered(_, reservation) =
            std::mem::replace(&mut self.clients[index], Client::Idle(self.now_ms))
        else {
            return;
        };
        let units = self.scene.actual;
        self.held -= reservation.held()[0].amount;
        self.unreported += units;
        self.outcome.passed += 1;
        self.outcome.passed_first += u64::from(index.is_multiple_of(self.scene.gateways));
        self.outcome.used += units;
        let gateway = &mut self.gateways[index % self.scene.gateways];
        let actual = ActualUse { tokens: units, cost: NanoUsd(units) };
        let charges = account::settle(&gateway.store, reservation, actual);
        gateway.ring.append(&gateway.store, Record { charges, ..record() });
    }

    /// The control plane reads a report and answers it.
    fn report(&mut self, number: usize, report: wire::Report) {
        let process = self.gateways[number].name.clone();
        let mut response = wire::LedgerResponse { report: report.id, ..wire::LedgerResponse::default() };
        for wire::Batch { worker, records } in report.batches {
            let last = self.sequences.entry(process.clone()).or_default();
            for record in records.iter().filter(|record| record.sequence > *last) {
                for charge in &record.charges {
                    self.bucket.charge(&process, charge.amount, self.now_ms);
                    self.unreported -= charge.amount;
                }
            }
            *last = records.last().map_or(*last, |record| record.sequence.max(*last));
            response.acknowledged.push(wire::Acknowledgement { worker, sequence: *last });
        }
        let mut recalled = Vec::new();
        for lease in report.leases {
            let wire::Lease { bucket, granted, returned, local, want, least, ahead, floor, .. } = lease;
            let told = ReportedLease { granted, used: 0, returned, local };
            self.bucket.learn(&process, told, self.now_ms);
            if want == 0 {
                continue;
            }
            let terms = LimitTerms { limit: self.scene.limit, ends_at_ms: None };
            let ask = LeaseRequest { want, least, floor, ahead };
            let decision = decide(&mut self.bucket, terms, &process, ask, |_| false, self.now_ms);
            let verdict = match decision.verdict {
                LeaseVerdict::Granted(_) => wire::Verdict::Granted,
                LeaseVerdict::Exhausted => wire::Verdict::Exhausted,
                LeaseVerdict::Contended { holders } => {
                    recalled.extend(holders);
                    wire::Verdict::Contended
                }
            };
            let bucket = bucket.map(|bucket| wire::BucketId { period: 0, ..bucket });
            response.grants.push(wire::Grant {
                bucket,
                granted: self.bucket.leases().get(&process).map_or(0, |lease| lease.granted),
                verdict: verdict.into(),
                ttl_ms: u32::try_from(decision.ttl_ms).unwrap(),
                limit: self.scene.limit,
                remaining: decision.remaining,
                reachable: decision.reachable,
                used: decision.used,
                resets_at_ms: decision.resets_at_ms.unwrap_or(0),
                retry_after_ms: decision.retry_after_ms,
            });
        }
        self.answer(number, response);
        for holder in recalled {
            let holder = self.gateways.iter().position(|gateway| gateway.name == holder).unwrap();
            let bucket = wire::BucketId { owner: APP.0.to_vec(), kind: self.scene.kind.number(), period: 0 };
            let recalls = vec![bucket];
            self.answer(holder, wire::LedgerResponse { recalls, ..wire::LedgerResponse::default() });
        }
    }

    fn answer(&mut self, number: usize, response: wire::LedgerResponse) {
        let last = self.gateways[number].down.back().map_or(0, |(at, _)| *at);
        let at = (self.now_ms + self.below(self.scene.message_ms)).max(last);
        self.gateways[number].down.push_back((at, response));
    }

    /// Notes for how long requests wait though one of them fits.
    fn watch(&mut self) {
        let used = self.bucket.used(self.now_ms);
        let left = self.scene.limit.saturating_sub(used + self.unreported + self.held);
        let waits = self.clients.iter().any(|client| matches!(client, Client::Waiting(_)));
        let fits = waits && left >= self.scene.input + self.scene.output;
        self.fits_since = fits.then(|| self.fits_since.unwrap_or(self.now_ms));
        let fits_ms = self.fits_since.map_or(0, |since| self.now_ms - since);
        self.outcome.longest_fit_ms = self.outcome.longest_fit_ms.max(fits_ms);
    }

    /// The promise: no window, and no budget, sees more than the limit.
    fn check(&self) {
        let span_ms = self.scene.kind.span_ms().map_or(i64::MAX, i64::from);
        for (index, (at, _)) in self.admitted.iter().enumerate() {
            let within = self.admitted[..=index].iter().filter(|(before, _)| at - before < span_ms);
            let sum: u64 = within.map(|(_, units)| units).sum();
            assert!(sum <= self.scene.limit, "{sum} of {}", self.scene.limit);
        }
    }
}

fn record() -> Record {
    Record {
        at: UnixMs(START),
        request_id: String::new(),
        app: AppId(Uuid::from_bytes(APP.0)),
        key: KeyId(Uuid::nil()),
        user: None,
        identity: CallerIdentity::Unknown,
        model: String::new(),
        served_model: String::new(),
        provider: String::new(),
        endpoint: "chat_completions",
        status: 200,
        code: "",
        tokens: TokenUsage::default(),
        cost: NanoUsd(0),
        price_version: 0,
        settlement: Settlement::Reported,
        settlement_reason: None,
        latency_ms: 1,
        first_token_ms: None,
        streamed: false,
        client_address: String::new(),
        conversation_id: String::new(),
        charges: Vec::new(),
        old_secret: false,
        service_tier: String::new(),
        output_cut: None,
        text: None,
        inspection: None,
        prompts: Vec::new(),
        attempts: Vec::new(),
    }
}

/// 1,000 tokens a minute; calls that use 70 and reserve 168.
const SMALL: Scene = Scene {
    kind: BucketKind::TokensPerMinute,
    limit: 1_000,
    gateways: 2,
    clients: 40,
    input: 68,
    output: 100,
    other_output: 100,
    floor: 16,
    actual: 70,
    answer_ms: 300,
    message_ms: 20,
    seed: 1,
};

/// A machine that is busy with something else.
const BUSY: Scene = Scene { answer_ms: 1_500, message_ms: 400, ..SMALL };

/// So many, that luck decides nothing.
const SEEDS: Range<u64> = 1..41;

/// Each holds a third of the budget.
const LARGE: Scene = Scene {
    kind: BucketKind::CostBudget,
    limit: 100_000,
    gateways: 1,
    clients: 5,
    input: 200,
    output: 32_000,
    other_output: 32_000,
    floor: 16,
    actual: 100,
    answer_ms: 800,
    message_ms: 20,
    seed: 1,
};

/// One gateway's requests hold most of the budget, those of the other an eighth each.
const MIXED: Scene = Scene { gateways: 2, clients: 8, output: 60_000, other_output: 12_000, ..LARGE };

#[test]
fn forty_clients_that_come_back_as_told_use_a_small_limit() {
    for kind in [BucketKind::TokensPerMinute, BucketKind::TokenBudget] {
        for gateways in [1, 2, 3] {
            for scene in [SMALL, BUSY] {
                let scene = Scene { kind, gateways, ..scene };
                let longest_ms = SEEDS.map(|seed| {
                    let outcome = Fleet::new(Scene { seed, ..scene }).run(15_000);
                    assert!(outcome.used >= 900, "{kind:?}, {gateways} gateways, seed {seed}: {outcome:?}");
                    assert!(outcome.least_told_ms >= 50, "{outcome:?}");
                    outcome.longest_fit_ms
                });
                assert_short(longest_ms.collect(), scene);
            }
        }
    }
}

/// One that fits waits for a few messages, not for its patience: records, a recall and its answer, and asking
/// again. On a busy machine one in twenty waits for two more.
fn assert_short(mut longest_ms: Vec<i64>, scene: Scene) {
    let after = |messages: i64| 700 + messages * i64::try_from(scene.message_ms).unwrap();
    longest_ms.sort_unstable();
    let most = longest_ms.len() * 19 / 20;
    let Scene { kind, gateways, message_ms, .. } = scene;
    let place = format!("{kind:?}, {gateways} gateways, {message_ms} ms: {longest_ms:?}");
    assert!(longest_ms[most - 1] <= after(6), "{place}");
    assert!(longest_ms[longest_ms.len() - 1] <= after(8), "{place}");
}

#[test]
fn a_client_alone_uses_what_is_left_as_long_as_a_call_fits() {
    for (kind, gateways) in [(BucketKind::TokensPerMinute, 1), (BucketKind::CostBudget, 2)] {
        let scene = Scene { kind, gateways, clients: 1, floor: 100, ..SMALL };
        let outcome = Fleet::new(scene).run(15_000);
        // 168 of 230 fit, of 160 they do not.
        assert_eq!((outcome.passed, outcome.cut), (12, 0), "{kind:?}: {outcome:?}");
    }
}

/// Most who are refused are told a moment at which there is room: they do not come again and again.
#[test]
fn those_who_are_refused_are_told_when_there_is_room() {
    let outcome = Fleet::new(SMALL).run(120_000);
    assert!(outcome.used >= 1_800, "{outcome:?}");
    assert!(outcome.refused <= 40 * 8, "{outcome:?}");
    assert!(outcome.told_ms / outcome.refused >= 5_000, "{outcome:?}");
}

/// Requests that hold much are waited for, and none is cut while that helps.
#[test]
fn large_requests_wait_for_each_other_before_they_are_cut() {
    for gateways in [1, 2, 3] {
        for message_ms in [20, 100] {
            for seed in SEEDS {
                let outcome = Fleet::new(Scene { gateways, message_ms, seed, ..LARGE }).run(5_000);
                assert_eq!(outcome.cut, 0, "{gateways} gateways, seed {seed}: {outcome:?}");
                assert!(outcome.passed > 10, "{outcome:?}");
            }
        }
    }
}

/// What one gateway waits for is kept for it, and the other loses little by that.
#[test]
fn small_and_large_requests_do_not_starve_each_other() {
    for seed in SEEDS {
        let outcome = Fleet::new(Scene { seed, ..MIXED }).run(10_000);
        assert_eq!(outcome.refused, 0, "seed {seed}: {outcome:?}");
        // One large request at a time fits: at most 24, if none waits for anything.
        assert!(outcome.passed_first >= 12, "seed {seed}: {outcome:?}");
        assert!(outcome.passed - outcome.passed_first >= 40, "seed {seed}: {outcome:?}");
    }
}
