//! Combines the usage objects of one answer.

use serde_json::Value;

use super::counts::{CacheCounts, InputCounts, UsageCounts};
use super::document::UsagePlace;
use super::names::UNKNOWN;
use crate::price::ServedTier;

/// Combines the usage objects of one answer.
#[derive(Debug)]
pub(super) struct UsageReport {
    /// Reported in cumulative parts, with cached tokens beside the others: Anthropic's way.
    in_parts: bool,
    usual: Option<UsageCounts>,
    /// From an unusual place: used only without the usual one.
    unusual: Option<UsageCounts>,
    /// An object could not be read.
    unreadable: bool,
    /// As far as usage objects say.
    served: ServedTier,
}

impl UsageReport {
    pub(super) fn new(in_parts: bool) -> Self {
        Self { in_parts, usual: None, unusual: None, unreadable: false, served: ServedTier::default() }
    }

    /// Takes a usage object. Tells whether it has output tokens.
    pub(super) fn add(&mut self, place: UsagePlace, object: &[u8]) -> bool {
        let Some(object) = read_once(object) else {
            self.unreadable = true;
            return false;
        };
        let said = |name| object.get(name).filter(|value| !value.is_null()).map(tier);
        for (slot, name) in [
            (&mut self.served.service_tier, "service_tier"),
            (&mut self.served.speed, "speed"),
            (&mut self.served.inference_geo, "inference_geo"),
        ] {
            *slot = said(name).or(slot.take());
        }
        let (told, cache) = match self.in_parts {
            true => UsageCounts::beside(&object),
            false => (UsageCounts::whole(&object), None),
        };
        let slot = match place {
            UsagePlace::Usual => &mut self.usual,
            UsagePlace::Unusual => &mut self.unusual,
        };
        let before = slot.unwrap_or_default();
        if told.is_told() || told.unclear || cache.is_some() {
            *slot = Some(match self.in_parts {
                true => later_part(before, told, cache),
                false => later_whole(before, told),
            });
        }
        told.output.unwrap_or(0) > 0
    }

    /// As far as usage objects say.
    pub(super) fn served(&self) -> &ServedTier {
        &self.served
    }

    /// The combined counts and their place. The usual place counts as later.
    pub(super) fn counts(&self) -> Option<(UsageCounts, UsagePlace)> {
        let (mut counts, place) = match (self.usual, self.unusual) {
            (Some(usual), None) => (usual, UsagePlace::Usual),
            (Some(usual), Some(unusual)) if usual.is_full() => {
                (later_whole(unusual, usual), UsagePlace::Usual)
            }
            (usual, unusual) => (later_whole(unusual?, usual.unwrap_or_default()), UsagePlace::Unusual),
        };
        counts.unclear |= self.unreadable;
        Some((counts, place))
    }
}

/// Reads an object without repeated members: parsers differ in which of them they take.
fn read_once(object: &[u8]) -> Option<Value> {
    let value = serde_json::from_slice(object).ok()?;
    (members(&value) == colons(object)).then_some(value)
}

fn members(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.values().map(members).fold(object.len(), usize::saturating_add),
        Value::Array(array) => array.iter().map(members).fold(0, usize::saturating_add),
        _ => 0,
    }
}

/// Colons outside of strings: one per member.
fn colons(json: &[u8]) -> usize {
    let (mut colons, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b':' if !quoted => colons = colons.saturating_add(1),
            _ => {}
        }
    }
    colons
}

/// A value that is no string stands for a tier without a price.
fn tier(value: &Value) -> String {
    value.as_str().unwrap_or(UNKNOWN).to_owned()
}

