//! What the events of one channel have in common: a stream repeats the same event with another piece of text, and
//! what is the same need not be read again.

use std::ops::Range;

use super::delta::{DeltaLeaf, Opaque};
use super::event::EventData;
use crate::request::body::closing_quote;

/// An event with one piece of text. Another event of this shape differs in that piece, and in values that change
/// nothing; so it would be read alike.
#[derive(Debug)]
pub(super) struct EventShape {
    event: String,
    /// In order.
    gaps: Vec<Gap>,
}

/// What may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    /// In the event; of strings what is between the quotes.
    span: Range<usize>,
    kind: GapKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GapKind {
    /// The piece.
    Text,
    String,
    Number,
}

/// An event of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShapedEvent<'a> {
    /// Up to the piece.
    pub before: &'a [u8],
    /// Between the quotes.
    pub piece: &'a str,
    pub after: &'a [u8],
}

/// The shape of a longer event is not kept.
const LONGEST: usize = 4 * 1024;

impl EventShape {
    /// None where an event that looks alike might be read otherwise, or end elsewhere.
    pub(super) fn of(data: &EventData<'_>, leaf: &DeltaLeaf, opaque: &[Opaque]) -> Option<Self> {
        let is_simple = data.event.len() <= LONGEST
            && data.has_one_line()
            && data.event.ends_with("\n\n")
            && !data.event.contains('\r');
        if !is_simple || !leaf.is_plain {
            return None;
        }
        let inside = |opaque: &Opaque| match opaque {
            Opaque { span, is_number: true } => Some((span.clone(), GapKind::Number)),
            Opaque { span, is_number: false } => {
                Some((span.start.checked_add(1)?..span.end.checked_sub(1)?, GapKind::String))
            }
        };
        let gaps = opaque.iter().filter_map(inside).chain([(leaf.span.clone(), GapKind::Text)]);
        let mut gaps: Vec<_> = gaps
            .map(|(span, kind)| Gap { span: data.in_event(span.start)..data.in_event(span.end), kind })
            .collect();
        gaps.sort_by_key(|gap| gap.span.start);
        Some(Self { event: data.event.to_owned(), gaps })
    }

    /// The event of this shape that the bytes begin with, and what comes behind it.
    pub(super) fn read<'a>(&self, bytes: &'a [u8]) -> Option<(ShapedEvent<'a>, &'a [u8])> {
        let (mut rest, mut at) = (bytes, 0);
        let mut piece = None;
        for Gap { span, kind } in &self.gaps {
            rest = strip(rest, self.event.as_bytes().get(at..span.start)?)?;
            at = span.end;
            let length = match kind {
                GapKind::Number => {
                    rest.iter().position(|byte| !byte.is_ascii_digit()).filter(|length| *length > 0)?
                }
                GapKind::Text | GapKind::String => closing_quote(rest)?,
            };
            let (value, after) = rest.split_at_checked(length)?;
            // A line break would begin another line.
            if value.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                return None;
            }
            let text = str::from_utf8(value).ok()?;
            if *kind == GapKind::Text {
                piece = Some((bytes.len().saturating_sub(rest.len()), text));
            }
            rest = after;
        }
        let behind = strip(rest, self.event.as_bytes().get(at..)?)?;
        let event = bytes.get(..bytes.len().saturating_sub(behind.len()))?;
        let (start, piece) = piece?;
        let (before, rest) = event.split_at_checked(start)?;
        Some((ShapedEvent { before, piece, after: rest.get(piece.len()..)? }, behind))
    }
}

/// What follows a prefix. Word by word: the host's comparison goes byte by byte.
fn strip<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(prefix.len())?;
    let ((left, left_end), (right, right_end)) = (head.as_chunks::<8>(), prefix.as_chunks::<8>());
    let same = |(left, right): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*left) == u64::from_ne_bytes(*right);
    (left.iter().zip(right).all(same) && left_end == right_end).then_some(rest)
}
