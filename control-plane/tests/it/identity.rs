//! Identity on shared keys: settings, and the job that fetches JWK sets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use latchkey::jwks::Jwks;
use latchkey::jwks::fetch::{Failed, Fetcher};
use latchkey_core::identity::jwks_network::JwksNetworkPolicy;
use latchkey_core::role::Role;
use latchkey_discovery::source::From;
use latchkey_ledger::suspects::Suspects;
use latchkey_proto::discovery::{AppPolicy, Identity, Jwt};
use latchkey_service::outbound;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Test, id, on_both, pair};

const LOOPBACK: JwksNetworkPolicy = JwksNetworkPolicy { private: false, loopback: true };

/// A source of a JWK set that answers what it is told to.
#[derive(Clone, Default)]
struct Source(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    answers: VecDeque<Say>,
    asked: Vec<HeaderMap>,
}

#[derive(Clone)]
enum Say {
    Keys(Value, &'static str),
    Text(StatusCode, String),
    Redirect(&'static str),
    Nothing,
}

impl Source {
    async fn start() -> (Self, String) {
        let source = Self::default();
        let routes = Router::new().fallback(answer).with_state(source.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, routes).await });
        (source, url)
    }

    /// What it says from now on.
    fn say(&self, answer: Say) {
        self.0.lock().unwrap().answers = VecDeque::from([answer]);
    }

    fn keys(&self, keys: &[&str]) {
        self.say(Say::Keys(set(keys), ""));
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }
}

async fn answer(State(source): State<Source>, headers: HeaderMap) -> Response {
    let said = {
        let mut told = source.0.lock().unwrap();
        told.asked.push(headers.clone());
        told.answers.front().cloned().unwrap_or(Say::Nothing)
    };
    match said {
        Say::Keys(_, "v1") if headers.get(header::IF_NONE_MATCH).is_some_and(|etag| etag == "\"v1\"") => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        Say::Keys(keys, "v1") => {
            ([(header::ETAG, "\"v1\""), (header::CACHE_CONTROL, "public, max-age=600")], keys.to_string())
                .into_response()
        }
        Say::Keys(keys, _) => keys.to_string().into_response(),
        Say::Text(status, text) => (status, text).into_response(),
        Say::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Say::Nothing => std::future::pending().await,
    }
}

/// A set of keys of these names.
fn set(kids: &[&str]) -> Value {
    let key = |kid: &&str| json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": kid});
    json!({"keys": kids.iter().map(key).collect::<Vec<_>>()})
}

fn job(test: &Test) -> Jwks {
    job_with(test, Suspects::default())
}

fn job_with(test: &Test, suspects: Suspects) -> Jwks {
    Jwks::new(test.store.clone(), test.world.clone(), Fetcher::new(LOOPBACK).unwrap(), suspects)
}

fn by_jwks(url: &str) -> Value {
    json!({"identity": {"jwt": {"keys": {"jwks_url": url}}}})
}

async fn policy(test: &Test, app: &Value) -> AppPolicy {
    let batch = test.store.feed_batch(From::Everything, None, 1000).await.unwrap();
    let id = id(app).parse::<uuid::Uuid>().unwrap();
    batch.apps.into_iter().find(|policy| policy.id == id.as_bytes()).unwrap()
}

async fn kids(test: &Test, app: &Value) -> Vec<String> {
    let jwt = policy(test, app).await.identity.unwrap().jwt.unwrap();
    jwt.keys.into_iter().map(|key| key.kid).collect()
}

async fn sets(test: &Test) -> Value {
    test.get("/jwks").await.expect(StatusCode::OK)["items"].clone()
}

async fn revision(test: &Test) -> u64 {
    test.store.head().await.unwrap().position.revision
}

