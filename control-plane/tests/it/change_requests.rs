mod decisions;
mod draft;
mod staleness;
mod trial;

use axum::http::StatusCode;
use latchkey_core::access::{AccessMode, Rule};
use serde_json::{Value, json};

use crate::support::{Answer, Test, id, on_both, pair};
use crate::versions::edit;

/// An app of which everyone may ask for changes, and a user with their token.
#[derive(Clone)]
struct Desk {
    app: String,
    path: String,
    alice: String,
    token: String,
}

fn everyone() -> Rule {
    Rule { mode: AccessMode::Everyone, ..Rule::default() }
}

impl Desk {
    async fn new(test: &Test, settings: Value) -> Self {
        let app = id(&test.app(settings).await);
        edit(test, &app, |settings| settings.self_service.access.settings_request = everyone()).await;
        let alice = test.user("alice@acme.com").await;
        let token = test.token_of(&alice).await;
        Self { path: format!("/apps/{app}"), app, alice, token }
    }

    async fn ask(&self, test: &Test, kind: &str, edit: Value) -> Answer {
        let body = json!({"kind": kind, "edit": edit, "reason": "for the launch"});
        test.with(&self.token, "POST", &format!("/me/apps/{}/change-requests", self.app), Some(body)).await
    }

    /// Asks for these tags; gives the request's path.
    async fn ask_tags(&self, test: &Test, tags: &[&str]) -> String {
        let asked = self.ask(test, "set_tags", json!({"tags": tags})).await.expect(StatusCode::CREATED);
        format!("/change-requests/{}", id(&asked))
    }

    async fn now(&self, test: &Test) -> Value {
        test.get(&self.path).await.expect(StatusCode::OK)
    }
}

async fn status(test: &Test, path: &str) -> String {
    let read = test.get(path).await.expect(StatusCode::OK);
    read["status"].as_str().unwrap().to_owned()
}

async fn approve(test: &Test, path: &str) -> Answer {
    test.act(&format!("{path}/approve")).await
}

async fn reject(test: &Test, path: &str) -> Answer {
    test.post(&format!("{path}/reject"), json!({"reason": "too much"})).await
}

on_both! {
    async fn a_request_of_each_kind_is_applied_as_a_version(test: Test) {
        let desk = Desk::new(&test, json!({"limits": {"requests_per_minute": 5}})).await;
        for (kind, edit, operation, paths) in [
            ("update_config", json!({"limits": {"requests_per_minute": 60}}), "update_config", json!(["limits.requests_per_minute"])),
            ("set_tags", json!({"tags": ["x"]}), "set_tags", json!(["tags"])),
            ("jwt_auth_settings", json!({"identity": {"header": true}}), "jwt_auth_settings", json!(["identity.header"])),
            ("custom_categories", json!({"custom_categories": [{"name": "P", "keywords": ["orion"]}]}),
                "update_custom_category", json!(["custom_categories.P"])),
            ("prompt_store", json!({"create": {"name": "hi", "text": "Hello"}}), "prompt_store_create", json!(["prompts.hi"])),
            ("prompt_store", json!({"add_version": {"name": "hi", "text": "Hi", "labels": ["production"]}}), "prompt_store_create",
                json!(["prompts.hi.labels", "prompts.hi.older", "prompts.hi.text", "prompts.hi.version"])),
            ("prompt_store", json!({"set_label": {"name": "hi", "label": "production", "version": 1}}), "prompt_store_create",
                json!(["prompts.hi.labels.production"])),
            ("prompt_store", json!({"remove_label": {"name": "hi", "label": "production"}}), "prompt_store_create",
                json!(["prompts.hi.labels"])),
            ("prompt_store", json!({"delete": "hi"}), "prompt_store_delete", json!(["prompts.hi"])),
        ] {
            let asked = desk.ask(&test, kind, edit).await.expect(StatusCode::CREATED);
            assert_eq!((&asked["status"], &asked["kind"]), (&json!("pending"), &json!(kind)));
            let before = desk.now(&test).await;
            let path = format!("/change-requests/{}", id(&asked));
            assert_eq!(test.get(&path).await.expect(StatusCode::OK)["now"][0]["differs"], false);
            let done = approve(&test, &path).await.expect(StatusCode::OK);
            assert_eq!((&done["status"], &done["comment"]), (&json!("approved"), &Value::Null), "{done}");
            let version = test.get(&format!("{}/versions/{}", desk.path, done["version"])).await.expect(StatusCode::OK);
            assert_eq!((&version["operation"], &version["changed"]), (&json!(operation), &paths));
            assert_eq!(version["change_request_id"], asked["id"]);
            assert_ne!(desk.now(&test).await["updated_at"], Value::Null);
            assert_eq!(before["name"], desk.now(&test).await["name"]);
        }
        let now = desk.now(&test).await;
        assert_eq!((&now["tags"], &now["identity"]["header"]), (&json!(["x"]), &json!(true)));
        assert_eq!(now["limits"], json!({"requests_per_minute": 60}));
    }
}

