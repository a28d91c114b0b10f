//! External detectors, and the guardrail rules that name them.

use axum::http::StatusCode;
use latchkey_discovery::source::From;
use latchkey_proto::discovery as wire;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

async fn add(test: &Test, name: &str) -> Value {
    let body = json!({"name": name, "url": format!("https://{name}.acme.com/judge")});
    test.post("/detectors", body).await.expect(StatusCode::CREATED)
}

fn rule(detector: &str) -> Value {
    json!({"category": "external", "detector": detector, "action": "redact", "direction": "request", "on_failure": "block"})
}

on_both! {
    async fn a_detector_is_added_edited_and_removed_and_its_credential_never_comes_out(test: Test) {
        let body = json!({"name": "company", "url": "https://detector.acme.com/judge", "credential": "det-secret-1"});
        let created = test.post("/detectors", body.clone()).await.expect(StatusCode::CREATED);
        assert_eq!((&created["has_credential"], &created["cluster"]), (&json!(true), &json!("latchkey-detector/company")));
        assert_eq!((&created["timeout_ms"], &created["max_text_bytes"]), (&json!(500), &json!(65536)));
        assert_eq!(test.post("/detectors", body).await.refused(422), pair("invalid", "name"));
        let read = test.get("/detectors/company").await.expect(StatusCode::OK);
        let list = test.get("/detectors").await.expect(StatusCode::OK);
        assert!(![created, read, list].iter().any(|shown| shown.to_string().contains("det-secret-1")));
        let edit = json!({"credential": null, "timeout_ms": 1500, "max_text_bytes": 2048, "enabled": false});
        let edited = test.patch("/detectors/company", edit.clone()).await.expect(StatusCode::OK);
        assert_eq!((&edited["has_credential"], &edited["timeout_ms"]), (&json!(false), &json!(1500)));
        assert_eq!((&edited["max_text_bytes"], &edited["enabled"]), (&json!(2048), &json!(false)));
        test.patch("/detectors/company", edit).await.expect(StatusCode::OK);
        test.delete("/detectors/company").await.expect(StatusCode::NO_CONTENT);
        assert_eq!(test.get("/detectors/company").await.refused(404).0, "not_found");
        let done = ["detector.created", "detector.updated", "detector.deleted"];
        assert_eq!(test.audited_of("company").await, done, "the second edit changed nothing");
    }
}

