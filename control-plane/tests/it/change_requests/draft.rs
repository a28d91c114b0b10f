use super::*;

on_both! {
    async fn a_preview_says_what_a_request_would_ask_for_and_asks_for_nothing(test: Test) {
        let desk = Desk::new(&test, json!({"tags": ["a"], "limits": {"requests_per_day": 5}})).await;
        let path = format!("/me/apps/{}/change-requests/preview", desk.app);
        let preview = async |body: Value| test.with(&desk.token, "POST", &path, Some(body)).await;
        let tags = preview(json!({"kind": "set_tags", "edit": {"tags": ["b"]}})).await.expect(StatusCode::OK);
        assert_eq!(tags, json!({"base_version": 2, "changes": [{"path": "tags", "before": ["a"], "after": ["b"]}]}));
        for (kind, edit, field) in [
            ("set_tags", json!({"tags": ["a"]}), "edit"),
            ("update_config", json!({"limits": {"requests_per_day": 0}}), "edit.limits.requests_per_day"),
            ("update_config", json!({"tags": ["b"]}), "edit.tags"),
        ] {
            assert_eq!(preview(json!({"kind": kind, "edit": edit})).await.refused(422), pair("invalid", field));
        }
        assert_eq!(test.get("/change-requests").await.expect(StatusCode::OK)["items"], json!([]));
        assert_eq!(desk.now(&test).await["tags"], json!(["a"]));
    }
}

on_both! {
    async fn a_request_for_an_older_version_is_refused(test: Test) {
        let desk = Desk::new(&test, json!({"tags": ["a"]})).await;
        let path = format!("/me/apps/{}/change-requests", desk.app);
        let ask = async |base: i64| {
            let body = json!({"kind": "set_tags", "edit": {"tags": ["b"]}, "reason": "so", "base_version": base});
            test.with(&desk.token, "POST", &path, Some(body)).await
        };
        test.patch(&desk.path, json!({"tags": ["c"]})).await.expect(StatusCode::OK);
        assert_eq!(ask(2).await.refused(409).0, "changed_meanwhile");
        assert_eq!(ask(3).await.expect(StatusCode::CREATED)["base_version"], 3);
    }
}

on_both! {
    async fn the_settings_to_ask_for_are_for_those_who_may_ask(test: Test) {
        let settings = json!({"tags": ["a"], "limits": {"requests_per_day": 5}, "metadata": {"secret": "x"}});
        let desk = Desk::new(&test, settings).await;
        let path = format!("/me/apps/{}/settings", desk.app);
        let read = async |token: &str, query: &str| test.with(token, "GET", &format!("{path}{query}"), None).await;
        let now = read(&desk.token, "").await.expect(StatusCode::OK);
        assert_eq!((&now["version"], &now["limits"]), (&json!(2), &json!({"requests_per_day": 5})));
        assert_eq!((&now["metadata"], &now["self_service"]), (&Value::Null, &Value::Null));
        let asked = desk.ask(&test, "update_config", json!({"limits": {"requests_per_day": 9}})).await;
        let asked = id(&asked.expect(StatusCode::CREATED));
        test.patch(&desk.path, json!({"limits": {"requests_per_day": 7, "requests_per_hour": 3}})).await.expect(StatusCode::OK);
        let again = read(&desk.token, &format!("?change_request={asked}")).await.expect(StatusCode::OK);
        assert_eq!((&again["version"], &again["limits"]), (&json!(3), &json!({"requests_per_day": 9, "requests_per_hour": 3})));
        let bob = test.user("bob@acme.com").await;
        let bob = test.token_of(&bob).await;
        assert_eq!(read(&bob, &format!("?change_request={asked}")).await.refused(404).0, "not_found", "another's request");
        edit(&test, &desk.app, |settings| {
            settings.self_service.access.settings_request = Rule::default();
            settings.self_service.access.viewer = everyone();
        }).await;
        assert_eq!(read(&desk.token, "").await.refused(403).0, "no_settings_request");
        edit(&test, &desk.app, |settings| settings.self_service.access.viewer = Rule::default()).await;
        assert_eq!(read(&desk.token, "").await.refused(404).0, "not_found");
    }
}
