use super::*;
use crate::request::body::BodyFormat;

/// Replaces planted words, and keeps where it has looked.
#[derive(Default)]
struct Planted {
    seen: Vec<(String, String)>,
    unread: Vec<(Unread, String)>,
}

const PLANTED: [(&str, &str); 2] = [("SECRET", "[X]"), ("[EMAIL_1]", "a\"b\n@x")];

impl TextEditor for Planted {
    fn edit(&mut self, text: &str, range: std::ops::Range<usize>, place: &Place<'_>) -> Vec<Replacement> {
        self.seen.push((place.path().to_string(), text.to_owned()));
        let mut found = Vec::new();
        for (word, replacement) in PLANTED {
            let matches = text.match_indices(word).filter(|(at, _)| range.contains(at));
            found.extend(
                matches.map(|(at, word)| Replacement {
                    span: at..at + word.len(),
                    text: replacement.to_owned(),
                }),
            );
        }
        found
    }

    fn unread(&mut self, what: Unread, place: &Place<'_>) {
        self.unread.push((what, place.path().to_string()));
    }
}

#[test]
fn a_chat_is_edited() {
    let body = r#"{"model":"SECRET","messages":[{"role":"system","content":"a SECRET"},{"content":[{"type":"text","text":"caf\u00e9 \"SECRET\" [EMAIL_1]"}],"role":"user"},
        {"role":"assistant","tool_calls":[{"id":"SECRET","function":{"name":"f","arguments":"{\"a\\n\":\"\\u00e9 SECRET [EMAIL_1]\", \"n\": 1.50}"}}]}]}"#;
    let mut editor = Planted::default();
    let edited =
        edit_request(ModelOperation::ChatCompletions, &BodyFormat::Json, body.as_bytes(), &mut editor);
    let edited = String::from_utf8(edited.unwrap().unwrap()).unwrap();
    let expected = r#"{"model":"SECRET","messages":[{"role":"system","content":"a [X]"},{"content":[{"type":"text","text":"caf\u00e9 \"[X]\" a\"b\n@x"}],"role":"user"},
        {"role":"assistant","tool_calls":[{"id":"SECRET","function":{"name":"f","arguments":"{\"a\\n\":\"\\u00e9 [X] a\\\"b\\n@x\", \"n\": 1.50}"}}]}]}"#;
    assert_eq!(edited, expected.replace(r#"a"b"#, r#"a\"b"#).replace(r#"a\\"b\n"#, r#"a\\\"b\\n"#));
}
