use super::*;

on_both! {
    /// Named in issue 4.
    async fn an_approver_approving_their_own_request(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        test.sql(&[format!("UPDATE users SET role = 'owner' WHERE id = '{}'", desk.alice)]).await;
        let path = desk.ask_tags(&test, &["x"]).await;
        let approval = format!("{path}/approve");
        assert_eq!(test.with(&desk.token, "POST", &approval, None).await.refused(403).0, "own_request");
        let another_token = test.token_of(&desk.alice).await;
        assert_eq!(test.with(&another_token, "POST", &approval, None).await.refused(403).0, "own_request");
        assert_eq!(status(&test, &path).await, "pending");
        assert_eq!(desk.now(&test).await["tags"], json!([]));
        let bob = test.user("bob@acme.com").await;
        let bobs = test.token_of(&bob).await;
        assert_eq!(test.with(&bobs, "POST", &approval, None).await.refused(403).0, "forbidden");
        test.sql(&[format!("UPDATE users SET role = 'admin' WHERE id = '{bob}'")]).await;
        let comment = Some(json!({"comment": "fine"}));
        let done = test.with(&bobs, "POST", &approval, comment).await.expect(StatusCode::OK);
        assert_eq!((&done["status"], &done["comment"]), (&json!("approved"), &json!("fine")));
        assert_eq!(done["decided_by"], json!({"id": bob, "email": "bob@acme.com"}));
        assert_eq!(desk.now(&test).await["tags"], json!(["x"]));
    }
}

on_both! {
    async fn a_requester_approving_with_a_token_that_they_made_for_nobody_or_another(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        test.sql(&[format!("UPDATE users SET role = 'owner' WHERE id = '{}'", desk.alice)]).await;
        let path = desk.ask_tags(&test, &["x"]).await;
        let bob = test.user("bob@acme.com").await;
        test.sql(&[format!("UPDATE users SET role = 'admin' WHERE id = '{bob}'")]).await;
        let make = async |by: &str, role: &str, user: Option<&str>| {
            let body = json!({"name": "x", "role": role, "user_id": user});
            let token = test.with(by, "POST", "/tokens", Some(body)).await.expect(StatusCode::CREATED);
            assert_eq!(token["created_by"], json!(desk.alice));
            token["value"].as_str().unwrap().to_owned()
        };
        let automation = make(&desk.token, "owner", None).await;
        let made_by_it = make(&automation, "admin", None).await;
        let bobs = make(&desk.token, "admin", Some(&bob)).await;
        let own = test.with(&bobs, "POST", "/me/tokens", Some(json!({"name": "y"}))).await;
        let bobs_second = own.expect(StatusCode::CREATED)["value"].as_str().unwrap().to_owned();
        for token in [automation, made_by_it, bobs, bobs_second] {
            let approval = test.with(&token, "POST", &format!("{path}/approve"), None).await;
            assert_eq!(approval.refused(403).0, "own_request");
            let rejection = Some(json!({"reason": "no"}));
            let rejection = test.with(&token, "POST", &format!("{path}/reject"), rejection).await;
            assert_eq!(rejection.refused(403).0, "own_request");
        }
        assert_eq!(status(&test, &path).await, "pending");
        let bob_himself = test.token_of(&bob).await;
        test.with(&bob_himself, "POST", &format!("{path}/approve"), None).await.expect(StatusCode::OK);
    }
}

on_both! {
    /// Named in issue 4.
    async fn a_rejected_request_applied_by_a_retry(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let path = desk.ask_tags(&test, &["x"]).await;
        assert_eq!(test.post(&format!("{path}/reject"), json!({"reason": ""})).await.refused(422), pair("invalid", "reason"));
        let rejected = reject(&test, &path).await.expect(StatusCode::OK);
        assert_eq!((&rejected["status"], &rejected["comment"]), (&json!("rejected"), &json!("too much")));
        for _ in 0..2 {
            assert_eq!(approve(&test, &path).await.refused(409).0, "not_pending");
            assert_eq!(reject(&test, &path).await.refused(409).0, "not_pending");
            let withdraw = format!("/me{path}/withdraw");
            assert_eq!(test.with(&desk.token, "POST", &withdraw, None).await.refused(409).0, "not_pending");
        }
        assert_eq!(status(&test, &path).await, "rejected");
        assert_eq!(desk.now(&test).await["tags"], json!([]));
    }
}

