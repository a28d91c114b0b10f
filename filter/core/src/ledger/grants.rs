//! Applies the control plane's answers: grants, acknowledgements and recalls.

use std::collections::BTreeMap;

use latchkey_proto::ledger as wire;

use super::{AskedUnits, LedgerClient, LedgerEffect, SentReport};
use crate::limits::account::{
    AccountChange, AccountLine, BucketStatus, GrantVerdict, LeaseAccount, PERIOD_NOW, ReceivedGrant,
    SubjectId,
};
use crate::snapshot::BucketKind;
use crate::store::SharedStore;

/// How long nobody asks for more after a grant of fewer units than asked for.
const PARTIAL_MS: i64 = 200;

/// How long a refusal is believed, even if it names a later time: the limit may be raised before.
const REFUSED_MS: i64 = 30_000;

/// Ticks that others wait for recalled units.
const RECALLED: u64 = 35;

/// How long a limit that the control plane does not know counts as lifted.
const LIFTED_MS: i64 = 1000;

/// A grant with what it answers.
struct BucketGrant {
    kind: BucketKind,
    period: i64,
    grant: wire::Grant,
    /// What was asked for, and when it was sent.
    asked: Option<(AskedUnits, i64)>,
    /// No other answer is due that a request waits for.
    is_last: bool,
}

impl<S: SharedStore> LedgerClient<S> {
    pub(super) fn answer(
        &mut self,
        response: wire::LedgerResponse,
        now_ms: i64,
        effects: &mut Vec<LedgerEffect>,
    ) {
        let wire::LedgerResponse { report, acknowledged, grants, recalls } = response;
        let sent = self.take_sent(report);
        for wire::Acknowledgement { worker, sequence } in acknowledged {
            let reader = self.shippings.iter_mut().find(|shipping| shipping.reader.worker() == worker);
            let stored = reader.map(|shipping| shipping.reader.acknowledge(&self.store, sequence));
            if stored.is_some_and(|stored| stored.is_err()) {
                effects.push(LedgerEffect::Log("an acknowledgement cannot be stored".to_owned()));
            }
        }
        for (worker, last) in sent.iter().flat_map(|sent| &sent.shipped) {
            let shipping = self.shippings.iter_mut().find(|shipping| shipping.reader.worker() == *worker);
            let Some(shipping) = shipping else { continue };
            shipping.is_under_way = false;
            // What was not committed is sent again at the next tick, not at once.
            shipping.has_more &= shipping.reader.acknowledged() >= *last;
        }
        let mut by_subject = BTreeMap::<_, Vec<_>>::new();
        for grant in grants {
            match BucketGrant::read(grant, sent.as_ref()) {
                Some((subject, bucket_grant)) => {
                    let is_last = self.awaited(subject, bucket_grant.kind) == 0;
                    by_subject.entry(subject).or_default().push(BucketGrant { is_last, ..bucket_grant });
                }
                None => effects.push(LedgerEffect::Log("a grant names no bucket".to_owned())),
            }
        }
        for (subject, grants) in by_subject {
            self.grant(subject, &grants, now_ms, effects);
        }
        if sent.is_some_and(|sent| !sent.asked.is_empty()) {
            effects.push(LedgerEffect::Wake);
        }
        for recall in recalls {
            if let Some((subject, kind)) = read_bucket(&recall) {
                self.recall(subject, kind, recall.period, now_ms);
            }
        }
    }

    /// The report that is answered; earlier ones will not be.
    fn take_sent(&mut self, report: u64) -> Option<SentReport> {
        let stream = self.stream.as_mut()?;
        let index = stream.unanswered.iter().position(|sent| sent.id == report)?;
        let sent = stream.unanswered.remove(index);
        self.silent_since = stream.unanswered.front().map(|oldest| oldest.tick);
        sent
    }

    /// Adds a subject's grants to its account in one write.
    fn grant(
        &mut self,
        subject: SubjectId,
        grants: &[BucketGrant],
        now_ms: i64,
        effects: &mut Vec<LedgerEffect>,
    ) {
        if !self.track_subject(subject) {
            return effects.push(LedgerEffect::Log("an account cannot be stored".to_owned()));
        }
        let changed = LeaseAccount::change(&self.store, subject, |account| {
            grants.iter().for_each(|grant| grant.enter(account, now_ms));
        });
        if changed != AccountChange::Done(()) {
            effects.push(LedgerEffect::Log("a grant cannot be stored".to_owned()));
        }
        let ticks = self.ticks;
        if let Some(active) = self.subjects.get_mut(&subject) {
            for BucketGrant { kind, period, asked, grant, .. } in grants {
                active.tracks.edit(*kind, *period, |track| {
                    // The control plane knows what it has granted.
                    let reported = track.reported.get_or_insert_default();
                    reported.granted = reported.granted.max(grant.granted);
                    track.is_unsure &= asked.is_none();
                    track.quiet_since = ticks;
                });
            }
        }
        self.dirty.insert(subject);
        self.check_soon(subject);
    }

