//! What lies idle goes back; what is used is told; who has nothing left is forgotten.

use super::{Effect, Known, Ledger, Track};
use crate::account::{Account, Change, Line, OwnerId, PERIOD_NOW};
use crate::store::Store;

/// Each owner is looked at once in so many ticks.
const ROUND: usize = 5;

/// Rates are found anew after so many ticks.
const SAMPLE: u64 = 5;

/// Ticks in a second.
const SECOND: u64 = 10;

/// Units that nobody has touched for so many ticks go back.
const IDLE: u64 = 10;

/// An owner of whom nothing has moved for so many ticks is forgotten.
const FORGOTTEN: u64 = 100;

/// A clock that goes back so far has jumped.
const JUMP_MS: i64 = 1000;

impl<S: Store> Ledger<S> {
    pub(super) fn watch(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        let has_jumped = now_ms < self.last_ms.saturating_sub(JUMP_MS);
        self.last_ms = now_ms;
        let due = if has_jumped { self.rounds.len() } else { self.rounds.len().div_ceil(ROUND) };
        for _ in 0..due {
            let Some(owner) = self.rounds.pop_front() else { return };
            if self.look_at(owner, now_ms, has_jumped) {
                self.rounds.push_back(owner);
            } else {
                self.owners.remove(&owner);
            }
        }
        if has_jumped {
            effects.push(Effect::Log("the clock went back: leases of windows are returned".to_owned()));
        }
    }

    /// Whether the owner is still worth a look.
    fn look_at(&mut self, owner: OwnerId, now_ms: i64, has_jumped: bool) -> bool {
        let Some(known) = self.owners.get(&owner) else { return false };
        let ticks = self.ticks;
        let asks = |line: &Line| self.pending.contains_key(&(owner, line.kind));
        let is_under_way = self.is_under_way(known);
        let looked = Account::change(&self.store, owner, |account| {
            for line in &mut account.lines {
                let track = known.tracks.get(&(line.kind, line.period));
                // Without a stream nobody could take them, and they may be needed.
                let is_idle = self.stream.is_some()
                    && track.is_some_and(|track| track.is_idle(line, ticks))
                    && !asks(line)
                    && !is_under_way;
                if is_idle || has_jumped && line.kind.span_ms().is_some() {
                    line.give_back();
                }
                line.expire(now_ms);
            }
            let newest = account.clone();
            account.lines.retain(|line| {
                let track = known.tracks.get(&(line.kind, line.period));
                let is_told = track.is_some_and(|track| track.told == Some(line.totals()));
                let is_told = is_told || line.period == PERIOD_NOW;
                let is_over = newest.current(line.kind).is_some_and(|newer| newer.period != line.period);
                !(is_over && is_told && line.held == 0 && line.unused() == 0 && !is_under_way)
            });
            account.clone()
        });
        let Change::Done(account) = looked else { return false };
        let Some(known) = self.owners.get_mut(&owner) else { return false };
        known.tracks.retain(|(kind, period), track| {
            track.alone.is_some()
                || account.lines.iter().any(|line| line.kind == *kind && line.period == *period)
        });
        let mut is_asleep = !is_under_way && self.stream.is_some() && !account.lines.iter().any(asks);
        for line in &account.lines {
            let track = known.tracks.entry((line.kind, line.period)).or_default();
            track.sample(line, ticks);
            let is_told = track.told == Some(line.totals()) || line.period == PERIOD_NOW;
            if !is_told {
                self.dirty.insert(owner);
            }
            let is_quiet = ticks.saturating_sub(track.quiet_since) >= FORGOTTEN;
            is_asleep &= is_told && is_quiet && line.held == 0 && line.unused() == 0;
        }
        !is_asleep || account.lines.is_empty() && self.pending.keys().any(|(asking, _)| *asking == owner)
    }

    /// Whether an answer about this owner is due.
    fn is_under_way(&self, known: &Known) -> bool {
        let oldest = self.stream.as_ref().and_then(|stream| stream.unanswered.front());
        oldest.is_some_and(|oldest| oldest.id <= known.report)
    }
}

impl Track {
    /// Begins to follow a line.
    pub(super) fn of(line: &Line, ticks: u64) -> Self {
        let level = level(line);
        Self { level, quiet_since: ticks, base: (ticks, level.1), ..Self::default() }
    }

    /// Whether the line's units have not been touched for a while.
    fn is_idle(&self, line: &Line, ticks: u64) -> bool {
        self.level == level(line) && ticks.saturating_sub(self.quiet_since) >= IDLE
    }

    fn sample(&mut self, line: &Line, ticks: u64) {
        let now = level(line);
        if now != self.level {
            self.quiet_since = ticks;
        }
        self.level = now;
        let elapsed = ticks.saturating_sub(self.base.0);
        if elapsed >= SAMPLE {
            let taken = now.1.saturating_sub(self.base.1);
            self.rate = taken.saturating_mul(SECOND).div_euclid(elapsed.max(1));
            self.base = (ticks, now.1);
        }
    }

    /// The rate, or, where that is more, what was taken since it was found.
    pub(super) fn rate_with(&self, line: &Line) -> u64 {
        self.rate.max(level(line).1.saturating_sub(self.base.1))
    }
}

/// What was brought, and what of it is taken.
fn level(line: &Line) -> (u64, u64) {
    (line.granted.saturating_add(line.local), line.used.saturating_add(line.held))
}