on_both! {
    async fn the_database_itself_lets_no_request_be_decided_twice(test: Test) {
        use latchkey_store::change_requests::RequestDecision;
        use latchkey_core::change_request::Status;

        let desk = Desk::new(&test, json!({})).await;
        let path = desk.ask_tags(&test, &["x"]).await;
        let request = path.rsplit('/').next().unwrap().parse().unwrap();
        let decide = async |status| {
            let mut tx = test.store.begin().await.unwrap();
            let at = test.world.now();
            let done = tx.decide(request, RequestDecision { status, at, by: None, comment: "" }).await.unwrap();
            tx.commit().await.unwrap();
            done
        };
        assert!(decide(Status::Withdrawn).await);
        for status in [Status::Approved, Status::Rejected, Status::Failed, Status::Stale, Status::Withdrawn] {
            assert!(!decide(status).await);
        }
        assert_eq!(status(&test, &path).await, "withdrawn");
    }
}

on_both! {
    async fn two_approvers_at_once_apply_it_once(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        for i in 0..5 {
            let before = desk.now(&test).await["tags"].clone();
            let path = desk.ask_tags(&test, &[&format!("t{i}")]).await;
            let versions = async || test.store.newest_version(desk.app.parse().unwrap()).await.unwrap();
            let newest = versions().await;
            let (one, other, third) = tokio::join!(approve(&test, &path), approve(&test, &path), reject(&test, &path));
            let done = [&one, &other, &third].into_iter().filter(|answer| answer.status == StatusCode::OK).count();
            assert_eq!(done, 1, "{one:?} {other:?} {third:?}");
            let approved = status(&test, &path).await == "approved";
            assert_eq!(versions().await, newest + i64::from(approved));
            let expected = if approved { json!([format!("t{i}")]) } else { before };
            assert_eq!(desk.now(&test).await["tags"], expected);
        }
    }
}

on_both! {
    async fn an_approval_and_an_edit_at_once_do_not_wait_for_each_other_for_ever(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        for i in 0..8 {
            let path = desk.ask_tags(&test, &[&format!("asked{i}")]).await;
            let edit = json!({"tags": [format!("edited{i}")]});
            let (approved, edited) = tokio::join!(approve(&test, &path), test.patch(&desk.path, edit));
            edited.expect(StatusCode::OK);
            if approved.status != StatusCode::OK {
                assert_eq!(approved.refused(409).0, "not_pending");
            }
            assert!(["approved", "stale"].contains(&status(&test, &path).await.as_str()));
        }
    }
}

on_both! {
    async fn what_cannot_be_applied_fails_with_its_cause_and_changes_nothing(test: Test) {
        test.catalogue().await;
        let desk = Desk::new(&test, json!({"limits": {"requests_per_day": 50}})).await;
        let ask = async |edit: Value| {
            let asked = desk.ask(&test, "update_config", edit).await.expect(StatusCode::CREATED);
            format!("/change-requests/{}", id(&asked))
        };
        let beyond = ask(json!({"named_key_limits": {"requests_per_day": 40}})).await;
        let past = ask(json!({"expires_in": "30d"})).await;
        let model = ask(json!({"allowed_models": ["gpt-4o"]})).await;
        test.patch(&desk.path, json!({"limits": {"requests_per_day": 10}})).await.expect(StatusCode::OK);
        test.clock.advance(std::time::Duration::from_secs(31 * 86_400));
        let models = test.get("/models").await.expect(StatusCode::OK);
        test.delete(&format!("/models/{}", id(&models["items"][0]))).await;
        let before = desk.now(&test).await;
        for (path, cause) in [
            (&beyond, "named_key_limits.requests_per_day: is more than `limits.requests_per_day`, 10"),
            (&past, "expires_at: must be in the future"),
            (&model, "allowed_models[0]: model `gpt-4o` does not exist"),
        ] {
            let failed = approve(&test, path).await.expect(StatusCode::OK);
            assert_eq!((&failed["status"], &failed["version"]), (&json!("failed"), &Value::Null));
            assert!(failed["comment"].as_str().unwrap().starts_with(cause), "{failed}");
            assert_eq!(approve(&test, path).await.refused(409).0, "not_pending", "failed is final");
        }
        assert_eq!(desk.now(&test).await, before);
    }
}

