//! Two who change the same thing: with `If-Match`, whoever comes second is told.

use axum::http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Test, id, on_both};

async fn with(test: &Test, method: &str, path: &str, tags: &[&str], body: &Value) -> Answer {
    let mut request = test.request(method, path, Some(body));
    for tag in tags {
        request.headers_mut().append("if-match", HeaderValue::from_str(tag).unwrap());
    }
    test.send(request).await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

on_both! {
    async fn an_app_that_somebody_changed_meanwhile_is_not_overwritten_unseen(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let read = test.get(&path).await;
        assert_eq!(tag(&read), "\"v1\"");
        let mine = with(&test, "PATCH", &path, &["\"v1\""], &json!({"tags": ["red"]})).await;
        assert_eq!((mine.status, tag(&mine)), (StatusCode::OK, "\"v2\"".to_owned()));
        let theirs = json!({"tags": ["blue"], "limits": {"requests_per_minute": 5}});
        let refused = with(&test, "PATCH", &path, &["\"v1\""], &theirs).await;
        assert_eq!(refused.json["changed_meanwhile"], json!({"by": ["owner"], "fields": ["tags"]}), "{:#}", refused.json);
        assert!(refused.json["detail"].as_str().unwrap().contains("version 2"));
        assert_eq!(refused.refused(412).0, "changed_meanwhile");
        let now = test.get(&path).await;
        assert_eq!((tag(&now), &now.json["tags"], &now.json["limits"]), ("\"v2\"".to_owned(), &json!(["red"]), &json!({})));
        for tags in [&["\"v1\", \"v2\""][..], &["\"v1\"", "\"v2\""], &["*"], &[]] {
            let edit = json!({"tags": ["red"]});
            with(&test, "PATCH", &path, tags, &edit).await.expect(StatusCode::OK);
        }
        for wrong in ["v2", "\"v2", "", "\"v2\" \"v3\""] {
            assert_eq!(with(&test, "PATCH", &path, &[wrong], &theirs).await.refused(400).0, "invalid_if_match", "{wrong}");
        }
        assert_eq!(with(&test, "PATCH", &path, &["W/\"v2\""], &theirs).await.refused(412).0, "changed_meanwhile");
        let other = format!("/apps/{}", test.world.id());
        assert_eq!(with(&test, "PATCH", &other, &["\"v1\""], &theirs).await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn all_settings_of_an_app_are_of_one_version(test: Test) {
        let app = test.app(json!({})).await;
        let at = |rest: &str| format!("/apps/{}{rest}", id(&app));
        let service = json!({"access": {"viewer": {"mode": "everyone"}}});
        let categories = json!({"custom_categories": []});
        for (method, rest, body) in [
            ("PATCH", "/self-service", service), ("PUT", "/custom-categories", categories),
        ] {
            assert_eq!(tag(&test.get(&at(rest)).await), tag(&test.get(&at("")).await));
            let old = tag(&test.get(&at(rest)).await);
            test.patch(&at(""), json!({"tags": [format!("after {rest}").replace(' ', "-").replace('/', "-")]})).await.expect(StatusCode::OK);
            assert_eq!(with(&test, method, &at(rest), &[&old], &body).await.refused(412).0, "changed_meanwhile", "{rest}");
            let new = tag(&test.get(&at(rest)).await);
            with(&test, method, &at(rest), &[&new], &body).await.expect(StatusCode::OK);
        }
    }
}

on_both! {
    async fn everything_else_that_is_edited_has_a_tag_of_what_is_shown(test: Test) {
        test.catalogue().await;
        test.post("/mcp-servers", json!({"name": "files", "url": "https://mcp.acme.com/"})).await.expect(StatusCode::CREATED);
        test.post("/detectors", json!({"name": "judge", "url": "https://judge.acme.com/"})).await.expect(StatusCode::CREATED);
        let targets = json!([{"provider": "openai", "model": "gpt-4o", "weight": 100}]);
        let fast = test.post("/routing-groups", json!({"name": "fast", "targets": targets})).await.expect(StatusCode::CREATED);
        let group = test.group("Engineers", &[]).await;
        let model = id(&test.get("/models").await.json["items"][0]);
        let webhook = json!({"name": "On-call", "url": "https://hooks.acme.com/a?b=1", "events": ["*"], "apps": "all"});
        let webhook = test.post("/webhooks", webhook).await.expect(StatusCode::CREATED);
        let bob = test.user("bob@acme.com").await;
        let app = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&app).await;
        for (path, theirs, mine, field) in [
            ("/providers/openai".to_owned(), json!({"enabled": false}), json!({"enabled": true}), "enabled"),
            ("/mcp-servers/files".to_owned(), json!({"enabled": false}), json!({"enabled": true}), "enabled"),
            ("/detectors/judge".to_owned(), json!({"enabled": false}), json!({"enabled": true}), "enabled"),
            (format!("/models/{model}"), json!({"enabled": false}), json!({"enabled": true}), "enabled"),
            (format!("/groups/{group}"), json!({"description": "theirs"}), json!({"description": "mine"}), ""),
            // What is shown of both URLs is the same.
            (format!("/webhooks/{}", id(&webhook)), json!({"url": "https://hooks.acme.com/a?b=2"}), json!({"enabled": true}), "url"),
            (format!("/webhooks/{}", id(&webhook)), json!({"enabled": false}), json!({"name": "mine"}), "enabled"),
            (format!("/users/{bob}"), json!({"role": "auditor"}), json!({"name": "mine"}), ""),
            (format!("/apps/{}/keys/{}", id(&app), id(&key)), json!({"name": "theirs"}), json!({"name": "mine"}), "name"),
            (format!("/routing-groups/{}", id(&fast)), json!({"description": "theirs"}), json!({"description": "mine"}), "description"),
        ] {
            let first = tag(&test.get(&path).await);
            assert_eq!(tag(&test.get(&path).await), first, "{path}");
            let made = with(&test, "PATCH", &path, &[&first], &theirs).await;
            assert_eq!((made.status, tag(&made)), (StatusCode::OK, tag(&test.get(&path).await)), "{path}");
            assert_ne!(tag(&made), first, "{path}");
            let second = with(&test, "PATCH", &path, &[&first], &mine).await;
            let meanwhile = &second.json["changed_meanwhile"];
            assert_eq!(meanwhile["by"], json!(["owner"]), "{path} {:#}", second.json);
            if !field.is_empty() {
                assert_eq!(meanwhile["fields"], json!([field]), "{path}");
            }
            assert_eq!(second.refused(412).0, "changed_meanwhile", "{path}");
            assert_eq!(tag(&test.get(&path).await), tag(&made), "{path}: nothing was changed");
            with(&test, "PATCH", &path, &[&tag(&made)], &mine).await.expect(StatusCode::OK);
        }
        // Members are added one by one, and are no part of what is edited.
        let path = format!("/groups/{group}");
        let before = tag(&test.get(&path).await);
        let alice = test.user("alice@acme.com").await;
        test.send(test.request("PUT", &format!("{path}/members/{alice}"), None)).await.expect(StatusCode::OK);
        assert_eq!(tag(&test.get(&path).await), before);
    }
}

on_both! {
    async fn of_two_at_once_one_is_refused(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let edits = ["red", "blue", "green", "black"].map(|tag| json!({"tags": [tag]}));
        let answers = futures::future::join_all(edits.iter().map(|edit| with(&test, "PATCH", &path, &["\"v1\""], edit))).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412]);
        assert_eq!(test.get(&format!("{path}/versions")).await.json["items"].as_array().unwrap().len(), 2);
    }
}
