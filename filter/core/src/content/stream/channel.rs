//! The text of a channel, decided piece by piece.

use latchkey_guardrails::{Part, Progress};

use super::delta::{DeltaLeaf, EventTemplate};
use super::head::StreamApi;
use super::shape::EventShape;
use super::{Replacement, replaced};
use crate::content::editor::{TextEditor, Unread};
use crate::content::free_json::{FreeJson, FreePiece};
use crate::content::json_string::{SourceOffsets, append_decoded, complete_until, decode, in_source};
use crate::content::leaf::allowed;
use crate::content::place::{Place, Role, Segment};
use crate::request::body::next_escape;

/// Text before the part that is decided, in bytes.
const CONTEXT: usize = 256;

/// Bytes of context that are kept, before all but [`CONTEXT`] of them are dropped.
const MOST_CONTEXT: usize = 2 * 1024;

/// What is longer is decided early.
const MAX_HELD: usize = 16 * 1024;

/// One text of a stream, or the JSON of a tool's arguments.
#[derive(Debug)]
pub(super) struct Channel {
    pub key: Vec<Segment>,
    /// The latest event that brought a piece which is held.
    pub event: String,
    /// Of the events that bring its pieces.
    pub shape: Option<EventShape>,
    /// The editor has changed something in it.
    pub changed: bool,
    path: Vec<Segment>,
    editable: bool,
    text: OpenText,
    /// The source of what is not decided, as between the quotes of an event.
    held: String,
    /// The state before what is held, where the text is JSON. Each of its strings is a text of its own.
    json: Option<FreeJson>,
}

/// What is known of a text that goes on.
#[derive(Debug, Default)]
struct OpenText {
    /// The end of the text that is decided, as it came.
    context: String,
    /// Bytes of the text before.
    origin: usize,
    progress: Progress,
}

/// What a piece of text or JSON gives.
struct Step {
    /// Within the source, in order.
    replacements: Vec<Replacement>,
    /// How much of the source is decided.
    decided: usize,
}

impl Channel {
    pub(super) fn new(leaf: &DeltaLeaf) -> Self {
        Self {
            key: leaf.key.clone(),
            event: String::new(),
            shape: None,
            changed: false,
            path: leaf.place.clone(),
            editable: leaf.editable,
            text: OpenText::default(),
            held: String::new(),
            json: leaf.is_json.then(FreeJson::default),
        }
    }

    pub(super) fn holds_text(&self) -> bool {
        self.editable && !self.held.is_empty()
    }

    /// Writes the source that takes the place of a piece; the piece where it stays as it is. Tells whether it is
    /// another.
    pub(super) fn push(
        &mut self,
        piece: &str,
        ends: bool,
        editor: &mut dyn TextEditor,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut source = std::mem::take(&mut self.held);
        source.push_str(piece);
        let ends_early = !ends && source.len() > MAX_HELD.saturating_add(piece.len());
        if ends_early {
            editor.unread(Unread::HeldText, &place(&self.path, self.editable));
        }
        let limit = if ends {
            Limit::End
        } else if ends_early {
            Limit::Early
        } else {
            Limit::Open
        };
        let step = self.step(&source, limit, editor);
        self.changed |= !step.replacements.is_empty();
        let start = out.len();
        let decided = source.get(..step.decided).unwrap_or(&source);
        let edited = match step.replacements.is_empty() {
            true => None,
            false => replaced(decided, step.replacements),
        };
        match edited {
            _ if !self.editable => out.extend_from_slice(piece.as_bytes()),
            Some(edited) => out.extend(edited),
            None => out.extend_from_slice(decided.as_bytes()),
        }
        source.drain(..step.decided.min(source.len()));
        self.held = source;
        out.get(start..) != Some(piece.as_bytes())
    }

    /// The event with what is held: the channel has ended.
    pub(super) fn flush(&mut self, api: Option<StreamApi>, editor: &mut dyn TextEditor, out: &mut Vec<u8>) {
        if self.held.is_empty() {
            return;
        }
        let mut text = Vec::new();
        self.push("", true, editor, &mut text);
        if text.is_empty() || self.event.is_empty() {
            return;
        }
        let template = api.and_then(|api| EventTemplate::read(api, &self.event, &self.key));
        out.extend(template.map(|template| template.with_text(&text)).unwrap_or_default());
    }

    fn step(&mut self, source: &str, limit: Limit, editor: &mut dyn TextEditor) -> Step {
        match self.json.take() {
            Some(json) => self.json_step(json, source, limit, editor),
            None => self.text_step(source, limit, editor),
        }
    }

    fn text_step(&mut self, source: &str, limit: Limit, editor: &mut dyn TextEditor) -> Step {
        let place = place(&self.path, self.editable);
        string_step(&mut self.text, source, limit, editor, &place)
    }

