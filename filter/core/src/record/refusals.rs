//! Limits the records of repeated refusals: of one key refused with one code, only a few per minute get a
//! record of their own. The rest are counted, and now and then recorded as one record with that count.
//!
//! Nothing is lost while the ring has no room: refusals are counted until it has.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use uuid::Uuid;

use crate::answer::denial::Code;
use crate::identity::CallerIdentity;
use crate::record::Record;
use crate::snapshot::UnixMs;

/// Refusals per minute with a record of their own.
pub const EACH: u32 = 8;

/// How long refusals are counted before the count is recorded.
const PAUSE_MS: i64 = 10_000;

/// Keys and codes that are counted. Beyond them each refusal gets a record of its own while there is room.
const MOST: usize = 1_024;

/// What to do with a refusal's record.
#[derive(Debug)]
pub enum RecordAction {
    /// Append it.
    Keep(Box<Record>),
    /// It is counted, and recorded later.
    Counted,
    /// There is no room.
    Dropped,
}

#[derive(Debug, Default)]
pub struct Refusals {
    /// By app, key and code; without a code, by endpoint.
    repeated: BTreeMap<(Uuid, Uuid, &'static str), RepeatedRefusals>,
}

/// The refusals of one key with one code.
#[derive(Debug)]
struct RepeatedRefusals {
    /// In minutes.
    minute: i64,
    /// Of this minute, with records of their own.
    recorded: u32,
    counted: Option<CountedRefusals>,
}

/// Refusals that are not recorded yet.
#[derive(Debug)]
struct CountedRefusals {
    since: UnixMs,
    last: Record,
    count: u64,
}

impl Refusals {
    /// Takes the record of an answer that the gateway gave. `room`: whether it may be appended.
    pub fn take(&mut self, record: Record, room: bool) -> RecordAction {
        let trial = record.inspection.as_ref().and_then(|report| report.trial.as_ref());
        let is_found = trial.is_some_and(|trial| !trial.findings.is_empty());
        if room && (is_found || record.code == Code::GuardrailBlocked.as_str()) {
            // A count would keep the findings of the last alone.
            return RecordAction::Keep(record.into());
        }
        let minute = record.at.0.div_euclid(60_000);
        let crowded = self.repeated.len() >= MOST;
        let what = if record.code.is_empty() { record.endpoint } else { record.code };
        let repeated = match self.repeated.entry((record.app.0, record.key.0, what)) {
            Entry::Vacant(_) if crowded && room => return RecordAction::Keep(record.into()),
            Entry::Vacant(_) if crowded => return RecordAction::Dropped,
            Entry::Vacant(new) => new.insert(RepeatedRefusals { minute, recorded: 0, counted: None }),
            Entry::Occupied(known) => known.into_mut(),
        };
        if repeated.minute != minute {
            (repeated.minute, repeated.recorded) = (minute, 0);
        }
        if room && repeated.counted.is_none() && repeated.recorded < EACH {
            repeated.recorded = repeated.recorded.saturating_add(1);
            return RecordAction::Keep(record.into());
        }
        repeated.count(record);
        RecordAction::Counted
    }

