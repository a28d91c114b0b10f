use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::member_name::{MemberMeaning, READ};
use super::*;
use crate::price::TierChoice;
use crate::snapshot::ProviderKind;

const CHAT: ModelOperation = ModelOperation::ChatCompletions;

fn read_as(operation: ModelOperation, body: &str) -> Result<RequestBody, Denial> {
    BodyFormat::Json.read(operation, body.as_bytes())
}

fn find(body: &[u8]) -> Result<RequestBody, Denial> {
    BodyFormat::Json.read(CHAT, body)
}

fn code(body: &str) -> Code {
    find(body.as_bytes()).unwrap_err().code
}

fn message(operation: ModelOperation, body: &str) -> String {
    read_as(operation, body).unwrap_err().message.into_owned()
}

fn edited(operation: ModelOperation, body: &str, changes: &[BodyEdit<'_>]) -> String {
    let edited = read_as(operation, body).unwrap().edit(body.as_bytes(), changes).unwrap();
    String::from_utf8(edited.into_owned()).unwrap()
}

#[test]
fn the_model_is_found_wherever_it_stands() {
    let body = r#"{"messages":[{"model":"inner"}], "model" : "gpt-4o" ,"n":1}"#;
    assert_eq!(find(body.as_bytes()).unwrap().model, "gpt-4o");
    assert_eq!(
        edited(CHAT, body, &[BodyEdit::Model("x\"y")]),
        r#"{"messages":[{"model":"inner"}], "model" : "x\"y" ,"n":1}"#
    );
}

#[test]
fn an_escaped_name_is_read_as_what_it_means() {
    assert_eq!(find(br#"{"mod\u0065l":"gpt\u002d4o"}"#).unwrap().model, "gpt-4o");
    assert!(find(br#"{"model":"a","\u0073tream":true}"#).unwrap().bounds.stream);
}

#[test]
fn a_second_model_is_refused_however_it_is_spelled() {
    for body in [
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":"a","mod\u0065l":"a"}"#,
        r#"{"model":"a","MODEL":"b"}"#,
        r#"{"Model":"a"}"#,
        r#"{"model":"a","Model[0]":"b"}"#,
        r#"{"model":"a"," model":"b"}"#,
    ] {
        assert_eq!(code(body), Code::InvalidJson, "{body}");
    }
}

#[test]
fn every_member_that_is_read_may_stand_there_once() {
    for name in READ {
        let other = name.replace('s', "\u{17f}").to_uppercase();
        for twin in [name, &name.to_uppercase(), &format!("{name}[]"), &format!("{name} "), &other] {
            let body = format!(r#"{{"model":"a","{name}":null,"x":1,"{twin}":null}}"#);
            assert_eq!(message(CHAT, &body), format!("The body has more than one `{name}`."), "{body}");
        }
    }
    let options = r#"{"model":"a","stream_options":{"include_usage":true,"Include_Usage":false}}"#;
    assert_eq!(message(CHAT, options), "`stream_options` has more than one `include_usage`.");
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
    assert_eq!(find(inner).unwrap().model, "a");
}

#[test]
fn what_names_no_model_is_refused() {
    for body in ["{}", r#"{"model":""}"#, r#"{"model":null}"#, r#"{"model":["a"]}"#, r#"{"model":"\ud800"}"#]
    {
        assert_eq!(code(body), Code::ModelRequired, "{body}");
    }
    for body in ["", "[]", "\"model\"", "{", r#"{"model":"a"} x"#, "[\"a\"]", "\u{feff}{}", "model=gpt-4o"] {
        assert_eq!(code(body), Code::InvalidJson, "{body}");
    }
    assert_eq!(find(b"{\"model\":\"a\",\"x\":\"\xff\"}").unwrap_err().code, Code::InvalidJson);
}

#[test]
fn the_message_repeats_nothing_of_the_body() {
    assert_eq!(find(b"\"hush\"").unwrap_err().message, "The body is not a JSON object.");
    assert_eq!(find(b"{\"a\": hush}").unwrap_err().message, "The body is not valid JSON: line 1, column 7.");
}

#[test]
fn deep_nesting_is_no_danger() {
    let (open, shut) = ("[".repeat(100_000), "]".repeat(100_000));
    for name in ["x", "messages", "input", "tools", "prompt", "container"] {
        let deep = format!("{{\"{name}\":{open}{shut},\"model\":\"a\"}}");
        assert_eq!(find(deep.as_bytes()).unwrap().model, "a");
    }
    let nested = format!("{}1{}", r#"{"content":["#.repeat(10_000), "]}".repeat(10_000));
    let deep = format!(r#"{{"model":"a","messages":[{nested}]}}"#);
    assert_eq!(find(deep.as_bytes()).unwrap().bounds.unbounded, Some("content"));
}

#[test]
fn terms_are_read_for_each_operation() {
    let body = r#"{"model":"a","stream":true,"stream_options":{"include_usage":true},"max_tokens":5,
        "max_completion_tokens":9,"max_output_tokens":7,"n":2,"best_of":3,"prompt":["a","b"]}"#;
    for (operation, max_output, choices) in [
        (CHAT, Some(9), 3),
        (ModelOperation::Completions, Some(5), 6),
        (ModelOperation::Responses, Some(7), 1),
        (ModelOperation::Messages, Some(5), 1),
        (ModelOperation::Embeddings, None, 1),
    ] {
        let bounds = read_as(operation, body).unwrap().bounds;
        assert_eq!((bounds.max_output, bounds.choices), (max_output, choices), "{operation:?}");
        assert!(bounds.stream && bounds.wants_usage);
    }
    let nulls = r#"{"model":"a","stream":null,"stream_options":null,"max_tokens":null,"n":null}"#;
    let bounds = find(nulls.as_bytes()).unwrap().bounds;
    assert_eq!(
        (bounds.stream, bounds.wants_usage, bounds.max_output, bounds.choices),
        (false, false, None, 1)
    );
    for (prompt, choices) in [("[1,2]", 1), ("[[1],[2]]", 2), ("\"a\"", 1), ("[]", 1), ("null", 1)] {
        let body = format!(r#"{{"model":"a","prompt":{prompt},"n":0}}"#);
        assert_eq!(read_as(ModelOperation::Completions, &body).unwrap().bounds.choices, choices, "{prompt}");
    }
}

#[test]
fn what_chooses_a_tier_is_read() {
    let choice = |body: &str| find(body.as_bytes()).unwrap().bounds.tier;
    let said = |text: &str| Some(text.to_owned());
    let silent = TierChoice::default();
    assert_eq!(choice(r#"{"model":"a","metadata":{"speed":"fast"}}"#), silent);
    assert_eq!(choice(r#"{"model":"a","service_tier":null,"speed":null}"#), silent);
    assert_eq!(
        choice(r#"{"service_ti\u0065r":"prior\u0069ty","speed":"fast","inference_geo":"us","model":"a"}"#),
        TierChoice {
            service_tier: said("priority"),
            speed: said("fast"),
            inference_geo: said("us"),
            long_cache: false
        }
    );
    assert_eq!(choice(r#"{"model":"a","speed":2}"#).speed, said("not a string"));
    assert_eq!(code(r#"{"model":"a","Speed":"fast"}"#), Code::InvalidJson);
}

#[test]
fn a_cache_that_is_kept_for_hours_is_found_wherever_it_is_asked_for() {
    let kept = |ttl: &str| {
        let body = format!(
            r#"{{"model":"a","messages":[{{"content":[{{"cache_control":{{"type":"ephemeral","ttl":{ttl}}}}}]}}]}}"#
        );
        find(body.as_bytes()).unwrap().bounds.tier.long_cache
    };
    for ttl in [r#""1h""#, r#""24h""#, r#""\u0031h""#, r#""1\u0068""#, r#""2\u0034\u0068""#] {
        assert!(kept(ttl), "{ttl}");
    }
    for ttl in [r#""5m""#, r#""30m""#, "3600", r#""with \"1h\" in it""#, r#""path""#, r#""in 1h""#] {
        assert!(!kept(ttl), "{ttl}");
    }
}

#[test]
fn what_has_the_wrong_type_is_refused_by_name() {
    for (member, expected) in [
        (r#""stream":1"#, "`stream` is not true or false."),
        (r#""stream_options":[]"#, "`stream_options` is not an object."),
        (r#""stream_options":{"include_usage":1}"#, "`stream_options.include_usage` is not true or false."),
    ] {
        let body = format!(r#"{{"model":"a",{member}}}"#);
        assert_eq!(message(CHAT, &body), expected);
    }
}

#[test]
fn only_a_stream_whose_client_did_not_ask_must_be_asked_for_usage() {
    let must = |operation, members: &str| {
        let body = format!(r#"{{"model":"a"{members}}}"#);
        read_as(operation, &body).unwrap().bounds.must_ask_for_usage(operation)
    };
    assert!(must(CHAT, r#","stream":true"#));
    assert!(must(ModelOperation::Completions, r#","stream":true,"stream_options":{"include_usage":false}"#));
    assert!(!must(CHAT, ""));
    assert!(!must(CHAT, r#","stream":true,"stream_options":{"include_usage":true}"#));
    assert!(!must(ModelOperation::Responses, r#","stream":true"#));
}

#[test]
fn a_limit_is_written_where_the_client_has_one() {
    let limit = |body: &str| {
        edited(CHAT, body, &[BodyEdit::MaxOutput { member: "max_completion_tokens", tokens: 7 }])
    };
    assert_eq!(limit(r#"{"model":"a"}"#), r#"{"max_completion_tokens":7,"model":"a"}"#);
    assert_eq!(limit(r#" { "model":"a"}"#), r#" {"max_completion_tokens":7, "model":"a"}"#);
    assert_eq!(limit(r#"{"max_tokens": 9 ,"model":"a"}"#), r#"{"max_tokens": 7 ,"model":"a"}"#);
    assert_eq!(
        limit(r#"{"max_completion_tokens":90,"model":"a","max_tokens":5}"#),
        r#"{"max_completion_tokens":7,"model":"a","max_tokens":5}"#
    );
    assert_eq!(
        limit(r#"{"model":"a","max_tokens":null}"#),
        r#"{"max_completion_tokens":7,"model":"a","max_tokens":null}"#
    );
    assert_eq!(
        limit(r#"{"model":"a","max_completion_tokens":null}"#),
        r#"{"model":"a","max_completion_tokens":7}"#
    );
}

#[test]
fn usage_is_asked_for_and_nothing_else_changes() {
    let ask = |body: &str| edited(CHAT, body, &[BodyEdit::IncludeUsage]);
    assert_eq!(ask(r#"{"model":"a"}"#), r#"{"stream_options":{"include_usage":true},"model":"a"}"#);
    for (before, after) in [
        ("null", r#"{"include_usage":true}"#),
        ("{ }", r#"{"include_usage":true }"#),
        (r#"{"x":1}"#, r#"{"include_usage":true,"x":1}"#),
        (r#"{"x":1, "include_usage" : false}"#, r#"{"x":1, "include_usage" : true}"#),
        (r#"{"include_usage":null}"#, r#"{"include_usage":true}"#),
        (r#"{"include_usage":true}"#, r#"{"include_usage":true}"#),
    ] {
        let body = |options: &str| format!(r#"{{"model":"a","stream_options":{options}}}"#);
        assert_eq!(ask(&body(before)), body(after));
    }
}

#[test]
fn each_provider_is_told_the_limit_by_the_name_that_it_knows() {
    use ProviderKind::{Anthropic, AzureOpenAi, OpenAi, OpenAiCompatible};
    for (operation, kind, expected) in [
        (CHAT, OpenAi, Some("max_completion_tokens")),
        (CHAT, AzureOpenAi, Some("max_completion_tokens")),
        (CHAT, OpenAiCompatible, Some("max_tokens")),
        (CHAT, Anthropic, Some("max_tokens")),
        (ModelOperation::Completions, OpenAi, Some("max_tokens")),
        (ModelOperation::Messages, Anthropic, Some("max_tokens")),
        (ModelOperation::Responses, OpenAi, Some("max_output_tokens")),
        (ModelOperation::Embeddings, OpenAi, None),
    ] {
        assert_eq!(max_output_member(operation, kind), expected);
    }
}

#[test]
fn an_edit_of_another_body_is_none() {
    let read = find(br#"{"x":12345678,"model":"gpt-4o"}"#).unwrap();
    assert_eq!(read.edit(b"{}", &[BodyEdit::Model("a")]), None);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = "model|content|type|image_url|source|input|output|.{0,6}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn options() -> impl Strategy<Value = Option<Value>> {
    let include =
        prop_oneof![Just(None), Just(Some(json!(null))), any::<bool>().prop_map(|b| Some(json!(b)))];
    let object =
        (include, prop::collection::vec(("[a-e]{1,3}", value()), 0..3)).prop_map(|(include, others)| {
            let mut object: Map<String, Value> = others.into_iter().collect();
            object.extend(include.map(|include| ("include_usage".to_owned(), include)));
            Value::Object(object)
        });
    prop_oneof![Just(None), Just(Some(Value::Null)), object.prop_map(Some)]
}

fn limit() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![Just(None), Just(Some(Value::Null)), any::<u64>().prop_map(|n| Some(json!(n)))]
}

fn nested() -> impl Strategy<Value = Option<(&'static str, Value)>> {
    let name =
        prop::sample::select(vec!["messages", "input", "tools", "prompt", "context_management", "documents"]);
    prop::option::of((name, value()))
}

/// The edit as it is done on a value.
fn expected(mut value: Value, member: &str, tokens: u64) -> Value {
    let object = value.as_object_mut().unwrap();
    object["model"] = json!("other");
    let used: Vec<_> = ["max_tokens", "max_completion_tokens"]
        .into_iter()
        .filter(|name| object.get(*name).is_some_and(Value::is_u64))
        .collect();
    for name in if used.is_empty() { vec![member] } else { used } {
        let asked = object.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        object.insert(name.to_owned(), json!(asked.min(tokens)));
    }
    let options = object.entry("stream_options").or_insert(Value::Null);
    if options.is_null() {
        *options = json!({});
    }
    options["include_usage"] = json!(true);
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn agrees_with_a_full_parse(
        pairs in prop::collection::vec((".{0,6}", value()), 0..6),
        model in value(), upstream in ".{1,12}", pretty: bool
    ) {
        let unread = |name: &str| matches!(MemberMeaning::named(name), MemberMeaning::Other(_) | MemberMeaning::Harmless);
        let mut object: Map<String, Value> = pairs.into_iter().filter(|(name, _)| unread(name)).collect();
        object.insert("model".into(), model.clone());
        let value = Value::Object(object);
        let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        match (find(&body), model.as_str().filter(|name| !name.is_empty())) {
            (Ok(read), Some(name)) => {
                prop_assert_eq!(&read.model, name);
                let rewritten: Value = serde_json::from_slice(&read.edit(&body, &[BodyEdit::Model(&upstream)]).unwrap()).unwrap();
                let mut expected = value;
                expected["model"] = json!(upstream);
                prop_assert_eq!(rewritten, expected);
            }
            (Err(denial), None) => prop_assert_eq!(denial.code, Code::ModelRequired),
            (found, expected) => prop_assert!(false, "{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn edits_are_those_of_a_value(
        pairs in prop::collection::vec((".{0,6}", value()), 0..4), nested in nested(), options in options(),
        small in limit(), large in limit(), tokens: u64, pretty: bool, openai: bool
    ) {
        let unread = |name: &str| matches!(MemberMeaning::named(name), MemberMeaning::Other(_) | MemberMeaning::Harmless);
        let mut object: Map<String, Value> = pairs.into_iter().filter(|(name, _)| unread(name)).collect();
        object.insert("model".into(), json!("gpt-4o"));
        object.extend(nested.map(|(name, value)| (name.to_owned(), value)));
        for (name, value) in [("stream_options", options), ("max_tokens", small), ("max_completion_tokens", large)] {
            object.extend(value.map(|value| (name.to_owned(), value)));
        }
        let value = Value::Object(object);
        let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let read = find(&body).unwrap();
        let most = ["max_tokens", "max_completion_tokens"].iter().filter_map(|name| value[*name].as_u64()).max();
        prop_assert_eq!(read.bounds.max_output, most);
        let cost = read.bounds.obstacles.cost.as_ref();
        prop_assert!(cost.is_none_or(|denial| !denial.message.contains("an unreadable member")));
        let member = if openai { "max_completion_tokens" } else { "max_tokens" };
        let changes = [BodyEdit::Model("other"), BodyEdit::MaxOutput { member, tokens }, BodyEdit::IncludeUsage];
        let edited = read.edit(&body, &changes).unwrap();
        let again = find(&edited).unwrap();
        let limited = tokens.min(most.unwrap_or(u64::MAX));
        prop_assert_eq!((again.bounds.max_output, again.bounds.wants_usage), (Some(limited), true));
        prop_assert_eq!(serde_json::from_slice::<Value>(&edited).unwrap(), expected(value, member, tokens));
    }

    #[test]
    fn no_bytes_panic_and_what_is_accepted_is_json(body in prop_oneof![any::<Vec<u8>>(), "[{}\\[\\]\",:model\\\\ua-z0-9 ]{0,40}".prop_map(String::into_bytes)]) {
        if let Ok(read) = find(&body) {
            let value: Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(value["model"].as_str(), Some(read.model.as_str()));
        }
    }
}

mod limited;
