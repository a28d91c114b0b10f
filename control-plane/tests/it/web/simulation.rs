//! A change is tried on past requests, before it is made.

use axum::http::StatusCode;
use serde_json::json;

use super::visitor::Visitor;
use crate::support::{START_MS, Test, id, on_both};

/// Requests of an app for two models: three of one and one of the other, for a cent each.
async fn traffic(test: &Test, app: &serde_json::Value) {
    for (number, model) in (0..).zip(["gpt-4o", "gpt-4o", "gpt-4o", "o3"]) {
        test.insert("records", json!({
            "at": START_MS - 1_000 + number, "app_id": app["id"], "key_id": app["key"]["id"], "model": model,
            "served_model": model, "provider": "openai", "cost": 10_000_000,
        })).await;
    }
}

const SENTENCE: &str =
    "This would have refused 1 of 4 requests. Spend would have been $0.03 instead of $0.04.";

on_both! {
    async fn settings_are_tried_and_what_was_typed_stays(test: Test) {
        test.catalogue().await;
        test.post("/models", json!({"name": "o3", "provider": "openai"})).await.expect(StatusCode::CREATED);
        let app = test.app(json!({})).await;
        traffic(&test, &app).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        assert_eq!(page.attribute(&format!("form[action='{path}'] button[formaction]"), "formaction"), Some(format!("{path}/simulation")));
        let mut fields = page.form(&path);
        for (name, value) in [("allowed_models", "only"), ("allowed_models.only", "gpt-4o"), ("tags", "typed")] {
            fields.retain(|(own, _)| own != name);
            fields.push((name.to_owned(), value.to_owned()));
        }
        let tried = boss.post(&format!("{path}/simulation"), &fields).await;
        assert_eq!(tried.status, 200, "{}", tried.main());
        let shown = tried.all("#simulation").join(" ");
        assert!(shown.contains(SENTENCE), "{shown}");
        assert_eq!(tried.all("#simulation tbody tr"), ["model not allowed model_not_allowed 1", "Unknown (app key) 1", "o3 1"]);
        let form = tried.form(&path);
        assert!(form.contains(&("tags".to_owned(), "typed".to_owned())), "{form:?}");
        assert!(form.contains(&("allowed_models.only".to_owned(), "gpt-4o".to_owned())), "{form:?}");
        let now = test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!((&now["allowed_models"], &now["tags"]), (&json!("all"), &json!([])), "nothing was changed");
        let saved = boss.submit(&tried, &path, &[]).await;
        assert!(saved.all(".flash").join(" ").contains("Saved"), "{}", saved.main());

        let wrong = boss.post(&format!("{path}/simulation"), &[fields.clone(), vec![("limits.requests_per_minute".to_owned(), "x".to_owned())]].concat()).await;
        assert_eq!((wrong.status, wrong.all("#simulation").len()), (422, 0));
        let action = format!("{path}/identity/simulation");
        let mut identity = boss.open(&path).await.form(&format!("{path}/identity"));
        identity.push(("require_conversation_id".to_owned(), "true".to_owned()));
        let tried = boss.post(&action, &identity).await;
        assert!(tried.all("#simulation").join(" ").contains("conversation id required"), "{}", tried.main());
    }
}

on_both! {
    async fn a_change_request_and_a_rollback_have_a_button_to_try_them(test: Test) {
        test.catalogue().await;
        test.post("/models", json!({"name": "o3", "provider": "openai"})).await.expect(StatusCode::CREATED);
        let app = test.app(json!({"allowed_models": ["gpt-4o"]})).await;
        test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}, "settings_request": {"mode": "everyone"}}})).await;
        test.patch(&format!("/apps/{}", id(&app)), json!({"allowed_models": "all"})).await.expect(StatusCode::OK);
        traffic(&test, &app).await;
        let alice = test.user("alice@acme.com").await;
        let body = json!({"kind": "update_config", "edit": {"allowed_models": ["gpt-4o"]}, "reason": "less"});
        let token = test.token_of(&alice).await;
        let request = test.with(&token, "POST", &format!("/me/apps/{}/change-requests", id(&app)), Some(body)).await;
        let request = id(&request.expect(StatusCode::CREATED));
        let mut auditor = Visitor::with_role(&test, "audit@acme.com", "auditor").await;
        for page in [format!("/admin/requests/{request}"), format!("/admin/apps/{}/audit/1", id(&app))] {
            let mut boss = Visitor::with_role(&test, &format!("boss-{}@acme.com", page.len()), "admin").await;
            let shown = boss.open(&page).await;
            let link = format!("a[href='{page}/simulation']");
            assert_eq!(shown.all(&link), ["Try on the last 7 days"], "{}", shown.main());
            let tried = boss.open(&format!("{page}/simulation")).await;
            assert!(tried.all("#simulation").join(" ").contains(SENTENCE), "{}", tried.main());
            assert_eq!(auditor.open(&format!("{page}/simulation")).await.status, 200);
        }
        test.patch(&format!("/apps/{}", id(&app)), json!({"allowed_models": "none"})).await.expect(StatusCode::OK);
        let stale = auditor.open(&format!("/admin/requests/{request}/simulation")).await;
        assert_eq!(stale.status, 422);
        assert!(stale.all(".refused").join(" ").contains("no longer pending"), "{}", stale.main());
    }
}
