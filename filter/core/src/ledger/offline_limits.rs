//! Offline limits: how limits hold while the control plane is away. For a while windows hold for this gateway
//! alone; budgets end when what is leased is used up.

use latchkey_proto::window::Window;

use super::{LedgerClient, LedgerEffect, PendingDemand};
use crate::limits::account::{
    AccountLine, BucketStatus, GrantVerdict, LeaseAccount, NO_PERIOD, PERIOD_NOW, SubjectId,
};
use crate::snapshot::BucketKind;
use crate::store::SharedStore;

/// How long lent units may be used.
const LENT_MS: i64 = 2000;

/// How long a refusal holds.
const AGAIN_MS: i64 = 500;

impl<S: SharedStore> LedgerClient<S> {
    pub(super) fn apply_offline_limits(&mut self, now_ms: i64, effects: &mut Vec<LedgerEffect>) {
        let until_ms = self.config.away_after_ms.saturating_add(self.config.offline_limits_ms);
        let lends = self.silent_for_ms() < until_ms;
        for ((subject, kind), pending) in std::mem::take(&mut self.pending) {
            match kind.span_ms().filter(|_| lends) {
                Some(span_ms) => self.lend(subject, kind, span_ms, pending, now_ms),
                None => self.refuse(subject, kind, pending, now_ms),
            }
            effects.push(LedgerEffect::Wake);
        }
    }

    /// Lends units as far as the whole limit has room.
    fn lend(
        &mut self,
        subject: SubjectId,
        kind: BucketKind,
        span_ms: u32,
        pending: PendingDemand,
        now_ms: i64,
    ) {
        let Some(active) = self.subjects.get_mut(&subject) else { return };
        active.tracks.edit(kind, NO_PERIOD, |track| {
            let window = track.offline_window.get_or_insert_with(|| {
                // What the last lease still allows counts as part of the limit.
                let left = LeaseAccount::read(&self.store, subject).and_then(|(account, _)| {
                    Some(account.current(kind)?.available_within(pending.limit, now_ms))
                });
                let mut window = Window::new(span_ms);
                window.add(now_ms, left.unwrap_or_default());
                window.into()
            });
            let mut lent = 0;
            LeaseAccount::change(&self.store, subject, |account| {
                lent = account.edit(kind, NO_PERIOD, |line| lend(line, pending, window, now_ms));
            });
            window.add(now_ms, lent);
        });
        self.dirty.insert(subject);
    }

    fn refuse(&mut self, subject: SubjectId, kind: BucketKind, pending: PendingDemand, now_ms: i64) {
        let again_ms = now_ms.saturating_add(AGAIN_MS);
        LeaseAccount::change(&self.store, subject, |account| {
            let unknown = if kind.span_ms().is_some() { NO_PERIOD } else { PERIOD_NOW };
            let period = account.current(kind).map_or(unknown, |line| line.period);
            account.edit(kind, period, |line| {
                line.give_back_above(pending.limit);
                line.asked_at_ms = 0;
                line.status = BucketStatus {
                    verdict: GrantVerdict::Away,
                    limit: pending.limit,
                    remaining: 0,
                    reachable: 0,
                    retry_at_ms: again_ms,
                    fresh_until_ms: again_ms,
                    refused: 1,
                    ..line.status
                };
            });
        });
    }
}

/// Lends what is needed, or nothing if there is not even `least`; tells how much.
fn lend(line: &mut AccountLine, pending: PendingDemand, window: &mut Window, now_ms: i64) -> u64 {
    let PendingDemand { need, ahead, least, limit, .. } = pending;
    line.give_back_above(limit);
    let available = line.available(now_ms);
    let least = least.unwrap_or_default().saturating_sub(available);
    let used = window.used(now_ms);
    let room = limit.saturating_sub(used);
    let most = need.max(ahead).saturating_sub(available).min(room);
    let resets_at_ms = window.falls_to(now_ms, limit.saturating_sub(least));
    let status = BucketStatus {
        verdict: GrantVerdict::Granted,
        limit,
        remaining: room.saturating_sub(most),
        reachable: room.saturating_sub(most),
        used,
        resets_at_ms,
        retry_at_ms: resets_at_ms.max(now_ms.saturating_add(1)),
        fresh_until_ms: 0,
        refused: least,
    };
    if most < least {
        let fresh_until_ms = status.retry_at_ms.min(now_ms.saturating_add(AGAIN_MS));
        line.status = BucketStatus {
            verdict: GrantVerdict::Exhausted,
            remaining: room,
            reachable: room,
            fresh_until_ms,
            ..status
        };
        return 0;
    }
    line.lend(most, now_ms.saturating_add(LENT_MS), now_ms);
    line.status = status;
    most
}
