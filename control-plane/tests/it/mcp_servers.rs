use axum::http::StatusCode;
use latchkey_discovery::source::From;
use latchkey_proto::discovery as wire;
use latchkey_store::upstreams::McpProtocol;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

/// Attaches a server.
async fn attach(test: &Test, name: &str) -> Value {
    let body = json!({"name": name, "url": format!("https://{name}.acme.com/mcp/")});
    test.post("/mcp-servers", body).await.expect(StatusCode::CREATED)
}

on_both! {
    async fn a_server_is_attached_edited_and_removed_and_its_credential_never_comes_out(test: Test) {
        let body = json!({"name": "github", "url": "https://mcp.acme.com/mcp/", "credential": "ghp-secret-1"});
        let created = test.post("/mcp-servers", body.clone()).await.expect(StatusCode::CREATED);
        assert_eq!((&created["has_credential"], &created["cluster"]), (&json!(true), &json!("latchkey-mcp/github")));
        assert_eq!(test.post("/mcp-servers", body).await.refused(422), pair("invalid", "name"));
        let read = test.get("/mcp-servers/github").await.expect(StatusCode::OK);
        let list = test.get("/mcp-servers").await.expect(StatusCode::OK);
        assert!(![created, read, list].iter().any(|shown| shown.to_string().contains("ghp-secret-1")));
        let edit = json!({"credential": null, "url": "https://mcp.acme.com/v2"});
        let edited = test.patch("/mcp-servers/github", edit.clone()).await.expect(StatusCode::OK);
        assert_eq!((&edited["has_credential"], &edited["url"]), (&json!(false), &json!("https://mcp.acme.com/v2")));
        test.patch("/mcp-servers/github", edit).await.expect(StatusCode::OK);
        test.delete("/mcp-servers/github").await.expect(StatusCode::NO_CONTENT);
        assert_eq!(test.get("/mcp-servers/github").await.refused(404).0, "not_found");
        let done = ["mcp_server.created", "mcp_server.updated", "mcp_server.deleted"];
        assert_eq!(test.audited_of("github").await, done, "the second edit changed nothing");
    }
}

