//! The wait before the next attempt to reach the control plane.

const FIRST_MS: u64 = 100;
const LONGEST_MS: u64 = 5_000;

/// Doubles with each failure, up to five seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure, in milliseconds: between half and the whole of the
    /// current step, by `random`, so that gateways do not come back in step.
    pub fn fail(&mut self, random: u64) -> u64 {
        let step = FIRST_MS.checked_shl(self.failures).unwrap_or(LONGEST_MS).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1).min(16);
        let half = step.div_euclid(2).max(1);
        half.saturating_add(random.checked_rem(half).unwrap_or_default())
    }

    /// The control plane has answered.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_seconds_and_start_over_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.fail(0)).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2500, 2500]);
        assert!((0..100).all(|n| (2500..5000).contains(&backoff.fail(n * 977))));
        backoff.succeed();
        assert!((50..100).contains(&backoff.fail(12_345)));
    }
}
