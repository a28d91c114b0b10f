//! A database that is read-only, or gone, for a while.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use latchkey_store::Backend;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::{Answer, Test, id, on_both};

async fn ready(test: &Test) -> u16 {
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    test.status(request).await.0
}

/// Tries for some seconds.
pub async fn until(mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came to that");
}

fn unavailable(answer: Answer) -> String {
    let detail = answer.json["detail"].as_str().unwrap_or_default().to_owned();
    assert_eq!(answer.refused(503).0, "database_unavailable");
    detail
}

on_both! {
    async fn readiness_writes(test: Test) {
        assert_eq!(ready(&test).await, 200);
        test.sql(&["DROP TABLE probe".to_owned()]).await;
        until(async || ready(&test).await == 503).await;
    }
}

on_both! {
    async fn all_who_ask_of_a_locked_database_hear_at_once_that_it_is_busy(test: Test) {
        let mut other = sqlx::AnyConnection::connect(&test.url).await.unwrap();
        let lock = match test.store.backend() {
            Backend::Sqlite => "BEGIN IMMEDIATE",
            Backend::Postgres => "BEGIN; LOCK TABLE probe IN ACCESS EXCLUSIVE MODE",
        };
        sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
        let begun = Instant::now();
        // The first of them leaves before it is answered.
        let leaving = tokio::time::timeout(Duration::from_millis(100), ready(&test));
        let asking = (0..6).map(|_| test.send(Request::get("/readyz").body(Body::empty()).unwrap()));
        let (left, answers) = tokio::join!(leaving, futures::future::join_all(asking));
        assert!(left.is_err());
        for answer in answers {
            assert_eq!((answer.status.as_u16(), &answer.json["detail"]), (503, &json!("the database is busy")));
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        other.close().await.unwrap();
        until(async || ready(&test).await == 200).await;
    }
}

on_both! {
    /// Their connection must not go back to the pool within a transaction, nor hold its locks.
    async fn clients_that_leave_amid_a_change_leave_nothing_behind(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let user = test.user("alice@acme.com").await;
        let path = format!("/apps/{}/keys", id(&app));
        for round in 0..60_u64 {
            let body = json!({"user_id": user, "name": format!("{round}")});
            let leaving = tokio::time::timeout(Duration::from_micros(round * 150), test.post(&path, body));
            drop(leaving.await);
        }
        let body = json!({"user_id": user, "name": "whole"});
        let key = test.post(&path, body).await.expect(StatusCode::CREATED);
        let keys = test.get(&format!("{path}?limit=200")).await.expect(StatusCode::OK);
        let keys: Vec<Value> = keys["items"].as_array().unwrap().clone();
        assert!(keys.iter().any(|other| other["id"] == key["id"]));
        // Each that is there is whole: its creation is audited.
        for key in keys {
            assert_eq!(test.audited_of(&id(&key)).await, ["key.created"]);
        }
        assert_eq!(ready(&test).await, 200);
    }
}

#[tokio::test]
async fn a_postgresql_that_is_read_only_or_restarts_passes() {
    let test = Test::postgres().await;
    let name = test.column("SELECT current_database()::text").await.remove(0);
    let kick = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for setting in ["on", "off", "on", "off"] {
        let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {setting}");
        let write = "SET default_transaction_read_only = off";
        test.sql(&[write.to_owned(), alter, kick.to_owned()]).await;
        if setting == "on" {
            until(async || {
                let answer = test.post("/apps", json!({"name": "x"})).await;
                unavailable(answer).contains("read-only")
            })
            .await;
            until(async || ready(&test).await == 503).await;
            test.get("/apps").await.expect(StatusCode::OK);
        } else {
            until(async || test.post("/apps", json!({"name": "x"})).await.status == StatusCode::CREATED)
                .await;
            until(async || ready(&test).await == 200).await;
        }
    }
}
