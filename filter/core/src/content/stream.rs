//! Edits the texts of an event stream as it passes.
//!
//! A stream's texts come in pieces: deltas. The pieces of one text are a *channel*. Each event is passed on at
//! once, with its piece shortened to what is decided; the rest goes in front of the channel's next piece. Where
//! the channel ends without one, the rest goes out first, in an event of its own.
//!
//! The texts that streams repeat as a whole (`response.completed`, for instance) are edited as whole texts.

mod channel;
mod delta;
mod event;
mod head;
mod shape;

use super::editor::{TextEditor, Unread};
use super::place::{Place, Role, Segment};
use super::walk::{Findings, Subject, Walk};
use super::{Replacement, replaced};
use crate::answer::usage::format::{AnswerFormat, FormatDetector, FormatHint};
use crate::mcp::sse::SseSplitter;
use crate::request::endpoint::ModelOperation;

pub(super) use delta::{DeltaLeaf, Opaque};
pub(super) use head::EventHead;

use channel::Channel;
use event::EventData;
use head::StreamApi;
use shape::{EventShape, ShapedEvent};

/// A longer event passes as it is. Events repeat whole answers, and bring images.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// Where there are more, each further piece of text is taken for a whole.
const MAX_CHANNELS: usize = 128;

/// Of so many of the latest channels the shape of their events is looked for.
const MAX_SHAPES: usize = 4;

/// Edits the texts of a stream of server-sent events.
#[derive(Debug)]
pub struct StreamEditor {
    /// None for an MCP server's, whose events are whole messages.
    api: Option<StreamApi>,
    detector: FormatDetector,
    splitter: SseSplitter,
    state: StreamState,
    /// The channels that are open, by age.
    channels: Vec<Channel>,
    /// The editor has changed a text.
    changed: bool,
    has_logprobs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamState {
    /// Before the first byte that tells what the body is.
    Start,
    Events,
    /// In an event that is too long.
    LongEvent,
    /// The body is no event stream.
    Unreadable,
}

impl StreamEditor {
    /// Of a model's answer.
    #[must_use]
    pub fn new(operation: ModelOperation) -> Self {
        Self::of(Some(StreamApi::of(operation)))
    }

    /// Of an MCP server's answer.
    #[must_use]
    pub fn mcp() -> Self {
        Self::of(None)
    }

    fn of(api: Option<StreamApi>) -> Self {
        Self {
            api,
            detector: FormatDetector::default(),
            splitter: SseSplitter::default(),
            state: StreamState::Start,
            channels: Vec::new(),
            changed: false,
            has_logprobs: false,
        }
    }

    /// What goes out for a chunk of the stream, `last` or not. What comes out for the last chunk must be
    /// delivered, too: where trailers follow the body, no more bytes can be added, and the text that was held
    /// back is lost.
    pub fn push(&mut self, bytes: &[u8], last: bool, editor: &mut dyn TextEditor) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        if self.state == StreamState::Start {
            self.detect(bytes, editor);
        }
        let mut rest = bytes;
        while self.state != StreamState::Unreadable {
            if let Some(after) = self.shaped(rest, editor, &mut out) {
                rest = after;
                continue;
            }
            let Some((event, after)) = self.splitter.next(rest) else { break };
            rest = after;
            if self.state == StreamState::LongEvent {
                self.state = StreamState::Events;
                out.extend(event);
            } else {
                self.event(&event, false, editor, &mut out);
            }
        }
        match self.state {
            StreamState::Unreadable => {
                out.extend(self.splitter.take());
                out.extend_from_slice(rest);
                return out;
            }
            StreamState::LongEvent => out.extend(self.splitter.take()),
            _ if self.splitter.held() > MAX_EVENT => {
                editor.unread(Unread::LongEvent, &nowhere());
                self.state = StreamState::LongEvent;
                out.extend(self.splitter.take());
            }
            _ => {}
        }
        if last {
            let tail = self.splitter.take();
            if tail.is_empty() {
                self.flush(|_| true, editor, &mut out);
            } else {
                self.event(&tail, true, editor, &mut out);
            }
        }
        out
    }

