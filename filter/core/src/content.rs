//! Finds every text in a body that a model reads or has written, lets an editor look at it, and splices the
//! editor's replacements in. Nothing is serialized again: every byte outside a replacement stays as it came.
//!
//! Texts are found by what is *not* one: the walk knows the members of the APIs that hold no text (ids, types,
//! settings) or that nobody can read (media, encrypted reasoning), and takes every other string for text. So a
//! member or block that the gateway does not know is looked at.

mod editor;
mod form;
mod free_json;
mod json_string;
mod leaf;
mod names;
mod object;
mod place;
mod stream;
mod stream_error;
mod turns;
mod walk;

use thiserror::Error;

use crate::request::body::{BodyFormat, splice};
use crate::request::endpoint::ModelOperation;

pub use editor::{Replacement, TextEditor, Unread};
pub use place::{Place, Role};
pub use stream::StreamEditor;
pub use stream_error::stream_error;

use walk::{Subject, Walk};

/// Why a body was not edited. The editor may have seen some of its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnreadableBody {
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body is not valid JSON")]
    MalformedJson,
    #[error("the body is not a valid form")]
    MalformedForm,
}

/// Edits the texts of a request; none where nothing changes.
///
/// # Errors
/// When the body is malformed.
pub fn edit_request(
    operation: ModelOperation,
    format: &BodyFormat,
    body: &[u8],
    editor: &mut dyn TextEditor,
) -> Result<Option<Vec<u8>>, UnreadableBody> {
    match format {
        BodyFormat::Json => edit_json(Subject::Request(operation), body, editor),
        BodyFormat::Multipart { boundary } => form::edit(body, boundary, editor),
    }
}

/// Edits the texts of a whole answer in JSON; none where nothing changes. Log probabilities, which spell the
/// text once more, are taken out where a text changes or the editor asks for it.
///
/// # Errors
/// When the body is malformed.
pub fn edit_answer(
    operation: ModelOperation,
    body: &[u8],
    editor: &mut dyn TextEditor,
) -> Result<Option<Vec<u8>>, UnreadableBody> {
    edit_json(Subject::Answer(operation), body, editor)
}

/// The place of a text that is all there is.
pub(crate) fn whole_place(role: Role) -> Place<'static> {
    Place { message: None, role, is_new: true, is_name: false, editable: true, path: &[] }
}

/// Edits an answer that is one text; none where nothing changes.
#[must_use]
pub fn edit_text(text: &str, editor: &mut dyn TextEditor) -> Option<Vec<u8>> {
    let place = whole_place(Role::Assistant);
    let splices = leaf::ask(editor, text, 0..text.len(), &place).into_iter();
    let splices: Vec<_> = splices.map(|Replacement { span, text }| (span, text.into_bytes())).collect();
    if splices.is_empty() { None } else { splice(text.as_bytes(), splices) }
}

/// Edits the texts of a JSON-RPC message, whoever sent it; none where nothing changes.
///
/// # Errors
/// When the message is malformed.
pub fn edit_mcp(message: &[u8], editor: &mut dyn TextEditor) -> Result<Option<Vec<u8>>, UnreadableBody> {
    edit_json(Subject::Mcp, message, editor)
}

fn edit_json(
    subject: Subject,
    body: &[u8],
    editor: &mut dyn TextEditor,
) -> Result<Option<Vec<u8>>, UnreadableBody> {
    let text = str::from_utf8(body).map_err(|_| UnreadableBody::NotUtf8)?;
    let found = Walk::new(subject, text, editor).run().ok_or(UnreadableBody::MalformedJson)?;
    let mut replacements = found.replacements;
    if !replacements.is_empty() || editor.removes_logprobs() {
        replacements.extend(found.logprobs);
    }
    if replacements.is_empty() {
        return Ok(None);
    }
    replaced(text, replacements).map(Some).ok_or(UnreadableBody::MalformedJson)
}

/// The text with these replacements.
fn replaced(text: &str, replacements: Vec<Replacement>) -> Option<Vec<u8>> {
    let splices = replacements.into_iter().map(|Replacement { span, text }| (span, text.into_bytes()));
    splice(text.as_bytes(), splices.collect())
}
