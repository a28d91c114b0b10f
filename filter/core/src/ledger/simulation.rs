//! A fleet of gateways and one control plane, by thousands of random schedules: messages are late or
//! lost, streams break, gateways stop and die. Limits hold, and no record is lost or told twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use latchkey_proto::ledger as wire;
use latchkey_proto::window::Window;
use wire::ledger_request::Kind;

use super::tests::config;
use super::*;
use crate::account::{Account, Actual, Need, Owner, OwnerId, Reservation, Reserve, cancel, reserve, settle};
use crate::price::{NanoUsd, Price};
use crate::record::Record;
use crate::ring::{Append, Ring, take_worker};
use crate::snapshot::{Bucket, BucketKind, Limits, Unit};
use crate::testing::{self, Memory};

#[path = "simulation/server.rs"]
mod server;

use server::Server;

const START: i64 = 1_700_000_000_000;
const APP: OwnerId = OwnerId([1; 16]);
const KEY: OwnerId = OwnerId([2; 16]);
const PRICE: Price = Price { version: 1, input: 1_000_000, cached_input: 500_000, output: 3_000_000 };

/// Xorshift: the same schedule for the same seed.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// A request under way.
struct Live {
    reservation: Reservation,
    at_ms: i64,
    worker: usize,
}

struct Gateway {
    instance: u64,
    /// Its clock is wrong by so much.
    skew_ms: i64,
    store: Rc<Memory>,
    ledger: Ledger<Rc<Memory>>,
    rings: Vec<Ring>,
    live: Vec<Live>,
    is_connected: bool,
    streams: u32,
    up: VecDeque<wire::Report>,
    down: VecDeque<wire::LedgerResponse>,
    notices: VecDeque<Vec<u8>>,
    ticked_ms: i64,
    appended: BTreeSet<String>,
}

struct World {
    random: Random,
    now_ms: i64,
    server: Server,
    gateways: Vec<Gateway>,
    /// What a broken stream has left: of which gateway, and of which of its streams.
    strays: Vec<(u64, u32, wire::Report)>,
    limits: [Limits; 2],
    /// Whether gateways take all that they get, of windows, and much time passes.
    is_greedy: bool,
    /// What was admitted: bucket, when, and how much it used.
    admitted: Vec<((OwnerId, BucketKind, i64), i64, u64)>,
    /// Granted something by a stray after they had asked what was lost: known at the next grant.
    misled: BTreeSet<u64>,
    instances: u64,
    requests: u64,
    refused: u64,
}

impl Gateway {
    fn new(instance: u64, skew_ms: i64, now_ms: i64) -> Self {
        let store = Rc::<Memory>::default();
        let ledger =
            Ledger::resume(Rc::clone(&store), Config { alone_for_ms: 0, away_after_ms: 3000, ..config() });
        let mut gateway = Self {
            instance,
            skew_ms,
            store,
            ledger,
            rings: Vec::new(),
            live: Vec::new(),
            is_connected: false,
            streams: 0,
            up: VecDeque::new(),
            down: VecDeque::new(),
            notices: VecDeque::new(),
            ticked_ms: now_ms,
            appended: BTreeSet::new(),
        };
        gateway.on(Event::Tick, now_ms);
        gateway.rings = (0..2).map(|_| Ring::new(take_worker(&gateway.store).unwrap(), 8)).collect();
        gateway
    }

    fn on(&mut self, event: Event, now_ms: i64) {
        for effect in self.ledger.on(event, now_ms + self.skew_ms) {
            match effect {
                Effect::Send(wire::LedgerRequest { kind: Some(Kind::Report(report)) }) => {
                    self.up.push_back(report)
                }
                Effect::Send(_) | Effect::Wake | Effect::Log(_) => {}
            }
        }
    }

    /// What its accounts hold, or have left.
    fn left(&self) -> u64 {
        let accounts = [APP, KEY].map(|owner| Account::read(&self.store, owner));
        let lines = accounts.iter().flatten().flat_map(|(account, _)| &account.lines);
        lines.map(|line| line.held + line.unused()).sum()
    }

