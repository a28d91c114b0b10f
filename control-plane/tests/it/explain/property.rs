use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use latchkey_api::explain::Explain;
use latchkey_core::identity::{IdentitySettings, JwtKeys, JwtSettings};
use latchkey_core::limits::{Budget, Limits, TokenBudget};
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use latchkey_core::selection::Selection;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Status;
use latchkey_filter_core::answer::reply::Reply;
use latchkey_filter_core::gate::BodyDecision;
use latchkey_filter_core::limits::account::Reservation;
use latchkey_filter_core::upstream::call::UpstreamCall;
use latchkey_filter_core::upstream::forward::Forward;
use latchkey_proto::key::KeyHash;
use latchkey_service::explain::Question;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::gateway::{Place, decide};
use super::identity::{jwt as jwt_of, pem, signer};
use super::*;
use crate::ledger::gateway::ControlPlane;

/// Apps, keys and requests that explain and gate are asked about.
#[derive(Clone, Debug)]
struct Case {
    mode: CredentialMode,
    models: Selection,
    providers: Selection,
    addresses: Option<Vec<String>>,
    limits: Limits,
    key_limits: Limits,
    /// Of the app, then of the key: status, and in how many seconds it expires.
    standings: [(Status, Option<i64>); 2],
    is_named: bool,
    claims: Claims,
    request: Request,
    /// Of each bucket of the app, then of the key: how many percent are used, and leased to another gateway.
    used: Vec<(u64, u64)>,
    /// In how many seconds the request comes.
    later: u64,
}

/// What the app believes of headers, and what the request says in them.
#[derive(Clone, Debug)]
struct Claims {
    identity: IdentitySettings,
    conversation_required: bool,
    headers: BTreeMap<&'static str, String>,
}

#[derive(Clone, Debug)]
struct Request {
    path: &'static str,
    model: &'static str,
    max_tokens: Option<u64>,
    address: Option<&'static str>,
}

fn status() -> impl Strategy<Value = (Status, Option<i64>)> {
    let status =
        prop_oneof![12 => Just(Status::Active), 1 => Just(Status::Inactive), 1 => Just(Status::Revoked)];
    (status, prop_oneof![8 => Just(None), 2 => (-100..7200_i64).prop_map(Some)])
}

fn limits() -> impl Strategy<Value = Limits> {
    fn some<T: std::fmt::Debug + Clone>(most: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
        prop_oneof![2 => Just(None), 1 => most.prop_map(Some)]
    }
    let per = || prop_oneof![Just(Period::Day), Just(Period::Month), Just(Period::Total)];
    let tokens = (200..50_000_u64, per()).prop_map(|(tokens, per)| TokenBudget { tokens, per });
    let budget = (1_000..80_000_000_u64, per()).prop_map(|(usd, per)| Budget { usd: NanoUsd(usd), per });
    let requests = (some(1..9_u64), some(1..50_u64), some(1..90_u64), some(100..20_000_u64));
    (requests, some(tokens), some(budget), some(1..100_u64), some(1..3000_u64)).prop_map(
        |((minute, hour, day, tokens), token_budget, budget, input, output)| Limits {
            requests_per_minute: minute,
            requests_per_hour: hour,
            requests_per_day: day,
            tokens_per_minute: tokens,
            token_budget,
            budget,
            max_input_tokens: input,
            max_output_tokens: output,
            min_output_tokens: None,
        },
    )
}