    /// Edits the event that the bytes begin with, if it has the shape of an earlier one. Gives what comes behind it.
    fn shaped<'a>(
        &mut self,
        bytes: &'a [u8],
        editor: &mut dyn TextEditor,
        out: &mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        if self.state != StreamState::Events || !self.splitter.is_between() {
            return None;
        }
        let channels = self.channels.iter_mut().rev().take(MAX_SHAPES);
        let (channel, (event, rest)) = channels
            .filter_map(|channel| {
                let read = channel.shape.as_ref()?.read(bytes)?;
                Some((channel, read))
            })
            .next()?;
        let ShapedEvent { before, piece, after } = event;
        out.extend_from_slice(before);
        channel.push(piece, false, editor, out);
        out.extend_from_slice(after);
        self.changed |= channel.changed;
        if channel.holds_text() {
            let event = bytes.get(..bytes.len().saturating_sub(rest.len())).unwrap_or_default();
            channel.event.clear();
            channel.event.push_str(str::from_utf8(event).unwrap_or_default());
        }
        Some(rest)
    }

    fn detect(&mut self, bytes: &[u8], editor: &mut dyn TextEditor) {
        for byte in bytes {
            if let FormatHint::Decided(format) = self.detector.push(*byte) {
                self.state = match format {
                    Some(AnswerFormat::Document | AnswerFormat::Unreadable) => StreamState::Unreadable,
                    Some(AnswerFormat::Events) | None => StreamState::Events,
                };
                break;
            }
        }
        if self.state == StreamState::Unreadable {
            editor.unread(Unread::Format, &nowhere());
        }
    }

    /// Edits one event; the last of the stream ends every channel.
    fn event(&mut self, bytes: &[u8], last: bool, editor: &mut dyn TextEditor, out: &mut Vec<u8>) {
        let Ok(text) = str::from_utf8(bytes) else {
            return self.unreadable(bytes, last, editor, out);
        };
        let Some(data) = EventData::of(text) else {
            return self.pass(bytes, last, editor, out);
        };
        if data.text.trim_ascii() == "[DONE]" {
            return self.pass(bytes, true, editor, out);
        }
        let subject = match self.api {
            Some(api) => match EventHead::read(api, &data.text) {
                Some(head) => Subject::Event(head),
                None => return self.unreadable(bytes, last, editor, out),
            },
            None => Subject::Mcp,
        };
        let before = editor.outcomes();
        let walk = Walk::new(subject, &data.text, editor);
        let walk = if self.has_logprobs { walk.with_known_logprobs() } else { walk };
        let Some(found) = walk.run() else {
            return self.unreadable(bytes, last, editor, out);
        };
        let is_quiet = before.is_some() && before == editor.outcomes();
        let ends_all = last || matches!(subject, Subject::Event(head) if head.ends_all());
        let shape = match (subject, found.deltas.as_slice()) {
            (Subject::Event(head), [leaf])
                if is_quiet && !ends_all && !found.is_special() && head.ends().is_none() =>
            {
                EventShape::of(&data, leaf, &found.opaque).map(|shape| (leaf.key.clone(), shape))
            }
            _ => None,
        };
        let edits = self.edits(&data, subject, found, ends_all, editor, out);
        if let Some((key, shape)) = shape
            && let Some(channel) = self.channels.iter_mut().find(|channel| channel.key == key)
        {
            channel.shape = Some(shape);
        }
        match data.replaced(text, edits) {
            Some(edited) => out.extend(edited),
            None => out.extend_from_slice(bytes),
        }
    }

    /// What changes in an event's data.
    fn edits(
        &mut self,
        data: &EventData<'_>,
        subject: Subject<'_>,
        found: Findings,
        ends_all: bool,
        editor: &mut dyn TextEditor,
        out: &mut Vec<u8>,
    ) -> Vec<Replacement> {
        let Findings { mut replacements, logprobs, deltas, mut ends, opaque: _ } = found;
        self.changed |= !replacements.is_empty();
        if let Subject::Event(head) = subject {
            ends.extend(head.ends());
        }
        let is_ended = |key: &[Segment]| ends_all || ends.iter().any(|end| key.starts_with(end));
        for leaf in &deltas {
            let Some(piece) = data.text.get(leaf.span.clone()) else { continue };
            let ends = is_ended(&leaf.key);
            let mut text = Vec::new();
            let (is_other, changed) = match self.channel(leaf) {
                Some(channel) => (channel.push(piece, ends, editor, &mut text), channel.changed),
                None => {
                    editor.unread(Unread::HeldText, &nowhere());
                    let mut channel = Channel::new(leaf);
                    (channel.push(piece, true, editor, &mut text), channel.changed)
                }
            };
            self.changed |= changed;
            if is_other && let Ok(text) = String::from_utf8(text) {
                replacements.push(Replacement { span: leaf.span.clone(), text });
            }
        }
        self.flush(|channel| is_ended(&channel.key), editor, out);
        self.has_logprobs |= !logprobs.is_empty();
        for channel in self.channels.iter_mut().filter(|channel| channel.holds_text()) {
            if deltas.iter().any(|leaf| leaf.key == channel.key) {
                channel.event.clear();
                channel.event.push_str(data.event);
            }
        }
        if self.changed || editor.removes_logprobs() {
            replacements.extend(logprobs);
        }
        replacements
    }

    /// The channel of a piece, if there is one or room for one.
    fn channel(&mut self, leaf: &DeltaLeaf) -> Option<&mut Channel> {
        let known = self.channels.iter().position(|channel| channel.key == leaf.key);
        let at = known.unwrap_or(self.channels.len());
        if known.is_none() && at < MAX_CHANNELS {
            self.channels.push(Channel::new(leaf));
        }
        self.channels.get_mut(at)
    }

    /// Sends what these channels hold.
    fn flush(&mut self, which: impl Fn(&Channel) -> bool, editor: &mut dyn TextEditor, out: &mut Vec<u8>) {
        for channel in self.channels.iter_mut().filter(|channel| which(channel)) {
            channel.flush(self.api, editor, out);
            self.changed |= channel.changed;
        }
        self.channels.retain(|channel| !which(channel));
    }

    fn unreadable(&mut self, bytes: &[u8], last: bool, editor: &mut dyn TextEditor, out: &mut Vec<u8>) {
        editor.unread(Unread::Format, &nowhere());
        self.pass(bytes, last, editor, out);
    }

    fn pass(&mut self, bytes: &[u8], ends_all: bool, editor: &mut dyn TextEditor, out: &mut Vec<u8>) {
        if ends_all {
            self.flush(|_| true, editor, out);
        }
        out.extend_from_slice(bytes);
    }
}

/// The place of what is not within a text.
fn nowhere() -> Place<'static> {
    Place { message: None, role: Role::Assistant, is_new: true, is_name: false, editable: false, path: &[] }
}
