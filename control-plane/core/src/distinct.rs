//! JSON objects in which no name is duplicated: of two values one would be lost, and nobody knows which.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Any JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct DistinctValue(pub Value);

/// An object of values of one type, in their order.
struct Entries<V>(PhantomData<V>);

struct AnyValue;

/// An object, as a map of any type.
///
/// # Errors
/// It is none, a name is duplicated, or a value does not fit.
pub fn object<'de, V: Deserialize<'de>, M: FromIterator<(String, V)>, D: Deserializer<'de>>(
    json: D,
) -> Result<M, D::Error> {
    Ok(json.deserialize_map(Entries(PhantomData))?.into_iter().collect())
}

/// Any JSON, read so.
///
/// # Errors
/// A name is duplicated.
pub fn value<'de, D: Deserializer<'de>>(json: D) -> Result<Value, D::Error> {
    DistinctValue::deserialize(json).map(|DistinctValue(value)| value)
}

/// An object of any JSON.
///
/// # Errors
/// It is none, or a name is duplicated.
pub fn map<'de, D: Deserializer<'de>>(json: D) -> Result<serde_json::Map<String, Value>, D::Error> {
    let entries: Vec<(String, DistinctValue)> = object(json)?;
    Ok(entries.into_iter().map(|(name, DistinctValue(value))| (name, value)).collect())
}

impl<'de> Deserialize<'de> for DistinctValue {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyValue).map(Self)
    }
}

impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
    type Value = Vec<(String, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut entries, mut names) = (Vec::new(), HashSet::new());
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("`{name}` is duplicated")));
            }
            entries.push((name, map.next_value()?));
        }
        Ok(entries)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(DistinctValue(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let entries = Entries::<DistinctValue>(PhantomData).visit_map(map)?;
        Ok(Value::Object(entries.into_iter().map(|(name, DistinctValue(value))| (name, value)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_is_there_twice_is_refused_at_any_depth() {
        let read = |text: &str| serde_json::from_str::<DistinctValue>(text).map(|DistinctValue(value)| value);
        let all = r#"{"a": [1, -1, 1.5, "x", true, null, {"a": {}}], "b": {"a": 1}}"#;
        assert_eq!(read(all).unwrap(), json!({"a": [1, -1, 1.5, "x", true, null, {"a": {}}], "b": {"a": 1}}));
        for twice in
            [r#"{"a": 1, "a": 1}"#, r#"{"b": [{"a": 1, "c": 2, "a": 3}]}"#, r#"{"a": 1, "\u0061": 2}"#]
        {
            assert!(read(twice).unwrap_err().to_string().starts_with("`a` is duplicated"), "{twice}");
        }
    }
}