fn claims() -> impl Strategy<Value = Claims> {
    let jwt = JwtSettings {
        keys: JwtKeys::Pem(pem(&signer(1))),
        issuers: None,
        parties: None,
        audiences: None,
        email_claim: "email".to_owned(),
    };
    let jwt = prop_oneof![1 => Just(None), 1 => Just(Some(jwt))];
    let domains = prop_oneof![3 => Just(None), 1 => Just(Some(vec!["acme.com".to_owned()]))];
    let believed =
        (any::<bool>(), any::<bool>(), domains, jwt).prop_map(|(header, enforce, allowed_domains, jwt)| {
            IdentitySettings { header, enforce, allowed_domains, jwt }
        });
    let identity = prop_oneof![1 => Just(IdentitySettings::default()), 1 => believed];
    let token = |seed| jwt_of(&signer(seed), i64::from(u32::MAX));
    let said = [
        ("x-user-email", vec!["alice@acme.com".to_owned(), "eve@example.com".to_owned(), "eve".to_owned()]),
        ("x-user-token", vec![token(1), token(2), "x".to_owned()]),
        ("x-conversation-id", vec!["chat-7".to_owned(), "a b".to_owned(), String::new()]),
    ];
    let said = said.map(|(name, values)| {
        prop_oneof![1 => Just(None), 1 => select(values).prop_map(move |value| Some((name, value)))]
    });
    (identity, prop::bool::weighted(0.2), said).prop_map(|(identity, conversation_required, said)| Claims {
        identity,
        conversation_required,
        headers: said.into_iter().flatten().collect(),
    })
}

fn case() -> impl Strategy<Value = Case> {
    let mode = prop_oneof![Just(CredentialMode::Shared), Just(CredentialMode::Named)];
    let only = |names: &[&str]| Selection::Only(names.iter().map(|name| (*name).to_owned()).collect());
    let models = prop_oneof![
        6 => Just(Selection::All), 1 => Just(Selection::None), 2 => Just(only(&["gpt-*"])), 1 => Just(only(&["claude"])),
    ];
    let providers = prop_oneof![
        6 => Just(Selection::All), 1 => Just(Selection::None), 2 => Just(only(&["openai"])),
    ];
    let addresses = prop_oneof![
        3 => Just(None), 1 => Just(Some(vec!["10.0.0.0/8".to_owned(), "2001:db8::/32".to_owned()])),
    ];
    let path = prop_oneof![
        6 => Just("/v1/chat/completions"), 2 => Just("/openai_compatible/v1/responses"), 1 => Just("/v1/embeddings"),
        2 => Just("/anthropic_messages/v1/messages"), 1 => Just("/v1/moderations"), 1 => Just("/v1/images/generations"),
        1 => Just("/v1/models"), 1 => Just("/v1/files"),
    ];
    let model =
        prop_oneof![6 => Just("gpt-4o"), 2 => Just("claude"), 2 => Just("mine"), 1 => Just("nobodys")];
    let address = prop_oneof![
        3 => Just(Some("10.1.2.3")), 1 => Just(Some("192.0.2.1")), 1 => Just(Some("::ffff:10.0.0.1")),
        1 => Just(Some("2001:db8::1")), 1 => Just(None),
    ];
    let max_tokens = prop_oneof![1 => Just(None), 2 => (1..5000_u64).prop_map(Some)];
    let request = (path, model, max_tokens, address).prop_map(|(path, model, max_tokens, address)| Request {
        path,
        model,
        max_tokens,
        address,
    });
    let share = prop_oneof![3 => Just(0), 2 => 0..=100_u64, 1 => Just(100)];
    let used = prop::collection::vec((share.clone(), share), 12);
    let later = prop_oneof![6 => Just(0), 2 => 1..120_u64, 1 => Just(7200), 1 => Just(3 * 86_400)];
    let settings = (mode, models, providers, addresses, limits(), limits());
    (settings, [status(), status()], any::<bool>(), claims(), request, used, later).prop_map(
        |(
            (mode, models, providers, addresses, limits, key_limits),
            standings,
            is_named,
            claims,
            request,
            used,
            later,
        )| Case {
            mode,
            models,
            providers,
            addresses,
            limits,
            key_limits,
            standings,
            is_named,
            claims,
            request,
            used,
            later,
        },
    )
}

struct Subject {
    app: Value,
    key: Value,
    token: String,
}

