//! A piece of a channel's text in an event, and the event that carries another piece.

use std::ops::Range;

use super::Replacement;
use super::event::EventData;
use super::head::{EventHead, StreamApi};
use crate::content::editor::TextEditor;
use crate::content::place::{Place, Segment};
use crate::content::replaced;
use crate::content::walk::{Subject, Walk};
use crate::mcp::sse;

/// A piece of a channel's text.
#[derive(Debug)]
pub(in crate::content) struct DeltaLeaf {
    /// Of its channel.
    pub key: Vec<Segment>,
    pub path: Vec<Segment>,
    /// Where its channel's text stands in the answer.
    pub place: Vec<Segment>,
    /// Of its source within the data, between the quotes.
    pub span: Range<usize>,
    /// The channel's text is JSON.
    pub is_json: bool,
    /// That it is a piece does not depend on what is in it.
    pub is_plain: bool,
    pub editable: bool,
}

/// A value of an event that changes nothing: a number, or a string with its quotes.
#[derive(Debug)]
pub(in crate::content) struct Opaque {
    /// Within the data.
    pub span: Range<usize>,
    pub is_number: bool,
}

/// An event for more text of a channel: what is before the text, and what is behind it.
#[derive(Debug)]
pub(super) struct EventTemplate {
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Looks at nothing.
struct Blind;

impl TextEditor for Blind {
    fn looks_at(&self, _: &Place<'_>) -> bool {
        false
    }

    fn edit(&mut self, _: &str, _: Range<usize>, _: &Place<'_>) -> Vec<Replacement> {
        Vec::new()
    }
}

impl EventTemplate {
    /// By an event that has a piece of the channel.
    pub(super) fn read(api: StreamApi, event: &str, key: &[Segment]) -> Option<Self> {
        let data = EventData::of(event)?;
        let head = EventHead::read(api, &data.text)?;
        let found = Walk::new(Subject::Event(head), &data.text, &mut Blind).run()?;
        let leaf = found.deltas.iter().find(|leaf| leaf.key == key)?;
        Self::of(head, &data, leaf, &found.logprobs)
    }

    /// By the latest event of the channel. What else it brought (the name of a tool, the role) is not repeated.
    fn of(
        head: EventHead<'_>,
        data: &EventData<'_>,
        leaf: &DeltaLeaf,
        without_logprobs: &[Replacement],
    ) -> Option<Self> {
        match (head.api(), leaf.path.as_slice()) {
            (StreamApi::Choices, [_, Segment::Index(choice), path @ ..]) => {
                Self::choice(head, data, *choice, path).or_else(|| Self::copy(data, leaf, without_logprobs))
            }
            (StreamApi::Messages, [Segment::Member("content_block"), name]) => Self::block(head, *name),
            _ => Self::copy(data, leaf, without_logprobs),
        }
    }

    pub(super) fn with_text(&self, text: &[u8]) -> Vec<u8> {
        [&self.before, text, &self.after].concat()
    }

    /// The same event but for the text and the log probabilities.
    fn copy(data: &EventData<'_>, leaf: &DeltaLeaf, without_logprobs: &[Replacement]) -> Option<Self> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for Replacement { span, text } in without_logprobs {
            let side = if span.end <= leaf.span.start { &mut before } else { &mut after };
            let span = data.in_event(span.start)..data.in_event(span.end);
            side.push(Replacement { span, text: text.clone() });
        }
        let (start, end) = (data.in_event(leaf.span.start), data.in_event(leaf.span.end));
        for Replacement { span, .. } in &mut after {
            *span = span.start.saturating_sub(end)..span.end.saturating_sub(end);
        }
        let (head, tail) = (data.event.get(..start)?, data.event.get(end..)?);
        Some(Self { before: replaced(head, before)?, after: ended(data.event, replaced(tail, after)?) })
    }

    /// The same event with one choice that has nothing but the text. None where a name in the path is not known.
    fn choice(head: EventHead<'_>, data: &EventData<'_>, choice: usize, path: &[Segment]) -> Option<Self> {
        let choices = head.choices()?;
        let start = choices.as_ptr().addr().checked_sub(data.text.as_ptr().addr())?;
        let (start, end) = (data.in_event(start), data.in_event(start.checked_add(choices.len())?));
        let (mut open, mut close) = (format!("[{{\"index\":{choice},"), String::new());
        for (at, segment) in path.iter().enumerate() {
            match segment {
                Segment::Member(name) => {
                    open.push_str(&format!("\"{name}\":"));
                    match path.get(at.saturating_add(1)) {
                        Some(Segment::Member(_)) => {
                            open.push('{');
                            close.insert(0, '}');
                        }
                        Some(Segment::Index(index)) => {
                            open.push_str(&format!("[{{\"index\":{index},"));
                            close.insert_str(0, "}]");
                        }
                        Some(Segment::Other(_)) => return None,
                        None => {}
                    }
                }
                // Followed by a member: no list of strings comes in pieces.
                Segment::Index(_) if matches!(path.get(at.saturating_add(1)), Some(Segment::Member(_))) => {}
                _ => return None,
            }
        }
        close.push_str(",\"finish_reason\":null}]");
        let before = [data.event.get(..start)?, &open, "\""].concat();
        let after = ["\"", &close, data.event.get(end..)?].concat();
        Some(Self { before: before.into_bytes(), after: ended(data.event, after.into_bytes()) })
    }

    /// A delta of a block whose text began in its first event.
    fn block(head: EventHead<'_>, name: Segment) -> Option<Self> {
        let Segment::Member(name) = name else { return None };
        let before = format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{},\
             \"delta\":{{\"type\":\"{name}_delta\",\"{name}\":\"",
            head.index().unwrap_or(0)
        );
        Some(Self { before: before.into_bytes(), after: b"\"}}\n\n".to_vec() })
    }
}

/// Ends a copy as the event's first line ends: the event's own last line end may still be coming.
fn ended(event: &str, mut after: Vec<u8>) -> Vec<u8> {
    let end = sse::line(event).map_or("\n", |(_, end, _)| end);
    let kept = after.trim_ascii_end().len();
    after.truncate(kept);
    after.extend([end, end].concat().into_bytes());
    after
}
