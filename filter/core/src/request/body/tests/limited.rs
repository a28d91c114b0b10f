//! What a body means where tokens, money or the output are limited. Where nothing is, all of it passes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CHAT, edited, read_as};
use crate::answer::denial::Code;
use crate::request::body::{BodyEdit, UsageBounds};
use crate::request::endpoint::ModelOperation::{self, Completions, Embeddings, Messages, Responses};

fn bounds(operation: ModelOperation, members: &str) -> UsageBounds {
    read_as(operation, &format!(r#"{{"model":"a",{members}}}"#)).unwrap().bounds
}

/// The code, the member and the message of the refusal under a limit of output.
fn output(operation: ModelOperation, members: &str) -> Option<(Code, String, String)> {
    let denial = bounds(operation, members).obstacles.output?;
    let param = denial.param.map(String::from).unwrap_or_default();
    Some((denial.code, param, denial.message.into_owned()))
}

/// The member that is refused where tokens or money are limited.
fn cost(operation: ModelOperation, members: &str) -> Option<String> {
    let denial = bounds(operation, members).obstacles.cost?;
    assert_eq!(denial.code, Code::InputNotBounded);
    denial.param.map(String::from)
}

fn limited(operation: ModelOperation, members: &str, tokens: u64) -> String {
    let member = if operation == Responses { "max_output_tokens" } else { "max_tokens" };
    let body = format!(r#"{{"model":"a",{members}}}"#);
    let edited = edited(operation, &body, &[BodyEdit::MaxOutput { member, tokens }]);
    edited.replace(r#""model":"a""#, "").replace(['{', '}'], "").trim_matches(',').replace(",,", ",")
}

#[test]
fn a_limit_is_lowered_however_it_is_written() {
    for (written, expected) in [
        ("4096", "4096"),
        ("4096.0", "4096"),
        ("1e3", "1000"),
        ("5000", "4096"),
        ("50000000000000000000000", "4096"),
        ("1e400", "4096"),
        ("-1", "4096"),
        ("null", "4096"),
    ] {
        for (operation, member) in [
            (CHAT, "max_tokens"),
            (Completions, "max_tokens"),
            (Messages, "max_tokens"),
            (Responses, "max_output_tokens"),
        ] {
            let members = format!(r#""{member}":{written}"#);
            assert_eq!(limited(operation, &members, 4096), format!(r#""{member}":{expected}"#), "{written}");
            assert_eq!(output(operation, &members), None, "{written}");
        }
    }
    assert_eq!(
        limited(CHAT, r#""max_tokens":-1,"max_completion_tokens":100"#, 4096),
        r#""max_tokens":4096,"max_completion_tokens":100"#
    );
    assert_eq!(bounds(CHAT, r#""max_tokens":-1,"max_completion_tokens":100"#).max_output, None);
}

#[test]
fn what_some_server_reads_as_no_limit_is_refused_by_name() {
    for written in ["0", "0.0", "-0", "-2", "1.5", "\"4096\"", "true", "[]", "{}"] {
        for (operation, member) in [
            (CHAT, "max_tokens"),
            (CHAT, "max_completion_tokens"),
            (Completions, "max_tokens"),
            (Responses, "max_output_tokens"),
        ] {
            let (code, param, message) = output(operation, &format!(r#""{member}":{written}"#)).unwrap();
            assert_eq!((code, param.as_str()), (Code::InvalidParameter, member), "{written}");
            assert!(message.contains(member) && message.contains("leave it out"), "{message}");
        }
    }
    assert!(output(CHAT, r#""max_tokens":100,"max_completion_tokens":0"#).is_some());
    assert!(output(CHAT, r#""max_tokens":null"#).is_none());
}

#[test]
fn anthropic_fills_its_cache_with_a_limit_of_zero() {
    assert_eq!(output(Messages, r#""max_tokens":0"#), None);
    assert_eq!(bounds(Messages, r#""max_tokens":0"#).max_output, Some(0));
    assert!(output(Messages, r#""max_tokens":"0""#).is_some());
}

#[test]
fn the_limit_of_another_endpoint_or_server_is_refused_by_name() {
    for (operation, name) in [
        (CHAT, "max_output_tokens"),
        (CHAT, "n_predict"),
        (CHAT, "num_predict"),
        (CHAT, "max_new_tokens"),
        (CHAT, "options"),
        (Completions, "max_completion_tokens"),
        (Responses, "max_tokens"),
        (Messages, "max_completion_tokens"),
        (Messages, "max_tokens_to_sample"),
    ] {
        let (code, param, _) = output(operation, &format!(r#""{name}":99999"#)).unwrap();
        assert_eq!((code, param.as_str()), (Code::InvalidParameter, name), "{operation:?}");
        assert_eq!(output(operation, &format!(r#""{name}":null"#)), None, "{operation:?}");
    }
    assert_eq!(output(Embeddings, r#""max_tokens":5"#), None, "it writes nothing");
}

#[test]
fn how_many_answers_are_written_must_be_certain() {
    for (written, choices) in [("2", 2), ("2.0", 2), ("2e0", 2), ("null", 1), ("0", 1), ("1e400", u64::MAX)] {
        let bounds = bounds(CHAT, &format!(r#""n":{written}"#));
        assert_eq!((bounds.choices, bounds.obstacles.cost), (choices, None), "{written}");
    }
    for written in ["-1", "1.5", "\"2\"", "true"] {
        assert_eq!(cost(CHAT, &format!(r#""n":{written}"#)).as_deref(), Some("n"), "{written}");
        assert_eq!(cost(Completions, &format!(r#""best_of":{written}"#)).as_deref(), Some("best_of"));
    }
    assert_eq!(cost(Responses, r#""n":4"#).as_deref(), Some("n"), "the API has no such member");
    assert_eq!(cost(Responses, r#""n":1"#), None);
}

#[test]
fn what_is_not_known_to_be_harmless_is_refused_by_name() {
    for member in [
        r#""enable_search":true"#,
        r#""search_parameters":{"mode":"on"}"#,
        r#""web_search_options":{}"#,
        r#""data_sources":[{"type":"azure_search"}]"#,
        r#""plugins":[{"id":"web"}]"#,
        r#""container":"c_1""#,
        r#""mcp_servers":[{"url":"https://x"}]"#,
        r#""prediction":{"type":"content","content":"x"}"#,
        r#""modalities":["text","audio"]"#,
        r#""modalities":["te\u0078t"]"#,
        r#""audio":{"voice":"alloy"}"#,
        r#""extra_body":{"google":{"cached_content":"cachedContents/1"}}"#,
        r#""google":{"cached_content":"cachedContents/1"}"#,
        r#""provider":{"order":["x"]}"#,
        r#""preset":"p""#,
        r#""use_beam_search":true"#,
        r#""num_beams":4"#,
        r#""logits_processors":["x"]"#,
        r#""Enable_Search":true"#,
        r#""deferred":true"#,
        r#""anything":1"#,
        r#""anything":"""#,
        r#""anything":{}"#,
    ] {
        let name = member.split('"').nth(1);
        assert_eq!(cost(CHAT, member).as_deref(), name, "{member}");
        assert_eq!(cost(Responses, member).as_deref(), name, "{member}");
    }
    assert_eq!(cost(CHAT, r#""reasoning":{"mode":"pro"}"#).as_deref(), Some("reasoning.mode"));
    assert_eq!(cost(CHAT, r#""reasoning":{"Mode":"pro"}"#).as_deref(), Some("reasoning.mode"));
    let message = bounds(CHAT, r#""a b\n":1"#).obstacles.cost.unwrap().message;
    assert!(message.starts_with("`a member of an unusual name` cannot be used"), "{message}");
}

#[test]
fn what_turns_nothing_on_passes() {
    for member in [
        r#""enable_search":false"#,
        r#""search_parameters":null"#,
        r#""plugins":[ ]"#,
        r#""prediction":null"#,
        r#""modalities":[ "text" ]"#,
        r#""audio":null"#,
        r#""anything":null"#,
        r#""chat_template_kwargs":{"enable_thinking":false,"effort":"high","depth":2}"#,
        r#""cached_content":null"#,
        r#""documents":[]"#,
        r#""reasoning":{"effort":"high","summary":"auto","mode":"standard"}"#,
        r#""reasoning":null"#,
    ] {
        let bounds = bounds(CHAT, member);
        assert_eq!((bounds.obstacles.cost, bounds.unbounded), (None, None), "{member}");
    }
}

#[test]
fn what_a_context_window_bounds_is_named() {
    for (member, name) in [
        (r#""cached_content":"cachedContents/1""#, "cached_content"),
        (r#""documents":[{"text":"x"}]"#, "documents"),
        (r#""chat_template":"{% for x in y %}""#, "chat_template"),
        (r#""chat_template_kwargs":{"documents":["x"]}"#, "chat_template_kwargs"),
        (
            r#""chat_template_kwargs":{"chat_template":"{% for i in range(99999) %}x{% endfor %}"}"#,
            "chat_template_kwargs",
        ),
        (r#""prompt_embeds":"AAAA""#, "prompt_embeds"),
        (r#""mm_processor_kwargs":{"max_pixels":99}"#, "mm_processor_kwargs"),
        (r#""previous_response_id":"r_1""#, "previous_response_id"),
        (r#""file_ids":["f"]"#, "file_ids"),
    ] {
        let bounds = bounds(CHAT, member);
        assert_eq!((bounds.obstacles.cost, bounds.unbounded), (None, Some(name)), "{member}");
    }
}

/// What the official SDKs send, as of OpenAI 2.54 and Anthropic 0.125, and what Codex and Claude Code do.
#[test]
fn ordinary_requests_pass_under_limits() {
    let chat = json!({
        "messages": [{"role": "user", "content": "x"}], "frequency_penalty": 0, "function_call": "auto",
        "functions": [{"name": "f"}], "logit_bias": {"1": 2}, "logprobs": true, "max_completion_tokens": 9,
        "max_tokens": 9, "metadata": {"a": "b"}, "modalities": ["text"], "moderation": {"model": "m"}, "n": 1,
        "parallel_tool_calls": true, "presence_penalty": 0, "prompt_cache_key": "k",
        "prompt_cache_options": {"mode": "implicit"}, "prompt_cache_retention": "24h", "reasoning_effort": "low",
        "response_format": {"type": "text"}, "safety_identifier": "s", "seed": 1, "service_tier": "auto",
        "stop": "x", "store": false, "stream_options": {"include_usage": true}, "temperature": 1,
        "tool_choice": "auto", "tools": [{"type": "function", "function": {"name": "f"}}], "top_logprobs": 2,
        "top_p": 1, "user": "u", "verbosity": "low", "stream": true
    });
    let completions = json!({
        "prompt": "x", "best_of": 1, "echo": true, "frequency_penalty": 0, "logit_bias": null, "logprobs": 1,
        "max_tokens": 9, "n": 1, "presence_penalty": 0, "seed": 1, "stop": null, "suffix": "x", "temperature": 1,
        "top_p": 1, "user": "u"
    });
    let embeddings = json!({"input": "x", "dimensions": 9, "encoding_format": "float", "user": "u"});
    let responses = json!({
        "include": ["reasoning.encrypted_content"], "input": "x", "instructions": "i", "max_output_tokens": 9,
        "max_tool_calls": 1, "metadata": {}, "moderation": null, "parallel_tool_calls": true,
        "prompt_cache_key": "k", "prompt_cache_options": {}, "prompt_cache_retention": "24h",
        "reasoning": {"effort": "low", "summary": "auto"}, "safety_identifier": "s", "service_tier": "auto",
        "store": false, "stream_options": {"include_obfuscation": false}, "temperature": 1, "text": {"verbosity": "low"},
        "tool_choice": "auto", "tools": [], "top_logprobs": 1, "top_p": 1, "truncation": "auto", "user": "u",
        "stream": true, "background": false, "client_metadata": {"x-codex-window-id": "w:0"}
    });
    let messages = json!({
        "max_tokens": 9, "cache_control": {"type": "ephemeral"}, "inference_geo": null, "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": "x"},
            {"role": "system", "content": [{"type": "text", "text": "x"}], "output_config": {"effort": "low"}}],
        "output_config": {"effort": "medium"}, "service_tier": "auto", "stop_sequences": ["x"], "system": "s",
        "temperature": 1, "thinking": {"type": "adaptive", "display": "omitted"}, "tool_choice": {"type": "auto"},
        "tools": [{"name": "f", "input_schema": {}, "defer_loading": true}], "top_k": 1, "top_p": 1,
        "user_profile_id": "p", "output_format": {"type": "json_schema"}, "speed": null, "stream": true,
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "diagnostics": {"previous_message_id": null}
    });
    let bodies = [
        (CHAT, chat),
        (Completions, completions),
        (Embeddings, embeddings),
        (Responses, responses),
        (Messages, messages),
    ];
    for (operation, mut body) in bodies {
        body["model"] = json!("a");
        let bounds = read_as(operation, &body.to_string()).unwrap().bounds;
        assert_eq!(
            (bounds.obstacles.cost, bounds.obstacles.output, bounds.unbounded),
            (None, None, None),
            "{operation:?}"
        );
    }
}

#[test]
fn a_thinking_budget_stays_below_the_limit() {
    let thinking = r#""max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":31999}"#;
    let lowered = |tokens| limited(Messages, thinking, tokens);
    assert!(lowered(8_000).contains(r#""max_tokens":8000,"thinking":"type":"enabled","budget_tokens":7999"#));
    assert!(lowered(2_080).contains(r#""budget_tokens":2079"#));
    assert!(lowered(1_025).contains(r#""budget_tokens":1024"#));
    assert!(lowered(32_000).contains(r#""budget_tokens":31999"#));
    assert_eq!(bounds(Messages, thinking).obstacles.least_output, Some(1_025));
    let adaptive = r#""max_tokens":32000,"thinking":{"type":"adaptive"}"#;
    assert_eq!(bounds(Messages, adaptive).obstacles.least_output, None);
    assert!(limited(Messages, adaptive, 100).contains(r#""type":"adaptive""#));

    let flat = r#""max_tokens":5000,"thinking_budget":9000"#;
    assert_eq!(limited(CHAT, flat, 5_000), r#""max_tokens":5000,"thinking_budget":4999"#);
    let nested = r#""max_tokens":5000,"reasoning":{"max_tokens":4000}"#;
    assert_eq!(limited(CHAT, nested, 2_500), r#""max_tokens":2500,"reasoning":"max_tokens":2000"#);
    assert_eq!(
        limited(CHAT, r#""thinking_budget":-1,"max_tokens":50"#, 9),
        r#""thinking_budget":-1,"max_tokens":9"#
    );
    for written in ["\"31999\"", "1.5", "true"] {
        let members = format!(r#""max_tokens":9,"thinking":{{"type":"enabled","budget_tokens":{written}}}"#);
        let (code, param, _) = output(Messages, &members).unwrap();
        assert_eq!((code, param.as_str()), (Code::InvalidParameter, "budget_tokens"));
    }
}

#[test]
fn interleaved_thinking_with_tools_may_exceed_the_limit() {
    let limited = |tools: &str, budget: u64| {
        let body = format!(
            r#"{{"model":"a","max_tokens":4000,"tools":[{tools}],"thinking":{{"type":"enabled","budget_tokens":{budget}}}}}"#
        );
        let read = read_as(Messages, &body).unwrap().interleaved();
        let change = BodyEdit::MaxOutput { member: "max_tokens", tokens: 2_000 };
        let edited: Value = serde_json::from_slice(&read.edit(body.as_bytes(), &[change]).unwrap()).unwrap();
        (edited["thinking"]["budget_tokens"].as_u64().unwrap(), read.bounds.obstacles.least_output)
    };
    assert_eq!(limited(r#"{"name":"f"}"#, 20_000), (20_000, None), "it is for the whole turn");
    assert_eq!(limited(r#"{"name":"f"}"#, 3_000), (1_500, Some(1_025)), "below its limit it stays below");
    assert_eq!(limited("", 20_000), (1_999, Some(1_025)), "nothing interleaves without tools");
}

#[test]
fn a_limit_is_renamed_where_the_model_takes_one_name_alone() {
    let only = |body: &str| {
        edited(CHAT, body, &[BodyEdit::OnlyMaxOutput { member: "max_completion_tokens", tokens: 7 }])
    };
    for (body, expected) in [
        (r#"{"model":"a"}"#, r#"{"max_completion_tokens":7,"model":"a"}"#),
        (r#"{"model":"a", "max_tokens" : 5}"#, r#"{"model":"a", "max_completion_tokens" : 5}"#),
        (r#"{"model":"a","max_tok\u0065ns":50}"#, r#"{"model":"a","max_completion_tokens":7}"#),
        (r#"{"model":"a","max_tokens":-1}"#, r#"{"model":"a","max_completion_tokens":7}"#),
        (r#"{"model":"a","max_completion_tokens":50}"#, r#"{"model":"a","max_completion_tokens":7}"#),
        (r#"{"model":"a","max_completion_tokens":null}"#, r#"{"model":"a","max_completion_tokens":7}"#),
        (
            r#"{"max_completion_tokens":null,"model":"a","max_tokens":5}"#,
            r#"{"max_completion_tokens":5,"model":"a","max_tokens":null}"#,
        ),
        (
            r#"{"max_completion_tokens":null,"model":"a","max_tokens":50}"#,
            r#"{"max_completion_tokens":7,"model":"a","max_tokens":null}"#,
        ),
        (
            r#"{"max_completion_tokens":5,"model":"a","max_tokens":50}"#,
            r#"{"max_completion_tokens":5,"model":"a","max_tokens":7}"#,
        ),
    ] {
        assert_eq!(only(body), expected, "{body}");
    }
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        (0..50_000_u64).prop_map(|number| number.to_string()),
        (0..50_000_u64).prop_map(|number| format!("{number}.0")),
        (1..9_u64, 0..30_u32).prop_map(|(number, power)| format!("{number}e{power}")),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|n| n.to_string()),
        prop::sample::select(vec!["null", "-1", "0", "-5", "\"9\"", "true", "[9]"]).prop_map(str::to_owned),
    ]
}

/// The largest output that any server may read out of a member; none where that is not certain.
fn most(value: Option<&Value>) -> Option<f64> {
    match value {
        None | Some(Value::Null) => Some(f64::NEG_INFINITY),
        Some(value) => value.as_f64().filter(|number| *number > 0.0 && number.fract() == 0.0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// What is forwarded under a limit limits the output to it, for servers that follow either name.
    #[test]
    fn a_limited_request_asks_for_no_more(small in prop::option::of(number()), large in prop::option::of(number()), tokens in 1..100_000_u64) {
        let member = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(r#","{name}":{value}"#)).unwrap_or_default();
        let body = format!(r#"{{"model":"a"{}{}}}"#, member("max_tokens", &small), member("max_completion_tokens", &large));
        let read = read_as(CHAT, &body).unwrap();
        if read.bounds.obstacles.output.is_none() {
            let change = BodyEdit::MaxOutput { member: "max_tokens", tokens };
            let edited = read.edit(body.as_bytes(), &[change]).unwrap();
            let edited: Value = serde_json::from_slice(&edited).unwrap();
            let limits = [most(edited.get("max_tokens")), most(edited.get("max_completion_tokens"))];
            let [Some(small), Some(large)] = limits else { panic!("{edited} is not certain") };
            prop_assert!(small.max(large) > 0.0 && small.max(large) <= tokens as f64, "{edited}");
            prop_assert!(edited["max_tokens"].as_u64().is_some() || edited["max_completion_tokens"].as_u64().is_some());
        }
    }
}
