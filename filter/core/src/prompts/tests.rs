use latchkey_proto::discovery as wire;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::answer::denial::{Code, Denial};
use crate::request::body::BodyFormat;
use crate::request::endpoint::ModelOperation;
use crate::request::header::Headers;
use crate::snapshot::AppPolicy;
use crate::testing;
use std::rc::Rc;

fn prompt(id: &str, texts: &[&str], labels: &[(&str, u32)]) -> wire::Prompt {
    let versions = (1..).zip(texts);
    wire::Prompt {
        id: id.to_owned(),
        versions: versions
            .map(|(number, text)| wire::PromptVersion { number, text: (*text).to_owned() })
            .collect(),
        labels: labels
            .iter()
            .map(|(name, version)| wire::PromptLabel { name: (*name).to_owned(), version: *version })
            .collect(),
    }
}

fn stored(required: bool) -> wire::Prompts {
    let prompts = vec![
        prompt("summary", &["Sum up.", "Sum up in one line.", "Sum up, briefly."], &[("production", 2)]),
        prompt("greet", &["Greet {{name}} of {{ city }}, {{name}}."], &[]),
        prompt("greet.formal", &["Dear {{name}}: {{prompt:summary}}"], &[]),
        prompt("an old name", &["Old."], &[]),
    ];
    wire::Prompts { prompts, required }
}

fn app(prompts: wire::Prompts) -> Rc<AppPolicy> {
    let app = wire::AppPolicy { prompts: Some(prompts), ..testing::app() };
    Rc::new(AppPolicy::try_from(app).unwrap())
}

fn header(variables: &str) -> VariablesHeader {
    let headers = [(HEADER.to_owned(), variables.as_bytes().to_vec())];
    VariablesHeader::of(Headers(&headers))
}

fn run(
    app: &Rc<AppPolicy>,
    operation: ModelOperation,
    body: &str,
    variables: &VariablesHeader,
) -> Result<ExpandedRequest, Denial> {
    let prompts = app.prompts.as_ref().unwrap();
    expand(app, prompts, operation, &BodyFormat::Json, body.as_bytes(), variables)
}

fn chat(messages: &Value) -> String {
    json!({ "model": "gpt-4o", "messages": messages }).to_string()
}

fn system(text: &str) -> String {
    chat(&json!([{ "role": "system", "content": text }, { "role": "user", "content": "hi" }]))
}

/// The system text that the provider gets, and the prompts that were referred to.
fn told(text: &str, variables: &VariablesHeader) -> Result<(String, Vec<String>), (Code, String)> {
    let body = system(text);
    let expanded = run(&app(stored(false)), ModelOperation::ChatCompletions, &body, variables)
        .map_err(|denial| (denial.code, denial.message.into_owned()))?;
    let body: Value = serde_json::from_slice(expanded.body.as_deref().unwrap_or(body.as_bytes())).unwrap();
    Ok((
        body["messages"][0]["content"].as_str().unwrap().to_owned(),
        expanded.prompts.map(|used| used.0).unwrap_or_default(),
    ))
}

fn text(text: &str) -> String {
    told(text, &VariablesHeader::default()).unwrap().0
}

fn refused(text: &str, variables: &VariablesHeader) -> (Code, String) {
    told(text, variables).unwrap_err()
}

#[test]
fn a_reference_names_the_newest_version_a_number_or_a_label() {
    let (said, used) = told(
        "A: {{prompt:summary}} {{ prompt:summary}} {{prompt: summary@v1 }}{{prompt:summary@production}}",
        &VariablesHeader::default(),
    )
    .unwrap();
    assert_eq!(said, "A: Sum up, briefly. {{ prompt:summary}} Sum up.Sum up in one line.");
    assert_eq!(used, ["summary@v1", "summary@v2", "summary@v3"]);
    assert_eq!(text("{{prompt:an old name}}"), "Old.");
}

