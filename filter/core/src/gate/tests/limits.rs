//! Requests of apps and keys that are limited.

use std::collections::BTreeMap;

use super::*;
use crate::discovery::replica::Replica;
use crate::limits::account::{self, LeaseAccount, SubjectId};
use crate::price::TokenUsage;
use crate::snapshot::BucketKind;

const MINUTE: BucketKind = BucketKind::RequestsPerMinute;
const TOKENS: BucketKind = BucketKind::TokensPerMinute;
const BUDGET: BucketKind = BucketKind::CostBudget;

const SUBJECT: SubjectId = SubjectId(testing::APP.0.into_bytes());

/// A dollar for a million tokens.
const PRICE: wire::Price = wire::Price {
    version: 3,
    input: 1_000_000_000,
    cached_input: 1_000_000_000,
    output: 1_000_000_000,
    cache_write_5m: Some(1_000_000_000),
    cache_write_1h: Some(1_000_000_000),
    long_context: None,
    tiers: vec![],
};

/// A gateway of an app with these limits, and of models with a price.
fn limited(buckets: &[(BucketKind, u64)]) -> TestMemory {
    let app = wire::AppPolicy { limits: Some(testing::limits(buckets)), ..testing::app() };
    let mut catalogue = testing::catalogue();
    catalogue.models.push(testing::model("gpt-image", "openai", "gpt-image"));
    catalogue.models.iter_mut().for_each(|model| model.price = Some(PRICE));
    catalogue.models.push(testing::model("free", "openai", "free"));
    let catalogue = Some(catalogue);
    gateway(wire::DiscoveryResponse { apps: vec![app], catalogue, ..testing::increment() })
}

