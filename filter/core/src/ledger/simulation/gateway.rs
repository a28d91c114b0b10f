//! One process: its gates' requests, and its end of the stream.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use latchkey_proto::ledger as wire;
use wire::ledger_request::Kind;

use super::{APP, KEY};
use crate::ledger::tests::config;
use crate::ledger::{LedgerClient, LedgerConfig, LedgerEffect, LedgerEvent};
use crate::limits::account::{ActualUse, LeaseAccount, Reservation, SubjectId, settle};
use crate::price::NanoUsd;
use crate::record::Record;
use crate::record::ring::{Append, Ring, take_worker};
use crate::snapshot::BucketKind;
use crate::testing::{self, TestMemory};

pub struct LiveRequest {
    pub reservation: Reservation,
    pub at_ms: i64,
    pub worker: usize,
}

/// A process, and the messages that are on their way.
pub struct SimulatedGateway {
    pub instance: u64,
    /// Its clock is wrong by so much.
    pub skew_ms: i64,
    pub store: Rc<TestMemory>,
    pub ledger: LedgerClient<Rc<TestMemory>>,
    pub rings: Vec<Ring>,
    pub live: Vec<LiveRequest>,
    pub is_connected: bool,
    pub streams: u32,
    pub up: VecDeque<wire::Report>,
    pub down: VecDeque<wire::LedgerResponse>,
    pub notices: VecDeque<Vec<u8>>,
    pub ticked_ms: i64,
    /// When a gate asked for units, for the last time.
    pub asked_ms: i64,
    pub appended: BTreeSet<String>,
}

impl SimulatedGateway {
    pub fn new(instance: u64, skew_ms: i64, now_ms: i64) -> Self {
        let store = Rc::<TestMemory>::default();
        let ledger = LedgerClient::resume(
            Rc::clone(&store),
            LedgerConfig { offline_limits_ms: 0, away_after_ms: 3000, ..config() },
        );
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
            asked_ms: now_ms,
            appended: BTreeSet::new(),
        };
        gateway.on(LedgerEvent::Tick, now_ms);
        gateway.rings = (0..2).map(|_| Ring::new(take_worker(&gateway.store).unwrap(), 8)).collect();
        gateway
    }

    pub fn on(&mut self, event: LedgerEvent, now_ms: i64) {
        for effect in self.ledger.on(event, now_ms + self.skew_ms) {
            match effect {
                LedgerEffect::Send(wire::LedgerRequest { kind: Some(Kind::Report(report)) }) => {
                    self.up.push_back(report)
                }
                LedgerEffect::Send(_) | LedgerEffect::Wake | LedgerEffect::Log(_) => {}
            }
        }
    }

    /// What its accounts hold, or have left.
    pub fn left(&self) -> u64 {
        let accounts = [APP, KEY].map(|subject| LeaseAccount::read(&self.store, subject));
        let lines = accounts.iter().flatten().flat_map(|(account, _)| &account.lines);
        lines.map(|line| line.held + line.unused()).sum()
    }

    pub fn finish(
        &mut self,
        index: usize,
        share: u64,
        admitted: &mut Vec<((SubjectId, BucketKind, i64), i64, u64)>,
        id: String,
    ) {
        let LiveRequest { reservation, at_ms, worker } = self.live.swap_remove(index);
        let most = reservation.most();
        let actual =
            ActualUse { tokens: most.tokens * share / 100, cost: NanoUsd(most.cost.0 * share / 100) };
        let charges = settle(&self.store, reservation, actual);
        admitted.extend(
            charges.iter().map(|charge| ((charge.subject, charge.kind, charge.period), at_ms, charge.amount)),
        );
        let record = Record { request_id: id.clone(), charges, ..testing::record() };
        assert_eq!(self.rings[worker].append(&self.store, record), Append::Appended);
        self.appended.insert(id);
    }
}
