use axum::http::StatusCode;
use latchkey_discovery::source::From;
use latchkey_proto::discovery::{Bucket, Limits};
use serde_json::{Value, json};

use crate::support::{START_MS, Test, id, on_both, pair};

async fn named_app(test: &Test, limits: Value) -> (Value, String) {
    let app = test.app(json!({"mode": "named", "limits": limits})).await;
    let path = format!("/apps/{}", id(&app));
    (app, path)
}

/// The limits of each key that gateways are sent, in the order of the keys' ids.
async fn sent(test: &Test) -> Vec<Option<Limits>> {
    let mut keys = test.store.feed_batch(From::Everything, None, 100).await.unwrap().keys;
    keys.sort_by(|a, b| a.key_id.cmp(&b.key_id));
    keys.into_iter().map(|key| key.limits).collect()
}

on_both! {
    async fn an_edit_merges_member_by_member_and_null_lifts(test: Test) {
        let limits = json!({"requests_per_minute": 60, "budget": {"usd": "12.50", "per": "month"}});
        let app = test.app(json!({"limits": limits, "time_zone": "Europe/Berlin", "alert_thresholds": [90, 50]})).await;
        let path = format!("/apps/{}", id(&app));
        assert_eq!(app["limits"], json!({"requests_per_minute": 60, "budget": {"usd": "12.5", "per": "month"}}));
        assert_eq!((&app["time_zone"], &app["alert_thresholds"]), (&json!("Europe/Berlin"), &json!([50, 90])));
        assert_eq!(app["named_key_limits"], json!({}));
        let edit = async |body: Value| test.patch(&path, body).await.expect(StatusCode::OK)["limits"].clone();
        let more = edit(json!({"limits": {"requests_per_minute": null, "max_output_tokens": 100}})).await;
        assert_eq!(more, json!({"budget": {"usd": "12.5", "per": "month"}, "max_output_tokens": 100}));
        assert_eq!(edit(json!({"name": "Renamed"})).await, more, "not named");
        assert_eq!(edit(json!({"limits": null})).await, json!({}));
        let read = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!((&read["limits"], &read["time_zone"]), (&json!({}), &json!("Europe/Berlin")));
    }
}

on_both! {
    async fn thresholds_are_accepted_with_every_budget_that_they_can_apply_to(test: Test) {
        let tokens = json!({"token_budget": {"tokens": 5, "per": "day"}});
        for with in [
            json!({"limits": {"budget": {"usd": "1", "per": "day"}}}), json!({"limits": tokens}),
            json!({"mode": "named", "named_key_limits": tokens}), json!({"mode": "named"}),
        ] {
            let mut settings = json!({"alert_thresholds": [70]});
            settings.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
            assert_eq!(test.app(settings).await["alert_thresholds"], json!([70]), "{with}");
        }
    }
}

on_both! {
    async fn wrong_limits_are_refused_with_their_path(test: Test) {
        for (settings, path) in [
            (json!({"limits": {"requests_per_second": 1}}), "limits.requests_per_second"),
            (json!({"limits": {"requests_per_minute": 0}}), "limits.requests_per_minute"),
            (json!({"limits": {"requests_per_minute": -1}}), "limits.requests_per_minute"),
            (json!({"limits": {"budget": {"usd": "ten", "per": "day"}}}), "limits.budget.usd"),
            (json!({"limits": {"budget": {"usd": true, "per": "day"}}}), "limits.budget.usd"),
            (json!({"limits": {"budget": {"usd": "1", "per": "year"}}}), "limits.budget.per"),
            (json!({"limits": {"budget": {"usd": "1", "per": "day", "from": 1}}}), "limits.budget.from"),
            (json!({"limits": {"budget": {"usd": "1"}}}), "limits.budget"),
            (json!({"limits": {"token_budget": {"tokens": 0, "per": "day"}}}), "limits.token_budget.tokens"),
            (json!({"time_zone": "Berlin"}), "time_zone"),
            (json!({"time_zone": "Europe/Berlin"}), "time_zone"),
            (json!({"time_zone": "Europe/Berlin", "limits": {"requests_per_day": 5}}), "time_zone"),
            (json!({"alert_thresholds": [70]}), "alert_thresholds"),
            (json!({"alert_thresholds": [70], "limits": {"tokens_per_minute": 5}}), "alert_thresholds"),
            (json!({"alert_thresholds": [50, 101]}), "alert_thresholds"),
            (json!({"alert_thresholds": [300]}), "alert_thresholds[0]"),
            (
                json!({"limits": {"requests_per_day": 5}, "named_key_limits": {"requests_per_day": 6}}),
                "named_key_limits.requests_per_day",
            ),
            (
                json!({"limits": {"budget": {"usd": "9", "per": "month"}},
                       "named_key_limits": {"budget": {"usd": "1", "per": "day"}}}),
                "named_key_limits.budget.per",
            ),
        ] {
            let mut body = json!({"name": "x"});
            body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
            assert_eq!(test.post("/apps", body).await.refused(422), pair("invalid", path), "{settings}");
        }
    }
}

