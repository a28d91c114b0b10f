//! External detectors through a real Envoy: what they find, what their failures mean, and whom an outage concerns.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::provider::{DETECTOR_CREDENTIAL, PROJECT};
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{PROVIDER_CREDENTIAL, Stack, wait};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const PATIENCE: Duration = Duration::from_secs(60);
/// Less than the longest timeout by far, and more than a busy machine needs.
const AT_ONCE: Duration = Duration::from_millis(2_500);

async fn add(stack: &Stack, name: &str, url: &str, timeout_ms: u32) {
    let body =
        json!({ "name": name, "url": url, "credential": DETECTOR_CREDENTIAL, "timeout_ms": timeout_ms });
    stack.api().post("/api/v1/detectors", body).await.unwrap().ok().unwrap();
}

fn rule(detector: &str, action: &str, on_failure: &str) -> Value {
    json!({ "category": "external", "detector": detector, "action": action, "direction": "request",
        "on_failure": on_failure })
}

async fn guarded(stack: &Stack, name: &str, rules: &[Value]) -> App {
    let settings = json!({ "name": name, "guardrails": { "rules": rules } });
    let app = stack.api().create_app(settings).await.unwrap();
    stack.until_synced().await.unwrap();
    app
}

async fn say(stack: &Stack, app: &App, text: &str) -> Answer {
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": text }] });
    stack.gateway().post(CHAT, &app.key, &body).await.unwrap()
}

/// Waits until the detector is reached: Envoy may still be warming its cluster.
async fn until_judged(stack: &Stack, app: &App) {
    wait::until("the detector to be reached", PATIENCE, async || {
        let answer = say(stack, app, "warm up").await;
        Ok((answer.status == 200 && answer.header("x-latchkey-guardrails").ends_with("unread=0"))
            .then_some(()))
    })
    .await
    .unwrap();
}

fn counts(redacted: u32, unread: u32) -> String {
    format!("redacted={redacted}; anonymized=0; monitored=0; unread={unread}")
}