on_both! {
    async fn wrong_servers_are_refused_field_by_field(test: Test) {
        let create = async |fields: Value| {
            let mut body = json!({"name": "x", "url": "https://x.com/mcp"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            test.post("/mcp-servers", body).await.refused(422)
        };
        assert_eq!(create(json!({"name": "Not A Slug"})).await, pair("invalid", "name"));
        assert_eq!(create(json!({"url": "x.com"})).await, pair("invalid", "url"));
        assert_eq!(create(json!({"url": "https://x.com/?key=1"})).await, pair("invalid", "url"));
        assert_eq!(create(json!({"credential": "two words"})).await, pair("invalid", "credential"));
        assert_eq!(create(json!({"cluster": "mine", "credential": "x"})).await, pair("invalid", "credential"));
        assert_eq!(create(json!({"cluster": "latchkey-mcp/y"})).await, pair("invalid", "cluster"));
        assert_eq!(create(json!({"kind": "openai"})).await, pair("invalid", "kind"));
    }
}

on_both! {
    async fn a_scope_names_servers_that_there_are(test: Test) {
        attach(&test, "files").await;
        let create = async |scope: Value| test.post("/apps", json!({"name": "Bot", "mcp_scope": scope})).await;
        for (scope, path) in [
            (json!([]), "mcp_scope"),
            (json!("some"), "mcp_scope"),
            (json!(["Files"]), "mcp_scope[0]"),
            (json!(["files", "files/"]), "mcp_scope[1]"),
            (json!(["files/read", "github/search"]), "mcp_scope[1]"),
        ] {
            assert_eq!(create(scope.clone()).await.refused(422), pair("invalid", path), "{scope}");
        }
        let app = create(json!(["files/read_*"])).await.expect(StatusCode::CREATED);
        let refused = test.delete("/mcp-servers/files").await;
        assert!(refused.json["detail"].as_str().unwrap().contains("Bot"), "{}", refused.json);
        assert_eq!(refused.refused(409).0, "in_use");
        let path = format!("/apps/{}", id(&app));
        let edited = test.patch(&path, json!({"mcp_scope": "none"})).await.expect(StatusCode::OK);
        assert_eq!(edited["mcp_scope"], "none");
        test.delete("/mcp-servers/files").await.expect(StatusCode::NO_CONTENT);
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["mcp_scope"], "none");
    }
}

on_both! {
    async fn gateways_learn_the_servers_that_are_on_and_each_apps_scope(test: Test) {
        for name in ["files", "github"] {
            attach(&test, name).await;
        }
        test.patch("/mcp-servers/github", json!({"enabled": false})).await.expect(StatusCode::OK);
        test.app(json!({"mcp_scope": ["files/read"]})).await;
        let all = test.store.feed_batch(From::Everything, None, 100).await.unwrap();
        let session_key = test.store.upstream::<McpProtocol>("files").await.unwrap().unwrap().protocol.session_key.0;
        assert_eq!(session_key.len(), 32);
        let files = wire::McpServer {
            name: "files".to_owned(),
            cluster: "latchkey-mcp/files".to_owned(),
            authority: "files.acme.com".to_owned(),
            path: "/mcp/".to_owned(),
            session_key,
            pins: None,
        };
        assert_eq!(all.catalogue.unwrap().mcp_servers, [files]);
        let only = wire::selection::Kind::Only(wire::Names { names: vec!["files/read".to_owned()] });
        assert_eq!(all.apps[0].mcp, Some(wire::Selection { kind: Some(only) }));
    }
}

on_both! {
    async fn envoy_gets_a_cluster_for_each_server_with_its_credential(test: Test) {
        use latchkey::feed::Feed;
        use latchkey_discovery::source::Source as _;

        let body = json!({"name": "github", "url": "https://mcp.acme.com:8443/mcp", "credential": "ghp-1"});
        test.post("/mcp-servers", body).await.expect(StatusCode::CREATED);
        // A provider of the same name is another thing.
        let provider = json!({"name": "github", "kind": "openai", "base_url": "https://models.acme.com", "credential": "sk-1"});
        test.post("/providers", provider).await.expect(StatusCode::CREATED);
        let own = json!({"name": "mesh", "url": "http://mesh/mcp", "cluster": "outbound"});
        test.post("/mcp-servers", own).await.expect(StatusCode::CREATED);
        let feed = Feed::open(test.store.clone(), test.api.master.clone(), String::new(), Default::default()).await.unwrap();
        let clusters = feed.clusters().borrow().clone();
        let shown = clusters.iter().map(|cluster| {
            let credential = cluster.credential.as_ref().unwrap();
            let value = secrecy::ExposeSecret::expose_secret(&credential.value).to_owned();
            (cluster.name.as_str(), cluster.host.as_str(), cluster.port, credential.header.as_str(), value)
        });
        let expected = [
            ("latchkey/github", "models.acme.com", 443, "authorization", "Bearer sk-1".to_owned()),
            ("latchkey-mcp/github", "mcp.acme.com", 8443, "authorization", "Bearer ghp-1".to_owned()),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }
}

on_both! {
    async fn a_scope_is_a_setting_like_any_other(test: Test) {
        attach(&test, "files").await;
        let app = test.app(json!({})).await;
        assert_eq!(app["mcp_scope"], "all");
        let path = format!("/apps/{}", id(&app));
        test.patch(&path, json!({"mcp_scope": ["files"]})).await.expect(StatusCode::OK);
        let versions = test.get(&format!("{path}/versions")).await.expect(StatusCode::OK);
        assert_eq!(versions["items"][0]["changed"], json!(["mcp_scope"]), "{versions}");
        test.act(&format!("{path}/versions/1/rollback")).await.expect(StatusCode::OK);
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["mcp_scope"], "all");
    }
}
