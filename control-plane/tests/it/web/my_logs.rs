use serde_json::json;

use super::visitor::Visitor;
use crate::support::{START_MS, Test, id, on_both};

/// An app in named mode that everyone may see, with a request of Alice's and two of Bob's.
async fn used<'a>(test: &'a Test) -> (Visitor<'a>, serde_json::Value) {
    let app = test.app(json!({"mode": "named"})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    let visitor = Visitor::signed_in(test, "alice@acme.com").await;
    let users = test.get("/users?search=alice").await.json;
    let (alice, bob) = (id(&users["items"][0]), test.user("bob@acme.com").await);
    for (i, (request, user, model, status, code)) in [
        ("r-alice", &alice, "gpt-4o", 200, ""),
        ("r-bob", &bob, "gpt-4o", 200, ""),
        ("r-bob-2", &bob, "claude", 429, "rate_limited"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = test.world.id().to_string();
        let ids = json!({"app_id": app["id"], "user_id": user, "key_id": key});
        let mut record = json!({"at": START_MS - 60_000 * (i as i64 + 1), "request_id": request, "model": model, "status": status,
            "code": code, "input_tokens": 1234, "cost": 225_000, "settlement": "reported", "latency_ms": 900,
            "first_token_ms": 80, "client_address": "10.0.0.1", "conversation_id": "c-1", "metadata": "{\"team\":\"a\"}"});
        let mut day = json!({"model": model, "requests": 7, "cost": 225_000});
        for row in [&mut record, &mut day] {
            row.as_object_mut().unwrap().extend(ids.as_object().unwrap().clone());
        }
        test.insert("records", record).await;
        test.insert("usage_days", day).await;
    }
    (visitor, app)
}

on_both! {
async fn the_logs_are_ones_own_and_with_all_logs_everyones(test: Test) {
    let (mut alice, app) = used(&test).await;
    let path = format!("/apps/{}/logs", id(&app));
    let page = alice.open(&path).await;
    assert_eq!(page.status, 200, "{}", page.main());
    assert_eq!(page.all(".logs > tbody details code"), ["r-alice", "{\"team\":\"a\"}"]);
    let details = page.all("details dl").remove(0);
    for told in ["r-alice", "chat completions", "1,234 in", "$0.000225, as reported by the provider", "900 ms total, 80 ms to the first token", "10.0.0.1", "c-1"] {
        assert!(details.contains(told), "{told}: {details}");
    }
    assert_eq!(page.all(".figures dd")[0], "7");
    assert_eq!(page.all("figure.chart figcaption span:first-child"), ["Requests", "Cost"]);
    test.self_service(&app, json!({"access": {"all_logs": {"mode": "everyone"}}})).await;
    let page = alice.open(&path).await;
    assert_eq!(page.all(".logs > tbody details dd:nth-of-type(1)"), ["r-bob-2", "r-bob", "r-alice"]);
    assert_eq!(page.all(".figures dd")[0], "21");
    assert!(page.main().contains("bob@acme.com"));
}
}

on_both! {
async fn logs_are_filtered_and_a_wrong_filter_is_marked(test: Test) {
    let (mut alice, app) = used(&test).await;
    test.self_service(&app, json!({"access": {"all_logs": {"mode": "everyone"}}})).await;
    let path = format!("/apps/{}/logs", id(&app));
    for (query, requests) in [
        ("?time=1h&from=&to=&model=&status=&code=", vec!["r-bob-2", "r-bob", "r-alice"]),
        ("?model=claude", vec!["r-bob-2"]),
        ("?status=2xx", vec!["r-bob", "r-alice"]),
        ("?code=rate_limited", vec!["r-bob-2"]),
        ("?from=2025-12-31T23:58&to=2025-12-31T23:59", vec!["r-bob"]),
        ("?model=none", vec![]),
    ] {
        let page = alice.open(&format!("{path}{query}")).await;
        assert_eq!(page.all(".logs > tbody details dd:nth-of-type(1)"), requests, "{query}");
    }
    assert!(alice.open(&format!("{path}?model=none")).await.main().contains("No requests match"));
    alice.cookies.push(("latchkey-zone".into(), "Europe%2FBerlin".into()));
    let page = alice.open(&format!("{path}?from=2026-01-01T00:58&to=2026-01-01T00:59")).await;
    assert_eq!(page.all(".logs > tbody details dd:nth-of-type(1)"), ["r-bob"], "times are the viewer's");
    let page = alice.open(&format!("{path}?status=abc&from=yesterday&model=gpt-4o")).await;
    assert_eq!((page.all("#status-error").len(), page.all("#from-error").len()), (1, 1));
    assert_eq!(page.attribute("#model", "value").as_deref(), Some("gpt-4o"), "what was typed is kept");
    assert!(page.all(".logs").is_empty());
}
}

on_both! {
async fn the_sums_are_of_the_chosen_time(test: Test) {
    let (mut alice, app) = used(&test).await;
    let path = format!("/apps/{}/logs", id(&app));
    let page = alice.open(&path).await;
    assert_eq!((page.all("main h2").remove(0), page.all("rect.bar title").len()), ("My last 30 days".to_owned(), 2 * 30));
    let page = alice.open(&format!("{path}?time=1h")).await;
    assert_eq!((page.all("main h2").remove(0), page.all("rect.bar title").len()), ("My usage: Last hour".to_owned(), 2 * 60));
    assert_eq!(page.all(".figures dd")[0], "1", "of the logs");
    let page = alice.open(&format!("{path}?time=7d")).await;
    assert_eq!((page.all(".figures dd").remove(0), page.all("rect.bar title").len()), ("7".to_owned(), 2 * 7));
    let page = alice.open(&format!("{path}?time=1h&from=2026-01-01T00:00")).await;
    assert_eq!((page.status, page.all("#from-error").len()), (422, 1));
    let findings = format!("/apps/{}/findings", id(&app));
    let page = alice.open(&format!("{findings}?time=24h")).await;
    assert_eq!(page.all("main h2").remove(0), "Last 24 hours", "{}", page.main());
    let tab = page.attribute(".tabs[aria-label=Findings] a:last-child", "href").unwrap();
    assert_eq!(tab, format!("{findings}?show=normal&time=24h"));
    let page = alice.open(&tab).await;
    assert_eq!(page.attribute("input[name=show]", "value").as_deref(), Some("normal"), "the filter keeps the tab");
    assert_eq!(alice.open(&format!("{findings}?time=24h&to=2026-01-01T00:00")).await.status, 422);
}
}

on_both! {
async fn a_denied_model_can_be_asked_for(test: Test) {
    let (mut alice, app) = used(&test).await;
    test.catalogue().await;
    let app_path = format!("/apps/{}", app["id"].as_str().unwrap());
    test.self_service(&app, json!({"access": {"all_logs": {"mode": "everyone"}}})).await;
    let app_path_of_api = format!("/apps/{}", id(&app));
    let denied = json!({"request_id": "r-denied", "app_id": app["id"], "model": "gpt-4o", "status": 403, "code": "model_not_allowed"});
    test.insert("records", denied).await;
    let path = format!("{app_path}/logs?code=model_not_allowed");
    let page = alice.open(&path).await;
    assert!(page.all(".more-of p")[0].contains("The app is not allowed to use this model. Rule: app.models"), "{}", page.main());
    assert!(page.all(".more-of p a").is_empty(), "who may not ask is not told to");
    let everyone = json!({"mode": "everyone"});
    test.self_service(&app, json!({"access": {"settings_request": everyone}})).await;
    let ask = alice.open(&path).await.attribute(".more-of p a", "href").unwrap();
    let all = alice.open(&ask).await;
    assert_eq!((all.status, all.attribute("#allowed_models-all", "checked").is_some()), (200, true), "all are all: {}", all.main());
    test.patch(&app_path_of_api, json!({"allowed_models": ["gpt-4o-*"]})).await.expect(axum::http::StatusCode::OK);
    let some = alice.open(&ask).await;
    assert!(some.attribute("#allowed_models-only", "checked").is_some(), "{}", some.main());
    assert_eq!(some.attribute("#allowed_models", "value").as_deref(), Some("gpt-4o-*, gpt-4o"));
    test.patch(&app_path_of_api, json!({"allowed_models": "none"})).await.expect(axum::http::StatusCode::OK);
    assert_eq!(alice.open(&ask).await.attribute("#allowed_models", "value").as_deref(), Some("gpt-4o"));
    let request = format!("{app_path}/request/update_config");
    let page = alice.open(&ask).await;
    let preview = alice.submit(&page, &request, &[("step", "preview")]).await;
    assert!(preview.main().contains("allowed models") && preview.main().contains("gpt-4o"), "{}", preview.main());
    let found = alice.open(&format!("{app_path}/logs?conversation_id=c-1&request_id=r-bob")).await;
    assert_eq!(found.all(".logs > tbody details dd:nth-of-type(1)"), ["r-bob"]);
}
}

on_both! {
async fn logs_go_on_with_their_filter(test: Test) {
    let (mut alice, app) = used(&test).await;
    let user = test.column("SELECT user_id FROM records WHERE request_id = 'r-alice'").await.remove(0);
    for i in 0..26 {
        test.insert("records", json!({"request_id": format!("n{i}"), "app_id": app["id"], "user_id": user, "model": "a b"})).await;
    }
    let page = alice.open(&format!("/apps/{}/logs?model=a+b", id(&app))).await;
    assert_eq!(page.all(".logs details").len(), 25);
    let page = alice.open(&page.attribute(".more a", "href").unwrap()).await;
    assert_eq!(page.all(".logs details dd:nth-of-type(1)"), ["n0"]);
    assert!(page.all(".more a").is_empty());
}
}
