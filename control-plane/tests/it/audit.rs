use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::chain::{Anchor, ChainFault};
use latchkey_service::audit::{Verdict, verify, verify_export};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{START_MS, Test, id, on_both};

/// The entries that a query finds, newest first.
async fn found(test: &Test, query: &str) -> Vec<Value> {
    let page = test.get(&format!("/audit{query}")).await.expect(StatusCode::OK);
    page["items"].as_array().unwrap().clone()
}

async fn actions(test: &Test, query: &str) -> Vec<String> {
    found(test, query).await.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

async fn export(test: &Test, query: &str) -> String {
    let request = test.request("GET", &format!("/audit/export{query}"), None);
    let response = test.router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn check(export: &str, anchor: Option<Anchor>) -> Verdict {
    verify_export(export.lines().map(|line| Ok(line.to_owned())), anchor).unwrap()
}

async fn newest(test: &Test) -> Anchor {
    match verify(&test.store, None).await.unwrap() {
        Verdict::Whole(newest) => newest,
        broken => panic!("{broken:?}"),
    }
}

/// What is wrong after `statement` was run past the program.
async fn fault_after(test: &Test, statement: &str) -> ChainFault {
    test.sql(&[statement.to_owned()]).await;
    match verify(&test.store, None).await.unwrap() {
        Verdict::Broken { fault, .. } => fault,
        whole => panic!("{statement}: {whole:?}"),
    }
}

on_both! {
    async fn what_is_done_to_an_app_and_its_keys_is_told_without_values(test: Test) {
        let app = test.app(json!({"keep_key_values": true})).await;
        let path = format!("/apps/{}", id(&app));
        let edit = json!({"name": "Help Bot", "mode": "named", "metadata": {"secret": "s3cr3t"},
            "limits": {"requests_per_minute": 7, "budget": {"usd": "10", "per": "month"}}});
        test.patch(&path, edit.clone()).await.expect(StatusCode::OK);
        test.patch(&path, edit).await.expect(StatusCode::OK);
        let key = test.named_key(&app).await;
        let key_path = format!("{path}/keys/{}", id(&key));
        test.patch(&key_path, json!({"name": "desk", "limits": {"requests_per_minute": 5}})).await.expect(StatusCode::OK);
        test.get(&format!("{key_path}/value")).await.expect(StatusCode::OK);
        test.get(&format!("{path}/key/value")).await.expect(StatusCode::OK);
        test.post(&format!("{key_path}/rotate"), json!({"grace_seconds": 60})).await.expect(StatusCode::OK);
        test.act(&format!("{path}/key/rotate")).await.expect(StatusCode::OK);
        for verb in ["deactivate", "deactivate", "activate", "revoke"] {
            test.act(&format!("{key_path}/{verb}")).await.expect(StatusCode::OK);
        }
        for verb in ["deactivate", "activate", "revoke"] {
            test.act(&format!("{path}/{verb}")).await.expect(StatusCode::OK);
        }
        test.delete(&path).await.expect(StatusCode::OK);

        let told = found(&test, &format!("?app_id={}", id(&app))).await;
        let story = told.iter().rev().map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap().to_owned();
            let mut data = entry["data"].clone();
            data.as_object_mut().unwrap().remove("user_id");
            format!("{} {}: {data}", text("action"), text("subject_name"))
        });
        assert_eq!(story.collect::<Vec<_>>(), [
            r#"app.created Support Bot: {"mode":"shared"}"#,
            r#"key.created Support Bot: {"of":"app"}"#,
            r#"app.updated Help Bot: {"changed":["limits.budget","limits.requests_per_minute","metadata.secret","mode","name"],"operation":"update_config","version":2}"#,
            r#"app.mode_switched Help Bot: {"from":"shared","to":"named"}"#,
            r#"key.created Alice local dev: {"expires_at":null,"of":"user"}"#,
            r#"key.updated desk: {"changed":["limits","name"],"of":"user"}"#,
            r#"key.value_shown desk: {"of":"user"}"#,
            r#"key.value_shown Support Bot: {"of":"app"}"#,
            r#"key.rotated desk: {"grace_seconds":60,"of":"user"}"#,
            r#"key.rotated Support Bot: {"grace_seconds":0,"of":"app"}"#,
            r#"key.deactivated desk: {"of":"user"}"#,
            r#"key.activated desk: {"of":"user"}"#,
            r#"key.revoked desk: {"of":"user"}"#,
            r#"app.deactivated Help Bot: {}"#,
            r#"app.activated Help Bot: {}"#,
            r#"app.revoked Help Bot: {}"#,
            r#"app.deleted Help Bot: {}"#,
        ]);
        for entry in &told {
            assert_eq!((&entry["actor_kind"], &entry["actor_name"]), (&json!("token"), &json!("owner")), "{entry}");
            assert_eq!(entry["at"], "2026-01-01T00:00:00Z");
        }
        assert_eq!((&told[0]["subject_kind"], &told[0]["subject_id"]), (&json!("app"), &app["id"]));
        let shown = told.iter().find(|entry| entry["action"] == "key.value_shown" && entry["data"]["of"] == "user").unwrap();
        assert_eq!((&shown["subject_id"], &shown["data"]["user_id"]), (&key["id"], &key["user_id"]));
        let all = export(&test, "").await;
        for secret in ["s3cr3t", app["key"]["value"].as_str().unwrap(), key["value"].as_str().unwrap(), &test.owner] {
            assert!(!all.contains(secret), "{secret}");
        }
    }
}

