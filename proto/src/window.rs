//! A window that slides: how much was used in the last so many milliseconds.
//!
//! The control plane keeps one for each bucket of the fleet; a gateway keeps one while it is alone.

/// How many slots a window has. What is used counts until its whole slot has left the window, so
/// a window is up to one slot longer than its span: never less is counted than was used.
const SLOTS: i64 = 60;

/// At most such a part of a limit is few: where gateways have so little of it, they may keep it for
/// longer, and none asks for a larger cushion.
pub const FEW_PART: u64 = 16;

/// For how long, at most, what is used counts in a window of `span_ms` milliseconds.
#[must_use]
pub fn longest_ms(span_ms: u32) -> i64 {
    i64::from(span_ms).saturating_add(slot_ms(span_ms))
}

fn slot_ms(span_ms: u32) -> i64 {
    i64::from(span_ms).div_euclid(SLOTS).max(1)
}

/// Use within a window, in slots of a sixtieth of its span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    slot_ms: i64,
    /// Slots in which something was used: their number since the epoch, and how much. Ascending.
    slots: Vec<(i64, u64)>,
}

impl Window {
    /// An empty window of `span_ms` milliseconds, at least 60.
    #[must_use]
    pub fn new(span_ms: u32) -> Self {
        Self { slot_ms: slot_ms(span_ms), slots: Vec::new() }
    }

    /// The window with the slots that [`Self::slots`] gave.
    #[must_use]
    pub fn with_slots(span_ms: u32, mut slots: Vec<(i64, u64)>) -> Self {
        slots.sort_unstable();
        Self { slots, ..Self::new(span_ms) }
    }

    #[must_use]
    pub fn slots(&self) -> &[(i64, u64)] {
        &self.slots
    }

    /// Counts `amount` as used at `now_ms`. A clock that went back counts at the latest slot known,
    /// so that nothing is forgotten early.
    pub fn add(&mut self, now_ms: i64, amount: u64) {
        if amount == 0 {
            return;
        }
        let slot = now_ms.div_euclid(self.slot_ms);
        match self.slots.last_mut() {
            Some((last, used)) if *last >= slot => *used = used.saturating_add(amount),
            _ => self.slots.push((slot, amount)),
        }
    }

    /// What counts at `now_ms`. Slots that have left the window are dropped.
    pub fn used(&mut self, now_ms: i64) -> u64 {
        let oldest = now_ms.div_euclid(self.slot_ms).saturating_sub(SLOTS);
        self.slots.retain(|(slot, _)| *slot >= oldest);
        self.slots.iter().fold(0, |sum, (_, used)| sum.saturating_add(*used))
    }

    /// When, if nothing more is used, at most `most` will count: milliseconds since the epoch.
    /// `now_ms` if that is so already.
    pub fn falls_to(&mut self, now_ms: i64, most: u64) -> i64 {
        let mut left = self.used(now_ms);
        for (slot, used) in &self.slots {
            if left <= most {
                break;
            }
            left = left.saturating_sub(*used);
            if left <= most {
                return slot.saturating_add(SLOTS).saturating_add(1).saturating_mul(self.slot_ms);
            }
        }
        now_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_forgotten_within_the_span(
            steps in prop::collection::vec((0_i64..5_000, 1_u64..10), 1..200)
        ) {
            let mut window = Window::new(60_000);
            let mut now = 1_700_000_000_000_i64;
            let mut uses = vec![];
            for (wait, amount) in steps {
                now += wait;
                window.add(now, amount);
                uses.push((now, amount));
                let within = |span: i64| {
                    uses.iter().filter(|(at, _)| *at > now - span).map(|(_, amount)| amount).sum::<u64>()
                };
                let used = window.used(now);
                prop_assert!(used >= within(60_000), "{used} counted, {} used", within(60_000));
                prop_assert!(used <= within(61_001), "{used} counted, {} used", within(61_001));
            }
        }

        #[test]
        fn it_falls_when_it_says(
            steps in prop::collection::vec((0_i64..5_000, 1_u64..10), 1..50), most in 0_u64..50
        ) {
            let mut window = Window::new(60_000);
            let mut now = 1_700_000_000_000_i64;
            for (wait, amount) in steps {
                now += wait;
                window.add(now, amount);
            }
            let at = window.falls_to(now, most);
            prop_assert!(window.clone().used(at) <= most);
            prop_assert!(at == now || window.used(at - 1) > most);
        }
    }

    #[test]
    fn a_clock_that_goes_back_frees_nothing() {
        let mut window = Window::new(60_000);
        window.add(1_000_000, 5);
        window.add(900_000, 5);
        assert_eq!(window.used(900_000), 10);
        assert_eq!(window.used(1_060_999), 10);
        assert_eq!(window.used(1_061_000), 0);
    }
}
