use axum::http::StatusCode;
use latchkey_discovery::source::From;
use latchkey_proto::discovery::OutputLimit;
use serde_json::{Value, json};

use crate::support::{id, on_both, pair};

on_both! {
    async fn a_credential_goes_in_and_never_comes_out(test: Test) {
        let body = json!({
            "name": "openai", "kind": "openai", "base_url": "https://api.openai.com/v1", "credential": "sk-secret-1",
        });
        let created = test.post("/providers", body).await.expect(StatusCode::CREATED);
        assert_eq!((&created["has_credential"], &created["cluster"]), (&json!(true), &json!("latchkey/openai")));
        let read = test.get("/providers/openai").await.expect(StatusCode::OK);
        let list = test.get("/providers").await.expect(StatusCode::OK);
        assert!(![created, read, list].iter().any(|shown| shown.to_string().contains("sk-secret-1")));
        let edited = test.patch("/providers/openai", json!({"credential": null})).await.expect(StatusCode::OK);
        assert_eq!(edited["has_credential"], false);
        test.patch("/providers/openai", json!({"kind": "openai", "credential": null})).await.expect(StatusCode::OK);
        assert_eq!(test.audited_of("openai").await, ["provider.created", "provider.updated"], "nothing differed");
    }
}

on_both! {
    async fn wrong_providers_are_refused_field_by_field(test: Test) {
        let create = async |fields: Value| {
            let mut body = json!({"name": "x", "kind": "openai", "base_url": "https://x.com/v1"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            test.post("/providers", body).await.refused(422)
        };
        assert_eq!(create(json!({"name": "Not A Slug"})).await, pair("invalid", "name"));
        assert_eq!(create(json!({"kind": "mistral"})).await, pair("invalid", "kind"));
        assert_eq!(create(json!({"base_url": "x.com"})).await, pair("invalid", "base_url"));
        assert_eq!(create(json!({"credential": "two words"})).await, pair("invalid", "credential"));
        assert_eq!(create(json!({"cluster": "mine", "credential": "x"})).await, pair("invalid", "credential"));
        assert_eq!(create(json!({"cluster": "latchkey_control_plane"})).await, pair("invalid", "cluster"));
        test.catalogue().await;
        assert_eq!(create(json!({"name": "openai"})).await, pair("invalid", "name"));
    }
}

on_both! {
    async fn a_provider_may_be_silent_for_as_long_as_envoy_has_a_route_for(test: Test) {
        test.catalogue().await;
        let read = test.get("/providers/openai").await.expect(StatusCode::OK);
        assert_eq!(read["idle_timeout_seconds"], Value::Null);
        for wrong in [0, 601, 7200] {
            let edit = test.patch("/providers/openai", json!({"idle_timeout_seconds": wrong})).await;
            assert!(edit.json["errors"][0]["message"].as_str().unwrap().contains("1800"), "{}", edit.json);
            assert_eq!(edit.refused(422), pair("invalid", "idle_timeout_seconds"));
        }
        let told = async || {
            let all = test.store.feed_batch(latchkey_discovery::source::From::Everything, None, 100).await.unwrap();
            all.catalogue.unwrap().providers[0].idle_timeout_seconds
        };
        assert_eq!(told().await, 0);
        let edited = test.patch("/providers/openai", json!({"idle_timeout_seconds": 1800})).await.expect(StatusCode::OK);
        assert_eq!((&edited["idle_timeout_seconds"], told().await), (&json!(1800), 1800));
        test.patch("/providers/openai", json!({"enabled": true})).await.expect(StatusCode::OK);
        assert_eq!(told().await, 1800, "what is not named stays");
        test.patch("/providers/openai", json!({"idle_timeout_seconds": null})).await.expect(StatusCode::OK);
        assert_eq!(told().await, 0);
        let body = json!({
            "name": "slow", "kind": "openai", "base_url": "https://slow.example/v1", "idle_timeout_seconds": 3600,
        });
        let created = test.post("/providers", body).await.expect(StatusCode::CREATED);
        assert_eq!(created["idle_timeout_seconds"], 3600);
    }
}

on_both! {
    async fn an_existing_cluster_is_named_instead(test: Test) {
        let body = json!({"name": "mesh", "kind": "openai", "base_url": "http://openai.mesh", "cluster": "outbound"});
        let created = test.post("/providers", body).await.expect(StatusCode::CREATED);
        assert_eq!((&created["cluster"], &created["managed_cluster"]), (&json!("outbound"), &json!(false)));
    }
}

on_both! {
    async fn a_provider_in_use_is_not_deleted(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({"allowed_providers": ["openai"]})).await;
        assert_eq!(test.delete("/providers/openai").await.refused(409).0, "in_use");
        let models = test.get("/models").await.expect(StatusCode::OK);
        test.delete(&format!("/models/{}", id(&models["items"][0]))).await.expect(StatusCode::NO_CONTENT);
        let refused = test.delete("/providers/openai").await;
        assert!(refused.json["detail"].as_str().unwrap().contains("Support Bot"), "{}", refused.json);
        test.patch(&format!("/apps/{}", id(&app)), json!({"allowed_providers": "all"})).await.expect(StatusCode::OK);
        test.delete("/providers/openai").await.expect(StatusCode::NO_CONTENT);
        assert_eq!(test.get("/providers/openai").await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn a_model_belongs_to_a_provider_and_is_edited(test: Test) {
        test.catalogue().await;
        let orphan = json!({"name": "x", "provider": "nobody"});
        assert_eq!(test.post("/models", orphan).await.refused(422), pair("invalid", "provider"));
        let twice = json!({"name": "gpt-4o", "provider": "openai"});
        assert_eq!(test.post("/models", twice).await.refused(422), pair("invalid", "name"));
        let models = test.get("/models").await.expect(StatusCode::OK);
        assert_eq!(models["items"][0]["upstream_name"], "gpt-4o");
        let path = format!("/models/{}", id(&models["items"][0]));
        let edit = json!({"upstream_name": "gpt-4o-2024-08-06", "enabled": false});
        test.patch(&path, edit).await.expect(StatusCode::OK);
        let read = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!((&read["upstream_name"], &read["enabled"]), (&json!("gpt-4o-2024-08-06"), &json!(false)));
    }
}

on_both! {
    async fn a_model_wants_to_be_asked_as_its_provider_unless_it_says_otherwise(test: Test) {
        test.catalogue().await;
        let sent = async || {
            let page = test.store.feed_batch(From::Everything, None, 100).await.unwrap();
            let model = page.catalogue.unwrap().models.remove(0);
            (model.output_limit(), model.refuses_stream_options)
        };
        let models = test.get("/models").await.expect(StatusCode::OK);
        let model = format!("/models/{}", id(&models["items"][0]));
        let provider = format!("/providers/{}", models["items"][0]["provider"].as_str().unwrap());
        assert_eq!(sent().await, (OutputLimit::Unspecified, false));

        let edit = json!({"output_limit": "max_completion_tokens", "stream_options": false});
        let edited = test.patch(&provider, edit).await.expect(StatusCode::OK);
        assert_eq!(edited["output_limit"], "max_completion_tokens");
        assert_eq!((edited["stream_options"].clone(), sent().await), (json!(false), (OutputLimit::MaxCompletionTokens, true)));

        let edit = json!({"output_limit": "max_tokens", "stream_options": true});
        test.patch(&model, edit).await.expect(StatusCode::OK);
        assert_eq!(sent().await, (OutputLimit::MaxTokens, false));
        let edited = test.patch(&model, json!({"output_limit": null})).await.expect(StatusCode::OK);
        assert_eq!((&edited["output_limit"], &edited["stream_options"]), (&Value::Null, &json!(true)), "what is not named stays");
        assert_eq!(sent().await, (OutputLimit::MaxCompletionTokens, false));

        for (path, field) in [(&model, "output_limit"), (&provider, "output_limit"), (&provider, "stream_options")] {
            assert_eq!(test.patch(path, json!({field: "n_predict"})).await.refused(422), pair("invalid", field));
        }
        let new = json!({"name": "b", "provider": models["items"][0]["provider"], "stream_options": false, "output_limit": "max_tokens"});
        let created = test.post("/models", new).await.expect(StatusCode::CREATED);
        let read = test.get(&format!("/models/{}", id(&created))).await.expect(StatusCode::OK);
        assert_eq!((&read["output_limit"], &read["stream_options"]), (&json!("max_tokens"), &json!(false)));
        let new = json!({"name": "strict", "kind": "openai_compatible", "base_url": "https://x.com/v1", "stream_options": false});
        let created = test.post("/providers", new).await.expect(StatusCode::CREATED);
        assert_eq!((&created["output_limit"], &created["stream_options"]), (&Value::Null, &json!(false)));
    }
}
