//! What a call is charged, also when its stream is cut or its client goes away. Unknown use is charged at
//! what was reserved, except for what is proven. Where nothing was reserved, the record's figures are a lower
//! bound.

use super::UpstreamOutcome;
use crate::answer::usage::{self, UsageDoubt, UsageReading};
use crate::limits::account::{self, ActualUse, Reservation};
use crate::price::{NanoUsd, TokenUsage};
use crate::record::{Record, Settlement, SettlementReason};
use crate::snapshot::{ProviderKind, UnixMs};
use crate::store::SharedStore;
use crate::upstream::call::{McpCall, ModelCall};

/// What a call is charged, and how that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallCharge {
    pub settlement: Settlement,
    pub reason: Option<SettlementReason>,
    pub tokens: TokenUsage,
    pub cost: NanoUsd,
    /// Of the tokens, those that the provider reported.
    pub certain_tokens: u64,
}

/// Assumed where the context window is unknown: as large as the largest.
const LARGEST_WINDOW: u64 = 10_000_000;

/// How often one request can fill the window: server-side tools read it again each time. A window that a
/// client widens by a header is covered, too.
const MOST_PASSES: u64 = 10;

/// A reported input is final only if it is at least this fraction of the gateway's estimate: some servers
/// begin with a placeholder.
const LEAST_OF_ESTIMATE: u64 = 4;

impl CallCharge {
    fn nothing() -> Self {
        Self::new(Settlement::None, None, TokenUsage::default(), NanoUsd(0))
    }

    /// With all tokens reported.
    fn new(
        settlement: Settlement,
        reason: Option<SettlementReason>,
        tokens: TokenUsage,
        cost: NanoUsd,
    ) -> Self {
        Self { settlement, reason, tokens, cost, certain_tokens: tokens.input.saturating_add(tokens.output) }
    }
}

impl McpCall {
    /// Fills in the record and settles the reservation.
    pub(super) fn finish<S: SharedStore>(self, record: &mut Record, streamed: bool, store: &S) {
        record.streamed = streamed;
        record.provider = self.server.provider();
        record.model = self.tool;
        if let Some(reservation) = self.reservation {
            let actual = ActualUse { tokens: 0, cost: NanoUsd(0) };
            record.charges = account::settle(store, reservation, actual);
        }
    }
}

impl ModelCall {
    /// The exchange is over: takes over whom the last try asked, and what became of it. Gives how the exchange with
    /// that one ended.
    pub(super) fn end_attempts<S: SharedStore>(
        &mut self,
        outcome: UpstreamOutcome,
        status: u16,
        is_answered: bool,
        store: &S,
        now: UnixMs,
    ) -> UpstreamOutcome {
        let Some(attempts) = &self.attempts else { return outcome };
        let mut tried = attempts.borrow_mut();
        // Without a status the client has left.
        let has_failed = !is_answered && status != 0 && outcome != UpstreamOutcome::Answered;
        let outcome = match outcome {
            UpstreamOutcome::NoHost => {
                tried.no_host(store, now);
                UpstreamOutcome::NeverSent
            }
            UpstreamOutcome::Overflow(made) => {
                tried.overflowed(made, store, now);
                UpstreamOutcome::NeverSent
            }
            other => other,
        };
        tried.finish(has_failed, outcome == UpstreamOutcome::NeverSent, store, now);
        drop(tried);
        self.follow_attempts();
        outcome
    }

    /// Fills in the record and settles the reservation.
    pub(super) fn finish<S: SharedStore>(
        self,
        record: &mut Record,
        reading: Option<&UsageReading>,
        outcome: UpstreamOutcome,
        store: &S,
    ) {
        let charge = self.charge(reading, outcome);
        let CallCharge { settlement, reason, tokens, cost, certain_tokens } = self.with_lost_tries(charge);
        (record.settlement, record.settlement_reason) = (settlement, reason);
        (record.tokens, record.cost) = (tokens, cost);
        let are_known = settlement != Settlement::Reserved || reason == Some(SettlementReason::TierNotPriced);
        record.price_version = self.price.as_ref().map_or(0, |price| price.version);
        let served = reading.map(|reading| reading.served.clone()).unwrap_or_default();
        record.service_tier = served.record(&self.bounds.tier);
        record.streamed = self.bounds.stream;
        record.model = self.model;
        record.served_model = self.served_model;
        record.provider.clone_from(&self.provider.name);
        record.output_cut = self.output_cut;
        let is_clear = settlement == Settlement::Reported && reason.is_none();
        record.text = self.bounds.comparable_text().filter(|_| is_clear);
        if let Some(reservation) = self.reservation {
            let tokens = record.tokens.input.saturating_add(record.tokens.output);
            let actual = ActualUse { tokens, cost: record.cost };
            record.charges = match are_known {
                true => account::settle(store, reservation, actual),
                false => account::settle_unknown(store, reservation, actual, certain_tokens),
            };
        }
    }