on_both! {
    async fn only_those_who_may_ask_can(test: Test) {
        let app = id(&test.app(json!({})).await);
        let alice = test.user("alice@acme.com").await;
        let desk = Desk { path: format!("/apps/{app}"), token: test.token_of(&alice).await, alice: alice.clone(), app };
        let ask = async || desk.ask(&test, "set_tags", json!({"tags": ["x"]})).await;
        assert_eq!(ask().await.refused(404).0, "not_found", "who sees nothing learns nothing");
        edit(&test, &desk.app, |settings| settings.self_service.access.viewer = everyone()).await;
        assert_eq!(ask().await.refused(403).0, "no_settings_request");
        edit(&test, &desk.app, |settings| {
            settings.self_service.access.settings_request = everyone();
            settings.self_service.access.viewer.exceptions.users.insert(alice.parse().unwrap());
        }).await;
        assert_eq!(ask().await.refused(404).0, "not_found", "an exception of the viewers hides the app");
        edit(&test, &desk.app, |settings| settings.self_service.access.viewer = Rule::default()).await;
        ask().await.expect(StatusCode::CREATED);
        let admin = test.token(latchkey_core::role::Role::Admin).await;
        let body = json!({"kind": "set_tags", "edit": {"tags": ["y"]}, "reason": "x"});
        let path = format!("/me/apps/{}/change-requests", desk.app);
        assert_eq!(test.with(&admin, "POST", &path, Some(body)).await.refused(403).0, "not_a_user");
    }
}

on_both! {
    async fn a_request_is_as_valid_as_an_edit_and_changes_something(test: Test) {
        test.catalogue().await;
        let desk = Desk::new(&test, json!({"tags": ["a"], "limits": {"requests_per_day": 5}})).await;
        for (kind, edit, path) in [
            ("update_config", json!({"mode": "named"}), "edit.mode"),
            ("update_config", json!({"name": "Mine"}), "edit.name"),
            ("update_config", json!({"keep_key_values": true}), "edit.keep_key_values"),
            ("update_config", json!({"self_service": {}}), "edit.self_service"),
            ("update_config", json!({"metadata": {}}), "edit.metadata"),
            ("update_config", json!({"tags": ["b"]}), "edit.tags"),
            ("update_config", json!({"limits": {"requests_per_day": 0}}), "edit.limits.requests_per_day"),
            ("update_config", json!({"limits": {"requests_per_day": "x"}}), "edit.limits.requests_per_day"),
            ("update_config", json!({"named_key_limits": {"requests_per_day": 6}}), "edit.named_key_limits.requests_per_day"),
            ("update_config", json!({"allowed_models": ["gpt-5"]}), "edit.allowed_models[0]"),
            ("update_config", json!({"expires_at": "2025-01-01T00:00:00Z"}), "edit.expires_at"),
            ("update_config", json!({}), "edit"),
            ("set_tags", json!({"tags": ["a"]}), "edit"),
            ("set_tags", json!({"tags": [""]}), "edit.tags[0]"),
            ("set_tags", json!({"tags": ["b"], "limits": null}), "edit.limits"),
            ("set_tags", json!([]), "edit"),
            ("custom_categories", json!({"custom_categories": [{"name": "a", "patterns": ["("]}]}), "edit.custom_categories[0].patterns[0]"),
            ("prompt_store", json!({"create": {"name": "", "text": "x"}}), "edit.create.name"),
            ("prompt_store", json!({"delete": "x"}), "edit.delete"),
            ("prompt_store", json!({"add_version": {"name": "x", "text": "y"}}), "edit.add_version.name"),
            ("prompt_store", json!({"set_label": {"name": "x", "label": "y", "version": 1}}), "edit.set_label.name"),
            ("everything", json!({}), "kind"),
        ] {
            assert_eq!(desk.ask(&test, kind, edit.clone()).await.refused(422), pair("invalid", path), "{edit}");
        }
        let body = json!({"kind": "set_tags", "edit": {"tags": ["b"]}, "reason": " "});
        let path = format!("/me/apps/{}/change-requests", desk.app);
        let refused = test.with(&desk.token, "POST", &path, Some(body)).await;
        assert_eq!(refused.refused(422), pair("invalid", "reason"));
        assert_eq!(test.get("/change-requests").await.expect(StatusCode::OK)["items"], json!([]));
        test.act(&format!("{}/revoke", desk.path)).await.expect(StatusCode::OK);
        assert_eq!(desk.ask(&test, "set_tags", json!({"tags": ["b"]})).await.refused(409).0, "revoked");
    }
}