/// The content that the provider was sent last.
fn sent(stack: &Stack) -> String {
    let requests = stack.provider().requests();
    let chat = requests.iter().rev().find(|request| request.path == CHAT).unwrap();
    chat.body["messages"][0]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_detector_finds_is_replaced_restored_or_blocked_and_its_credential_stays_with_it() {
    let stack = Stack::start().await.unwrap();
    add(&stack, "company", &stack.provider().detector_url(""), 5_000).await;
    add(&stack, "topics", &stack.provider().detector_url("whole"), 5_000).await;
    let mails = json!({ "category": "pii", "action": "redact" });
    let redacting = guarded(&stack, "redacting", &[mails, rule("company", "redact", "block")]).await;
    until_judged(&stack, &redacting).await;
    stack.provider().forget();
    let answer = say(&stack, &redacting, &format!("é: tell kim@example.com about {PROJECT} today")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(sent(&stack), "é: tell [EMAIL] about [PROJECT] today");
    assert_eq!(answer.header("x-latchkey-guardrails"), counts(2, 0));
    for request in stack.provider().requests() {
        let bearer = &request.headers["authorization"];
        match request.path.as_str() {
            "/detector" => {
                assert_eq!(bearer, &format!("Bearer {DETECTOR_CREDENTIAL}"));
                let texts = json!([{ "id": 0, "role": "user", "text": format!("é: tell [EMAIL] about {PROJECT} today") }]);
                assert_eq!(
                    request.body,
                    json!({ "app": "redacting", "direction": "request", "texts": texts })
                );
                let told = request.headers.values().any(|value| value.contains(&redacting.key));
                assert!(!told, "the client's key is nobody's: {:?}", request.headers);
            }
            CHAT => assert_eq!(bearer, &format!("Bearer {PROVIDER_CREDENTIAL}")),
            other => panic!("{other}"),
        }
    }
    let findings = wait::until("the findings", PATIENCE, async || {
        let found = stack.api().get("/api/v1/findings?category=external").await?.ok()?;
        Ok(found["items"].as_array().filter(|items| !items.is_empty()).cloned())
    });
    let [finding] = findings.await.unwrap().try_into().unwrap();
    assert_eq!(finding["detector"], "company/PROJECT");
    assert_eq!((&finding["action"], &finding["risk"]), (&json!("redacted"), &json!("high")));
    assert!(!finding.to_string().contains("Nightingale"), "{finding}");

    let restoring = guarded(&stack, "restoring", &[rule("company", "anonymize", "block")]).await;
    let answer = say(&stack, &restoring, &format!("about {PROJECT}")).await;
    assert!(sent(&stack).starts_with("about [PROJECT_"), "{}", sent(&stack));
    assert_eq!(answer.body["choices"][0]["message"]["content"], format!("You said: about {PROJECT}"));

    let blocking = guarded(&stack, "blocking", &[rule("topics", "block", "pass")]).await;
    until_judged(&stack, &blocking).await;
    stack.provider().forget();
    let answer = say(&stack, &blocking, &format!("about {PROJECT}")).await;
    assert_eq!((answer.status, answer.code()), (400, "guardrail_blocked"), "{}", answer.text);
    assert_eq!(answer.body["error"]["guardrail"]["detector"], "topics/TOPIC");
    assert!(
        !answer.text.contains("Nightingale") && stack.provider().requests().iter().all(|it| it.path != CHAT)
    );
    assert_eq!(say(&stack, &blocking, "about the weather").await.status, 200);
}

#[tokio::test]
async fn each_failure_refuses_or_passes_as_the_rule_says() {
    let stack = Stack::start().await.unwrap();
    let manners = ["slow", "error", "garbage", "nothing", "span", "huge", "hang-up"];
    for manner in manners {
        let timeout_ms = if manner == "slow" { 300 } else { 5_000 };
        add(&stack, manner, &stack.provider().detector_url(manner), timeout_ms).await;
    }
    let closed = format!("http://127.0.0.1:{}/judge", Port::free().unwrap().number());
    add(&stack, "refused", &closed, 5_000).await;
    add(&stack, "unknown", "https://detector.invalid/judge", 5_000).await;
    add(&stack, "stranger", &stack.provider().detector_url(""), 5_000).await;
    let stranger = json!({ "credential": "sk-wrong" });
    stack.api().edit("/api/v1/detectors/stranger", stranger).await.unwrap();
    add(&stack, "disabled", &stack.provider().detector_url(""), 5_000).await;
    stack.api().edit("/api/v1/detectors/disabled", json!({ "enabled": false })).await.unwrap();
    let all = manners.into_iter().chain(["refused", "unknown", "stranger", "disabled"]);
    for name in all {
        let text = format!("about {PROJECT}, {name}");
        let closed = guarded(&stack, &format!("{name}-block"), &[rule(name, "redact", "block")]).await;
        stack.provider().forget();
        let answer = say(&stack, &closed, &text).await;
        assert_eq!((answer.status, answer.code()), (503, "guardrail_unavailable"), "{name}: {}", answer.text);
        assert_eq!(answer.header("retry-after"), "5", "{name}");
        assert!(answer.text.contains(&format!("`{name}`")), "{name}: {}", answer.text);
        assert!(stack.provider().requests().iter().all(|it| it.path != CHAT), "{name}");
        let open = guarded(&stack, &format!("{name}-pass"), &[rule(name, "redact", "pass")]).await;
        let answer = say(&stack, &open, &text).await;
        assert_eq!((answer.status, sent(&stack)), (200, text), "{name}: {}", answer.text);
        assert_eq!(answer.header("x-latchkey-guardrails"), counts(0, 1), "{name}");
        stack.api().until_recorded(&open, 1).await.unwrap();
        let logged = stack.api().get(&format!("/api/v1/logs?app_id={}", open.id)).await.unwrap();
        assert_eq!(logged.ok().unwrap()["items"][0]["unread"], 1, "{name}");
    }
}

#[tokio::test]
async fn an_outage_costs_others_nothing_and_soon_costs_no_time_at_all() {
    let stack = Stack::start().await.unwrap();
    add(&stack, "company", &stack.provider().detector_url(""), 5_000).await;
    let app = guarded(&stack, "judged", &[rule("company", "redact", "pass")]).await;
    let strict = guarded(&stack, "strict", &[rule("company", "redact", "block")]).await;
    let other = guarded(&stack, "other", &[json!({ "category": "pii", "action": "redact" })]).await;
    until_judged(&stack, &app).await;
    stack.provider().detector_behaves("slow");
    let began = Instant::now();
    let text = format!("about {PROJECT}");
    let outage = join_all((0..3).map(|_| say(&stack, &app, &text)));
    let others = async {
        for _ in 0..10 {
            let asked = Instant::now();
            let answer = say(&stack, &other, "kim@example.com").await;
            assert_eq!((answer.status, answer.header("x-latchkey-guardrails")), (200, &*counts(1, 0)));
            assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        }
    };
    let (waited, ()) = futures::join!(outage, others);
    assert!(began.elapsed() >= Duration::from_secs(4), "they waited for the detector");
    for answer in waited {
        assert_eq!((answer.status, answer.header("x-latchkey-guardrails")), (200, &*counts(0, 1)));
    }
    let asked = Instant::now();
    let answer = say(&stack, &app, &text).await;
    assert!(asked.elapsed() < AT_ONCE, "it is left alone: {:?}", asked.elapsed());
    assert_eq!((answer.status, answer.header("x-latchkey-guardrails")), (200, &*counts(0, 1)));
    // The detector's failures for one app are not another's: this one asks, and is refused once that was in vain.
    let asked = Instant::now();
    let answer = say(&stack, &strict, &text).await;
    assert!(asked.elapsed() >= Duration::from_secs(4), "it was asked");
    assert_eq!((answer.status, answer.code()), (503, "guardrail_unavailable"), "{}", answer.text);
    stack.provider().detector_behaves("");
    wait::until("the detector to be asked again", PATIENCE, async || {
        let answer = say(&stack, &app, &text).await;
        Ok((answer.header("x-latchkey-guardrails") == counts(1, 0)).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(sent(&stack), "about [PROJECT]");
}

#[tokio::test]
async fn clients_that_leave_and_settings_that_change_meanwhile_leave_nothing_behind() {
    let stack = Stack::start().await.unwrap();
    add(&stack, "company", &stack.provider().detector_url(""), 5_000).await;
    add(&stack, "slow", &stack.provider().detector_url("slow"), 2_000).await;
    let app = guarded(&stack, "judged", &[rule("company", "redact", "block")]).await;
    until_judged(&stack, &app).await;
    stack.provider().detector_behaves("slow");
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": PROJECT }] });
    let leave = async || {
        let request = stack.gateway().request(reqwest::Method::POST, CHAT).bearer_auth(&app.key).json(&body);
        assert!(request.timeout(Duration::from_millis(200)).send().await.unwrap_err().is_timeout());
    };
    for _ in 0..5 {
        leave().await;
    }
    stack.provider().detector_behaves("");
    // Nobody has heard how those calls ended.
    let answer = say(&stack, &app, PROJECT).await;
    assert_eq!(
        (answer.status, answer.header("x-latchkey-guardrails")),
        (200, &*counts(1, 0)),
        "{}",
        answer.text
    );

    let changing = guarded(&stack, "changing", &[rule("slow", "redact", "pass")]).await;
    let change = async {
        wait::until("the slow detector to be asked", PATIENCE, async || {
            let asked = stack.provider().requests().iter().any(|it| it.path == "/detector/slow");
            Ok(asked.then_some(()))
        })
        .await
        .unwrap();
        let rules = json!({ "guardrails": { "rules": [rule("company", "redact", "block")] } });
        stack.api().edit(&changing.path(), rules).await.unwrap();
    };
    let (answer, ()) = futures::join!(say(&stack, &changing, PROJECT), change);
    assert_eq!(
        (answer.status, answer.header("x-latchkey-guardrails")),
        (200, &*counts(1, 0)),
        "{}",
        answer.text
    );
    assert_eq!(sent(&stack), "[PROJECT]", "its new rules have decided");
}

#[tokio::test]
async fn requests_that_wait_for_units_are_judged_too() {
    let stack = Stack::start().await.unwrap();
    add(&stack, "company", &stack.provider().detector_url(""), 5_000).await;
    let settings = json!({
        "name": "limited", "limits": { "requests_per_minute": 1_000 },
        "guardrails": { "rules": [rule("company", "redact", "block")] },
    });
    let app = stack.api().create_app(settings).await.unwrap();
    stack.until_synced().await.unwrap();
    until_judged(&stack, &app).await;
    let answers = join_all((0..60).map(|_| say(&stack, &app, PROJECT))).await;
    for answer in answers {
        assert_eq!(
            (answer.status, answer.header("x-latchkey-guardrails")),
            (200, &*counts(1, 0)),
            "{}",
            answer.text
        );
    }
    let chats = stack.provider().requests();
    let mut contents = chats.iter().filter(|it| it.path == CHAT).map(|it| &it.body["messages"][0]["content"]);
    assert!(contents.all(|content| content == "[PROJECT]" || content == "warm up"));
}
