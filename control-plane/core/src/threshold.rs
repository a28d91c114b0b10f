//! When the use of a budget is told of.

/// Which of the percentages a spend has reached that was at `before` and is at `after`.
#[must_use]
pub fn crossed(limit: u64, thresholds: &[u8], before: u64, after: u64) -> Vec<u8> {
    let reached =
        |units: u64, percent: u8| u128::from(units) * 100 >= u128::from(limit) * u128::from(percent);
    thresholds
        .iter()
        .copied()
        .filter(|percent| !reached(before, *percent) && reached(after, *percent))
        .collect()
}

/// Whether a spend has reached the cap.
#[must_use]
pub fn exceeded(limit: u64, before: u64, after: u64) -> bool {
    before < limit && after >= limit
}

/// Whether so little is left that a refusal means a spent budget, and not one request that is too large.
#[must_use]
pub fn as_good_as_spent(limit: u64, used: u64) -> bool {
    u128::from(used) * 10 >= u128::from(limit) * 9
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reaching_is_crossing() {
        assert_eq!(crossed(200, &[50, 80, 100], 99, 160), [50, 80]);
        assert_eq!(crossed(200, &[50, 80, 100], 100, 159), [0_u8; 0]);
        assert_eq!(crossed(3, &[50], 1, 2), [50]);
        assert_eq!(crossed(u64::MAX, &[100], 0, u64::MAX), [100]);
        assert!(exceeded(200, 199, 200) && !exceeded(200, 200, 300));
    }

    proptest! {
        #[test]
        fn each_is_crossed_once_however_it_is_spent(limit in 1_u64..1_000, spends in prop::collection::vec(0_u64..100, 0..50)) {
            let thresholds = [1, 50, 80, 99, 100];
            let (mut used, mut seen) = (0, vec![]);
            for spend in spends {
                seen.extend(crossed(limit, &thresholds, used, used + spend));
                used += spend;
            }
            let expected: Vec<_> = thresholds.into_iter().filter(|percent| used * 100 >= limit * u64::from(*percent)).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