    fn finish(
        &mut self,
        index: usize,
        share: u64,
        admitted: &mut Vec<((OwnerId, BucketKind, i64), i64, u64)>,
        id: String,
    ) {
        let Live { reservation, at_ms, worker } = self.live.swap_remove(index);
        let most = reservation.most();
        let actual = Actual { tokens: most.tokens * share / 100, cost: NanoUsd(most.cost.0 * share / 100) };
        let charges = settle(&self.store, reservation, actual);
        admitted.extend(
            charges.iter().map(|charge| ((charge.owner, charge.kind, charge.period), at_ms, charge.amount)),
        );
        let record = Record { request_id: id.clone(), charges, ..testing::record() };
        assert_eq!(self.rings[worker].append(&self.store, record), Append::Appended);
        self.appended.insert(id);
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            random.next();
        }
        let of = |kinds: &[(BucketKind, u64)]| Limits {
            buckets: kinds.iter().map(|&(kind, limit)| Bucket { kind, limit }).collect(),
            ..Limits::default()
        };
        let is_greedy = seed % 2 == 1;
        let limits = if is_greedy {
            [
                of(&[(BucketKind::RequestsPerMinute, 3 + random.below(8))]),
                of(&[(BucketKind::TokensPerMinute, 100 + random.below(300))]),
            ]
        } else {
            [
                of(&[
                    (BucketKind::RequestsPerMinute, 5 + random.below(30)),
                    (BucketKind::TokensPerMinute, 300 + random.below(2000)),
                    (BucketKind::CostBudget, 500 + random.below(5000)),
                ]),
                of(&[
                    (BucketKind::RequestsPerMinute, 3 + random.below(30)),
                    (BucketKind::TokenBudget, 400 + random.below(3000)),
                ]),
            ]
        };
        let mut server = Server::default();
        for (owner, limits) in [APP, KEY].into_iter().zip(&limits) {
            server.limits.extend(limits.buckets.iter().map(|bucket| ((owner, bucket.kind), bucket.limit)));
        }
        let mut world = Self {
            random,
            now_ms: START,
            server,
            gateways: Vec::new(),
            strays: Vec::new(),
            limits,
            is_greedy,
            admitted: Vec::new(),
            misled: BTreeSet::new(),
            instances: 0,
            requests: 0,
            refused: 0,
        };
        for _ in 0..2 + world.random.below(2) {
            let gateway = world.start();
            world.gateways.push(gateway);
        }
        world
    }

    fn start(&mut self) -> Gateway {
        self.instances += 1;
        let skew_ms = self.random.below(2_000_000) as i64 - 1_000_000;
        let mut gateway = Gateway::new(self.instances, skew_ms, self.now_ms);
        gateway.is_connected = true;
        gateway.on(Event::Connected, self.now_ms);
        gateway
    }

    fn step(&mut self) {
        let index = self.random.below(self.gateways.len() as u64) as usize;
        if self.is_greedy {
            return self.greedy_step(index);
        }
        match self.random.below(100) {
            0..38 => self.request(index),
            38..52 => self.end(index),
            52..82 => self.carry(index),
            82..84 => self.cut(index),
            84..86 => self.reconnect(index),
            86 => self.kill(index),
            87 if self.random.one_in(2) => {
                let ms = self.random.below(20_000) as i64;
                self.pass(5_000 + ms)
            }
            87 if self.random.one_in(4) => self.pass(61_500),
            88 => self.stray(),
            _ => {
                let ms = self.random.below(300) as i64;
                self.pass(ms);
            }
        }
    }

    fn greedy_step(&mut self, index: usize) {
        match self.random.below(100) {
            0..25 => {
                let count = self.random.below(8);
                (0..count).for_each(|_| self.request(index));
            }
            25..35 => {
                let count = self.gateways[index].live.len();
                (0..count).for_each(|_| self.end(index));
            }
            35..65 => self.carry(index),
            65..72 => self.cut(index),
            72..80 => self.reconnect(index),
            80 => self.kill(index),
            81 => self.stray(),
            82..85 => self.drop_one(index),
            85..90 => {
                let ms = self.random.below(22_000) as i64;
                self.pass(40_000 + ms)
            }
            90..95 => {
                let ms = self.random.below(5_000) as i64;
                self.pass(5_000 + ms)
            }
            _ => {
                let ms = self.random.below(500) as i64;
                self.pass(ms)
            }
        }
    }

    /// A request that was let go never leaves.
    fn drop_one(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        let Some(live) = gateway.live.pop() else { return };
        let requests = live.reservation.held().iter().filter(|held| held.kind.unit() == Unit::Requests);
        for held in requests {
            let found = ((held.owner, held.kind, 0), live.at_ms, 1);
            let index = self.admitted.iter().position(|admitted| *admitted == found).unwrap();
            self.admitted.remove(index);
        }
        cancel(&gateway.store, live.reservation);
    }

    fn request(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        let worker = self.random.below(2) as usize;
        if gateway.rings[worker].is_nearly_full(&gateway.store) || gateway.live.len() > 5 {
            return;
        }
        let mut is_dry = false;
        let owners = [Owner { id: APP, limits: &self.limits[0] }, Owner { id: KEY, limits: &self.limits[1] }];
        let owners = &owners[..1 + self.random.below(2) as usize];
        let need = Need {
            input_tokens: if self.is_greedy { 1 } else { self.random.below(40) },
            output_wanted: 10 + self.random.below(100),
            output_least: self.random.below(10),
            price: Some(PRICE),
        };
        match reserve(&gateway.store, owners, &need, self.now_ms + gateway.skew_ms) {
            Reserve::Reserved(reserved) => {
                if let Some(demand) = reserved.ahead {
                    gateway.notices.push_back(Notice::Demand(demand).encode());
                }
                let reservation = reserved.reservation;
                if self.random.one_in(10) {
                    return cancel(&gateway.store, reservation);
                }
                for held in reservation.held().iter().filter(|held| held.kind.unit() == Unit::Requests) {
                    self.admitted.push(((held.owner, held.kind, 0), self.now_ms, 1));
                }
                gateway.live.push(Live { reservation, at_ms: self.now_ms, worker });
            }
            Reserve::Dry(demand) => {
                gateway.notices.push_back(Notice::Demand(demand).encode());
                is_dry = true;
            }
            Reserve::Refused(_) => self.refused += 1,
            Reserve::Unpriced(_) | Reserve::Failed => panic!(),
        }
        let notices = std::mem::take(&mut gateway.notices);

        notices.into_iter().for_each(|notice| gateway.on(Event::Notice(notice), self.now_ms));
        // Mostly the network is quick.
        if is_dry && !self.random.one_in(3) {
            for _ in 0..8 {
                self.carry(index);
            }
            self.request(index);
        }
    }

    fn end(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        if !gateway.live.is_empty() {
            let live = self.random.below(gateway.live.len() as u64) as usize;
            let share = if self.random.one_in(3) { 100 } else { self.random.below(101) };
            self.requests += 1;
            gateway.finish(live, share, &mut self.admitted, format!("{}", self.requests));
        }
    }

    /// Delivers one message, in one of the directions.
    fn carry(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        if !gateway.is_connected {
            return;
        }
        if self.random.one_in(2)
            && let Some(response) = gateway.down.pop_front()
        {
            return gateway.on(Event::Response(response), self.now_ms);
        }
        if let Some(report) = gateway.up.pop_front() {
            let response = self.server.answer(gateway.instance, report, self.now_ms, &mut self.random);
            gateway.down.push_back(response);
        }
        for (instance, bucket) in std::mem::take(&mut self.server.recalls) {
            let recall = wire::LedgerResponse { recalls: vec![bucket], ..wire::LedgerResponse::default() };
            let to =
                self.gateways.iter_mut().find(|gateway| gateway.instance == instance && gateway.is_connected);
            to.into_iter().for_each(|gateway| gateway.down.push_back(recall.clone()));
        }
    }

    /// What the server has not read yet may still reach it later; what it has answered is lost.
    fn cut(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        if !gateway.is_connected {
            return;
        }
        gateway.is_connected = false;
        let left = gateway.up.drain(..).map(|report| (gateway.instance, gateway.streams, report));
        let left: Vec<_> = left.take(self.random.below(4) as usize).collect();
        self.strays.extend(left);
        gateway.down.clear();
        gateway.on(Event::Closed, self.now_ms);
    }

    fn reconnect(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        if !gateway.is_connected {
            gateway.is_connected = true;
            gateway.streams += 1;
            gateway.up.clear();
            gateway.on(Event::Connected, self.now_ms);
        }
    }

    fn stray(&mut self) {
        if !self.strays.is_empty() {
            let (instance, stream, report) = self.strays.remove(0);
            let asks = report.leases.iter().any(|lease| lease.want > 0);
            let is_back =
                self.gateways.iter().any(|gateway| gateway.instance == instance && gateway.streams > stream);
            if asks && is_back {
                self.misled.insert(instance);
            }
            self.server.answer(instance, report, self.now_ms, &mut self.random);
        }
    }

    /// The process dies: what was under way may have used all that was reserved.
    fn kill(&mut self, index: usize) {
        if self.random.one_in(2) {
            return;
        }
        self.cut(index);
        let started = self.start();
        let died = std::mem::replace(&mut self.gateways[index], started);
        for live in died.live {
            let held = live.reservation.held().iter().filter(|held| held.kind.unit() != Unit::Requests);
            self.admitted
                .extend(held.map(|held| ((held.owner, held.kind, held.period), live.at_ms, held.amount)));
        }
    }

    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        for gateway in &mut self.gateways {
            // A process that was stopped for long has missed its ticks.
            let due = ((self.now_ms - gateway.ticked_ms) / 100).min(15);
            for _ in 0..due {
                gateway.on(Event::Tick, self.now_ms);
                gateway.ticked_ms = self.now_ms;
            }
        }
    }

    /// Everything comes to its end.
    fn heal(&mut self) {
        while !self.strays.is_empty() {
            self.stray();
        }
        for round in 0..40 {
            for index in 0..self.gateways.len() {
                self.reconnect(index);
                while !self.gateways[index].live.is_empty() && round == 0 {
                    self.end(index);
                    // Rings are small.
                    for _ in 0..8 {
                        self.carry(index);
                    }
                    self.pass(100);
                }
                for _ in 0..4 {
                    self.carry(index);
                }
            }
            self.pass(100);
            if round > 10 && self.is_quiet() {
                return;
            }
        }
    }

    /// Whether nothing is under way, and nothing left.
    fn is_quiet(&self) -> bool {
        self.gateways.iter().all(|gateway| {
            gateway.up.is_empty()
                && gateway.left() == 0
                && gateway.appended.is_subset(&self.server.records)
                && (self.misled.contains(&gateway.instance)
                    || self.server.outstanding_of(gateway.instance, self.now_ms) == 0)
        })
    }

    fn check(&self, seed: u64) {
        for ((owner, kind), limit) in &self.server.limits {
            let of_bucket = self.admitted.iter().filter(|((by, of, _), _, _)| (by, of) == (owner, kind));
            let mut uses: Vec<_> =
                of_bucket.map(|((_, _, period), at, amount)| (*at, *period, *amount)).collect();
            uses.sort_unstable();
            let mut totals = BTreeMap::<i64, u64>::new();
            for (index, &(at, period, amount)) in uses.iter().enumerate() {
                let Some(span_ms) = kind.span_ms() else {
                    let total = totals.entry(period).or_default();
                    *total += amount;
                    assert!(*total <= *limit, "seed {seed}: {total} of {limit} {kind:?} in period {period}");
                    continue;
                };
                let within = uses[..=index].iter().filter(|(before, _, _)| *before > at - i64::from(span_ms));
                let sum: u64 = within.map(|(_, _, amount)| amount).sum();
                assert!(sum <= *limit, "seed {seed}: {sum} of {limit} {kind:?} within a window");
            }
        }
        for gateway in &self.gateways {
            assert!(gateway.appended.is_subset(&self.server.records), "seed {seed}: records are missing");
            let outstanding = self.server.outstanding_of(gateway.instance, self.now_ms);
            let is_misled = self.misled.contains(&gateway.instance);
            assert!(outstanding == 0 || is_misled, "seed {seed}: {outstanding} units are not returned");
            assert_eq!(gateway.left(), 0, "seed {seed}: units are held or left");
        }
    }
}

fn run(seeds: std::ops::Range<u64>) {
    let (mut requests, mut refused) = (0, 0);
    let schedules = seeds.end - seeds.start;
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..120 {
            world.step();
        }
        world.heal();
        world.check(seed);
        requests += world.requests;
        refused += world.refused;
    }
    assert!(requests > 4 * schedules && refused > schedules, "{requests} requests, {refused} refused");
}

#[test]
fn limits_hold_and_records_arrive_on_every_schedule() {
    run(0..750);
}

/// The same, beside it.
#[test]
fn limits_hold_and_records_arrive_on_as_many_more() {
    run(750..1500);
}