    /// With the input of tries whose targets may have read and billed it, and that nobody saw an answer of.
    fn with_lost_tries(&self, charge: CallCharge) -> CallCharge {
        let Some(attempts) = &self.attempts else { return charge };
        if self.operation.is_free(self.provider.kind) || !self.operation.is_metered() {
            return charge;
        }
        let CallCharge { mut tokens, mut cost, certain_tokens, .. } = charge;
        let reserved = self.metered().map(|(_, most)| most.input);
        let input = reserved.unwrap_or(self.bounds.input_estimate);
        let lost = TokenUsage { input, ..TokenUsage::default() };
        let mut is_any = false;
        for target in attempts.borrow().unanswered() {
            is_any = true;
            let price = target.offer.price.as_ref();
            let worst = price.map_or(NanoUsd(0), |price| price.worst(&lost, &self.bounds.tier));
            tokens.input = tokens.input.saturating_add(input);
            cost = NanoUsd(cost.0.saturating_add(worst.0));
        }
        if !is_any {
            return charge;
        }
        let settlement = if reserved.is_some() { Settlement::Reserved } else { Settlement::Estimated };
        let reason = charge.reason.or(Some(SettlementReason::AnswerUnknown));
        CallCharge { settlement, reason, tokens, cost, certain_tokens }
    }

    /// What it is charged, and how that is known.
    fn charge(&self, reading: Option<&UsageReading>, outcome: UpstreamOutcome) -> CallCharge {
        if self.operation.is_free(self.provider.kind) {
            return CallCharge::nothing();
        }
        let Some(reading) = reading else {
            return match outcome {
                UpstreamOutcome::Unknown if self.operation.is_metered() => {
                    self.doubtful(&UsageReading::default(), SettlementReason::AnswerUnknown)
                }
                _ => CallCharge::nothing(),
            };
        };
        match (self.reason(reading), self.with_unexplained_output(reading)) {
            (None, _) => self.reported(reading, None, reading.reported),
            (Some(reason), _) if !self.operation.is_metered() => self.unmetered(reading, reason),
            (Some(reason @ SettlementReason::UsageUnclear), Some(tokens)) => {
                self.reported(reading, Some(reason), tokens)
            }
            (Some(reason), _) => self.doubtful(reading, reason),
        }
    }

    /// Why the reported usage is not, or may not be, all that was used.
    fn reason(&self, reading: &UsageReading) -> Option<SettlementReason> {
        if !self.is_plausible(&reading.reported) {
            return Some(SettlementReason::UsageImplausible);
        }
        reading
            .doubt
            .or(self.is_of_one_choice(reading).then_some(UsageDoubt::Unclear))
            .map(SettlementReason::from)
    }

    /// The reported usage is of one of several choices.
    fn is_of_one_choice(&self, reading: &UsageReading) -> bool {
        reading.by_choice && self.bounds.choices > 1
    }

    /// The use can exceed the reservation where a provider ignores the output limit.
    fn is_plausible(&self, reported: &TokenUsage) -> bool {
        let most = self.context_window.unwrap_or(LARGEST_WINDOW).saturating_mul(MOST_PASSES);
        reported.input <= most && reported.output <= most.saturating_mul(self.bounds.choices)
    }

    /// Tokens of the total that no part explains count as output, where the reservation bounds that and they
    /// would cost no more as input.
    fn with_unexplained_output(&self, reading: &UsageReading) -> Option<TokenUsage> {
        if reading.unexplained == 0 || self.is_of_one_choice(reading) {
            return None;
        }
        let more = |count: u64| count.saturating_add(reading.unexplained);
        let written = TokenUsage { output: more(reading.reported.output), ..reading.reported };
        let read = TokenUsage { input: more(reading.reported.input), ..reading.reported };
        let bounded = self.metered().is_some_and(|(_, most)| written.output <= most.output);
        let is_dearest = self.worst(&read) <= self.worst(&written);
        (bounded && is_dearest).then_some(written)
    }

