use serde_json::{Value, json};

use super::visitor::{Shown, Visitor};
use crate::support::{Test, id, on_both};

/// An app in named mode that everyone may see, and its page's path.
async fn named(test: &Test, settings: Value, self_service: Value) -> (Value, String) {
    let mut body = json!({"mode": "named"});
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let app = test.app(body).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    test.self_service(&app, self_service).await;
    let path = format!("/apps/{}", id(&app));
    (app, path)
}

/// Creates a key of this name; gives the page that shows it, and the key's path.
async fn create(visitor: &mut Visitor<'_>, path: &str, name: &str) -> (Shown, String) {
    let page = visitor.open(&format!("{path}/keys/new")).await;
    let page = visitor.submit(&page, &format!("{path}/keys"), &[("name", name)]).await;
    assert_eq!(page.status, 200, "{}", page.main());
    let key = page.attribute("main > p > a.button", "href").unwrap();
    (page, key)
}

on_both! {
async fn a_new_key_is_shown_once_with_what_to_paste(test: Test) {
    test.catalogue().await;
    let (app, path) = named(&test, json!({}), json!({"longest_key_lifetime_days": 60})).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    assert!(alice.open(&path).await.main().contains("You have no keys for this app yet"));
    let form = alice.open(&format!("{path}/keys/new")).await;
    assert_eq!(form.all("option"), ["Maximum: 60 days", "30 days", "60 days"]);
    let fields = [("name", "Alice local dev"), ("expires_in", "30d")];
    let page = alice.submit(&form, &format!("{path}/keys"), &fields).await;
    assert_eq!((page.status, page.all("h1")), (200, vec!["Alice local dev created".to_owned()]));
    let value = page.all("#value").remove(0);
    assert!(value.starts_with(app["key"]["value"].as_str().unwrap()) && value.contains(":ss1."), "{value}");
    let snippets = page.all("[data-tab] pre");
    assert_eq!(snippets.len(), 3, "Python, JavaScript and curl");
    for snippet in snippets {
        for part in [&value, "http://127.0.0.1:10000/openai_compatible/", "gpt-4o"] {
            assert!(snippet.contains(part), "{part}: {snippet}");
        }
    }
    assert!(page.main().contains("Copy it now. You won't be able to see it again."));
    assert_eq!(page.headers["cache-control"], "no-store");
    let twice = alice.submit(&form, &format!("{path}/keys"), &fields).await;
    assert_eq!(twice.all("#value"), std::slice::from_ref(&value), "sent twice, created once");
    let page = alice.open(&path).await;
    assert_eq!(page.all("[aria-label='My keys'] tbody td:nth-child(3)"), ["active"]);
    assert!(!page.text.contains(&value));
    let key = alice.open(&page.attribute("tbody a", "href").unwrap()).await;
    assert!(!key.text.contains(&value) && !key.main().contains("Show key value"));
    assert!(key.main().contains("in 30 days"), "{}", key.main());
}
}

on_both! {
async fn a_refused_key_keeps_what_was_typed(test: Test) {
    let (_, path) = named(&test, json!({}), json!({"most_keys_per_user": 1})).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let page = alice.open(&format!("{path}/keys/new")).await;
    let long = "x".repeat(101);
    let page = alice.submit(&page, &format!("{path}/keys"), &[("name", &long), ("expires_in", "90d")]).await;
    assert_eq!((page.status, page.all("#name-error").len()), (422, 1));
    assert_eq!(page.attribute("#name", "value"), Some(long));
    assert_eq!(page.attribute("option[selected]", "value").as_deref(), Some("90d"));
    let page = alice.submit(&page, &format!("{path}/keys"), &[("name", "laptop")]).await;
    assert_eq!(page.status, 200, "mended, it is created");
    let page = alice.open(&format!("{path}/keys/new")).await;
    let page = alice.submit(&page, &format!("{path}/keys"), &[("name", "another")]).await;
    assert_eq!(page.status, 422);
    assert!(page.all("[role=alert]")[0].contains("revoke one first"));
}
}

