//! `stream_options` of a body.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{invalid, span};
use super::member_name::among;
use crate::answer::denial::{Code, Denial};

/// `stream_options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Options {
    Absent,
    Null(Range<usize>),
    /// `inside` is nothing, right after the brace.
    Object {
        inside: Range<usize>,
        empty: bool,
        include: Include,
    },
}

/// `include_usage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Include {
    Absent,
    Asked,
    /// False or null.
    Declined(Range<usize>),
}

impl Options {
    /// Reads the member's value, which is a part of `body`.
    pub(super) fn read(value: Option<&str>, body: &str) -> Result<Self, Denial> {
        let Some(raw) = value else {
            return Ok(Self::Absent);
        };
        let at = span(body, raw).ok_or(Code::InternalError)?;
        if raw == "null" {
            return Ok(Self::Null(at));
        }
        let read: StreamOptions<'_> =
            serde_json::from_str(raw).map_err(|_| invalid("`stream_options` is not an object."))?;
        if read.ambiguous {
            return Err(invalid("`stream_options` has more than one `include_usage`."));
        }
        let include = match read.include.map(RawValue::get) {
            None => Include::Absent,
            Some("true") => Include::Asked,
            Some(raw @ ("false" | "null")) => Include::Declined(span(body, raw).ok_or(Code::InternalError)?),
            Some(_) => return Err(invalid("`stream_options.include_usage` is not true or false.")),
        };
        let start = at.start.checked_add(1).ok_or(Code::InternalError)?;
        Ok(Self::Object { inside: start..start, empty: read.empty, include })
    }
}

struct StreamOptions<'a> {
    include: Option<&'a RawValue>,
    ambiguous: bool,
    empty: bool,
}

impl<'de> Deserialize<'de> for StreamOptions<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StreamOptionsVisitor)
    }
}

struct StreamOptionsVisitor;

impl<'de> Visitor<'de> for StreamOptionsVisitor {
    type Value = StreamOptions<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StreamOptions<'de>, A::Error> {
        let mut options = StreamOptions { include: None, ambiguous: false, empty: true };
        while let Some(IncludeUsage(named)) = map.next_key()? {
            options.empty = false;
            let value = map.next_value::<&RawValue>()?;
            match named {
                Some(true) => options.ambiguous |= options.include.replace(value).is_some(),
                Some(false) => options.ambiguous = true,
                None => {}
            }
        }
        Ok(options)
    }
}

/// Whether a name is `include_usage`: none when it is not, false when only a lenient parser says so.
struct IncludeUsage(Option<bool>);

impl<'de> Deserialize<'de> for IncludeUsage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(IncludeUsageVisitor)
    }
}

struct IncludeUsageVisitor;

impl Visitor<'_> for IncludeUsageVisitor {
    type Value = IncludeUsage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<IncludeUsage, E> {
        const NAME: &str = "include_usage";
        Ok(IncludeUsage(among(name, &[NAME]).map(|_| name == NAME)))
    }
}
