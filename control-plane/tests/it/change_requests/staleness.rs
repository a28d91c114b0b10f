use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;

on_both! {
    /// Named in issue 4's plan.
    async fn a_stale_request_does_not_overwrite(test: Test) {
        let desk = Desk::new(&test, json!({"tags": ["a"]})).await;
        let path = desk.ask_tags(&test, &["mine"]).await;
        test.patch(&desk.path, json!({"tags": ["admin's"]})).await.expect(StatusCode::OK);
        let stale = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!(stale["status"], "stale");
        assert_eq!(stale["comment"], "version 3 of the app changed `tags`");
        assert_eq!(stale["decided_by"], Value::Null);
        assert_eq!(stale["changes"], json!([{"path": "tags", "before": ["a"], "after": ["mine"]}]));
        assert_eq!(stale["now"], json!([{"path": "tags", "value": ["admin's"], "differs": true}]));
        assert_eq!(approve(&test, &path).await.refused(409).0, "not_pending");
        assert_eq!(desk.now(&test).await["tags"], json!(["admin's"]));
        test.patch(&desk.path, json!({"tags": ["a"]})).await.expect(StatusCode::OK);
        assert_eq!(status(&test, &path).await, "stale", "it does not come back");
    }
}

on_both! {
    async fn a_request_whose_fields_nobody_touched_is_applied_on_top(test: Test) {
        let desk = Desk::new(&test, json!({"tags": ["a"], "limits": {"requests_per_minute": 5}})).await;
        let asked = desk.ask(&test, "update_config", json!({"limits": {"requests_per_day": 9}})).await;
        let path = format!("/change-requests/{}", id(&asked.expect(StatusCode::CREATED)));
        test.patch(&desk.path, json!({"tags": ["b"], "limits": {"requests_per_minute": 6}})).await.expect(StatusCode::OK);
        let done = approve(&test, &path).await.expect(StatusCode::OK);
        assert_eq!((&done["status"], &done["base_version"], &done["version"]), (&json!("approved"), &json!(2), &json!(4)));
        let now = desk.now(&test).await;
        assert_eq!(now["limits"], json!({"requests_per_minute": 6, "requests_per_day": 9}));
        assert_eq!(now["tags"], json!(["b"]));
    }
}

on_both! {
    async fn two_requests_for_one_field_cannot_both_be_applied(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let (one, other) = (desk.ask_tags(&test, &["x"]).await, desk.ask_tags(&test, &["x"]).await);
        approve(&test, &one).await.expect(StatusCode::OK);
        assert_eq!(status(&test, &other).await, "stale");
        assert_eq!(status(&test, &one).await, "approved");
    }
}

on_both! {
    async fn rollbacks_and_what_ends_an_app_make_requests_stale_too(test: Test) {
        let desk = Desk::new(&test, json!({"tags": ["a"]})).await;
        test.patch(&desk.path, json!({"tags": ["b"]})).await.expect(StatusCode::OK);
        let rolled = desk.ask_tags(&test, &["x"]).await;
        test.act(&format!("{}/versions/2/rollback", desk.path)).await.expect(StatusCode::OK);
        assert_eq!(status(&test, &rolled).await, "stale");
        let off = desk.ask_tags(&test, &["x"]).await;
        test.act(&format!("{}/deactivate", desk.path)).await.expect(StatusCode::OK);
        assert_eq!(status(&test, &off).await, "pending", "a switch that can be undone is no change");
        test.act(&format!("{}/revoke", desk.path)).await.expect(StatusCode::OK);
        assert_eq!(status(&test, &off).await, "stale");
        let gone = Desk { app: id(&test.app(json!({})).await), ..desk };
        let gone = Desk { path: format!("/apps/{}", gone.app), ..gone };
        edit(&test, &gone.app, |settings| settings.self_service.access.settings_request = everyone()).await;
        let request = gone.ask_tags(&test, &["x"]).await;
        test.delete(&gone.path).await.expect(StatusCode::OK);
        let read = test.get(&request).await.expect(StatusCode::OK);
        assert_eq!((&read["status"], &read["comment"]), (&json!("stale"), &json!("the app was deleted")));
        assert_eq!(read["now"], json!([]));
    }
}

