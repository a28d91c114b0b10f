//! Values as people read them.

use std::borrow::Borrow;
use std::fmt::{self, Display, Formatter};

use askama::filters::HtmlSafe;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use latchkey_core::attempt::AttemptEnd;
use latchkey_core::change_request;
use latchkey_core::money::NanoUsd;
use latchkey_core::price::Rates;
use latchkey_core::status::{Standing, Switch};
use latchkey_core::wording;
use latchkey_service::gateways::propagation::{PendingGateway, Propagation};
use serde_json::Value;

pub use latchkey_core::wording::words;

/// A moment, in somebody's zone.
#[derive(Clone, Debug)]
pub struct Time {
    at: Timestamp,
    shown: String,
    exact: String,
}

/// A moment, told by its distance.
#[derive(Clone, Debug)]
pub struct Ago(Result<Time, &'static str>);

impl Time {
    /// `at`, in this zone.
    #[must_use]
    pub fn new(at: Timestamp, zone: &TimeZone) -> Self {
        let zoned = at.to_zoned(zone.clone());
        Self {
            at,
            shown: zoned.strftime("%b %-d, %Y, %H:%M").to_string(),
            exact: zoned.strftime("%Y-%m-%d %H:%M:%S%.3f %Z").to_string(),
        }
    }
}

impl Time {
    /// A moment to come: its day, and its time where it is less than two days off.
    #[must_use]
    pub fn by(at: Timestamp, now: Timestamp, zone: &TimeZone) -> Self {
        let is_near = at.duration_since(now) < SignedDuration::from_hours(48);
        let form = if is_near { "%b %-d, %H:%M" } else { "%b %-d" };
        Self { shown: at.to_zoned(zone.clone()).strftime(form).to_string(), ..Self::new(at, zone) }
    }

    /// As text alone.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.shown
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { at, shown, exact } = self;
        write!(f, "<time datetime=\"{at}\" title=\"{exact}\">{shown}</time>")
    }
}

// A timestamp, digits, and names of months and zones: nothing that HTML reads as its own.
impl HtmlSafe for Time {}

impl Ago {
    /// `at`, seen from `now`.
    #[must_use]
    pub fn new(at: Timestamp, now: Timestamp, zone: &TimeZone) -> Self {
        let time = Time::new(at, zone);
        let seconds = now.as_second().saturating_sub(at.as_second());
        let shown = match (span(seconds.unsigned_abs()), seconds) {
            (None, ..0) => "in a moment".to_owned(),
            (None, _) => "just now".to_owned(),
            (Some(span), ..0) => format!("in {span}"),
            (Some(span), _) => format!("{span} ago"),
        };
        Self(Ok(Time { shown, ..time }))
    }

    /// No moment, in these words.
    #[must_use]
    pub fn none(words: &'static str) -> Self {
        Self(Err(words))
    }
}

impl Display for Ago {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(time) => time.fmt(f),
            Err(words) => f.write_str(words),
        }
    }
}

impl HtmlSafe for Ago {}