on_both! {
    async fn lowering_an_apps_limits_below_its_named_key_limits_is_refused(test: Test) {
        let limits = json!({"requests_per_minute": 60});
        let app = test.app(json!({"limits": limits, "named_key_limits": {"requests_per_minute": 10}})).await;
        let path = format!("/apps/{}", id(&app));
        let refused = test.patch(&path, json!({"limits": {"requests_per_minute": 5}})).await;
        let message = refused.json["errors"][0]["message"].clone();
        assert_eq!(refused.refused(422), pair("invalid", "named_key_limits.requests_per_minute"));
        assert_eq!(message, "is more than `limits.requests_per_minute`, 5");
        let both = json!({"limits": {"requests_per_minute": 5}, "named_key_limits": null});
        test.patch(&path, both).await.expect(StatusCode::OK);
    }
}

on_both! {
    async fn a_keys_own_limits_stay_within_its_app(test: Test) {
        let (app, path) = named_app(&test, json!({"requests_per_minute": 60})).await;
        let user = test.user("alice@acme.com").await;
        let keys = format!("{path}/keys");
        let new = |limits: Value| json!({"user_id": user, "name": "laptop", "limits": limits});
        let beyond = test.post(&keys, new(json!({"requests_per_minute": 61}))).await;
        assert_eq!(beyond.refused(422), pair("invalid", "limits.requests_per_minute"));
        let key = test.post(&keys, new(json!({"requests_per_minute": 10, "requests_per_day": 5}))).await;
        let key = key.expect(StatusCode::CREATED);
        assert_eq!(key["limits"], json!({"requests_per_minute": 10, "requests_per_day": 5}));
        let key_path = format!("{keys}/{}", id(&key));
        let edit = test.patch(&key_path, json!({"limits": {"requests_per_minute": 61}})).await;
        assert_eq!(edit.refused(422), pair("invalid", "limits.requests_per_minute"));
        let edit = test.patch(&key_path, json!({"limits": {"requests_per_day": null}})).await;
        assert_eq!(edit.expect(StatusCode::OK)["limits"], json!({"requests_per_minute": 10}));
        test.patch(&path, json!({"limits": {"requests_per_minute": 5}})).await.expect(StatusCode::OK);
        test.patch(&key_path, json!({"name": "desktop"})).await.expect(StatusCode::OK);
        let read = test.get(&key_path).await.expect(StatusCode::OK);
        assert_eq!(read["limits"], json!({"requests_per_minute": 10}), "the gateway enforces both");
        let none = test.patch(&key_path, json!({"limits": null})).await.expect(StatusCode::OK);
        assert_eq!(none["limits"], Value::Null);
        let _ = app;
    }
}

on_both! {
    async fn a_keys_first_edit_begins_with_what_applied_to_it(test: Test) {
        let named = json!({"requests_per_minute": 10, "budget": {"usd": "1", "per": "day"}});
        let app = test.app(json!({"mode": "named", "named_key_limits": named})).await;
        let key = test.named_key(&app).await;
        assert_eq!(key["limits"], Value::Null);
        let path = format!("/apps/{}/keys/{}", id(&app), id(&key));
        let edited = test.patch(&path, json!({"limits": {"requests_per_minute": 20}})).await.expect(StatusCode::OK);
        let limits = json!({"requests_per_minute": 20, "budget": {"usd": "1", "per": "day"}});
        assert_eq!(edited["limits"], limits);
    }
}

