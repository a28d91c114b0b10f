use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::Visitor;
use crate::support::{START_MS, Test, id, on_both};

async fn offer(test: &Test, providers: &[&str]) {
    for name in providers {
        let provider = json!({"name": name, "kind": "openai", "base_url": "https://api.acme.com/v1"});
        test.post("/providers", provider).await.expect(StatusCode::CREATED);
        test.post("/models", json!({"name": "gpt-4o", "provider": name})).await.expect(StatusCode::CREATED);
    }
}

async fn group(test: &Test, name: &str) -> Value {
    let targets = json!([{"provider": "one", "model": "gpt-4o", "weight": 100}]);
    let body = json!({"name": name, "description": "For chats", "targets": targets});
    test.post("/routing-groups", body).await.expect(StatusCode::CREATED)
}

on_both! {
async fn a_group_is_made_edited_and_deleted(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    assert!(boss.open("/admin/routing-groups").await.main().contains("No routing groups yet"));
    assert!(boss.open("/admin/routing-groups/new").await.main().contains("No models yet"));
    offer(&test, &["one", "two"]).await;
    let page = boss.open("/admin/routing-groups/new").await;
    assert!(page.main().contains("two/gpt-4o"), "what can be a target: {}", page.main());
    for (typed, said) in [
        ("one/gpt-4o", "a target is a provider, a model and a weight"),
        ("one/gpt-4o many", "the weight must be a whole number"),
        ("one/gpt-4o 70\n\nnone/gpt-4o 30", "`none/gpt-4o 30`: provider `none` does not exist"),
        ("one/gpt-4o 70", "add up to 70"),
    ] {
        let refused = boss.submit(&page, "/admin/routing-groups", &[("name", "fast"), ("targets", typed)]).await;
        assert_eq!((refused.status, refused.all("#targets-error").len()), (422, 1), "{typed}: {}", refused.main());
        assert!(refused.all("#targets-error")[0].contains(said), "{:?}", refused.all("#targets-error"));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&refused.all("#targets")[0]), words(typed), "what was typed stays");
    }
    let tiers = [("name", "fast"), ("targets", ""), ("tiers.low.up_to_tokens", "8,000"), ("tiers.low.targets", "one/gpt-4o 100")];
    let refused = boss.submit(&page, "/admin/routing-groups", &tiers).await;
    assert!(refused.all("[id=\"tiers.low.up_to_tokens-error\"]")[0].contains("last tier"), "{}", refused.main());
    let high = [("tiers.high.targets", "two/gpt-4o 100%"), ("failover.attempts", "2"), ("sticky", "true")];
    let page = boss.submit(&refused, "/admin/routing-groups", &high).await;
    assert_eq!((page.status, page.all("h1")), (200, vec!["fast".to_owned()]), "{}", page.main());
    let made = test.get("/routing-groups").await.expect(StatusCode::OK)["items"][0].clone();
    assert_eq!((&made["tiers"][0]["up_to_tokens"], &made["tiers"][1]["targets"][0]["provider"]), (&json!(8000), &json!("two")));
    assert_eq!((&made["failover"]["attempts"], &made["sticky"]), (&json!(2), &json!(true)));

    let path = format!("/admin/routing-groups/{}", id(&made));
    let unchanged = boss.submit(&page, &path, &[]).await;
    assert_eq!(unchanged.status, 200, "{}", unchanged.main());
    let same = test.get("/routing-groups").await.expect(StatusCode::OK)["items"][0].clone();
    assert_eq!(same, made, "a form that is sent as it was shown changes nothing");
    let flat = [("tiers.low.up_to_tokens", ""), ("tiers.low.targets", ""), ("tiers.high.targets", ""),
        ("targets", "one/gpt-4o 60\ntwo/gpt-4o 40"), ("failover.statuses", "429, 503"), ("failover.headers_timeout_ms", "2500")];
    let page = boss.submit(&page, &path, &flat).await;
    assert_eq!(page.status, 200, "{}", page.main());
    let list = boss.open("/admin/routing-groups").await;
    assert!(list.main().contains("one/gpt-4o 60, two/gpt-4o 40"), "{}", list.main());
    let page = boss.open(&path).await;
    let page = boss.submit(&page, &format!("{path}/delete"), &[]).await;
    assert!(page.main().contains("No routing groups yet"), "{}", page.main());
}
}

