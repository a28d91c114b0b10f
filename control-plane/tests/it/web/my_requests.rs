use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::{Shown, Visitor};
use crate::support::{Test, id, on_both};

/// An app of which everyone may ask for changes, Alice, and the path of her requests.
async fn desk<'a>(test: &'a Test, settings: Value) -> (Visitor<'a>, Value, String) {
    let app = test.app(settings).await;
    let everyone = json!({"mode": "everyone"});
    test.self_service(&app, json!({"access": {"settings_request": everyone}})).await;
    let path = format!("/apps/{}/request", id(&app));
    (Visitor::signed_in(test, "alice@acme.com").await, app, path)
}

/// The rows of a diff.
fn diff(page: &Shown) -> Vec<(String, String, String)> {
    let column = |cell: &str| page.all(&format!(".diff tbody {cell}"));
    let (names, before, after) = (column("th"), column("td.was"), column("td.is"));
    names.into_iter().zip(before).zip(after).map(|((a, b), c)| (a, b, c)).collect()
}

fn row(name: &str, before: &str, after: &str) -> (String, String, String) {
    (name.into(), before.into(), after.into())
}

/// The newest request, as an admin sees it.
async fn newest(test: &Test) -> Value {
    test.get("/change-requests").await.expect(StatusCode::OK)["items"][0].clone()
}

on_both! {
async fn a_request_shows_its_diff_before_it_is_sent(test: Test) {
    test.catalogue().await;
    let (mut alice, app, path) = desk(&test, json!({"limits": {"requests_per_day": 5, "budget": {"usd": "5", "per": "week"}}})).await;
    let page = alice.open(&format!("/apps/{}", id(&app))).await;
    assert!(page.main().contains("Request a settings change"));
    let path = format!("{path}/update_config");
    let form = alice.open(&path).await;
    assert_eq!(form.attribute("#limits\\.requests_per_day", "value").as_deref(), Some("5"));
    let fields = [("limits.requests_per_minute", "1,200"), ("limits.budget.usd", "50"), ("limits.budget.per", "month"),
        ("allowed_models", "only"), ("allowed_models.only", "gpt-4o"), ("expires_at", "2026-06-30"), ("step", "preview")];
    let preview = alice.submit(&form, &path, &fields).await;
    assert_eq!(preview.status, 200, "{}", preview.main());
    assert_eq!(diff(&preview), [
        row("allowed models", "all", "gpt-4o"),
        row("expires at", "never", "2026-07-01T00:00:00Z"),
        row("limits: budget", "$5 per week", "$50 per month"),
        row("limits: requests per minute", "no limit", "1,200"),
    ]);
    assert_eq!(newest(&test).await, Value::Null, "nothing is sent yet");
    let back = alice.submit(&preview, &path, &[("step", "edit")]).await;
    assert_eq!(back.attribute("#limits\\.requests_per_minute", "value").as_deref(), Some("1,200"), "what was typed is kept");
    let silent = alice.submit(&preview, &path, &[("step", "send"), ("reason", " ")]).await;
    assert_eq!((silent.status, silent.all("#reason-error").len(), diff(&silent).len()), (422, 1, 4));
    let sent = alice.submit(&silent, &path, &[("step", "send"), ("reason", "for the launch")]).await;
    assert_eq!((sent.status, sent.all(".flash").len()), (200, 1), "{}", sent.main());
    assert!(sent.at.starts_with("/requests/"));
    assert_eq!(diff(&sent), diff(&preview));
    let request = newest(&test).await;
    assert_eq!((&request["status"], &request["reason"]), (&json!("pending"), &json!("for the launch")));
    let twice = alice.submit(&silent, &path, &[("step", "send"), ("reason", "for the launch")]).await;
    assert_eq!(twice.at, sent.at, "sent twice, asked once");
}
}

