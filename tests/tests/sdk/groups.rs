//! Routing groups as models of the official SDKs: what a provider does is the gateway's to mend, and where nobody
//! serves the SDKs raise their own errors.

use std::time::Duration;

use latchkey_tests::provider::Provider;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{PROVIDER_CREDENTIAL, Stack, wait};
use latchkey_tests::upstream::{Act, Upstream};
use serde_json::{Value, json};

/// How a call is made.
const HOW: [&str; 4] = ["whole", "streamed", "tools", "streamed_tools"];

/// An API, and how its providers fail.
struct Family {
    kind: &'static str,
    script: &'static str,
    /// The last part of the URLs of its providers.
    path: &'static str,
    error: Value,
    limited: Value,
    /// The head of a stream that is an error.
    event: &'static str,
}

fn openai() -> Family {
    let error =
        |message: &str, kind: &str| json!({ "error": { "message": message, "type": kind, "code": "x" } });
    Family {
        kind: "openai_compatible",
        script: "groups.py",
        path: "/v1",
        error: error("it is broken", "server_error"),
        limited: error("slow down", "rate_limit_error"),
        event: "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n",
    }
}

fn anthropic() -> Family {
    let error =
        |message: &str, kind: &str| json!({ "type": "error", "error": { "type": kind, "message": message } });
    Family {
        kind: "anthropic",
        script: "messages_groups.py",
        path: "",
        error: error("it is broken", "api_error"),
        limited: error("slow down", "rate_limit_error"),
        event: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"overloaded\"}}\n\n",
    }
}

/// A stack with providers of one API: `good`, and others, each of which fails in its way.
struct Place {
    family: Family,
    stack: Stack,
    app: App,
    good: Provider,
    failing: Vec<Upstream>,
    /// Where nobody listens.
    nobody: Port,
}

impl Place {
    async fn start(family: Family) -> Self {
        let stack = Stack::start().await.unwrap();
        let good = Provider::start(([127, 0, 0, 1], 0).into(), Some(PROVIDER_CREDENTIAL)).await.unwrap();
        let app =
            stack.api().create_app(json!({ "name": "grouped", "routing_groups": "all" })).await.unwrap();
        let place = Self { family, stack, app, good, failing: Vec::new(), nobody: Port::free().unwrap() };
        place.attach("good", place.good.url().trim_end_matches("/v1"), Some(PROVIDER_CREDENTIAL)).await;
        place.model("good", "good", "gpt-4o-mini").await;
        place.with_failing().await
    }

    async fn with_failing(mut self) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let later = "retry-after: 7\r\n";
        let acts = [
            ("down", Act::status("500 Oh", "", &self.family.error.to_string())),
            ("limited", Act::status("429 Later", later, &self.family.limited.to_string())),
            ("event", Act::Answer([head, self.family.event].concat().into_bytes())),
            ("silent", Act::Paced(Duration::from_secs(60), vec![head.as_bytes().to_vec()])),
        ];
        for (name, act) in acts {
            let upstream = Upstream::start(move |_| act.clone()).await.unwrap();
            self.attach(name, &upstream.url(""), None).await;
            self.failing.push(upstream);
        }
        let nobody = format!("http://{}", self.nobody.address());
        self.attach("gone", &nobody, None).await;
        self
    }

    async fn attach(&self, name: &str, url: &str, credential: Option<&str>) {
        let url = format!("{url}{}", self.family.path);
        let provider =
            json!({ "name": name, "kind": self.family.kind, "base_url": url, "credential": credential });
        self.stack.api().post("/api/v1/providers", provider).await.unwrap().ok().unwrap();
    }

    async fn model(&self, name: &str, provider: &str, upstream_name: &str) {
        let model = json!({ "name": name, "provider": provider, "upstream_name": upstream_name });
        self.stack.api().post("/api/v1/models", model).await.unwrap().ok().unwrap();
    }

    /// A group that tries these providers in this order; each failing one by a model of its own, so that a target that
    /// rests is nobody else's.
    async fn group(&self, name: &str, providers: &[&str]) {
        let mut targets = Vec::new();
        for (at, provider) in providers.iter().enumerate() {
            let model = if *provider == "good" { "good".to_owned() } else { format!("{name}-{at}") };
            if *provider != "good" {
                self.model(&model, provider, "gpt-4o-mini").await;
            }
            let weight = if at == 0 { 100 } else { 0 };
            targets.push(json!({ "provider": provider, "model": model, "weight": weight }));
        }
        let failover = json!({ "attempts": 4, "headers_timeout_ms": 20_000, "first_event_timeout_ms": 700 });
        let group = json!({ "name": name, "targets": targets, "failover": failover });
        self.stack.api().post("/api/v1/routing-groups", group).await.unwrap().ok().unwrap();
    }

    /// What the SDK makes of these calls, of a model each.
    async fn ask(&self, calls: &[(String, &str)]) -> Vec<Value> {
        self.group("ready", &["good"]).await;
        self.stack.until_synced().await.unwrap();
        self.told(&[("ready".to_owned(), "whole")], |seen| seen[0]["text"].is_string()).await;
        self.good.forget();
        self.told(calls, |_| true).await
    }

    /// The same, once it is as it should be.
    async fn told(&self, calls: &[(String, &str)], is_right: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let calls = json!(calls).to_string();
        let variables = [("CALLS", calls.as_str())];
        wait::until("the SDK to be served", Duration::from_secs(60), async || {
            let told = self.stack.gateway().sdk(self.family.script, &self.app.key, &variables).await?;
            let told = told.as_array().cloned().unwrap_or_default();
            anyhow::ensure!(is_right(&told), "{told:?}");
            Ok(Some(told))
        })
        .await
        .unwrap()
    }
}

