//! Limits replayed in the order of time: what they would have let through of requests that came one after the other.
//!
//! Windows slide as the ledger's do, and budgets begin anew by the calendar. What gateways lease and have not used is
//! not known from records, nor are requests that were under way at once: a request counts when it comes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use latchkey_core::limits::{BucketKind, LimitWindow, Limits, Unit};
use latchkey_core::period::{Period, Span};
use latchkey_filter_core::answer::denial::Code;
use latchkey_filter_core::limits::quota::limit_name;
use latchkey_proto::window::Window;
use latchkey_store::traffic::{UsedBefore, UsedUnits};
use uuid::Uuid;

/// An answer that must be shorter is not asked for: the default of `min_output_tokens`.
const LEAST_OUTPUT: u64 = 16;

/// Whose limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitOwner {
    App,
    Key,
}

impl LimitOwner {
    /// As answers of gateways have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Key => "key",
        }
    }
}

/// A limit that refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitRefusal {
    /// What the client would have got.
    pub code: &'static str,
    pub owner: LimitOwner,
    /// In the settings.
    pub limit: &'static str,
}

/// What a request used, or would use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestUse {
    /// How many equal requests: more than one of refusals only, whose use is not known.
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Nano-USD.
    pub cost: u64,
    /// What a million tokens of output cost; none where that is not known.
    pub output_rate: Option<u64>,
}

/// What limits do with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOutcome {
    /// How many they let through.
    pub passed: u64,
    /// Why the others are refused; none where there are none.
    pub refusal: Option<LimitRefusal>,
    /// How many tokens the answer may have, and what the request costs then.
    pub output_tokens: u64,
    pub cost: u64,
}

/// One limit of an app or a key.
#[derive(Clone, Debug)]
struct Meter {
    kind: BucketKind,
    limit: u64,
    used: MeterUse,
}

#[derive(Clone, Debug)]
enum MeterUse {
    Window(Window),
    Budget { period: Period, span: Option<Span>, units: u64 },
}

/// The limits of an app and of its named keys.
#[derive(Clone, Debug)]
pub struct LimitReplay {
    zone: TimeZone,
    app: LimitSet,
    /// Of named keys without limits of their own.
    named: Limits,
    own: BTreeMap<Uuid, Limits>,
    keys: BTreeMap<Uuid, LimitSet>,
    start: Timestamp,
    /// What was used of the budgets before the start, by their periods.
    before: Vec<(Period, UsedBefore)>,
    stands_for: u64,
}

#[derive(Clone, Debug)]
struct LimitSet {
    owner: LimitOwner,
    meters: Vec<Meter>,
    limits: Limits,
}

impl LimitReplay {
    /// Limits that begin at `start` with what was used `before` of budgets of each period. Each request stands for
    /// `stands_for`.
    #[must_use]
    pub fn new(
        app: &Limits,
        named: &Limits,
        own: BTreeMap<Uuid, Limits>,
        zone: TimeZone,
        start: Timestamp,
        before: Vec<(Period, UsedBefore)>,
        stands_for: u64,
    ) -> Self {
        let used = |period| find(&before, period).map(|used| used.app).unwrap_or_default();
        let app = LimitSet::new(LimitOwner::App, app, start, &zone, used);
        Self { zone, app, named: named.clone(), own, keys: BTreeMap::new(), start, before, stands_for }
    }

    /// What the limits do with requests that come now, of a named key where one is given. What they let through is
    /// used; what they refuse uses nothing.
    pub fn take(&mut self, at: Timestamp, key: Option<Uuid>, wanted: RequestUse) -> LimitOutcome {
        let Self { zone, app, named, own, keys, start, before, stands_for } = self;
        let of_key = key.map(|key| {
            keys.entry(key).or_insert_with(|| {
                let limits = own.get(&key).unwrap_or(named);
                let used = |period| {
                    let used = find(before, period);
                    used.and_then(|used| used.keys.get(&key).copied()).unwrap_or_default()
                };
                LimitSet::new(LimitOwner::Key, limits, *start, zone, used)
            })
        });
        let mut sets: Vec<_> = std::iter::once(app).chain(of_key).collect();
        let bounds = |limit: fn(&Limits) -> Option<u64>| {
            let limits = sets.iter().filter_map(|set| Some((limit(&set.limits)?, set.owner)));
            limits.collect::<Vec<_>>()
        };
        let refused = |code: Code, owner, limit| LimitOutcome {
            passed: 0,
            refusal: Some(LimitRefusal { code: code.as_str(), owner, limit }),
            output_tokens: 0,
            cost: 0,
        };
        if let Some((most, owner)) = bounds(|limits| limits.max_input_tokens).into_iter().min()
            && wanted.input_tokens > most
        {
            return refused(Code::MaxInputTokensExceeded, owner, "max_input_tokens");
        }
        let max_output = bounds(|limits| limits.max_output_tokens).into_iter().min();
        let floor = bounds(|limits| limits.min_output_tokens).into_iter().map(|(floor, _)| floor).max();
        let longest = max_output.map_or(wanted.output_tokens, |(most, _)| wanted.output_tokens.min(most));
        let mut fitting = wanted.shortened(longest);
        let least = wanted.shortened(longest.min(floor.unwrap_or(LEAST_OUTPUT)));
        let mut passed = wanted.requests;
        let mut refusal = None;
        for set in &mut sets {
            let owner = set.owner;
            for meter in &mut set.meters {
                let left = meter.left(at, zone);
                let needed = least.units(meter.kind.unit());
                if meter.kind.unit() == Unit::Requests {
                    // Of a sample, one is let through as long as there is room for it.
                    let room = left.div_ceil(*stands_for);
                    if room < passed {
                        (passed, refusal) = (room, Some(meter.refusal(owner, needed)));
                    }
                } else if needed > left {
                    (passed, refusal) = (0, Some(meter.refusal(owner, needed)));
                } else {
                    fitting = fitting.within(meter.kind.unit(), left);
                }
            }
            if passed == 0 {
                break;
            }
        }
        for meter in sets.iter_mut().flat_map(|set| &mut set.meters) {
            let units = match meter.kind.unit() {
                Unit::Requests => passed,
                _ if passed == 0 => 0,
                unit => fitting.units(unit),
            };
            meter.add(at, units.saturating_mul(*stands_for));
        }
        LimitOutcome { passed, refusal, output_tokens: fitting.output_tokens, cost: fitting.cost }
    }
}