on_both! {
    async fn lists_filter_and_count_what_is_pending(test: Test) {
        let desk = Desk::new(&test, json!({"limits": {"budget": {"usd": "9", "per": "month"}}})).await;
        let first = desk.ask_tags(&test, &["a"]).await;
        test.clock.advance(std::time::Duration::from_millis(1));
        let asked = desk.ask(&test, "update_config", json!({"time_zone": "Europe/Berlin"})).await;
        let second = id(&asked.expect(StatusCode::CREATED));
        let bob = test.user("bob@acme.com").await;
        let bobs = Desk { token: test.token_of(&bob).await, ..desk.clone() };
        test.clock.advance(std::time::Duration::from_millis(1));
        let third = bobs.ask_tags(&test, &["b"]).await;
        reject(&test, &first).await.expect(StatusCode::OK);
        let list = async |path: &str| {
            let page = test.get(path).await.expect(StatusCode::OK);
            (page["items"].as_array().unwrap().len(), page["pending"].as_i64().unwrap())
        };
        assert_eq!(list("/change-requests").await, (3, 2));
        assert_eq!(list("/change-requests?status=rejected").await, (1, 2));
        assert_eq!(list("/change-requests?kind=set_tags").await, (2, 1));
        assert_eq!(list(&format!("/change-requests?user_id={bob}")).await, (1, 1));
        assert_eq!(list(&format!("/change-requests?app_id={}", bob)).await, (0, 0));
        assert_eq!(list(&format!("{}/change-requests?status=pending", desk.path)).await, (2, 2));
        assert_eq!(test.get("/change-requests?status=maybe").await.refused(400).0, "invalid_query");
        assert_eq!(test.get(&format!("/apps/{bob}/change-requests")).await.refused(404).0, "not_found");
        let page = test.get("/change-requests?limit=1").await.expect(StatusCode::OK);
        assert_eq!(format!("/change-requests/{}", id(&page["items"][0])), third, "the newest first");
        let next = page["next_cursor"].as_str().unwrap();
        let page = test.get(&format!("/change-requests?limit=1&cursor={next}")).await.expect(StatusCode::OK);
        assert_eq!(id(&page["items"][0]), second);
        let mine = test.with(&desk.token, "GET", "/me/change-requests?status=pending", None).await.expect(StatusCode::OK);
        assert_eq!((mine["items"].as_array().unwrap().len(), &mine["pending"]), (1, &json!(1)));
        assert_eq!(mine["items"][0]["requester"], json!({"id": desk.alice, "email": "alice@acme.com"}));
        for (method, rest) in [("GET", ""), ("POST", "/withdraw")] {
            let others = test.with(&desk.token, method, &format!("/me{third}{rest}"), None).await;
            assert_eq!(others.refused(404).0, "not_found", "another's request is none");
            assert_eq!(status(&test, &third).await, "pending");
        }
        assert_eq!(test.with(&desk.token, "GET", &third, None).await.refused(403).0, "forbidden");
    }
}

on_both! {
    async fn a_user_has_so_many_pending_requests_for_an_app(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        for i in 0..20 {
            desk.ask_tags(&test, &[&format!("t{i}")]).await;
        }
        assert_eq!(desk.ask(&test, "set_tags", json!({"tags": ["x"]})).await.refused(409).0, "too_many_pending");
    }
}
