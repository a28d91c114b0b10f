use latchkey_proto::discovery as wire;

use super::*;
use crate::request::body::BodyFormat;
use crate::routing::cooldown::Cooldowns;
use crate::snapshot::{Catalogue, Provider};
use crate::testing::{self, TestMemory};

const BODY: &[u8] = br#"{"model":"fast","messages":[],"max_tokens":900}"#;

fn attempts(stream: bool) -> Attempts {
    let mut catalogue = testing::catalogue();
    for (at, provider) in catalogue.providers.iter_mut().enumerate() {
        provider.group_cluster = format!("latchkey/group/{at:02}");
    }
    catalogue.models[1].max_output_tokens = 50;
    catalogue.models.push(testing::model("gpt-4o", "anthropic", "claude-4"));
    let targets = [("openai", "gpt-4o", 1), ("azure", "gpt-4o", 1), ("anthropic", "gpt-4o", 1)];
    catalogue.routing_groups = vec![testing::routing_group("fast", &targets)];
    let catalogue = Catalogue::try_from(catalogue).unwrap();
    let group = Rc::clone(catalogue.routing_group("fast").unwrap());
    let operation = ModelOperation::ChatCompletions;
    let bytes = if stream { br#"{"model":"fast","messages":[],"stream":true}"#.as_slice() } else { BODY };
    let body = BodyFormat::Json.read(operation, bytes).unwrap();
    Attempts::new(AttemptPlan {
        targets: group.tiers[0].targets.clone(),
        group,
        operation,
        query: "?api-version=1&model=x".into(),
        body: Rc::new(body),
        max_output: Some(100),
        chosen_by: ChosenBy::Requests,
        expected_tokens: 10,
    })
}

fn store() -> TestMemory {
    let store = TestMemory::default();
    crate::routing::cooldown::begin(&store).unwrap();
    store
}

fn headers(list: &[(&str, &str)]) -> Vec<Header> {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn apply(headers: &mut Vec<Header>, edits: &[HeaderEdit<'_>]) {
    for edit in edits {
        headers.retain(|(name, _)| *name != edit.name);
        if let Some(value) = &edit.value {
            headers.push((edit.name.clone().into_owned(), value.as_bytes().to_vec()));
        }
    }
    headers.sort();
}

#[test]
fn each_try_is_its_own_targets_request_and_has_nothing_of_another() {
    let store = store();
    let mut attempts = attempts(false);
    let client = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "gateway"),
        ("content-type", "application/json"),
        ("content-length", "47"),
        ("anthropic-beta", "a"),
        ("anthropic-beta", "b"),
    ];
    let mut now = headers(&client);
    let expected = [
        ("openai", "openai.example", "/v1/chat/completions?api-version=1", Some("latchkey/group/01")),
        ("azure", "azure.example", "/openai/v1/chat/completions?api-version=1", Some("latchkey/group/02")),
        ("anthropic", "anthropic.example", "/v1/chat/completions?api-version=1", None),
    ];
    for (number, (provider, authority, path, next)) in expected.into_iter().enumerate() {
        let begun = attempts.begin(provider, &now, &store, UnixMs(number as i64)).unwrap();
        assert_eq!((begun.number, attempts.next_cluster().as_deref()), (number, next));
        assert!(begun.edits_body);
        apply(&mut now, &begun.headers);
        let said = |name| Headers(&now).text(name);
        assert_eq!((said(":authority"), said(":path")), (Some(authority), Some(path)));
        for credential in ["authorization", "x-api-key", "x-session-id", "openai-organization"] {
            assert_eq!(said(credential), None, "{credential} at {provider}");
        }
        let beta: Vec<_> = Headers(&now).all("anthropic-beta").collect();
        assert_eq!(beta.join(&b", "[..]), b"a, b");
        assert_eq!(said("content-length"), Some("47"));
        // What Envoy adds for this provider, and what the body became.
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("x-api-key", provider),
            ("x-session-id", "s"),
            ("openai-organization", "o"),
        ] {
            now.push((name.to_owned(), value.as_bytes().to_vec()));
        }
        now.retain(|(name, _)| name != "content-length");
        now.push(("content-length".to_owned(), b"99".to_vec()));
    }
    assert!(attempts.begin("openai", &now, &store, UnixMs(9)).is_none(), "there is no fourth");
}