fn find(before: &[(Period, UsedBefore)], period: Period) -> Option<&UsedBefore> {
    before.iter().find(|(of, _)| *of == period).map(|(_, used)| used)
}

impl RequestUse {
    /// The same with a shorter answer. Where the price of output is not known, it costs as much.
    fn shortened(self, output_tokens: u64) -> Self {
        let output_tokens = output_tokens.min(self.output_tokens);
        let saved =
            u128::from(self.output_tokens - output_tokens) * u128::from(self.output_rate.unwrap_or(0));
        // Rounded down: what is used is rounded up.
        let saved = u64::try_from(saved / 1_000_000).unwrap_or(u64::MAX);
        Self { output_tokens, cost: self.cost.saturating_sub(saved), ..self }
    }

    /// With an answer that is short enough for so many units.
    fn within(self, unit: Unit, left: u64) -> Self {
        let over = self.units(unit).saturating_sub(left);
        let tokens = match (unit, self.output_rate) {
            (Unit::Requests, _) => 0,
            (Unit::Tokens, _) => over,
            (Unit::Cost, None | Some(0)) => 0,
            (Unit::Cost, Some(rate)) => {
                u64::try_from((u128::from(over) * 1_000_000).div_ceil(rate.into())).unwrap_or(u64::MAX)
            }
        };
        self.shortened(self.output_tokens.saturating_sub(tokens))
    }

    fn units(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Unit::Cost => self.cost,
        }
    }
}

impl LimitSet {
    fn new(
        owner: LimitOwner,
        limits: &Limits,
        start: Timestamp,
        zone: &TimeZone,
        before: impl Fn(Period) -> UsedUnits,
    ) -> Self {
        let meter = |(kind, limit, window)| {
            let used = match window {
                LimitWindow::Sliding { span_ms } => MeterUse::Window(Window::new(span_ms)),
                LimitWindow::Calendar(period) => {
                    let UsedUnits { tokens, cost } = before(period);
                    let units = if kind == BucketKind::CostBudget { cost.0 } else { tokens };
                    MeterUse::Budget { period, span: period.at(start, zone), units }
                }
            };
            Meter { kind, limit, used }
        };
        Self { owner, meters: limits.buckets().map(meter).collect(), limits: limits.clone() }
    }
}

impl Meter {
    fn left(&mut self, at: Timestamp, zone: &TimeZone) -> u64 {
        let used = match &mut self.used {
            MeterUse::Window(window) => window.used(at.as_millisecond()),
            MeterUse::Budget { period, span, units } => {
                let is_over = |span: &Span| span.end_ms.is_some_and(|end| at.as_millisecond() >= end);
                if span.as_ref().is_some_and(is_over) {
                    *span = period.at(at, zone);
                    *units = 0;
                }
                *units
            }
        };
        self.limit.saturating_sub(used)
    }

    fn add(&mut self, at: Timestamp, units: u64) {
        match &mut self.used {
            MeterUse::Window(window) => window.add(at.as_millisecond(), units),
            MeterUse::Budget { units: used, .. } => *used = used.saturating_add(units),
        }
    }

    fn refusal(&self, owner: LimitOwner, needed: u64) -> LimitRefusal {
        let code = match self.kind.span_ms() {
            _ if needed > self.limit => Code::RequestExceedsLimit,
            Some(_) => Code::RateLimitExceeded,
            None => Code::InsufficientQuota,
        };
        LimitRefusal { code: code.as_str(), owner, limit: limit_name(self.kind) }
    }
}

#[cfg(test)]
mod tests;
