use axum::http::StatusCode;
use latchkey_discovery::source::From;
use latchkey_proto::discovery::{Model, Price};
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

async fn provider(test: &Test) {
    let body = json!({"name": "openai", "kind": "openai", "base_url": "https://api.openai.com/v1"});
    test.post("/providers", body).await.expect(StatusCode::CREATED);
}

async fn create(test: &Test, settings: Value) -> Value {
    let mut body = json!({"name": "my-model", "provider": "openai"});
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    test.post("/models", body).await.expect(StatusCode::CREATED)
}

/// The model as gateways are sent it.
async fn sent(test: &Test) -> Model {
    test.store.page(From::Everything, None, 100).await.unwrap().catalogue.unwrap().models.remove(0)
}

on_both! {
    async fn a_price_is_versioned_and_its_history_stays(test: Test) {
        provider(&test).await;
        let price = json!({"input": "0.0375", "output": 0.6});
        let model = create(&test, json!({"price": price, "max_output_tokens": 100, "context_window": 1000})).await;
        assert_eq!(model["price"], json!({"version": 1, "input": "0.0375", "cached_input": "0.0375", "output": "0.6"}));
        assert_eq!((&model["max_output_tokens"], &model["context_window"]), (&json!(100), &json!(1000)));
        let path = format!("/models/{}", id(&model));
        let wire = Price { version: 1, input: 37_500_000, cached_input: 37_500_000, output: 600_000_000, ..Price::default() };
        let model = sent(&test).await;
        assert_eq!((model.price, model.max_output_tokens, model.context_window), (Some(wire), 100, 1000));
        test.clock.advance(std::time::Duration::from_secs(60));
        let change = json!({"price": {"input": "1", "cached_input": "0.1", "output": "2"}, "context_window": null});
        let changed = test.patch(&path, change.clone()).await.expect(StatusCode::OK);
        assert_eq!((&changed["price"]["version"], &changed["context_window"]), (&json!(2), &Value::Null));
        let head = test.store.head().await.unwrap().position;
        let same = test.patch(&path, change).await.expect(StatusCode::OK);
        assert_eq!(same["price"]["version"], 2, "the same price is no new one");
        assert_eq!(test.store.head().await.unwrap().position, head, "and nothing to tell gateways");
        let free = test.patch(&path, json!({"price": null})).await.expect(StatusCode::OK);
        assert_eq!((&free["price"], &free["max_output_tokens"]), (&Value::Null, &json!(100)));
        assert_eq!(sent(&test).await.price, None);
        let history = test.get(&format!("{path}/prices")).await.expect(StatusCode::OK);
        assert_eq!(history["items"], json!([
            {"version": 2, "input": "1", "cached_input": "0.1", "output": "2", "created_at": "2026-01-01T00:01:00Z"},
            {"version": 1, "input": "0.0375", "cached_input": "0.0375", "output": "0.6",
             "created_at": "2026-01-01T00:00:00Z"},
        ]));
        assert_eq!(test.get(&format!("{path}x/prices")).await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn a_well_known_model_needs_no_price(test: Test) {
        provider(&test).await;
        let dated = create(&test, json!({"name": "a", "upstream_name": "gpt-4o-2024-08-06"})).await;
        assert_eq!((&dated["price"]["input"], &dated["price"]["cached_input"]), (&json!("2.5"), &json!("1.25")));
        assert_eq!((&dated["max_output_tokens"], &dated["context_window"]), (&json!(16384), &json!(128_000)));
        let own = create(&test, json!({"name": "gpt-4o", "price": {"input": "0", "output": "0"}})).await;
        assert_eq!((&own["price"]["input"], &own["max_output_tokens"]), (&json!("0"), &json!(16384)));
        let none = json!({"name": "gpt-4o-mini", "price": null, "max_output_tokens": null});
        let none = create(&test, none).await;
        assert_eq!((&none["price"], &none["max_output_tokens"]), (&Value::Null, &Value::Null));
        assert_eq!(create(&test, json!({"name": "llama-at-home"})).await["price"], Value::Null);
        let catalogue = test.get("/catalogue").await.expect(StatusCode::OK);
        let known = catalogue["items"].as_array().unwrap().iter().find(|known| known["name"] == "gpt-4o").unwrap();
        assert_eq!(known["price"], json!({"input": "2.5", "cached_input": "1.25", "output": "10"}));
        let versions: Vec<_> = test.get("/models").await.expect(StatusCode::OK)["items"].as_array().unwrap()
            .iter().map(|model| model["price"]["version"].clone()).collect();
        assert_eq!(versions.iter().filter_map(Value::as_u64).collect::<std::collections::BTreeSet<_>>(), [1, 2].into());
    }
}

on_both! {
    async fn wrong_prices_are_refused_with_their_path(test: Test) {
        provider(&test).await;
        for (settings, path) in [
            (json!({"price": {"input": "1"}}), "price"),
            (json!({"price": {"input": "1", "output": "-1"}}), "price.output"),
            (json!({"price": {"input": "1", "output": "1", "reasoning": "1"}}), "price.reasoning"),
            (json!({"price": {"input": "1", "output": "0.0000000001"}}), "price.output"),
            (json!({"price": {"input": "1", "output": "1000001"}}), "price.output"),
            (json!({"price": {"input": "1", "cached_input": "2", "output": "1"}}), "price.cached_input"),
            (json!({"max_output_tokens": 0}), "max_output_tokens"),
            (json!({"context_window": 1_000_000_001}), "context_window"),
        ] {
            let mut body = json!({"name": "m", "provider": "openai"});
            body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
            assert_eq!(test.post("/models", body).await.refused(422), pair("invalid", path), "{settings}");
        }
        let model = create(&test, json!({})).await;
        let edit = test.patch(&format!("/models/{}", id(&model)), json!({"price": {"input": "x", "output": "1"}})).await;
        assert_eq!(edit.refused(422), pair("invalid", "price.input"));
    }
}

on_both! {
    async fn a_removed_models_versions_are_not_given_again(test: Test) {
        provider(&test).await;
        let price = json!({"price": {"input": "1", "output": "1"}});
        let model = create(&test, price.clone()).await;
        test.delete(&format!("/models/{}", id(&model))).await.expect(StatusCode::NO_CONTENT);
        assert_eq!(create(&test, price).await["price"]["version"], 2);
    }
}
