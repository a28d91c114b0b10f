//! Which records of a worker were applied, so that each is applied once.

/// How far the records of one worker of a gateway process were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last one's sequence; 0 for none.
    pub sequence: u64,
    /// How many are missing.
    pub dropped: u64,
    /// How many of those the gateway has told of.
    pub told: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceStep {
    /// The next one, after so many that are missing.
    New {
        /// Missing between it and the one before.
        missing: u64,
    },
    /// Applied before.
    Duplicate,
}

impl Applied {
    /// Takes the record with this sequence.
    pub fn take(&mut self, sequence: u64) -> SequenceStep {
        let Some(ahead) = sequence.checked_sub(self.sequence).filter(|ahead| *ahead > 0) else {
            return SequenceStep::Duplicate;
        };
        let missing = ahead.saturating_sub(1);
        self.sequence = sequence;
        self.dropped = self.dropped.saturating_add(missing);
        SequenceStep::New { missing }
    }

    /// Learns how many records the gateway had to drop itself; how many of them are news.
    pub fn tell(&mut self, dropped: u64) -> u64 {
        let new = dropped.saturating_sub(self.told);
        self.told = self.told.max(dropped);
        self.dropped = self.dropped.saturating_add(new);
        new
    }

    /// Notes that the record just taken cannot be read.
    pub fn lose(&mut self) {
        self.dropped = self.dropped.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_is_taken_once_and_gaps_are_counted() {
        let mut applied = Applied::default();
        let steps = [1, 2, 2, 1, 5, 3, 6].map(|sequence| applied.take(sequence));
        let new = |missing| SequenceStep::New { missing };
        let again = SequenceStep::Duplicate;
        assert_eq!(steps, [new(0), new(0), again, again, new(2), again, new(0)]);
        assert_eq!([applied.tell(3), applied.tell(3), applied.tell(4)], [3, 0, 1]);
        assert_eq!(applied, Applied { sequence: 6, dropped: 6, told: 4 });
        assert_eq!(Applied::default().take(0), SequenceStep::Duplicate);
    }
}
