//! What looks at texts, and what it may ask for.

use std::ops::Range;

use latchkey_guardrails::{Part, Progress};

use super::place::Place;

/// Looks at texts, and says what is to replace parts of them.
pub trait TextEditor {
    /// Whether texts at this place matter: the others are not even decoded.
    fn looks_at(&self, _place: &Place<'_>) -> bool {
        true
    }

    /// Looks at the matches that begin within `range` of `text`, and says what replaces them. What is before
    /// the range is context: it is decided already, and cannot be replaced. A whole text comes in one call; the
    /// text of a stream in several, whose ranges follow each other without a gap. Where
    /// [`Place::editable`] is false, replacements are ignored.
    fn edit(&mut self, text: &str, range: Range<usize>, place: &Place<'_>) -> Vec<Replacement>;

    /// How much of the beginning of a stream's text is decided, whatever comes after it: no match begins there
    /// that could still grow. What is before `from` is context. Only asked for streams.
    fn decided_until(&self, text: &str, _from: usize) -> usize {
        text.len()
    }

    /// Looks at a part of a stream's text, which may go on: says how much of it is decided, and what replaces
    /// the matches in that, from `from` on. `progress` is what the editor knows of the same text from before.
    fn edit_part(
        &mut self,
        part: Part<'_>,
        from: usize,
        _progress: &mut Progress,
        place: &Place<'_>,
    ) -> (usize, Vec<Replacement>) {
        let Part { text, .. } = part;
        let decided = text.floor_char_boundary(self.decided_until(text, from)).max(from);
        let replacements = if decided > from { self.edit(text, from..decided, place) } else { Vec::new() };
        (decided, replacements)
    }

    /// How much has come of what the editor was asked: matches and what was unread. A text of which nothing came
    /// need not be shown again where it is repeated. None where each text must be shown.
    fn outcomes(&self) -> Option<u64> {
        None
    }

    /// Something that nobody looked at, or that could not be replaced.
    fn unread(&mut self, _what: Unread, _place: &Place<'_>) {}

    /// Whether log probabilities are taken out of an answer in any case. Otherwise they go where the text that
    /// they spell changes; in a stream, those of text that came before the first change have left by then.
    fn removes_logprobs(&self) -> bool {
        false
    }
}

/// The replacement of a part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// In bytes of the decoded text.
    pub span: Range<usize>,
    pub text: String,
}

impl Replacement {
    /// In a text in which this one begins at `start`.
    pub(super) fn moved(self, start: usize) -> Self {
        let Self { span, text } = self;
        Self { span: span.start.saturating_add(start)..span.end.saturating_add(start), text }
    }
}

/// What was not looked at, or not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unread {
    /// Inline media or files, in base64.
    Media,
    /// Encrypted reasoning or findings.
    Encrypted,
    /// Text as token ids.
    TokenIds,
    /// Log probabilities, which spell the text once more.
    LogProbs,
    /// Values that nest too deeply.
    Nesting,
    /// Replacements were asked for in text that may not change: it is signed, or it is a name that must match
    /// others.
    ReadOnly,
    /// A body or an event in an unknown form.
    Format,
    /// An event that is too long.
    LongEvent,
    /// Text of a stream that was decided early, because too much would have been held back.
    HeldText,
}

/// Sorts replacements, and drops those that do not lie within the range or overlap an earlier one. Spans are
/// widened to whole characters.
pub(super) fn in_order(
    text: &str,
    range: &Range<usize>,
    mut replacements: Vec<Replacement>,
) -> Vec<Replacement> {
    replacements.sort_by_key(|replacement| replacement.span.start);
    let mut end = range.start;
    replacements.retain_mut(|Replacement { span, .. }| {
        span.start = text.floor_char_boundary(span.start);
        span.end = text.ceil_char_boundary(span.end);
        let fits = end <= span.start && span.start <= span.end && span.end <= text.len();
        if fits {
            end = span.end;
        }
        fits
    });
    replacements
}