on_both! {
    async fn what_is_done_to_providers_models_users_and_tokens_is_told(test: Test) {
        test.catalogue().await;
        let model = id(&test.get("/models").await.expect(StatusCode::OK)["items"][0]);
        test.patch("/providers/openai", json!({"credential": "sk-very-secret", "enabled": false})).await.expect(StatusCode::OK);
        test.patch(&format!("/models/{model}"), json!({"price": {"input": "1", "output": "2"}})).await.expect(StatusCode::OK);
        test.delete(&format!("/models/{model}")).await.expect(StatusCode::NO_CONTENT);
        test.delete("/providers/openai").await.expect(StatusCode::NO_CONTENT);
        let user = test.user("alice@acme.com").await;
        test.token_of(&user).await;
        let told = found(&test, "").await;
        let story = told.iter().rev().skip(1).map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap().to_owned();
            let data = entry["data"].to_string().replace(&user, "[alice]");
            format!("{} {}: {data}", text("action"), text("subject_name"))
        });
        assert_eq!(story.collect::<Vec<_>>(), [
            r#"provider.created openai: {"kind":"openai"}"#,
            r#"model.created gpt-4o: {"provider":"openai"}"#,
            r#"provider.updated openai: {"changed":["credential","enabled"]}"#,
            r#"model.updated gpt-4o: {"changed":["price.cache_write_1h","price.cache_write_5m","price.cached_input","price.input","price.output"],"provider":"openai"}"#,
            r#"model.deleted gpt-4o: {"provider":"openai"}"#,
            r#"provider.deleted openai: {}"#,
            r#"user.created alice@acme.com: {"role":"user"}"#,
            r#"token.created owner: {"expires_at":null,"role":"owner","user_id":"[alice]"}"#,
        ]);
        assert!(!export(&test, "").await.contains("sk-very-secret"));
    }
}

on_both! {
    async fn what_was_refused_or_changed_nothing_is_not_told(test: Test) {
        let app = test.app(json!({})).await;
        let before = newest(&test).await;
        test.patch(&format!("/apps/{}", id(&app)), json!({"name": app["name"]})).await.expect(StatusCode::OK);
        test.patch(&format!("/apps/{}", id(&app)), json!({"tags": [""]})).await.refused(422);
        test.act(&format!("/apps/{}/activate", id(&app))).await.expect(StatusCode::OK);
        test.get(&format!("/apps/{}/key/value", id(&app))).await.refused(409);
        test.post("/users", json!({"email": "nobody", "name": "x"})).await.refused(422);
        assert_eq!(newest(&test).await, before);
    }
}

