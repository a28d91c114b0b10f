//! Requests per minute.

use std::collections::BTreeMap;

use latchkey_core::bucket::{Bucket, Spent};
use latchkey_core::grant::{LeaseRequest, LeaseVerdict, LimitTerms, decide};
use latchkey_core::lease::ReportedLease;
use latchkey_core::limits::LimitWindow;
use proptest::prelude::*;

use crate::network::Network;

const GATEWAYS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Wait(i64),
    Admit(usize, u8),
    Report(usize, u64, u64),
    /// A report and its answer, at once.
    Exchange(usize, u64),
    Return(usize),
    Deliver(usize),
    Repeat(usize),
    Lose(usize),
    /// The gateway is killed, and another process begins.
    Kill(usize),
    /// The control plane is killed: what it has committed stays.
    Restart,
    /// The control plane's clock goes back.
    StepBack(i64),
}

#[derive(Clone, Debug)]
enum Message {
    Report { process: String, told: ReportedLease, ask: Option<LeaseRequest>, sent_ms: i64 },
    Answer { process: String, granted: u64, until_ms: i64 },
}

#[derive(Debug, Default)]
struct Gateway {
    life: u32,
    told: ReportedLease,
    deadline_ms: i64,
}

#[derive(Debug)]
struct Fleet {
    limit: u64,
    now_ms: i64,
    /// How far the control plane's clock is behind.
    behind_ms: i64,
    gateways: [Gateway; GATEWAYS],
    bucket: Bucket,
    network: Network<Message>,
    admitted: Vec<i64>,
}

impl Gateway {
    fn free(&self) -> u64 {
        self.told.granted - self.told.used - self.told.returned
    }
}

impl Fleet {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            now_ms: 1_767_225_600_000,
            behind_ms: 0,
            gateways: Default::default(),
            bucket: Bucket::new(Spent::nothing(LimitWindow::Sliding { span_ms: 60_000 }), BTreeMap::new()),
            network: Network::default(),
            admitted: Vec::new(),
        }
    }

    fn process(&self, gateway: usize) -> String {
        format!("{gateway}/{}", self.gateways[gateway].life)
    }

    fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Wait(ms) => self.now_ms += ms,
            Op::Admit(gateway, times) => return self.admit(gateway, times),
            Op::Report(gateway, want, least) => {
                let ask = (want > 0).then_some(LeaseRequest { want, least, floor: 1, ahead: false });
                self.report(gateway, ask);
            }
            Op::Exchange(gateway, want) => {
                self.report(gateway, Some(LeaseRequest { want, least: 1, floor: 1, ahead: false }));
                for _ in 0..2 {
                    let message = self.network.newest();
                    message.map_or(Ok(()), |message| self.arrive(message))?;
                }
            }
            Op::Return(gateway) => {
                let gateway = &mut self.gateways[gateway];
                gateway.told.returned += gateway.free();
            }
            Op::Deliver(which) => {
                if let Some(message) = self.network.deliver(which) {
                    return self.arrive(message);
                }
            }
            Op::Repeat(which) => {
                if let Some(message) = self.network.repeat(which) {
                    return self.arrive(message);
                }
            }
            Op::Lose(which) => self.network.lose(which),
            Op::Kill(gateway) => {
                let life = self.gateways[gateway].life + 1;
                self.gateways[gateway] = Gateway { life, ..Gateway::default() };
            }
            Op::Restart => self.network.lose_all(),
            Op::StepBack(ms) => self.behind_ms += ms,
        }
        Ok(())
    }

    fn admit(&mut self, gateway: usize, times: u8) -> Result<(), TestCaseError> {
        for _ in 0..times {
            let gateway = &mut self.gateways[gateway];
            if gateway.free() == 0 || self.now_ms >= gateway.deadline_ms {
                break;
            }
            gateway.told.used += 1;
            self.admitted.push(self.now_ms);
        }
        let lately = self.admitted.iter().filter(|at| **at > self.now_ms - 60_000).count() as u64;
        prop_assert!(lately <= self.limit, "{lately} of {} in 60 seconds", self.limit);
        Ok(())
    }

    fn report(&mut self, gateway: usize, ask: Option<LeaseRequest>) {
        let (process, told) = (self.process(gateway), self.gateways[gateway].told);
        self.network.send(Message::Report { process, told, ask, sent_ms: self.now_ms });
    }

    fn arrive(&mut self, message: Message) -> Result<(), TestCaseError> {
        match message {
            Message::Report { process, told, ask, sent_ms } => {
                let now_ms = self.now_ms - self.behind_ms;
                self.bucket.learn(&process, told, now_ms);
                let Some(ask) = ask else { return Ok(()) };
                let terms = LimitTerms { limit: self.limit, ends_at_ms: None };
                let decision = decide(&mut self.bucket, terms, &process, ask, |_| false, now_ms);
                if let LeaseVerdict::Granted(_) = decision.verdict {
                    let charged = self.bucket.used(now_ms) + self.bucket.outstanding();
                    prop_assert!(charged <= self.limit, "{charged} of {} are charged", self.limit);
                }
                let granted = self.bucket.leases().get(&process).map_or(0, |lease| lease.granted);
                let until_ms = sent_ms + decision.ttl_ms;
                self.network.send(Message::Answer { process, granted, until_ms });
            }
            Message::Answer { process, granted, until_ms } => {
                for gateway in 0..GATEWAYS {
                    if self.process(gateway) == process {
                        let gateway = &mut self.gateways[gateway];
                        gateway.told.granted = gateway.told.granted.max(granted);
                        gateway.deadline_ms = gateway.deadline_ms.max(until_ms);
                    }
                }
            }
        }
        Ok(())
    }

    /// Everything is delivered and given back, and time passes: nothing may be left.
    fn calm_down(&mut self) -> Result<(), TestCaseError> {
        while !self.network.is_empty() {
            self.step(Op::Deliver(0))?;
        }
        for gateway in 0..GATEWAYS {
            self.step(Op::Return(gateway))?;
            self.report(gateway, None);
            self.step(Op::Deliver(0))?;
        }
        // A lease of few units, and then the window.
        self.now_ms += 670_000 + self.behind_ms;
        let now_ms = self.now_ms - self.behind_ms;
        self.bucket.expire(now_ms + self.behind_ms);
        let at_ms = now_ms + self.behind_ms;
        prop_assert_eq!((self.bucket.used(at_ms), self.bucket.outstanding()), (0, 0));
        Ok(())
    }
}

