//! `stream_options` of a body.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{invalid, span};
use super::member_name::among;
use crate::answer::denial::{Code, Denial};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamOptions {
    Absent,
    Null(Range<usize>),
    /// `inside` is empty, right after the brace.
    Object {
        inside: Range<usize>,
        empty: bool,
        include: IncludeUsage,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IncludeUsage {
    Absent,
    Asked,
    /// False or null.
    Declined(Range<usize>),
}

impl StreamOptions {
    /// Reads the member's value, which is a part of `body`.
    pub(super) fn read(value: Option<&str>, body: &str) -> Result<Self, Denial> {
        let Some(raw) = value else {
            return Ok(Self::Absent);
        };
        let at = span(body, raw).ok_or(Code::InternalError)?;
        if raw == "null" {
            return Ok(Self::Null(at));
        }
        let read: RawStreamOptions<'_> =
            serde_json::from_str(raw).map_err(|_| invalid("`stream_options` is not an object."))?;
        if read.ambiguous {
            return Err(invalid("`stream_options` has more than one `include_usage`."));
        }
        let include = match read.include.map(RawValue::get) {
            None => IncludeUsage::Absent,
            Some("true") => IncludeUsage::Asked,
            Some(raw @ ("false" | "null")) => {
                IncludeUsage::Declined(span(body, raw).ok_or(Code::InternalError)?)
            }
            Some(_) => return Err(invalid("`stream_options.include_usage` is not true or false.")),
        };
        let start = at.start.checked_add(1).ok_or(Code::InternalError)?;
        Ok(Self::Object { inside: start..start, empty: read.empty, include })
    }
}

struct RawStreamOptions<'a> {
    include: Option<&'a RawValue>,
    ambiguous: bool,
    empty: bool,
}

impl<'de> Deserialize<'de> for RawStreamOptions<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawStreamOptionsVisitor)
    }
}

struct RawStreamOptionsVisitor;

impl<'de> Visitor<'de> for RawStreamOptionsVisitor {
    type Value = RawStreamOptions<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawStreamOptions<'de>, A::Error> {
        let mut options = RawStreamOptions { include: None, ambiguous: false, empty: true };
        while let Some(IncludeUsageName(named)) = map.next_key()? {
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

/// Whether a name is `include_usage`: none when it is not, false when only a lenient parser takes it so.
struct IncludeUsageName(Option<bool>);

impl<'de> Deserialize<'de> for IncludeUsageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(IncludeUsageNameVisitor)
    }
}

struct IncludeUsageNameVisitor;

impl Visitor<'_> for IncludeUsageNameVisitor {
    type Value = IncludeUsageName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<IncludeUsageName, E> {
        const NAME: &str = "include_usage";
        Ok(IncludeUsageName(among(name, &[NAME]).map(|_| name == NAME)))
    }
}
