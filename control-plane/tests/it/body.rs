use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

on_both! {
    async fn an_array_is_not_taken_for_the_fields_of_a_body(test: Test) {
        assert_eq!(test.post("/users", json!(["alice@acme.com", "alice"])).await.refused(422), pair("invalid", ""));
        let app = id(&test.app(json!({})).await);
        assert_eq!(test.patch(&format!("/apps/{app}"), json!([null])).await.refused(422), pair("invalid", ""));
    }
}

on_both! {
    async fn a_body_that_may_be_missing_may_be_null(test: Test) {
        let app = id(&test.app(json!({})).await);
        test.post(&format!("/apps/{app}/key/rotate"), Value::Null).await.expect(StatusCode::OK);
        assert_eq!(test.post(&format!("/apps/{app}/key/rotate"), json!([1])).await.refused(422), pair("invalid", ""));
    }
}

/// Every object that an edit by PATCH makes another of: the operation's path, and the object's.
async fn editable(test: &Test) -> Vec<(&'static str, String)> {
    test.catalogue().await;
    let app = test.app(json!({"mode": "named"})).await;
    let key = test.named_key(&app).await;
    let (user, group) = (test.user("alice@acme.com").await, test.group("Engineers", &[]).await);
    let own = json!({"access": {"viewer": {"mode": "everyone"}}});
    test.self_service(&app, own).await;
    let server = json!({"name": "files", "url": "https://mcp.acme.com/"});
    test.post("/mcp-servers", server).await.expect(StatusCode::CREATED);
    let detector = json!({"name": "judge", "url": "https://judge.acme.com/"});
    test.post("/detectors", detector).await.expect(StatusCode::CREATED);
    let targets = json!([{"provider": "openai", "model": "gpt-4o", "weight": 100}]);
    let routing_group = test.post("/routing-groups", json!({"name": "fast", "targets": targets})).await;
    let routing_group = routing_group.expect(StatusCode::CREATED);
    let webhook = json!({"name": "x", "url": "https://hooks.acme.com/", "events": ["*"], "apps": "all"});
    let webhook = test.post("/webhooks", webhook).await.expect(StatusCode::CREATED);
    let model = test.get("/models").await.json["items"][0].clone();
    vec![
        ("/apps/{id}", format!("/apps/{}", id(&app))),
        ("/apps/{id}/self-service", format!("/apps/{}/self-service", id(&app))),
        ("/apps/{id}/keys/{key}", format!("/apps/{}/keys/{}", id(&app), id(&key))),
        ("/users/{id}", format!("/users/{user}")),
        ("/groups/{id}", format!("/groups/{group}")),
        ("/providers/{name}", "/providers/openai".to_owned()),
        ("/mcp-servers/{name}", "/mcp-servers/files".to_owned()),
        ("/models/{id}", format!("/models/{}", id(&model))),
        ("/detectors/{name}", "/detectors/judge".to_owned()),
        ("/routing-groups/{id}", format!("/routing-groups/{}", id(&routing_group))),
        ("/webhooks/{id}", format!("/webhooks/{}", id(&webhook))),
    ]
}

/// The schema that this one is, or names.
fn schema<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn is_nullable(schema: &Value) -> bool {
    let is_null = |kind: &Value| kind == "null" || kind["type"] == "null";
    let of = |kinds: &Value| kinds.as_array().is_some_and(|kinds| kinds.iter().any(is_null));
    of(&schema["type"]) || of(&schema["oneOf"])
}

on_both! {
    async fn null_is_taken_where_the_document_says_so_and_refused_by_name_elsewhere(test: Test) {
        let document = serde_json::to_value(latchkey_api::openapi()).unwrap();
        let objects = editable(&test).await;
        let patched = document["paths"].as_object().unwrap().iter().filter(|(_, item)| item["patch"].is_object());
        // Those of people, who are asked with tokens of their own elsewhere.
        let mine = ["/api/v1/me/apps/{id}/keys/{key}", "/api/v1/me/email"];
        let patched: Vec<_> = patched.map(|(path, _)| path.as_str()).filter(|path| !mine.contains(path)).collect();
        assert_eq!(patched.len(), objects.len(), "each has an object here: {patched:?}");
        let (mut refused, mut taken) = (0, 0);
        for (operation, object) in &objects {
            let body = &document["paths"][format!("/api/v1{operation}")]["patch"]["requestBody"];
            let fields = &schema(&document, &body["content"]["application/json"]["schema"])["properties"];
            for (name, field) in fields.as_object().unwrap() {
                let answer = test.patch(object, json!({name: null})).await;
                if is_nullable(field) {
                    assert_eq!(answer.status, StatusCode::OK, "{operation} {name}: {:#}", answer.json);
                    taken += 1;
                } else {
                    assert_eq!(answer.refused(422), pair("invalid", name), "{operation} {name}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 20 && taken > 10, "{refused} refused, {taken} taken");
        let rule = test.patch(&objects[1].1, json!({"access": {"viewer": null}})).await;
        assert_eq!(rule.refused(422), pair("invalid", "access.viewer"));
    }
}

on_both! {
    async fn a_name_that_is_there_twice_in_an_object_is_refused(test: Test) {
        test.catalogue().await;
        let model = test.get("/models").await.json["items"][0].clone();
        let app = id(&test.app(json!({})).await);
        let tiers = r#"{"price": {"input": "1", "output": "2", "tiers": {"flex": {"multiplier": "1"}, "flex": {"multiplier": "2"}}}}"#;
        let person = test.user("boss@acme.com").await;
        test.patch(&format!("/users/{person}"), json!({"role": "owner"})).await.expect(StatusCode::OK);
        let person = test.token_of(&person).await;
        let asked = |edit: &str| format!(r#"{{"kind": "set_tags", "edit": {edit}, "reason": "so"}}"#);
        let texts = [
            ("PATCH", format!("/apps/{app}"), r#"{"metadata": {"a": 1, "a": 2}}"#.to_owned(), "metadata"),
            ("PATCH", format!("/apps/{app}"), r#"{"metadata": {"b": [{"a": 1, "a": 2}]}}"#.to_owned(), "metadata"),
            ("POST", "/apps".to_owned(), r#"{"name": "x", "metadata": {"a": 1, "a": 2}}"#.to_owned(), "metadata"),
            ("PATCH", format!("/models/{}", id(&model)), tiers.to_owned(), "price.tiers"),
            ("POST", format!("/apps/{app}/explain"), r#"{"headers": {"x": "1", "x": "2"}}"#.to_owned(), "headers"),
            ("POST", format!("/me/apps/{app}/change-requests"), asked(r#"{"tags": ["a"], "tags": ["b"]}"#), "edit"),
        ];
        for (method, path, text, field) in texts {
            let mut request = test.request(method, &path, None);
            *request.body_mut() = axum::body::Body::from(text.clone());
            request.headers_mut().insert("authorization", format!("Bearer {person}").parse().unwrap());
            let answer = test.send(request).await;
            let said = answer.json["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
            let (code, place) = answer.refused(422);
            assert!(code == "invalid" && place.starts_with(field), "{text}: {place}");
            assert!(said.contains("is duplicated"), "{text}: {said}");
        }
    }
}

on_both! {
    async fn a_nul_character_in_a_query_is_refused(test: Test) {
        for query in ["/logs?model=a%00", "/users?search=%00", "/usage?provider=%00", "/events?kind=%00"] {
            assert_eq!(test.get(query).await.refused(400), pair("invalid_query", ""), "{query}");
        }
    }
}
