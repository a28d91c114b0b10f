//! The values of prompts' variables, as a request gives them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::answer::denial::{Code, Denial};
use crate::request::header::Headers;

/// The header with the values: a JSON object of strings, numbers and booleans.
pub const HEADER: &str = "x-prompt-variables";

/// Largest header, in bytes.
const LARGEST: usize = 16 * 1024;

/// The header as it came; read only where a text refers to a prompt. Its values are not shown.
#[derive(Clone, Default)]
pub struct VariablesHeader(Option<Result<String, &'static str>>);

/// Values by name, as they are put into texts.
pub(super) type Variables = BTreeMap<String, String>;

impl VariablesHeader {
    #[must_use]
    pub fn of(headers: Headers<'_>) -> Self {
        let mut values = headers.all(HEADER);
        let Some(value) = values.next() else { return Self(None) };
        if values.next().is_some() {
            return Self(Some(Err("is there more than once")));
        }
        if value.len() > LARGEST {
            return Self(Some(Err("has more than 16384 bytes")));
        }
        Self(Some(
            str::from_utf8(value).map(str::to_owned).map_err(|_| "is not UTF-8: escape what is not ASCII"),
        ))
    }

    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// # Errors
    /// When it is not an object of strings, numbers and booleans.
    pub(super) fn read(&self) -> Result<Variables, Denial> {
        let header = match &self.0 {
            None => return Ok(Variables::new()),
            Some(Ok(header)) => header,
            Some(Err(why)) => return Err(invalid(format!("`X-Prompt-Variables` {why}."))),
        };
        let read = serde_json::from_str::<ReadVariables>(header);
        let ReadVariables(read) = read.map_err(|_| invalid("`X-Prompt-Variables` is not a JSON object."))?;
        read.map_err(invalid)
    }
}

impl fmt::Debug for VariablesHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_absent() { "VariablesHeader(absent)" } else { "VariablesHeader(…)" })
    }
}

pub(super) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::new(Code::InvalidPromptVariables, message)
}

struct ReadVariables(Result<Variables, String>);

impl<'de> Deserialize<'de> for ReadVariables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(VariablesVisitor)
    }
}

struct VariablesVisitor;

impl<'de> Visitor<'de> for VariablesVisitor {
    type Value = ReadVariables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReadVariables, A::Error> {
        let (mut variables, mut wrong) = (Variables::new(), None);
        while let Some(name) = map.next_key::<String>()? {
            let value: &'de RawValue = map.next_value()?;
            let Some(value) = text(value.get()) else {
                wrong.get_or_insert_with(|| {
                    format!("The variable `{}` is not a string, a number or a boolean.", shown(&name))
                });
                continue;
            };
            if variables.contains_key(&name) {
                wrong.get_or_insert_with(|| {
                    format!("`X-Prompt-Variables` has `{}` more than once.", shown(&name))
                });
            }
            variables.insert(name, value);
        }
        Ok(ReadVariables(wrong.map_or(Ok(variables), Err)))
    }
}

/// A value as text: numbers as they are written. None where it is null, a list or an object.
fn text(value: &str) -> Option<String> {
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        b'n' | b'[' | b'{' => None,
        _ => Some(value.to_owned()),
    }
}

/// A name for a message.
pub(super) fn shown(name: &str) -> &str {
    name.get(..name.floor_char_boundary(100)).unwrap_or_default()
}
