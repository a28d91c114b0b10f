//! Reclaims idle units, reports changed numbers, and forgets subjects without units.
//!
//! A subject is checked when its units may have moved, and then ever more rarely: the work follows use, not
//! the number of subjects.

use super::tracked_lines::TrackedLine;
use super::{ActiveSubject, LedgerClient, LedgerEffect, TICK_MS};
use crate::limits::account::{AccountChange, AccountLine, LeaseAccount, PERIOD_NOW, SubjectId};
use crate::store::SharedStore;

/// Ticks until a subject is checked after news of it.
const FIRST_CHECK_TICKS: u64 = 5;

/// A quiet subject is checked after this many times as long, if nothing is in progress: whatever else a
/// request does, its record is noticed.
const QUIET_FACTOR: u64 = 8;

/// The longest time between two checks, in ticks.
const LONGEST_CHECK_TICKS: u64 = 600;

/// Checks per tick; the others wait for the next ticks.
const MOST_CHECKS: usize = 1000;

/// Ticks between two measurements of a rate.
const RATE_SAMPLE_TICKS: u64 = 5;

const TICKS_PER_SECOND: u64 = 10;

/// Units untouched for this many ticks go back.
const IDLE_TICKS: u64 = 10;

/// The same for few units, so that a key that pauses need not ask for each request.
const FEW_IDLE_TICKS: u64 = 3000;

/// A subject without units is forgotten after this many quiet ticks.
const FORGET_TICKS: u64 = 100;

/// A clock that moves this far between two ticks has jumped.
const JUMP_MS: i64 = 1000;

impl<S: SharedStore> LedgerClient<S> {
    pub(super) fn reclaim_idle(&mut self, now_ms: i64, effects: &mut Vec<LedgerEffect>) {
        let has_jumped = now_ms < self.last_ms.saturating_sub(JUMP_MS);
        let has_leapt = now_ms > self.last_ms.saturating_add(JUMP_MS);
        self.last_ms = now_ms;
        if has_jumped || has_leapt {
            self.check_all_soon();
        }
        let most = if has_jumped { usize::MAX } else { MOST_CHECKS };
        let due = self.next_checks.iter().take_while(|(due, _)| *due <= self.ticks).take(most);
        for (_, subject) in due.copied().collect::<Vec<_>>() {
            match self.check(subject, now_ms, has_jumped) {
                Some(next) => self.schedule_check(subject, next),
                None => self.forget(subject),
            }
        }
        if has_jumped {
            effects.push(LedgerEffect::Log("the clock went back: leases of windows are returned".to_owned()));
        }
    }

    /// Has a subject checked soon: there is news of it.
    pub(super) fn check_soon(&mut self, subject: SubjectId) {
        let Some(active) = self.subjects.get_mut(&subject) else { return };
        active.last_moved = self.ticks;
        let round = if self.ticks < active.recalled_until { 1 } else { FIRST_CHECK_TICKS };
        let soon = self.ticks.saturating_add(round);
        if soon < active.next_check {
            self.schedule_check(subject, soon);
        }
    }

    /// Has every subject checked as soon as possible.
    pub(super) fn check_all_soon(&mut self) {
        self.next_checks = self.subjects.keys().map(|subject| (self.ticks, *subject)).collect();
        self.subjects.values_mut().for_each(|active| active.next_check = self.ticks);
    }

    fn schedule_check(&mut self, subject: SubjectId, next_check: u64) {
        let Some(active) = self.subjects.get_mut(&subject) else { return };
        self.next_checks.remove(&(active.next_check, subject));
        self.next_checks.insert((next_check, subject));
        active.next_check = next_check;
    }

    fn forget(&mut self, subject: SubjectId) {
        if let Some(active) = self.subjects.remove(&subject) {
            self.next_checks.remove(&(active.next_check, subject));
        }
    }

    /// Checks a subject. Tells the tick of its next check; none if it can be forgotten.
    fn check(&mut self, subject: SubjectId, now_ms: i64, has_jumped: bool) -> Option<u64> {
        let active = self.subjects.get(&subject)?;
        let ticks = self.ticks;
        let is_demanded = |line: &AccountLine| self.pending.contains_key(&(subject, line.kind));
        let is_under_way = self.is_under_way(active);
        let looked = LeaseAccount::change(&self.store, subject, |account| {
            for line in &mut account.lines {
                let track = active.tracks.get(line.kind, line.period);
                // Without a stream nobody could take them back, and they may be needed.
                let is_idle = self.stream.is_some()
                    && track.is_some_and(|track| track.is_idle(line, ticks))
                    && !is_demanded(line)
                    && !is_under_way;
                if is_idle || has_jumped && line.kind.span_ms().is_some() {
                    line.give_back();
                }
                line.expire(now_ms);
            }
            let newest = account.clone();
            account.lines.retain(|line| {
                let track = active.tracks.get(line.kind, line.period);
                let is_told = track.is_some_and(|track| track.reported == Some(line.totals()));
                let is_told = is_told || line.period == PERIOD_NOW;
                let is_over = newest.current(line.kind).is_some_and(|newer| newer.period != line.period);
                !(is_over && is_told && line.held == 0 && line.unused() == 0 && !is_under_way)
            });
            account.clone()
        });
        let AccountChange::Done(account) = looked else { return None };
        let active = self.subjects.get_mut(&subject)?;
        active.tracks.retain(|kind, period, track| {
            track.offline_window.is_some()
                || account.lines.iter().any(|line| line.kind == kind && line.period == period)
        });
        let mut is_asleep = !is_under_way && self.stream.is_some() && !account.lines.iter().any(is_demanded);
        for line in &account.lines {
            let (has_moved, reported, quiet_since) = active.tracks.edit(line.kind, line.period, |track| {
                (track.sample(line, ticks), track.reported, track.quiet_since)
            });
            if has_moved {
                active.last_moved = ticks;
            }
            let is_told = reported == Some(line.totals()) || line.period == PERIOD_NOW;
            if !is_told {
                self.dirty.insert(subject);
            }
            let is_quiet = ticks.saturating_sub(quiet_since) >= FORGET_TICKS;
            is_asleep &= is_told && is_quiet && line.held == 0 && line.unused() == 0;
        }
        let is_needed = account.lines.is_empty() && self.pending.keys().any(|(asking, _)| *asking == subject);
        let next = active.next_check_at(&account, self.stream.is_some(), ticks, now_ms);
        (!is_asleep || is_needed).then_some(next)
    }