impl Case {
    /// Has the database hold it.
    async fn lay(&self, test: &Test, subject: &Subject) {
        let now = test.world.now();
        let ends = |left: Option<i64>| {
            left.map(|seconds| Timestamp::from_second(now.as_second() + seconds).unwrap())
        };
        let [app_standing, key_standing] = self.standings;
        let mut tx = test.store.begin().await.unwrap();
        let app_id = id(&subject.app).parse().unwrap();
        let mut app = tx.app(app_id).await.unwrap().unwrap();
        app.status = app_standing.0;
        app.settings.mode = self.mode;
        app.settings.expires_at = ends(app_standing.1);
        app.settings.allowed_models = self.models.clone();
        app.settings.allowed_providers = self.providers.clone();
        app.settings.ip_allow_list.clone_from(&self.addresses);
        app.settings.identity = self.claims.identity.clone();
        app.settings.require_conversation_id = self.claims.conversation_required;
        app.settings.limits = self.limits.clone();
        app.settings.named_key_limits = self.key_limits.clone();
        app.revision = tx.revision(&test.world).await.unwrap();
        let mut named = tx.named_key(app_id, id(&subject.key).parse().unwrap()).await.unwrap().unwrap();
        let mut own = tx.app_key(app_id).await.unwrap();
        for key in [&mut named, &mut own] {
            (key.status, key.expires_at, key.revision) = (key_standing.0, ends(key_standing.1), app.revision);
            tx.update_key(key).await.unwrap();
        }
        tx.update_app(&app).await.unwrap();
        tx.commit().await.unwrap();
        let mut rows =
            vec!["BEGIN".to_owned(), "DELETE FROM buckets".to_owned(), "DELETE FROM leases".to_owned()];
        let owners = [(&subject.app, &self.limits), (&subject.key, &self.key_limits)];
        let buckets = owners
            .into_iter()
            .flat_map(|(owner, limits)| limits.buckets().map(move |bucket| (owner, bucket)));
        for ((owner, (kind, limit, reach)), (used, leased)) in buckets.zip(&self.used) {
            let zone = jiff::tz::TimeZone::UTC;
            let period = match reach {
                latchkey_core::limits::LimitWindow::Sliding { .. } => 0,
                latchkey_core::limits::LimitWindow::Calendar(period) => period.at(now, &zone).unwrap().id,
            };
            let units = |percent: &u64| limit * percent / 100;
            let slots = match kind.span_ms() {
                Some(span) => format!("[[{},{}]]", now.as_millisecond() / i64::from(span / 60), units(used)),
                None => "[]".to_owned(),
            };
            let (owner, kind) = (id(owner), kind.number());
            let granted = units(leased).min(limit - units(used));
            let ends = now.as_millisecond() + 15_000;
            rows.push(format!(
                "INSERT INTO buckets (owner, kind, period, used, slots)
                 VALUES ('{owner}', {kind}, {period}, {}, '{slots}')",
                units(used)
            ));
            rows.push(format!(
                "INSERT INTO leases VALUES ('{owner}', {kind}, {period}, 'other', 'edge-2', {granted}, 0, 0, 0, 0, {ends})"
            ));
        }
        rows.push("COMMIT".to_owned());
        test.sql(&rows).await;
    }

    fn question(&self, subject: &Subject, at: Timestamp) -> Value {
        let Request { path, model, max_tokens, address } = &self.request;
        let has_output = !["embeddings", "moderations", "generations", "models", "files"]
            .iter()
            .any(|end| path.ends_with(end));
        json!({
            "key_id": if self.is_named { &subject.key["id"] } else { &subject.app["key"]["id"] },
            "path": path, "model": model, "max_tokens": max_tokens.filter(|_| has_output),
            "address": address, "at": at.to_string(), "headers": self.claims.headers,
        })
    }
}

/// What the gate did, in the words of an explanation.
fn shown(outcome: BodyDecision) -> Value {
    match outcome {
        BodyDecision::Reply(Reply { status, headers, body, code, .. }) => {
            let headers: serde_json::Map<_, _> =
                headers.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let body: Value = serde_json::from_slice(&body).unwrap();
            json!({"allowed": code.is_none(), "status": status, "code": code.map(|code| code.as_str()),
                "answer": {"headers": headers, "body": body}, "forward": null, "reserved": []})
        }
        BodyDecision::Forward(forward) => {
            let Forward { path, call, response_headers, body, .. } = *forward;
            let UpstreamCall::Model(call) = call else { panic!("no MCP server was asked: {call:?}") };
            let headers: serde_json::Map<_, _> =
                response_headers.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let held = call.reservation.iter().flat_map(Reservation::held);
            let reserved: Vec<_> = held.map(|held| held.amount).collect();
            // Where the gate has lowered the output it says so in the body.
            let edited: Option<Value> = body.map(|body| serde_json::from_slice(&body).unwrap());
            let lowered = edited.and_then(|body| {
                ["max_completion_tokens", "max_tokens", "max_output_tokens"]
                    .iter()
                    .find_map(|name| body[name].as_u64())
            });
            json!({"allowed": true, "status": null, "code": null, "answer": null, "reserved": reserved,
                "forward": {"model": call.model, "served_model": call.served_model, "provider": call.provider.name,
                    "authority": call.provider.authority, "path": path, "headers": headers,
                    "price_version": call.price.as_ref().map(|price| price.version), "routing": null}, "lowered": lowered})
        }
        other => panic!("still waits: {other:?}"),
    }
}

