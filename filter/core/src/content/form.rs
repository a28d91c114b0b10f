//! Edits the texts of a multipart form. Files are not read.

use super::UnreadableBody;
use super::editor::{TextEditor, Unread};
use super::leaf::whole_text;
use super::names::{self, Meaning};
use super::place::{Place, Role, Segment};
use crate::request::body::{parts, splice};

pub(super) fn edit(
    body: &[u8],
    boundary: &str,
    editor: &mut dyn TextEditor,
) -> Result<Option<Vec<u8>>, UnreadableBody> {
    let mut splices = Vec::new();
    for part in parts(body, boundary).ok_or(UnreadableBody::MalformedForm)? {
        let (segment, meaning) = match names::member(&part.name) {
            Some((name, meaning)) => (Segment::Member(name), meaning),
            None => (Segment::other(&part.name), Meaning::Text),
        };
        let path = [segment];
        let place = Place {
            message: None,
            role: Role::User,
            is_new: true,
            is_name: false,
            editable: true,
            path: &path,
        };
        let content = body.get(part.content.clone()).unwrap_or_default();
        let Some(text) = str::from_utf8(content).ok().filter(|_| part.plain) else {
            editor.unread(Unread::Media, &place);
            continue;
        };
        if meaning == Meaning::Setting && !text.contains(' ') || !editor.looks_at(&place) {
            continue;
        }
        for found in whole_text(editor, text, &place) {
            let found = found.moved(part.content.start);
            splices.push((found.span, found.text.into_bytes()));
        }
    }
    if splices.is_empty() {
        return Ok(None);
    }
    let edited = splice(body, splices).ok_or(UnreadableBody::MalformedForm)?;
    // A replacement may hold the boundary.
    let before = parts(body, boundary).map(|parts| parts.len());
    let is_whole = parts(&edited, boundary).map(|parts| parts.len()) == before;
    if is_whole { Ok(Some(edited)) } else { Err(UnreadableBody::MalformedForm) }
}
