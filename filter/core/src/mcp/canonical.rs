//! Canonical JSON, as RFC 8785 has it: members in the order of their names' UTF-16, no white space, one spelling
//! of each string. Numbers are exact here, and not rounded to doubles: two that differ never look the same.

use super::document::JsonNode;

/// The canonical form of a JSON document; none where it is malformed, longer than 1 MiB, nested too deeply, or has a
/// member twice, so that two parsers could read it differently.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    JsonNode::read(text).ok()?.canonical()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::mcp::Decimal;

    #[test]
    fn the_examples_of_rfc_8785_hold() {
        let text = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        assert_eq!(
            canonical(text).unwrap(),
            r#"{"literals":[null,true,false],"numbers":[333333333.33333329,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#,
            "but for the first number, of which a double has one digit less"
        );
        let sorted = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let names: Vec<_> = [r#""\r""#, "\"1\"", "\"\u{80}\"", "\"ö\"", "\"€\"", "\"😀\"", "\"\u{fb33}\""]
            .iter()
            .map(|name| canonical(sorted).unwrap().find(name).unwrap())
            .collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn what_two_parsers_could_read_differently_has_no_form() {
        let deep = ["[".repeat(70), "]".repeat(70)].concat();
        for text in [
            "",
            "{",
            "[1,]",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#""\ud800""#,
            "1e99999999999999999999",
            &deep,
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert_eq!(canonical(r#" {"b":[ ],"a":{ }} "#).as_deref(), Some(r#"{"a":{},"b":[]}"#));
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            // serde_json reads others back with an error in the last bit.
            (-1_000_000_i32..1_000_000).prop_map(|n| Value::from(f64::from(n) / 1024.0)),
            "[a-c\"\\\\é\u{1}😀]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-c😀\u{fb33}]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// The same document with members in another order, and other white space.
    fn otherwise(value: &Value, seed: u64) -> String {
        let space = [" ", "\n", "\t ", ""][usize::try_from(seed % 4).unwrap()];
        match value {
            Value::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(|element| otherwise(element, seed / 2)).collect();
                format!("[{space}{}{space}]", elements.join(&format!("{space},{space}")))
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| {
                        format!("{}{space}:{space}{}", json!(name), otherwise(value, seed / 3))
                    })
                    .collect();
                if seed % 2 == 1 {
                    members.reverse();
                }
                let by = usize::try_from(seed).unwrap() % members.len().max(1);
                members.rotate_left(by);
                format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
            }
            leaf => leaf.to_string(),
        }
    }

    /// Whether two documents are equal, and their numbers by value.
    fn is_same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                Decimal::parse(&a.to_string()) == Decimal::parse(&b.to_string())
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
            }
            (a, b) => a == b,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn the_order_of_members_and_white_space_change_nothing(value in document(), seed in 0_u64..10_000) {
            let form = canonical(&value.to_string()).unwrap();
            prop_assert_eq!(canonical(&otherwise(&value, seed)), Some(form.clone()));
            prop_assert_eq!(canonical(&form), Some(form), "it is its own form");
        }

        #[test]
        fn a_form_says_all_that_the_document_says(value in document()) {
            let form = canonical(&value.to_string()).unwrap();
            prop_assert!(is_same(&serde_json::from_str(&form).unwrap(), &value), "{form}");
        }

        #[test]
        fn any_change_of_content_changes_the_form(
            value in document(),
            name in "[a-c]{1,3}",
            text in "[a-z ]{1,5}",
            seed in 0_u64..10_000,
        ) {
            let tool = json!({"name": "x", "description": text, "inputSchema": value, "n": 1});
            let form = canonical(&tool.to_string()).unwrap();
            for changed in [
                json!({"name": "y", "description": text, "inputSchema": value, "n": 1}),
                json!({"name": "x", "description": format!("{text}."), "inputSchema": value, "n": 1}),
                json!({"name": "x", "description": text, "inputSchema": [value], "n": 1}),
                json!({"name": "x", "description": text, "inputSchema": value, "n": 2}),
                json!({"name": "x", "description": text, "inputSchema": value, "n": "1"}),
                json!({"name": "x", "description": text, "inputSchema": value}),
                json!({"name": "x", "description": text, "inputSchema": value, "n": 1, format!("_{name}"): null}),
            ] {
                prop_assert_ne!(canonical(&otherwise(&changed, seed)), Some(form.clone()));
            }
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,\"\\\\a0-9. ]{0,40}|\\PC{0,20}") {
            let _ = canonical(&text);
        }
    }
}
