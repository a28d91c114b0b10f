//! How a budget's period ends if spending goes on as in the period so far.

/// Before this much of a period has passed, its rate says nothing.
const LEAST_ELAPSED_MS: u64 = 3_600_000;
/// Nor does a rate of less than this much of the limit, in percent.
const LEAST_PERCENT: u128 = 1;

/// What becomes of a budget at the rate of its period so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// It is spent before its period ends: at this moment, in Unix milliseconds.
    SpentAt(i64),
    /// It lasts: so much of it is used when it resets, in percent.
    UsedAtReset(u8),
}

/// The forecast for a limit of which so much is used, from when the period began and ends: what is used by the hour
/// from its start to now goes on until its end. None where too little is known (less than an hour, or less than 1 % of
/// the limit), and where nothing is left to forecast.
#[must_use]
pub fn forecast(limit: u64, used: u64, (start_ms, end_ms): (i64, i64), now_ms: i64) -> Option<Forecast> {
    let elapsed = u64::try_from(now_ms.checked_sub(start_ms)?).ok()?;
    let length = u64::try_from(end_ms.checked_sub(start_ms)?).ok()?;
    let is_known = elapsed >= LEAST_ELAPSED_MS && u128::from(used) * 100 >= u128::from(limit) * LEAST_PERCENT;
    if !is_known || elapsed >= length || used == 0 || used >= limit {
        return None;
    }
    let (limit, used, elapsed) = (u128::from(limit), u128::from(used), u128::from(elapsed));
    // From the start, rounded up: it is not spent before.
    let spent_after = (limit * elapsed).div_ceil(used);
    if spent_after < u128::from(length) {
        return Some(Forecast::SpentAt(start_ms.checked_add(i64::try_from(spent_after).ok()?)?));
    }
    let percent = used * u128::from(length) * 100 / (elapsed * limit);
    Some(Forecast::UsedAtReset(u8::try_from(percent.min(100)).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn what_goes_on_as_it_was_is_spent_or_lasts() {
        let month = (0, 30 * DAY);
        assert_eq!(forecast(100, 50, month, 10 * DAY), Some(Forecast::SpentAt(20 * DAY)));
        assert_eq!(forecast(100, 20, month, 10 * DAY), Some(Forecast::UsedAtReset(60)));
        assert_eq!(forecast(90, 30, month, 10 * DAY), Some(Forecast::UsedAtReset(100)), "just enough");
    }

    #[test]
    fn nothing_is_said_where_too_little_is_known() {
        let month = (0, 30 * DAY);
        assert_eq!(forecast(100, 50, month, HOUR - 1), None, "less than an hour");
        assert!(forecast(100, 50, month, HOUR).is_some());
        assert_eq!(forecast(1000, 9, month, DAY), None, "less than 1 %");
        assert!(forecast(1000, 10, month, DAY).is_some());
        assert_eq!(forecast(100, 100, month, DAY), None, "it is spent");
        assert_eq!(forecast(100, 50, month, 30 * DAY), None, "the period is over");
        assert_eq!(forecast(0, 0, month, DAY), None, "a limit of nothing");
        assert_eq!(forecast(100, 50, month, -1), None, "a clock that went back");
    }

    proptest! {
        /// A forecast is within the period and after now, says the less time the more is used, and agrees with a
        /// calculation in real numbers.
        #[test]
        fn a_forecast_agrees_with_its_rate(
            limit in 1..u64::MAX, share in 0.0..1.2_f64, start in -DAY..1_000 * DAY, length in 1..400 * DAY, at in 0.0..1.2_f64,
        ) {
            let used = (limit as f64 * share) as u64;
            let now = start + (length as f64 * at) as i64;
            let end = start + length;
            let rate = used as f64 / (now - start) as f64;
            match forecast(limit, used, (start, end), now) {
                Some(Forecast::SpentAt(spent)) => {
                    prop_assert!(now < spent && spent < end);
                    let expected = start as f64 + limit as f64 / rate;
                    prop_assert!((spent as f64 - expected).abs() <= 2.0 + length as f64 * 1e-9);
                    if let Some(Forecast::SpentAt(sooner)) = forecast(limit, used + (limit - used) / 2, (start, end), now) {
                        prop_assert!(sooner <= spent);
                    }
                }
                Some(Forecast::UsedAtReset(percent)) => {
                    prop_assert!(u128::from(percent) * u128::from(limit) >= u128::from(used) * 100 - u128::from(limit));
                    let expected = rate * length as f64 * 100.0 / limit as f64;
                    prop_assert!((f64::from(percent) - expected).abs() <= 1.001);
                }
                None => {
                    let is_known = now - start >= HOUR && used as f64 >= limit as f64 * 0.010_001;
                    prop_assert!(!is_known || now >= end || used >= limit);
                }
            }
        }
    }
}
