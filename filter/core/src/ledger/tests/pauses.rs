//! Keys that pause: they find units without asking, and cost nothing while they are quiet.

use std::cell::Cell;

use super::*;
use crate::price::{NanoUsd, Price};
use crate::store::{NotStored, Stored, Swap};

const PRICE: Price = testing::price(1, 1_000_000, 0, 1_000_000);

/// How much longer than it says the control plane holds a lease.
const MARGIN_MS: i64 = 5_000;

/// Counts what becomes of accounts.
#[derive(Default)]
struct Counting {
    memory: TestMemory,
    reads: Cell<usize>,
    swaps: Cell<usize>,
}

impl SharedStore for Counting {
    fn get(&self, key: &str) -> Option<Stored> {
        self.reads.set(self.reads.get() + usize::from(key.starts_with('l')));
        self.memory.get(key)
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored> {
        self.memory.put(key, value)
    }

    fn swap(&self, key: &str, value: &[u8], write: u32) -> Swap {
        self.swaps.set(self.swaps.get() + usize::from(key.starts_with('l')));
        self.memory.swap(key, value, write)
    }
}

/// A gateway, and a control plane that grants what is wanted and leaves `remaining`.
struct Pair<'a> {
    store: &'a Counting,
    ledger: LedgerClient<&'a Counting>,
    limits: Limits,
    remaining: u64,
    ttl_ms: u32,
    now_ms: i64,
    granted: u64,
    returned: u64,
    asks: usize,
    waits: usize,
}

impl<'a> Pair<'a> {
    fn new(store: &'a Counting, kind: BucketKind, limit: u64) -> Self {
        let mut ledger = LedgerClient::resume(store, config());
        ledger.on(LedgerEvent::Connected, NOW);
        ledger.on(answer(1, vec![]), NOW);
        let limits = limits(kind, limit);
        Self {
            store,
            ledger,
            limits,
            remaining: limit,
            ttl_ms: 60_000,
            now_ms: NOW,
            granted: 0,
            returned: 0,
            asks: 0,
            waits: 0,
        }
    }

    fn on(&mut self, event: LedgerEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let effects = self.ledger.on(event, self.now_ms);
            for report in reports(&effects) {
                let grants = report.leases.iter().filter_map(|lease| self.answer(lease)).collect();
                events.push(answer(report.id, grants));
            }
        }
    }

    fn answer(&mut self, lease: &wire::Lease) -> Option<wire::Grant> {
        self.returned = self.returned.max(lease.returned);
        if lease.want == 0 {
            return None;
        }
        self.asks += 1;
        self.granted += lease.want;
        let verdict = wire::Verdict::Granted.into();
        Some(wire::Grant {
            bucket: lease.bucket.clone().map(|bucket| wire::BucketId { period: 0, ..bucket }),
            granted: self.granted,
            verdict,
            ttl_ms: self.ttl_ms,
            limit: self.limits.buckets[0].limit,
            remaining: self.remaining,
            ..wire::Grant::default()
        })
    }

    fn pass(&mut self, ms: i64) {
        for _ in 0..ms / 100 {
            self.now_ms += 100;
            self.on(LedgerEvent::Tick);
        }
    }

    /// Asks where it must, and uses half of what it needs.
    fn request(&mut self) {
        let limits = self.limits.clone();
        let subjects = [LimitSubject { id: APP, limits: &limits }];
        let need = Need { price: Some(testing::ceiling(&PRICE)), ..need(10, 90) };
        let reserved = loop {
            match reserve(&self.store, &subjects, &need, self.now_ms) {
                ReserveOutcome::Reserved(reserved) => break reserved,
                ReserveOutcome::Wait(demand) => {
                    self.waits += 1;
                    self.on(LedgerEvent::Demand(demand.encode()));
                }
                other => panic!("{other:?}"),
            }
        };
        if let Some(demand) = reserved.refill {
            self.on(LedgerEvent::Demand(demand.encode()));
        }
        settle(&self.store, reserved.reservation, ActualUse { tokens: 50, cost: NanoUsd(50) });
    }

    fn line(&self) -> crate::limits::account::AccountLine {
        LeaseAccount::read(&self.store, APP).unwrap().0.lines[0]
    }
}

fn granted(subject: SubjectId, kind: BucketKind, granted: u64) -> wire::Grant {
    let bucket = Some(crate::record::bucket_id(subject, kind, 0));
    wire::Grant { bucket, remaining: 100_000, ..grant(kind, granted, wire::Verdict::Granted) }
}

#[test]
fn who_pauses_finds_units_and_asks_nobody() {
    let kinds = [(RPM, 100), (TPM, 10_000), (COST, 100_000), (BucketKind::TokenBudget, 100_000)];
    for (kind, limit) in kinds {
        let store = Counting::default();
        let mut pair = Pair::new(&store, kind, limit);
        pair.request();
        pair.pass(5_000);
        pair.request();
        assert_eq!((pair.waits, pair.asks), (1, 1), "{kind:?}");
        pair.pass(20_000);
        pair.request();
        assert_eq!(pair.waits, 1, "{kind:?}: at most, more was asked for ahead");
        // Nobody has told of the last one.
        pair.pass(36_000);
        assert_eq!((pair.line().unused(), pair.returned > 0), (0, true), "{kind:?} has gone");
    }
}