on_both! {
    async fn wrong_detectors_are_refused_field_by_field(test: Test) {
        let create = async |fields: Value| {
            let mut body = json!({"name": "x", "url": "https://x.com/judge"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            test.post("/detectors", body).await.refused(422)
        };
        assert_eq!(create(json!({"name": "Not A Slug"})).await, pair("invalid", "name"));
        assert_eq!(create(json!({"url": "x.com"})).await, pair("invalid", "url"));
        assert_eq!(create(json!({"url": "http://169.254.169.254/judge"})).await, pair("invalid", "url"));
        assert_eq!(create(json!({"credential": "two words"})).await, pair("invalid", "credential"));
        assert_eq!(create(json!({"cluster": "mine", "credential": "x"})).await, pair("invalid", "credential"));
        for wrong in [0, 9, 5001] {
            assert_eq!(create(json!({"timeout_ms": wrong})).await, pair("invalid", "timeout_ms"));
        }
        for wrong in [0, 1023, (1 << 20) + 1] {
            assert_eq!(create(json!({"max_text_bytes": wrong})).await, pair("invalid", "max_text_bytes"));
        }
        assert_eq!(create(json!({"kind": "openai"})).await, pair("invalid", "kind"));
        add(&test, "company").await;
        let edit = test.patch("/detectors/company", json!({"timeout_ms": 6000})).await;
        assert_eq!(edit.refused(422), pair("invalid", "timeout_ms"));
    }
}

on_both! {
    async fn a_rule_names_a_detector_that_there_is_and_says_what_its_failure_means(test: Test) {
        for name in ["company", "second", "third", "fourth", "fifth"] {
            add(&test, name).await;
        }
        let create = async |rules: Value| {
            test.post("/apps", json!({"name": "Bot", "guardrails": {"rules": rules}})).await
        };
        let without = |field: &str| {
            let mut rule = rule("company");
            rule.as_object_mut().unwrap().remove(field);
            rule
        };
        let with = |field: &str, value: Value| {
            let mut rule = rule("company");
            rule[field] = value;
            rule
        };
        for (wrong, field) in [
            (without("detector"), "detector"),
            (without("direction"), "direction"),
            (without("on_failure"), "on_failure"),
            (with("direction", json!("response")), "direction"),
            (with("detector", json!("unknown")), "detector"),
            (with("action", json!("allow")), "action"),
            (json!({"category": "pii", "on_failure": "pass"}), "on_failure"),
        ] {
            let refused = create(json!([wrong])).await.refused(422);
            assert_eq!(refused, pair("invalid", &format!("guardrails.rules[0].{field}")), "{wrong}");
        }
        let five: Vec<_> = ["company", "second", "third", "fourth", "fifth"].map(rule).into();
        assert_eq!(create(json!(five)).await.refused(422), pair("invalid", "guardrails.rules"));
        let high = with("min_risk", json!("high"));
        let app = create(json!([high])).await.expect(StatusCode::CREATED);
        assert_eq!(app["guardrails"]["rules"], json!([high]));
    }
}

on_both! {
    async fn a_detector_in_use_is_not_deleted_and_that_says_where(test: Test) {
        add(&test, "company").await;
        let app = test.app(json!({"name": "Billing", "guardrails": {"rules": [rule("company")]}})).await;
        let refused = test.delete("/detectors/company").await;
        assert!(refused.json["detail"].as_str().unwrap().contains("Billing"), "{}", refused.json);
        assert_eq!(refused.refused(409).0, "in_use");
        let path = format!("/apps/{}", id(&app));
        test.patch(&path, json!({"guardrails": {"rules": []}})).await.expect(StatusCode::OK);
        test.delete("/detectors/company").await.expect(StatusCode::NO_CONTENT);
        assert_eq!(test.act(&format!("{path}/versions/1/rollback")).await.status, 422, "the detector is gone");
    }
}

on_both! {
    async fn gateways_learn_the_detectors_that_are_on_and_the_rules(test: Test) {
        for name in ["company", "off"] {
            add(&test, name).await;
        }
        test.patch("/detectors/off", json!({"enabled": false})).await.expect(StatusCode::OK);
        test.app(json!({"guardrails": {"rules": [rule("company")]}})).await;
        let all = test.store.feed_batch(From::Everything, None, 100).await.unwrap();
        let company = wire::Detector {
            name: "company".to_owned(),
            cluster: "latchkey-detector/company".to_owned(),
            authority: "company.acme.com".to_owned(),
            path: "/judge".to_owned(),
            timeout_ms: 500,
            max_text_bytes: 65_536,
        };
        assert_eq!(all.catalogue.unwrap().detectors, [company]);
        let [sent] = all.apps[0].guardrails.as_ref().unwrap().rules.as_slice() else { panic!() };
        assert_eq!((sent.category.as_str(), sent.detector.as_str()), ("external", "company"));
        assert_eq!(sent.on_failure(), wire::DetectorFailure::Block);
        latchkey_filter_core::snapshot::AppPolicy::try_from(all.apps[0].clone()).unwrap();
    }
}

on_both! {
    async fn envoy_gets_a_cluster_for_each_detector_with_its_credential(test: Test) {
        use latchkey::feed::Feed;
        use latchkey_discovery::source::Source as _;

        let body = json!({"name": "company", "url": "https://detector.acme.com:8443/judge", "credential": "det-1"});
        test.post("/detectors", body).await.expect(StatusCode::CREATED);
        let own = json!({"name": "mesh", "url": "http://mesh/judge", "cluster": "outbound"});
        test.post("/detectors", own).await.expect(StatusCode::CREATED);
        let feed = Feed::open(test.store.clone(), test.api.master.clone(), String::new(), Default::default()).await.unwrap();
        let clusters = feed.clusters().borrow().clone();
        let [cluster] = &*clusters else { panic!("{clusters:?}") };
        let credential = cluster.credential.as_ref().unwrap();
        let value = secrecy::ExposeSecret::expose_secret(&credential.value);
        assert_eq!((cluster.name.as_str(), cluster.host.as_str(), cluster.port), ("latchkey-detector/company", "detector.acme.com", 8443));
        assert_eq!((credential.header.as_str(), value), ("authorization", "Bearer det-1"));
    }
}
