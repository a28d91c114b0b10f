//! What a provider has told of its usage so far.

use serde_json::Value;

use super::counts::{Cache, Counts, Input};
use super::document::Place;
use super::name::UNKNOWN;
use crate::price::Served;

/// What a provider has told of its usage so far.
#[derive(Debug)]
pub(super) struct Report {
    /// Told in parts, which are cumulative, and with cached tokens beside the others: Anthropic's way.
    in_parts: bool,
    usual: Option<Counts>,
    /// Where it is told in an unusual place: counts only without the usual one.
    unusual: Option<Counts>,
    /// An object could not be read.
    unreadable: bool,
    /// The tier that served, as far as usage says.
    served: Served,
}

impl Report {
    pub(super) fn new(in_parts: bool) -> Self {
        Self { in_parts, usual: None, unusual: None, unreadable: false, served: Served::default() }
    }

    /// Takes a usage object. Tells whether it has output tokens.
    pub(super) fn add(&mut self, place: Place, object: &[u8]) -> bool {
        let Ok(object) = serde_json::from_slice::<Value>(object) else {
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
            true => Counts::beside(&object),
            false => (Counts::whole(&object), None),
        };
        let slot = match place {
            Place::Usual => &mut self.usual,
            Place::Unusual => &mut self.unusual,
        };
        let before = slot.unwrap_or_default();
        let now = match self.in_parts {
            true => later_part(before, told, cache),
            false => later_whole(before, told),
        };
        if told.is_told() || cache.is_some() {
            *slot = Some(now);
        }
        told.output.unwrap_or(0) > 0
    }

    /// The tier that served, as far as usage says.
    pub(super) fn served(&self) -> &Served {
        &self.served
    }

    /// What counts of it, and whether it stood in an unusual place.
    pub(super) fn counts(&self) -> Option<(Counts, Place)> {
        let usual = self.usual.filter(|counts| counts.says_something() || self.unusual.is_none());
        let counts = usual.map(|counts| (counts, Place::Usual));
        let (mut counts, place) = counts.or(self.unusual.map(|counts| (counts, Place::Unusual)))?;
        counts.unclear |= self.unreadable;
        Some((counts, place))
    }
}

/// What is no text names a tier that has no price.
fn tier(value: &Value) -> String {
    value.as_str().unwrap_or(UNKNOWN).to_owned()
}

impl Counts {
    /// It has a count, be it 0.
    fn is_told(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// It has a count that is not 0.
    fn says_something(&self) -> bool {
        self.input.is_some_and(|input| input.total() > 0) || self.output.is_some_and(|output| output > 0)
    }

    fn is_full(&self) -> bool {
        self.input.is_some_and(|input| input.total() > 0) && self.output.is_some()
    }

    /// The more of both, part by part.
    fn larger(self, other: Self) -> Self {
        let input = [self.input, other.input].into_iter().flatten().reduce(Input::larger);
        Self {
            input,
            output: self.output.max(other.output),
            reasoning: self.reasoning.max(other.reasoning),
            unexplained: self.unexplained.max(other.unexplained),
            unclear: self.unclear || other.unclear,
        }
    }
}

/// A later object of OpenAI's kind replaces the one before as a whole, unless it is a placeholder or says
/// a part only. Counts are cumulative: one that falls contradicts.
fn later_whole(before: Counts, later: Counts) -> Counts {
    if !later.says_something() {
        return if before.is_told() { before } else { later };
    }
    if !before.says_something() {
        return later;
    }
    if !later.is_full() || !before.is_full() {
        return before.larger(later);
    }
    let total = |counts: &Counts| counts.input.unwrap_or_default().total();
    if total(&later) < total(&before) || later.output < before.output {
        return Counts { unclear: true, ..before.larger(later) };
    }
    later
}

/// A later object of Anthropic's kind is the later word on what it tells.
fn later_part(before: Counts, later: Counts, cache: Option<Cache>) -> Counts {
    let input = later_input(before.input, later.input, cache);
    let output = before.output.max(later.output);
    Counts { input, output, unclear: before.unclear || later.unclear, ..later }
}

/// One that brings cache counters replaces the input as a whole, since counters of two objects may mean
/// different things: some servers tell the whole prompt first, and how it splits at the end. Zeros are
/// placeholders.
fn later_input(before: Option<Input>, later: Option<Input>, cache: Option<Cache>) -> Option<Input> {
    let Some(known) = before.filter(|before| before.total() > 0) else {
        // Cache counters alone do not tell the input.
        return later.or(before);
    };
    match (later, cache) {
        (Some(later), Some(cache)) if cache.total() > 0 || later.total() >= known.total() => Some(later),
        // The whole prompt once more.
        (Some(later), None) if later.total() == known.total() => Some(known),
        (Some(later), None) => Some(Input { fresh: later.fresh.max(known.fresh), ..known }),
        (None, Some(cache)) if cache.total() > 0 => {
            let fresh = known.total().checked_sub(cache.total()).unwrap_or(known.fresh);
            Some(Input { fresh, cache })
        }
        _ => Some(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Input, what of it was read from the cache, output, reasoning; whether it is unclear.
    fn read(in_parts: bool, objects: &[&str]) -> Option<([u64; 4], bool)> {
        let mut report = Report::new(in_parts);
        for object in objects {
            report.add(Place::Usual, object.as_bytes());
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
        for object in [
            "{}",
            "[]",
            "{",
            r#"{"type":"duration","seconds":3}"#,
            r#"{"prompt_tokens":-1}"#,
            r#"{"prompt_tokens":"7"}"#,
        ] {
            assert_eq!(read(false, &[object]), None, "{object}");
            assert_eq!(read(true, &[object]), None, "{object}");
        }
        let known = r#"{"prompt_tokens":3,"completion_tokens":5}"#;
        assert_eq!(clear(false, &[known, "{}"]), [3, 0, 5, 0]);
        assert_eq!(read(false, &[known, "{"]), Some(([3, 0, 5, 0], true)), "something was told");
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
        let less = r#"{"prompt_tokens":700,"completion_tokens":5}"#;
        assert_eq!(read(false, &[known, less]), Some(([700, 0, 90, 0], true)));
    }

    #[test]
    fn an_unusual_place_counts_only_without_the_usual_one() {
        let told = |places: &[(Place, &str)]| {
            let mut report = Report::new(false);
            for (place, object) in places {
                report.add(*place, object.as_bytes());
            }
            report.counts().map(|(counts, place)| (counts.output, place))
        };
        let usage = |output| format!(r#"{{"prompt_tokens":1,"completion_tokens":{output}}}"#);
        let (more, less) = (usage(9), usage(5));
        assert_eq!(told(&[(Place::Unusual, &more)]), Some((Some(9), Place::Unusual)));
        assert_eq!(told(&[(Place::Unusual, &more), (Place::Usual, &less)]), Some((Some(5), Place::Usual)));
        assert_eq!(told(&[(Place::Usual, &less), (Place::Unusual, &more)]), Some((Some(5), Place::Usual)));
        let zeros = r#"{"prompt_tokens":0,"completion_tokens":0}"#;
        assert_eq!(told(&[(Place::Unusual, &more), (Place::Usual, zeros)]), Some((Some(9), Place::Unusual)));
    }
}
