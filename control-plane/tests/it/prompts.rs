use axum::http::StatusCode;
use latchkey_discovery::source::From;
use latchkey_proto::discovery::Prompts;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

async fn operations(test: &Test, app: &str) -> Vec<String> {
    let page = test.get(&format!("/apps/{app}/versions")).await.expect(StatusCode::OK);
    let word = |version: &Value| version["operation"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(word).collect()
}

async fn put(test: &Test, path: &str, body: Value) -> crate::support::Answer {
    test.send(test.request("PUT", path, Some(&body))).await
}

/// What gateways get of the only app.
async fn shipped(test: &Test) -> Option<Prompts> {
    let batch = test.store.feed_batch(From::Everything, None, 100).await.unwrap();
    batch.apps.into_iter().next().unwrap().prompts
}

/// The numbers of the versions, and the labels.
fn versions(prompt: &Value) -> (Vec<u64>, &Value) {
    let numbers = prompt["versions"].as_array().unwrap().iter().map(|it| it["version"].as_u64().unwrap());
    (numbers.collect(), &prompt["labels"])
}

on_both! {
    async fn prompts_are_added_and_removed_one_by_one(test: Test) {
        let app = id(&test.app(json!({})).await);
        let path = format!("/apps/{app}/prompts");
        for name in ["tone/formal", "greeting"] {
            let made = test.post(&path, json!({"name": name, "text": "Hello"})).await.expect(StatusCode::CREATED);
            assert_eq!(made, json!({"name": name, "text": "Hello", "version": 1, "labels": {},
                "versions": [{"version": 1, "text": "Hello", "variables": []}]}));
        }
        let again = test.post(&path, json!({"name": "Greeting", "text": "x"})).await;
        assert_eq!(again.refused(422), pair("invalid", "name"));
        for (body, wrong) in [
            (json!({"name": "x", "text": ""}), "text"),
            (json!({"name": "two words", "text": "x"}), "name"),
            (json!({"name": "x}}", "text": "x"}), "name"),
            (json!({"name": "x", "text": "x", "labels": ["v2"]}), "labels[0]"),
        ] {
            assert_eq!(test.post(&path, body).await.refused(422), pair("invalid", wrong));
        }
        let list = test.get(&path).await.expect(StatusCode::OK);
        let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|prompt| &prompt["name"]).collect();
        assert_eq!(names, ["greeting", "tone/formal"]);
        let one = format!("{path}/tone%2Fformal");
        assert_eq!(test.get(&one).await.expect(StatusCode::OK)["text"], "Hello");
        assert_eq!(test.delete(&one).await.status, StatusCode::NO_CONTENT);
        assert_eq!(test.delete(&one).await.refused(404).0, "not_found");
        assert_eq!(test.get(&one).await.refused(404).0, "not_found");
        let expected = ["prompt_store_delete", "prompt_store_create", "prompt_store_create", "create"];
        assert_eq!(operations(&test, &app).await, expected);
        let version = test.get(&format!("/apps/{app}/versions/4")).await.expect(StatusCode::OK);
        assert_eq!(version["changes"], json!([{"path": "prompts.tone/formal", "before": {"text": "Hello"}}]));
    }
}

on_both! {
    async fn another_text_is_another_version_and_labels_move(test: Test) {
        let app = id(&test.app(json!({})).await);
        let path = format!("/apps/{app}/prompts");
        let new = json!({"name": "hi", "text": "Hello {{name}}", "labels": ["production"]});
        test.post(&path, new).await.expect(StatusCode::CREATED);
        let one = format!("{path}/hi");
        let second = json!({"text": "Hi {{ name }}, {{city}}"});
        let made = test.post(&format!("{one}/versions"), second.clone()).await.expect(StatusCode::CREATED);
        assert_eq!(versions(&made), (vec![2, 1], &json!({"production": 1})));
        assert_eq!(made["versions"][0]["variables"], json!(["city", "name"]));
        assert_eq!(test.post(&format!("{one}/versions"), second).await.refused(422), pair("invalid", "text"));
        let label = format!("{one}/labels/production");
        let moved = put(&test, &label, json!({"version": 2})).await.expect(StatusCode::OK);
        assert_eq!(moved["labels"], json!({"production": 2}));
        assert_eq!(put(&test, &label, json!({"version": 3})).await.refused(422), pair("invalid", "version"));
        let bad = put(&test, &format!("{one}/labels/v1"), json!({"version": 1})).await;
        assert_eq!(bad.refused(422), pair("invalid", "label"));
        let third = json!({"text": "Bye", "labels": ["production", "staging"]});
        let made = test.post(&format!("{one}/versions"), third).await.expect(StatusCode::CREATED);
        assert_eq!(versions(&made), (vec![3, 2, 1], &json!({"production": 3, "staging": 3})));
        assert_eq!(test.delete(&format!("{one}/labels/staging")).await.status, StatusCode::NO_CONTENT);
        assert_eq!(test.delete(&format!("{one}/labels/staging")).await.refused(404).0, "not_found");
        assert!(operations(&test, &app).await.iter().all(|word| word != "prompt_store_delete"));
        let wire = shipped(&test).await.unwrap();
        let numbers: Vec<_> = wire.prompts[0].versions.iter().map(|it| (it.number, it.text.as_str())).collect();
        assert_eq!(numbers, [(3, "Bye"), (2, "Hi {{ name }}, {{city}}"), (1, "Hello {{name}}")]);
        assert_eq!((wire.prompts[0].labels[0].name.as_str(), wire.prompts[0].labels[0].version), ("production", 3));
        assert!(!wire.required);
    }
}