on_both! {
    async fn the_audit_log_is_filtered_newest_first(test: Test) {
        let user = test.user("alice@acme.com").await;
        let alice = test.token_of(&user).await;
        test.sql(&[format!("UPDATE users SET role = 'admin' WHERE id = '{user}'")]).await;
        test.clock.advance(Duration::from_secs(10));
        let app = id(&test.with(&alice, "POST", "/apps", Some(json!({"name": "Bot"}))).await.expect(StatusCode::CREATED));
        test.clock.advance(Duration::from_secs(10));
        test.act(&format!("/apps/{app}/revoke")).await.expect(StatusCode::OK);

        for (query, expected) in [
            (String::new(), vec!["app.revoked", "key.created", "app.created", "token.created", "user.created", "token.created"]),
            (format!("?app_id={app}"), vec!["app.revoked", "key.created", "app.created"]),
            (format!("?actor_id={user}"), vec!["key.created", "app.created"]),
            (format!("?subject_id={app}"), vec!["app.revoked", "app.created"]),
            ("?action=app.created".into(), vec!["app.created"]),
            ("?action=app.".into(), vec!["app.revoked", "app.created"]),
            ("?action=ap.".into(), vec![]),
            ("?action=k_y.".into(), vec![]),
            ("?from=2026-01-01T00:00:10Z&to=2026-01-01T00:00:20Z".into(), vec!["key.created", "app.created"]),
            (format!("?app_id={app}&action=key.&from=2026-01-01T00:00:20Z"), vec![]),
            ("?subject_id=%27+OR+1%3D1".into(), vec![]),
        ] {
            assert_eq!(actions(&test, &query).await, expected, "{query}");
        }
        for wrong in ["?action=", "?action=key", "?action=.", "?action=a.b.c", "?action=%25.", "?app_id=1", "?from=x",
            "?path=x", "?limit=0", "?cursor=AA", "?subject_id=%00"] {
            assert_eq!(test.get(&format!("/audit{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
        let first = test.get("/audit?limit=2").await.expect(StatusCode::OK);
        test.user("bob@acme.com").await;
        let next = format!("?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
        assert_eq!(actions(&test, &next).await, ["app.created", "token.created"]);
        let by = found(&test, "?action=app.created").await;
        assert_eq!((&by[0]["actor_kind"], &by[0]["actor_name"]), (&json!("user"), &json!("alice@acme.com")));
    }
}

on_both! {
    async fn an_export_is_the_chain_and_verifies_on_its_own(test: Test) {
        for i in 0..5 {
            test.user(&format!("u{i}@acme.com")).await;
            test.clock.advance(Duration::from_secs(10));
        }
        let kept = newest(&test).await;
        let all = export(&test, "").await;
        assert_eq!(all.lines().count(), 6);
        let first: Value = serde_json::from_str(all.lines().next().unwrap()).unwrap();
        assert_eq!((&first["number"], &first["at_ms"], &first["previous"]), (&json!(1), &json!(START_MS), &json!("00".repeat(32))));
        assert_eq!(check(&all, Some(kept)), Verdict::Whole(kept));

        let part = export(&test, "?from=2026-01-01T00:00:10Z&to=2026-01-01T00:00:40Z").await;
        assert_eq!(part, all.lines().skip(2).take(3).map(|line| format!("{line}\n")).collect::<String>());
        assert!(matches!(check(&part, None), Verdict::Whole(Anchor { number: 5, .. })));
        assert_eq!(export(&test, "?from=2027-01-01T00:00:00Z").await, "");

        let forged = all.replace("u2@acme.com", "eve@acme.com");
        assert!(matches!(check(&forged, None), Verdict::Broken { fault: ChainFault::Changed { number: 4 }, .. }));
        let cut = all.lines().take(4).map(|line| format!("{line}\n")).collect::<String>();
        let Verdict::Broken { fault, reached } = check(&cut, Some(kept)) else { panic!("the anchor is not in it") };
        assert_eq!((fault, reached.number), (ChainFault::NoAnchor { number: 6, from: 1, to: 4 }, 4));
        assert_eq!(test.get("/audit/export?from=x").await.refused(400).0, "invalid_query");
    }
}

on_both! {
    async fn a_changed_entry_is_found_and_named(test: Test) {
        for i in 0..4 {
            test.user(&format!("u{i}@acme.com")).await;
        }
        newest(&test).await;
        let fault = fault_after(&test, "UPDATE audit SET actor_name = 'eve' WHERE number = 3").await;
        assert_eq!(fault, ChainFault::Changed { number: 3 });
    }
}

on_both! {
    async fn a_missing_entry_is_found_and_named(test: Test) {
        for i in 0..4 {
            test.user(&format!("u{i}@acme.com")).await;
        }
        let fault = fault_after(&test, "DELETE FROM audit WHERE number IN (2, 3)").await;
        assert_eq!(fault, ChainFault::Missing { from: 2, to: 3 });
    }
}

on_both! {
    async fn entries_that_change_places_are_found(test: Test) {
        for i in 0..4 {
            test.user(&format!("u{i}@acme.com")).await;
        }
        test.sql(&["UPDATE audit SET number = 100 WHERE number = 3".to_owned(),
            "UPDATE audit SET number = 3 WHERE number = 4".to_owned()]).await;
        let fault = fault_after(&test, "UPDATE audit SET number = 4 WHERE number = 100").await;
        assert_eq!(fault, ChainFault::Unlinked { number: 3 });
    }
}

on_both! {
    async fn a_cut_off_end_is_found_and_named(test: Test) {
        for i in 0..4 {
            test.user(&format!("u{i}@acme.com")).await;
        }
        assert_eq!(fault_after(&test, "DELETE FROM audit WHERE number > 3").await, ChainFault::CutOff { from: 4, to: 5 });
    }
}

on_both! {
    async fn a_head_that_was_set_back_or_removed_is_found(test: Test) {
        for i in 0..4 {
            test.user(&format!("u{i}@acme.com")).await;
        }
        let kept = newest(&test).await;
        let back = "UPDATE audit_head SET number = 3, hash = (SELECT hash FROM audit WHERE number = 3)";
        assert_eq!(fault_after(&test, back).await, ChainFault::Beyond { last: 5, head: 3 });
        test.sql(&["DELETE FROM audit WHERE number > 3".to_owned()]).await;
        assert!(matches!(verify(&test.store, None).await.unwrap(), Verdict::Whole(Anchor { number: 3, .. })));
        let Verdict::Broken { fault, .. } = verify(&test.store, Some(kept)).await.unwrap() else { panic!("it was cut off") };
        assert_eq!(fault, ChainFault::NoAnchor { number: 5, from: 1, to: 3 });
        assert_eq!(fault_after(&test, "DELETE FROM audit_head").await, ChainFault::NoHead);
    }
}

on_both! {
    async fn entries_put_before_the_first_are_found(test: Test) {
        let put = "INSERT INTO audit SELECT -5, at, actor_kind, actor_id, actor_name, client_address, action, \
                   subject_kind, subject_id, subject_name, app_id, data, previous, hash FROM audit WHERE number = 1";
        assert_eq!(fault_after(&test, put).await, ChainFault::OutOfOrder { number: -5, after: 0 });
    }
}

on_both! {
    async fn the_chain_is_verified_while_entries_are_added_by_many(test: Test) {
        let writers = (0..4).map(|writer| {
            let (store, world) = (test.store.clone(), test.world.clone());
            tokio::spawn(async move {
                for i in 0..25 {
                    let mut tx = store.begin().await.unwrap();
                    let actor = latchkey_core::actor::Actor::system("test");
                    let by = latchkey_service::action::By { actor: &actor, world: &world };
                    let email = format!("w{writer}-{i}@acme.com").try_into().unwrap();
                    let name = "x".to_owned().try_into().unwrap();
                    let role = latchkey_core::role::Role::User;
                    latchkey_service::action::users::create(&mut tx, by, email, name, role).await.unwrap();
                    tx.commit().await.unwrap();
                }
            })
        });
        let mut writers: Vec<_> = writers.collect();
        while let Some(writer) = writers.pop() {
            while !writer.is_finished() {
                newest(&test).await;
            }
            writer.await.unwrap();
        }
        assert_eq!(newest(&test).await.number, 101);
    }
}
