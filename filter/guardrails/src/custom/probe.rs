//! Reads texts that are made to slow an app's categories down, and counts the steps.

use std::sync::Arc;

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
/// Texts that get a whole probe.
const WHOLE: usize = 4;
/// Steps for a byte that all of an app's categories may take together: 50 ms for a megabyte in a gateway.
const MOST_STEPS: u64 = 16;
/// Which bytes a walk over a pattern prefers.
const PREFERENCES: [&[u8]; 5] = [b"a", b"A0", b"0", b" a", b"-.@_/a0"];
/// Keywords that are made into probes: the longest ones.
const MOST_KEYWORDS: usize = 20;

pub(crate) fn run(categories: Vec<CustomCategory>) -> Result<(), Refused> {
    let texts = texts(&categories);
    let mut wanted = Wanted::default();
    for category in categories {
        wanted.add_custom(Arc::new(category), 1);
    }
    // A short probe of each text tells the worst ones, which then get a whole one.
    let mut ranked: Vec<(u64, String)> =
        texts.into_iter().map(|unit| (steps(&unit, SHORT, &wanted), unit)).collect();
    ranked.sort_by_key(|(steps, _)| std::cmp::Reverse(*steps));
    for (_, unit) in ranked.into_iter().take(WHOLE) {
        let steps = steps(&unit, SIZE, &wanted);
        if steps > MOST_STEPS {
            let shown: String = unit.chars().take(40).map(|c| if c.is_control() { '.' } else { c }).collect();
            return Err(Refused(format!(
                "the categories take {steps} steps for each byte of a text such as `{shown}`; at most {MOST_STEPS} are allowed: use fewer or simpler patterns"
            )));
        }
    }
    Ok(())
}

/// Steps for a byte of a text of which `unit` is repeated.
fn steps(unit: &str, size: usize, wanted: &Wanted) -> u64 {
    let text = unit.repeat(size.checked_div(unit.len().max(1)).unwrap_or(1).saturating_add(1));
    let view = View::new(&text, 0);
    let dictionary = Dictionary::default();
    let mut sink = Sink::new(&dictionary, &view, wanted, 0, Decode::Never, End::Closed);
    scan::run(&mut sink);
    sink.steps.checked_div(u64::try_from(text.len()).unwrap_or(1)).unwrap_or(0)
}

/// What a text is made of that many patterns or keywords begin in, or go far in.
fn texts(categories: &[CustomCategory]) -> Vec<String> {
    let mut texts: Vec<String> = ["a", "A", "0", " a", "a ", "0 ", "-", "a1B2 c3D4-", "the quick brown fox "]
        .map(str::to_owned)
        .into();
    for pattern in categories.iter().flat_map(|category| &category.patterns) {
        for preferred in PREFERENCES {
            let walk = pattern.longest_walk(preferred);
            let shorter = |length: usize| walk.get(..length.min(walk.len())).unwrap_or_default().to_vec();
            let cut = walk.split_last().map_or(Vec::new(), |(_, rest)| rest.to_vec());
            let first = [shorter(1), b" ".to_vec()].concat();
            for unit in [shorter(1), first, shorter(8), shorter(64), cut, walk.clone()] {
                texts.push(String::from_utf8_lossy(&unit).into_owned());
            }
        }
    }
    let mut words: Vec<&[u8]> =
        categories.iter().flat_map(|category| category.keywords.words()).map(|word| &**word).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    for word in words.into_iter().take(MOST_KEYWORDS) {
        let cut = word.split_last().map_or(&[][..], |(_, rest)| rest);
        texts.push(String::from_utf8_lossy(cut).into_owned());
        texts.push(format!("{} ", String::from_utf8_lossy(cut)));
    }
    texts.retain(|text| !text.is_empty());
    texts.sort();
    texts.dedup();
    texts
}