    /// For reported usage. If its tier has no price, what was reserved is charged, and at least the dearest
    /// known price.
    fn reported(
        &self,
        reading: &UsageReading,
        reason: Option<SettlementReason>,
        tokens: TokenUsage,
    ) -> CallCharge {
        let Some(price) = &self.price else {
            return CallCharge::new(Settlement::Reported, reason, tokens, NanoUsd(0));
        };
        if let Some(cost) = price.cost(&tokens, &self.bounds.tier, &reading.served) {
            return CallCharge::new(Settlement::Reported, reason, tokens, cost);
        }
        let reason = Some(SettlementReason::TierNotPriced);
        let known = price.dearest(&tokens);
        match self.metered() {
            Some((reservation, _)) => {
                let cost = reservation.most().cost.max(known);
                CallCharge::new(Settlement::Reserved, reason, tokens, cost)
            }
            None => CallCharge::new(Settlement::Estimated, reason, tokens, known),
        }
    }

    /// Operations that are not measured in tokens are never limited, and nothing is guessed.
    fn unmetered(&self, reading: &UsageReading, reason: SettlementReason) -> CallCharge {
        let tokens = reading.reported;
        if tokens == TokenUsage::default() || reason == SettlementReason::UsageImplausible {
            return CallCharge::nothing();
        }
        self.estimated(reading, reason, tokens)
    }

    fn doubtful(&self, reading: &UsageReading, reason: SettlementReason) -> CallCharge {
        let reported = match reason {
            SettlementReason::UsageImplausible => TokenUsage::default(),
            _ => reading.reported,
        };
        let Some((reservation, most)) = self.metered() else {
            let tokens = usage::estimate(&UsageReading { reported, ..reading.clone() }, &self.bounds);
            return self.estimated(reading, reason, tokens);
        };
        let (settlement, reason) = (Settlement::Reserved, Some(reason));
        let certain_tokens = reported.input.saturating_add(reported.output);
        let output = most.output.max(reported.output);
        if self.is_input_final(reading, reported.input) {
            let tokens = TokenUsage { output, reasoning: 0, ..reported };
            return CallCharge {
                settlement,
                reason,
                tokens,
                cost: self.most_of(reading, &tokens),
                certain_tokens,
            };
        }
        let tokens = TokenUsage { input: most.input.max(reported.input), output, ..TokenUsage::default() };
        let cost = reservation.most().cost.max(self.worst(&tokens));
        CallCharge { settlement, reason, tokens, cost, certain_tokens }
    }

    /// For unknown usage of an unlimited request.
    fn estimated(&self, reading: &UsageReading, reason: SettlementReason, tokens: TokenUsage) -> CallCharge {
        let price = self.price.as_ref();
        let billed = price.and_then(|price| price.cost(&tokens, &self.bounds.tier, &reading.served));
        let cost = billed.or(price.map(|price| price.dearest(&tokens))).unwrap_or_default();
        CallCharge::new(Settlement::Estimated, Some(reason), tokens, cost)
    }

    /// Anthropic reports the input as soon as it has read it. It grows later only where the provider reads
    /// what the body does not hold.
    fn is_input_final(&self, reading: &UsageReading, input: u64) -> bool {
        reading.input_reported
            && matches!(reading.doubt, Some(UsageDoubt::Cut | UsageDoubt::Partial))
            && self.provider.kind == ProviderKind::Anthropic
            && self.bounds.unbounded.is_none()
            && input.saturating_mul(LEAST_OF_ESTIMATE) >= self.bounds.input_estimate
    }

    /// The cost in the tier that is reported to have served, or the most.
    fn most_of(&self, reading: &UsageReading, tokens: &TokenUsage) -> NanoUsd {
        let price = self.price.as_ref().filter(|_| reading.served.service_tier.is_some());
        let billed = price.and_then(|price| price.cost(tokens, &self.bounds.tier, &reading.served));
        billed.unwrap_or_else(|| self.worst(tokens))
    }

    fn worst(&self, tokens: &TokenUsage) -> NanoUsd {
        self.price.as_ref().map_or(NanoUsd(0), |price| price.worst(tokens, &self.bounds.tier))
    }

    /// Its reservation and the most that it may use, where tokens or money are limited.
    fn metered(&self) -> Option<(&Reservation, TokenUsage)> {
        let reservation = self.reservation.as_ref()?;
        Some((reservation, reservation.most_tokens()?))
    }
}
