//! Which limits apply to a request, how much it needs of them, and what the client is told about them.

use crate::answer::denial::{Code, Denial, LimitDetail};
use crate::limits::account::{
    self, Demand, LimitRefusal, LimitStanding, LimitSubject, Need, Patience, RefusalReason, Reservation,
    ReserveOutcome, ReservedUnits, SubjectId,
};
use crate::price::{Ceiling, UnpricedTier};
use crate::request::body::UsageBounds;
use crate::request::endpoint::ModelOperation;
use crate::snapshot::{AppPolicy, BucketKind, KeyRecord, Limits, Offer, ProviderKind, Unit, UnixMs};
use crate::store::SharedStore;

/// The output reserved where neither the client nor the catalogue bounds it.
const USUAL_OUTPUT: u64 = 16_384;

/// The default of `min_output_tokens`: a shorter answer is not worth asking for.
const LEAST_OUTPUT: u64 = 16;

/// Where an answer may have fewer output tokens than asked for: how many were asked for, and how many it may
/// have.
pub const ASKED_HEADER: &str = "x-latchkey-asked-output-tokens";
pub const GRANTED_HEADER: &str = "x-latchkey-granted-output-tokens";

/// The shortest retry time that clients are told.
const LEAST_RETRY_MS: u64 = 50;

/// The shortest retry time after a wait for units that other requests hold.
const CONTENDED_RETRY_MS: u64 = 1_000;

/// The range over which retries are spread, so that refused clients do not all return at once.
const SPREAD_MS: std::ops::RangeInclusive<u64> = 250..=1_000;

/// The most that a request will need.
#[derive(Clone, Copy, Debug)]
pub struct ReservationPlan {
    need: Need,
    /// Whether tokens or money are limited.
    metered: bool,
    /// Answers asked for at once.
    choices: u64,
    /// The output tokens asked for per answer, where the provider must be told a limit.
    asked: Option<u64>,
}

/// When a reservation is tried, and how.
#[derive(Clone, Copy, Debug)]
pub struct ReserveAttempt {
    pub now: UnixMs,
    pub patience: Patience,
    /// Spreads the retries of refused clients.
    pub random: u64,
}

/// An answer that may have fewer output tokens than were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCut {
    /// By the client, or by the gateway where the client sets no limit.
    pub asked: u64,
    pub granted: u64,
}

/// A result, or the units that its request must wait for.
#[derive(Debug)]
pub enum OrWait<T> {
    Ready(T),
    Wait(Demand),
}

#[derive(Debug)]
pub struct Allowance {
    pub reservation: Reservation,
    /// Output tokens per answer; none: as the client asked.
    pub max_output: Option<u64>,
    /// Where `max_output` is less than was asked for.
    pub output_cut: Option<OutputCut>,
    /// What to ask the sync role for, so that later requests need not wait.
    pub refill: Option<Demand>,
    pub standings: Vec<LimitStanding>,
}

/// The app and then the named key, where they have limits.
#[must_use]
pub fn subjects<'a>(app: &'a AppPolicy, key: &'a KeyRecord) -> Vec<LimitSubject<'a>> {
    let own = app.key_limits(key);
    let of_key = own.map(|limits| LimitSubject { id: SubjectId::from(key.key), limits });
    let of_app = LimitSubject { id: SubjectId::from(app.id), limits: &app.limits };
    let limited = |subject: &LimitSubject<'_>| *subject.limits != Limits::default();
    [of_app].into_iter().chain(of_key).filter(limited).collect()
}