    /// Asks about the strings of JSON whose source is within a string.
    fn json_step(
        &mut self,
        mut json: FreeJson,
        source: &str,
        limit: Limit,
        editor: &mut dyn TextEditor,
    ) -> Step {
        let whole = if limit == Limit::End { source.len() } else { complete_until(source) };
        let source = source.get(..whole).unwrap_or(source);
        let mut buffer = String::new();
        let text = decode(source, &mut buffer);
        let (mut replacements, mut at) = (Vec::new(), 0_usize);
        let decided = loop {
            match json.next(text, at) {
                FreePiece::String { start, end, is_name, is_closed } => {
                    let place = Place { is_name, ..place(&self.path, self.editable) };
                    let limit = if is_closed { Limit::End } else { limit };
                    let inner = text.get(start..end).unwrap_or_default();
                    let step = string_step(&mut self.text, inner, limit, editor, &place);
                    replacements.extend(step.replacements.into_iter().map(|found| found.moved(start)));
                    if !is_closed {
                        break start.saturating_add(step.decided);
                    }
                    self.text = OpenText::default();
                    at = end.saturating_add(1);
                }
                FreePiece::End(end) => at = end,
                FreePiece::More => break text.len(),
                FreePiece::Malformed(end) => {
                    let json = text.get(..end).unwrap_or(text);
                    return self.leave_json(source, json, replacements, limit, editor);
                }
            }
        };
        self.json = Some(json);
        let decided = SourceOffsets::new(source).at(decided);
        Step { replacements: in_source(source, replacements), decided }
    }

    /// The rest is no JSON: it is text, as is what comes behind it.
    fn leave_json(
        &mut self,
        source: &str,
        json: &str,
        replacements: Vec<Replacement>,
        limit: Limit,
        editor: &mut dyn TextEditor,
    ) -> Step {
        let mut replacements = in_source(source, replacements);
        let start = SourceOffsets::new(source).at(json.len());
        self.text = OpenText { context: tail(json).to_owned(), ..OpenText::default() };
        let step = self.text_step(source.get(start..).unwrap_or_default(), limit, editor);
        replacements.extend(step.replacements.into_iter().map(|found| found.moved(start)));
        Step { replacements, decided: start.saturating_add(step.decided) }
    }
}

/// Whether more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Open,
    /// More may come, but no more can be held.
    Early,
    End,
}

/// Asks about a piece of a text whose source is within a string.
fn string_step(
    known: &mut OpenText,
    source: &str,
    limit: Limit,
    editor: &mut dyn TextEditor,
    place: &Place<'_>,
) -> Step {
    let is_plain = next_escape(source.as_bytes()).is_none();
    let whole = if limit == Limit::End || is_plain { source.len() } else { complete_until(source) };
    let source = source.get(..whole).unwrap_or(source);
    let OpenText { context, origin, progress } = known;
    let known = context.len();
    if is_plain {
        context.push_str(source);
    } else {
        append_decoded(source, context);
    }
    let before = context.floor_char_boundary(known.saturating_sub(CONTEXT));
    let text = context.get(before..).unwrap_or_default();
    let start = known.saturating_sub(before);
    let (decided, found) = match limit {
        Limit::Open => {
            let part = Part { text, origin: origin.saturating_add(before) };
            editor.edit_part(part, start, progress, place)
        }
        Limit::Early | Limit::End => {
            *progress = Progress::default();
            let decided = text.len();
            let found = match decided > start || limit == Limit::End {
                true => editor.edit(text, start..decided, place),
                false => Vec::new(),
            };
            (decided, found)
        }
    };
    let mut replacements = allowed(editor, text, &(start..decided), place, found);
    let decided = replacements.last().map_or(decided, |last| last.span.end.max(decided));
    let decided_source = decided.saturating_sub(start);
    let step = if is_plain && replacements.is_empty() {
        Step { replacements, decided: decided_source }
    } else {
        for Replacement { span, .. } in &mut replacements {
            *span = span.start.saturating_sub(start)..span.end.saturating_sub(start);
        }
        Step {
            replacements: in_source(source, replacements),
            decided: SourceOffsets::new(source).at(decided_source),
        }
    };
    context.truncate(before.saturating_add(decided));
    if context.len() > MOST_CONTEXT {
        let gone = context.len().saturating_sub(tail(context).len());
        context.drain(..gone);
        *origin = origin.saturating_add(gone);
    }
    step
}

/// The end of a text that is kept as context.
fn tail(text: &str) -> &str {
    text.get(text.floor_char_boundary(text.len().saturating_sub(CONTEXT))..).unwrap_or_default()
}

fn place<'a>(path: &'a [Segment], editable: bool) -> Place<'a> {
    Place { message: None, role: Role::Assistant, is_new: true, is_name: false, editable, path }
}
