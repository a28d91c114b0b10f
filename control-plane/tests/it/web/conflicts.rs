//! Two admins who have the same form open.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::Visitor;
use crate::support::{Test, id, on_both};

async fn read(test: &Test, path: &str) -> Value {
    test.get(path).await.expect(StatusCode::OK)
}

on_both! {
    async fn whoever_saves_second_sees_what_the_first_changed_and_keeps_what_was_typed(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({"tags": ["blue"], "limits": {"requests_per_minute": 100}})).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut alice = Visitor::with_role(&test, "alice@acme.com", "admin").await;
        let mut bob = Visitor::with_role(&test, "bob@acme.com", "admin").await;
        let (hers, his) = (alice.open(&path).await, bob.open(&path).await);
        let saved = alice.submit(&hers, &path, &[("tags", "red"), ("limits.requests_per_minute", "50")]).await;
        assert!(saved.all(".flash").join(" ").contains("Saved"), "{}", saved.main());
        let typed = [("tags", "green"), ("limits.tokens_per_minute", "7000"), ("limits.max_output_tokens", "9")];
        let told = bob.submit(&his, &path, &typed).await;
        assert_eq!(told.status, 409, "{}", told.main());
        let note = told.all("#conflict").join(" ");
        assert!(note.contains("alice@acme.com changed this app"), "{note}");
        let rows = told.all("#conflict tbody tr");
        assert_eq!(rows, ["limits.requests_per_minute 100 50 theirs kept", "tags blue red green replaces theirs"]);
        let form = told.form(&path);
        let value = |name: &str| form.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        assert_eq!([value("tags"), value("limits.requests_per_minute"), value("limits.tokens_per_minute"), value("limits.max_output_tokens")],
            [Some("green"), Some("50"), Some("7000"), Some("9")]);
        let now = read(&test, &format!("/apps/{}", id(&app))).await;
        assert_eq!((&now["tags"], &now["limits"]), (&json!(["red"]), &json!({"requests_per_minute": 50})), "nothing was saved");
        assert_eq!(told.attribute("#conflict a.button", "href"), Some(path.clone()));
        let saved = bob.submit(&told, &path, &[]).await;
        assert!(saved.all(".flash").join(" ").contains("Saved"), "{}", saved.main());
        let now = read(&test, &format!("/apps/{}", id(&app))).await;
        let limits = json!({"requests_per_minute": 50, "tokens_per_minute": 7000, "max_output_tokens": 9});
        assert_eq!((&now["tags"], &now["limits"]), (&json!(["green"]), &limits), "on top of hers");
    }
}

on_both! {
    async fn other_forms_of_an_app_tell_of_a_conflict_too(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({})).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        test.patch(&format!("/apps/{}", id(&app)), json!({"identity": {"header": true}, "tags": ["red"]})).await.expect(StatusCode::OK);
        let told = boss.submit(&page, &format!("{path}/identity"), &[("require_conversation_id", "true")]).await;
        assert_eq!((told.status, told.all("#conflict tbody tr").len()), (409, 2), "{}", told.main());
        boss.submit(&told, &format!("{path}/identity"), &[]).await;
        let now = read(&test, &format!("/apps/{}", id(&app))).await;
        assert_eq!((&now["identity"]["header"], &now["require_conversation_id"], &now["tags"]), (&json!(true), &json!(true), &json!(["red"])));

        let page = boss.open(&format!("{path}/self-service")).await;
        test.self_service(&app, json!({"most_keys_per_user": 3})).await;
        let action = format!("{path}/self-service");
        let told = boss.submit(&page, &action, &[("longest_key_lifetime_days", "30")]).await;
        assert_eq!((told.status, told.all(".refused tbody tr")), (409, vec!["most_keys_per_user 3 theirs kept".to_owned()]), "{}", told.main());
        let saved = boss.submit(&told, &action, &[]).await;
        assert!(saved.all(".flash").join(" ").contains("Saved"), "{}", saved.main());
        let now = read(&test, &format!("/apps/{}/self-service", id(&app))).await;
        assert_eq!((&now["most_keys_per_user"], &now["longest_key_lifetime_days"]), (&json!(3), &json!(30)));
    }
}

on_both! {
    async fn forms_of_everything_else_tell_of_a_conflict(test: Test) {
        test.catalogue().await;
        test.post("/mcp-servers", json!({"name": "files", "url": "https://mcp.acme.com/"})).await.expect(StatusCode::CREATED);
        let targets = json!([{"provider": "openai", "model": "gpt-4o", "weight": 100}]);
        let fast = test.post("/routing-groups", json!({"name": "fast", "targets": targets})).await.expect(StatusCode::CREATED);
        let group = test.group("Engineers", &[]).await;
        let model = id(&test.get("/models").await.json["items"][0]);
        let mut boss = Visitor::owner(&test).await;
        for (path, theirs, typed, row, merged) in [
            ("/providers/openai".to_owned(), json!({"idle_timeout_seconds": 60}), ("base_url", "https://other.acme.com/v1"),
                "idle_timeout_seconds 60 theirs kept", json!({"idle_timeout_seconds": 60, "base_url": "https://other.acme.com/v1"})),
            ("/mcp-servers/files".to_owned(), json!({"url": "https://theirs.acme.com/"}), ("url", "https://mine.acme.com/"),
                "url https://mcp.acme.com/ https://theirs.acme.com/ https://mine.acme.com/ replaces theirs", json!({"url": "https://mine.acme.com/"})),
            (format!("/models/{model}"), json!({"context_window": 64_000}), ("max_output_tokens", "1000"),
                "64000 theirs kept", json!({"context_window": 64_000, "max_output_tokens": 1000})),
            (format!("/groups/{group}"), json!({"description": "theirs"}), ("name", "Builders"),
                "description theirs theirs kept", json!({"description": "theirs", "name": "Builders"})),
            (format!("/routing-groups/{}", id(&fast)), json!({"sticky": true}), ("description", "mine"),
                "sticky true theirs kept", json!({"sticky": true, "description": "mine"})),
        ] {
            let at = format!("/admin{path}");
            let page = boss.open(&at).await;
            test.patch(&path, theirs).await.expect(StatusCode::OK);
            let told = boss.submit(&page, &at, &[typed]).await;
            assert_eq!(told.status, 409, "{path} {}", told.main());
            let who = told.all(".refused p").join(" ");
            assert!(who.contains("owner changed this while you were editing"), "{path} {who}");
            let rows = told.all(".refused tbody tr");
            assert!(rows.iter().any(|shown| shown.ends_with(row)), "{path} {rows:?}");
            let saved = boss.submit(&told, &at, &[]).await;
            assert!(saved.all(".flash").join(" ").contains("Saved"), "{path} {}", saved.main());
            let now = read(&test, &path).await;
            for (field, value) in merged.as_object().unwrap() {
                assert_eq!(&now[field], value, "{path} {now:#}");
            }
        }
    }
}

on_both! {
    async fn what_was_typed_wrong_is_fixed_first_and_the_conflict_is_told_then(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({})).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        test.patch(&format!("/apps/{}", id(&app)), json!({"tags": ["theirs"]})).await.expect(StatusCode::OK);
        let wrong = boss.submit(&page, &path, &[("limits.requests_per_minute", "many")]).await;
        assert_eq!((wrong.status, wrong.all("#conflict").len()), (422, 0), "{}", wrong.main());
        let told = boss.submit(&wrong, &path, &[("limits.requests_per_minute", "5")]).await;
        assert_eq!((told.status, told.all("#conflict tbody tr")), (409, vec!["tags none theirs theirs kept".to_owned()]), "{}", told.main());
    }
}
