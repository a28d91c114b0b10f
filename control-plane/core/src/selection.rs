//! Which of the providers or models an app may use.

use std::borrow::Cow;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// `"all"`, `"none"`, or a list with at least one name. An empty list is refused, so that it is
/// never taken for "all".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Whatever there is, now and later.
    #[default]
    All,
    /// Nothing.
    None,
    /// These; never empty.
    Only(Vec<String>),
}

impl Selection {
    /// Nothing, as a default.
    #[must_use]
    pub fn none() -> Self {
        Self::None
    }

    /// Whether it holds `name`; in a list, `*` matches any characters.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(patterns) => patterns.iter().any(|pattern| matches(pattern, name)),
        }
    }
}

/// Whether the whole of `name` is as `pattern` says.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some((_, after)) = name.split_once(part) else { return false };
        name = after;
    }
    name.ends_with(tail)
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::None => serializer.serialize_str("none"),
            Self::Only(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Selection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SelectionVisitor)
    }
}

struct SelectionVisitor;

impl<'de> Visitor<'de> for SelectionVisitor {
    type Value = Selection;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"all\", \"none\" or a list of names")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Selection, E> {
        match word {
            "all" => Ok(Selection::All),
            "none" => Ok(Selection::None),
            _ => Err(E::custom(format_args!("`{word}` must be \"all\", \"none\", or a list of names"))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Selection, A::Error> {
        let mut names = Vec::<String>::new();
        while let Some(name) = seq.next_element::<String>()? {
            if name.is_empty()
                || name.len() > 200
                || name.chars().any(|c| c.is_whitespace() || c.is_control())
            {
                return Err(A::Error::custom("a name here is 1 to 200 characters without spaces"));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return Err(A::Error::custom("the list is empty: use \"all\" or \"none\""));
        }
        Ok(Selection::Only(names))
    }
}

impl PartialSchema for Selection {
    fn schema() -> RefOr<Schema> {
        let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["all", "none"]));
        let names =
            ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::String)).min_items(Some(1));
        OneOfBuilder::new().item(word).item(names).into()
    }
}

impl ToSchema for Selection {
    fn name() -> Cow<'static, str> {
        "Selection".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Selection, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn words_and_lists_read_back() {
        for json in [r#""all""#, r#""none""#, r#"["gpt-4o","claude-*"]"#] {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let holds = |pattern: &str, name: &str| Selection::Only(vec![pattern.to_owned()]).holds(name);
        assert!(Selection::All.holds("x") && !Selection::None.holds("x"));
        for (pattern, name) in
            [("gpt-*", "gpt-"), ("*-mini*", "gpt-4o-mini-2024"), ("a*b*c", "a1b2b3c"), ("*", "x")]
        {
            assert!(holds(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("gpt-*", "xgpt-4o"), ("gpt-4o", "gpt-4o-mini"), ("a*a", "a"), ("a*b*b", "ab")]
        {
            assert!(!holds(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn an_empty_list_is_never_all() {
        assert!(read("[]").unwrap_err().starts_with("the list is empty: use \"all\" or \"none\""));
        assert!(read(r#""ALL""#).is_err());
        assert!(read("null").is_err());
        assert!(read(r#"["a b"]"#).is_err());
    }
}
