use super::{HeldUnits, LeaseAccount, Reservation, SubjectId, reserve::release};
use crate::price::{NanoUsd, TokenUsage};
use crate::snapshot::{BucketKind, Unit};
use crate::store::SharedStore;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActualUse {
    /// Input and output.
    pub tokens: u64,
    pub cost: NanoUsd,
}

/// What a request used of a bucket, for its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    pub subject: SubjectId,
    pub kind: BucketKind,
    /// The period in which it was reserved.
    pub period: i64,
    /// Tokens, or nano-USD.
    pub amount: u64,
}

impl Reservation {
    #[must_use]
    pub fn held(&self) -> &[HeldUnits] {
        &self.held
    }

    /// The most tokens that the request can use; none where only requests are limited.
    #[must_use]
    pub fn most_tokens(&self) -> Option<TokenUsage> {
        let (input, output) = (self.input_tokens?, self.output_tokens);
        Some(TokenUsage { input, output, ..TokenUsage::default() })
    }

    /// What to charge when nothing is known of the use, but for further tries.
    #[must_use]
    pub fn most(&self) -> ActualUse {
        let most =
            |unit| self.held.iter().filter(|held| held.kind.unit() == unit).map(|held| held.amount).max();
        ActualUse {
            tokens: most(Unit::Tokens).unwrap_or_default().saturating_sub(self.for_tries.tokens),
            cost: NanoUsd(most(Unit::Cost).unwrap_or_default().saturating_sub(self.for_tries.cost.0)),
        }
    }

    /// Its subjects with units that count, each once.
    fn subjects(&self, counts: impl Fn(Unit) -> bool) -> Vec<SubjectId> {
        let counted = self.held.iter().filter(|held| counts(held.kind.unit()));
        let mut subjects: Vec<_> = counted.map(|held| held.subject).collect();
        subjects.dedup();
        subjects
    }
}

/// Accounts for the use of a request. The charges go into its record, by which the control plane learns of
/// them.
pub fn settle(store: &impl SharedStore, reservation: Reservation, actual: ActualUse) -> Vec<Charge> {
    settle_each(store, &reservation, |held| actual.of(held.kind))
}

/// Accounts for a request whose use is unknown: charges `most`. Windows of tokens, which reserve an estimate,
/// are charged at most that estimate or `certain_tokens`, the tokens that are known to be used.
pub fn settle_unknown(
    store: &impl SharedStore,
    reservation: Reservation,
    most: ActualUse,
    certain_tokens: u64,
) -> Vec<Charge> {
    let amount = |held: &HeldUnits| match most.of(held.kind) {
        Some(amount) if held.kind.span_ms().is_some() => Some(amount.min(held.amount.max(certain_tokens))),
        amount => amount,
    };
    settle_each(store, &reservation, amount)
}

fn settle_each(
    store: &impl SharedStore,
    reservation: &Reservation,
    used: impl Fn(&HeldUnits) -> Option<u64>,
) -> Vec<Charge> {
    for subject in reservation.subjects(|unit| unit != Unit::Requests) {
        LeaseAccount::change(store, subject, |account| {
            for held in reservation.held.iter().filter(|held| held.subject == subject) {
                let Some(line) = account.line_mut(held.kind, held.period) else { continue };
                if let Some(amount) = used(held) {
                    line.held = line.held.saturating_sub(held.amount);
                    line.used = line.used.saturating_add(amount);
                    line.free(held.amount.saturating_sub(amount), held.lapses);
                }
            }
        });
    }
    let charge = |held: &HeldUnits| {
        let HeldUnits { subject, kind, period, .. } = *held;
        let amount = used(held).filter(|amount| *amount > 0)?;
        Some(Charge { subject, kind, period, amount })
    };
    reservation.held.iter().filter_map(charge).collect()
}

/// Cancels the reservation of a request that was not sent, and its admission unless that is reported already.
pub fn cancel(store: &impl SharedStore, reservation: Reservation) {
    for subject in reservation.subjects(|_| true) {
        release(store, subject, &reservation.held);
    }
}

impl ActualUse {
    fn of(&self, kind: BucketKind) -> Option<u64> {
        match kind.unit() {
            Unit::Requests => None,
            Unit::Tokens => Some(self.tokens),
            Unit::Cost => Some(self.cost.0),
        }
    }
}