#[test]
fn who_asks_ahead_keeps_a_cushion_and_asks_rarely() {
    for (kind, limit) in [(RPM, 1_000), (TPM, 100_000), (COST, 1_000_000)] {
        let store = Counting::default();
        let mut pair = Pair::new(&store, kind, limit);
        for _ in 0..60 {
            pair.request();
            pair.pass(3_000);
        }
        assert!(pair.asks <= 9, "{kind:?}: {} times for 60 requests", pair.asks);
        assert_eq!(pair.waits, 1, "{kind:?}");
    }
}

#[test]
fn a_cushion_is_little_of_the_limit_and_none_where_an_answer_was_lost() {
    let ask = |limit| {
        let buckets = vec![BucketDemand { subject: APP, kind: TPM, need: 30, least: 11, floor: 11, limit }];
        LedgerEvent::Demand(crate::limits::account::Demand { buckets }.encode())
    };
    for (limit, want) in [(100_000, 480), (1_600, 100), (160, 30), (20, 20)] {
        let store = TestMemory::default();
        let mut ledger = connected(&store);
        assert_eq!(leases(&ledger.on(ask(limit), NOW)), [(0, 0, want, 11)], "of {limit}");
        ledger.on(LedgerEvent::Closed, NOW);
        ledger.on(ask(limit), NOW);
        assert_eq!(leases(&ledger.on(LedgerEvent::Connected, NOW)), [(0, 0, 11, 11)], "all or nothing");
    }
}

#[test]
fn many_idle_units_go_back_after_a_second_and_few_after_five_minutes() {
    for (remaining, idle_ms) in [(400, 1_000), (600, 300_000)] {
        let store = Counting::default();
        let mut pair = Pair { remaining, ttl_ms: 600_000, ..Pair::new(&store, TPM, 1_000) };
        pair.on(demand(TPM, 30, 30));
        pair.pass(idle_ms - 100);
        assert_eq!(pair.line().unused(), 30, "of {remaining}");
        pair.pass(700);
        assert_eq!((pair.line().unused(), pair.returned), (0, 30), "of {remaining}");
    }
}

#[test]
fn few_idle_units_go_back_before_the_control_plane_counts_them_as_used() {
    // Ticks are late, or do not come for a while.
    for (late_ms, stopped_ms) in [(0, 0), (15, 0), (0, 8_500)] {
        let store = Counting::default();
        let mut pair = Pair { ttl_ms: 10_000, ..Pair::new(&store, TPM, 10_000) };
        pair.on(demand(TPM, 30, 30));
        let expires_ms = NOW + 10_000 + MARGIN_MS;
        pair.pass(6_000);
        pair.now_ms += stopped_ms;
        while pair.returned == 0 {
            assert!(pair.line().unused() > 0);
            pair.now_ms += late_ms;
            pair.pass(100);
            assert!(pair.now_ms < expires_ms, "{} ms too late", pair.now_ms - expires_ms);
        }
        assert!(pair.now_ms >= NOW + 10_000, "they are kept as long as they may be used");
        assert_eq!(pair.returned, pair.granted);
    }
}

#[test]
fn few_units_are_recalled_at_once() {
    let store = Counting::default();
    let mut pair = Pair::new(&store, RPM, 1_000);
    pair.on(demand(RPM, 5, 5));
    pair.pass(5_000);
    assert_eq!((pair.line().unused(), pair.returned), (6, 0));
    let recalls = vec![crate::record::bucket_id(APP, RPM, 0)];
    pair.on(LedgerEvent::Response(wire::LedgerResponse { recalls, ..wire::LedgerResponse::default() }));
    assert_eq!((pair.line().unused(), pair.returned), (0, 6));
}

