//! Reads and edits a model request's body. A body that two parsers could read differently is refused: the
//! provider might serve another model, or write a longer answer, than was allowed.

mod cursor;
mod edit;
mod input_scan;
mod json;
mod member_cost;
mod member_name;
mod multipart;
mod number;
mod object;
mod stream_options;
mod thinking_budget;
mod usage_bounds;

use std::ops::Range;

use crate::answer::denial::{Code, Denial};
use crate::request::endpoint::ModelOperation;
use crate::request::header::Headers;

pub(crate) use cursor::{JsonCursor, closing_quote, next_escape};
pub(crate) use edit::splice;
pub(crate) use json::span;
pub(crate) use member_name::{folded_member, may_be_member};
pub(crate) use multipart::parts;
pub(crate) use object::{JsonObject, UnreadObject};

pub use edit::{BodyEdit, max_output_member};
pub use usage_bounds::{LimitObstacles, UsageBounds};

/// How the body is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    Json,
    Multipart { boundary: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestBody {
    /// The model that it names.
    pub model: String,
    pub bounds: UsageBounds,
    layout: BodyLayout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum BodyLayout {
    Json(Box<json::MemberSpans>),
    Form { model: Range<usize> },
}

/// The message for an encoded body.
pub(crate) const ENCODED: &str = "The body must be UTF-8, and not encoded: send no `content-encoding`, and one \
     `content-type` at most, without another charset.";

/// Whether a body is plain UTF-8: whoever decodes it by other headers would read something else than the
/// gate.
pub(crate) fn is_plain(headers: Headers<'_>) -> bool {
    let is_identity = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
    let mut types = headers.all("content-type");
    let is_utf8 = types.next().is_none_or(is_utf8) && types.next().is_none();
    is_utf8 && headers.all("content-encoding").all(is_identity)
}

/// Whether a content type names no charset but UTF-8.
fn is_utf8(content_type: &[u8]) -> bool {
    content_type.split(|byte| *byte == b';').skip(1).all(|parameter| {
        let parameter = parameter.trim_ascii().to_ascii_lowercase();
        let Some(rest) = parameter.strip_prefix(b"charset") else { return true };
        let value = rest.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii);
        matches!(value, Some(b"utf-8" | b"utf8" | b"\"utf-8\"" | b"\"utf8\""))
    })
}

impl BodyFormat {
    /// The format of an operation's body, by the headers.
    ///
    /// # Errors
    /// When it is a form without a readable boundary.
    pub fn of(operation: ModelOperation, headers: Headers<'_>) -> Result<Self, Denial> {
        if !is_plain(headers) {
            return Err(Denial::new(Code::InvalidJson, ENCODED));
        }
        if !operation.takes_multipart() {
            return Ok(Self::Json);
        }
        match headers.all("content-type").next() {
            Some(value) if multipart::is_form(value) => {
                let boundary = headers.text("content-type").and_then(multipart::boundary);
                let boundary = boundary.ok_or(Code::InvalidMultipart)?;
                Ok(Self::Multipart { boundary })
            }
            _ => Ok(Self::Json),
        }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// When it is malformed or ambiguous, or names no model.
    pub fn read(&self, operation: ModelOperation, body: &[u8]) -> Result<RequestBody, Denial> {
        match self {
            Self::Json => json::read(operation, body),
            Self::Multipart { boundary } => {
                let (model, span) = multipart::find(body, boundary)?;
                Ok(RequestBody {
                    model,
                    bounds: UsageBounds::of_form(body),
                    layout: BodyLayout::Form { model: span },
                })
            }
        }
    }
}

impl RequestBody {
    /// Whether it is a JSON object.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self.layout, BodyLayout::Json(_))
    }
}

fn model_required(message: &'static str) -> Denial {
    Denial::new(Code::ModelRequired, message)
}

#[cfg(test)]
mod tests;
