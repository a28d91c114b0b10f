//! Looks for an app's own categories.

use std::ops::Range;

use crate::category::{Risk, Strength};
use crate::cursor::Cursor;
use crate::custom::exact::ExactIndex;
use crate::custom::index::Index;
use crate::custom::keywords::begins_word;
use crate::custom::learned::{self, Begin, Features};
use crate::custom::pattern::{Pattern, Step};
use crate::custom::{CustomCategory, LONGEST_CUSTOM_MATCH};
use crate::overlap::{Candidate, Rank};
use crate::scanner::{CONTEXT, End, Finding};
use crate::sink::Sink;

/// A category, and what its matches are.
type Ranked<'a> = (&'a CustomCategory, Rank, Finding);

pub(crate) fn run(sink: &mut Sink<'_>) {
    let wanted = sink.wanted;
    let ranked = |(position, category, precedence)| {
        (category, (precedence, Risk::High, Strength::PatternOnly), Finding::Custom(position))
    };
    let categories: Vec<Ranked<'_>> = wanted.custom().map(ranked).collect();
    if categories.is_empty() {
        return;
    }
    let index = wanted.custom_index();
    if index.has_keywords {
        keywords(sink, index, &categories);
    }
    for lists in &index.exact {
        exact(sink, lists, &categories);
    }
    if index.has_patterns {
        patterns(sink, index, &categories);
    }
    if index.has_learned {
        learned(sink, &categories);
    }
}

fn keywords(sink: &mut Sink<'_>, index: &Index, categories: &[Ranked<'_>]) {
    let bytes = sink.bytes;
    let mut steps = 0;
    for (at, first) in bytes.iter().enumerate().skip(sink.from) {
        if steps >= sink.most_steps {
            break;
        }
        let second = bytes.get(at.saturating_add(1));
        let may_begin = second.is_none_or(|second| index.keyword_may_begin(*first, *second));
        if first & 0xc0 == 0x80 || !may_begin || !begins_word(bytes, at) {
            continue;
        }
        for (category, rank, finding) in categories {
            steps = u64::saturating_add(steps, 1);
            if let Some(end) = read_keyword(sink, category, at, &mut steps) {
                sink.push(at..end, *rank, *finding);
            }
        }
    }
    sink.steps = sink.steps.saturating_add(steps);
}

fn read_keyword(sink: &mut Sink<'_>, category: &CustomCategory, at: usize, steps: &mut u64) -> Option<usize> {
    let mut cursor = Cursor::new(sink.bytes, at);
    let end = category.keywords.read(&mut cursor, steps);
    if cursor.undecided().is_some() {
        sink.hold(at);
    }
    end
}

/// Values of lists.
fn exact(sink: &mut Sink<'_>, lists: &ExactIndex, categories: &[Ranked<'_>]) {
    let (bytes, from, end) = (sink.bytes, sink.from, sink.end);
    let open = lists.scan(bytes, from, end, |span, position| {
        if let Some((_, rank, finding)) = categories.get(usize::from(position)) {
            sink.push(span, *rank, *finding);
        }
    });
    if let Some(at) = open {
        sink.hold(at);
    }
}

/// Sentences, by what was learned from examples. What is only noted stands beside what lies within it; what is
/// taken out or blocked takes that with it.
fn learned(sink: &mut Sink<'_>, categories: &[Ranked<'_>]) {
    let models: Vec<_> = categories
        .iter()
        .filter_map(|(category, (precedence, ..), finding)| {
            let rank = (*precedence, Risk::High, Strength::Strong);
            category.learned.as_ref().map(|model| (model, rank, *finding))
        })
        .collect();
    let (bytes, end) = (sink.bytes, sink.end);
    // A stream that keeps no more than it must begins with the context.
    let is_begin = sink.view.origin(0) == 0 && sink.view.origin(sink.from) < CONTEXT;
    let begin = if is_begin { Begin::Text } else { Begin::Within };
    // The white space before a sentence belongs to it, and may have been decided before.
    let from = bytes.get(..sink.from).unwrap_or_default().trim_ascii_end().len();
    let mut spans = Vec::new();
    match learned::each(bytes, from, begin, |span| spans.push(span)) {
        Some(last) if end == End::Open => sink.hold(last.start.max(sink.from)),
        Some(last) => spans.push(last),
        None => {}
    }
    let mut features = Features::default();
    for whole in spans {
        let span = learned::trimmed(bytes, whole.clone());
        let Some(sentence) = learned::readable(bytes, &span).filter(|_| span.start >= sink.from) else {
            continue;
        };
        let features = features.read(sentence);
        if models.iter().any(|(model, ..)| model.matches_features(features)) {
            sink.extents.push(whole.start.max(sink.from)..span.end);
        }
        for (_, rank, finding) in models.iter().filter(|(model, ..)| model.matches_features(features)) {
            let candidate = Candidate { span: span.clone(), rank: *rank, item: *finding };
            match rank.0 {
                0 | 1 => sink.noted.push(candidate),
                _ => sink.candidates.push(candidate),
            }
        }
    }
}

/// A pattern on its way through a text.
struct Progress<'a> {
    pattern: &'a Pattern,
    rank: Rank,
    finding: Finding,
    /// No match begins before.
    next: usize,
    /// Whether a match may reach beyond the end.
    open: bool,
}

fn patterns(sink: &mut Sink<'_>, index: &Index, categories: &[Ranked<'_>]) {
    let bytes = sink.bytes;
    let each = categories.iter().flat_map(|(category, rank, finding)| {
        category.patterns.iter().map(move |pattern| (pattern, *rank, *finding))
    });
    let from = sink.from;
    let mut progress: Vec<Progress<'_>> = each
        .map(|(pattern, rank, finding)| Progress { pattern, rank, finding, next: from, open: false })
        .collect();
    let mut steps = 0;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        if steps >= sink.most_steps {
            break;
        }
        for number in index.patterns_from(*byte) {
            steps = u64::saturating_add(steps, 1);
            let Some(pattern) = progress.get_mut(usize::from(*number)).filter(|pattern| pattern.next <= at)
            else {
                continue;
            };
            match pattern.pattern.step(bytes, at, &mut steps) {
                Step::Match(start, end) => {
                    pattern.hold(sink, at..start.saturating_add(1), &mut steps);
                    pattern.next = end;
                    sink.push(start..end, pattern.rank, pattern.finding);
                }
                Step::Skip(to) => {
                    pattern.hold(sink, at..to, &mut steps);
                    pattern.next = to;
                }
            }
        }
    }
    sink.steps = sink.steps.saturating_add(steps);
}

impl Progress<'_> {
    /// Holds back the first of these places from which a match may reach beyond the end.
    fn hold(&mut self, sink: &mut Sink<'_>, places: Range<usize>, steps: &mut u64) {
        if sink.end == End::Closed || self.open {
            return;
        }
        let tail = sink.bytes.len().saturating_sub(LONGEST_CUSTOM_MATCH);
        let open =
            (places.start.max(tail)..places.end).find(|at| self.pattern.reaches_end(sink.bytes, *at, steps));
        if let Some(at) = open {
            self.open = true;
            sink.hold(at);
        }
    }
}