on_both! {
    async fn gateways_are_sent_a_keys_limits_only_where_it_has_its_own(test: Test) {
        let (app, path) = named_app(&test, json!({"requests_per_minute": 60})).await;
        test.named_key(&app).await;
        let user = test.user("alice@acme.com").await;
        for (name, limits) in [("laptop", json!({"requests_per_minute": 10, "max_input_tokens": 7})), ("phone", json!({}))] {
            let body = json!({"user_id": user, "name": name, "limits": limits});
            test.post(&format!("{path}/keys"), body).await.expect(StatusCode::CREATED);
            test.clock.advance(std::time::Duration::from_millis(1));
        }
        let mut sent = sent(&test).await;
        sent.sort_by_key(|limits| limits.as_ref().map(|limits| limits.buckets.len()));
        let own = Limits {
            buckets: vec![Bucket { kind: 1, limit: 10 }],
            max_input_tokens: Some(7),
            max_output_tokens: None,
            min_output_tokens: None,
        };
        assert_eq!(sent, [None, None, Some(Limits::default()), Some(own)]);
    }
}

on_both! {
    async fn lists_and_reads_show_what_is_used_reserved_and_left(test: Test) {
        let limits = json!({"requests_per_minute": 60, "token_budget": {"tokens": 1000, "per": "total"},
            "budget": {"usd": "10", "per": "day"}});
        let app = test.app(json!({"mode": "named", "limits": limits, "time_zone": "Europe/Berlin",
            "named_key_limits": {"requests_per_minute": 6}})).await;
        let key = test.named_key(&app).await;
        let other = test.app(json!({})).await;
        // Midnight in Berlin.
        let today = START_MS - 3_600_000;
        let owner = id(&app);
        for (kind, period, used, slots) in [
            (1, 0, 0, format!("[[{},5],[{},7]]", START_MS / 1000 - 62, START_MS / 1000 - 30)),
            (6, today, 2_500_000_000_i64, "[]".to_owned()),
            (6, today - 86_400_000, 9_000_000_000, "[]".to_owned()),
        ] {
            let row = json!({"owner": owner, "kind": kind, "period": period, "used": used, "slots": slots});
            test.insert("buckets", row).await;
        }
        let lease = |instance: &str, kind: i32, period: i64, granted: i64, used: i64, returned: i64| {
            json!({"owner": owner, "kind": kind, "period": period, "instance": instance, "granted": granted,
                   "used": used, "returned": returned})
        };
        let mut alone = lease("a", 6, today, 900_000_000, 400_000_000, 100_000_000);
        alone["local"] = json!(100_000_000);
        test.insert("leases", alone).await;
        test.insert("leases", lease("b", 6, today, 100, 300, 0)).await;
        test.insert("leases", lease("a", 1, 0, 10, 4, 0)).await;
        test.insert("leases", lease("a", 5, 0, 900, 0, 0)).await;
        let of_key = json!({"key_id": id(&key), "app_id": id(&app), "requests": 3, "last_used_at": START_MS});
        test.insert("key_usage", of_key).await;
        test.insert("app_usage", json!({"app_id": id(&app), "requests": 7, "last_used_at": START_MS})).await;
        let read = test.get(&format!("/apps/{owner}")).await.expect(StatusCode::OK);
        assert_eq!((&read["requests"], &read["last_used_at"]), (&json!(7), &json!("2026-01-01T00:00:00Z")));
        let usage = json!({
            "requests_per_minute": {"limit": 60, "used": 7, "reserved": 6, "remaining": 47,
                "resets_at": "2026-01-01T00:00:31Z"},
            "token_budget": {"limit": 1000, "used": 0, "reserved": 900, "remaining": 100, "resets_at": null},
            "budget": {"limit": "10", "used": "2.5", "reserved": "0.5", "remaining": "7",
                "resets_at": "2026-01-01T23:00:00Z", "spent_at": "2026-01-01T03:00:00Z"},
        });
        assert_eq!(read["usage"], usage);
        let list = test.get("/apps").await.expect(StatusCode::OK);
        let of = |id: String| list["items"].as_array().unwrap().iter().find(|app| app["id"] == id).unwrap();
        assert_eq!(of(owner.clone())["usage"], usage);
        assert_eq!((&of(id(&other))["usage"], &of(id(&other))["requests"]), (&json!({}), &json!(0)));
        assert_eq!(of(id(&other))["last_used_at"], Value::Null);
        let empty = json!({"limit": 6, "used": 0, "reserved": 0, "remaining": 6, "resets_at": null});
        for key in [
            test.get(&format!("/apps/{owner}/keys/{}", id(&key))).await.expect(StatusCode::OK),
            test.get(&format!("/apps/{owner}/keys")).await.expect(StatusCode::OK)["items"][0].clone(),
        ] {
            assert_eq!((&key["requests"], &key["usage"]), (&json!(3), &json!({"requests_per_minute": empty})));
        }
    }
}