    /// Counts that are due: the last record of each with the number that it stands for.
    pub fn due(&mut self, now: UnixMs) -> Vec<(Record, u64)> {
        let mut due = Vec::new();
        for repeated in self.repeated.values_mut() {
            // A clock that went back counts as time passed.
            let over = |counted: &mut CountedRefusals| {
                !(0..PAUSE_MS).contains(&now.0.saturating_sub(counted.since.0))
            };
            due.extend(repeated.counted.take_if(over).map(|counted| (counted.last, counted.count)));
        }
        let minute = now.0.div_euclid(60_000);
        self.repeated.retain(|_, repeated| repeated.counted.is_some() || repeated.minute == minute);
        due
    }
}

impl RepeatedRefusals {
    fn count(&mut self, record: Record) {
        let Some(counted) = &mut self.counted else {
            self.counted = Some(CountedRefusals { since: record.at, last: record, count: 1 });
            return;
        };
        let same = counted.last.identity == record.identity;
        counted.last = record;
        counted.count = counted.count.saturating_add(1);
        if !same {
            // The refusals are not all of one person.
            counted.last.identity = CallerIdentity::Unknown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::KeyId;
    use crate::testing;

    fn refused(at_ms: i64, code: &'static str) -> Record {
        Record { code, at: UnixMs(at_ms), provider: String::new(), ..testing::record() }
    }

    fn is_alone(kept: &RecordAction) -> bool {
        matches!(kept, RecordAction::Keep(_))
    }

    #[test]
    fn a_few_have_records_of_their_own_and_the_rest_are_counted() {
        let mut refusals = Refusals::default();
        let kept = (0..1_000).filter(|n| is_alone(&refusals.take(refused(*n, "key_revoked"), true))).count();
        assert_eq!(kept, 8);
        assert_eq!(refusals.due(UnixMs(9_000)), []);
        let due = refusals.due(UnixMs(10_100));
        let [(last, count)] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!((last.at, *count), (UnixMs(999), 992));
        assert_eq!(refusals.due(UnixMs(20_000)), []);
        assert!(is_alone(&refusals.take(refused(61_000, "key_revoked"), true)), "another minute");
    }

    #[test]
    fn keys_and_codes_are_told_apart() {
        let mut refusals = Refusals::default();
        for n in 0..100 {
            refusals.take(refused(n, "key_revoked"), true);
        }
        assert!(is_alone(&refusals.take(refused(100, "rate_limit_exceeded"), true)));
        let other = Record { key: KeyId(Uuid::from_u128(77)), ..refused(100, "key_revoked") };
        assert!(is_alone(&refusals.take(other, true)));
    }

    #[test]
    fn there_are_no_more_than_it_may_remember() {
        let mut refusals = Refusals::default();
        let of = |n: usize| Record { key: KeyId(Uuid::from_u128(n as u128)), ..refused(1, "key_revoked") };
        assert!((0..MOST).all(|n| matches!(refusals.take(of(n), false), RecordAction::Counted)));
        assert!(matches!(refusals.take(of(MOST), false), RecordAction::Dropped));
        assert!(is_alone(&refusals.take(of(MOST), true)));
        assert_eq!(refusals.repeated.len(), MOST);
    }

    #[test]
    fn without_room_all_are_counted_and_none_is_lost() {
        let mut refusals = Refusals::default();
        let mut is_counted =
            |n, room| matches!(refusals.take(refused(n, "key_revoked"), room), RecordAction::Counted);
        assert!((0..50).all(|n| is_counted(n, false)));
        assert!(is_counted(51, true), "in order");
        assert_eq!(refusals.due(UnixMs(11_000)).iter().map(|(_, count)| count).sum::<u64>(), 51);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_keep_them() {
        let mut refusals = Refusals::default();
        refusals.take(refused(1_000_000, "key_revoked"), false);
        assert_eq!(refusals.due(UnixMs(5)).len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn every_refusal_is_told_once(
            steps in proptest::collection::vec((0..4_usize, 0..30_000_i64, proptest::bool::ANY), 0..300)
        ) {
            const CODES: [&str; 3] = ["key_revoked", "key_expired", "rate_limit_exceeded"];
            let mut refusals = Refusals::default();
            let (mut now, mut sent, mut told) = (0, 0_u64, 0_u64);
            for (step, passed, room) in steps {
                now += passed;
                match CODES.get(step) {
                    Some(code) => {
                        sent += 1;
                        told += u64::from(is_alone(&refusals.take(refused(now, code), room)));
                    }
                    None => told += refusals.due(UnixMs(now)).iter().map(|(_, count)| count).sum::<u64>(),
                }
            }
            told += refusals.due(UnixMs(now + PAUSE_MS)).iter().map(|(_, count)| count).sum::<u64>();
            proptest::prop_assert_eq!(sent, told);
        }
    }
}