#[test]
fn a_quiet_owner_is_looked_at_ever_more_rarely_until_a_record_comes() {
    let store = Counting::default();
    let app = SubjectId::from(crate::testing::APP);
    let mut ledger = LedgerClient::resume(&store, config());
    ledger.on(LedgerEvent::Connected, NOW);
    let mut now_ms = NOW;
    let mut pass = |ledger: &mut LedgerClient<_>, ticks: usize| -> Vec<(usize, Vec<LedgerEffect>)> {
        (0..ticks)
            .map(|_| {
                now_ms += 100;
                let before = store.reads.get();
                let effects = ledger.on(LedgerEvent::Tick, now_ms);
                (store.reads.get() - before, effects)
            })
            .collect()
    };
    let looks = |ticks: &[(usize, Vec<LedgerEffect>)]| -> Vec<usize> {
        (1..).zip(ticks).filter(|(_, (reads, _))| *reads > 0).map(|(tick, _)| tick).collect()
    };
    let long = wire::Grant { ttl_ms: 60_000, ..granted(app, RPM, 5) };
    ledger.on(answer(1, vec![]), NOW);
    pass(&mut ledger, 1);
    let buckets = vec![BucketDemand { subject: app, kind: RPM, need: 5, least: 5, floor: 5, limit: 100_000 }];
    ledger.on(LedgerEvent::Demand(crate::limits::account::Demand { buckets }.encode()), NOW);
    ledger.on(answer(2, vec![long]), NOW);
    assert_eq!(looks(&pass(&mut ledger, 250)), [5, 10, 50]);

    let mut ring = ring::Ring::new(ring::take_worker(&store).unwrap(), 8);
    let subjects = [LimitSubject { id: app, limits: &limits(RPM, 100_000) }];
    let ReserveOutcome::Reserved(_) = reserve(&store, &subjects, &need(1, 1), NOW + 25_000) else { panic!() };
    ring.append(&store, crate::testing::record());
    let ticks = pass(&mut ledger, 20);
    let status = |effects: &[LedgerEffect]| {
        let reports = reports(effects);
        reports.iter().flat_map(|report| &report.leases).any(|lease| lease.used == 1)
    };
    let status = ticks.iter().position(|(_, effects)| status(effects));
    assert!(status.is_some_and(|status| status < 10), "what was used is told within a second: {status:?}");
}

#[test]
fn what_is_heard_of_a_quiet_owner_has_it_looked_at_again() {
    let unasked =
        wire::LedgerResponse { grants: vec![granted(APP, RPM, 7)], ..wire::LedgerResponse::default() };
    for event in [LedgerEvent::Response(unasked), demand(RPM, 1, 0)] {
        let store = Counting::default();
        let mut pair = Pair::new(&store, RPM, 1_000);
        pair.on(demand(RPM, 5, 5));
        pair.pass(22_000);
        pair.on(event.clone());
        pair.pass(400);
        let before = store.reads.get();
        pair.pass(100);
        assert_eq!(store.reads.get() - before, 1, "{event:?}");
    }
}

#[test]
fn what_lay_idle_without_a_stream_goes_back_soon_after_it_is_open_again() {
    let store = Counting::default();
    let mut pair = Pair { remaining: 400, ..Pair::new(&store, TPM, 1_000) };
    pair.on(demand(TPM, 30, 30));
    pair.on(LedgerEvent::Closed);
    pair.pass(22_000);
    assert_eq!(pair.line().unused(), 30);
    pair.on(LedgerEvent::Connected);
    pair.pass(1_600);
    assert_eq!((pair.line().unused(), pair.returned), (0, 30));
}

#[test]
fn many_that_are_due_are_looked_at_one_after_the_other() {
    let store = Counting::default();
    let mut ledger = LedgerClient::resume(&store, config());
    ledger.on(LedgerEvent::Connected, NOW);
    let subject = |number: u16| {
        let mut id = [7; 16];
        id[..2].copy_from_slice(&number.to_le_bytes());
        SubjectId(id)
    };
    ledger.on(answer(1, vec![]), NOW);
    let grants = (0..2_500).map(|number| granted(subject(number), RPM, 1)).collect();
    ledger.on(LedgerEvent::Tick, NOW);
    ledger.on(LedgerEvent::Response(wire::LedgerResponse { grants, ..wire::LedgerResponse::default() }), NOW);
    let reads = |ledger: &mut LedgerClient<_>, tick: i64| {
        let before = store.reads.get();
        ledger.on(LedgerEvent::Tick, NOW + tick * 100);
        store.reads.get() - before
    };
    let looked: Vec<_> = (1..=8).map(|tick| reads(&mut ledger, tick)).collect();
    assert_eq!(looked, [0, 0, 0, 0, 1_000, 1_000, 500, 0]);
}

#[test]
fn what_one_owner_is_granted_is_brought_at_once() {
    let store = Counting::default();
    let mut ledger = LedgerClient::resume(&store, config());
    ledger.on(LedgerEvent::Connected, NOW);
    ledger.on(answer(1, vec![]), NOW);
    let kinds = [RPM, TPM, COST, BucketKind::RequestsPerHour, BucketKind::RequestsPerDay];
    let buckets = kinds
        .map(|kind| BucketDemand { subject: APP, kind, need: 3, least: 3, floor: 3, limit: 100 })
        .to_vec();
    ledger.on(LedgerEvent::Demand(crate::limits::account::Demand { buckets }.encode()), NOW);
    let before = store.swaps.get();
    ledger.on(answer(2, kinds.map(|kind| granted(APP, kind, 3)).to_vec()), NOW);
    assert_eq!(store.swaps.get() - before, 1);
    let (account, _) = LeaseAccount::read(&&store, APP).unwrap();
    let available: Vec<_> =
        account.lines.iter().map(|line| (line.kind, line.available(NOW), line.last_grant)).collect();
    assert_eq!(available, kinds.map(|kind| (kind, 3, 3)));
}
