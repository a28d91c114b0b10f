//! How long failed sign-ins are held up.

use jiff::{SignedDuration, Timestamp};

/// Failures are forgotten when none came for so long.
pub const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_mins(60);

/// The longest delay.
pub const LONGEST: SignedDuration = SignedDuration::from_mins(2);

/// What failures are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// One who tries, from one address, at one account.
    Guesser,
    /// A client address, behind which there may be many people.
    Address,
    /// An account, tried from anywhere: many addresses are no way around. NIST SP 800-63B (5.2.2) allows 100
    /// failures.
    Account,
}

impl Counted {
    /// How many failures cost nothing.
    #[must_use]
    pub fn free(self) -> u32 {
        match self {
            Self::Guesser => 5,
            Self::Address => 20,
            Self::Account => 100,
        }
    }

    /// How long the next attempt waits after so many failures: 1 second after the first that costs,
    /// twice as long after each further one.
    #[must_use]
    pub fn delay(self, failures: u32) -> SignedDuration {
        let Some(exponent) = failures.checked_sub(self.free() + 1) else { return SignedDuration::ZERO };
        let seconds = 1_i64.checked_shl(exponent.min(32)).unwrap_or(i64::MAX);
        SignedDuration::from_secs(seconds).min(LONGEST)
    }
}

/// The failures of a guesser, an address or an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// When the last one was.
    pub last: Timestamp,
    /// Until when attempts are refused unseen.
    pub blocked_until: Timestamp,
}

impl Failures {
    /// How long to wait; none when an attempt may be made.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<SignedDuration> {
        (self.blocked_until > now).then(|| self.blocked_until.duration_since(now))
    }

    /// With one more at `now`.
    #[must_use]
    pub fn more(before: Option<Self>, counted: Counted, now: Timestamp) -> Self {
        let count = before.filter(|before| now.duration_since(before.last) < FORGOTTEN_AFTER);
        let count = count.map_or(1, |before| before.count.saturating_add(1));
        let blocked_until = now.checked_add(counted.delay(count)).unwrap_or(Timestamp::MAX);
        Self { count, last: now, blocked_until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_delay_doubles_up_to_minutes() {
        let delays = (4..16).map(|failures| Counted::Guesser.delay(failures).as_secs()).collect::<Vec<_>>();
        assert_eq!(delays, [0, 0, 1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert_eq!(Counted::Account.delay(u32::MAX), LONGEST);
        assert_eq!(Counted::Address.delay(20), SignedDuration::ZERO);
        assert_eq!(Counted::Account.delay(100), SignedDuration::ZERO);
    }

    proptest! {
        #[test]
        fn guesses_are_few_however_they_are_timed(gaps in prop::collection::vec(0_i64..400, 1..400)) {
            let mut now = Timestamp::UNIX_EPOCH;
            let (mut before, mut guesses) = (None, 0_i64);
            for gap in gaps {
                now += SignedDuration::from_secs(gap);
                if before.is_some_and(|before: Failures| before.wait(now).is_some()) {
                    continue;
                }
                guesses += 1;
                let after = Failures::more(before, Counted::Guesser, now);
                prop_assert!(after.wait(now).unwrap_or_default() <= LONGEST);
                before = Some(after);
            }
            // The free ones, those on the way up, and one per longest delay.
            prop_assert!(guesses <= 5 + 8 + now.as_second() / LONGEST.as_secs() + 1);
        }
    }
}
