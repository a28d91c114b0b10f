//! What gateways tell of the targets of routing groups.

use jiff::Timestamp;
use latchkey_core::attempt::{Attempt, AttemptEnd, RestingTarget};
use latchkey_proto::ledger as wire;

use super::intake::{MOST, text};

/// The most attempts of a request, and the most targets that rest: both more than there are.
const MOST_ATTEMPTS: usize = 16;
const MOST_RESTING: usize = 1000;

pub(super) fn attempts(attempts: Vec<wire::Attempt>) -> Vec<Attempt> {
    attempts.into_iter().take(MOST_ATTEMPTS).map(attempt).collect()
}

fn attempt(attempt: wire::Attempt) -> Attempt {
    let end = end(attempt.end());
    let wire::Attempt { provider, model, status, end: _, duration_ms } = attempt;
    Attempt {
        provider: text(provider),
        model: text(model),
        status: self::status(status),
        end,
        duration_ms: u64::from(duration_ms).min(MOST),
    }
}

/// All that rest. One whose end cannot be read is left out.
pub(super) fn resting(resting: wire::RestingTargets) -> Vec<RestingTarget> {
    resting.targets.into_iter().take(MOST_RESTING).filter_map(resting_target).collect()
}

fn resting_target(target: wire::RestingTarget) -> Option<RestingTarget> {
    let reason = end(target.reason());
    let wire::RestingTarget { provider, model, until_ms, reason: _, status } = target;
    Some(RestingTarget {
        provider: text(provider),
        model: text(model),
        until: Timestamp::from_millisecond(until_ms).ok()?,
        reason,
        status: self::status(status),
    })
}

fn status(status: u32) -> Option<u16> {
    u16::try_from(status.min(999)).ok().filter(|status| *status > 0)
}

fn end(end: wire::AttemptEnd) -> AttemptEnd {
    match end {
        wire::AttemptEnd::Served => AttemptEnd::Served,
        wire::AttemptEnd::Status => AttemptEnd::Status,
        wire::AttemptEnd::Connection => AttemptEnd::Connection,
        wire::AttemptEnd::Timeout => AttemptEnd::Timeout,
        wire::AttemptEnd::ErrorEvent => AttemptEnd::ErrorEvent,
        wire::AttemptEnd::Unspecified => AttemptEnd::Unknown,
    }
}