impl UsageCounts {
    /// It has a count, even 0.
    fn is_told(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// It is more than a placeholder: it has a count above 0, or one that cannot be read.
    fn says_something(&self) -> bool {
        let counts = [self.total(), self.output.unwrap_or(0), self.unexplained];
        self.unclear || counts.iter().any(|count| *count > 0)
    }

    fn is_full(&self) -> bool {
        self.total() > 0 && self.output.is_some()
    }

    /// Of the input, tokens written to the cache.
    fn written(&self) -> u64 {
        self.input.map_or(0, |input| input.cache.all_written())
    }

    fn total(&self) -> u64 {
        self.input.map_or(0, |input| input.total())
    }

    fn falls_below(&self, before: &Self) -> bool {
        self.total() < before.total() || self.output < before.output
    }
}

/// A later object of OpenAI's kind replaces the earlier one, except in three cases: a placeholder; one with
/// the input or the output alone, which can only raise the cost; and one with counts that fall, which
/// contradicts, since counts are cumulative. Tokens written to the cache stay written.
fn later_whole(before: UsageCounts, later: UsageCounts) -> UsageCounts {
    if !before.says_something() {
        return if later.is_told() || later.unclear { later } else { before };
    }
    let dearest = before.dearest(later);
    match later {
        later if !later.says_something() => before,
        later if !later.is_full() => dearest,
        later if later.falls_below(&before) => UsageCounts { unclear: true, ..dearest },
        later if later.written() < before.written() => UsageCounts { input: dearest.input, ..later },
        later => later,
    }
}

/// A later object of Anthropic's kind replaces the counts that it has.
fn later_part(before: UsageCounts, later: UsageCounts, cache: Option<CacheCounts>) -> UsageCounts {
    let known = before.input.filter(|before| before.total() > 0);
    let dearest = before.dearest(later);
    // Cache counters alone do not give the input, and an input that falls contradicts.
    let contradicts = match (known, later.input) {
        (None, None) => cache.is_some_and(|cache| cache.total() > 0),
        (Some(known), Some(later)) => later.cache.total() > 0 && later.total() < known.total(),
        _ => false,
    };
    if contradicts {
        return UsageCounts { unclear: true, ..dearest };
    }
    let input =
        known.map_or(later.input.or(before.input), |known| Some(later_input(known, later.input, cache)));
    UsageCounts { input, ..dearest }
}

/// An object with cache counters replaces the input as a whole, since counters of two objects may mean
/// different things: some servers report the whole prompt first, and its split at the end. Zeros are
/// placeholders.
fn later_input(known: InputCounts, later: Option<InputCounts>, cache: Option<CacheCounts>) -> InputCounts {
    match (later, cache) {
        (Some(later), Some(cache)) if cache.total() > 0 => later,
        (Some(later), _) if cache.is_some() || later.cache.total() > 0 => known.dearest(later),
        // The whole prompt once more.
        (Some(later), _) if later.total() == known.total() => known,
        (Some(later), _) => InputCounts { fresh: later.fresh.max(known.fresh), ..known },
        (None, Some(cache)) if cache.total() > 0 => {
            let fresh = known.total().checked_sub(cache.total()).unwrap_or(known.fresh);
            InputCounts { fresh, cache }
        }
        (None, _) => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Input, what of it was read from the cache, output, reasoning; whether it is unclear.
    fn read(in_parts: bool, objects: &[&str]) -> Option<([u64; 4], bool)> {
        let mut report = UsageReport::new(in_parts);
        for object in objects {
            report.add(UsagePlace::Usual, object.as_bytes());
        }
        let (counts, _) = report.counts()?;
        let input = counts.input.unwrap_or_default();
        Some((
            [input.total(), input.cache.read, counts.output.unwrap_or(0), counts.reasoning],
            counts.unclear,
        ))
    }

    fn clear(in_parts: bool, objects: &[&str]) -> [u64; 4] {
        let (counts, unclear) = read(in_parts, objects).unwrap();
        assert!(!unclear, "{objects:?}");
        counts
    }

    #[test]
    fn what_is_no_count_tells_nothing() {
        for object in ["{}", "[]", "{", r#"{"type":"duration","seconds":3}"#, r#"{"prompt_tokens":null}"#] {
            assert_eq!(read(false, &[object]), None, "{object}");
            assert_eq!(read(true, &[object]), None, "{object}");
        }
        let known = r#"{"prompt_tokens":3,"completion_tokens":5}"#;
        assert_eq!(clear(false, &[known, "{}"]), [3, 0, 5, 0]);
        assert_eq!(read(false, &[known, "{"]), Some(([3, 0, 5, 0], true)), "something was told");
        for object in [r#"{"prompt_tokens":-1}"#, r#"{"prompt_tokens":"7"}"#] {
            assert_eq!(read(false, &[object]), Some(([0; 4], true)), "{object}");
            assert_eq!(read(true, &[object]), Some(([0; 4], true)), "{object}");
            assert_eq!(read(false, &[known, object]), Some(([3, 0, 5, 0], true)), "{object}");
            assert_eq!(clear(false, &[object, known]), [3, 0, 5, 0], "{object}");
        }
    }

    #[test]
    fn a_member_that_stands_twice_is_unclear() {
        let unclear =
            |object: &str| read(false, &[r#"{"prompt_tokens":9,"completion_tokens":5}"#, object]).unwrap().1;
        assert!(unclear(r#"{"prompt_tokens":9,"completion_tokens":700,"completion_tokens":7}"#));
        assert!(unclear(r#"{"prompt_tokens":9,"completion_tokens":7,"x":[{"a":1},{"a":1,"a":{}}]}"#));
        assert!(!unclear(
            r#"{"prompt_tokens":9,"completion_tokens":7,"x:\\\":":[":",{"a":{":":1}},{"a":[]}]}"#
        ));
    }

    /// What it costs where reading from the cache is cheap, and writing to it dear.
    fn cost(counts: &UsageCounts) -> u64 {
        let InputCounts { fresh, cache } = counts.input.unwrap_or_default();
        let CacheCounts { read, written_5m, written_1h, written } = cache;
        read + 10 * fresh + 12 * (written_5m + written) + 20 * written_1h + 50 * counts.output.unwrap_or(0)
    }

    /// Parts, whole reports, placeholders; with much of the cache, or none.
    fn words() -> Vec<UsageCounts> {
        let caches = [(0, 0), (90, 0), (0, 90), (40, 40)].map(|(read, written)| CacheCounts {
            read,
            written,
            ..CacheCounts::default()
        });
        let inputs = [0_u64, 100, 130].into_iter().flat_map(|total| {
            caches.map(move |cache| Some(InputCounts { fresh: total.checked_sub(cache.total())?, cache }))
        });
        let inputs: Vec<_> = inputs.flatten().map(Some).chain([None]).collect();
        let outputs = [None, Some(0), Some(7), Some(8)];
        let words = inputs
            .into_iter()
            .flat_map(|input| outputs.map(|output| UsageCounts { input, output, ..UsageCounts::default() }));
        words.collect()
    }

    #[test]
    fn a_whole_report_is_the_last_word_and_a_part_never_makes_it_cheaper() {
        for (first, second, third) in triples() {
            let before = later_whole(first, second);
            let after = later_whole(before, third);
            let story = format!("{first:?} {second:?} {third:?}: {after:?}");
            assert!(cost(&after) >= cost(&third), "{story}");
            match third {
                third if !third.says_something() => assert_eq!(cost(&after), cost(&before), "{story}"),
                third if !third.is_full() => assert!(cost(&after) >= cost(&before), "{story}"),
                third if third.falls_below(&before) => {
                    assert!(after.unclear && cost(&after) >= cost(&before), "{story}");
                }
                third if third.written() < before.written() => assert!(after.written() >= before.written()),
                third => assert_eq!(UsageCounts { unclear: false, ..after }, third, "{story}"),
            }
        }
    }

    fn triples() -> impl Iterator<Item = (UsageCounts, UsageCounts, UsageCounts)> {
        let pairs = |one| words().into_iter().map(move |other| (one, other));
        let pairs = words().into_iter().flat_map(pairs);
        pairs.flat_map(|(one, two)| words().into_iter().map(move |three| (one, two, three)))
    }

    #[test]
    fn anthropics_counts_never_fall_unless_that_is_unclear() {
        for (first, second, third) in triples() {
            let before = later_part(first, second, second.input.map(|input| input.cache));
            let cache = third.input.map(|input| input.cache);
            let fresh = third.input.map(|input| InputCounts { cache: CacheCounts::default(), ..input });
            let plain = UsageCounts { input: fresh, ..third };
            // With Anthropic's counters, without any, and with those of another dialect.
            for (third, cache) in [(third, cache), (plain, None), (third, None)] {
                let after = later_part(before, third, cache);
                let story = format!("{first:?} {second:?} {third:?}: {after:?}");
                assert!(after.total() >= before.total().max(third.total()), "{story}");
                assert!(after.output >= before.output.max(third.output), "{story}");
                let cached = third.input.is_some_and(|input| input.cache.total() > 0);
                let contradicts = after.unclear && !before.unclear;
                if contradicts || !cached || cache.is_none() {
                    assert!(cost(&after) >= cost(&before), "{story}");
                }
                if contradicts || cached || cache.is_some() {
                    assert!(cost(&after) >= cost(&third), "{story}");
                }
            }
        }
    }

    #[test]
    fn cache_counters_before_any_input_are_unclear() {
        let cache = r#"{"cache_read_input_tokens":8980,"output_tokens":1}"#;
        let input = r#"{"input_tokens":20,"output_tokens":40}"#;
        assert_eq!(read(true, &[cache, input]), Some(([20, 0, 40, 0], true)));
        let zeros = r#"{"cache_read_input_tokens":0,"output_tokens":1}"#;
        assert_eq!(clear(true, &[zeros, input]), [20, 0, 40, 0]);
        let fallen = r#"{"input_tokens":20,"cache_read_input_tokens":10,"output_tokens":40}"#;
        assert_eq!(read(true, &[r#"{"input_tokens":9000}"#, fallen]), Some(([9_000, 0, 40, 0], true)));
        let surplus = r#"{"prompt_tokens":9,"completion_tokens":1,"total_tokens":12}"#;
        let mut report = UsageReport::new(true);
        [surplus, r#"{"output_tokens":1}"#].iter().for_each(|object| {
            report.add(UsagePlace::Usual, object.as_bytes());
        });
        assert_eq!(report.counts().unwrap().0.unexplained, 2);
    }

    #[test]
    fn anthropics_later_words_replace_the_earlier_where_they_mean_the_same() {
        let prompt = r#"{"input_tokens":9000,"output_tokens":0}"#;
        let split = r#"{"input_tokens":20,"cache_creation_input_tokens":0,"cache_read_input_tokens":8980,"output_tokens":40}"#;
        let cache = r#"{"cache_creation_input_tokens":0,"cache_read_input_tokens":8980,"output_tokens":40}"#;
        let start = r#"{"input_tokens":20,"cache_read_input_tokens":8980,"output_tokens":1}"#;
        let written = r#"{"input_tokens":5,"cache_creation_input_tokens":4000,"output_tokens":1}"#;
        let found = r#"{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":4000,"output_tokens":9}"#;
        let zeros = r#"{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":40}"#;
        for (objects, expected) in [
            (&[prompt, split][..], [9_000, 8_980, 40, 0]),
            (&[prompt, cache], [9_000, 8_980, 40, 0]),
            (&[written, found], [4_005, 4_000, 9, 0]),
            (&[start, r#"{"output_tokens":40}"#], [9_000, 8_980, 40, 0]),
            (&[prompt, r#"{"input_tokens":0,"output_tokens":40}"#], [9_000, 0, 40, 0]),
            (&[start, zeros], [9_000, 8_980, 40, 0]),
            (&[r#"{"input_tokens":0,"output_tokens":0}"#, split], [9_000, 8_980, 40, 0]),
            // The whole prompt once more, and a prompt that grew.
            (&[start, r#"{"input_tokens":9000,"output_tokens":40}"#], [9_000, 8_980, 40, 0]),
            (&[start, r#"{"input_tokens":12000,"output_tokens":500}"#], [20_980, 8_980, 500, 0]),
            (&[prompt, r#"{"input_tokens":12000,"output_tokens":500}"#], [12_000, 0, 500, 0]),
            (
                &[start, r#"{"input_tokens":20,"cache_read_input_tokens":0,"output_tokens":5}"#],
                [9_000, 8_980, 5, 0],
            ),
            // A prompt that is smaller than what is said to be of the cache cannot hold it.
            (&[r#"{"input_tokens":20,"output_tokens":1}"#, cache], [9_000, 8_980, 40, 0]),
            // More than one of the later.
            (
                &[start, r#"{"output_tokens":15}"#, r#"{"output_tokens":40}"#, r#"{"output_tokens":0}"#],
                [9_000, 8_980, 40, 0],
            ),
        ] {
            assert_eq!(clear(true, objects), expected, "{objects:?}");
        }
    }

    #[test]
    fn a_placeholder_changes_nothing_and_a_count_that_falls_is_unclear() {
        let known = r#"{"prompt_tokens":700,"completion_tokens":90}"#;
        for later in [
            r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#,
            r#"{"prompt_tokens":700}"#,
            r#"{"completion_tokens":90}"#,
            r#"{"total_tokens":0}"#,
            "{}",
        ] {
            assert_eq!(clear(false, &[known, later]), [700, 0, 90, 0], "{later}");
            assert_eq!(clear(false, &[later, known]), [700, 0, 90, 0], "{later}");
        }
        let halves = [r#"{"prompt_tokens":700}"#, r#"{"completion_tokens":90}"#];
        assert_eq!(clear(false, &halves), [700, 0, 90, 0]);
        let more =
            r#"{"prompt_tokens":700,"completion_tokens":91,"prompt_tokens_details":{"cached_tokens":9}}"#;
        assert_eq!(clear(false, &[known, more]), [700, 9, 91, 0]);
        let part = r#"{"prompt_tokens":700,"prompt_tokens_details":{"cached_tokens":690}}"#;
        assert_eq!(clear(false, &[part, known]), [700, 0, 90, 0]);
        assert_eq!(clear(false, &[known, part]), [700, 0, 90, 0]);
        let less = r#"{"prompt_tokens":700,"completion_tokens":5}"#;
        assert_eq!(read(false, &[known, less]), Some(([700, 0, 90, 0], true)));
    }

    #[test]
    fn an_unusual_place_counts_only_where_the_usual_one_tells_less() {
        let told = |places: &[(UsagePlace, &str)]| {
            let mut report = UsageReport::new(false);
            for (place, object) in places {
                report.add(*place, object.as_bytes());
            }
            let (counts, place) = report.counts().unwrap();
            (counts.output.unwrap(), place, counts.unclear)
        };
        let usage = |output| format!(r#"{{"prompt_tokens":1,"completion_tokens":{output}}}"#);
        let (more, less) = (usage(9), usage(5));
        let usual = |more: &str, less: &str| {
            let orders = [
                [(UsagePlace::Unusual, more), (UsagePlace::Usual, less)],
                [(UsagePlace::Usual, less), (UsagePlace::Unusual, more)],
            ];
            let [one, other] = orders.map(|order| told(&order));
            assert_eq!(one, other);
            one
        };
        assert_eq!(told(&[(UsagePlace::Unusual, &more)]), (9, UsagePlace::Unusual, false));
        assert_eq!(usual(&less, &more), (9, UsagePlace::Usual, false));
        assert_eq!(usual(&more, &less), (9, UsagePlace::Usual, true));
        let cached = r#"{"prompt_tokens":1,"completion_tokens":9,"cached_tokens":1}"#;
        assert_eq!(usual(&more, cached), (9, UsagePlace::Usual, false));
        let zeros = r#"{"prompt_tokens":0,"completion_tokens":0}"#;
        assert_eq!(usual(&more, zeros), (9, UsagePlace::Unusual, false));
        assert_eq!(usual(&more, r#"{"prompt_tokens":1}"#), (9, UsagePlace::Unusual, false));
    }
}
