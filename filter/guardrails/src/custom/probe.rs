//! Reads texts that are made to slow an app's categories down, and counts the steps.

use std::sync::Arc;

use crate::custom::pattern::Pattern;
use crate::custom::{CustomCategory, Refused, scan};
use crate::dictionary::Dictionary;
use crate::normalize::View;
use crate::scanner::End;
use crate::sink::{Decode, Sink};
use crate::wanted::Wanted;

/// Bytes of a probe.
const SIZE: usize = 64 << 10;
/// Bytes of a probe that only finds the worst texts.
const SHORT: usize = 2 << 10;
/// Texts that get a whole probe, though a short one was cheap.
const WHOLE: usize = 4;
/// Steps for a byte that all of an app's categories may take together: 50 ms for a megabyte in a gateway.
const MOST_STEPS: u64 = 16;
/// Steps of a whole check, so that it cannot itself be made slow.
const MOST_OF_ALL: u64 = 100_000_000;
/// Which bytes a walk over a pattern prefers.
const PREFERENCES: [&[u8]; 5] = [b"a", b"A0", b"0", b" a", b"-.@_/a0"];
/// Keywords that are made into probes: the longest ones.
const MOST_KEYWORDS: usize = 20;

pub(crate) fn run(categories: &[Arc<CustomCategory>]) -> (Result<(), Refused>, u64) {
    let mut wanted = Wanted::default();
    for category in categories {
        wanted.add_custom(Arc::clone(category), 1);
    }
    let mut probe = Probe { wanted, ranked: Vec::new(), steps: 0 };
    (probe.run(categories), probe.steps)
}

/// Reads matches that exceptions take long to tell from others. Each is a match of these bytes.
const MATCH: usize = 512;

pub(crate) fn run_exceptions(patterns: &[Pattern]) -> Result<(), Refused> {
    let mut steps = 0;
    let mut units: Vec<Vec<u8>> =
        [&b"a"[..], b"A", b"0", b"a0-", b"a@b.", b"0 "].iter().map(|it| it.to_vec()).collect();
    for pattern in patterns {
        units.push(pattern.random_walk(SHORT, &mut steps));
        units.extend(PREFERENCES.iter().map(|preferred| pattern.longest_walk(preferred, &mut steps)));
    }
    units.sort();
    units.dedup();
    for unit in units.iter().filter(|unit| !unit.is_empty()) {
        let mut is_slow = |size: usize| {
            let text: Vec<u8> = unit.iter().copied().cycle().take(size).collect();
            let before = steps;
            for found in text.chunks(MATCH) {
                for pattern in patterns {
                    pattern.whole(found, &mut steps);
                }
            }
            let most = MOST_STEPS.saturating_mul(u64::try_from(size).unwrap_or(u64::MAX));
            steps.saturating_sub(before) > most
        };
        // The first time, it may have been the making of states.
        if is_slow(SHORT) && is_slow(SIZE) {
            let shown: String = String::from_utf8_lossy(unit).chars().take(40).collect();
            return Err(Refused(format!(
                "the patterns take more than {MOST_STEPS} steps for each byte of a match such as `{shown}`: use fewer or simpler ones"
            )));
        }
        if steps > MOST_OF_ALL {
            return Err(Refused("the patterns take too long to check: use fewer or simpler ones".into()));
        }
    }
    Ok(())
}

struct Probe {
    wanted: Wanted,
    /// Texts with the steps of a short probe: a byte's, at most [`MOST_STEPS`].
    ranked: Vec<(u64, String)>,
    /// Of all probes, and of making them.
    steps: u64,
}

impl Probe {
    fn run(&mut self, categories: &[Arc<CustomCategory>]) -> Result<(), Refused> {
        for unit in ["a", "A", "0", " a", "a ", "0 ", "-", "a1B2 c3D4-", "the quick brown fox "] {
            self.short(unit.to_owned())?;
        }
        let patterns = || categories.iter().flat_map(|category| &category.patterns);
        for pattern in patterns() {
            let walk = pattern.random_walk(SHORT, &mut self.steps);
            self.short(String::from_utf8_lossy(&walk).into_owned())?;
        }
        for pattern in patterns() {
            for unit in walks(pattern, &mut self.steps) {
                self.short(unit)?;
            }
        }
        for unit in cut_keywords(categories) {
            self.short(unit)?;
        }
        self.ranked.sort_by_key(|(steps, _)| std::cmp::Reverse(*steps));
        let worst: Vec<_> = self.ranked.drain(..).take(WHOLE).collect();
        worst.iter().try_for_each(|(_, unit)| self.whole(unit))
    }

    /// A short probe, and a whole one if that takes too long: it may have been the first states' making.
    fn short(&mut self, unit: String) -> Result<(), Refused> {
        if unit.is_empty() || self.ranked.iter().any(|(_, known)| *known == unit) {
            return Ok(());
        }
        match self.read(&unit, SHORT)? {
            Some(steps) => self.ranked.push((steps, unit)),
            None => self.whole(&unit)?,
        }
        Ok(())
    }

