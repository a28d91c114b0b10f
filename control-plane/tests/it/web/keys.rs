//! Named keys of all apps, what is wrong with them, and the first steps.

use serde_json::{Value, json};

use super::visitor::Visitor;
use crate::support::{Test, id, on_both};

/// An app in named mode that everyone may see, and a key of this user's for it.
async fn keyed(test: &Test, user: &str, expires_at: Option<&str>) -> (Value, Value) {
    let app = test.app(json!({"mode": "named"})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    let mut body = json!({"user_id": user, "name": "laptop"});
    if let Some(at) = expires_at {
        body["expires_at"] = json!(at);
    }
    let key =
        test.post(&format!("/apps/{}/keys", id(&app)), body).await.expect(axum::http::StatusCode::CREATED);
    (app, key)
}

on_both! {
async fn a_pasted_key_is_searched_for_by_its_end_and_not_repeated(test: Test) {
    let alice = test.user("alice@acme.com").await;
    let (app, key) = keyed(&test, &alice, None).await;
    let mut boss = Visitor::owner(&test).await;
    let value = key["value"].as_str().unwrap();
    let masked = key["masked"].as_str().unwrap();
    let app = format!("/admin/apps/{}/keys", id(&app));
    let portal = format!("/apps?search={value}");
    for path in ["/admin/keys", &app, "/admin/apps", "/admin/users", "/admin/logs"] {
        let page = boss.open(&format!("{path}?search={value}")).await;
        assert!(!page.at.contains("sk-quilr-") && !page.text.contains(value), "{path} at {}", page.at);
    }
    for path in ["/admin/keys", &app] {
        let page = boss.open(&format!("{path}?search={value}")).await;
        assert_eq!(page.all("tbody code"), [masked], "{path}");
        assert_eq!(page.attribute("#search", "value").unwrap(), format!("…{}", &value[value.len() - 4..]));
    }
    assert!(!boss.open(&portal).await.text.contains(value));
    let none = boss.open("/admin/keys?search=…").await;
    assert!(none.main().contains("No named keys match"), "{}", none.main());
}
}

on_both! {
async fn keys_that_expire_or_lost_their_access_are_found(test: Test) {
    let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
    test.catalogue().await;
    let mut boss = Visitor::owner(&test).await;
    assert!(!boss.open("/admin").await.main().contains("within 7 days"));
    let (_, soon) = keyed(&test, &alice, Some("2026-01-08T00:00:00Z")).await;
    let (app, lost) = keyed(&test, &bob, None).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "specific", "allow": {"users": [alice]}}}})).await;
    let page = boss.open("/admin").await;
    assert!(page.main().contains("1 named key expires within 7 days."), "{}", page.main());
    assert!(page.attribute("a[href='/admin/keys?expires_within_days=7']", "href").is_some());
    for (link, key) in [("/admin/keys?expires_within_days=7", soon), ("/admin/keys?lost_access=true", lost)] {
        assert_eq!(boss.open(link).await.all("tbody code"), [key["masked"].as_str().unwrap()], "{link}");
    }
    let person = format!("/admin/users/{bob}");
    let page = boss.open(&person).await;
    let page = boss.submit(&page, &format!("/admin/keys/of/{bob}/revoke"), &[]).await;
    assert!(page.text.contains("1 key revoked"), "{}", page.main());
    assert!(!page.text.contains("Revoke all keys"), "none is left");
    assert_eq!(boss.open("/admin/keys?lost_access=true").await.all("tbody code"), [""; 0]);
}
}

on_both! {
async fn a_key_of_an_app_that_one_lost_is_revoked_in_the_portal(test: Test) {
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let user = test.get("/users?search=alice").await.json["items"][0].clone();
    let (app, key) = keyed(&test, &id(&user), None).await;
    assert!(!alice.open("/apps").await.main().contains("listed here"));
    test.self_service(&app, json!({"access": {"viewer": {"mode": "disabled"}}})).await;
    let page = alice.open("/apps").await;
    assert_eq!(page.all("tbody code"), [key["masked"].as_str().unwrap()]);
    let page = alice.submit(&page, &format!("/apps/{}/keys/{}/revoke", id(&app), id(&key)), &[]).await;
    assert_eq!((page.status, page.at.as_str()), (200, "/apps"));
    assert!(page.text.contains("“laptop” revoked") && !page.main().contains("listed here"), "{}", page.main());
}
}

on_both! {
async fn the_first_steps_end_with_the_first_successful_request(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let done = async |boss: &mut Visitor<'_>| boss.open("/admin").await.all("ol.steps li");
    let page = boss.open("/admin").await;
    assert_eq!(page.all("main h2"), ["Get started"], "nothing else yet");
    assert_eq!(done(&mut boss).await.iter().filter(|step| step.starts_with("to do")).count(), 7);
    test.catalogue().await;
    assert!(boss.open("/admin").await.all("h2").contains(&"Gateways".to_owned()));
    let alice = test.user("alice@acme.com").await;
    let (app, _) = keyed(&test, &alice, None).await;
    let _gateway = test.gateway("edge-1", 1);
    let steps = done(&mut boss).await;
    let left: Vec<_> = steps.iter().filter(|step| step.starts_with("to do")).collect();
    assert_eq!(left, ["to do Make the first successful request"], "{steps:?}");
    let page = boss.open("/admin").await;
    for tab in ["self-service", "keys"] {
        assert!(page.attribute(&format!("ol.steps a[href='/admin/apps/{}/{tab}']", id(&app)), "href").is_some(), "{tab}");
    }
    test.insert("records", json!({"status": 401})).await;
    test.insert("usage_days", json!({"requests": 3, "denied": 3})).await;
    assert_eq!(done(&mut boss).await.len(), 7, "only refusals");
    test.insert("records", json!({"status": 200, "request_id": "s"})).await;
    assert!(done(&mut boss).await.is_empty());
    test.sql(&["DELETE FROM records".to_owned()]).await;
    test.insert("usage_days", json!({"app_id": "a", "requests": 1, "input_tokens": 5})).await;
    assert!(done(&mut boss).await.is_empty(), "also when its record was deleted");
}
}
