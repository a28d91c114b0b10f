//! Finds references to prompts in a text.

use std::ops::Range;

use latchkey_proto::prompt::{LONG_FORM, REFERENCE_CLOSE, REFERENCE_OPEN};
use memchr::memmem;

use super::stored::Prompts;

/// Longest text between the braces, in bytes: ids of 100 characters, and labels of 64.
const LONGEST_NAME: usize = 512;

/// A reference in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub span: Range<usize>,
    /// `<id>`, `<id>@v3` or `<id>@<label>`.
    pub name: ReferenceName<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReferenceName<'a> {
    Closed(&'a str),
    /// It has no end: what it may have meant.
    Open(&'a str),
}

/// Whether a JSON body may have references: `{{prompt:` or the other form, as they are or with escapes.
pub(super) fn may_refer(body: &[u8]) -> bool {
    memmem::find(body, REFERENCE_OPEN.as_bytes()).is_some()
        || memmem::find(body, LONG_FORM.as_bytes()).is_some()
        || memmem::find_iter(body, b"\\u00").any(|at| {
            // Of an ASCII character that is no control character.
            let digit = at.checked_add(4).and_then(|digit| body.get(digit));
            digit.is_some_and(|digit| (b'2'..=b'7').contains(digit))
        })
}

/// Every reference of a text, in order; none overlaps another.
pub(super) fn references<'a>(text: &'a str, prompts: &Prompts) -> Vec<Reference<'a>> {
    let forms = [(REFERENCE_OPEN, false), (LONG_FORM, true)];
    let mut starts: Vec<_> = forms
        .into_iter()
        .flat_map(|(form, is_long)| {
            memmem::find_iter(text.as_bytes(), form.as_bytes()).map(move |start| (start, form, is_long))
        })
        .collect();
    starts.sort_unstable();
    let (mut found, mut end) = (Vec::new(), 0_usize);
    for (start, form, is_long) in starts {
        let inside = start.saturating_add(form.len());
        let Some(rest) = text.get(inside..).filter(|_| start >= end) else { continue };
        let (name, length) = if is_long { long_form(rest, prompts) } else { in_braces(rest) };
        end = inside.saturating_add(length);
        found.push(Reference { span: start..end, name });
    }
    found
}

fn in_braces(rest: &str) -> (ReferenceName<'_>, usize) {
    let near = rest.get(..rest.floor_char_boundary(LONGEST_NAME)).unwrap_or(rest);
    match near.split_once(REFERENCE_CLOSE) {
        Some((name, _)) => {
            (ReferenceName::Closed(name.trim()), name.len().saturating_add(REFERENCE_CLOSE.len()))
        }
        None => (ReferenceName::Open(beginning(near)), 0),
    }
}

/// An id that the app has, and a version or label after it; or else what stands there.
fn long_form<'a>(rest: &'a str, prompts: &Prompts) -> (ReferenceName<'a>, usize) {
    let length = prompts.longest_id(rest, ends_word).map_or_else(|| run(rest), str::len);
    let selector = rest.get(length..).and_then(|rest| rest.strip_prefix('@')).map_or(0, run);
    let length = match selector {
        0 => length,
        _ => length.saturating_add(1).saturating_add(selector),
    };
    (ReferenceName::Closed(rest.get(..length).unwrap_or(rest)), length)
}

/// Whether a word has ended before this text.
fn ends_word(text: &str) -> bool {
    run(text) == 0
}

/// How many bytes of the text's beginning go on with a word. A dot or a slash does
/// only before another letter or digit, so that an id may end a sentence.
fn run(text: &str) -> usize {
    let is_inside = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let goes_on = is_inside(letter)
            || matches!(letter, '.' | '/') && letters.peek().is_some_and(|(_, next)| is_inside(*next));
        if !goes_on {
            return at;
        }
    }
    text.len()
}

/// A few letters, for messages.
fn beginning(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.get(..line.floor_char_boundary(40)).unwrap_or_default()
}
