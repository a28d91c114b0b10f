//! Looks for an app's own categories.

use crate::category::{Risk, Strength};
use crate::cursor::Cursor;
use crate::custom::CustomCategory;
use crate::custom::LONGEST_CUSTOM_MATCH;
use crate::custom::keywords::begins_word;
use crate::custom::pattern::{Pattern, Step};
use crate::overlap::Rank;
use crate::scanner::{End, Finding};
use crate::sink::Sink;

pub(crate) fn run(sink: &mut Sink<'_>) {
    let wanted = sink.wanted;
    for (position, category, precedence) in wanted.custom() {
        let rank = (precedence, Risk::High, Strength::PatternOnly);
        words(sink, category, rank, Finding::Custom(position));
        for pattern in &category.patterns {
            matches(sink, pattern, rank, Finding::Custom(position));
        }
    }
}

/// Keywords and exact values.
fn words(sink: &mut Sink<'_>, category: &CustomCategory, rank: Rank, finding: Finding) {
    let CustomCategory { keywords, exact, .. } = category;
    if keywords.words().is_empty() && exact.is_empty() {
        return;
    }
    let bytes = sink.bytes;
    let mut steps = 0;
    for (at, first) in bytes.iter().enumerate().skip(sink.from) {
        let second = bytes.get(at.saturating_add(1));
        let keyword = second.is_none_or(|second| keywords.may_begin(*first, *second));
        if first & 0xc0 == 0x80 || !(keyword || !exact.is_empty()) || !begins_word(bytes, at) {
            continue;
        }
        if keyword {
            let mut cursor = Cursor::new(bytes, at);
            let end = keywords.read(&mut cursor, &mut steps);
            if cursor.undecided().is_some() {
                sink.hold(at);
            }
            if let Some(end) = end {
                sink.push(at..end, rank, finding);
            }
        }
        if !exact.is_empty() {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.len() <= exact.longest() {
                sink.hold(at);
            }
            if let Some(length) = exact.find(rest, &mut steps) {
                sink.push(at..at.saturating_add(length), rank, finding);
            }
        }
    }
    sink.steps = sink.steps.saturating_add(steps);
}

fn matches(sink: &mut Sink<'_>, pattern: &Pattern, rank: Rank, finding: Finding) {
    let bytes = sink.bytes;
    let mut steps = 0;
    let mut at = sink.from;
    let mut undecided = bytes.len();
    let tail = bytes.len().saturating_sub(LONGEST_CUSTOM_MATCH);
    let mut open = |from: usize, to: usize, steps: &mut u64| {
        if sink.end == End::Open && undecided == bytes.len() {
            let starts = (from.max(tail)..to).find(|start| pattern.reaches_end(bytes, *start, steps));
            undecided = starts.unwrap_or(undecided);
        }
    };
    let mut found = Vec::new();
    while at < bytes.len() {
        match pattern.next(bytes, at, &mut steps) {
            Step::Match(start, end) => {
                open(at, start.saturating_add(1), &mut steps);
                found.push(start..end);
                at = end;
            }
            Step::Skip(to) => {
                open(at, to, &mut steps);
                at = to;
            }
        }
    }
    sink.hold(undecided);
    for span in found {
        sink.push(span, rank, finding);
    }
    sink.steps = sink.steps.saturating_add(steps);
}