on_both! {
async fn an_app_is_given_groups_by_its_form_and_none_without(test: Test) {
    offer(&test, &["one"]).await;
    group(&test, "fast").await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/apps/new").await;
    boss.submit(&page, "/admin/apps", &[("name", "Bot")]).await;
    let app = test.get("/apps").await.expect(StatusCode::OK)["items"][0].clone();
    assert_eq!(app["routing_groups"], "none");
    let path = format!("/admin/apps/{}", id(&app));
    let page = boss.open(&path).await;
    let wrong = boss.submit(&page, &path, &[("routing_groups", "only"), ("routing_groups.only", "fast, slow")]).await;
    assert!(wrong.all("#routing_groups-error")[0].contains("slow"), "{}", wrong.main());
    let right = [("routing_groups.only", "fast"), ("target_header", "true")];
    let page = boss.submit(&wrong, &path, &right).await;
    assert_eq!(page.status, 200, "{}", page.main());
    let app = test.get("/apps").await.expect(StatusCode::OK)["items"][0].clone();
    assert_eq!((&app["routing_groups"], &app["target_header"]), (&json!(["fast"]), &json!(true)));
    let fast = test.get("/routing-groups").await.expect(StatusCode::OK)["items"][0].clone();
    let path = format!("/admin/routing-groups/{}", id(&fast));
    let page = boss.open(&path).await;
    let page = boss.submit(&page, &format!("{path}/delete"), &[]).await;
    assert!(page.main().contains("Bot"), "it says who has it: {}", page.main());
}
}

on_both! {
async fn users_see_their_groups_and_ask_for_others(test: Test) {
    offer(&test, &["one"]).await;
    group(&test, "fast").await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let app = test.app(json!({"routing_groups": ["fast"]})).await;
    let everyone = json!({"mode": "everyone"});
    test.self_service(&app, json!({"access": {"viewer": everyone, "settings_request": everyone}})).await;
    let path = format!("/apps/{}", id(&app));
    let rows = alice.open(&path).await.all("[aria-label=\"Routing groups\"] tbody tr");
    assert!(rows.len() == 1 && rows[0].contains("fast") && rows[0].contains("For chats"), "{rows:?}");
    assert!(!rows[0].contains("one/gpt-4o"), "clients do not see targets: {rows:?}");
    test.patch(&format!("/apps/{}", id(&app)), json!({"target_header": true})).await.expect(StatusCode::OK);
    let rows = alice.open(&path).await.all("[aria-label=\"Routing groups\"] tbody tr");
    assert!(rows[0].contains("one/gpt-4o"), "{rows:?}");
    test.patch(&format!("/apps/{}", id(&app)), json!({"allowed_models": "none"})).await.expect(StatusCode::OK);
    assert_eq!(alice.open(&path).await.all("[aria-label=\"Routing groups\"]").len(), 0, "no target is left");

    let form = format!("{path}/request/update_config");
    let page = alice.open(&form).await;
    assert_eq!(page.attribute("#routing_groups", "value").as_deref(), Some("fast"));
    let asked = [("step", "preview"), ("routing_groups", "none"), ("routing_groups.only", ""), ("target_header", "")];
    let page = alice.submit(&page, &form, &asked).await;
    assert!(page.main().contains("routing groups fast none"), "{}", page.main());
}
}

on_both! {
async fn logs_show_each_attempt(test: Test) {
    let app = test.app(json!({})).await;
    let attempts = json!([
        {"provider": "one", "model": "gpt-4o", "status": 503, "end": "status", "duration_ms": 120},
        {"provider": "two", "model": "gpt-4o", "status": null, "end": "connection", "duration_ms": 3},
        {"provider": "three", "model": "gpt-4o", "status": 200, "end": "served", "duration_ms": 900},
        {"provider": "four", "model": "gpt-4o", "status": null, "end": "of a newer version", "duration_ms": 1},
    ]);
    let record = json!({"app_id": app["id"], "at": START_MS - 1_000, "attempts": attempts.to_string()});
    test.insert("records", record).await;
    let log = test.get("/logs").await.expect(StatusCode::OK)["items"][0].clone();
    assert_eq!((&log["attempts"][0]["status"], &log["attempts"][3]["end"]), (&json!(503), &json!("unknown")));
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/logs").await;
    for text in ["one/gpt-4o", "status 503, 120 ms", "no connection, 3 ms", "served 200, 900 ms"] {
        assert!(page.main().contains(text), "{text}: {}", page.main());
    }
}
}