    /// Whether a report about this subject is unanswered.
    fn is_under_way(&self, active: &ActiveSubject) -> bool {
        let oldest = self.stream.as_ref().and_then(|stream| stream.unanswered.front());
        oldest.is_some_and(|oldest| oldest.id <= active.last_report)
    }
}

impl ActiveSubject {
    /// The tick of the next check: the later, the longer nothing moves; but in time to return units or to
    /// forget the subject. `gives_back`: whether there is a stream to return units on.
    fn next_check_at(&self, account: &LeaseAccount, gives_back: bool, ticks: u64, now_ms: i64) -> u64 {
        let quiet = ticks.saturating_sub(self.last_moved);
        let is_held = account.lines.iter().any(|line| line.held > 0);
        let slack = if is_held { 1 } else { QUIET_FACTOR };
        if ticks < self.recalled_until {
            return ticks.saturating_add(1);
        }
        let mut next =
            ticks.saturating_add(quiet.saturating_mul(slack).clamp(FIRST_CHECK_TICKS, LONGEST_CHECK_TICKS));
        let mut forgotten = ticks;
        for line in &account.lines {
            let quiet_since = self.tracks.get(line.kind, line.period).map_or(0, |track| track.quiet_since);
            forgotten = forgotten.max(quiet_since.saturating_add(FORGET_TICKS));
            if line.unused() == 0 {
                continue;
            }
            next = next.min(ticks.saturating_add(ticks_until(line.deadline_ms, now_ms)));
            let idle = quiet_since.saturating_add(idle_ticks(line));
            // What was not possible now is tried again soon.
            let again = if idle > ticks { idle } else { ticks.saturating_add(FIRST_CHECK_TICKS) };
            next = if gives_back { next.min(again) } else { next };
        }
        let has_left = account.lines.iter().any(|line| line.held > 0 || line.unused() > 0);
        if forgotten > ticks && !has_left { next.min(forgotten) } else { next }
    }
}

impl TrackedLine {
    pub(super) fn of(line: &AccountLine, ticks: u64) -> Self {
        let received_and_taken = received_and_taken(line);
        Self {
            received_and_taken,
            quiet_since: ticks,
            base: (ticks, received_and_taken.1),
            ..Self::default()
        }
    }

    /// Whether the line's units have been untouched long enough.
    fn is_idle(&self, line: &AccountLine, ticks: u64) -> bool {
        self.received_and_taken == received_and_taken(line)
            && ticks.saturating_sub(self.quiet_since) >= idle_ticks(line)
    }

    fn sample(&mut self, line: &AccountLine, ticks: u64) -> bool {
        let now = received_and_taken(line);
        let has_moved = now != self.received_and_taken;
        if has_moved {
            self.quiet_since = ticks;
        }
        self.received_and_taken = now;
        let elapsed = ticks.saturating_sub(self.base.0);
        if elapsed >= RATE_SAMPLE_TICKS {
            let taken = now.1.saturating_sub(self.base.1);
            self.rate = taken.saturating_mul(TICKS_PER_SECOND).div_euclid(elapsed.max(1));
            self.base = (ticks, now.1);
        }
        has_moved
    }

    /// The rate, or the units taken since it was measured if that is more.
    pub(super) fn rate_with(&self, line: &AccountLine) -> u64 {
        self.rate.max(received_and_taken(line).1.saturating_sub(self.base.1))
    }
}

/// How many ticks its units may lie idle.
fn idle_ticks(line: &AccountLine) -> u64 {
    if line.has_few() { FEW_IDLE_TICKS } else { IDLE_TICKS }
}

/// At least one.
fn ticks_until(moment_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(moment_ms.saturating_sub(now_ms)).unwrap_or_default().div_ceil(TICK_MS).max(1)
}

/// Units received, and units of them taken.
fn received_and_taken(line: &AccountLine) -> (u64, u64) {
    (line.granted.saturating_add(line.local), line.used.saturating_add(line.held))
}
