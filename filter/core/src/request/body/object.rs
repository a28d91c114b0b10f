//! Reads a few members of a JSON object, each of which every parser finds once or not at all.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::member_name::among_members;

/// The members of these names.
#[derive(Debug)]
pub(crate) struct JsonObject<'a, const N: usize> {
    names: [&'static str; N],
    values: [Option<&'a RawValue>; N],
}

/// Why an object cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UnreadObject {
    /// Not valid JSON, at this line and column.
    Malformed(usize, usize),
    /// Something else.
    NotAnObject,
    /// Some parser may find this member twice.
    Ambiguous(&'static str),
}

impl<'a, const N: usize> JsonObject<'a, N> {
    /// Reads the members of these names, and no others.
    pub(crate) fn read(text: &'a str, names: [&'static str; N]) -> Result<Self, UnreadObject> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = MembersSeed(names).deserialize(&mut deserializer);
        let read = read.and_then(|read| deserializer.end().map(|()| read));
        let (values, ambiguous) = read.map_err(|error| match error.classify() {
            serde_json::error::Category::Data => UnreadObject::NotAnObject,
            _ => UnreadObject::Malformed(error.line(), error.column()),
        })?;
        match ambiguous {
            Some(name) => Err(UnreadObject::Ambiguous(name)),
            None => Ok(Self { names, values }),
        }
    }

    /// As written.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.names.iter().zip(self.values).find(|(known, _)| **known == name)?;
        value
    }

    /// None where it is missing or no string.
    pub(crate) fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }
}

struct MembersSeed<const N: usize>([&'static str; N]);

type ReadMembers<'de, const N: usize> = ([Option<&'de RawValue>; N], Option<&'static str>);

impl<'de, const N: usize> DeserializeSeed<'de> for MembersSeed<N> {
    type Value = ReadMembers<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for MembersSeed<N> {
    type Value = ReadMembers<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut values, mut ambiguous) = ([None; N], None);
        while let Some(found) = map.next_key_seed(MemberNameSeed(&self.0))? {
            let Some((name, is_exact)) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &'de RawValue = map.next_value()?;
            let slot = self.0.iter().zip(&mut values).find(|(known, _)| **known == name);
            let is_second = slot.is_some_and(|(_, slot)| slot.replace(value).is_some());
            if is_second || !is_exact {
                ambiguous.get_or_insert(name);
            }
        }
        Ok((values, ambiguous))
    }
}

/// The name that a member's name may be taken for, and whether it is spelled exactly so.
struct MemberNameSeed<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for MemberNameSeed<'_> {
    type Value = Option<(&'static str, bool)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for MemberNameSeed<'_> {
    type Value = Option<(&'static str, bool)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(among_members(text, self.0).map(|name| (name, name == text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<[Option<&str>; 2], UnreadObject> {
        let object = JsonObject::read(text, ["name", "id"])?;
        Ok([object.get("name"), object.get("id")].map(|value| value.map(RawValue::get)))
    }

    #[test]
    fn members_are_found_however_they_are_escaped() {
        assert_eq!(
            read(r#" { "na\u006de" : "a" , "x": [1,{"name":2}], "id":7 } "#),
            Ok([Some("\"a\""), Some("7")])
        );
        assert_eq!(read("{}"), Ok([None, None]));
    }

    #[test]
    fn what_some_parser_finds_twice_is_ambiguous() {
        for text in [
            r#"{"name":1,"name":1}"#,
            r#"{"name":1,"na\u006de":1}"#,
            r#"{"Name":1}"#,
            r#"{" name":1}"#,
            r#"{"name[0]":1}"#,
            r#"{"name\uff3b0]":1}"#,
            r#"{"name":1,"\uff4eame":2}"#,
            r#"{"name":1,"na\u200bme":2}"#,
            r#"{"name":1,"name\u0000":2}"#,
            r#"{"name":1,"x":2,"NAME":3}"#,
        ] {
            assert_eq!(read(text), Err(UnreadObject::Ambiguous("name")), "{text}");
        }
        assert_eq!(read(r#"{"names":1,"nam":2,"n_ame":3}"#), Ok([None, None]));
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        for text in ["[]", "1", "null", "\"{}\"", "[{}]"] {
            assert_eq!(read(text), Err(UnreadObject::NotAnObject), "{text}");
        }
        for text in ["", "{", "{}x", "{}{}", r#"{"a"}"#, r#"{"\ud800":1}"#, "{,}"] {
            assert!(matches!(read(text), Err(UnreadObject::Malformed(..))), "{text}");
        }
    }
}
