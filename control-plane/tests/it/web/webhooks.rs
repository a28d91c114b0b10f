use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::{Shown, Visitor};
use crate::support::{Test, id, on_both};
use crate::webhooks::receiver::Receiver;
use crate::webhooks::{deliverer, opened};

async fn only(test: &Test) -> Value {
    test.get("/webhooks").await.expect(StatusCode::OK)["items"][0].clone()
}

on_both! {
async fn a_webhook_is_made_tested_edited_and_deleted(test: Test) {
    let (test, receiver) = (opened(test), Receiver::start().await);
    let mut boss = Visitor::owner(&test).await;
    assert!(boss.open("/admin/webhooks").await.main().contains("No webhooks yet"));
    let app = id(&test.app(json!({"name": "Support Bot"})).await);
    let deliverer = deliverer(&test);
    // What happened before there is a webhook.
    deliverer.deliver_due().await.unwrap();
    let page = boss.open("/admin/webhooks/new").await;
    let url = receiver.url();
    for (field, typed, said) in [
        ("url", "https://10.0.0.1/", "LATCHKEY_WEBHOOK_ALLOW"),
        ("events", "quota.exceeded\nnone", "`none` is not an event"),
        ("events", "", "is empty: use"),
        ("apps", "Sales Bot", "Sales Bot: no app has this name"),
    ] {
        let typed = match field {
            "apps" => [("apps", "only"), ("apps.only", typed)].to_vec(),
            _ => [(field, typed)].to_vec(),
        };
        let fields = [[("name", "On-call"), ("url", url.as_str())].to_vec(), typed.clone()].concat();
        let refused = boss.submit(&page, "/admin/webhooks", &fields).await;
        let error = refused.all(&format!("#{field}-error"));
        assert!(refused.status == 422 && error.len() == 1 && error[0].contains(said), "{typed:?}: {}", refused.main());
    }
    let fields = [("name", "On-call"), ("url", url.as_str()), ("events", "quota.*\nkey.created"), ("apps", "only"), ("apps.only", "support bot")];
    let made = boss.submit(&page, "/admin/webhooks", &fields).await;
    let secret = made.all("#value");
    assert!(made.status == 200 && secret[0].starts_with("whsec_"), "{}", made.main());
    let webhook = only(&test).await;
    assert_eq!((&webhook["events"], &webhook["apps"]), (&json!(["quota.*", "key.created"]), &json!([app])));

    let path = format!("/admin/webhooks/{}", id(&webhook));
    let page = boss.open(&path).await;
    assert!(!page.text.contains("whsec_"), "it is shown once");
    assert_eq!(page.all("[id=\"apps\"]").len(), 1);
    let unchanged = boss.submit(&page, &path, &[]).await;
    assert_eq!((unchanged.status, only(&test).await), (200, webhook.clone()), "{}", unchanged.main());
    let page = boss.submit(&page, &path, &[("name", "Night shift"), ("apps", "all"), ("apps.only", "")]).await;
    assert_eq!((page.status, page.all("h1")), (200, vec!["Night shift".to_owned()]), "{}", page.main());
    assert_eq!(only(&test).await["apps"], "all");

    // A test, what came of it, and the same again.
    receiver.answer(500, &[], "<b>not now</b>");
    let page = boss.submit(&page, &format!("{path}/test"), &[]).await;
    assert!(page.main().contains("Test queued"), "{}", page.main());
    deliverer.deliver_due().await.unwrap();
    let page = boss.open(&path).await;
    assert!(page.main().contains("webhook.test") && page.main().contains("pending"), "{}", page.main());
    assert!(page.main().contains("failing"), "{}", page.main());
    let delivery = test.get(&format!("/webhooks/{}/deliveries", id(&webhook))).await.json["items"][0]["id"].to_string();
    let shown = boss.open(&format!("{path}/deliveries/{delivery}")).await;
    assert!(shown.text.contains("&#60;b&#62;not now") && shown.main().contains("it responded with 500"), "{}", shown.text);
    receiver.answer(204, &[], "");
    let again = boss.submit(&shown, &format!("{path}/deliveries/{delivery}/replay"), &[]).await;
    assert!(again.main().contains("Message queued"), "{}", again.main());
    deliverer.deliver_due().await.unwrap();
    assert!(boss.open(&format!("{path}/deliveries/{delivery}")).await.main().contains("delivered"));
    assert_eq!(receiver.take().len(), 2);
    let filtered = boss.open(&format!("{path}?state=failed")).await;
    assert!(filtered.main().contains("No deliveries match"), "{}", filtered.main());

    // What happened before it asked.
    let span = [("from", "2026-01-01T00:00"), ("to", "2026-01-01T01:00"), ("types", "key.created")];
    let page = boss.submit(&page, &format!("{path}/replay"), &span).await;
    assert!(page.main().contains("1 message queued"), "{}", page.main());
    let wrong = boss.submit(&page, &format!("{path}/replay"), &[("from", "yesterday"), ("to", "2026-01-01T01:00")]).await;
    assert_eq!((wrong.status, wrong.all("#from-error").len()), (422, 1), "{}", wrong.main());

    let rotated = boss.submit(&page, &format!("{path}/rotate-secret"), &[("grace_seconds", "3600")]).await;
    assert!(rotated.all("#value")[0].starts_with("whsec_") && rotated.all("#value") != secret, "{}", rotated.main());
    let page = boss.open(&path).await;
    let gone = boss.submit(&page, &format!("{path}/delete"), &[]).await;
    assert!(gone.main().contains("Webhook deleted"), "{}", gone.main());
}
}

on_both! {
async fn what_waits_is_counted_in_the_navigation(test: Test) {
    let (test, receiver) = (opened(test), Receiver::start().await);
    let mut boss = Visitor::owner(&test).await;
    let counts = |page: &Shown| page.all("nav .badge");
    assert_eq!(counts(&boss.open("/admin").await), [""; 0]);
    let new = json!({"name": "On-call", "url": receiver.url(), "events": ["*"], "apps": "all"});
    test.post("/webhooks", new).await.expect(StatusCode::CREATED);
    receiver.answer(500, &[], "");
    deliverer(&test).deliver_due().await.unwrap();
    assert_eq!(counts(&boss.open("/admin").await), ["1 failing"]);
    receiver.answer(410, &[], "");
    test.clock.advance(std::time::Duration::from_secs(60));
    deliverer(&test).deliver_due().await.unwrap();
    assert_eq!(counts(&boss.open("/admin").await), ["1 failing"]);
    let app = test.app(json!({})).await;
    let alice = test.user("alice@acme.com").await;
    let everyone = json!({"mode": "everyone"});
    test.self_service(&app, json!({"access": {"viewer": everyone, "settings_request": everyone}})).await;
    let wish = json!({"kind": "set_tags", "edit": {"tags": ["blue"]}, "reason": "why not"});
    let own = test.token_of(&alice).await;
    test.with(&own, "POST", &format!("/me/apps/{}/change-requests", id(&app)), Some(wish)).await.expect(StatusCode::CREATED);
    assert_eq!(counts(&boss.open("/admin").await), ["1 pending", "1 failing"]);
    // Auditors have no way there.
    let mut auditor = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    let page = auditor.open("/admin/events").await;
    assert_eq!((counts(&page), page.text.contains("/admin/webhooks")), (vec!["1 pending".to_owned()], false));
}
}
