use serde_json::json;

use super::visitor::Visitor;
use crate::support::{id, on_both};

const EVERYONE: &str = "everyone";

on_both! {
async fn my_apps_are_those_granted_to_me(test: Test) {
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let page = alice.open("/apps").await;
    assert_eq!((page.status, page.all("h2").last().cloned()), (200, Some("No apps yet".to_owned())));
    assert!(page.main().contains("Ask an admin"), "it says whom to ask");
    let app = test.app(json!({"name": "Support <Bot>", "mode": "named"})).await;
    test.app(json!({"name": "Secret"})).await;
    let path = format!("/apps/{}", id(&app));
    for tab in ["", "/logs", "/findings", "/keys/new", "/request/set_tags"] {
        assert_eq!(alice.open(&format!("{path}{tab}")).await.status, 404, "{tab}: it is not there for her");
    }
    test.self_service(&app, json!({"access": {"viewer": {"mode": EVERYONE}, "all_logs": {"mode": EVERYONE}}})).await;
    let page = alice.open("/apps").await;
    assert_eq!(page.all(".card h2"), ["Support <Bot>"]);
    assert_eq!(page.all(".card .badge"), ["active", "named keys"]);
    assert_eq!(page.all(".card dd"), ["0", "see the app, see all logs"]);
    assert!(alice.open("/apps?search=nothing").await.main().contains("Show all my apps"));
    for (tab, name) in [("", "Settings"), ("/logs", "Logs"), ("/findings", "Findings")] {
        let page = alice.open(&format!("{path}{tab}")).await;
        assert_eq!((page.status, page.all("h1")), (200, vec!["Support <Bot>".to_owned()]));
        assert_eq!(page.all(".tabs [aria-current]")[0], name);
    }
    test.act(&format!("{path}/deactivate")).await;
    assert!(alice.open(&path).await.main().contains("This app is deactivated: none of its keys work"));
}
}

on_both! {
async fn the_settings_tab_tells_prices_and_what_is_left(test: Test) {
    test.catalogue().await;
    let limits = json!({"requests_per_minute": 1200, "max_output_tokens": 4096, "budget": {"usd": "10", "per": "month"}});
    let app = test.app(json!({"limits": limits, "tags": ["prod"], "mode": "named", "named_key_limits": {"requests_per_day": 9}})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": EVERYONE}}})).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let page = alice.open(&format!("/apps/{}", id(&app))).await;
    assert_eq!(page.all(".meter > span:first-child"), ["Requests per minute", "Budget per month"]);
    assert_eq!(page.all(".meter > span:nth-child(2)"), ["0 of 1,200 used", "$0.00 of $10.00 used"]);
    assert_eq!(page.attribute("meter", "value").as_deref(), Some("0"));
    // $2.50 and $10 for a million tokens: 1,000 and 500 of them cost 0.0025 and 0.005.
    assert_eq!(page.all("section:last-of-type tbody td"), ["gpt-4o", "openai", "$2.50", "$1.25", "$10.00", "$0.0075"]);
    for said in ["Named keys", "http://127.0.0.1:10000/openai_compatible/", "at most 4,096 tokens", "Limits for each of your keys"] {
        assert!(page.main().contains(said), "{said}: {}", page.main());
    }
    assert!(!page.main().contains("Request a settings change"), "that takes a capability");
}
}

on_both! {
async fn admins_and_users_see_what_is_reserved_beside_what_is_used(test: Test) {
    let app = test.app(json!({"limits": {"requests_per_minute": 1200}})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": EVERYONE}}})).await;
    let lease = json!({"owner": id(&app), "kind": 1, "period": 0, "instance": "a", "granted": 310, "used": 10, "returned": 0});
    test.insert("leases", lease).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let mut boss = Visitor::owner(&test).await;
    let (own, console) = (alice.open(&format!("/apps/{}", id(&app))).await, boss.open(&format!("/admin/apps/{}", id(&app))).await);
    for page in [&own, &console, &boss.open("/admin/apps").await] {
        assert_eq!(page.attribute("meter", "value").as_deref(), Some("25"), "{}", page.main());
    }
    assert_eq!(own.all(".meter > span:nth-child(2)"), ["0 of 1,200 used"]);
    assert!(own.main().contains("900 left, 300 reserved"), "{}", own.main());
    assert_eq!(console.all(".meter > span:nth-child(2)"), ["0 of 1,200 used, 300 reserved"]);
}
}

on_both! {
async fn the_shared_key_is_shown_to_those_who_may_see_it_when_they_ask(test: Test) {
    let app = test.app(json!({"keep_key_values": true})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": EVERYONE}}})).await;
    let value = app["key"]["value"].as_str().unwrap();
    let path = format!("/apps/{}", id(&app));
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let page = alice.open(&path).await;
    assert!(page.main().contains("You can't view this app's key"));
    let csrf = page.form("/sign-out");
    let refused = alice.post(&format!("{path}/value"), &csrf).await;
    assert_eq!(refused.status, 403);
    assert!(!refused.text.contains(value));
    test.self_service(&app, json!({"access": {"key_visibility": {"mode": EVERYONE}}})).await;
    let page = alice.open(&path).await;
    assert!(!page.text.contains(value), "only when it is asked for");
    let page = alice.submit(&page, &format!("{path}/value"), &[]).await;
    assert_eq!((page.status, page.all("#value")), (200, vec![value.to_owned()]));
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(page.all("pre").iter().all(|snippet| snippet.contains(value)));
    test.patch(&path, json!({"keep_key_values": false})).await.expect(axum::http::StatusCode::OK);
    assert!(alice.open(&path).await.main().contains("does not store its key"));
}
}