    fn whole(&mut self, unit: &str) -> Result<(), Refused> {
        if self.read(unit, SIZE)?.is_some() {
            return Ok(());
        }
        let shown: String = unit.chars().take(40).map(|c| if c.is_control() { '.' } else { c }).collect();
        Err(Refused(format!(
            "the categories take more than {MOST_STEPS} steps for each byte of a text such as `{shown}`: use fewer or simpler patterns"
        )))
    }

    /// Steps for a byte of a text of which `unit` is repeated; none where they are too many, which ends it.
    fn read(&mut self, unit: &str, size: usize) -> Result<Option<u64>, Refused> {
        let text = unit.repeat(size.checked_div(unit.len().max(1)).unwrap_or(1).saturating_add(1));
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let most = length.saturating_mul(MOST_STEPS.saturating_add(1));
        let view = View::new(&text, 0);
        let dictionary = Dictionary::default();
        let mut sink = Sink::new(&dictionary, &view, &self.wanted, 0, Decode::Never, End::Closed);
        sink.most_steps = most;
        scan::run(&mut sink);
        self.steps = self.steps.saturating_add(sink.steps);
        if self.steps > MOST_OF_ALL {
            return Err(Refused(
                "the categories take too long to check: use fewer or simpler patterns".into(),
            ));
        }
        Ok(if sink.steps < most { sink.steps.checked_div(length) } else { None })
    }
}

/// What a text is made of that many patterns begin in, or go far in.
fn walks(pattern: &Pattern, steps: &mut u64) -> Vec<String> {
    let mut texts = Vec::new();
    for preferred in PREFERENCES {
        let walk = pattern.longest_walk(preferred, steps);
        let shorter = |length: usize| walk.get(..length.min(walk.len())).unwrap_or_default().to_vec();
        let cut = walk.split_last().map_or(Vec::new(), |(_, rest)| rest.to_vec());
        let first = [shorter(1), b" ".to_vec()].concat();
        for unit in [shorter(1), first, shorter(8), shorter(64), cut, walk.clone()] {
            texts.push(String::from_utf8_lossy(&unit).into_owned());
        }
    }
    texts
}

/// The longest keywords, without their last bytes.
fn cut_keywords(categories: &[Arc<CustomCategory>]) -> Vec<String> {
    let mut words: Vec<&[u8]> =
        categories.iter().flat_map(|category| category.keywords.words()).map(|word| &**word).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let cut =
        |word: &[u8]| String::from_utf8_lossy(word.split_last().map_or(&[], |(_, rest)| rest)).into_owned();
    words.into_iter().take(MOST_KEYWORDS).flat_map(|word| [cut(word), cut(word) + " "]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custom::CustomDefinition;

    fn check(patterns: Vec<String>) -> (Result<(), Refused>, u64) {
        let definition = CustomDefinition { patterns, ..CustomDefinition::default() };
        run(&[Arc::new(CustomCategory::compile(&definition).unwrap())])
    }

    #[test]
    fn a_hundred_slow_patterns_are_refused_at_the_first_text() {
        let (refused, steps) = check((201..=300).map(|length| format!("[a-z]{{{length}}}")).collect());
        assert!(refused.is_err());
        assert!(steps < 5_000_000, "{steps}");
    }

    #[test]
    fn states_that_are_made_again_and_again_are_refused() {
        for slow in [r"a[ab]{14}c", r"\d[\d ]{12,18}x"] {
            let (refused, steps) = check(vec![slow.to_owned(); 20]);
            assert!(refused.is_err(), "{slow}");
            assert!(steps < 20_000_000, "{steps}");
        }
    }

    #[test]
    fn patterns_with_many_states_pass_alone() {
        for pattern in [r"\b(?:\d[ -]?){13,16}\b", r"[\w.+-]{1,64}@corp\.com", r"(?i)secret.{0,20}orion"] {
            assert_eq!(check(vec![pattern.to_owned()]).0, Ok(()));
        }
    }

    #[test]
    fn a_hundred_ordinary_patterns_pass() {
        let kinds = [
            |letter: char| format!(r"{letter}RJ-\d{{4}}"),
            |letter: char| format!(r"\b{letter}[A-Z]{{2}}\d{{6}}\b"),
            |letter: char| format!(r"\b(?i:{letter}roject \w+)"),
            |letter: char| format!(r"{letter}_[0-9a-f]{{32}}"),
        ];
        let (passed, steps) = check(('A'..='Y').flat_map(|letter| kinds.map(|kind| kind(letter))).collect());
        assert_eq!(passed, Ok(()), "{steps}");
        assert!(steps < MOST_OF_ALL / 2, "{steps}");
    }
}