/// Seconds, roughly; nothing below a minute.
fn span(seconds: u64) -> Option<String> {
    let (count, unit) = match seconds {
        ..60 => return None,
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    Some(if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") })
}

/// A whole number, as templates have it.
pub trait WholeNumber {
    fn whole(&self) -> u64;
}

impl WholeNumber for u64 {
    fn whole(&self) -> u64 {
        *self
    }
}

impl WholeNumber for u32 {
    fn whole(&self) -> u64 {
        (*self).into()
    }
}

impl WholeNumber for usize {
    fn whole(&self) -> u64 {
        *self as u64
    }
}

impl<T: WholeNumber> WholeNumber for &T {
    fn whole(&self) -> u64 {
        (**self).whole()
    }
}

/// A count with its thousands set apart: `12,345`.
#[must_use]
pub fn count(number: impl WholeNumber) -> String {
    wording::count(number.whole())
}

/// A count for a glance: `98.2M` where it has more than six digits.
#[must_use]
pub fn short(number: impl WholeNumber) -> String {
    let number = number.whole();
    let (unit, word) = match number {
        ..1_000_000 => return count(number),
        1_000_000..1_000_000_000 => (1_000_000, "M"),
        _ => (1_000_000_000, "B"),
    };
    format!("{}.{}{word}", count(number / unit), number % unit / (unit / 10))
}

/// `1 key`, `2 keys`.
#[must_use]
pub fn plural(number: impl WholeNumber, one: &str) -> String {
    let number = number.whole();
    if number == 1 { format!("1 {one}") } else { format!("{} {one}s", count(number)) }
}

/// Money: two decimals, or as many as a small amount needs to be seen.
#[must_use]
pub fn usd(amount: impl Borrow<NanoUsd>) -> String {
    let NanoUsd(nano) = *amount.borrow();
    let (whole, rest) = (nano / 1_000_000_000, nano % 1_000_000_000);
    if whole > 0 || rest == 0 || rest >= 10_000_000 {
        let cents = rest.saturating_add(5_000_000) / 10_000_000;
        return format!("${}.{:02}", count(whole + cents / 100), cents % 100);
    }
    let decimals = format!("{rest:09}");
    let zeros = decimals.bytes().take_while(|digit| *digit == b'0').count();
    format!("$0.{}", &decimals[..(zeros + 2).min(9)])
}

/// A price as it is, with cents at least: `$0.075`, `$10.00`.
#[must_use]
pub fn price(amount: &NanoUsd) -> String {
    let exact = amount.to_string();
    let decimals = exact.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let point = if decimals == 0 { "." } else { "" };
    format!("${exact}{point}{}", "0".repeat(2_usize.saturating_sub(decimals)))
}

/// What each kind of tokens costs; writing to a cache only where that is not as other input.
#[must_use]
pub fn rates(rates: &Rates) -> String {
    let Rates { input, cached_input, cache_write_5m, cache_write_1h, output } = rates;
    let writes = match rates.has_own_writes() {
        true => format!("cache writes {} and {}, ", price(cache_write_5m), price(cache_write_1h)),
        false => String::new(),
    };
    format!("input {}, cached {}, {writes}output {}", price(input), price(cached_input), price(output))
}

/// Milliseconds: `80 ms`, `1.2 s`.
#[must_use]
pub fn milliseconds(ms: impl WholeNumber) -> String {
    let ms = ms.whole();
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

/// How far a change has come: `on 6 of 6 gateways in 80 ms`, with those that have not applied it, and why.
#[must_use]
pub fn propagated(propagation: &Propagation) -> String {
    let Propagation { applied, pending, elapsed_ms, .. } = propagation;
    let (done, all) = (applied.len(), applied.len() + pending.len());
    if all == 0 {
        return "(no gateway is connected; each one applies the change when it connects)".to_owned();
    }
    let took = milliseconds(elapsed_ms);
    let sum = format!("on {} of {} in {took}", count(done), plural(all, "gateway"));
    if pending.is_empty() {
        return sum;
    }
    let late: Vec<_> =
        pending.iter().map(|PendingGateway { gateway, reason }| format!("{gateway} ({reason})")).collect();
    format!("{sum}; not yet on {}", late.join(", "))
}

/// What was done to an app or a key, and how far that has come.
#[must_use]
pub fn switched(switch: Switch, propagation: &Propagation) -> String {
    let done = match switch {
        Switch::Activate => "Activated",
        Switch::Deactivate => "Deactivated",
        Switch::Revoke => "Revoked",
    };
    format!("{done} {}.", propagated(propagation))
}

/// A setting's value, as JSON has it.
#[must_use]
pub fn setting(value: &Option<Value>) -> String {
    match value {
        None => "–".to_owned(),
        Some(Value::Null) => "not set".to_owned(),
        Some(Value::Bool(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        Some(Value::Number(number)) => number.as_u64().map_or_else(|| number.to_string(), count),
        Some(other) => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

/// Whether an app or a key works, as a badge.
#[derive(Clone, Copy, Debug)]
pub struct Badge {
    class: &'static str,
    word: &'static str,
}

impl Display for Badge {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { class, word } = self;
        write!(f, "<span class=\"badge{class}\">{word}</span>")
    }
}

impl HtmlSafe for Badge {}

/// Whether an app or a key works.
#[must_use]
pub fn standing(standing: &Standing) -> Badge {
    let (class, word) = match standing {
        Standing::Active => (" good", "active"),
        Standing::Inactive => ("", "inactive"),
        Standing::Expired => (" warn", "expired"),
        Standing::Revoked => (" bad", "revoked"),
    };
    Badge { class, word }
}

/// How far a change request has come, as a badge.
#[must_use]
pub fn progress(status: &change_request::Status) -> Badge {
    use change_request::Status;
    let class = match status {
        Status::Pending => " warn",
        Status::Approved => " good",
        Status::Rejected | Status::Failed => " bad",
        Status::Stale | Status::Withdrawn => "",
    };
    Badge { class, word: status.as_str() }
}

/// How a try at a target ended.
#[must_use]
pub fn attempt(end: &AttemptEnd, status: &Option<u16>) -> String {
    let words = match end {
        AttemptEnd::Served => "served",
        AttemptEnd::Status => "status",
        AttemptEnd::Connection => "no connection",
        AttemptEnd::Timeout => "timeout",
        AttemptEnd::ErrorEvent => "error event",
        AttemptEnd::Unknown => "unknown",
    };
    match status {
        Some(status) => format!("{words} {status}"),
        None => words.to_owned(),
    }
}

/// Why a try failed; empty where it did not.
#[must_use]
pub fn attempt_failure(end: &AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Served => "",
        AttemptEnd::Status => "The group counts this status as a failure.",
        AttemptEnd::Connection => "The connection failed, or closed before a response arrived.",
        AttemptEnd::Timeout => "It timed out.",
        AttemptEnd::ErrorEvent => "The first event of its stream was an error.",
        AttemptEnd::Unknown => {
            "The client disconnected before a response arrived, or the gateway is newer than this control \
             plane."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_set_apart() {
        let shown = [0_u64, 999, 1_000, 12_345, 1_234_567].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn prices_are_not_rounded() {
        let shown = [75_000_000, 10_000_000_000, 2_500_000_000, 0, 1].map(|nano| price(&NanoUsd(nano)));
        assert_eq!(shown, ["$0.075", "$10.00", "$2.50", "$0.00", "$0.000000001"]);
    }

    #[test]
    fn large_counts_are_short_at_a_glance() {
        let shown = [999_999_u64, 1_000_000, 98_214_300, 1_250_000_000].map(short);
        assert_eq!(shown, ["999,999", "1.0M", "98.2M", "1.2B"]);
    }

    #[test]
    fn small_amounts_of_money_are_not_nothing() {
        let shown =
            [0, 1, 123_000, 9_999_999, 10_000_000, 999_999_999, 1_234_567_000_000].map(|n| usd(NanoUsd(n)));
        assert_eq!(shown, ["$0.00", "$0.000000001", "$0.00012", "$0.0099", "$0.01", "$1.00", "$1,234.57"]);
    }

    #[test]
    fn who_has_not_applied_a_change_is_named() {
        let told = |applied: &[&str], pending: Vec<PendingGateway>| {
            let applied = applied.iter().map(|name| (*name).to_owned()).collect();
            propagated(&Propagation {
                revision: 7,
                complete: pending.is_empty(),
                applied,
                pending,
                elapsed_ms: 80,
            })
        };
        assert_eq!(told(&["a", "b"], vec![]), "on 2 of 2 gateways in 80 ms");
        let late = PendingGateway { gateway: "eu-1".into(), reason: "not connected".into() };
        assert_eq!(told(&["a"], vec![late]), "on 1 of 2 gateways in 80 ms; not yet on eu-1 (not connected)");
        assert!(told(&[], vec![]).starts_with("(no gateway is connected"));
    }

    #[test]
    fn moments_are_told_by_their_distance() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let told = |at: &str| {
            let Ago(Ok(Time { shown, .. })) = Ago::new(at.parse().unwrap(), now, &TimeZone::UTC) else {
                panic!("a moment has a time")
            };
            shown
        };
        assert_eq!(told("2026-11-22T11:59:30Z"), "just now");
        assert_eq!(told("2026-11-22T11:58:59Z"), "1 minute ago");
        assert_eq!(told("2026-11-22T09:00:00Z"), "3 hours ago");
        assert_eq!(told("2026-11-24T12:00:00Z"), "in 2 days");
    }
}