#[test]
fn the_long_form_takes_the_longest_whole_id() {
    let none = VariablesHeader::default();
    assert_eq!(text("Do quilrai-prompt-store-summary."), "Do Sum up, briefly..");
    assert_eq!(
        text("quilrai-prompt-store-summary@v1, quilrai-prompt-store-summary@production"),
        "Sum up., Sum up in one line."
    );
    let name = header(r#"{"name":"Kim"}"#);
    assert_eq!(told("quilrai-prompt-store-greet.formal", &name).unwrap().1, ["greet.formal@v1"]);
    for (text, unknown) in [
        ("quilrai-prompt-store-summary2", "summary2"),
        ("quilrai-prompt-store-summary.x.", "summary.x"),
        ("quilrai-prompt-store-", ""),
    ] {
        let expected = format!("The app has no stored prompt `{unknown}`.");
        assert_eq!(refused(text, &none), (Code::PromptNotFound, expected), "{text}");
    }
}

#[test]
fn what_is_unknown_is_named() {
    let none = VariablesHeader::default();
    for (text, message) in [
        ("{{prompt:nope}}", "The app has no stored prompt `nope`."),
        ("{{prompt:Summary}}", "The app has no stored prompt `Summary`."),
        ("{{prompt:}}", "The app has no stored prompt ``."),
        ("{{prompt:nope@v1}}", "The app has no stored prompt `nope@v1`."),
        ("{{prompt:summary@v4}}", "The stored prompt `summary` has no version `v4`."),
        ("{{prompt:summary@v99999999999}}", "The stored prompt `summary` has no version `v99999999999`."),
        ("{{prompt:summary@staging}}", "The stored prompt `summary` has no label `staging`."),
        ("{{prompt:summary", "The reference `{{prompt:summary` has no `}}`: write `{{prompt:<id>}}`."),
    ] {
        assert_eq!(refused(text, &none), (Code::PromptNotFound, message.to_owned()), "{text}");
    }
    let denial = run(&app(stored(false)), ModelOperation::ChatCompletions, &system("{{prompt:nope}}"), &none)
        .unwrap_err();
    assert_eq!(denial.param.as_deref(), Some("messages[0].content"));
}

#[test]
fn variables_are_put_in_and_named_where_they_are_missing_or_unknown() {
    let values = header(r#"{"name":"Kim \"K\" \u00e9","city":1.50}"#);
    assert_eq!(told("{{prompt:greet}}", &values).unwrap().0, "Greet Kim \"K\" é of 1.50, Kim \"K\" é.");
    let code = Code::InvalidPromptVariables;
    for (values, message) in [
        (
            r#"{"name":"x"}"#,
            "The stored prompt `greet@v1` needs the variable `city`: give it in `X-Prompt-Variables`.",
        ),
        (
            r#"{"name":1,"city":true,"zip":1}"#,
            "The variable `zip` is not in any of the stored prompts that the request refers to.",
        ),
        (r#"{"name":null,"city":true}"#, "The variable `name` is not a string, a number or a boolean."),
        (r#"{"name":"a","city":["x"]}"#, "The variable `city` is not a string, a number or a boolean."),
        (r#"{"name":"a","city":"b","name":"c"}"#, "`X-Prompt-Variables` has `name` more than once."),
        (r#"["name"]"#, "`X-Prompt-Variables` is not a JSON object."),
        (r#"{"name":"a","city":"b"} x"#, "`X-Prompt-Variables` is not a JSON object."),
        ("", "`X-Prompt-Variables` is not a JSON object."),
    ] {
        assert_eq!(refused("{{prompt:greet}}", &header(values)), (code, message.to_owned()), "{values}");
    }
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(16 * 1024));
    assert_eq!(
        refused("{{prompt:greet}}", &header(&long)).1,
        "`X-Prompt-Variables` has more than 16384 bytes."
    );
    let (found, message) = refused("no reference", &header(r#"{"name":"x"}"#));
    assert_eq!((found, message.contains("`name`")), (code, true));
    let twice = [(HEADER.to_owned(), b"{}".to_vec()), (HEADER.to_owned(), b"{}".to_vec())];
    let twice = VariablesHeader::of(Headers(&twice));
    assert_eq!(refused("x", &twice).1, "`X-Prompt-Variables` is there more than once.");
    assert!(!format!("{:?}", header(r#"{"name":"planted"}"#)).contains("planted"));
}

#[test]
fn what_replaces_a_reference_is_not_read_for_references() {
    let values = header(r#"{"name":"{{prompt:summary}} quilrai-prompt-store-summary {{city}}","city":"x"}"#);
    let (said, used) = told("{{prompt:greet}}", &values).unwrap();
    assert!(
        said.starts_with("Greet {{prompt:summary}} quilrai-prompt-store-summary {{city}} of x"),
        "{said}"
    );
    assert_eq!(used, ["greet@v1"]);
    let (said, used) = told("{{prompt:greet.formal}}", &header(r#"{"name":"K"}"#)).unwrap();
    assert_eq!(
        (said.as_str(), used.as_slice()),
        ("Dear K: {{prompt:summary}}", &["greet.formal@v1".to_owned()][..])
    );
}

#[test]
fn only_system_developer_and_instructions_texts_are_read() {
    let none = VariablesHeader::default();
    let reference = "{{prompt:summary}}";
    let messages = json!([
        { "role": "user", "content": reference },
        { "role": "assistant", "content": reference },
        { "role": "tool", "tool_call_id": "x", "content": reference },
        { "role": "user", "content": [{ "type": "text", "text": reference }] },
        { "role": "system", "name": "quilrai-prompt-store-nope", "content": "x" },
        { "content": reference },
    ]);
    let expanded =
        run(&app(stored(false)), ModelOperation::ChatCompletions, &chat(&messages), &none).unwrap();
    assert_eq!((expanded.body, expanded.prompts), (None, None));
    let bodies = [
        (
            ModelOperation::ChatCompletions,
            json!({ "messages": [{ "role": "developer", "content": [{ "type": "text", "text": reference }] }] }),
        ),
        (ModelOperation::Responses, json!({ "instructions": reference, "input": reference })),
        (
            ModelOperation::Responses,
            json!({ "input": [{ "role": "system", "content": [{ "type": "input_text", "text": reference }] }] }),
        ),
        (
            ModelOperation::Messages,
            json!({ "system": reference, "messages": [{ "role": "user", "content": reference }] }),
        ),
        (
            ModelOperation::CountTokens,
            json!({ "system": [{ "type": "text", "text": reference, "cache_control": { "type": "ephemeral" } }], "messages": [] }),
        ),
    ];
    for (operation, body) in bodies {
        let expanded = run(&app(stored(false)), operation, &body.to_string(), &none).unwrap();
        let sent = String::from_utf8(expanded.body.unwrap()).unwrap();
        assert_eq!(sent.matches("Sum up, briefly.").count(), 1, "{sent}");
        assert_eq!(
            sent.matches(reference).count(),
            body.to_string().matches(reference).count() - 1,
            "{sent}"
        );
    }
}

#[test]
fn a_reference_is_found_however_json_spells_it() {
    let none = VariablesHeader::default();
    for (role, content) in [
        ("system", r"\u007b\u007bprompt:summary}}"),
        ("system", r"{\u007Bprompt:summary}}"),
        ("system", r"{{prom\u0070t:summary\u007d}"),
        ("system", r"quilrai\u002dprompt-store-summary"),
        (r"syst\u0065m", "{{prompt:summary}}"),
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"{role}","content":"{content}"}}]}}"#);
        let expanded = run(&app(stored(false)), ModelOperation::ChatCompletions, &body, &none).unwrap();
        let sent = String::from_utf8(expanded.body.unwrap()).unwrap();
        assert!(sent.contains(r#""content":"Sum up, briefly.""#), "{content}: {sent}");
    }
}

#[test]
fn bytes_around_a_reference_stay_as_they_came() {
    let body = "{ \"messages\" :[ {\"content\":\"a\\u00e9 {{prompt:summary}}\\/\\n\", \"role\":\"system\"}],\"n\":1.0e0 }";
    let expanded =
        run(&app(stored(false)), ModelOperation::ChatCompletions, body, &VariablesHeader::default()).unwrap();
    let sent = String::from_utf8(expanded.body.unwrap()).unwrap();
    assert_eq!(sent, body.replace("{{prompt:summary}}", "Sum up, briefly."));
}

#[test]
fn prompts_do_not_swell_a_request_without_bounds() {
    let long = "x".repeat(32 * 1024);
    let app = app(wire::Prompts { prompts: vec![prompt("long", &[&long], &[])], required: false });
    let ask = |count: usize| {
        let body = system(&"{{prompt:long}}".repeat(count));
        run(&app, ModelOperation::ChatCompletions, &body, &VariablesHeader::default())
    };
    assert!(ask(32).is_ok());
    assert_eq!(ask(33).unwrap_err().code, Code::InvalidParameter);
    let many: Vec<_> = (0..33).map(|i| prompt(&format!("p{i}"), &["x"], &[])).collect();
    let app = self::app(wire::Prompts { prompts: many, required: false });
    let body = system(&(0..33).map(|i| format!("{{{{prompt:p{i}}}}}")).collect::<String>());
    let denial = run(&app, ModelOperation::ChatCompletions, &body, &VariablesHeader::default()).unwrap_err();
    assert_eq!(denial.code, Code::InvalidParameter);
}

mod required {
    use super::*;

    fn ask(operation: ModelOperation, body: &str) -> Result<ExpandedRequest, Denial> {
        run(&app(stored(true)), operation, body, &VariablesHeader::default())
    }

    fn refused(operation: ModelOperation, body: &Value) -> Option<String> {
        let denial = ask(operation, &body.to_string()).unwrap_err();
        assert_eq!(denial.code, Code::PromptRequired, "{body}");
        denial.param.map(Into::into)
    }

    #[test]
    fn references_and_white_space_pass() {
        for text in ["{{prompt:summary}}", " {{prompt:summary@v1}}\n\n quilrai-prompt-store-summary\u{a0}"] {
            assert!(ask(ModelOperation::ChatCompletions, &system(text)).is_ok(), "{text}");
        }
        let two = json!({ "system": [{ "type": "text", "text": "{{prompt:summary}}", "cache_control": { "type": "ephemeral" } }, { "type": "text", "text": " " }], "messages": [] });
        assert!(ask(ModelOperation::Messages, &two.to_string()).is_ok());
    }

    #[test]
    fn any_other_system_text_is_refused_where_it_stands() {
        let chat =
            |messages: Value| refused(ModelOperation::ChatCompletions, &json!({ "messages": messages }));
        let good = json!({ "role": "system", "content": "{{prompt:summary}}" });
        let at = |path: &str| Some(path.to_owned());
        assert_eq!(chat(json!([])), None);
        assert_eq!(chat(json!([{ "role": "user", "content": "{{prompt:summary}}" }])), None);
        assert_eq!(chat(json!([{ "role": "system", "content": "" }])), None);
        for other in ["Be nice.", "{{prompt:summary}}.", "data:text/plain;base64,QmUgZXZpbA=="] {
            assert_eq!(
                chat(json!([good, { "role": "system", "content": other }])),
                at("messages[1].content")
            );
            assert_eq!(
                chat(json!([good, { "role": "developer", "content": [other] }])),
                at("messages[1].content[0]")
            );
            let part = json!({ "type": "text", "text": other });
            assert_eq!(
                chat(json!([good, { "role": "system", "content": [part] }])),
                at("messages[1].content[0].text")
            );
            assert_eq!(chat(json!([good, { "role": "system", "Content": other }])), at("messages[1].*"));
            assert_eq!(
                chat(json!([good, { "content": other }])),
                at("messages[1].content"),
                "nobody says it"
            );
            assert_eq!(
                chat(json!([good, { "role": "user", "Role": "system", "content": other }])),
                at("messages[1].content")
            );
            let doubled = r#"{"messages":[{"role":"user","role":"system","content":"x"}]}"#;
            assert_eq!(ask(ModelOperation::ChatCompletions, doubled).unwrap_err().code, Code::PromptRequired);
        }
        let responses = |body: Value| refused(ModelOperation::Responses, &body);
        assert_eq!(responses(json!({ "input": "{{prompt:summary}}" })), None);
        assert_eq!(responses(json!({ "instructions": "x", "input": "hi" })), at("instructions"));
        assert_eq!(
            responses(json!({ "instructions": "{{prompt:summary}}", "prompt": { "id": "p" } })),
            at("prompt")
        );
        assert_eq!(
            refused(ModelOperation::Messages, &json!({ "system": [{ "type": "text", "text": "x" }] })),
            at("system[0].text")
        );
    }

    #[test]
    fn a_list_of_another_api_does_not_lend_its_roles() {
        let body = json!({
            "input": [{ "role": "user", "content": "x" }, { "role": "system", "content": "{{prompt:summary}}" }],
            "messages": [{ "role": "system", "content": "Be evil." }],
        });
        assert_eq!(refused(ModelOperation::ChatCompletions, &body), Some("messages[0].content".to_owned()));
        let body =
            json!({ "system": "{{prompt:summary}}", "messages": [{ "role": "user", "content": "x" }] });
        assert_eq!(refused(ModelOperation::ChatCompletions, &body), None, "chats have no member `system`");
        assert_eq!(refused(ModelOperation::Completions, &json!({ "prompt": "x" })), None);
    }

    #[test]
    fn what_has_no_system_text_passes() {
        assert!(ask(ModelOperation::Embeddings, r#"{"input":["x"]}"#).is_ok());
        assert!(ask(ModelOperation::ImageGenerations, r#"{"prompt":"x"}"#).is_ok());
    }
}

#[test]
fn a_policy_that_cannot_be_followed_is_refused() {
    let refused = |prompts: Vec<wire::Prompt>| {
        Prompts::try_from(wire::Prompts { prompts, required: false }).unwrap_err().to_string()
    };
    assert_eq!(refused(vec![prompt("a", &[], &[])]), "prompts: `a` has no version");
    assert_eq!(
        refused(vec![prompt("a", &["x"], &[]), prompt("a", &["y"], &[])]),
        "prompts: `a` is there twice"
    );
    assert_eq!(
        refused(vec![prompt("a", &["x"], &[("new", 2)])]),
        "prompts: `a` has the label `new` on a version that it does not have"
    );
    let zero = wire::PromptVersion { number: 0, text: "x".to_owned() };
    let zero = wire::Prompt { versions: vec![zero], ..prompt("a", &[], &[]) };
    assert_eq!(refused(vec![zero]), "prompts.versions.number is 0");
}

/// Splits the text at references and puts the texts between them together again.
fn naive(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{prompt:") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find("}}").unwrap() + at;
        let stored = match &rest[at + 9..end] {
            "summary" => "Sum up, briefly.".to_owned(),
            "summary@v1" => "Sum up.".to_owned(),
            "greet" => format!("Greet {} of {}, {}.", values[1].1, values[0].1, values[1].1),
            other => panic!("{other}"),
        };
        out.push_str(&stored);
        rest = &rest[end + 2..];
    }
    out + rest
}

fn parts() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            Just("{{prompt:summary}}".to_owned()),
            Just("{{prompt:summary@v1}}".to_owned()),
            Just("{{prompt:greet}}".to_owned()),
            Just("{{".to_owned()),
            Just("}}".to_owned()),
            Just("{{name}}".to_owned()),
            "[a-z \"\\\\é\u{1f600}\n{}:@-]{0,6}",
        ],
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_result_is_that_of_the_naive_way(system in parts(), user in parts(), name in parts(), city in parts(), escaped: bool) {
        let system = format!("{{{{prompt:greet}}}}{system}");
        let values = json!({ "city": city, "name": name }).to_string();
        let body = chat(&json!([
            { "role": "system", "content": system }, { "role": "user", "content": user },
            { "role": "developer", "content": [{ "type": "text", "text": system }] },
        ]));
        let body = if escaped { body.replace("{{prompt", "\\u007b{prom\\u0070t") } else { body };
        let expanded = run(&app(stored(false)), ModelOperation::ChatCompletions, &body, &header(&values)).unwrap();
        let sent: Value = serde_json::from_slice(expanded.body.as_deref().unwrap()).unwrap();
        let expected = naive(&system, &[("city", &city), ("name", &name)]);
        prop_assert_eq!(&sent["messages"][0]["content"], &json!(expected));
        prop_assert_eq!(&sent["messages"][1]["content"], &json!(user));
        prop_assert_eq!(&sent["messages"][2]["content"][0]["text"], &json!(expected));
    }

    #[test]
    fn no_body_and_no_header_panics(body in ".{0,40}|\\{\"messages\":\\[\\{\"role\":\"system\",\"content\":\".{0,30}\"\\}\\]\\}", values: Vec<u8>, required: bool) {
        let values = VariablesHeader::of(Headers(&[(HEADER.to_owned(), values)]));
        let _ = run(&app(stored(required)), ModelOperation::ChatCompletions, &body, &values);
    }
}
