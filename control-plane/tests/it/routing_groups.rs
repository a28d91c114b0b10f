//! Routing groups: what is refused, what uses them, and what gateways get.

use axum::http::StatusCode;
use latchkey::feed::Feed;
use latchkey_discovery::source::{From, Source as _};
use latchkey_proto::discovery as wire;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

/// Providers of these names and kinds, each with the model `gpt-4o`.
async fn offer(test: &Test, providers: &[(&str, &str)]) {
    for (name, kind) in providers {
        let provider = json!({"name": name, "kind": kind, "base_url": format!("https://{name}.acme.com/v1")});
        test.post("/providers", provider).await.expect(StatusCode::CREATED);
        test.post("/models", json!({"name": "gpt-4o", "provider": name})).await.expect(StatusCode::CREATED);
    }
}

fn target(provider: &str, weight: u32) -> Value {
    json!({"provider": provider, "model": "gpt-4o", "weight": weight})
}

/// A group of these targets.
async fn group(test: &Test, name: &str, targets: Value) -> Value {
    test.post("/routing-groups", json!({"name": name, "targets": targets})).await.expect(StatusCode::CREATED)
}

async fn catalogue(test: &Test) -> wire::Catalogue {
    test.store.feed_batch(From::Everything, None, 100).await.unwrap().catalogue.unwrap()
}

/// The path of the model of this provider.
async fn model_of(test: &Test, provider: &str) -> String {
    let models = test.get("/models").await.expect(StatusCode::OK);
    let model = models["items"].as_array().unwrap().iter().find(|model| model["provider"] == provider);
    format!("/models/{}", id(model.unwrap()))
}

fn detail(answer: &crate::support::Answer) -> String {
    answer.json["detail"].as_str().unwrap_or_default().to_owned()
}

on_both! {
    async fn a_group_is_made_edited_and_removed(test: Test) {
        offer(&test, &[("one", "openai"), ("two", "azure_openai")]).await;
        let _gateway = test.gateway("edge-1", 1_000_000);
        let targets = json!([target("one", 70), target("two", 30)]);
        let body = json!({"name": "meta/fast:v1", "description": "Chat", "balance": "tokens", "sticky": true,
            "targets": targets, "failover": {"attempts": 2, "statuses": [503, 429]}});
        let created = test.post("/routing-groups", body.clone()).await.expect(StatusCode::CREATED);
        assert_eq!((&created["targets"], &created["tiers"]), (&targets, &json!([])));
        assert_eq!(created["failover"]["statuses"], json!([429, 503]));
        assert_eq!(created["propagation"]["applied"], json!(["edge-1"]), "{created}");
        assert_eq!(test.post("/routing-groups", body).await.refused(422), pair("invalid", "name"));
        let path = format!("/routing-groups/{}", id(&created));
        let list = test.get("/routing-groups").await.expect(StatusCode::OK);
        assert_eq!(list["items"][0]["name"], "meta/fast:v1");

        let tiers = json!([{"name": "low", "up_to_tokens": 8000, "targets": [target("two", 100)]},
            {"name": "high", "up_to_tokens": null, "targets": [target("one", 100)]}]);
        let edited = test.patch(&path, json!({"tiers": tiers})).await.expect(StatusCode::OK);
        assert_eq!((&edited["targets"], &edited["tiers"]), (&json!([]), &tiers));
        assert_eq!((&edited["balance"], &edited["sticky"]), (&json!("tokens"), &json!(true)), "the rest stays");
        assert!(edited["propagation"]["complete"].as_bool().unwrap_or(true), "{edited}");
        let read = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!(read["tiers"], tiers);
        test.patch(&path, json!({"tiers": tiers})).await.expect(StatusCode::OK);
        let again = test.patch(&path, json!({"targets": targets})).await.expect(StatusCode::OK);
        assert_eq!(again["tiers"], json!([]));
        assert_eq!(test.patch(&path, json!({"name": "other"})).await.refused(422), pair("invalid", "name"));

        test.delete(&path).await.expect(StatusCode::OK);
        assert_eq!(test.get(&path).await.refused(404).0, "not_found");
        let audited = test.audited_of(&id(&created)).await;
        let twice = "routing_group.updated";
        assert_eq!(audited, ["routing_group.created", twice, twice, "routing_group.deleted"], "one changed nothing");
    }
}

