//! A fleet of gateways and one control plane, by thousands of random schedules: messages are late or
//! lost, streams break, gateways stop and die. Limits hold, and no record is lost or told twice.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_proto::ledger as wire;

use super::*;
use crate::limits::account::{LimitSubject, Need, Patience, ReserveOutcome, SubjectId, cancel, reserve};
use crate::price::Price;
use crate::snapshot::{BucketKind, BucketLimit, Limits, Unit};
use crate::testing;

mod gateway;
mod network;
mod server;

use gateway::{LiveRequest, SimulatedGateway};
use server::SimulatedServer;

const START: i64 = 1_700_000_000_000;
const APP: SubjectId = SubjectId([1; 16]);
const KEY: SubjectId = SubjectId([2; 16]);
const PRICE: Price = testing::price(1, 1_000_000, 500_000, 3_000_000);

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

struct Simulation {
    random: Random,
    now_ms: i64,
    server: SimulatedServer,
    gateways: Vec<SimulatedGateway>,
    /// What a broken stream has left: of which gateway, and of which of its streams.
    strays: Vec<(u64, u32, wire::Report)>,
    limits: [Limits; 2],
    /// Whether gateways take all that they get, of windows, and much time passes.
    is_greedy: bool,
    /// What was admitted: bucket, when, and how much it used.
    admitted: Vec<((SubjectId, BucketKind, i64), i64, u64)>,
    /// Granted something by a stray after they had asked what was lost: known at the next grant.
    misled: BTreeSet<u64>,
    instances: u64,
    requests: u64,
    refused: u64,
    /// Requests that found units after a pause in which nobody asked for any.
    kept: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            random.next();
        }
        let of = |kinds: &[(BucketKind, u64)]| Limits {
            buckets: kinds.iter().map(|&(kind, limit)| BucketLimit { kind, limit }).collect(),
            ..Limits::default()
        };
        let is_greedy = seed % 2 == 1;
        // In some, limits have room for more than what is needed.
        let room = if random.one_in(3) { 10 } else { 1 };
        let limits = if is_greedy {
            [
                of(&[(BucketKind::RequestsPerMinute, (3 + random.below(8)) * room)]),
                of(&[(BucketKind::TokensPerMinute, (100 + random.below(300)) * room)]),
            ]
        } else {
            [
                of(&[
                    (BucketKind::RequestsPerMinute, (5 + random.below(30)) * room),
                    (BucketKind::TokensPerMinute, (300 + random.below(2000)) * room),
                    (BucketKind::CostBudget, (500 + random.below(5000)) * room),
                ]),
                of(&[
                    (BucketKind::RequestsPerMinute, (3 + random.below(30)) * room),
                    (BucketKind::TokenBudget, (400 + random.below(3000)) * room),
                ]),
            ]
        };
        let mut server = SimulatedServer::default();
        for (subject, limits) in [APP, KEY].into_iter().zip(&limits) {
            server.limits.extend(limits.buckets.iter().map(|bucket| ((subject, bucket.kind), bucket.limit)));
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
            kept: 0,
        };
        for _ in 0..2 + world.random.below(2) {
            let gateway = world.start();
            world.gateways.push(gateway);
        }
        world
    }

    fn start(&mut self) -> SimulatedGateway {
        self.instances += 1;
        let skew_ms = self.random.below(2_000_000) as i64 - 1_000_000;
        let mut gateway = SimulatedGateway::new(self.instances, skew_ms, self.now_ms);
        gateway.is_connected = true;
        gateway.on(LedgerEvent::Connected, self.now_ms);
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
            let found = ((held.subject, held.kind, 0), live.at_ms, 1);
            let index = self.admitted.iter().position(|admitted| *admitted == found).unwrap();
            self.admitted.remove(index);
        }
        cancel(&gateway.store, live.reservation);
    }

    fn request(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        let worker = self.random.below(2) as usize;
        let ring = &mut gateway.rings[worker];
        // Each that is let go needs a slot at its end.
        let is_full =
            ring.is_nearly_full(&gateway.store) || ring.waiting() as usize + gateway.live.len() >= 8;
        if is_full || gateway.live.len() > 5 {
            return;
        }
        let mut is_dry = false;
        let subjects = [
            LimitSubject { id: APP, limits: &self.limits[0] },
            LimitSubject { id: KEY, limits: &self.limits[1] },
        ];
        let subjects = &subjects[..1 + self.random.below(2) as usize];
        let input_tokens = if self.is_greedy { 1 } else { self.random.below(40) };
        let patience = [Patience::Whole, Patience::Cut, Patience::Over][self.random.below(3) as usize];
        let need = Need {
            input_tokens,
            input_estimate: input_tokens,
            output_wanted: 10 + self.random.below(100),
            output_least: self.random.below(10),
            price: Some(testing::ceiling(&PRICE)),
            further_tries: 0,
        };
        match reserve(&gateway.store, subjects, &need, patience, self.now_ms + gateway.skew_ms) {
            ReserveOutcome::Reserved(reserved) => {
                self.kept += u64::from(self.now_ms - gateway.asked_ms > 2_000);
                if let Some(demand) = reserved.refill {
                    gateway.asked_ms = self.now_ms;
                    gateway.notices.push_back(demand.encode());
                }
                let reservation = reserved.reservation;
                if self.random.one_in(10) {
                    return cancel(&gateway.store, reservation);
                }
                for held in reservation.held().iter().filter(|held| held.kind.unit() == Unit::Requests) {
                    self.admitted.push(((held.subject, held.kind, 0), self.now_ms, 1));
                }
                gateway.live.push(LiveRequest { reservation, at_ms: self.now_ms, worker });
            }
            ReserveOutcome::Wait(demand) => {
                gateway.asked_ms = self.now_ms;
                gateway.notices.push_back(demand.encode());
                is_dry = true;
            }
            ReserveOutcome::Refused(_) => self.refused += 1,
            ReserveOutcome::Unpriced(_) | ReserveOutcome::Failed => panic!(),
        }
        let notices = std::mem::take(&mut gateway.notices);

        notices.into_iter().for_each(|notice| gateway.on(LedgerEvent::Demand(notice), self.now_ms));
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

    fn check(&self, seed: u64) {
        for ((subject, kind), limit) in &self.server.limits {
            let of_bucket = self.admitted.iter().filter(|((by, of, _), _, _)| (by, of) == (subject, kind));
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
    let (mut requests, mut refused, mut kept, mut cushions) = (0, 0, 0, 0);
    let schedules = seeds.end - seeds.start;
    for seed in seeds {
        let mut world = Simulation::new(seed);
        for _ in 0..120 {
            world.step();
        }
        world.heal();
        world.check(seed);
        requests += world.requests;
        refused += world.refused;
        kept += world.kept;
        cushions += world.server.cushions;
    }
    assert!(requests > 4 * schedules && refused > schedules, "{requests} requests, {refused} refused");
    assert!(
        cushions > schedules && kept > schedules / 5,
        "{cushions} cushions, {kept} requests found units kept"
    );
}

#[test]
fn limits_hold_and_records_arrive_on_every_schedule() {
    run(0..750);
}

#[test]
fn limits_hold_and_records_arrive_on_as_many_more() {
    run(750..1500);
}
