use axum::http::StatusCode;
use latchkey_discovery::source::From;
use latchkey_proto::discovery::{LongContext, Model, Price, Rates, ServiceTier};
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
    test.store.feed_batch(From::Everything, None, 100).await.unwrap().catalogue.unwrap().models.remove(0)
}

on_both! {
    async fn a_price_is_versioned_and_its_history_stays(test: Test) {
        provider(&test).await;
        let price = json!({"input": "0.0375", "output": 0.6});
        let model = create(&test, json!({"price": price, "max_output_tokens": 100, "context_window": 1000})).await;
        let first = json!({"version": 1, "input": "0.0375", "cached_input": "0.0375", "cache_write_5m": "0.046875",
            "cache_write_1h": "0.09375", "output": "0.6", "long_context": null, "tiers": {}});
        assert_eq!(model["price"], first, "what is left out is the dearest that a vendor has");
        assert_eq!((&model["max_output_tokens"], &model["context_window"]), (&json!(100), &json!(1000)));
        let path = format!("/models/{}", id(&model));
        let wire = Price { version: 1, input: 37_500_000, cached_input: 37_500_000, output: 600_000_000,
            cache_write_5m: Some(46_875_000), cache_write_1h: Some(93_750_000), long_context: None, tiers: vec![] };
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
            {"version": 2, "input": "1", "cached_input": "0.1", "cache_write_5m": "1.25", "cache_write_1h": "2.5",
             "output": "2", "long_context": null, "tiers": {}, "created_at": "2026-01-01T00:01:00Z"},
            {"version": 1, "input": "0.0375", "cached_input": "0.0375", "cache_write_5m": "0.046875",
             "cache_write_1h": "0.09375", "output": "0.6", "long_context": null, "tiers": {},
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
        assert_eq!(known["price"], json!({"input": "2.5", "cached_input": "1.25", "cache_write_5m": "2.5",
            "cache_write_1h": "2.5", "output": "10", "long_context": null, "tiers": {"priority": {"multiplier": "1.7"}}}));
        assert_eq!(known["as_of"], latchkey_core::catalogue::AS_OF);
        let versions: Vec<_> = test.get("/models").await.expect(StatusCode::OK)["items"].as_array().unwrap()
            .iter().map(|model| model["price"]["version"].clone()).collect();
        assert_eq!(versions.iter().filter_map(Value::as_u64).collect::<std::collections::BTreeSet<_>>(), [1, 2].into());
    }
}

on_both! {
    async fn a_price_says_what_caches_long_inputs_and_tiers_cost(test: Test) {
        provider(&test).await;
        let price = json!({"input": "4", "cached_input": "0.4", "cache_write_5m": "5", "cache_write_1h": "10", "output": "20",
            "long_context": {"above": 272_000, "input": "8", "cached_input": "0.8", "output": "30"},
            "tiers": {"priority": {"multiplier": 2}, "flex": {"input": "2", "cached_input": "0.2", "output": "10"}}});
        let model = create(&test, json!({"price": price})).await;
        let whole = json!({"version": 1, "input": "4", "cached_input": "0.4", "cache_write_5m": "5", "cache_write_1h": "10",
            "output": "20", "long_context": {"above": 272_000, "input": "8", "cached_input": "0.8",
                "cache_write_5m": "10", "cache_write_1h": "20", "output": "30"},
            "tiers": {"priority": {"multiplier": "2"}, "flex": {"input": "2", "cached_input": "0.2",
                "cache_write_5m": "2.5", "cache_write_1h": "5", "output": "10"}}});
        assert_eq!(model["price"], whole);
        let path = format!("/models/{}", id(&model));
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["price"], whole);
        let rates = |dollars: [f64; 5]| {
            let [input, cached_input, cache_write_5m, cache_write_1h, output] =
                dollars.map(|dollars| (dollars * 1e9).round() as u64);
            Some(Rates { input, cached_input, cache_write_5m, cache_write_1h, output })
        };
        let long = |dollars| Some(LongContext { above: 272_000, rates: rates(dollars) });
        let sent = sent(&test).await.price.unwrap();
        assert_eq!((sent.cache_write_5m, sent.cache_write_1h), (Some(5_000_000_000), Some(10_000_000_000)));
        assert_eq!(sent.long_context, long([8.0, 0.8, 10.0, 20.0, 30.0]));
        assert_eq!(sent.tiers, [
            ServiceTier { name: "flex".into(), rates: rates([2.0, 0.2, 2.5, 5.0, 10.0]),
                long_context: long([4.0, 0.4, 5.0, 10.0, 15.0]) },
            ServiceTier { name: "priority".into(), rates: rates([8.0, 0.8, 10.0, 20.0, 40.0]),
                long_context: long([16.0, 1.6, 20.0, 40.0, 60.0]) },
        ]);

        // What is left out stays in proportion; what is null or empty is taken away.
        let dearer = json!({"price": {"input": "6", "cached_input": "0.6", "output": "30"}});
        let dearer = test.patch(&path, dearer).await.expect(StatusCode::OK)["price"].clone();
        assert_eq!((&dearer["version"], &dearer["cache_write_1h"]), (&json!(2), &json!("15")));
        assert_eq!((&dearer["long_context"]["input"], &dearer["tiers"]["flex"]["output"]), (&json!("12"), &json!("15")));
        let bare = json!({"price": {"input": "6", "output": "30", "long_context": null, "tiers": {}}});
        let bare = test.patch(&path, bare).await.expect(StatusCode::OK)["price"].clone();
        assert_eq!((&bare["long_context"], &bare["tiers"]), (&Value::Null, &json!({})));
    }
}

