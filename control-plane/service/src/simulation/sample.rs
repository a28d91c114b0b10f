//! What a sample says of the whole, and how far it may be off.

/// A sum over the requests of a sample, each of which stands for `stands_for`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SampledSum {
    sum: i128,
    squares: f64,
}

/// A sum over all requests, and within what it is in 95 of 100 samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    pub value: i128,
    /// Up or down; 0 where every request was looked at.
    pub error: u64,
}

/// Standard deviations to either side that hold 95 % of a normal distribution.
const TWO_SIDED: f64 = 1.96;

impl SampledSum {
    /// Adds what one request of the sample is, or what equal ones are that it stands for.
    pub fn add(&mut self, amount: i128) {
        self.sum = self.sum.saturating_add(amount);
        #[expect(clippy::cast_precision_loss, reason = "of an error two digits matter")]
        let amount = amount as f64;
        self.squares += amount * amount;
    }

    /// What all together are. Each request is in the sample by itself, with a probability of 1 in `stands_for`: the
    /// variance of the estimate is the sum of the squares, times k (k - 1).
    #[must_use]
    pub fn estimate(self, stands_for: u64) -> Estimate {
        #[expect(clippy::cast_precision_loss, reason = "of an error two digits matter")]
        let (k, less) = (stands_for as f64, stands_for.saturating_sub(1) as f64);
        let error = TWO_SIDED * (self.squares * k * less).sqrt();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative, and what is too large becomes the largest"
        )]
        let error = error.ceil() as u64;
        Estimate { value: self.sum.saturating_mul(stands_for.into()), error }
    }
}

impl Estimate {
    /// As a count or an amount, which is not negative.
    #[must_use]
    pub fn unsigned(self) -> u64 {
        u64::try_from(self.value.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use latchkey_store::traffic::SampleRate;

    use super::*;

    fn ones(count: u64) -> SampledSum {
        let mut sum = SampledSum::default();
        (0..count).for_each(|_| sum.add(1));
        sum
    }

    #[test]
    fn what_was_looked_at_whole_has_no_error() {
        assert_eq!(ones(12).estimate(1), Estimate { value: 12, error: 0 });
    }

    #[test]
    fn a_sample_says_how_far_it_may_be_off() {
        // 1.96 * sqrt(100 * 4 * 3) = 67.9
        assert_eq!(ones(100).estimate(4), Estimate { value: 400, error: 68 });
        let mut spend = SampledSum::default();
        [-3, -4].into_iter().for_each(|amount| spend.add(amount));
        // 1.96 * sqrt(25 * 2) = 13.9
        assert_eq!(spend.estimate(2), Estimate { value: -14, error: 14 });
        assert_eq!(spend.estimate(2).unsigned(), 0);
    }

    /// The ids of what is counted: every so many-th, as many ways as there are.
    #[test]
    fn the_truth_is_within_the_error_nineteen_times_of_twenty() {
        let rate = SampleRate::ALL.halved().halved().halved();
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        let mut within = 0;
        for _ in 0..400 {
            let refused: std::collections::BTreeSet<_> = (0..2_000).map(|_| next() % 1_000_000).collect();
            let sampled = refused.iter().filter(|id| rate.takes(i64::try_from(**id).unwrap())).count();
            let Estimate { value, error } = ones(sampled as u64).estimate(rate.stands_for());
            within += u32::from(value.abs_diff(refused.len() as i128) <= u128::from(error));
        }
        assert!((360..=400).contains(&within), "{within} of 400");
    }
}
