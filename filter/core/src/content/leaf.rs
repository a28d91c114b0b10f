//! Asks the editor about one text, wherever its source stands: in a JSON string, in free JSON, or in JSON within a
//! JSON string.

use std::ops::Range;

use super::editor::{Replacement, TextEditor, Unread, in_order};
use super::free_json::{FreeJson, FreePiece};
use super::json_string::{decode, in_source};
use super::names::{is_media_url, is_schema_setting, may_be_text};
use super::place::{Place, Segment};
use crate::request::body::span;

/// The editor, and room for decoded texts.
pub(super) struct LeafEditor<'e> {
    pub editor: &'e mut dyn TextEditor,
    outer: String,
    inner: String,
}

/// Digits of the shortest number that is looked at.
const SHORTEST_NUMBER: usize = 8;

/// What free JSON is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FreeKind {
    /// Names are texts, too.
    Data,
    Schema,
}

impl<'e> LeafEditor<'e> {
    pub(super) fn new(editor: &'e mut dyn TextEditor) -> Self {
        Self { editor, outer: String::new(), inner: String::new() }
    }

    /// Of a string: the replacements within its source.
    pub(super) fn string(&mut self, raw: &str, place: &Place<'_>) -> Vec<Replacement> {
        if !self.editor.looks_at(place) {
            return Vec::new();
        }
        let text = decode(raw, &mut self.inner);
        let replacements = whole_text(self.editor, text, place);
        in_source(raw, replacements)
    }

    /// Of the string's JSON, or of the string where it is none.
    pub(super) fn json(&mut self, raw: &str, place: &Place<'_>) -> Vec<Replacement> {
        let mut outer = std::mem::take(&mut self.outer);
        let text = decode(raw, &mut outer);
        let is_json = text.trim_ascii_start().starts_with(['{', '[', '"'])
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        let replacements = if is_json {
            let mut replacements = Vec::new();
            self.free(text, FreeKind::Data, place, &mut replacements);
            in_source(raw, replacements)
        } else {
            self.string(raw, place)
        };
        self.outer = outer;
        replacements
    }

    /// Of the strings of the value at the beginning of the text: adds the replacements within the text, and gives
    /// the end of the value. None where it is malformed.
    pub(super) fn free(
        &mut self,
        text: &str,
        kind: FreeKind,
        place: &Place<'_>,
        replacements: &mut Vec<Replacement>,
    ) -> Option<usize> {
        let (mut json, mut at, mut name) = (FreeJson::default(), 0_usize, "");
        loop {
            let (start, end, is_name) = match json.next(text, at) {
                FreePiece::String { start, end, is_name, is_closed: true } => (start, end, is_name),
                FreePiece::End(end) => {
                    if kind == FreeKind::Data {
                        self.numbers(text, at..end, place, replacements);
                    }
                    return Some(end);
                }
                _ => return None,
            };
            if kind == FreeKind::Data {
                self.numbers(text, at..start, place, replacements);
            }
            let raw = text.get(start..end)?;
            at = end.checked_add(1)?;
            let is_text = match kind {
                FreeKind::Data => true,
                FreeKind::Schema => !is_name && (!is_schema_setting(name) || may_be_text(raw)),
            };
            if is_name {
                name = raw;
            }
            if is_text {
                let found = self.string(raw, &Place { is_name, ..*place });
                replacements.extend(found.into_iter().map(|found| found.moved(start)));
            }
            if json.is_outside() {
                return Some(at);
            }
        }
    }
}

impl LeafEditor<'_> {
    /// Of the long numbers between the strings of free JSON: an account or a card may be one. What replaces a
    /// part of a number makes a string of it.
    fn numbers(
        &mut self,
        text: &str,
        between: Range<usize>,
        place: &Place<'_>,
        replacements: &mut Vec<Replacement>,
    ) {
        let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        let Some(part) = text.get(between.clone()) else { return };
        if part.len() < SHORTEST_NUMBER || !self.editor.looks_at(place) {
            return;
        }
        for number in part.split(|char: char| !char.is_ascii() || !is_number(char as u8)) {
            if number.len() < SHORTEST_NUMBER {
                continue;
            }
            let mut edited = number.to_owned();
            let found = ask(self.editor, number, 0..number.len(), place);
            for Replacement { span, text } in found.iter().rev() {
                edited.replace_range(span.clone(), text);
            }
            let Some(span) = span(text, number).filter(|_| !found.is_empty()) else { continue };
            let text = serde_json::Value::String(edited).to_string();
            replacements.push(Replacement { span, text });
        }
    }
}

/// Asks about a text that is whole.
pub(super) fn whole_text(editor: &mut dyn TextEditor, text: &str, place: &Place<'_>) -> Vec<Replacement> {
    if names_media(place) && is_media_url(text) {
        editor.unread(Unread::Media, place);
        return Vec::new();
    }
    ask(editor, text, 0..text.len(), place)
}

/// Whether the URL of a medium may stand here. Elsewhere a `data:` URL is text like any other.
fn names_media(place: &Place<'_>) -> bool {
    const MEMBERS: [&str; 6] = ["url", "image_url", "file_url", "audio_url", "video_url", "file_data"];
    matches!(place.path.last(), Some(Segment::Member(name)) if MEMBERS.contains(name))
}

/// Asks about a part of a text. The replacements are in order.
pub(super) fn ask(
    editor: &mut dyn TextEditor,
    text: &str,
    range: Range<usize>,
    place: &Place<'_>,
) -> Vec<Replacement> {
    let replacements = editor.edit(text, range.clone(), place);
    allowed(editor, text, &range, place, replacements)
}

/// Those that can take effect, in order.
pub(super) fn allowed(
    editor: &mut dyn TextEditor,
    text: &str,
    range: &Range<usize>,
    place: &Place<'_>,
    replacements: Vec<Replacement>,
) -> Vec<Replacement> {
    if replacements.is_empty() {
        return replacements;
    }
    if !place.editable {
        editor.unread(Unread::ReadOnly, place);
        return Vec::new();
    }
    in_order(text, range, replacements)
}
