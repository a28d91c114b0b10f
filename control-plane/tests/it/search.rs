//! Names are found whatever their case, in every language, alike on both databases.

use axum::http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both};

/// Names, and how people may type them.
const TYPED: [(&str, &[&str]); 7] = [
    ("Übersetzer", &["übersetzer", "Übersetzer", "ÜBER", "U\u{308}ber", "setz"]),
    ("Отдел продаж", &["отдел", "Отдел", "ПРОДАЖ"]),
    ("Émile", &["émile", "ÉMILE", "e\u{301}m"]),
    ("Straße 7", &["STRASSE", "straße", "ße 7"]),
    ("ΟΔΟΣ", &["οδος", "οδοσ", "Οδο"]),
    ("İzmir", &["izmir", "İZM", "IZMIR"]),
    ("100% a_b \\", &["100%", "a_b", "\\", "% A_B"]),
];

impl Test {
    async fn found(&self, path: &str, search: &str) -> Vec<String> {
        self.found_by(&self.owner, path, search).await
    }

    async fn found_by(&self, token: &str, path: &str, search: &str) -> Vec<String> {
        let search = utf8_percent_encode(search, NON_ALPHANUMERIC);
        let page = self.with(token, "GET", &format!("{path}?limit=200&search={search}"), None).await;
        let page = page.expect(StatusCode::OK);
        let name = |item: &Value| {
            let name = item["name"].as_str().or(item["app_name"].as_str()).or(item["user"]["name"].as_str());
            name.unwrap_or_default().to_owned()
        };
        page["items"].as_array().unwrap().iter().map(name).collect()
    }
}

on_both! {
    async fn names_are_found_wherever_one_searches(test: Test) {
        let group = test.group("Übung", &[]).await;
        let mut host = Value::Null;
        let searcher = test.user("searcher@acme.com").await;
        let token = test.token_of(&searcher).await;
        for (n, (name, _)) in TYPED.iter().enumerate() {
            let app = test.app(json!({"name": name, "mode": "named"})).await;
            let viewer = json!({"mode": "specific", "allow": {"users": [searcher], "groups": [group]}});
            test.self_service(&app, json!({"access": {"viewer": viewer}})).await;
            if n == 0 {
                host = app;
            }
            let user = json!({"email": format!("u{n}@acme.com"), "name": name});
            let user = id(&test.post("/users", user).await.expect(StatusCode::CREATED));
            let members = json!({"users": [user]});
            test.post(&format!("/groups/{group}/members"), members).await.expect(StatusCode::OK);
            let key = json!({"user_id": searcher, "name": name});
            test.post(&format!("/apps/{}/keys", id(&host)), key).await.expect(StatusCode::CREATED);
            test.post("/tokens", json!({"name": name, "role": "admin"})).await.expect(StatusCode::CREATED);
            test.post("/groups", json!({"name": name})).await.expect(StatusCode::CREATED);
        }
        for (name, typed) in TYPED {
            for search in typed {
                let expected = [name.to_owned()];
                for path in [
                    "/apps".to_owned(),
                    format!("/apps/{}/keys", id(&host)),
                    "/users".to_owned(),
                    "/tokens".to_owned(),
                    "/groups".to_owned(),
                    format!("/groups/{group}/members"),
                    format!("/groups/{group}/uses"),
                    format!("/users/{searcher}/keys"),
                ] {
                    assert_eq!(test.found(&path, search).await, expected, "{path} {search}");
                }
                let query = utf8_percent_encode(search, NON_ALPHANUMERIC);
                let people = format!("/apps/{}/access/people?capability=viewer&search={query}", id(&host));
                let people = test.get(&people).await.expect(StatusCode::OK);
                assert_eq!(people["items"].as_array().unwrap().len(), 1, "{search}: {people:#}");
                assert_eq!(test.found_by(&token, "/me/apps", search).await, expected, "{search}");
            }
        }
        assert_eq!(test.found("/users", "U3@ACME").await, ["Straße 7"], "by the address");
    }
}

on_both! {
    async fn a_new_name_is_found_and_the_old_one_no_longer(test: Test) {
        let app = test.app(json!({"name": "Über"})).await;
        test.patch(&format!("/apps/{}", id(&app)), json!({"name": "Émile"})).await.expect(StatusCode::OK);
        let user = test.user("ana@acme.com").await;
        test.patch(&format!("/users/{user}"), json!({"name": "Ángela"})).await.expect(StatusCode::OK);
        let group = test.group("Über", &[]).await;
        test.patch(&format!("/groups/{group}"), json!({"name": "Émile"})).await.expect(StatusCode::OK);
        for path in ["/apps", "/groups"] {
            assert_eq!(test.found(path, "ÜBER").await, [""; 0], "{path}");
            assert_eq!(test.found(path, "ÉMILE").await, ["Émile"], "{path}");
        }
        assert_eq!(test.found("/users", "ÁNGELA").await, ["Ángela"]);
        assert_eq!(test.found("/users", "ana@ac").await, ["Ángela"]);
    }
}

#[tokio::test]
async fn random_names_are_found_alike_on_both_databases() {
    let (sqlite, postgres) = (Test::sqlite().await, Test::postgres().await);
    let mut runner = TestRunner::deterministic();
    let strategy = "[\\PC&&[^\\p{Cf}]]{1,12}".prop_filter("a name", |name| name.trim() == name);
    let names = (0..60).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect::<Vec<_>>();
    for test in [&sqlite, &postgres] {
        for name in &names {
            test.app(json!({"name": name})).await;
        }
    }
    for name in &names {
        let inner: String = name.chars().skip(1).take(3).collect();
        for search in [name.to_lowercase(), name.to_uppercase(), name.clone(), inner] {
            let mut found = sqlite.found("/apps", &search).await;
            let mut also = postgres.found("/apps", &search).await;
            found.sort();
            also.sort();
            assert_eq!(found, also, "{search:?}");
            assert!(search.chars().count() < 4 || found.contains(name), "{name:?} by {search:?}");
        }
    }
}

mod names_that_were_there_before_are_found {
    use sqlx::Connection as _;
    use sqlx::migrate::Migrator;

    use super::*;

    static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
    static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

    async fn run(url: String, migrator: &Migrator, files: tempfile::TempDir) {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
        migrator.run_to(9, &mut connection).await.unwrap();
        for (n, name) in ["Отдел", "Old Bot"].iter().enumerate() {
            let insert = format!(
                "INSERT INTO users (id, email, name, role, created_at)
                 VALUES ('01890000-0000-7000-8000-00000000000{n}', 'u{n}@acme.com', '{name}', 'user', 1)"
            );
            sqlx::query(sqlx::AssertSqlSafe(insert)).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        let test = Test::on(&url, files).await;
        for (search, found) in
            [("отд", "Отдел"), ("OLD", "Old Bot"), ("u0@", "Отдел"), ("u1@acme", "Old Bot")]
        {
            assert_eq!(test.found("/users", search).await, [found], "{search}");
        }
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
