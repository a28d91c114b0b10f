use latchkey_core::limits::{Budget, TokenBudget};
use latchkey_core::money::NanoUsd;
use latchkey_core::period;

use super::*;

const START: &str = "2026-03-27T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    at(START) + jiff::SignedDuration::from_secs(seconds)
}

fn replay(app: Limits) -> LimitReplay {
    zoned(app, "UTC", UsedBefore::default())
}

fn zoned(app: Limits, zone: &str, used: UsedBefore) -> LimitReplay {
    let before = [Period::Total, Period::Day, Period::Week, Period::Month].map(|per| (per, used.clone()));
    let zone = period::zone(zone).unwrap();
    LimitReplay::new(&app, &Limits::default(), BTreeMap::new(), zone, at(START), before.into(), 1)
}

fn one() -> RequestUse {
    RequestUse { requests: 1, ..RequestUse::default() }
}

/// 100 tokens of input and as many of output, a cent for a thousand of output.
fn hundred() -> RequestUse {
    let output_rate = Some(10_000_000_000);
    RequestUse { requests: 1, input_tokens: 100, output_tokens: 100, cost: 1_000_000, output_rate }
}

fn usd(amount: &str, per: Period) -> Limits {
    Limits { budget: Some(Budget { usd: amount.parse().unwrap(), per }), ..Limits::default() }
}

#[test]
fn a_window_of_requests_slides() {
    let mut replay = replay(Limits { requests_per_minute: Some(2), ..Limits::default() });
    let mut take = |seconds| replay.take(after(seconds), None, one());
    assert_eq!([0, 1, 2, 59].map(|seconds| take(seconds).passed), [1, 1, 0, 0]);
    // Slots of a second: the first leaves the window after 61.
    assert_eq!([60, 61, 61, 62].map(|seconds| take(seconds).passed), [0, 1, 0, 1]);
    let refusal = take(62).refusal.unwrap();
    assert_eq!(
        (refusal.code, refusal.owner.as_str(), refusal.limit),
        ("rate_limit_exceeded", "app", "requests_per_minute")
    );
}

#[test]
fn what_is_refused_uses_nothing() {
    let limits = Limits { requests_per_minute: Some(10), ..usd("0.0015", Period::Day) };
    let mut replay = replay(limits);
    assert_eq!(replay.take(after(0), None, hundred()).passed, 1);
    for _ in 0..20 {
        let refused = replay.take(after(1), None, RequestUse { cost: 1_000_000_000, ..hundred() });
        assert_eq!(refused.refusal.unwrap().code, "request_exceeds_limit");
    }
    assert_eq!(replay.take(after(2), None, RequestUse { cost: 0, ..hundred() }).passed, 1);
}

#[test]
fn a_budget_begins_anew_with_its_period_in_the_time_zone_of_the_app() {
    // In Berlin the 29th of March 2026 has 23 hours, and begins at 23:00 UTC.
    let mut replay = zoned(usd("0.001", Period::Day), "Europe/Berlin", UsedBefore::default());
    let mut passed = |time: &str| replay.take(at(time), None, hundred()).passed;
    assert_eq!((passed("2026-03-28T22:59:58Z"), passed("2026-03-28T22:59:59Z")), (1, 0));
    assert_eq!((passed("2026-03-28T23:00:00Z"), passed("2026-03-29T21:59:59Z")), (1, 0));
    assert_eq!((passed("2026-03-29T22:00:00Z"), passed("2026-03-29T22:00:01Z")), (1, 0));
}

