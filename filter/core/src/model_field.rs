//! Where a request's body names its model. Two names, a name that some parsers read and others do
//! not, and a list to fall back on are refused: a provider might serve another model than the one
//! that was allowed.

mod json;
mod multipart;

use std::ops::Range;

use crate::denial::{Code, Denial};
use crate::endpoint::Operation;
use crate::header::Headers;

/// How the body is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    Json,
    /// A form with files.
    Multipart {
        /// What separates its parts.
        boundary: String,
    },
}

/// The model that a body names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelField {
    /// Its name.
    pub name: String,
    /// Where the name's encoding stands in the body.
    span: Range<usize>,
}

impl Format {
    /// The format of an operation's body.
    ///
    /// # Errors
    /// When it is a form whose boundary cannot be told.
    pub fn of(operation: Operation, headers: Headers<'_>) -> Result<Self, Denial> {
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

    /// Finds the model in a whole body.
    ///
    /// # Errors
    /// When the body is malformed or ambiguous, or names no model.
    pub fn find(&self, body: &[u8]) -> Result<ModelField, Denial> {
        match self {
            Self::Json => json::find(body),
            Self::Multipart { boundary } => multipart::find(body, boundary),
        }
    }

    /// The body with another model in the field's place, every other byte as it was.
    #[must_use]
    pub fn replace(&self, body: &[u8], field: &ModelField, model: &str) -> Option<Vec<u8>> {
        let encoded = match self {
            Self::Json => serde_json::to_vec(model).ok()?,
            Self::Multipart { .. } => model.as_bytes().to_vec(),
        };
        let (before, after) = (body.get(..field.span.start)?, body.get(field.span.end..)?);
        Some([before, &encoded, after].concat())
    }
}

fn model_required(message: &'static str) -> Denial {
    Denial::new(Code::ModelRequired, message)
}

/// Where providers that resell others' models look for further ones.
const LISTS: [&str; 2] = ["models", "fallbacks"];

/// What a field at the body's top means, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Model,
    /// A lenient parser takes it for `model`, though it is not spelled so.
    LikeModel,
    /// One of [`LISTS`], or what a lenient parser takes for it.
    List,
    Other,
}

impl Field {
    fn named(name: &str) -> Self {
        if name == "model" {
            return Self::Model;
        }
        let stem = name.split('[').next().unwrap_or(name).trim();
        match stem {
            _ if folds_to(stem, "model") => Self::LikeModel,
            _ if LISTS.iter().any(|list| folds_to(stem, list)) => Self::List,
            _ => Self::Other,
        }
    }
}

/// Whether the most lenient parsers take `text` for `name`: Go's fold two letters into ASCII.
fn folds_to(text: &str, name: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    };
    text.chars().map(fold).eq(name.chars())
}
