//! What users see of requests: their own, or an app's.

mod property;

use axum::http::StatusCode;
use latchkey_core::access::{Access, AccessMode, Rule, Subjects};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ledger::gateway::edit_settings;
use crate::support::{START_MS, Test, id, on_both};

const TODAY: i64 = START_MS / 86_400_000;

fn everyone() -> Rule {
    Rule { mode: AccessMode::Everyone, ..Rule::default() }
}

fn only(users: &[&str]) -> Rule {
    let users = users.iter().map(|user| user.parse().unwrap()).collect();
    Rule { mode: AccessMode::Specific, allow: Subjects { users, ..Subjects::default() }, ..Rule::default() }
}

async fn allow(test: &Test, app: &Value, access: Access) {
    edit_settings(test, app, |settings| settings.self_service.access = access).await;
}

/// A request, in the records and in the sums.
async fn request(test: &Test, name: &str, app: &str, user: &str, model: &str) {
    let whose = json!({"app_id": app, "user_id": user, "model": model});
    let with = |mut row: Value, more: Value| {
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    test.insert("records", with(whose.clone(), json!({"request_id": name}))).await;
    test.sql(&[format!(
        "INSERT INTO usage_days VALUES ({TODAY}, '{app}', '', '{user}', '{model}', '', 1, 0, 2, 0, 3, 0, 5)
         ON CONFLICT (day, app_id, key_id, model, provider, user_id)
         DO UPDATE SET requests = usage_days.requests + 1"
    )])
    .await;
    test.sum_up().await;
}

/// The names of the requests that the pages of a list hold, newest first.
async fn names(test: &Test, token: &str, path: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = test.with(token, "GET", &format!("{path}{cursor}"), None).await.expect(StatusCode::OK);
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|log| log["request_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { return found };
        cursor = format!("{}cursor={next}", if path.contains('?') { '&' } else { '?' });
    }
}

/// How many requests the totals count.
async fn count(test: &Test, token: &str, path: &str) -> u64 {
    let usage = test.with(token, "GET", path, None).await.expect(StatusCode::OK);
    usage["totals"]["requests"].as_u64().unwrap()
}

on_both! {
    async fn a_user_sees_their_own_requests_and_all_of_an_app_only_with_that_capability(test: Test) {
        let (app, other) = (test.app(json!({})).await, test.app(json!({})).await);
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let token = test.token_of(&alice).await;
        for (name, app, user) in [("a1", &app, &alice), ("b1", &app, &bob), ("a2", &other, &alice), ("k1", &app, &String::new())] {
            request(&test, name, &id(app), user, "gpt-4o").await;
        }
        let [logs, usage] = ["logs", "usage"].map(|what| format!("/me/apps/{}/{what}", id(&app)));
        let nothing: [&str; 0] = [];
        assert_eq!(names(&test, &token, "/me/logs").await, nothing, "nothing configured means no one");
        assert_eq!(count(&test, &token, "/me/usage").await, 0);
        for path in [&logs, &usage, &format!("/me/apps/{}/logs", Uuid::nil()), "/me/apps/x/logs"] {
            assert_eq!(test.with(&token, "GET", path, None).await.refused(404).0, "not_found", "{path}");
        }

        allow(&test, &app, Access { viewer: everyone(), ..Access::default() }).await;
        assert_eq!(names(&test, &token, "/me/logs").await, ["a1"]);
        assert_eq!(names(&test, &token, &logs).await, ["a1"]);
        assert_eq!((count(&test, &token, "/me/usage").await, count(&test, &token, &usage).await), (1, 1));

        let all_logs = only(&[&alice]);
        allow(&test, &app, Access { viewer: everyone(), all_logs: all_logs.clone(), ..Access::default() }).await;
        assert_eq!(names(&test, &token, &logs).await, ["k1", "b1", "a1"]);
        assert_eq!(count(&test, &token, &usage).await, 3);
        assert_eq!(names(&test, &token, "/me/logs").await, ["a1"], "own, unless the app is asked for");
        assert_eq!(names(&test, &token, &format!("/me/logs?app_id={}", id(&app))).await, ["k1", "b1", "a1"]);
        assert_eq!(count(&test, &token, &format!("/me/usage?app_id={}", id(&app))).await, 3);
        let bobs = test.token_of(&bob).await;
        assert_eq!(names(&test, &bobs, &logs).await, ["b1"]);

        allow(&test, &app, Access { all_logs, ..Access::default() }).await;
        assert_eq!(test.with(&token, "GET", &logs, None).await.refused(404).0, "not_found", "it counts only for viewers");
        assert_eq!(names(&test, &token, "/me/logs").await, nothing, "a lost app is hidden with its requests");
    }
}

on_both! {
    async fn filters_that_name_others_answer_nothing_and_tell_nothing(test: Test) {
        let (app, hidden) = (test.app(json!({})).await, test.app(json!({})).await);
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let token = test.token_of(&alice).await;
        allow(&test, &app, Access { viewer: everyone(), ..Access::default() }).await;
        for (name, app, user) in [("a1", &app, &alice), ("b1", &app, &bob), ("a2", &hidden, &alice)] {
            request(&test, name, &id(app), user, "gpt-4o").await;
        }
        let nobody = Uuid::nil();
        for filter in [
            format!("user_id={bob}"), format!("user_id={nobody}"), format!("app_id={}", id(&hidden)),
            format!("app_id={nobody}"), format!("key_id={nobody}"),
        ] {
            for what in ["/me".to_owned(), format!("/me/apps/{}", id(&app))] {
                let logs = test.with(&token, "GET", &format!("{what}/logs?{filter}"), None).await;
                assert_eq!(logs.expect(StatusCode::OK), json!({"items": [], "next_cursor": null}), "{what} {filter}");
                assert_eq!(count(&test, &token, &format!("{what}/usage?{filter}")).await, 0, "{what} {filter}");
            }
        }
        let by_user = test.with(&token, "GET", "/me/usage?group_by=user,app", None).await.expect(StatusCode::OK);
        let items = by_user["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["user_id"], &items[0]["app_id"]), (1, &json!(alice), &app["id"]));
        assert_eq!(test.with(&token, "GET", "/me/logs?tenant=x", None).await.refused(400).0, "invalid_query");
    }
}

on_both! {
    async fn only_people_have_requests_of_their_own(test: Test) {
        for path in ["/me/logs", "/me/usage"] {
            assert_eq!(test.get(path).await.refused(403).0, "not_a_user", "{path}");
        }
        let user = test.user("carol@acme.com").await;
        let token = test.token_of(&user).await;
        assert_eq!(names(&test, &token, "/me/logs").await, [""; 0]);
        test.sql(&[format!("UPDATE users SET deactivated_at = 1 WHERE id = '{user}'")]).await;
        assert_eq!(test.with(&token, "GET", "/me/logs", None).await.refused(401).0, "unauthorized");
    }
}