/// The same of an explanation.
fn told(mut explanation: Value, lowered: &Value) -> Value {
    let members = explanation.as_object_mut().unwrap();
    for member in ["key_id", "at", "rule", "message"] {
        members.remove(member);
    }
    for reserved in members["reserved"].as_array_mut().unwrap() {
        *reserved = reserved["amount"].clone();
    }
    if let Some(forward) = members["forward"].as_object_mut() {
        let most = forward.remove("max_output_tokens").unwrap();
        if !lowered.is_null() {
            assert_eq!(&most, lowered);
        }
        members.insert("lowered".to_owned(), lowered.clone());
    }
    explanation
}

async fn subject(test: &Test) -> Subject {
    test.catalogue().await;
    let anthropic =
        json!({"name": "anthropic", "kind": "anthropic", "base_url": "https://api.anthropic.com"});
    test.post("/providers", anthropic).await.expect(StatusCode::CREATED);
    let price = json!({"input": "3", "output": "15"});
    for model in [
        json!({"name": "claude", "provider": "anthropic", "price": price, "context_window": 200_000}),
        json!({"name": "mine", "provider": "openai", "price": null}),
    ] {
        test.post("/models", model).await.expect(StatusCode::CREATED);
    }
    let app = test.app(json!({"mode": "named"})).await;
    let key = test.named_key(&app).await;
    Subject { app, key, token: test.token(Role::Gateway).await }
}

on_both! {
    /// Random apps, keys, uses and requests: what is explained is what a gateway does that has just
    /// started, with the feed, the book and the key itself.
    async fn what_is_explained_is_what_the_gate_does(test: Test) {
        let subject = subject(&test).await;
        let control_plane = ControlPlane::start(&test).await;
        let own = subject.app["key"]["value"].as_str().unwrap();
        let mut runner = TestRunner::default();
        let mut seen = BTreeMap::<String, usize>::new();
        for round in 0..100 {
            let case = case().new_tree(&mut runner).unwrap().current();
            case.lay(&test, &subject).await;
            // Whoever holds units may come back, however long this test takes.
            control_plane.presence.see(["other".to_owned()]);
            let at = test.world.now() + Duration::from_secs(case.later);
            let question = case.question(&subject, at);
            let explained = explain(&test, &subject.app, question.clone()).await;
            test.clock.advance(Duration::from_secs(case.later));
            let named = subject.key["value"].as_str().unwrap();
            let bearer = format!("Bearer {}", if case.is_named { named } else { own });
            let asked: Explain = serde_json::from_value(question).unwrap();
            let Question { mut headers, body, address, at, .. } = asked.question(KeyHash::of("x"), at).unwrap();
            headers.push(("authorization".to_owned(), bearer.into_bytes()));
            let place = Place { at, address };
            let instance = format!("{round:x}");
            let outcome =
                decide(&test, &control_plane, &subject.token, &instance, &headers, &body, &place).await;
            let done = shown(outcome);
            let lowered = done.get("lowered").cloned().unwrap_or_default();
            *seen.entry(explained["code"].as_str().unwrap_or("allowed").to_owned()).or_default() += 1;
            assert_eq!(told(explained, &lowered), done, "{case:#?}");
        }
        assert!(seen.len() >= 12 && seen.contains_key("allowed"), "the cases are too much alike: {seen:?}");
    }
}