on_both! {
    async fn settings_travel_to_gateways_as_they_are_stored(test: Test) {
        let identity = json!({
            "header": true, "enforce": true, "allowed_domains": ["ACME.com"],
            "jwt": {"keys": {"pem": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"},
                "issuers": ["https://id.acme.com"], "parties": ["chat"], "audiences": ["gw"], "email_claim": "upn"}
        });
        let app = test.app(json!({"identity": identity, "require_conversation_id": true})).await;
        assert_eq!(app["identity"]["allowed_domains"], json!(["acme.com"]));
        let policy = policy(&test, &app).await;
        assert!(policy.conversation_required);
        let Some(Identity { header: true, enforce: true, domains: Some(domains), jwt: Some(jwt) }) = policy.identity else {
            panic!("{:?}", policy.identity)
        };
        assert_eq!(domains.names, ["acme.com"]);
        let Jwt { keys, issuers, parties, email_claim, audiences } = jwt;
        assert_eq!(audiences.unwrap().names, ["gw"]);
        assert_eq!((keys.len(), keys[0].key.len(), keys[0].algorithm), (1, 32, 3));
        assert_eq!((issuers.unwrap().names, parties.unwrap().names), (vec!["https://id.acme.com".to_owned()], vec!["chat".to_owned()]));
        assert_eq!(email_claim, "upn");
        let plain = test.app(json!({})).await;
        assert_eq!(self::policy(&test, &plain).await.identity, None);
    }
}

on_both! {
    async fn wrong_settings_change_nothing_and_a_private_key_is_not_stored(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let before = test.get(&path).await.expect(StatusCode::OK);
        let private = "-----BEGIN PRIVATE KEY-----\nTOPSECRET\n-----END PRIVATE KEY-----";
        for (identity, path) in [
            (json!({"enforce": true}), "identity.enforce"),
            (json!({"jwt": {"keys": {"pem": private}}}), "identity.jwt.keys.pem"),
            (json!({"jwt": {"keys": {"jwks_url": "http://id.acme.com/"}}}), "identity.jwt.keys.jwks_url"),
        ] {
            let answer = test.patch(&format!("/apps/{}", id(&app)), json!({"identity": identity})).await;
            assert!(!answer.json.to_string().contains("TOPSECRET"));
            assert_eq!(answer.refused(422), pair("invalid", path));
        }
        assert_eq!(test.get(&path).await.expect(StatusCode::OK), before);
        let unknown = test.patch(&path, json!({"identity": {"headers": true}})).await;
        assert_eq!(unknown.status.as_u16() / 100, 4);
    }
}

on_both! {
    async fn keys_are_fetched_soon_and_again_and_pushed_when_they_change(test: Test) {
        let (source, url) = Source::start().await;
        source.keys(&["one"]);
        let app = test.app(by_jwks(&url)).await;
        assert_eq!(sets(&test).await, json!([{"url": url, "keys": 0, "kids": [], "fetched_at": null, "tried_at": null, "error": null}]));
        assert_eq!(kids(&test, &app).await, Vec::<String>::new(), "until then every token is refused");
        let jwks = job(&test);
        jwks.refresh().await.unwrap();
        assert_eq!(kids(&test, &app).await, ["one"]);
        let first = sets(&test).await;
        assert_eq!((&first[0]["kids"], &first[0]["fetched_at"]), (&json!(["one"]), &json!("2026-01-01T00:00:00Z")));

        source.keys(&["one", "two"]);
        let before = revision(&test).await;
        test.clock.advance(Duration::from_secs(299));
        jwks.refresh().await.unwrap();
        assert_eq!((source.asked(), revision(&test).await), (1, before));
        test.clock.advance(Duration::from_secs(1));
        jwks.refresh().await.unwrap();
        assert_eq!(kids(&test, &app).await, ["one", "two"]);
        let changed = test.store.feed_batch(From::After(before), None, 1000).await.unwrap();
        assert_eq!(changed.apps.len(), 1, "the app is sent again");

        test.clock.advance(Duration::from_secs(300));
        let before = revision(&test).await;
        jwks.refresh().await.unwrap();
        assert_eq!((source.asked(), revision(&test).await), (3, before), "what is as it was is not sent");
        let read = test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(read["updated_at"], app["updated_at"], "nobody edited it");
    }
}

on_both! {
    async fn while_a_source_is_away_or_talks_nonsense_its_last_keys_stay(test: Test) {
        let (source, url) = Source::start().await;
        source.keys(&["good"]);
        let app = test.app(by_jwks(&url)).await;
        let jwks = job(&test);
        jwks.refresh().await.unwrap();
        test.clock.advance(Duration::from_secs(300));
        for (said, why) in [
            (Say::Text(StatusCode::INTERNAL_SERVER_ERROR, String::new()), "it responded with 500 Internal Server Error"),
            (Say::Text(StatusCode::OK, "<html>".into()), "the response is not a JWK set"),
            (Say::Text(StatusCode::OK, r#"{"keys":[]}"#.into()), "the set has no key"),
            (Say::Text(StatusCode::OK, " ".repeat(300 * 1024)), "the response was cut off or is larger than 256 KiB"),
            (Say::Redirect("https://169.254.169.254/"), "it responded with 302 Found: redirects are not followed"),
            (Say::Nothing, "no response within 5 seconds"),
        ] {
            source.say(said);
            jwks.refresh().await.unwrap();
            let set = sets(&test).await[0].clone();
            assert!(set["error"].as_str().unwrap().starts_with(why), "{set}");
            assert_eq!((&set["keys"], &set["fetched_at"]), (&json!(1), &json!("2026-01-01T00:00:00Z")));
            assert_eq!(kids(&test, &app).await, ["good"]);
            // It is tried again before the usual time.
            test.clock.advance(Duration::from_secs(30));
        }
        source.keys(&["back"]);
        jwks.refresh().await.unwrap();
        assert_eq!((&sets(&test).await[0]["error"], kids(&test, &app).await), (&Value::Null, vec!["back".to_owned()]));
    }
}

on_both! {
    async fn a_source_may_say_how_long_and_that_nothing_has_changed(test: Test) {
        let (source, url) = Source::start().await;
        source.say(Say::Keys(set(&["one"]), "v1"));
        let app = test.app(by_jwks(&url)).await;
        let jwks = job(&test);
        jwks.refresh().await.unwrap();
        test.clock.advance(Duration::from_secs(599));
        jwks.refresh().await.unwrap();
        assert_eq!(source.asked(), 1);
        test.clock.advance(Duration::from_secs(1));
        jwks.refresh().await.unwrap();
        assert_eq!(source.asked(), 2);
        let set = sets(&test).await[0].clone();
        assert_eq!((&set["keys"], &set["fetched_at"], &set["error"]), (&json!(1), &json!("2026-01-01T00:10:00Z"), &Value::Null));
        assert_eq!(kids(&test, &app).await, ["one"]);
    }
}

on_both! {
    async fn a_refused_token_has_the_set_fetched_soon_and_not_more_often_whatever_is_made_up(test: Test) {
        let (source, url) = Source::start().await;
        source.keys(&["k1"]);
        let app = test.app(by_jwks(&url)).await;
        let other = test.app(by_jwks(&url)).await;
        let plain = test.app(json!({})).await;
        let suspects = Suspects::default();
        let jwks = job_with(&test, suspects.clone());
        jwks.refresh().await.unwrap();
        source.keys(&["k2"]);
        test.clock.advance(Duration::from_secs(1));
        jwks.refresh().await.unwrap();
        assert_eq!((source.asked(), kids(&test, &app).await), (1, vec!["k1".to_owned()]));
        let refused = || suspects.add([&app, &other, &plain].map(|app| id(app).parse().unwrap()));
        refused();
        jwks.refresh().await.unwrap();
        assert_eq!((source.asked(), kids(&test, &app).await), (2, vec!["k2".to_owned()]), "the old key is gone");
        // Made-up tokens, many a second, for five minutes.
        for _ in 0..300 {
            test.clock.advance(Duration::from_secs(1));
            refused();
            jwks.refresh().await.unwrap();
        }
        assert_eq!(source.asked(), 12, "once in 30 seconds");
        source.keys(&["k3"]);
        refused();
        for _ in 0..31 {
            test.clock.advance(Duration::from_secs(1));
            jwks.refresh().await.unwrap();
        }
        assert_eq!(kids(&test, &app).await, ["k3"], "one token is enough, also within the pause");
        assert_eq!(source.asked(), 13);
    }
}

on_both! {
    async fn a_set_that_no_app_names_any_more_is_forgotten(test: Test) {
        let (source, url) = Source::start().await;
        source.keys(&["one"]);
        let app = test.app(by_jwks(&url)).await;
        let jwks = job(&test);
        jwks.refresh().await.unwrap();
        test.patch(&format!("/apps/{}", id(&app)), json!({"identity": {}})).await.expect(StatusCode::OK);
        test.clock.advance(Duration::from_secs(300));
        jwks.refresh().await.unwrap();
        assert_eq!((sets(&test).await, source.asked()), (json!([]), 1));
    }
}

on_both! {
    async fn a_change_of_keys_is_in_the_audit_log(test: Test) {
        let (source, url) = Source::start().await;
        source.keys(&["one"]);
        test.app(by_jwks(&url)).await;
        job(&test).refresh().await.unwrap();
        let entries = crate::ledger::gateway::texts(&test, "SELECT subject_id || ' ' || data FROM audit WHERE action = 'jwks.changed'").await;
        assert_eq!(entries.len(), 1);
        assert!(entries[0].starts_with(&url) && entries[0].contains(r#""keys_after":["one"]"#), "{entries:?}");
    }
}

on_both! {
    async fn the_sets_are_for_those_who_may_read(test: Test) {
        for (role, status) in [(Role::Auditor, 200), (Role::Gateway, 403), (Role::User, 403)] {
            let token = test.token(role).await;
            assert_eq!(test.with(&token, "GET", "/jwks", None).await.status, status, "{role:?}");
        }
    }
}

#[tokio::test]
async fn addresses_out_of_reach_are_not_asked() {
    let (source, url) = Source::start().await;
    let nowhere = Fetcher::new(JwksNetworkPolicy::default()).unwrap();
    let by_name = url.replace("127.0.0.1", "localhost");
    for (fetcher, url) in [
        (&nowhere, url.as_str()),
        (&nowhere, &by_name),
        (&nowhere, "https://10.0.0.1/jwks"),
        (&nowhere, "https://[fd00::1]/jwks"),
        (
            &Fetcher::new(JwksNetworkPolicy { private: true, loopback: true }).unwrap(),
            "https://169.254.169.254/latest/meta-data",
        ),
        (&Fetcher::new(JwksNetworkPolicy { private: true, loopback: true }).unwrap(), "https://[fe80::1]/"),
        (&nowhere, "http://id.example.com/"),
    ] {
        let failed = fetcher.fetch(url, None).await.unwrap_err();
        let told = failed.to_string();
        let refused = matches!(failed, Failed::Outbound(outbound::Failed::Refused(_)) | Failed::Url(_))
            || told.contains("is a private address");
        assert!(refused, "{url}: {told}");
    }
    assert_eq!(source.asked(), 0);
    source.keys(&["one"]);
    assert!(Fetcher::new(LOOPBACK).unwrap().fetch(&by_name, None).await.unwrap().body.is_some());
}