fn waits(outcome: BodyDecision) -> Vec<(SubjectId, BucketKind, u64)> {
    match outcome {
        BodyDecision::Wait(demand) => {
            demand.buckets.iter().map(|ask| (ask.subject, ask.kind, ask.need)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn reply(outcome: BodyDecision) -> Reply {
    match outcome {
        BodyDecision::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn told(reply: &Reply, name: &str) -> Option<String> {
    let found = reply.headers.iter().find(|(header, _)| *header == name);
    found.map(|(_, value)| value.clone().into_owned())
}

/// A request that has waited in vain.
fn at_last(store: &TestMemory) -> BodyDecision {
    let view = View::new(store);
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", CHAT, &[("authorization", &bearer)]);
    let world = FixedWorld::at(1000, "");
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &world) else {
        panic!("answered")
    };
    admitted.decide(
        || BODY.to_vec(),
        &Gate { view: &view, world: &world, has_room: true, patience: Patience::Over },
    )
}

fn limit_told(reply: &Reply) -> serde_json::Value {
    serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap()["error"]["limit"].clone()
}

#[test]
fn a_request_within_its_limits_reserves_the_most_that_it_may_use() {
    let store = limited(&[(MINUTE, 60), (TOKENS, 1000), (BUDGET, 2_000_000)]);
    for (kind, limit, units) in [(MINUTE, 60, 10), (TOKENS, 1000, 800), (BUDGET, 2_000_000, 1_000_000)] {
        testing::grant(&store, SUBJECT, kind, limit, units);
    }
    let body = br#"{"model":"gpt-4o","max_tokens":100}"#;
    let input = body.len() as u64 + 256;
    let forward = forwarded(ask(&store, testing::app_key().expose(), CHAT, body));
    assert_eq!(forward.body, None, "as the client asked");
    let estimate = (body.len() as u64 * 2).div_ceil(5) + 16;
    let most = TokenUsage { input, output: 100, ..TokenUsage::default() };
    assert_eq!(forward.call.reservation().and_then(|reservation| reservation.most_tokens()), Some(most));
    assert_eq!(model_call(&forward).price.as_ref().map(|price| price.version), Some(3));
    assert_eq!(testing::line(&store, SUBJECT, MINUTE).used, 1);
    assert_eq!(testing::line(&store, SUBJECT, TOKENS).held, estimate + 100);
    assert_eq!(testing::line(&store, SUBJECT, BUDGET).held, (input + 100) * 1000);
    let response_headers: BTreeMap<_, _> = forward.response_headers.into_iter().collect();
    assert_eq!(response_headers["x-ratelimit-limit-requests"], "60");
    assert_eq!(response_headers["x-ratelimit-remaining-requests"], "9");
    assert_eq!(response_headers["x-ratelimit-remaining-tokens"], (700 - estimate).to_string());
}

#[test]
fn a_request_without_limits_reserves_nothing() {
    let store = limited(&[]);
    let forward = forwarded(chat(&store));
    assert!(
        forward.call.reservation().is_none() && forward.response_headers.is_empty() && forward.body.is_none()
    );
    assert_eq!(LeaseAccount::read(&store, SUBJECT), None);
}

#[test]
fn output_is_limited_in_the_words_of_each_provider() {
    let edited = |path: &str, body: &str, providers: &[&str]| {
        let store = limited(&[(TOKENS, 1000)]);
        let app = wire::AppPolicy {
            limits: Some(testing::limits(&[(TOKENS, 1000)])),
            providers: Some(testing::only(providers)),
            ..testing::app()
        };
        let update = wire::DiscoveryResponse { apps: vec![app], ..testing::increment() };
        assert_eq!(Replica::resume(&store, 1).receive(update), DiscoveryOutcome::Applied);
        testing::grant(&store, SUBJECT, TOKENS, 1000, 400);
        testing::refuse(&store, SUBJECT, TOKENS, 1000, account::GrantVerdict::Exhausted);
        let forward = forwarded(ask(&store, testing::app_key().expose(), path, body.as_bytes()));
        assert_eq!(testing::line(&store, SUBJECT, TOKENS).held, 400, "all that is left");
        serde_json::from_slice::<serde_json::Value>(&forward.body.unwrap()).unwrap()
    };
    let gpt = r#"{"model":"gpt-4o"}"#;
    let left_of = |body: &str| 400 - 16 - (body.len() * 2).div_ceil(5);
    let left = left_of(gpt);
    assert_eq!(edited(CHAT, gpt, &["openai"])["max_completion_tokens"], left);
    assert_eq!(edited(CHAT, gpt, &["azure"])["max_completion_tokens"], left);
    assert_eq!(edited("/v1/completions", gpt, &["openai"])["max_tokens"], left);
    assert_eq!(edited("/v1/responses", gpt, &["openai"])["max_output_tokens"], left);
    let claude = r#"{"model":"claude"}"#;
    let left_of_claude = left_of(claude);
    assert_eq!(edited(CHAT, claude, &["anthropic"])["max_tokens"], left_of_claude);
    assert_eq!(
        edited("/anthropic_messages/v1/messages", claude, &["anthropic"])["max_tokens"],
        left_of_claude
    );
    let asked = r#"{"model":"gpt-4o","max_tokens":5000}"#;
    let lowered = edited(CHAT, asked, &["openai"]);
    assert_eq!(lowered["max_tokens"], left_of(asked));
    assert_eq!(lowered.get("max_completion_tokens"), None, "the client has named the member");
}

#[test]
fn a_dry_lease_is_waited_for() {
    let store = limited(&[(MINUTE, 60), (TOKENS, 1000)]);
    let body = br#"{"model":"gpt-4o","max_tokens":10}"#;
    let view = View::new(&store);
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", CHAT, &[("authorization", &bearer)]);
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &FixedWorld::at(1000, ""))
    else {
        panic!("answered")
    };
    let at = |now| decide(&admitted, body, &view, &FixedWorld::at(now, ""));
    let need = (body.len() as u64 * 2).div_ceil(5) + 16 + 10;
    assert_eq!(waits(at(1000)), [(SUBJECT, MINUTE, 1), (SUBJECT, TOKENS, need)]);
    testing::grant(&store, SUBJECT, MINUTE, 60, 1);
    assert_eq!(waits(at(1100)), [(SUBJECT, TOKENS, need)]);
    assert_eq!(testing::line(&store, SUBJECT, MINUTE).used, 0, "all or nothing");
    testing::grant(&store, SUBJECT, TOKENS, 1000, need);
    forwarded(at(1200));
    assert_eq!(testing::line(&store, SUBJECT, MINUTE).used, 1);
    assert_eq!(waits(at(1300)), [(SUBJECT, MINUTE, 1), (SUBJECT, TOKENS, need)], "once only");
}

#[test]
fn what_has_no_room_is_refused_with_its_code_and_its_headers() {
    let refused = |kind, limit, verdict| {
        let store = limited(&[(kind, limit)]);
        testing::refuse(&store, SUBJECT, kind, limit, verdict);
        reply(at_last(&store))
    };
    let rate = refused(MINUTE, 60, account::GrantVerdict::Exhausted);
    assert_eq!((rate.status, rate.code), (429, Some(Code::RateLimitExceeded)));
    assert_eq!(told(&rate, "retry-after-ms").as_deref(), Some("9000"));
    assert_eq!(told(&rate, "retry-after").as_deref(), Some("9"));
    assert_eq!(told(&rate, "x-ratelimit-remaining-requests").as_deref(), Some("0"));
    assert_eq!(told(&rate, "x-should-retry"), None);
    assert_eq!(limit_told(&rate)["name"], "requests_per_minute");
    assert_eq!(limit_told(&rate)["owner"], "app");

    let spent = refused(BUDGET, 1_000_000_000, account::GrantVerdict::Exhausted);
    assert_eq!((spent.status, spent.code), (429, Some(Code::InsufficientQuota)));
    assert_eq!(told(&spent, "x-should-retry").as_deref(), Some("false"));
    assert_eq!((told(&spent, "retry-after"), told(&spent, "retry-after-ms")), (None, None));
    assert!(
        String::from_utf8_lossy(&spent.body).contains("The app's budget is $1.00, of which $0.00 is left;")
    );

    let large = reply(chat(&limited(&[(BUDGET, 1000)])));
    assert_eq!((large.status, large.code), (429, Some(Code::RequestExceedsLimit)));
    assert_eq!(told(&large, "x-should-retry").as_deref(), Some("false"));

    let contended = refused(BUDGET, 1_000_000_000, account::GrantVerdict::Contended);
    assert_eq!((contended.status, contended.code), (429, Some(Code::QuotaContended)));
    assert_eq!(told(&contended, "retry-after-ms").as_deref(), Some("9000"));

    let away = refused(BUDGET, 1_000_000_000, account::GrantVerdict::Away);
    assert_eq!((away.status, away.code), (503, Some(Code::LeaseUnavailable)));
    assert_eq!(told(&away, "retry-after-ms").as_deref(), Some("9000"));
}

#[test]
fn what_cannot_be_metered_is_refused_before_anything_is_taken() {
    let store = limited(&[(MINUTE, 60), (BUDGET, 1_000_000_000)]);
    testing::grant(&store, SUBJECT, MINUTE, 60, 60);
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 1_000_000_000);
    let code = |path, body: &str| {
        let reply = reply(ask(&store, testing::app_key().expose(), path, body.as_bytes()));
        assert_eq!(told(&reply, "x-should-retry").as_deref(), Some("false"));
        (reply.status, reply.code.unwrap())
    };
    assert_eq!(code(CHAT, r#"{"model":"free"}"#), (403, Code::ModelNotPriced));
    assert_eq!(code("/v1/images/generations", r#"{"model":"gpt-image"}"#), (403, Code::EndpointNotMetered));
    let outside = r#"{"model":"gpt-4o","previous_response_id":"resp_1"}"#;
    assert_eq!(code("/v1/responses", outside), (400, Code::InputNotBounded));
    assert_eq!(testing::line(&store, SUBJECT, MINUTE).used, 0);
    assert_eq!(testing::line(&store, SUBJECT, BUDGET).held, 0);
}

#[test]
fn input_out_of_sight_is_bounded_by_the_context_window() {
    let store = limited(&[(TOKENS, 10_000)]);
    let mut catalogue = testing::catalogue();
    catalogue.models.iter_mut().for_each(|model| model.context_window = 2000);
    let catalogue = Some(catalogue);
    let update = wire::DiscoveryResponse { catalogue, ..testing::increment() };
    assert_eq!(Replica::resume(&store, 1).receive(update), DiscoveryOutcome::Applied);
    testing::grant(&store, SUBJECT, TOKENS, 10_000, 5000);
    let body = br#"{"model":"gpt-4o","previous_response_id":"resp_1","max_output_tokens":50}"#;
    forwarded(ask(&store, testing::app_key().expose(), "/v1/responses", body));
    assert_eq!(testing::line(&store, SUBJECT, TOKENS).held, 2050);
}

#[test]
fn one_request_has_only_so_much_input_and_output() {
    let store = with_app(|app| {
        let (max_input_tokens, max_output_tokens) = (Some(20), Some(30));
        app.limits = Some(wire::Limits { max_input_tokens, max_output_tokens, ..wire::Limits::default() });
    });
    let body =
        |text: &str, most: u64| format!("{{\"model\":\"gpt-4o\",\"a\":\"{text}\",\"max_tokens\":{most}}}");
    let ask = |body: String| ask(&store, testing::app_key().expose(), CHAT, body.as_bytes());
    assert_eq!(denied(ask(body(&"a".repeat(80), 5))), Code::MaxInputTokensExceeded);
    assert_eq!(forwarded(ask(body("", 30))).body, None);
    assert_eq!(forwarded(ask(body("", 31))).body, Some(body("", 30).into_bytes()));
    let Some(edited) = forwarded(chat(&store)).body else { panic!("not limited") };
    assert!(edited.starts_with(br#"{"max_completion_tokens":30,"#));
}

#[test]
fn named_keys_have_limits_beside_their_apps() {
    let key_id = SubjectId(testing::NAMED_KEY_ID.into_bytes());
    let named = testing::named_key();
    let chat = |store: &TestMemory| ask(store, named.expose(), CHAT, BODY);
    let app = wire::AppPolicy {
        limits: Some(testing::limits(&[(MINUTE, 60)])),
        named_key_limits: Some(testing::limits(&[(MINUTE, 5)])),
        ..testing::app()
    };
    let of = |keys: Vec<wire::KeyRecord>| {
        gateway(wire::DiscoveryResponse { apps: vec![app.clone()], keys, ..testing::increment() })
    };
    let store = of(vec![]);
    assert_eq!(waits(chat(&store)), [(SUBJECT, MINUTE, 1), (key_id, MINUTE, 1)]);
    assert_eq!(
        waits(ask(&store, testing::app_key().expose(), CHAT, BODY)),
        [(SUBJECT, MINUTE, 1)],
        "the app key has none of its own"
    );
    testing::grant(&store, SUBJECT, MINUTE, 60, 60);
    testing::grant(&store, key_id, MINUTE, 5, 5);
    let response_headers: BTreeMap<_, _> = forwarded(chat(&store)).response_headers.into_iter().collect();
    assert_eq!(response_headers["x-ratelimit-limit-requests"], "5", "the tightest");
    assert_eq!(response_headers["x-ratelimit-remaining-requests"], "4");
    testing::answer(&store, key_id, MINUTE, 5, 0, testing::refusal(account::GrantVerdict::Exhausted));
    LeaseAccount::change(&store, key_id, |account| account.lines.iter_mut().for_each(|line| line.used = 5));
    let refused = reply(chat(&store));
    assert_eq!(
        (refused.code, &limit_told(&refused)["owner"]),
        (Some(Code::RateLimitExceeded), &"key".into())
    );
    assert_eq!(testing::line(&store, SUBJECT, MINUTE).used, 1, "nothing is taken of the app");

    let limits = Some(testing::limits(&[(TOKENS, 9000)]));
    let store = of(vec![wire::KeyRecord { limits, ..testing::named_key_record() }]);
    let asked = waits(chat(&store));
    assert_eq!(
        asked.iter().map(|ask| (ask.0, ask.1)).collect::<Vec<_>>(),
        [(SUBJECT, MINUTE), (key_id, TOKENS)]
    );
}

#[test]
fn a_full_ring_refuses_those_that_are_limited() {
    let full = |store: &TestMemory| {
        let view = View::new(store);
        let bearer = format!("Bearer {}", testing::app_key().expose());
        let headers = headers("POST", CHAT, &[("authorization", &bearer)]);
        let world = FixedWorld::at(1000, "");
        let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &world) else {
            panic!("answered")
        };
        admitted.decide(
            || BODY.to_vec(),
            &Gate { view: &view, world: &world, has_room: false, patience: Patience::Whole },
        )
    };
    let store = limited(&[(MINUTE, 60)]);
    testing::grant(&store, SUBJECT, MINUTE, 60, 60);
    let refused = reply(full(&store));
    assert_eq!((refused.status, refused.code), (503, Some(Code::LedgerFull)));
    assert_eq!(told(&refused, "retry-after-ms").as_deref(), Some("1000"));
    assert_eq!(testing::line(&store, SUBJECT, MINUTE).used, 0);
    forwarded(full(&limited(&[])));
}