on_both! {
    async fn who_bills_decides_what_an_hour_in_the_cache_costs(test: Test) {
        provider(&test).await;
        let claude = json!({"name": "claude", "kind": "anthropic", "base_url": "https://api.anthropic.com"});
        test.post("/providers", claude).await.expect(StatusCode::CREATED);
        let price = json!({"input": "10", "output": "50"});
        let writes = |model: &Value| {
            [&model["price"]["cache_write_5m"], &model["price"]["cache_write_1h"]].map(|price| price.as_str().unwrap().to_owned())
        };
        let openai = create(&test, json!({"name": "house", "price": price})).await;
        assert_eq!(writes(&openai), ["12.5", "25"]);
        let resold = create(&test, json!({"name": "house/claude-x", "price": price})).await;
        assert_eq!(writes(&resold), ["12.5", "20"]);
        let body = json!({"name": "house", "provider": "claude", "price": price});
        assert_eq!(writes(&test.post("/models", body).await.expect(StatusCode::CREATED)), ["12.5", "20"]);
        let known = create(&test, json!({"name": "gpt-4o", "price": price})).await;
        assert_eq!(writes(&known), ["10", "10"], "the catalogue knows that it asks nothing for them");
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
            (json!({"price": {"input": "2", "cache_write_5m": "1", "output": "1"}}), "price.cache_write_5m"),
            (json!({"price": {"input": "1", "cache_write_1h": "1", "output": "1"}}), "price.cache_write_1h"),
            (json!({"price": {"input": "1", "output": "1", "long_context": {"input": "2", "output": "2"}}}), "price.long_context"),
            (json!({"price": {"input": "1", "output": "1", "long_context": {"above": 0, "input": "2", "output": "2"}}}),
                "price.long_context.above"),
            (json!({"price": {"input": "1", "output": "3", "long_context": {"above": 9, "input": "2", "output": "2"}}}),
                "price.long_context.output"),
            (json!({"price": {"input": "1", "output": "1", "tiers": {"priority": {"multiplier": "0"}}}}),
                "price.tiers.priority.multiplier"),
            (json!({"price": {"input": "1", "output": "1", "tiers": {"priority": {}}}}), "price.tiers.priority"),
            (json!({"price": {"input": "1", "output": "1", "tiers": {"priority": {"factor": "2"}}}}),
                "price.tiers.priority.factor"),
            (json!({"price": {"input": "1", "output": "1", "tiers": {"default": {"multiplier": "2"}}}}), "price.tiers.default"),
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

/// Prices keep their versions, and what they did not say is as dear as it may be.
mod prices_from_before_are_completed {
    use sqlx::Connection as _;
    use sqlx::migrate::Migrator;

    use super::*;

    static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
    static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

    const OLD: &str = "
        INSERT INTO providers (name, kind, base_url, enabled, created_at, updated_at)
            VALUES ('openai', 'openai', 'https://api.openai.com/v1', 1, 1, 1),
                ('claude', 'anthropic', 'https://api.anthropic.com', 1, 1, 1);
        INSERT INTO prices (version, model_id, model, provider, input, cached_input, output, created_at) VALUES
            (1, '01890000-0000-7000-8000-000000000001', 'm', 'openai', 2500000001, 250000000, 15000000000, 1),
            (2, '01890000-0000-7000-8000-000000000002', 'opus', 'claude', 5000000000, 500000000, 25000000000, 1),
            (3, '01890000-0000-7000-8000-000000000003', 'm', 'openai', 2500000000, 250000000, 15000000000, 1);
        INSERT INTO models (id, name, provider, upstream_name, enabled, created_at, price_version, context_window) VALUES
            ('01890000-0000-7000-8000-000000000001', 'm', 'openai', 'gpt-5.4-mini', 1, 1, 1, 400000),
            ('01890000-0000-7000-8000-000000000002', 'opus', 'claude', 'claude-opus-4-6', 1, 1, 2, 200000),
            ('01890000-0000-7000-8000-000000000003', 'long', 'openai', 'gpt-5.4-2026-03-05', 1, 1, 3, 272000)";

    async fn run(url: String, migrator: &Migrator, files: tempfile::TempDir) {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
        migrator.run_to(6, &mut connection).await.unwrap();
        for statement in OLD.split(';') {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        let test = Test::on(&url, files).await;
        let models = test.get("/models").await.expect(StatusCode::OK);
        let seen: Vec<_> = models["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| {
                json!([
                    model["price"]["version"],
                    model["price"]["cache_write_5m"],
                    model["price"]["cache_write_1h"],
                    model["price"]["long_context"],
                    model["price"]["tiers"],
                    model["context_window"]
                ])
            })
            .collect();
        let long = json!({"above": 272_000, "input": "5", "cached_input": "0.5", "cache_write_5m": "6.25",
            "cache_write_1h": "12.5", "output": "22.5"});
        assert_eq!(
            seen,
            [
                json!([1, "3.125000002", "6.250000003", null, {}, 400_000]),
                json!([2, "6.25", "10", null, {}, 1_000_000]),
                json!([3, "3.125", "6.25", long, {}, 1_050_000]),
            ]
        );
    }

    #[tokio::test]
    async fn sqlite() {
        let files = tempfile::tempdir().unwrap();
        run(Test::sqlite_url(&files), &SQLITE, files).await;
    }

    #[tokio::test]
    async fn postgres() {
        run(Test::postgres_url().await, &POSTGRES, tempfile::tempdir().unwrap()).await;
    }
}

on_both! {
    async fn what_the_catalogue_says_follows_the_name_at_the_provider(test: Test) {
        provider(&test).await;
        let known = test.get("/catalogue").await.expect(StatusCode::OK);
        let known = |name: &str| known["items"].as_array().unwrap().iter().find(|known| known["name"] == name).unwrap().clone();
        let facts = |model: &Value| {
            let mut price = model["price"].clone();
            price.as_object_mut().map(|price| price.remove("version"));
            [price, model["max_output_tokens"].clone(), model["context_window"].clone()]
        };
        let rename = |name: &str| json!({"upstream_name": name});
        let model = create(&test, json!({"upstream_name": "gpt-4o-mini"})).await;
        let path = format!("/models/{}", id(&model));
        let dated = test.patch(&path, rename("gpt-4o-mini-2024-07-18")).await.expect(StatusCode::OK);
        assert_eq!((facts(&dated), &dated["price"]["version"]), (facts(&model), &json!(1)), "the same model");
        let dear = test.patch(&path, rename("gpt-4o")).await.expect(StatusCode::OK);
        assert_eq!(facts(&dear), facts(&known("gpt-4o")));

        let (code, field) = test.patch(&path, rename("house-1")).await.refused(422);
        assert_eq!((code.as_str(), field.as_str()), ("invalid", "price"));
        let sent = json!({"upstream_name": "house-1", "price": {"input": "7", "output": "8"}});
        let own = test.patch(&path, sent).await.expect(StatusCode::OK);
        assert_eq!((&own["price"]["input"], &own["price"]["cache_write_5m"], &own["price"]["tiers"]), (&json!("7"), &json!("8.75"), &json!({})));
        assert_eq!(facts(&own)[1..], [Value::Null, Value::Null], "nobody knows its sizes");

        let named = test.patch(&path, rename("gpt-4o")).await.expect(StatusCode::OK);
        assert_eq!(facts(&named)[0], facts(&own)[0], "a price of one's own stays");
        assert_eq!(facts(&named)[1..], facts(&known("gpt-4o"))[1..]);
        test.patch(&path, json!({"price": {"input": "2.5", "cached_input": "0", "output": "8"}, "max_output_tokens": 99})).await.expect(StatusCode::OK);
        let mixed = test.patch(&path, rename("gpt-4.1")).await;
        assert_eq!(mixed.refused(422), pair("invalid", "price"), "a part of it is the catalogue's for the other name");
        let none = test.patch(&path, json!({"upstream_name": "gpt-4.1", "price": null})).await.expect(StatusCode::OK);
        assert_eq!((&none["price"], &none["max_output_tokens"]), (&Value::Null, &json!(99)));
        assert_eq!(none["context_window"], known("gpt-4.1")["context_window"]);
        let still = test.patch(&path, rename("gpt-4o")).await.expect(StatusCode::OK);
        assert_eq!(still["price"], Value::Null, "it is to have none");
    }
}
