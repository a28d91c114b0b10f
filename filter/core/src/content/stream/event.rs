//! The data of an event, and the edits of it.

use std::borrow::Cow;

use super::{Replacement, replaced};
use crate::mcp::sse;

/// The lines of data of an event, joined by line feeds.
#[derive(Debug)]
pub(super) struct EventData<'a> {
    pub text: Cow<'a, str>,
    /// Where each line begins: in `text`, and in the event.
    lines: Vec<(usize, usize)>,
    pub event: &'a str,
}

impl<'a> EventData<'a> {
    /// None where the event has no data.
    pub(super) fn of(event: &'a str) -> Option<Self> {
        let (mut rest, mut text, mut lines) = (event, None::<Cow<'_, str>>, Vec::new());
        while let Some((line, _, after)) = sse::line(rest) {
            rest = after;
            // Before the first line of a stream.
            let line = line.strip_prefix('\u{feff}').unwrap_or(line);
            let Some(value) = sse::value(line) else { continue };
            let start = value.as_ptr().addr().checked_sub(event.as_ptr().addr())?;
            lines.push((text.as_ref().map_or(0, |text| text.len().saturating_add(1)), start));
            text = Some(match text {
                None => Cow::Borrowed(value),
                Some(text) => Cow::Owned([&text, "\n", value].concat()),
            });
        }
        text.map(|text| Self { text, lines, event })
    }

    pub(super) fn has_one_line(&self) -> bool {
        self.lines.len() == 1
    }

    /// The event with these replacements in its data; none without any.
    pub(super) fn replaced(&self, event: &str, mut edits: Vec<Replacement>) -> Option<Vec<u8>> {
        if edits.is_empty() {
            return None;
        }
        for Replacement { span, .. } in &mut edits {
            *span = self.in_event(span.start)..self.in_event(span.end);
        }
        replaced(event, edits)
    }

    /// Where an offset in the data is in the event.
    pub(super) fn in_event(&self, offset: usize) -> usize {
        let line = self.lines.iter().rev().find(|(start, _)| *start <= offset);
        let (start, in_event) = line.copied().unwrap_or_default();
        offset.saturating_sub(start).saturating_add(in_event)
    }
}