/// The first target fails in each of these ways, and the second serves: the SDK does not notice.
async fn failures_are_not_noticed(family: Family) {
    let place = Place::start(family).await;
    let mut calls = Vec::new();
    for (failing, hows) in
        [("down", &HOW[..]), ("event", &HOW[1..2]), ("silent", &HOW[1..2]), ("event", &HOW[3..])]
    {
        for how in hows {
            let name = format!("{failing}-{how}");
            place.group(&name, &[failing, "good"]).await;
            calls.push((name, *how));
        }
    }
    place.group("gone-whole", &["gone", "limited", "good"]).await;
    calls.push(("gone-whole".to_owned(), "whole"));
    let expected = |how: &str, attempts: &str| {
        let is_call = how.ends_with("tools");
        let city = json!({ "city": "sample" });
        let called = if is_call { json!([["get_weather", city]]) } else { json!([]) };
        let text = if is_call { Value::Null } else { json!("You said: hello") };
        let reason = match (place.family.kind, is_call) {
            ("anthropic", true) => "tool_use",
            ("anthropic", false) => "end_turn",
            (_, true) => "tool_calls",
            (_, false) => "stop",
        };
        json!({ "text": text, "called": called, "finish_reason": reason, "attempts": attempts })
    };
    let seen = place.ask(&calls).await;
    for ((name, how), seen) in calls.iter().zip(seen) {
        let attempts = if name.starts_with("gone") { "3" } else { "2" };
        assert_eq!(seen, expected(how, attempts), "{name}");
    }
    let heads = place.failing.iter().map(|upstream| upstream.heads().len());
    assert_eq!(heads.collect::<Vec<_>>(), [4, 1, 2, 1], "each was asked first");
    assert_eq!(place.good.requests().len(), calls.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_is_not_noticed_by_openais_sdk() {
    failures_are_not_noticed(openai()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_is_not_noticed_by_anthropics_sdk() {
    failures_are_not_noticed(anthropic()).await;
}

/// Nobody serves: what the SDK raises for the last status, for no connection at all, and for an event.
async fn outage(family: Family) -> Vec<Value> {
    let place = Place::start(family).await;
    place.group("limited", &["down", "gone", "limited"]).await;
    place.group("broken", &["limited", "down"]).await;
    place.group("gone", &["gone", "gone"]).await;
    place.group("event", &["down", "event"]).await;
    place.group("silent", &["event", "silent"]).await;
    let calls = [
        ("limited", "whole"),
        ("limited", "streamed"),
        ("broken", "tools"),
        ("gone", "whole"),
        ("event", "streamed"),
        ("silent", "streamed"),
    ];
    let calls = calls.map(|(name, how)| (name.to_owned(), how));
    place.ask(&calls).await
}

/// Of each: the class, the status, the code, the number of targets that were tried, and when to try again.
fn raised(seen: &[Value]) -> Vec<Value> {
    let fields = ["class", "status", "code", "attempts", "retry_after"];
    seen.iter().map(|error| json!(fields.map(|field| &error[field]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_an_error_of_openais_sdk() {
    let seen = outage(openai()).await;
    let expected = [
        json!(["RateLimitError", 429, "x", "3", "7"]),
        json!(["RateLimitError", 429, "x", "3", "7"]),
        json!(["InternalServerError", 500, "x", "2", null]),
        json!(["InternalServerError", 503, "provider_unreachable", "2", null]),
        json!(["APIError", null, null, null, null]),
        json!(["InternalServerError", 504, "provider_timeout", "2", null]),
    ];
    assert_eq!(raised(&seen), expected, "{seen:#?}");
    assert!(seen[0]["message"].as_str().unwrap().contains("slow down"), "{}", seen[0]);
    assert!(seen[4]["message"].as_str().unwrap().contains("overloaded"), "{}", seen[4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_an_error_of_anthropics_sdk() {
    let seen = outage(anthropic()).await;
    let expected = [
        json!(["RateLimitError", 429, null, "3", "7"]),
        json!(["RateLimitError", 429, null, "3", "7"]),
        json!(["InternalServerError", 500, null, "2", null]),
        json!(["InternalServerError", 503, "provider_unreachable", "2", null]),
        json!(["APIStatusError", 200, null, "2", null]),
        json!(["InternalServerError", 504, "provider_timeout", "2", null]),
    ];
    assert_eq!(raised(&seen), expected, "{seen:#?}");
    let kinds: Vec<_> = seen.iter().map(|error| error["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(
        kinds,
        [
            "rate_limit_error",
            "rate_limit_error",
            "api_error",
            "server_error",
            "overloaded_error",
            "server_error"
        ]
    );
}
