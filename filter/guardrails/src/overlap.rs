//! Decides between candidates that overlap.

use std::cmp::Reverse;
use std::ops::Range;

/// What a rule has found, before it is known whether something else there counts more.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<T> {
    pub(crate) span: Range<usize>,
    /// The higher one stays.
    pub(crate) rank: Rank,
    pub(crate) item: T,
}

/// What decides first, first.
pub(crate) type Rank = (u8, crate::category::Risk, crate::category::Strength);

/// Keeps candidates that do not overlap, ascending. Of two that do, the one of higher rank stays, then the
/// longer, then the earlier, then the one of the lower item.
///
/// A row of candidates each of which overlaps the next is decided as one; whatever lies outside of it plays no
/// part.
pub(crate) fn resolve<T: Ord + Copy>(mut candidates: Vec<Candidate<T>>) -> Vec<Candidate<T>> {
    candidates.sort_by_key(|candidate| (candidate.span.start, candidate.span.end));
    let mut kept = Vec::with_capacity(candidates.len());
    let mut row: Vec<Candidate<T>> = Vec::new();
    let mut row_end = 0;
    for candidate in candidates {
        if candidate.span.start >= row_end {
            decide(&mut row, &mut kept);
        }
        row_end = row_end.max(candidate.span.end);
        row.push(candidate);
    }
    decide(&mut row, &mut kept);
    kept
}

/// Moves those of a row that stay.
fn decide<T: Ord + Copy>(row: &mut Vec<Candidate<T>>, kept: &mut Vec<Candidate<T>>) {
    if row.len() <= 1 {
        kept.append(row);
        return;
    }
    row.sort_by_key(|candidate| {
        let Candidate { span, rank, item } = candidate;
        (Reverse(*rank), Reverse(span.len()), span.start, *item)
    });
    let mut stays: std::collections::BTreeMap<usize, Candidate<T>> = std::collections::BTreeMap::new();
    for candidate in row.drain(..) {
        let before = stays.range(..candidate.span.end).next_back();
        if before.is_none_or(|(_, other)| other.span.end <= candidate.span.start) {
            stays.insert(candidate.span.start, candidate);
        }
    }
    kept.extend(stays.into_values());
}

/// Moves `point` before every span that lies across it.
pub(crate) fn retreat<'a>(spans: impl Iterator<Item = &'a Range<usize>>, point: usize) -> usize {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_by_key(|span| Reverse(span.start));
    spans.into_iter().fold(
        point,
        |point, span| {
            if span.start < point && span.end > point { span.start } else { point }
        },
    )
}
