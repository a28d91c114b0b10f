//! Transactions that lock the same rows: nobody waits for somebody who waits for them.

use std::pin::Pin;

use axum::http::StatusCode;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Test, id, on_both};

const ROUNDS: usize = 25;

async fn provider(test: &Test, name: &str) {
    let provider = json!({"name": name, "kind": "openai", "base_url": "https://api.acme.com/v1"});
    test.post("/providers", provider).await.expect(StatusCode::CREATED);
    test.post("/models", json!({"name": "gpt-4o", "provider": name})).await.expect(StatusCode::CREATED);
}

type Sent<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

on_both! {
    async fn apps_and_what_they_name_are_saved_at_once(test: Test) {
        let test = &test;
        for name in ["one", "two"] {
            provider(test, name).await;
        }
        let server = json!({"name": "files", "url": "https://mcp.acme.com/mcp"});
        test.post("/mcp-servers", server).await.expect(StatusCode::CREATED);
        let targets = |weight: u32| json!([
            {"provider": "one", "model": "gpt-4o", "weight": weight},
            {"provider": "two", "model": "gpt-4o", "weight": 100 - weight},
        ]);
        let group = test.post("/routing-groups", json!({"name": "fast", "targets": targets(50)})).await;
        let group = format!("/routing-groups/{}", id(&group.expect(StatusCode::CREATED)));
        let app = test.app(json!({})).await;
        let app = format!("/apps/{}", id(&app));

        for round in 0..ROUNDS {
            let names = if round % 2 == 0 { ["one", "two"] } else { ["two", "one"] };
            let settings = |name: String| json!({
                "name": name, "allowed_providers": names, "mcp_scope": ["files"], "routing_groups": ["fast"],
            });
            let seconds = if round % 2 == 0 { 60 } else { 300 };
            let mut requests: Vec<(String, Sent<'_>)> = Vec::new();
            let mut patch = |path: &str, body: Value| {
                let path = path.to_owned();
                requests.push((path.clone(), Box::pin(async move { test.patch(&path, body).await })));
            };
            patch(&app, settings(format!("saved {round}")));
            patch("/providers/one", json!({"idle_timeout_seconds": seconds}));
            patch("/providers/two", json!({"idle_timeout_seconds": seconds}));
            patch("/mcp-servers/files", json!({"url": format!("https://mcp.acme.com/{round}")}));
            patch(&group, json!({"targets": targets(u32::try_from(round).unwrap())}));
            for (at, names) in [["one", "two"], ["two", "one"]].into_iter().enumerate() {
                let app = json!({"name": format!("new {round} {at}"), "allowed_providers": names});
                requests.push(("/apps".to_owned(), Box::pin(async move { test.post("/apps", app).await })));
            }
            let sent = requests.into_iter().map(|(what, request)| async move { (what, request.await) });
            for (what, answer) in join_all(sent).await {
                assert!(answer.status.is_success(), "{what} in round {round}: {} {:#}", answer.status, answer.json);
            }
        }
    }
}

on_both! {
    async fn what_an_app_names_is_not_deleted_meanwhile(test: Test) {
        for round in 0..ROUNDS {
            let name = format!("short-lived-{round}");
            let provider = json!({"name": name, "kind": "openai", "base_url": "https://api.acme.com/v1"});
            test.post("/providers", provider).await.expect(StatusCode::CREATED);
            let (path, app) = (format!("/providers/{name}"), json!({"name": name, "allowed_providers": [name]}));
            let (created, deleted) = tokio::join!(test.post("/apps", app), test.delete(&path));
            let statuses = (created.status.as_u16(), deleted.status.as_u16());
            assert!(matches!(statuses, (201, 409) | (422, 204)), "{statuses:?} {} {}", created.json, deleted.json);
        }
    }
}