fn op() -> impl Strategy<Value = Op> {
    let gateway = 0..GATEWAYS;
    prop_oneof![
        4 => prop_oneof![1_i64..500, 2_000_i64..12_000, 45_000_i64..62_000].prop_map(Op::Wait),
        6 => (gateway.clone(), 1_u8..40).prop_map(|(gateway, times)| Op::Admit(gateway, times)),
        6 => (gateway.clone(), 0_u64..20, 1_u64..5).prop_map(|(gateway, want, least)| Op::Report(gateway, want, least)),
        6 => (gateway.clone(), 1_u64..40).prop_map(|(gateway, want)| Op::Exchange(gateway, want)),
        1 => gateway.clone().prop_map(Op::Return),
        10 => any::<usize>().prop_map(Op::Deliver),
        1 => any::<usize>().prop_map(Op::Repeat),
        1 => any::<usize>().prop_map(Op::Lose),
        1 => gateway.prop_map(Op::Kill),
        1 => Just(Op::Restart),
        1 => (1_i64..30_000).prop_map(Op::StepBack),
    ]
}

/// Of the larger ones a gateway may hold a few units for longer.
fn limit() -> impl Strategy<Value = u64> {
    prop_oneof![1_u64..40, 40_u64..200]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sixty_seconds_see_more_than_the_limit(limit in limit(), ops in prop::collection::vec(op(), 1..100)) {
        let mut fleet = Fleet::new(limit);
        for op in ops {
            fleet.step(op)?;
        }
        fleet.calm_down()?;
    }
}

/// Demand without faults: nearly all of the limit can be used.
#[test]
fn a_steady_fleet_uses_the_whole_limit() {
    let mut fleet = Fleet::new(30);
    for _ in 0..40 {
        for gateway in 0..GATEWAYS {
            fleet.step(Op::Admit(gateway, 5)).unwrap();
            let wants = u64::from(fleet.gateways[gateway].free() == 0);
            fleet.step(Op::Report(gateway, wants * 5, 1)).unwrap();
            while !fleet.network.is_empty() {
                fleet.step(Op::Deliver(0)).unwrap();
            }
        }
        fleet.step(Op::Wait(100)).unwrap();
    }
    assert_eq!(fleet.admitted.len(), 30);
}