on_both! {
async fn each_kind_has_its_form(test: Test) {
    let (mut alice, _, path) = desk(&test, json!({"tags": ["a"]})).await;
    for (kind, action, fields, expected) in [
        ("set_tags", "", vec![("tags", "a\nb")], row("tags", "a", "a b")),
        ("jwt_auth_settings", "", vec![("identity.header", "true")], row("identity: header", "no", "yes")),
        ("custom_categories", "", vec![("custom_categories[0].name", "P"), ("custom_categories[0].patterns", "x{1,2}")],
            row("custom categories: “P”", "none", r#"{ "description": "", "examples": [], "keywords": [], "patterns": [ "x{1,2}" ] }"#)),
        ("prompt_store", "create", vec![("create.name", "hi"), ("create.text", "Hello")],
            row("prompts: “hi”", "none", r#"{ "text": "Hello" }"#)),
    ] {
        let path = format!("{path}/{kind}");
        let form = alice.open(&path).await;
        assert_eq!(form.status, 200, "{}", form.main());
        let mut fields = fields;
        fields.extend([("step", "preview"), ("action", action)]);
        let preview = alice.submit(&form, &path, &fields).await;
        assert_eq!(diff(&preview), [expected], "{kind} {}", preview.main());
        let sent = alice.submit(&preview, &path, &[("step", "send"), ("reason", "so")]).await;
        assert_eq!(sent.status, 200, "{}", sent.main());
        let request = newest(&test).await;
        assert_eq!(request["kind"], kind);
        test.act(&format!("/change-requests/{}/approve", id(&request))).await.expect(StatusCode::OK);
        test.clock.advance(std::time::Duration::from_millis(1));
    }
    let path = format!("{path}/prompt_store");
    let form = alice.open(&path).await;
    assert_eq!(form.all("section details summary"), ["hi: version 1"]);
    let mut ask = async |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        diff(&alice.post(&path, &[form.form("/sign-out"), fields].concat()).await)
    };
    let version = ask(&[("action", "add_version"), ("add_version.name", "hi"), ("add_version.text", "Hi"), ("add_version.labels", "")]).await;
    assert_eq!(version[1], row("prompts: “hi”: “text”", "Hello", "Hi"), "{version:?}");
    let label = ask(&[("action", "set_label"), ("set_label.name", "hi"), ("set_label.label", "production"), ("set_label.version", "1")]).await;
    assert_eq!(label, [row("prompts: “hi”: “labels”", "none", r#"{ "production": 1 }"#)]);
    let preview = alice.post(&path, &[form.form("/sign-out"), vec![("action".into(), "delete".into()), ("delete".into(), "hi".into())]].concat()).await;
    assert_eq!(diff(&preview), [row("prompts: “hi”", r#"{ "text": "Hello" }"#, "none")]);
}
}

on_both! {
async fn what_is_wrong_is_marked_and_what_was_typed_is_kept(test: Test) {
    let (mut alice, _, path) = desk(&test, json!({"tags": ["a"]})).await;
    let config = format!("{path}/update_config");
    let form = alice.open(&config).await;
    let fields = [("limits.requests_per_day", "0"), ("time_zone", "Mars/Olympus"), ("step", "preview")];
    let page = alice.submit(&form, &config, &fields).await;
    assert_eq!((page.status, page.all("#limits\\.requests_per_day-error").len(), page.all("#time_zone-error").len()), (422, 1, 1), "{}", page.main());
    assert_eq!(page.attribute("#time_zone", "value").as_deref(), Some("Mars/Olympus"));
    let page = alice.submit(&form, &config, &[("limits.requests_per_day", "many"), ("expires_at", "soon"), ("step", "preview")]).await;
    assert_eq!((page.status, page.all("#limits\\.requests_per_day-error").len()), (422, 1));
    let page = alice.submit(&form, &config, &[("step", "preview")]).await;
    assert!(page.all("[role=alert]")[0].contains("would change nothing"), "{}", page.main());
    let categories = format!("{path}/custom_categories");
    let form = alice.open(&categories).await;
    let fields = [("custom_categories[0].name", "P"), ("custom_categories[0].patterns", "fine\n("), ("step", "preview")];
    let page = alice.submit(&form, &categories, &fields).await;
    assert_eq!((page.status, page.all("#custom_categories\\[0\\]\\.patterns-error").len()), (422, 1), "{}", page.main());
    assert!(page.text.contains("fine\n(</textarea>"));
    assert_eq!(page.all("legend"), ["P", "Another category"], "there is room for one more");
}
}

on_both! {
async fn what_was_not_shown_is_not_asked_for(test: Test) {
    let (mut alice, app, path) = desk(&test, json!({"tags": ["a"]})).await;
    let path = format!("{path}/set_tags");
    let form = alice.open(&path).await;
    let preview = alice.submit(&form, &path, &[("tags", "a, b"), ("step", "preview")]).await;
    test.patch(&format!("/apps/{}", id(&app)), json!({"tags": ["a", "c"]})).await.expect(StatusCode::OK);
    let again = alice.submit(&preview, &path, &[("reason", "so"), ("step", "send")]).await;
    assert_eq!((again.status, diff(&again)), (422, vec![row("tags", "a c", "a b")]), "{}", again.main());
    assert!(again.all("[role=alert]")[0].contains("in the meantime"));
    assert!(again.text.contains("so</textarea>"), "the reason is kept");
    let sent = alice.submit(&again, &path, &[("step", "send")]).await;
    assert_eq!(sent.status, 200);
    assert_eq!(newest(&test).await["changes"], json!([{"path": "tags", "before": ["a", "c"], "after": ["a", "b"]}]));
}
}

on_both! {
async fn a_stale_request_is_asked_for_again_on_top_of_what_is_new(test: Test) {
    let (mut alice, app, path) = desk(&test, json!({"limits": {"requests_per_day": 5}})).await;
    let path = format!("{path}/update_config");
    let form = alice.open(&path).await;
    let preview = alice.submit(&form, &path, &[("limits.requests_per_day", "50"), ("step", "preview")]).await;
    let sent = alice.submit(&preview, &path, &[("reason", "so"), ("step", "send")]).await;
    assert!(sent.all(".button").iter().all(|button| button != "Request again"), "it is pending");
    let newer = json!({"limits": {"requests_per_day": 7, "requests_per_minute": 3}});
    test.patch(&format!("/apps/{}", id(&app)), newer).await.expect(StatusCode::OK);
    let page = alice.open("/requests").await;
    assert_eq!((page.all("tbody .badge"), page.all("tbody td:last-child")), (vec!["stale".into()], vec!["version 3 of the app changed `limits.requests_per_day`".into()]));
    let stale = alice.open(&sent.at).await;
    test.clock.advance(std::time::Duration::from_millis(1));
    assert!(stale.main().contains("changed in the meantime"), "{}", stale.main());
    let again = alice.open(&stale.attribute("section a.button", "href").unwrap()).await;
    assert_eq!(again.attribute("#limits\\.requests_per_day", "value").as_deref(), Some("50"));
    assert_eq!(again.attribute("#limits\\.requests_per_minute", "value").as_deref(), Some("3"));
    let preview = alice.submit(&again, &path, &[("step", "preview")]).await;
    assert_eq!(diff(&preview), [row("limits: requests per day", "7", "50")]);
    let sent = alice.submit(&preview, &path, &[("reason", "still"), ("step", "send")]).await;
    assert_eq!(newest(&test).await["status"], "pending");
    let mut bob = Visitor::signed_in(&test, "bob@acme.com").await;
    assert_eq!(bob.open(&sent.at).await.status, 404, "another's request is none");
    let others = format!("{path}?again={}", sent.at.rsplit('/').next().unwrap());
    assert_eq!(bob.open(&others).await.status, 404);
}
}

on_both! {
async fn requests_are_listed_counted_and_withdrawn(test: Test) {
    let (mut alice, app, path) = desk(&test, json!({})).await;
    assert!(alice.open("/requests").await.main().contains("No requests yet"));
    let path = format!("{path}/set_tags");
    let form = alice.open(&path).await;
    let preview = alice.submit(&form, &path, &[("tags", "x"), ("step", "preview")]).await;
    let sent = alice.submit(&preview, &path, &[("reason", "so"), ("step", "send")]).await;
    assert!(alice.open("/requests?status=").await.main().contains("1 request pending."));
    assert!(alice.open("/requests?status=rejected").await.main().contains("No requests have this status"));
    let gone = alice.submit(&sent, &format!("{}/withdraw", sent.at), &[]).await;
    assert_eq!((gone.all(".flash"), gone.all(".head .badge")), (vec!["Request withdrawn.".to_owned()], vec!["withdrawn".to_owned()]));
    let twice = alice.submit(&sent, &format!("{}/withdraw", sent.at), &[]).await;
    assert_eq!(twice.status, 422);
    assert!(twice.all("[role=alert]")[0].contains("no longer pending"));
    test.self_service(&app, json!({"access": {"settings_request": {"mode": "disabled"}, "viewer": {"mode": "everyone"}}})).await;
    assert_eq!(alice.open(&path).await.status, 403, "that takes a capability");
    let refused = alice.submit(&preview, &path, &[("reason", "so"), ("step", "send")]).await;
    assert_eq!(refused.status, 403);
    assert!(!alice.open(&sent.at).await.main().contains("Request again"));
}
}

on_both! {
async fn values_are_typed_once_and_hashes_are_shown(test: Test) {
    let (mut alice, app, path) = desk(&test, json!({})).await;
    let path = format!("{path}/custom_categories");
    let form = alice.open(&path).await;
    let fields = [("custom_categories[0].name", "Customers"), ("custom_categories[0].values", "Ann Lee\nC-1009")];
    let preview = alice.submit(&form, &path, &[fields[0], fields[1], ("step", "preview")]).await;
    let shown = diff(&preview);
    assert!(shown[0].2.contains("\"values\": \"2\"") && !shown[0].2.contains("Lee"), "{shown:?}");
    let sent = alice.submit(&preview, &path, &[("step", "send"), ("reason", "so")]).await;
    assert_eq!(sent.status, 200, "{}", sent.main());
    assert!(!sent.text.contains("Ann Lee"));
    let request = newest(&test).await;
    test.act(&format!("/change-requests/{}/approve", id(&request))).await.expect(StatusCode::OK);
    let form = alice.open(&path).await;
    assert!(form.text.contains("hash:") && !form.text.contains("Ann Lee"));
    let remove = [("custom_categories[0].remove_values", "c-1009"), ("step", "preview")];
    let preview = alice.submit(&form, &path, &remove).await;
    let name = "custom categories: “Customers”: “values”";
    assert_eq!(diff(&preview), [row(name, "2", "1 (0 added, 1 removed)")], "{}", preview.main());
    let wrong = [("custom_categories[0].remove_values", "nobody"), ("step", "preview")];
    let page = alice.submit(&form, &path, &wrong).await;
    assert_eq!((page.status, page.all("#custom_categories\\[0\\]\\.remove_values-error").len()), (422, 1), "{}", page.main());
    assert!(page.text.contains("nobody</textarea>"), "what was typed is there");
    let _ = app;
}
}