on_both! {
async fn a_key_is_renamed_rotated_and_revoked(test: Test) {
    let (_, path) = named(&test, json!({}), json!({})).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let (first, key) = create(&mut alice, &path, "laptop").await;
    let page = alice.open(&key).await;
    let page = alice.submit(&page, &format!("{key}/rename"), &[("name", " ")]).await;
    assert_eq!((page.status, page.all("#name-error").len()), (422, 1));
    let page = alice.submit(&page, &format!("{key}/rename"), &[("name", "desktop")]).await;
    assert_eq!((page.all(".flash"), page.all("h1")), (vec!["Renamed.".to_owned()], vec!["desktop".to_owned()]));
    let rotated = alice.submit(&page, &format!("{key}/rotate"), &[("grace_seconds", "3600")]).await;
    assert_eq!((rotated.status, rotated.all("h1")), (200, vec!["desktop rotated".to_owned()]));
    assert!(rotated.main().contains("the old value keeps working for 1 hour"), "{}", rotated.main());
    assert_ne!(rotated.all("#value"), first.all("#value"));
    let twice = alice.submit(&page, &format!("{key}/rotate"), &[("grace_seconds", "3600")]).await;
    assert_eq!(twice.all("#value"), rotated.all("#value"), "sent twice, rotated once");
    let other = alice.submit(&page, &format!("{key}/rotate"), &[("grace_seconds", "0")]).await;
    assert_eq!(other.status, 422);
    assert!(other.all("[role=alert]")[0].contains("already submitted"), "{:?}", other.all("[role=alert]"));
    let page = alice.open(&key).await;
    assert!(page.main().contains("until Jan 1, 2026, 01:00") && page.main().contains("Old value works sk-quilr-…"), "{}", page.main());
    let too_long = alice.submit(&page, &format!("{key}/rotate"), &[("grace_seconds", "9999999")]).await;
    assert_eq!((too_long.status, too_long.all("#grace_seconds-error").len()), (422, 1));
    let page = alice.submit(&page, &format!("{key}/revoke"), &[]).await;
    assert!(page.all(".flash")[0].starts_with("“desktop” revoked"), "{:?}", page.all(".flash"));
    assert_eq!(page.all("tbody td:nth-child(3)"), ["revoked"]);
    let page = alice.open(&key).await;
    assert!(page.all("main form").is_empty(), "there is nothing left to do with it");
}
}

on_both! {
async fn a_value_is_shown_again_where_it_may_be(test: Test) {
    let visible = json!({"access": {"key_visibility": {"mode": "everyone"}}});
    let (app, path) = named(&test, json!({"keep_key_values": true}), visible).await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let (created, key) = create(&mut alice, &path, "laptop").await;
    assert!(created.main().contains("You can see it again"));
    let page = alice.open(&key).await;
    let shown = alice.submit(&page, &format!("{key}/value"), &[]).await;
    assert_eq!((shown.status, shown.all("#value")), (200, created.all("#value")));
    test.self_service(&app, json!({"access": {"key_visibility": {"mode": "disabled"}}})).await;
    assert_eq!(alice.submit(&page, &format!("{key}/value"), &[]).await.status, 403);
}
}

on_both! {
async fn anothers_key_is_not_there(test: Test) {
    let (_, path) = named(&test, json!({}), json!({})).await;
    let mut bob = Visitor::signed_in(&test, "bob@acme.com").await;
    let (_, key) = create(&mut bob, &path, "laptop").await;
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let csrf = alice.open(&path).await.form("/sign-out");
    assert_eq!(alice.open(&key).await.status, 404);
    let mut fields = csrf;
    fields.push(("name".to_owned(), "mine".to_owned()));
    fields.push(("grace_seconds".to_owned(), "0".to_owned()));
    for action in ["rename", "rotate", "revoke", "value"] {
        assert_eq!(alice.post(&format!("{key}/{action}"), &fields).await.status, 404, "{action}");
    }
    assert_eq!(bob.open(&key).await.all("h1"), ["laptop"], "nothing happened to it");
}
}