on_both! {
    async fn a_requester_who_lost_access_gets_nothing(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let path = desk.ask_tags(&test, &["x"]).await;
        edit(&test, &desk.app, |settings| settings.self_service.access.settings_request = Rule::default()).await;
        assert_eq!(approve(&test, &path).await.refused(409).0, "requester_lost_access");
        edit(&test, &desk.app, |settings| settings.self_service.access.viewer = everyone()).await;
        assert_eq!(approve(&test, &path).await.refused(409).0, "requester_lost_access", "to see it is not enough");
        edit(&test, &desk.app, |settings| settings.self_service.access.settings_request = everyone()).await;
        test.sql(&[format!("UPDATE users SET deactivated_at = 1 WHERE id = '{}'", desk.alice)]).await;
        assert_eq!(approve(&test, &path).await.refused(409).0, "requester_lost_access");
        assert_eq!(status(&test, &path).await, "pending");
        reject(&test, &path).await.expect(StatusCode::OK);
        assert_eq!(desk.now(&test).await["tags"], json!([]));
    }
}

on_both! {
    async fn a_requester_withdraws_and_asks_anew(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let path = desk.ask_tags(&test, &["x"]).await;
        let withdrawn = test.with(&desk.token, "POST", &format!("/me{path}/withdraw"), None).await.expect(StatusCode::OK);
        assert_eq!(withdrawn["status"], "withdrawn");
        assert_eq!(approve(&test, &path).await.refused(409).0, "not_pending");
        let again = desk.ask_tags(&test, &["x"]).await;
        assert_ne!(again, path);
        assert_eq!(approve(&test, &again).await.expect(StatusCode::OK)["status"], "approved");
    }
}

on_both! {
    async fn a_creation_that_is_sent_twice_asks_once(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let body = json!({"kind": "set_tags", "edit": {"tags": ["x"]}, "reason": "r"});
        let send = async || {
            let mut request = test.request("POST", &format!("/me/apps/{}/change-requests", desk.app), Some(&body));
            let headers = request.headers_mut();
            headers.insert("authorization", format!("Bearer {}", desk.token).parse().unwrap());
            headers.insert("idempotency-key", "once".parse().unwrap());
            id(&test.send(request).await.expect(StatusCode::CREATED))
        };
        assert_eq!(send().await, send().await);
        assert_eq!(test.get("/change-requests").await.expect(StatusCode::OK)["pending"], 1);
    }
}

on_both! {
    async fn each_step_is_an_event_and_an_audit_entry(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let approved = desk.ask_tags(&test, &["x"]).await;
        approve(&test, &approved).await.expect(StatusCode::OK);
        let rejected = desk.ask_tags(&test, &["y"]).await;
        reject(&test, &rejected).await.expect(StatusCode::OK);
        let stale = desk.ask_tags(&test, &["z"]).await;
        test.patch(&desk.path, json!({"tags": []})).await.expect(StatusCode::OK);
        assert_eq!(status(&test, &stale).await, "stale");
        let withdrawn = desk.ask_tags(&test, &["z"]).await;
        test.with(&desk.token, "POST", &format!("/me{withdrawn}/withdraw"), None).await.expect(StatusCode::OK);
        let expected = [
            "change_request.withdrawn", "change_request.submitted", "change_request.stale", "change_request.submitted",
            "change_request.rejected", "change_request.submitted", "change_request.approved", "change_request.submitted",
        ];
        let events = test.get("/events").await.expect(StatusCode::OK);
        let kinds = events["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap());
        let kinds: Vec<_> = kinds.filter(|kind| kind.starts_with("change_request.")).collect();
        assert_eq!(kinds, expected);
        assert_eq!(events["items"][0]["app_id"], json!(desk.app));
        let audit = test.column("SELECT action FROM audit WHERE subject_kind = 'change_request' ORDER BY number DESC").await;
        assert_eq!(audit, expected);
        let apps = test.column("SELECT action FROM audit WHERE action = 'app.updated'").await;
        assert_eq!(apps.len(), 2, "an edit and an approval");
    }
}