on_both! {
    async fn what_is_wrong_is_refused_with_its_path(test: Test) {
        offer(&test, &[("one", "openai"), ("two", "azure_openai"), ("claude", "anthropic")]).await;
        for (fields, path) in [
            (json!({}), "targets"),
            (json!({"name": "two words", "targets": [target("one", 100)]}), "name"),
            (json!({"targets": [target("one", 90)]}), "targets"),
            (json!({"targets": [target("one", -1i32 as u32)]}), "targets[0].weight"),
            (json!({"targets": [{"provider": "one", "model": "gpt-4o", "weight": 1.5}]}), "targets[0].weight"),
            (json!({"targets": [target("one", 50), target("one", 50)]}), "targets[1]"),
            (json!({"targets": [target("one", 50), target("none", 50)]}), "targets[1].provider"),
            (json!({"targets": [{"provider": "one", "model": "o1", "weight": 100}]}), "targets[0].model"),
            (json!({"targets": [target("one", 50), target("claude", 50)]}), "targets[1].provider"),
            (json!({"targets": [target("one", 100)], "tiers": [{"name": "low", "targets": [target("one", 100)]}]}), "tiers"),
            (json!({"tiers": [{"name": "huge", "targets": [target("one", 100)]}]}), "tiers[0].name"),
            (json!({"tiers": [{"name": "low", "up_to_tokens": 5, "targets": [target("one", 100)]}]}), "tiers[0].up_to_tokens"),
            (json!({"tiers": [{"name": "low", "up_to_tokens": 5, "targets": [target("none", 100)]},
                {"name": "high", "targets": [target("one", 100)]}]}), "tiers[0].targets[0].provider"),
            (json!({"targets": [target("one", 100)], "failover": {"attempts": 5}}), "failover.attempts"),
            (json!({"targets": [target("one", 100)], "failover": {"statuses": [200]}}), "failover.statuses[0]"),
            (json!({"targets": [target("one", 100)], "failover": {"headers_timeout_ms": 1}}), "failover.headers_timeout_ms"),
            (json!({"targets": [target("one", 100)], "failover": {"retries": 1}}), "failover.retries"),
            (json!({"targets": [target("one", 100)], "balance": "cost"}), "balance"),
            (json!({"targets": [target("one", 100)], "weight": 1}), "weight"),
        ] {
            let mut body = json!({"name": "fast"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let refused = test.post("/routing-groups", body).await.refused(422);
            assert_eq!(refused, pair("invalid", path), "{fields}");
        }
        assert_eq!(test.get("/routing-groups").await.json["items"], json!([]));
        assert_eq!(catalogue(&test).await.providers[0].group_cluster, "", "no slot is taken by what is refused");
    }
}

on_both! {
    async fn an_app_is_given_groups_by_name_and_none_without(test: Test) {
        offer(&test, &[("one", "openai")]).await;
        let fast = group(&test, "fast", json!([target("one", 100)])).await;
        let path = format!("/routing-groups/{}", id(&fast));
        let app = test.app(json!({})).await;
        assert_eq!((&app["routing_groups"], &app["target_header"]), (&json!("none"), &json!(false)));
        let app_path = format!("/apps/{}", id(&app));
        for (edit, wrong) in [
            (json!({"routing_groups": []}), "routing_groups"),
            (json!({"routing_groups": ["fast", "slow"]}), "routing_groups[1]"),
            (json!({"routing_groups": ["fa*"]}), "routing_groups[0]"),
            (json!({"target_header": true}), "target_header"),
        ] {
            assert_eq!(test.patch(&app_path, edit).await.refused(422), pair("invalid", wrong));
        }
        let edit = json!({"routing_groups": ["fast"], "target_header": true});
        let edited = test.patch(&app_path, edit).await.expect(StatusCode::OK);
        assert_eq!(edited["routing_groups"], json!(["fast"]));
        let policy = test.store.feed_batch(From::Everything, None, 100).await.unwrap().apps.remove(0);
        let only = wire::selection::Kind::Only(wire::Names { names: vec!["fast".to_owned()] });
        assert_eq!(policy.routing_groups, Some(wire::Selection { kind: Some(only) }));
        assert!(policy.target_header);
        let versions = test.get(&format!("{app_path}/versions")).await.expect(StatusCode::OK);
        assert_eq!(versions["items"][0]["changed"], json!(["routing_groups", "target_header"]), "{versions}");

        let refused = test.delete(&path).await;
        assert!(detail(&refused).contains("Support Bot"), "{}", refused.json);
        assert_eq!(refused.refused(409).0, "in_use");
        test.act(&format!("{app_path}/versions/1/rollback")).await.expect(StatusCode::OK);
        test.delete(&path).await.expect(StatusCode::OK);
    }
}

on_both! {
    async fn what_groups_have_as_a_target_is_not_taken_away(test: Test) {
        offer(&test, &[("one", "openai"), ("two", "openai")]).await;
        let fast = group(&test, "fast", json!([target("one", 50), target("two", 50)])).await;
        let model = model_of(&test, "one").await;
        for path in [model.as_str(), "/providers/one"] {
            let refused = test.delete(path).await;
            assert!(detail(&refused).contains("routing groups: fast"), "{}", refused.json);
            assert_eq!(refused.refused(409).0, "in_use");
        }
        let refused = test.patch("/providers/one", json!({"kind": "anthropic"})).await;
        assert!(refused.json["errors"][0]["message"].as_str().unwrap().contains("fast"), "{}", refused.json);
        assert_eq!(refused.refused(422), pair("invalid", "kind"));
        test.patch("/providers/one", json!({"kind": "azure_openai"})).await.expect(StatusCode::OK);

        let listed = async |query: &str| {
            let list = test.get(&format!("/routing-groups{query}")).await.expect(StatusCode::OK);
            list["items"].as_array().unwrap().len()
        };
        for (query, count) in [("", 1), ("?provider=one", 1), ("?provider=one&model=o3", 0), ("?provider=none", 0), ("?model=gpt-4o", 1)] {
            assert_eq!(listed(query).await, count, "{query}");
        }
        assert_eq!(test.get("/routing-groups?kind=x").await.status, StatusCode::BAD_REQUEST);

        let edit = json!({"targets": [target("two", 100)]});
        test.patch(&format!("/routing-groups/{}", id(&fast)), edit).await.expect(StatusCode::OK);
        test.delete(&model).await.expect(StatusCode::NO_CONTENT);
        test.delete("/providers/one").await.expect(StatusCode::NO_CONTENT);
        // The only one of a group may become another kind.
        test.patch("/providers/two", json!({"kind": "anthropic"})).await.expect(StatusCode::OK);
    }
}

on_both! {
    async fn gateways_get_groups_without_the_targets_that_are_off(test: Test) {
        offer(&test, &[("one", "openai"), ("two", "openai"), ("three", "openai")]).await;
        let tiers = json!([
            {"name": "low", "up_to_tokens": 8000, "targets": [target("one", 60), target("two", 40)]},
            {"name": "high", "targets": [target("three", 100)]},
        ]);
        let failover = json!({"attempts": 4, "statuses": [429], "headers_timeout_ms": 500, "repeat_side_effects": true});
        let body = json!({"name": "fast", "tiers": tiers, "failover": failover, "sticky": true});
        test.post("/routing-groups", body).await.expect(StatusCode::CREATED);
        let sent = catalogue(&test).await;
        let to = |provider: &str, weight| wire::RoutingTarget {
            provider: provider.to_owned(),
            model: "gpt-4o".to_owned(),
            weight,
        };
        let failover = wire::Failover {
            max_attempts: 4,
            statuses: vec![429],
            headers_timeout_ms: 500,
            first_event_timeout_ms: 0,
            repeats_side_effects: true,
        };
        let whole = wire::RoutingGroup {
            name: "fast".to_owned(),
            created_at: 1_767_225_600,
            tiers: vec![
                wire::RoutingTier { max_input_tokens: 8000, targets: vec![to("one", 60), to("two", 40)] },
                wire::RoutingTier { max_input_tokens: 0, targets: vec![to("three", 100)] },
            ],
            balance: wire::RoutingBalance::Requests.into(),
            failover: Some(failover),
            sticky: true,
        };
        assert_eq!(sent.routing_groups, [whole]);
        let mut clusters: Vec<_> = sent.providers.iter().map(|one| (one.name.as_str(), one.group_cluster.as_str())).collect();
        clusters.sort_unstable();
        let slots = [("one", "latchkey/group/00"), ("three", "latchkey/group/02"), ("two", "latchkey/group/01")];
        assert_eq!(clusters, slots);

        test.patch("/providers/two", json!({"enabled": false})).await.expect(StatusCode::OK);
        test.patch(&model_of(&test, "three").await, json!({"enabled": false})).await.expect(StatusCode::OK);
        let left = catalogue(&test).await.routing_groups.remove(0);
        // The weights go out as they are, and what is left of the tiers takes all sizes.
        assert_eq!(left.tiers, [wire::RoutingTier { max_input_tokens: 0, targets: vec![to("one", 60)] }]);
        test.patch("/providers/one", json!({"enabled": false})).await.expect(StatusCode::OK);
        assert_eq!(catalogue(&test).await.routing_groups, []);
    }
}

on_both! {
    async fn a_provider_keeps_its_slot_until_it_is_deleted(test: Test) {
        offer(&test, &[("one", "openai"), ("two", "openai"), ("three", "openai")]).await;
        let slot = async |provider: &str| {
            test.get(&format!("/providers/{provider}")).await.expect(StatusCode::OK)["group_cluster"].clone()
        };
        assert_eq!(slot("one").await, json!(null));
        let fast = group(&test, "fast", json!([target("two", 100)])).await;
        let path = format!("/routing-groups/{}", id(&fast));
        test.patch(&path, json!({"targets": [target("one", 100)]})).await.expect(StatusCode::OK);
        assert_eq!((slot("one").await, slot("two").await), (json!("latchkey/group/01"), json!("latchkey/group/00")));
        test.patch("/providers/two", json!({"base_url": "https://two.acme.com/v2"})).await.expect(StatusCode::OK);
        assert_eq!(slot("two").await, "latchkey/group/00", "it is a target no longer, and keeps it");
        test.delete(&model_of(&test, "two").await).await.expect(StatusCode::NO_CONTENT);
        test.delete("/providers/two").await.expect(StatusCode::NO_CONTENT);
        test.patch(&path, json!({"targets": [target("one", 50), target("three", 50)]})).await.expect(StatusCode::OK);
        assert_eq!(slot("three").await, "latchkey/group/00", "the smallest that is free");
    }
}

on_both! {
    async fn without_a_free_slot_a_provider_is_refused_by_name(test: Test) {
        offer(&test, &[("one", "openai")]).await;
        let taken = (0..64).map(|slot| format!(
            "INSERT INTO providers (name, kind, base_url, enabled, created_at, updated_at, group_slot)
             VALUES ('p{slot}', 'openai', 'https://acme.com', 1, 0, 0, {slot})"
        ));
        test.sql(&taken.collect::<Vec<_>>()).await;
        let body = json!({"name": "fast", "targets": [target("one", 100)]});
        let refused = test.post("/routing-groups", body).await.refused(422);
        assert_eq!(refused, pair("invalid", "targets[0].provider"));
        assert_eq!(test.get("/routing-groups").await.json["items"], json!([]), "nothing was made");
    }
}

on_both! {
    async fn envoy_gets_a_second_cluster_of_a_provider_with_the_same_credential(test: Test) {
        offer(&test, &[("one", "openai"), ("two", "openai")]).await;
        test.patch("/providers/one", json!({"credential": "sk-1"})).await.expect(StatusCode::OK);
        // The mesh brings the cluster of its own provider under the name that the API shows.
        test.patch("/providers/two", json!({"cluster": "outbound"})).await.expect(StatusCode::OK);
        group(&test, "fast", json!([target("one", 50), target("two", 50)])).await;
        let feed = Feed::open(test.store.clone(), test.api.master.clone(), String::new(), Default::default()).await.unwrap();
        let clusters = feed.clusters().borrow().clone();
        let shown: Vec<_> = clusters.iter().map(|cluster| (cluster.name.as_str(), cluster.group.as_ref())).collect();
        let [(name, Some(second))] = shown.as_slice() else { panic!("{shown:?}") };
        assert_eq!((*name, second.name.as_str(), second.provider.as_str()), ("latchkey/one", "latchkey/group/00", "one"));
        assert!(clusters[0].credential.is_some());
        let mesh = test.get("/providers/two").await.expect(StatusCode::OK);
        assert_eq!((&mesh["group_cluster"], &mesh["managed_cluster"]), (&json!("latchkey/group/01"), &json!(false)));
    }
}

on_both! {
    async fn an_explanation_names_the_targets_and_where_they_rest(test: Test) {
        offer(&test, &[("one", "openai"), ("two", "openai")]).await;
        group(&test, "fast", json!([target("one", 100), target("two", 0)])).await;
        let app = test.app(json!({"routing_groups": ["fast"]})).await;
        let path = format!("/apps/{}/explain", id(&app));
        let explained = test.post(&path, json!({"model": "fast"})).await.expect(StatusCode::OK);
        let known = |provider: &str, weight| {
            json!({"provider": provider, "model": "gpt-4o", "weight": weight, "resting_at": []})
        };
        let expected = json!({"chosen_by": "requests", "without_clusters": [], "targets": [known("one", 100), known("two", 0)]});
        assert_eq!(explained["forward"]["routing"], expected, "{explained}");
        assert_eq!((&explained["forward"]["model"], &explained["forward"]["provider"]), (&json!("fast"), &json!("one")));
        let model = test.post(&path, json!({"model": "gpt-4o"})).await.expect(StatusCode::OK);
        assert_eq!(model["forward"]["routing"], Value::Null);
        // The app may use one of the targets only, and then none.
        let edit = format!("/apps/{}", id(&app));
        test.patch(&edit, json!({"allowed_providers": ["two"]})).await.expect(StatusCode::OK);
        let explained = test.post(&path, json!({"model": "fast"})).await.expect(StatusCode::OK);
        assert_eq!(explained["forward"]["routing"]["targets"], json!([known("two", 0)]));
        test.post("/models", json!({"name": "other", "provider": "two"})).await.expect(StatusCode::CREATED);
        test.patch(&edit, json!({"allowed_models": ["other"]})).await.expect(StatusCode::OK);
        let explained = test.post(&path, json!({"model": "fast"})).await.expect(StatusCode::OK);
        assert_eq!(explained["code"], "model_not_allowed");
    }
}