impl ReservationPlan {
    /// What a request needs of an offer, within these limits.
    ///
    /// # Errors
    /// When it has too much input, or what it may use cannot be bounded where that is limited.
    pub fn new(
        subjects: &[LimitSubject<'_>],
        operation: ModelOperation,
        bounds: &UsageBounds,
        offer: &Offer,
    ) -> Result<Self, Denial> {
        let limits = || subjects.iter().map(|subject| subject.limits);
        let least = |limit: fn(&Limits) -> Option<u64>| limits().filter_map(limit).min();
        let has = |wanted: fn(BucketKind) -> bool| {
            limits().any(|limits| limits.buckets.iter().any(|bucket| wanted(bucket.kind)))
        };
        if let Some(most) = least(|limits| limits.max_input_tokens)
            && bounds.input_estimate > most
        {
            let about = bounds.input_estimate;
            let message =
                format!("The request has about {about} input tokens; the limit per request is {most}.");
            return Err(Denial::new(Code::MaxInputTokensExceeded, message));
        }
        let max_output = least(|limits| limits.max_output_tokens);
        let metered = has(|kind| kind.unit() != Unit::Requests);
        if operation.is_free(offer.provider.kind)
            || !metered && (max_output.is_none() || !operation.has_output())
        {
            return Ok(Self::of_requests());
        }
        if !operation.is_metered() {
            return Err(Code::EndpointNotMetered.into());
        }
        if let Some(doubt) = bounds.obstacles.output.as_deref().filter(|_| operation.has_output()) {
            return Err(doubt.clone());
        }
        if let Some(doubt) = bounds.obstacles.cost.as_deref().filter(|_| metered) {
            return Err(doubt.clone());
        }
        let price = match &offer.price {
            _ if !has(|kind| kind.unit() == Unit::Cost) => None,
            None => return Err(Code::ModelNotPriced.into()),
            Some(price) => Some(price.ceiling(&bounds.tier).map_err(tier_not_priced)?),
        };
        let input_tokens = match (bounds.unbounded, offer.context_window) {
            (Some(member), None) if metered => {
                let message = format!(
                    "`{member}` lets the provider read input that the gateway cannot see, and the context \
                     window of the model is unknown, so its tokens cannot be limited. Leave it out, or ask \
                     an admin to set the model's context window."
                );
                return Err(Denial {
                    param: Some(member.into()),
                    ..Denial::new(Code::InputNotBounded, message)
                });
            }
            (Some(_), window) => window.unwrap_or_default().max(input_bound(bounds, offer)),
            (None, _) => input_bound(bounds, offer),
        };
        let input_estimate = match bounds.unbounded {
            Some(_) => input_tokens,
            None => bounds.input_in_window(offer.bytes_per_token).min(input_tokens),
        };
        let most = offer.max_output_tokens.unwrap_or(USUAL_OUTPUT).min(max_output.unwrap_or(u64::MAX));
        let each = match bounds.max_output {
            _ if !operation.has_output() => 0,
            // With 0 Anthropic writes nothing. The body stays unchanged, and the output is reserved for
            // servers that speak its API and read 0 otherwise.
            Some(0) | None => most,
            Some(asked) => asked.min(most),
        };
        let least = bounds.obstacles.least_output.unwrap_or(LEAST_OUTPUT);
        if let Some(limit) =
            max_output.filter(|limit| *limit < least && bounds.obstacles.least_output.is_some())
        {
            let message = format!(
                "The request has a thinking budget, which requires at least {least} output tokens; the \
                 limit per request is {limit}: turn thinking off."
            );
            return Err(Denial::new(Code::MaxOutputTokensExceeded, message));
        }
        let floor = limits().filter_map(|limits| limits.min_output_tokens).max().unwrap_or(LEAST_OUTPUT);
        let floor = floor.max(bounds.obstacles.least_output.unwrap_or_default());
        let need = Need {
            input_tokens,
            input_estimate,
            output_wanted: each.saturating_mul(bounds.choices),
            output_least: each.min(floor).saturating_mul(bounds.choices),
            price,
            further_tries: 0,
        };
        let is_bounded = operation.has_output() && bounds.max_output != Some(0);
        let asked = is_bounded.then(|| bounds.max_output.unwrap_or(most));
        Ok(Self { need, metered, choices: bounds.choices, asked })
    }

    /// What covers each of these plans, and the input of all but one again: a target may bill it without an
    /// answer. None of no plans.
    #[must_use]
    pub fn over(plans: &[Self]) -> Option<Self> {
        let all = plans.iter().copied().reduce(Self::dearer)?;
        let further = u64::try_from(plans.len()).unwrap_or(u64::MAX).saturating_sub(1);
        let need = Need { further_tries: if all.metered { further } else { 0 }, ..all.need };
        Some(Self { need, ..all })
    }

    fn dearer(self, other: Self) -> Self {
        let price = match (self.need.price, other.need.price) {
            (Some(one), Some(other)) => Some(one.dearer(other)),
            _ => None,
        };
        let need = Need {
            input_tokens: self.need.input_tokens.max(other.need.input_tokens),
            input_estimate: self.need.input_estimate.max(other.need.input_estimate),
            output_wanted: self.need.output_wanted.max(other.need.output_wanted),
            output_least: self.need.output_least.max(other.need.output_least),
            price,
            further_tries: 0,
        };
        Self {
            need,
            metered: self.metered || other.metered,
            choices: self.choices.max(other.choices),
            asked: self.asked.max(other.asked),
        }
    }

    /// Whether what was reserved is less output than the plan wants.
    #[must_use]
    pub fn is_cut(&self, allowance: &Allowance) -> bool {
        allowance.reservation.output_tokens < self.need.output_wanted
    }

    /// One request without tokens or cost.
    #[must_use]
    pub const fn of_requests() -> Self {
        let price = Some(Ceiling::NOTHING);
        let need = Need {
            input_tokens: 0,
            input_estimate: 0,
            output_wanted: 0,
            output_least: 0,
            price,
            further_tries: 0,
        };
        Self { need, metered: false, choices: 1, asked: None }
    }

    /// Looks, before work is done on a request, whether its limits of requests have room. Reserves nothing.
    ///
    /// # Errors
    /// When one has none, and waiting a moment does not help: the refusal of [`Self::reserve`].
    pub fn check_requests<S: SharedStore>(
        &self,
        store: &S,
        subjects: &[LimitSubject<'_>],
        app: &AppPolicy,
        attempt: ReserveAttempt,
    ) -> Result<(), Denial> {
        let ReserveAttempt { now, patience, .. } = attempt;
        match account::refused_by_requests(store, subjects, &self.need, patience, now.0) {
            Some(ReserveOutcome::Refused(refusal)) => Err(denial(&refusal, subjects, app, attempt)),
            Some(ReserveOutcome::Unpriced(_)) => Err(Code::ModelNotPriced.into()),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// When a limit has no room, and waiting a moment does not help.
    pub fn reserve<S: SharedStore>(
        &self,
        store: &S,
        subjects: &[LimitSubject<'_>],
        app: &AppPolicy,
        attempt: ReserveAttempt,
    ) -> Result<OrWait<Allowance>, Denial> {
        match account::reserve(store, subjects, &self.need, attempt.patience, attempt.now.0) {
            ReserveOutcome::Wait(demand) => Ok(OrWait::Wait(demand)),
            ReserveOutcome::Refused(refusal) => Err(denial(&refusal, subjects, app, attempt)),
            ReserveOutcome::Unpriced(_) => Err(Code::ModelNotPriced.into()),
            ReserveOutcome::Failed => Err(Code::InternalError.into()),
            ReserveOutcome::Reserved(ReservedUnits { mut reservation, refill, standings }) => {
                let output = reservation.output_tokens;
                let max_output = self.asked.and_then(|_| output.checked_div(self.choices));
                let output_cut =
                    self.asked.zip(max_output).map(|(asked, granted)| OutputCut { asked, granted });
                let output_cut = output_cut.filter(|output_cut| output_cut.granted < output_cut.asked);
                reservation.input_tokens = self.metered.then_some(self.need.input_tokens);
                Ok(OrWait::Ready(Allowance { reservation, max_output, output_cut, refill, standings }))
            }
        }
    }
}

/// The limits of requests alone, of the app and then of the named key.
#[must_use]
pub fn request_limits(app: &AppPolicy, key: &KeyRecord) -> Vec<(SubjectId, Limits)> {
    let counted = subjects(app, key).into_iter().map(|subject| (subject.id, subject.limits.of_requests()));
    counted.filter(|(_, limits)| !limits.buckets.is_empty()).collect()
}

/// Looks whether limits of requests have room. Reserves nothing.
///
/// # Errors
/// When one has none, and waiting a moment does not help: the refusal of [`reserve_request`].
pub fn check_requests<S: SharedStore>(
    store: &S,
    limits: &[(SubjectId, Limits)],
    app: &AppPolicy,
    attempt: ReserveAttempt,
) -> Result<(), Denial> {
    let subjects: Vec<_> = limits.iter().map(|(id, limits)| LimitSubject { id: *id, limits }).collect();
    ReservationPlan::of_requests().check_requests(store, &subjects, app, attempt)
}

/// Reserves one request. Limits of tokens and money do not apply.
///
/// # Errors
/// When a limit has no room, and waiting a moment does not help.
pub fn reserve_request<S: SharedStore>(
    store: &S,
    limits: &[(SubjectId, Limits)],
    app: &AppPolicy,
    attempt: ReserveAttempt,
) -> Result<OrWait<Allowance>, Denial> {
    let subjects: Vec<_> = limits.iter().map(|(id, limits)| LimitSubject { id: *id, limits }).collect();
    ReservationPlan::of_requests().reserve(store, &subjects, app, attempt)
}

/// The most input tokens that can be billed for the body. Vendors refuse input beyond the window of their own
/// models; other servers may take it, and bill it. An input that is certainly larger than the window is not
/// bounded by it: whoever takes it has another window.
fn input_bound(bounds: &UsageBounds, offer: &Offer) -> u64 {
    use ProviderKind::{Anthropic, AzureOpenAi, OpenAi};
    let refuses = matches!(offer.provider.kind, OpenAi | AzureOpenAi | Anthropic);
    let window = offer.context_window.filter(|window| refuses && bounds.input_estimate <= *window);
    bounds.input_bound.min(window.unwrap_or(u64::MAX))
}

fn tier_not_priced(UnpricedTier { member, tier }: UnpricedTier) -> Denial {
    let message = format!(
        "`{member}` requests the tier `{tier}`, for which this model has no price: leave out `{member}`, or \
         ask an admin to add a price for the tier."
    );
    Denial { param: Some(member.into()), ..Denial::new(Code::ServiceTierNotPriced, message) }
}

/// The denial of a request that a limit refuses.
fn denial(
    refusal: &LimitRefusal,
    subjects: &[LimitSubject<'_>],
    app: &AppPolicy,
    attempt: ReserveAttempt,
) -> Denial {
    let LimitRefusal { standing, reason, needed, retry_after_ms } = *refusal;
    let of_app = subjects.get(standing.subject).is_some_and(|subject| subject.id == SubjectId::from(app.id));
    let slides = standing.kind.span_ms().is_some();
    let code = match reason {
        RefusalReason::Away => Code::LeaseUnavailable,
        RefusalReason::TooLarge => Code::RequestExceedsLimit,
        RefusalReason::Exhausted | RefusalReason::Contended if slides => Code::RateLimitExceeded,
        RefusalReason::Exhausted => Code::InsufficientQuota,
        RefusalReason::Contended => Code::QuotaContended,
    };
    let retry_after_ms =
        code.may_be_retried().then(|| spread_retry_ms(reason, retry_after_ms, attempt.random));
    let (name, subject) = (limit_name(standing.kind), if of_app { "app" } else { "key" });
    let amount = |amount| format_amount(standing.kind, amount);
    let (limit, left, need) = (amount(standing.limit), amount(standing.remaining), amount(needed));
    let message = match reason {
        RefusalReason::TooLarge => format!(
            "{} It needs at least {need}, and the {subject}'s {name} is {limit}: shorten the input, lower \
             max_tokens, or ask an admin to raise the limit.",
            code.meaning(),
        ),
        _ => format!(
            "{} The {subject}'s {name} is {limit}, of which {left} is left; this request needs {need}.",
            code.meaning()
        ),
    };
    let limit_detail = LimitDetail {
        name,
        owner: subject,
        limit: standing.limit,
        remaining: standing.remaining,
        needed,
        resets_at: (standing.resets_at_ms > 0).then(|| standing.resets_at_ms.div_euclid(1000)),
        retry_after_ms,
        headers: rate_limit_headers(&[standing], attempt.now),
    };
    Denial { limit_detail: Some(Box::new(limit_detail)), ..Denial::new(code, message) }
}

/// When a refused request may come back, in milliseconds: spread at random so that not all come at once.
#[must_use]
pub fn spread_retry_ms(reason: RefusalReason, ms: u64, random: u64) -> u32 {
    let least = if reason == RefusalReason::Contended { CONTENDED_RETRY_MS } else { LEAST_RETRY_MS };
    let ms = ms.max(least);
    let spread = ms.div_euclid(4).clamp(*SPREAD_MS.start(), *SPREAD_MS.end());
    let more = random.checked_rem(spread.saturating_add(1)).unwrap_or_default();
    u32::try_from(ms.saturating_add(more)).unwrap_or(u32::MAX)
}

/// The `x-ratelimit-*` headers: the tightest limit of requests and of tokens.
#[must_use]
pub fn rate_limit_headers(standings: &[LimitStanding], now: UnixMs) -> Vec<(&'static str, String)> {
    const REQUESTS: [&str; 3] =
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
    const TOKENS: [&str; 3] =
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
    let mut headers = Vec::new();
    for (unit, names) in [(Unit::Requests, REQUESTS), (Unit::Tokens, TOKENS)] {
        let of_unit = standings.iter().filter(|standing| standing.kind.unit() == unit);
        let Some(standing) = of_unit.min_by_key(|standing| standing.remaining) else { continue };
        // Where something is used and the time is unknown: a whole window.
        let span = standing.kind.span_ms().filter(|_| standing.remaining < standing.limit);
        let wait = match standing.resets_at_ms.saturating_sub(now.0) {
            ..=0 => span.map_or(0, i64::from),
            wait => wait,
        };
        let values = [standing.limit.to_string(), standing.remaining.to_string(), format!("{wait}ms")];
        headers.extend(names.into_iter().zip(values));
    }
    headers
}

/// The headers of an answer that may have fewer output tokens than were asked for.
pub fn output_cut_headers(output_cut: Option<OutputCut>) -> impl Iterator<Item = (&'static str, String)> {
    let headers = |OutputCut { asked, granted }| {
        [(ASKED_HEADER, asked.to_string()), (GRANTED_HEADER, granted.to_string())]
    };
    output_cut.map(headers).into_iter().flatten()
}

/// The limit's name in the app's settings.
#[must_use]
pub fn limit_name(kind: BucketKind) -> &'static str {
    match kind {
        BucketKind::CostBudget => "budget",
        other => other.name(),
    }
}

fn format_amount(kind: BucketKind, amount: u64) -> String {
    if kind.unit() != Unit::Cost {
        return amount.to_string();
    }
    let (dollars, rest) = (amount.div_euclid(1_000_000_000), amount.rem_euclid(1_000_000_000));
    let fraction = format!("{rest:09}");
    let fraction = fraction.trim_end_matches('0');
    format!("${dollars}.{fraction:0<2}")
}

#[cfg(test)]
mod tests;
