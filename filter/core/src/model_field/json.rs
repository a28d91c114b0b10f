use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Field, ModelField, model_required};
use crate::denial::{Code, Denial};

pub(super) fn find(body: &[u8]) -> Result<ModelField, Denial> {
    let parsed: Body<'_> = serde_json::from_slice(body).map_err(|error| malformed(body, &error))?;
    if parsed.ambiguous {
        return Err(Denial::new(Code::InvalidJson, "The body has more than one `model`."));
    }
    if parsed.lists_models {
        return Err(Code::ModelListNotSupported.into());
    }
    let raw = parsed.model.ok_or_else(|| model_required("The body has no `model`."))?;
    let name: String =
        serde_json::from_str(raw.get()).map_err(|_| model_required("`model` is not a string."))?;
    if name.is_empty() {
        return Err(model_required("`model` is empty."));
    }
    let start = raw.get().as_ptr().addr().checked_sub(body.as_ptr().addr()).ok_or(Code::InternalError)?;
    let end = start.checked_add(raw.get().len()).ok_or(Code::InternalError)?;
    Ok(ModelField { name, span: start..end })
}

/// The parser's own message may quote the body, which is not ours to repeat.
fn malformed(body: &[u8], error: &serde_json::Error) -> Denial {
    if body.is_empty() {
        return Denial::new(Code::InvalidJson, "The body is empty.");
    }
    let message = match error.classify() {
        serde_json::error::Category::Data => "The body is not a JSON object.".to_owned(),
        _ => format!("The body is not valid JSON: line {}, column {}.", error.line(), error.column()),
    };
    Denial::new(Code::InvalidJson, message)
}

/// All of a body that is looked at.
struct Body<'a> {
    model: Option<&'a RawValue>,
    ambiguous: bool,
    lists_models: bool,
}

impl<'de> Deserialize<'de> for Body<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(FieldVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        let mut body = Body { model: None, ambiguous: false, lists_models: false };
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Model => {
                    let value = map.next_value::<&RawValue>()?;
                    body.ambiguous |= body.model.replace(value).is_some();
                }
                Field::LikeModel | Field::List | Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                    body.ambiguous |= field == Field::LikeModel;
                    body.lists_models |= field == Field::List;
                }
            }
        }
        Ok(body)
    }
}

struct FieldVisitor;

impl Visitor<'_> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(Field::named(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::model_field::Format;

    fn code(body: &str) -> Code {
        find(body.as_bytes()).unwrap_err().code
    }

    #[test]
    fn the_model_is_found_wherever_it_stands() {
        let body = br#"{"messages":[{"model":"inner"}], "model" : "gpt-4o" ,"n":1}"#;
        let field = find(body).unwrap();
        assert_eq!(field.name, "gpt-4o");
        assert_eq!(
            Format::Json.replace(body, &field, "x\"y").unwrap(),
            br#"{"messages":[{"model":"inner"}], "model" : "x\"y" ,"n":1}"#
        );
    }

    #[test]
    fn an_escaped_name_is_read_as_what_it_means() {
        assert_eq!(find(br#"{"mod\u0065l":"gpt\u002d4o"}"#).unwrap().name, "gpt-4o");
    }

    #[test]
    fn a_second_model_is_refused_however_it_is_spelled() {
        for body in [
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","mod\u0065l":"b"}"#,
            r#"{"model":"a","MODEL":"b"}"#,
            r#"{"Model":"a"}"#,
            r#"{"model":"a","Model[0]":"b"}"#,
            r#"{"model":"a"," model":"b"}"#,
        ] {
            assert_eq!(code(body), Code::InvalidJson, "{body}");
        }
    }

    #[test]
    fn a_list_of_further_models_is_refused_however_it_is_spelled() {
        for name in [
            "models",
            "Models",
            "models[]",
            "model\u{17f}",
            "fallbacks",
            "FALLBACKS[0]",
            "fallbac\u{212a}s",
            "m\\u006fdels",
        ] {
            let body = format!(r#"{{"model":"gpt-4o","{name}":["claude"]}}"#);
            assert_eq!(code(&body), Code::ModelListNotSupported, "{body}");
        }
        assert_eq!(code(r#"{"models":["a"]}"#), Code::ModelListNotSupported);
        let inner = br#"{"model":"a","metadata":{"models":["b"]},"fallback":1,"modelsx":1}"#;
        assert_eq!(find(inner).unwrap().name, "a");
    }

    #[test]
    fn what_names_no_model_is_refused() {
        for body in
            ["{}", r#"{"model":""}"#, r#"{"model":null}"#, r#"{"model":["a"]}"#, r#"{"model":"\ud800"}"#]
        {
            assert_eq!(code(body), Code::ModelRequired, "{body}");
        }
        for body in
            ["", "[]", "\"model\"", "{", r#"{"model":"a"} x"#, "[\"a\"]", "\u{feff}{}", "model=gpt-4o"]
        {
            assert_eq!(code(body), Code::InvalidJson, "{body}");
        }
    }

    #[test]
    fn the_message_repeats_nothing_of_the_body() {
        assert_eq!(find(b"\"hush\"").unwrap_err().message, "The body is not a JSON object.");
        assert_eq!(
            find(b"{\"a\": hush}").unwrap_err().message,
            "The body is not valid JSON: line 1, column 7."
        );
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let deep = format!("{{\"x\":{}{},\"model\":\"a\"}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(find(deep.as_bytes()).unwrap().name, "a");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("model|.{0,6}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn agrees_with_a_full_parse(pairs in prop::collection::vec((".{0,6}", value()), 0..6), model in value(), upstream in ".{1,12}", pretty: bool) {
            let mut object: Map<String, Value> = pairs.into_iter().filter(|(name, _)| Field::named(name) == Field::Other).collect();
            object.insert("model".into(), model.clone());
            let value = Value::Object(object);
            let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            match (find(&body), model.as_str().filter(|name| !name.is_empty())) {
                (Ok(field), Some(name)) => {
                    prop_assert_eq!(&field.name, name);
                    let rewritten: Value = serde_json::from_slice(&Format::Json.replace(&body, &field, &upstream).unwrap()).unwrap();
                    let mut expected = value;
                    expected["model"] = json!(upstream);
                    prop_assert_eq!(rewritten, expected);
                }
                (Err(denial), None) => prop_assert_eq!(denial.code, Code::ModelRequired),
                (found, expected) => prop_assert!(false, "{found:?} instead of {expected:?}"),
            }
        }

        #[test]
        fn no_bytes_panic_and_what_is_accepted_is_json(body in prop_oneof![any::<Vec<u8>>(), "[{}\\[\\]\",:model\\\\ua-z0-9 ]{0,40}".prop_map(String::into_bytes)]) {
            if let Ok(field) = find(&body) {
                let value: Value = serde_json::from_slice(&body).unwrap();
                prop_assert_eq!(value["model"].as_str(), Some(field.name.as_str()));
            }
        }
    }
}
