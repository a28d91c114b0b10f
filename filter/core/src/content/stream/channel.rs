//! The text of a channel, decided piece by piece.

use std::borrow::Cow;

use super::delta::{DeltaLeaf, EventTemplate};
use super::{Replacement, replaced};
use crate::content::editor::{TextEditor, Unread};
use crate::content::free_json::{FreeJson, FreePiece};
use crate::content::json_string::{SourceOffsets, append_decoded, complete_until, decode, in_source};
use crate::content::leaf::ask;
use crate::content::place::{Place, Role, Segment};

/// Text before the part that is decided, in bytes.
const CONTEXT: usize = 256;

/// What is longer is decided early.
const MAX_HELD: usize = 16 * 1024;

/// One text of a stream, or the JSON of a tool's arguments.
#[derive(Debug)]
pub(super) struct Channel {
    pub key: Vec<Segment>,
    pub template: Option<EventTemplate>,
    /// The editor has changed something in it.
    pub changed: bool,
    path: Vec<Segment>,
    editable: bool,
    /// The end of the text that is decided, as it came.
    context: String,
    /// The source of what is not decided, as between the quotes of an event.
    held: String,
    /// The state before what is held, where the text is JSON. Each of its strings is a text of its own.
    json: Option<FreeJson>,
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
            template: None,
            changed: false,
            path: leaf.place.clone(),
            editable: leaf.editable,
            context: String::new(),
            held: String::new(),
            json: leaf.is_json.then(FreeJson::default),
        }
    }

    pub(super) fn holds_text(&self) -> bool {
        self.editable && !self.held.is_empty()
    }

    /// The source that takes the place of a piece; none where the piece stays as it is.
    pub(super) fn push(&mut self, piece: &str, ends: bool, editor: &mut dyn TextEditor) -> Option<String> {
        let held = std::mem::take(&mut self.held);
        let source = if held.is_empty() { Cow::Borrowed(piece) } else { Cow::Owned([&held, piece].concat()) };
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
        let (decided, rest) = source.split_at_checked(step.decided)?;
        self.held = rest.to_owned();
        self.changed |= !step.replacements.is_empty();
        if !self.editable {
            return None;
        }
        let text = if step.replacements.is_empty() {
            Cow::Borrowed(decided)
        } else {
            Cow::Owned(String::from_utf8(replaced(decided, step.replacements)?).ok()?)
        };
        (text != piece).then(|| text.into_owned())
    }

    /// The event with what is held: the channel has ended.
    pub(super) fn flush(&mut self, editor: &mut dyn TextEditor) -> Vec<u8> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let text = self.push("", true, editor).unwrap_or_default();
        let template = self.template.as_ref().filter(|_| !text.is_empty());
        template.map(|template| template.with_text(&text)).unwrap_or_default()
    }

    fn step(&mut self, source: &str, limit: Limit, editor: &mut dyn TextEditor) -> Step {
        match self.json.take() {
            Some(json) => self.json_step(json, source, limit, editor),
            None => self.text_step(source, limit, editor),
        }
    }

    fn text_step(&mut self, source: &str, limit: Limit, editor: &mut dyn TextEditor) -> Step {
        let place = place(&self.path, self.editable);
        string_step(&mut self.context, source, limit, editor, &place)
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
                    let step = string_step(&mut self.context, inner, limit, editor, &place);
                    replacements.extend(step.replacements.into_iter().map(|found| found.moved(start)));
                    if !is_closed {
                        break start.saturating_add(step.decided);
                    }
                    self.context.clear();
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
        self.context = tail(json).to_owned();
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
    context: &mut String,
    source: &str,
    limit: Limit,
    editor: &mut dyn TextEditor,
    place: &Place<'_>,
) -> Step {
    let whole = if limit == Limit::End { source.len() } else { complete_until(source) };
    let source = source.get(..whole).unwrap_or(source);
    let start = context.len();
    append_decoded(source, context);
    let text = context.as_str();
    let decided = match limit {
        Limit::Open => text.floor_char_boundary(editor.decided_until(text, start)).max(start),
        Limit::Early | Limit::End => text.len(),
    };
    let mut replacements = if decided > start || limit == Limit::End {
        ask(editor, text, start..decided, place)
    } else {
        Vec::new()
    };
    let decided = replacements.last().map_or(decided, |last| last.span.end.max(decided));
    for Replacement { span, .. } in &mut replacements {
        *span = span.start.saturating_sub(start)..span.end.saturating_sub(start);
    }
    let step = Step {
        replacements: in_source(source, replacements),
        decided: SourceOffsets::new(source).at(decided.saturating_sub(start)),
    };
    context.truncate(decided);
    let kept = tail(context).len();
    context.drain(..context.len().saturating_sub(kept));
    step
}

/// The end of a text that is kept as context.
fn tail(text: &str) -> &str {
    text.get(text.floor_char_boundary(text.len().saturating_sub(CONTEXT))..).unwrap_or_default()
}

fn place<'a>(path: &'a [Segment], editable: bool) -> Place<'a> {
    Place { message: None, role: Role::Assistant, is_new: true, is_name: false, editable, path }
}