on_both! {
    async fn a_prompt_is_a_field_of_its_own(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let add = |name: &str| json!({"create": {"name": name, "text": "x"}});
        let asked = desk.ask(&test, "prompt_store", add("a")).await.expect(StatusCode::CREATED);
        let path = format!("/change-requests/{}", id(&asked));
        let prompts = format!("{}/prompts", desk.path);
        test.post(&prompts, json!({"name": "b", "text": "y"})).await.expect(StatusCode::CREATED);
        assert_eq!(approve(&test, &path).await.expect(StatusCode::OK)["status"], "approved");
        let names = test.get(&prompts).await.expect(StatusCode::OK);
        assert_eq!(names["items"].as_array().unwrap().len(), 2);
    }
}

/// Fields that users may ask for, with values, as paths of an app's view.
type Fields = BTreeMap<&'static str, Value>;

fn any_fields() -> impl Strategy<Value = Fields> {
    let one = prop_oneof![
        (1..4_u64).prop_map(|n| ("requests_per_minute", json!(n))),
        (1..4_u64).prop_map(|n| ("tokens_per_minute", json!(n))),
        (1..4_u64, any::<bool>()).prop_map(|(usd, day)| {
            ("budget", json!({"usd": usd.to_string(), "per": if day { "day" } else { "month" }}))
        }),
        prop_oneof![Just("UTC"), Just("Europe/Berlin")].prop_map(|zone| ("time_zone", json!(zone))),
        (1..4_u8).prop_map(|n| ("alert_thresholds", json!([n]))),
        any::<bool>().prop_map(|on| ("require_conversation_id", json!(on))),
    ];
    prop::collection::vec(one, 1..4).prop_map(|fields| fields.into_iter().collect())
}

/// The edit that sets these fields.
fn as_edit(fields: &Fields) -> Value {
    let mut edit = json!({});
    for (field, value) in fields {
        match *field {
            "requests_per_minute" | "tokens_per_minute" | "budget" => edit["limits"][field] = value.clone(),
            _ => edit[field] = value.clone(),
        }
    }
    edit
}

fn of_view(app: &Value) -> Fields {
    let limits = ["requests_per_minute", "tokens_per_minute", "budget"];
    let others = ["time_zone", "alert_thresholds", "require_conversation_id"];
    let limit = |field: &'static str| (field, app["limits"][field].clone());
    let other = |field: &'static str| (field, app[field].clone());
    limits.into_iter().map(limit).chain(others.into_iter().map(other)).collect()
}

on_both! {
    /// A request is approved if and only if no admin touched a field of it meanwhile. Then the app has what
    /// was asked for, and everything else as the admins left it.
    async fn random_edits_between_submission_and_approval(test: Test) {
        let desk = Desk::new(&test, json!({"limits": {"budget": {"usd": "9", "per": "month"}}})).await;
        let mut runner = TestRunner::deterministic();
        let cases = (any_fields(), prop::collection::vec(any_fields(), 0..3));
        let (mut approved, mut stale) = (0, 0);
        for _ in 0..40 {
            let (wish, edits) = cases.new_tree(&mut runner).unwrap().current();
            let mut model = of_view(&desk.now(&test).await);
            let touched: Vec<_> = wish.iter().filter(|(field, value)| model[*field] != **value).map(|(field, _)| *field).collect();
            let asked = desk.ask(&test, "update_config", as_edit(&wish)).await;
            if touched.is_empty() {
                assert_eq!(asked.refused(422), pair("invalid", "edit"));
                continue;
            }
            let path = format!("/change-requests/{}", id(&asked.expect(StatusCode::CREATED)));
            let mut overtaken = false;
            for edit in &edits {
                overtaken |= touched.iter().any(|field| edit.get(field).is_some_and(|value| model[field] != *value));
                model.extend(edit.clone());
                test.patch(&desk.path, as_edit(edit)).await.expect(StatusCode::OK);
            }
            if overtaken {
                stale += 1;
                assert_eq!(status(&test, &path).await, "stale", "{wish:?} {edits:?}");
                assert_eq!(approve(&test, &path).await.refused(409).0, "not_pending");
            } else {
                approved += 1;
                let done = approve(&test, &path).await.expect(StatusCode::OK);
                assert_eq!(done["status"], "approved", "{wish:?} {edits:?}");
                model.extend(touched.iter().map(|field| (*field, wish[field].clone())));
            }
            assert_eq!(of_view(&desk.now(&test).await), model, "{wish:?} {edits:?}");
        }
        assert!(approved > 5 && stale > 5, "{approved} approved, {stale} stale");
    }
}
