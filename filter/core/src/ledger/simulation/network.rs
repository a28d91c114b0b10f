//! What happens between gateways and the control plane, and to their processes.

use latchkey_proto::ledger as wire;

use super::Simulation;
use crate::ledger::LedgerEvent;
use crate::snapshot::Unit;

impl Simulation {
    /// Delivers one message, in one of the directions.
    pub fn carry(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        if !gateway.is_connected {
            return;
        }
        if self.random.one_in(2)
            && let Some(response) = gateway.down.pop_front()
        {
            return gateway.on(LedgerEvent::Response(response), self.now_ms);
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
    pub fn cut(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        if !gateway.is_connected {
            return;
        }
        gateway.is_connected = false;
        let left = gateway.up.drain(..).map(|report| (gateway.instance, gateway.streams, report));
        let left: Vec<_> = left.take(self.random.below(4) as usize).collect();
        self.strays.extend(left);
        gateway.down.clear();
        gateway.on(LedgerEvent::Closed, self.now_ms);
    }

    pub fn reconnect(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        if !gateway.is_connected {
            gateway.is_connected = true;
            gateway.streams += 1;
            gateway.up.clear();
            gateway.on(LedgerEvent::Connected, self.now_ms);
        }
    }

    pub fn stray(&mut self) {
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
    pub fn kill(&mut self, index: usize) {
        if self.random.one_in(2) {
            return;
        }
        self.cut(index);
        let started = self.start();
        let died = std::mem::replace(&mut self.gateways[index], started);
        for live in died.live {
            let held = live.reservation.held().iter().filter(|held| held.kind.unit() != Unit::Requests);
            self.admitted
                .extend(held.map(|held| ((held.subject, held.kind, held.period), live.at_ms, held.amount)));
        }
    }

    pub fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        for gateway in &mut self.gateways {
            // A process that was stopped for long has missed its ticks.
            let due = ((self.now_ms - gateway.ticked_ms) / 100).min(15);
            for _ in 0..due {
                gateway.on(LedgerEvent::Tick, self.now_ms);
                gateway.ticked_ms = self.now_ms;
            }
        }
    }

    /// Everything comes to its end.
    pub fn heal(&mut self) {
        while !self.strays.is_empty() {
            self.stray();
        }
        for round in 0..160 {
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
            // A few units may lie idle for long.
            self.pass(if round > 10 { 1000 } else { 100 });
            if round > 10 && self.is_quiet() {
                return;
            }
        }
    }

    /// Whether nothing is under way, and nothing left.
    pub fn is_quiet(&self) -> bool {
        self.gateways.iter().all(|gateway| {
            gateway.up.is_empty()
                && gateway.left() == 0
                && gateway.appended.is_subset(&self.server.records)
                && (self.misled.contains(&gateway.instance)
                    || self.server.outstanding_of(gateway.instance, self.now_ms) == 0)
        })
    }
}