#[test]
fn a_try_at_another_provider_than_decided_is_refused() {
    for begun in [&[][..], &["openai"]] {
        let (store, mut attempts) = (store(), attempts(false));
        for provider in begun {
            attempts.begin(provider, &[], &store, UnixMs(0)).unwrap();
        }
        assert!(attempts.begin("anthropic", &[], &store, UnixMs(0)).is_none(), "{begun:?}");
    }
}

#[test]
fn each_body_names_the_targets_model_and_no_more_output_than_it_has() {
    let (store, mut attempts) = (store(), attempts(false));
    for (provider, body) in [
        ("openai", r#"{"model":"gpt-4o","messages":[],"max_tokens":100}"#),
        ("azure", r#"{"model":"my-deployment","messages":[],"max_tokens":50}"#),
        ("anthropic", r#"{"model":"claude-4","messages":[],"max_tokens":100}"#),
    ] {
        attempts.begin(provider, &[], &store, UnixMs(0)).unwrap();
        let edited = attempts.body(BODY).unwrap().unwrap();
        assert_eq!(String::from_utf8(edited).unwrap(), body);
    }
    assert_eq!(attempts.body(b"{}"), Err(UnknownBody));
}

#[test]
fn envoy_is_told_how_often_after_what_and_for_how_long() {
    let told = |attempts: &Attempts| {
        let of = |edit: HeaderEdit<'static>| (edit.name.into_owned(), edit.value.unwrap().into_owned());
        attempts.retry_headers().into_iter().map(of).collect::<Vec<_>>()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut one = attempts(true);
    let expected = [
        pair("x-latchkey-group", "1"),
        pair("x-envoy-upstream-rq-per-try-timeout-ms", "10000"),
        pair("x-envoy-max-retries", "2"),
        pair("x-envoy-retry-on", "connect-failure,refused-stream,reset,retriable-status-codes"),
        pair("x-envoy-retriable-status-codes", "429,500,503,599"),
    ];
    assert_eq!(told(&one), expected);
    one.targets.truncate(1);
    assert_eq!(told(&one), expected[..2], "one target is not retried");
    assert_eq!(told(&attempts(false))[1].1, "30000");
}

#[test]
fn an_answer_may_be_silent_for_as_long_as_the_most_patient_targets() {
    let told = |timeouts: [u32; 3]| {
        let mut one = attempts(false);
        for (target, seconds) in one.targets.iter_mut().zip(timeouts) {
            let mut patient = (**target).clone();
            let provider = Provider {
                idle_timeout: (seconds != 0).then(|| seconds.to_string()),
                ..(*patient.offer.provider).clone()
            };
            patient.offer.provider = Rc::new(provider);
            *target = Rc::new(patient);
        }
        let header = one.retry_headers().into_iter().find(|edit| edit.name == "x-latchkey-idle-timeout");
        header.and_then(|edit| edit.value).map(std::borrow::Cow::into_owned)
    };
    assert_eq!(told([0, 0, 0]), None);
    assert_eq!(told([60, 300, 60]).as_deref(), Some("300"));
    assert_eq!(told([60, 0, 300]), None, "the default is longer");
    assert_eq!(told([0, 1800, 3600]).as_deref(), Some("3600"));
}

#[test]
fn a_failing_status_moves_on_and_the_target_rests() {
    let (store, mut attempts) = (store(), attempts(false));
    attempts.begin("openai", &[], &store, UnixMs(1_000)).unwrap();
    let told = headers(&[("retry-after", "12")]);
    assert_eq!(attempts.answered(0, 429, Headers(&told), &store, UnixMs(1_250)), AnswerStart::Pass);
    let openai = Rc::clone(&attempts.targets()[0]);
    let rests = |now| Cooldowns::read(&store).rests(&openai, UnixMs(now));
    assert!(rests(13_249) && !rests(13_250));
    attempts.begin("azure", &[], &store, UnixMs(1_260)).unwrap();
    assert_eq!(attempts.answered(1, 400, Headers(&[]), &store, UnixMs(1_270)), AnswerStart::Pass);
    assert!(!Cooldowns::read(&store).has_failed(&attempts.targets()[1]), "the request is to blame");
    let told: Vec<_> =
        attempts.records(UnixMs(9_999)).into_iter().map(|it| (it.status, it.end, it.duration_ms)).collect();
    assert_eq!(told, [(429, AttemptEnd::Status, 250), (400, AttemptEnd::Served, 10)]);
    assert_eq!(attempts.unanswered().count(), 0, "nobody bills an error");
}

#[test]
fn silence_and_broken_connections_are_told_apart_and_so_is_what_was_never_sent() {
    let (store, mut attempts) = (store(), attempts(true));
    attempts.begin("openai", &[], &store, UnixMs(0)).unwrap();
    attempts.ended(0, false, UnixMs(10_000));
    attempts.begin("azure", &[], &store, UnixMs(10_001)).unwrap();
    attempts.ended(1, true, UnixMs(10_002));
    attempts.begin("anthropic", &[], &store, UnixMs(10_003)).unwrap();
    attempts.finish(true, false, &store, UnixMs(10_050));
    let ends: Vec<_> = attempts.records(UnixMs(0)).into_iter().map(|it| it.end).collect();
    assert_eq!(ends, [AttemptEnd::Timeout, AttemptEnd::Connection, AttemptEnd::Connection]);
    let lost: Vec<_> = attempts.unanswered().map(|target| target.offer.provider.name.as_str()).collect();
    assert_eq!(lost, ["openai"], "the last one's use is told by the exchange");
    for target in attempts.targets() {
        assert!(Cooldowns::read(&store).rests(target, UnixMs(10_060)));
    }
}

#[test]
fn a_client_that_leaves_is_nobodys_failure() {
    let (store, mut attempts) = (store(), attempts(false));
    attempts.begin("openai", &[], &store, UnixMs(0)).unwrap();
    attempts.finish(false, false, &store, UnixMs(5));
    assert_eq!(attempts.records(UnixMs(9))[0].end, AttemptEnd::Unspecified);
    assert!(!Cooldowns::read(&store).has_failed(&attempts.targets()[0]));
}

const EVENTS: [(&str, bool); 9] = [
    ("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n", true),
    ("data: {\"error\":{\"message\":\"x\",\"code\":429}}\n\n", true),
    ("data: {\"type\":\"error\",\"code\":\"server_error\"}\r\n\r\n", true),
    (": hello\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: error\ndata: {}\n\n", true),
    ("data: {\"choices\":[{\"delta\":{\"content\":\"error\"}}]}\n\n", false),
    ("data: {\"choices\":[],\"error\":null}\n\n", false),
    ("event: message_start\ndata: {\"type\":\"message_start\"}\n\n", false),
    ("data: [DONE]\n\n", false),
    ("data: no json\n\n", false),
];

#[test]
fn an_error_at_the_head_of_a_stream_moves_on_wherever_it_is_cut() {
    let stream = headers(&[("content-type", "text/event-stream; charset=utf-8")]);
    for (text, is_error) in EVENTS {
        for cut in 0..=text.len() {
            let (store, mut attempts) = (store(), attempts(true));
            attempts.begin("openai", &[], &store, UnixMs(0)).unwrap();
            assert_eq!(attempts.answered(0, 200, Headers(&stream), &store, UnixMs(1)), AnswerStart::Hold);
            let (head, tail) = text.as_bytes().split_at(cut);
            let mut start = attempts.held(0, head, false, &store, UnixMs(2));
            if start == AnswerStart::Hold {
                start = attempts.held(0, tail, true, &store, UnixMs(3));
            }
            let expected = if is_error { AnswerStart::Fail } else { AnswerStart::Pass };
            assert_eq!(start, expected, "{text:?} cut at {cut}");
            let end = if is_error { AttemptEnd::ErrorEvent } else { AttemptEnd::Served };
            assert_eq!(attempts.records(UnixMs(4))[0].end, end);
            assert_eq!(Cooldowns::read(&store).has_failed(&attempts.targets()[0]), is_error);
        }
    }
}

#[test]
fn the_last_targets_error_event_reaches_the_client() {
    let stream = headers(&[("content-type", "text/event-stream")]);
    let (store, mut attempts) = (store(), attempts(true));
    attempts.targets.truncate(1);
    attempts.begin("openai", &[], &store, UnixMs(0)).unwrap();
    assert_eq!(attempts.answered(0, 200, Headers(&stream), &store, UnixMs(1)), AnswerStart::Hold);
    assert_eq!(attempts.held(0, EVENTS[0].0.as_bytes(), false, &store, UnixMs(2)), AnswerStart::Pass);
}

#[test]
fn a_stream_that_is_silent_after_its_headers_has_timed_out() {
    let stream = headers(&[("content-type", "text/event-stream")]);
    let (store, mut attempts) = (store(), attempts(true));
    attempts.begin("openai", &[], &store, UnixMs(0)).unwrap();
    assert_eq!(attempts.answered(0, 200, Headers(&stream), &store, UnixMs(1)), AnswerStart::Hold);
    assert_eq!(attempts.held(0, b": still here\n\n", false, &store, UnixMs(9)), AnswerStart::Hold);
    attempts.ended(0, false, UnixMs(10_001));
    attempts.begin("azure", &[], &store, UnixMs(10_001)).unwrap();
    assert_eq!(attempts.records(UnixMs(0))[0].end, AttemptEnd::Timeout);
    assert_eq!(attempts.unanswered().count(), 1);
}

#[test]
fn retry_after_is_read_as_seconds_or_milliseconds() {
    for (list, ms) in [
        (&[("retry-after", "2")][..], Some(2_000)),
        (&[("retry-after", " 0.5 ")], Some(500)),
        (&[("retry-after", "9"), ("retry-after-ms", "250")], Some(250)),
        (&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], None),
        (&[("retry-after", "-1")], None),
        (&[("retry-after", "NaN")], None),
        (&[], None),
    ] {
        assert_eq!(retry_after_ms(Headers(&headers(list))), ms, "{list:?}");
    }
}

#[test]
fn a_group_without_timeouts_sets_none() {
    let mut one = attempts(true);
    let failover = wire::Failover { max_attempts: 2, ..wire::Failover::default() };
    let failover = crate::snapshot::Failover::try_from(failover).unwrap();
    one.group = Rc::new(RoutingGroup { failover, ..(*one.group).clone() });
    let names: Vec<_> = one.retry_headers().into_iter().map(|edit| edit.name.into_owned()).collect();
    assert!(!names.contains(&"x-envoy-upstream-rq-per-try-timeout-ms".to_owned()), "{names:?}");
}

#[test]
fn what_fails_everywhere_leaves_somebody_for_the_others() {
    let store = store();
    let mut attempts = attempts(false);
    for (number, provider) in ["openai", "azure", "anthropic"].into_iter().enumerate() {
        attempts.begin(provider, &[], &store, UnixMs(number as i64)).unwrap();
        attempts.answered(number, 429, Headers(&[]), &store, UnixMs(number as i64));
    }
    let cooldowns = Cooldowns::read(&store);
    let rests: Vec<_> = attempts.targets().iter().map(|it| cooldowns.rests(it, UnixMs(10))).collect();
    assert_eq!(rests, [true, true, false]);
}

#[test]
fn an_answer_to_an_older_request_ends_no_rest_and_neither_does_a_refusal() {
    let store = store();
    let (mut old, mut failing) = (attempts(false), attempts(false));
    old.begin("openai", &[], &store, UnixMs(1)).unwrap();
    failing.begin("openai", &[], &store, UnixMs(2)).unwrap();
    failing.answered(0, 500, Headers(&[]), &store, UnixMs(3));
    let target = Rc::clone(&old.targets()[0]);
    let has_failed = || Cooldowns::read(&store).has_failed(&target);
    old.answered(0, 200, Headers(&[]), &store, UnixMs(4));
    assert!(has_failed());
    for (status, is_back) in [(401, false), (504, false), (400, true)] {
        let mut next = attempts(false);
        next.begin("openai", &[], &store, UnixMs(5)).unwrap();
        next.answered(0, status, Headers(&[]), &store, UnixMs(6));
        assert_eq!(!has_failed(), is_back, "{status}");
    }
}

#[test]
fn a_gateway_without_a_route_for_groups_is_told_from_one_without_a_targets_cluster() {
    let mut one = attempts(false);
    for (details, cluster, lacks) in [
        ("cluster_not_found", "", true),
        ("cluster_not_found", "latchkey/openai", true),
        ("cluster_not_found", "latchkey/group/00", false),
        ("route_not_found", "", true),
        ("no_healthy_upstream", "latchkey/group/00", false),
        ("via_upstream", "", false),
    ] {
        assert_eq!(one.lacks_route(details, cluster), lacks, "{details} {cluster}");
    }
    one.begin("openai", &[], &store(), UnixMs(0)).unwrap();
    assert!(!one.lacks_route("cluster_not_found", ""), "what led to the first leads to the next");
}

#[test]
fn a_provider_gets_the_key_of_a_request_once() {
    let (store, mut one) = (store(), attempts(false));
    one.targets[1] = Rc::clone(&one.targets[0]);
    let sent = headers(&[("idempotency-key", "k")]);
    let removed =
        |begun: TryEdits| begun.headers.iter().any(|it| it.name == "idempotency-key" && it.value.is_none());
    assert!(!removed(one.begin("openai", &sent, &store, UnixMs(0)).unwrap()));
    assert!(removed(one.begin("openai", &sent, &store, UnixMs(1)).unwrap()));
}