on_both! {
    async fn a_rollback_is_a_new_version_and_no_number_has_two_texts(test: Test) {
        let app = id(&test.app(json!({})).await);
        let path = format!("/apps/{app}/prompts");
        test.post(&path, json!({"name": "hi", "text": "one", "labels": ["production"]})).await.expect(StatusCode::CREATED);
        test.post(&format!("{path}/hi/versions"), json!({"text": "two", "labels": ["production"]})).await.expect(StatusCode::CREATED);
        test.act(&format!("/apps/{app}/versions/2/rollback")).await.expect(StatusCode::OK);
        let now = test.get(&format!("{path}/hi")).await.expect(StatusCode::OK);
        assert_eq!((now["text"].as_str(), versions(&now)), (Some("one"), (vec![3, 2, 1], &json!({"production": 1}))));
        test.act(&format!("/apps/{app}/versions/1/rollback")).await.expect(StatusCode::OK);
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["items"], json!([]));
        test.act(&format!("/apps/{app}/versions/3/rollback")).await.expect(StatusCode::OK);
        let back = test.get(&format!("{path}/hi")).await.expect(StatusCode::OK);
        assert_eq!(versions(&back), (vec![2, 1], &json!({"production": 2})));
    }
}

on_both! {
    async fn an_app_may_require_prompts(test: Test) {
        let app = test.app(json!({"prompt_required": true})).await;
        assert_eq!(app["prompt_required"], true);
        assert!(shipped(&test).await.unwrap().required);
        let path = format!("/apps/{}", id(&app));
        let now = test.patch(&path, json!({"prompt_required": false})).await.expect(StatusCode::OK);
        assert_eq!(now["prompt_required"], false);
        assert!(shipped(&test).await.is_none());
    }
}

on_both! {
    async fn a_record_names_prompts(test: Test) {
        test.insert("records", json!({"request_id": "r1", "prompts": r#"["hi@v2","tone@v1"]"#})).await;
        test.insert("records", json!({"request_id": "r2"})).await;
        let of = async |request: &str| {
            let page = test.get(&format!("/logs?request_id={request}")).await.expect(StatusCode::OK);
            page["items"][0]["prompts"].clone()
        };
        assert_eq!((of("r1").await, of("r2").await), (json!(["hi@v2", "tone@v1"]), json!([])));
    }
}

mod prompts_from_before_versions_reach_gateways_as_the_first {
    use sqlx::Connection as _;
    use sqlx::migrate::Migrator;

    use super::*;

    static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
    static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

    async fn run(url: String, migrator: &Migrator, files: tempfile::TempDir) {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
        migrator.run_to(16, &mut connection).await.unwrap();
        let ids = ["01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"];
        let own = r#"{"prompts":[{"name":"an old name","text":"Hello"}]}"#;
        for (app, settings) in ids.into_iter().zip([own, r#"{"prompts":[]}"#]) {
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "INSERT INTO apps (id, name, status, settings, created_at, updated_at, revision, search_text)
                 VALUES ('{app}', 'Old', 'active', '{settings}', 1, 2, 0, 'old')"
            )))
            .execute(&mut connection)
            .await
            .unwrap();
        }
        connection.close().await.unwrap();
        let test = Test::on(&url, files).await;
        let changed = test.store.feed_batch(From::After(0), None, 100).await.unwrap();
        let prompts: Vec<_> = changed.apps.iter().map(|app| app.prompts.clone().unwrap().prompts).collect();
        assert_eq!(prompts.len(), 1, "only those with prompts");
        assert_eq!((prompts[0][0].id.as_str(), prompts[0][0].versions[0].number), ("an old name", 1));
        let path = format!("/apps/{}", ids[0]);
        test.patch(&path, json!({"tags": ["x"]})).await.expect(StatusCode::OK);
        let more =
            test.post(&format!("{path}/prompts/an%20old%20name/versions"), json!({"text": "Hi"})).await;
        assert_eq!(versions(&more.expect(StatusCode::CREATED)).0, [2, 1]);
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