    /// Unused units go back now, and what requests in progress hold when they end.
    fn recall(&mut self, subject: SubjectId, kind: BucketKind, period: i64, now_ms: i64) {
        let awaited = self.awaited(subject, kind);
        let changed = LeaseAccount::change(&self.store, subject, |account| {
            if let Some(line) = account.line_mut(kind, period) {
                line.recall(awaited, now_ms);
            }
        });
        if changed == AccountChange::Done(()) && self.track_subject(subject) {
            self.dirty.insert(subject);
            if let Some(active) = self.subjects.get_mut(&subject) {
                active.recalled_until = self.ticks.saturating_add(RECALLED);
            }
            self.check_soon(subject);
        }
    }
}

impl BucketGrant {
    /// None where it names no bucket.
    fn read(grant: wire::Grant, sent: Option<&SentReport>) -> Option<(SubjectId, Self)> {
        let bucket = grant.bucket.as_ref()?;
        let ((subject, kind), period) = (read_bucket(bucket)?, bucket.period);
        let asked = sent.and_then(|sent| {
            let asked = sent.asked.iter().find(|asked| asked.subject == subject && asked.kind == kind)?;
            Some((*asked, sent.at_ms))
        });
        Some((subject, Self { kind, period, grant, asked, is_last: true }))
    }

    fn enter(&self, account: &mut LeaseAccount, now_ms: i64) {
        let Self { kind, period, ref grant, asked, .. } = *self;
        let period = match period {
            PERIOD_NOW => account.current(kind).map_or(PERIOD_NOW, |line| line.period),
            period => period,
        };
        account.edit(kind, period, |line| {
            line.grant(read(grant, asked, line, now_ms), now_ms);
            if self.is_short(line) {
                line.give_back();
            }
        });
        if asked.is_some() {
            account.turn_to(kind, period);
        }
    }

    /// Whether the unused units are too few for any request here while others wait for them. All that is
    /// needed will be asked for then.
    fn is_short(&self, line: &AccountLine) -> bool {
        let each = self.asked.map_or(0, |(asked, _)| asked.each);
        self.is_last && line.status.verdict == GrantVerdict::Contended && line.unused() < each
    }
}

/// A grant as an account line takes it.
fn read(
    grant: &wire::Grant,
    asked: Option<(AskedUnits, i64)>,
    line: &AccountLine,
    now_ms: i64,
) -> ReceivedGrant {
    let in_ms = |from: i64, ms: u32| from.saturating_add(ms.into());
    let (want, least) = asked.map_or((0, 0), |(asked, _)| (asked.want, asked.least));
    // After a lost answer it is asked without a limit.
    let limit = asked.map(|(asked, _)| asked.limit).filter(|limit| *limit > 0).unwrap_or(grant.limit);
    let deadline_ms = match (asked, line.kind.span_ms(), grant.ttl_ms) {
        (None, _, _) => 0,
        (Some(_), None, 0) if grant.resets_at_ms > 0 => grant.resets_at_ms,
        (Some(_), None, 0) => i64::MAX,
        (Some((_, sent_ms)), _, ttl_ms) => in_ms(sent_ms, ttl_ms),
    };
    let verdict = GrantVerdict::from(grant.verdict());
    let fresh = grant.granted.saturating_sub(line.granted);
    let retry_at_ms = in_ms(now_ms, grant.retry_after_ms.max(1));
    let (fresh_until_ms, refused) = match verdict {
        GrantVerdict::Granted if fresh < want => (now_ms.saturating_add(PARTIAL_MS), u64::MAX),
        GrantVerdict::Unknown | GrantVerdict::Granted => (0, u64::MAX),
        GrantVerdict::Exhausted | GrantVerdict::Contended | GrantVerdict::Away => {
            (retry_at_ms.min(now_ms.saturating_add(REFUSED_MS)), least)
        }
        GrantVerdict::Unlimited => (now_ms.saturating_add(LIFTED_MS), u64::MAX),
    };
    let status = BucketStatus {
        verdict,
        limit,
        remaining: grant.remaining,
        reachable: grant.reachable.max(grant.remaining),
        used: grant.used,
        resets_at_ms: grant.resets_at_ms,
        retry_at_ms,
        fresh_until_ms,
        refused,
    };
    ReceivedGrant { total: grant.granted, want, deadline_ms, status }
}

fn read_bucket(bucket: &wire::BucketId) -> Option<(SubjectId, BucketKind)> {
    let subject = SubjectId(bucket.owner.as_slice().try_into().ok()?);
    Some((subject, BucketKind::from_number(bucket.kind)?))
}
