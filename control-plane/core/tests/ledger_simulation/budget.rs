//! A budget by period: reservations, records, and settlements.

use std::collections::{BTreeMap, HashSet};

use latchkey_core::bucket::{Bucket, Spent};
use latchkey_core::grant::{LeaseRequest, LimitTerms, decide};
use latchkey_core::lease::ReportedLease;
use latchkey_core::limits::LimitWindow;
use latchkey_core::period::Period;
use latchkey_core::sequence::{Applied, SequenceStep};
use proptest::prelude::*;

use crate::network::Network;

const GATEWAYS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Wait(i64),
    Reserve(usize, u64),
    /// A request ends, and costs this part of what was reserved, in percent; none after an abort.
    Settle(usize, u64),
    Report(usize, u64, u64),
    Return(usize),
    Deliver(usize),
    Repeat(usize),
    Lose(usize),
    Kill(usize),
    Restart,
    Step(i64),
    NextPeriod,
}

#[derive(Clone, Debug)]
struct Record {
    sequence: u64,
    period: usize,
    cost: u64,
}

#[derive(Clone, Debug)]
enum Message {
    Report {
        process: String,
        records: Vec<Record>,
        told: BTreeMap<usize, ReportedLease>,
        ask: Option<LeaseRequest>,
        sent_ms: i64,
    },
    Answer {
        process: String,
        acknowledged: u64,
        grant: Option<(usize, u64, i64)>,
    },
}

#[derive(Debug, Default)]
struct Gateway {
    life: u32,
    period: usize,
    leases: BTreeMap<usize, ReportedLease>,
    deadline_ms: i64,
    /// What requests under way have reserved, by period.
    held: Vec<(usize, u64)>,
    sequence: u64,
    ring: Vec<Record>,
}

#[derive(Debug)]
struct Fleet {
    budget: u64,
    now_ms: i64,
    clock_ms: i64,
    period: usize,
    gateways: [Gateway; GATEWAYS],
    buckets: Vec<Bucket>,
    workers: BTreeMap<String, Applied>,
    network: Network<Message>,
    /// What requests have cost, and what may still cost, by period; with those of killed gateways.
    truth: Vec<u64>,
    seen: HashSet<(String, u64)>,
    applied: Vec<u64>,
}

impl Gateway {
    fn free(&self, period: usize) -> u64 {
        let told = self.leases.get(&period).copied().unwrap_or_default();
        let held: u64 = self.held.iter().filter(|(of, _)| *of == period).map(|(_, units)| units).sum();
        told.granted - told.used - told.returned - held
    }
}

fn fresh() -> Bucket {
    Bucket::new(Spent::nothing(LimitWindow::Calendar(Period::Day)), BTreeMap::new())
}

impl Fleet {
    fn new(budget: u64) -> Self {
        Self {
            budget,
            now_ms: 1_767_225_600_000,
            clock_ms: 0,
            period: 0,
            gateways: Default::default(),
            buckets: vec![fresh()],
            workers: BTreeMap::new(),
            network: Network::default(),
            truth: vec![0],
            seen: HashSet::new(),
            applied: vec![0],
        }
    }

    fn process(&self, gateway: usize) -> String {
        format!("{gateway}/{}", self.gateways[gateway].life)
    }

    fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Wait(ms) => self.now_ms += ms,
            Op::Reserve(gateway, units) => self.reserve(gateway, units),
            Op::Settle(gateway, percent) => self.settle(gateway, percent),
            Op::Report(gateway, want, least) => self
                .report(gateway, (want > 0).then_some(LeaseRequest { want, least, floor: 1, ahead: false })),
            Op::Return(gateway) => {
                let gateway = &mut self.gateways[gateway];
                for period in 0..self.buckets.len() {
                    let free = gateway.free(period);
                    if let Some(told) = gateway.leases.get_mut(&period) {
                        told.returned += free;
                    }
                }
            }
            Op::Deliver(which) => {
                if let Some(message) = self.network.deliver(which) {
                    self.arrive(message);
                }
            }
            Op::Repeat(which) => {
                if let Some(message) = self.network.repeat(which) {
                    self.arrive(message);
                }
            }
            Op::Lose(which) => self.network.lose(which),
            Op::Kill(gateway) => {
                let life = self.gateways[gateway].life + 1;
                self.gateways[gateway] = Gateway { life, ..Gateway::default() };
            }
            Op::Restart => self.network.lose_all(),
            Op::Step(ms) => self.clock_ms += ms,
            Op::NextPeriod => {
                self.period += 1;
                self.buckets.push(fresh());
                self.truth.push(0);
                self.applied.push(0);
            }
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let now_ms = self.now_ms + self.clock_ms;
        for (period, bucket) in self.buckets.iter_mut().enumerate() {
            let (used, charged) = (bucket.used(now_ms), bucket.used(now_ms) + bucket.outstanding());
            let (truth, applied) = (self.truth[period], self.applied[period]);
            prop_assert!(charged <= self.budget, "{charged} of {} charged", self.budget);
            prop_assert!(truth <= charged, "{truth} spent or reserved, {charged} charged");
            prop_assert_eq!(used, applied, "each record counts once");
        }
        Ok(())
    }

    fn reserve(&mut self, gateway: usize, units: u64) {
        let gateway = &mut self.gateways[gateway];
        let period = gateway.period;
        if gateway.free(period) >= units && self.now_ms < gateway.deadline_ms {
            gateway.held.push((period, units));
            self.truth[period] += units;
        }
    }

    fn settle(&mut self, gateway: usize, percent: u64) {
        let gateway = &mut self.gateways[gateway];
        let Some((period, reserved)) = gateway.held.pop() else { return };
        let cost = reserved * percent / 100;
        gateway.leases.entry(period).or_default().used += cost;
        gateway.sequence += 1;
        gateway.ring.push(Record { sequence: gateway.sequence, period, cost });
        self.truth[period] -= reserved - cost;
    }

    fn report(&mut self, gateway: usize, ask: Option<LeaseRequest>) {
        let process = self.process(gateway);
        let gateway = &self.gateways[gateway];
        // What records tell, leases do not.
        let told = gateway
            .leases
            .iter()
            .map(|(period, told)| (*period, ReportedLease { used: 0, ..*told }))
            .collect();
        self.network.send(Message::Report {
            process,
            records: gateway.ring.clone(),
            told,
            ask,
            sent_ms: self.now_ms,
        });
    }

    fn arrive(&mut self, message: Message) {
        match message {
            Message::Report { process, records, told, ask, sent_ms } => {
                let now_ms = self.now_ms + self.clock_ms;
                let worker = self.workers.entry(process.clone()).or_default();
                for Record { sequence, period, cost } in records {
                    if let SequenceStep::New { missing } = worker.take(sequence) {
                        assert_eq!(missing, 0);
                        self.buckets[period].charge(&process, cost, now_ms);
                    }
                    if self.seen.insert((process.clone(), sequence)) {
                        self.applied[period] += cost;
                    }
                }
                let acknowledged = worker.sequence;
                for (period, told) in told {
                    self.buckets[period].learn(&process, told, now_ms);
                }
                let grant = ask.map(|ask| {
                    let terms = LimitTerms { limit: self.budget, ends_at_ms: None };
                    let bucket = &mut self.buckets[self.period];
                    let decision = decide(bucket, terms, &process, ask, |_| false, now_ms);
                    let granted = bucket.leases().get(&process).map_or(0, |lease| lease.granted);
                    (self.period, granted, sent_ms + decision.ttl_ms)
                });
                self.network.send(Message::Answer { process, acknowledged, grant });
            }
            Message::Answer { process, acknowledged, grant } => {
                let Some(index) = (0..GATEWAYS).find(|gateway| self.process(*gateway) == process) else {
                    return;
                };
                let gateway = &mut self.gateways[index];
                gateway.ring.retain(|record| record.sequence > acknowledged);
                if let Some((period, granted, until_ms)) = grant {
                    gateway.period = gateway.period.max(period);
                    let told = gateway.leases.entry(period).or_default();
                    told.granted = told.granted.max(granted);
                    gateway.deadline_ms = gateway.deadline_ms.max(until_ms);
                }
            }
        }
    }

    /// All requests end, all records arrive, and all that is left is given back.
    fn calm_down(&mut self) -> Result<(), TestCaseError> {
        self.network.lose_all();
        for gateway in 0..GATEWAYS {
            while !self.gateways[gateway].held.is_empty() {
                self.step(Op::Settle(gateway, 50))?;
            }
            // Grants whose answers were lost are learned by asking again.
            self.step(Op::Report(gateway, 1, 1))?;
            self.step(Op::Deliver(0))?;
            self.step(Op::Deliver(0))?;
            self.step(Op::Return(gateway))?;
            self.step(Op::Report(gateway, 0, 0))?;
            self.step(Op::Deliver(0))?;
            self.step(Op::Deliver(0))?;
            prop_assert!(self.gateways[gateway].ring.is_empty(), "all records are acknowledged");
            let (process, period) = (self.process(gateway), self.period);
            let left = self.buckets[period].leases().get(&process).map_or(0, |lease| lease.outstanding());
            prop_assert_eq!(left, 0, "a living gateway owes nothing");
        }
        Ok(())
    }
}

fn op() -> impl Strategy<Value = Op> {
    let gateway = 0..GATEWAYS;
    prop_oneof![
        3 => (1_i64..30_000).prop_map(Op::Wait),
        8 => (gateway.clone(), 1_u64..50).prop_map(|(gateway, units)| Op::Reserve(gateway, units)),
        6 => (gateway.clone(), 0_u64..=100).prop_map(|(gateway, percent)| Op::Settle(gateway, percent)),
        8 => (gateway.clone(), 0_u64..200, 1_u64..50)
            .prop_map(|(gateway, want, least)| Op::Report(gateway, want, least)),
        2 => gateway.clone().prop_map(Op::Return),
        14 => any::<usize>().prop_map(Op::Deliver),
        2 => any::<usize>().prop_map(Op::Repeat),
        1 => any::<usize>().prop_map(Op::Lose),
        1 => gateway.prop_map(Op::Kill),
        1 => Just(Op::Restart),
        1 => (-100_000_i64..100_000).prop_map(Op::Step),
        1 => Just(Op::NextPeriod),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_budget_is_never_overspent_and_each_record_counts_once(
        budget in 1_u64..1_000, ops in prop::collection::vec(op(), 1..200)
    ) {
        let mut fleet = Fleet::new(budget);
        for op in ops {
            fleet.step(op)?;
        }
        fleet.calm_down()?;
    }
}

#[test]
fn what_a_killed_gateway_reserved_stays_charged_in_its_period() {
    let mut fleet = Fleet::new(100);
    for op in [Op::Report(0, 80, 80), Op::Deliver(0), Op::Deliver(0), Op::Reserve(0, 30), Op::Kill(0)] {
        fleet.step(op).unwrap();
    }
    fleet.now_ms += 1_000_000_000;
    fleet.calm_down().unwrap();
    assert_eq!(fleet.buckets[0].outstanding(), 80);
    fleet.step(Op::NextPeriod).unwrap();
    assert_eq!(fleet.buckets[1].outstanding(), 0);
}
