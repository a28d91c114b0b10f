//! What a change would have done to past requests, in words.

use latchkey_api::simulation::{EstimateView, RefusedByRule, RefusedByUser, SimulationView};

use super::format::{count, usd};

/// What a page tells of a simulation first.
#[must_use]
pub fn sentence(simulation: &SimulationView) -> String {
    let SimulationView { requests, would_be_refused, spend_then, spend_would_be, spend_error, .. } =
        simulation;
    if requests.count == 0 {
        return "The app had no requests in this period, so there is nothing to try the change on."
            .to_owned();
    }
    let error = if spend_error.0 == 0 { String::new() } else { format!(" (± {})", usd(spend_error)) };
    let spend = match spend_then == spend_would_be {
        true => format!("Spend would have been the same: {}{error}.", usd(spend_then)),
        false => {
            format!("Spend would have been {} instead of {}{error}.", usd(spend_would_be), usd(spend_then))
        }
    };
    let refused = match would_be_refused.count {
        0 => format!("This would have refused none of {}.", requests_of(requests)),
        _ => format!("This would have refused {} of {}.", estimated(would_be_refused), requests_of(requests)),
    };
    format!("{refused} {spend}")
}

fn requests_of(estimate: &EstimateView) -> String {
    let noun = if estimate.count == 1 { "request" } else { "requests" };
    format!("{} {noun}", estimated(estimate))
}

/// A count, with how far it may be off.
#[must_use]
pub fn estimated(estimate: &EstimateView) -> String {
    match estimate.error {
        0 => count(estimate.count),
        error => format!("{} (± {})", count(estimate.count), count(error)),
    }
}

/// A rule that refuses, in words.
#[must_use]
pub fn rule(rule: &RefusedByRule) -> String {
    match (&rule.owner, &rule.limit) {
        (Some(owner), Some(limit)) => {
            let whose = if owner == "key" { "the key's" } else { "the app's" };
            format!("{whose} {}", limit.replace('_', " "))
        }
        _ => rule.code.replace('_', " "),
    }
}

/// Who sent requests that would be refused.
#[must_use]
pub fn sender(user: &RefusedByUser) -> String {
    user.email.clone().unwrap_or_else(|| match user.user_id {
        Some(_) => "Deleted user".to_owned(),
        None => "Unknown (app key)".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use latchkey_core::money::NanoUsd;

    use super::*;

    fn simulated(requests: u64, refused: u64, spend: [u64; 2]) -> SimulationView {
        let estimate = |count| EstimateView { count, error: 0 };
        SimulationView {
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::UNIX_EPOCH,
            complete: true,
            sampled_one_of: 1,
            requests: estimate(requests),
            refused_then: estimate(0),
            would_be_refused: estimate(refused),
            refused_by_rule: Vec::new(),
            refused_by_user: Vec::new(),
            refused_by_model: Vec::new(),
            no_longer_refused: estimate(0),
            shortened: estimate(0),
            spend_then: NanoUsd(spend[0] * 10_000_000),
            spend_would_be: NanoUsd(spend[1] * 10_000_000),
            spend_error: NanoUsd(0),
            cannot_tell: Vec::new(),
        }
    }

    #[test]
    fn a_simulation_is_told_in_a_sentence() {
        assert_eq!(
            sentence(&simulated(847, 12, [5_780, 4_120])),
            "This would have refused 12 of 847 requests. Spend would have been $41.20 instead of $57.80."
        );
        assert_eq!(
            sentence(&simulated(1, 0, [1, 1])),
            "This would have refused none of 1 request. Spend would have been the same: $0.01."
        );
        assert!(sentence(&simulated(0, 0, [0, 0])).contains("no requests"));
        let sampled = SimulationView {
            would_be_refused: EstimateView { count: 4_000, error: 248 },
            spend_error: NanoUsd(2_000_000_000),
            ..simulated(1_000_000, 0, [100_000, 90_000])
        };
        assert_eq!(
            sentence(&sampled),
            "This would have refused 4,000 (± 248) of 1,000,000 requests. Spend would have been $900.00 instead of \
             $1,000.00 (± $2.00)."
        );
    }
}