#[test]
fn a_budget_begins_with_what_was_used_of_its_period() {
    let used = UsedUnits { tokens: 900, cost: NanoUsd(9_000_000) };
    let before = UsedBefore { app: used, keys: BTreeMap::new() };
    let mut month = zoned(usd("0.01", Period::Month), "UTC", before.clone());
    assert_eq!([1, 2].map(|seconds| month.take(after(seconds), None, hundred()).passed), [1, 0]);
    assert_eq!(month.take(at("2026-04-01T00:00:00Z"), None, hundred()).passed, 1, "a new month");
    let tokens = |per| Limits { token_budget: Some(TokenBudget { tokens: 1_100, per }), ..Limits::default() };
    let mut total = zoned(tokens(Period::Total), "UTC", before);
    assert_eq!([1, 2].map(|seconds| total.take(after(seconds), None, hundred()).passed), [1, 0]);
    assert_eq!(total.take(at("2027-04-01T00:00:00Z"), None, hundred()).passed, 0, "it never begins anew");
}

#[test]
fn an_answer_is_as_long_as_what_is_left_allows() {
    let mut replay = replay(usd("0.0015", Period::Day));
    assert_eq!(replay.take(after(0), None, hundred()).output_tokens, 100);
    let outcome = replay.take(after(1), None, hundred());
    assert_eq!((outcome.passed, outcome.output_tokens, outcome.cost), (1, 50, 500_000));
    let refusal = replay.take(after(2), None, hundred()).refusal.unwrap();
    assert_eq!((refusal.code, refusal.limit), ("insufficient_quota", "budget"));
}

#[test]
fn without_the_price_of_output_a_request_fits_whole_or_not() {
    let mut replay = replay(usd("0.0015", Period::Day));
    let unpriced = RequestUse { output_rate: None, ..hundred() };
    assert_eq!([0, 1].map(|seconds| replay.take(after(seconds), None, unpriced).passed), [1, 0]);
}

#[test]
fn bounds_of_one_request_refuse_its_input_and_shorten_its_output() {
    let limits = Limits { max_input_tokens: Some(100), max_output_tokens: Some(40), ..Limits::default() };
    let mut replay = replay(limits);
    let outcome = replay.take(after(0), None, hundred());
    assert_eq!((outcome.passed, outcome.output_tokens, outcome.cost), (1, 40, 400_000));
    let refused = replay.take(after(0), None, RequestUse { input_tokens: 101, ..hundred() });
    assert_eq!(refused.refusal.unwrap().code, "max_input_tokens_exceeded");
}

#[test]
fn named_keys_have_limits_of_their_own_or_those_for_named_keys() {
    let [first, second] = [1, 2].map(Uuid::from_u128);
    let per_minute = |limit| Limits { requests_per_minute: Some(limit), ..Limits::default() };
    let own = BTreeMap::from([(second, per_minute(2))]);
    let zone = TimeZone::UTC;
    let mut replay = LimitReplay::new(&per_minute(4), &per_minute(1), own, zone, at(START), Vec::new(), 1);
    let mut owner = |key| replay.take(after(0), key, one()).refusal.map(|refusal| refusal.owner);
    assert_eq!([Some(first), Some(first)].map(&mut owner), [None, Some(LimitOwner::Key)]);
    assert_eq!([Some(second); 3].map(&mut owner), [None, None, Some(LimitOwner::Key)]);
    assert_eq!(
        [None, None].map(&mut owner),
        [None, Some(LimitOwner::App)],
        "the app's key has only the app's"
    );
}

#[test]
fn refusals_that_were_counted_together_pass_as_far_as_there_is_room() {
    let mut replay = replay(Limits { requests_per_minute: Some(5), ..Limits::default() });
    let many = RequestUse { requests: 8, ..RequestUse::default() };
    assert_eq!(replay.take(after(0), None, many).passed, 5);
    assert_eq!(replay.take(after(1), None, one()).passed, 0);
}

#[test]
fn each_request_of_a_sample_uses_what_it_stands_for() {
    let limits = Limits { requests_per_minute: Some(100), ..Limits::default() };
    let zone = TimeZone::UTC;
    let mut replay =
        LimitReplay::new(&limits, &Limits::default(), BTreeMap::new(), zone, at(START), Vec::new(), 8);
    let passed: u64 = (0..40).map(|_| replay.take(after(0), None, one()).passed).sum();
    assert!((12..=13).contains(&passed), "{passed} times 8 of 100");
}
