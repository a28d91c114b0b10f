use axum::http::StatusCode;
use latchkey_discovery::source::{Batch, From, Position};
use latchkey_proto::discovery::{KeyRecord, Status};
use latchkey_proto::key::KeyHash;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both};

/// Everything that a gateway would be sent, in batches of `limit`.
async fn read(test: &Test, from: From, limit: usize) -> Batch<()> {
    let mut all = Batch::default();
    let mut cursor = None;
    loop {
        let batch = test.store.page(from, cursor, limit).await.unwrap();
        let resources = batch.apps.len()
            + batch.keys.len()
            + batch.removed_apps.len()
            + batch.removed_keys.len()
            + usize::from(batch.catalogue.is_some());
        assert!(resources <= limit, "{resources} resources in a batch of {limit}");
        all.catalogue = all.catalogue.or(batch.catalogue);
        all.apps.extend(batch.apps);
        all.keys.extend(batch.keys);
        all.removed_keys.extend(batch.removed_keys);
        all.removed_apps.extend(batch.removed_apps);
        cursor = batch.next;
        if cursor.is_none() {
            return all;
        }
    }
}

async fn head(test: &Test) -> Position {
    test.store.head().await.unwrap().position
}

fn hash_of(value: &Value) -> KeyHash {
    KeyHash::of(value.as_str().unwrap())
}

fn record<'a>(batch: &'a Batch<()>, value: &Value) -> &'a KeyRecord {
    let hash = hash_of(value);
    batch.keys.iter().find(|key| key.hash == hash.as_bytes()).expect("the key is there")
}

on_both! {
    async fn everything_arrives_once_in_bounded_batches(test: Test) {
        test.catalogue().await;
        let mut values = Vec::new();
        for _ in 0..7 {
            let app = test.app(json!({"mode": "named"})).await;
            values.push(app["key"]["value"].clone());
            values.push(test.named_key(&app).await["value"].clone());
        }
        for limit in [4, 5, 7, 1000] {
            let all = read(&test, From::Everything, limit).await;
            assert_eq!((all.apps.len(), all.keys.len()), (7, 14), "limit {limit}");
            assert_eq!(all.catalogue.as_ref().unwrap().models[0].name, "gpt-4o");
            for value in &values {
                assert_eq!(record(&all, value).status, i32::from(Status::Active));
            }
        }
    }
}

on_both! {
    async fn after_a_revision_only_what_changed_arrives(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({"mode": "named"})).await;
        let (kept, revoked) = (test.named_key(&app).await, test.named_key(&app).await);
        let before = head(&test).await;
        assert_eq!(read(&test, From::After(before.revision), 10).await, Batch::default());
        test.act(&format!("/apps/{}/keys/{}/revoke", id(&app), id(&revoked))).await.expect(StatusCode::OK);
        let changes = read(&test, From::After(before.revision), 10).await;
        assert_eq!(changes.keys.len(), 1);
        assert_eq!(record(&changes, &revoked["value"]).status, i32::from(Status::Revoked));
        assert_eq!((changes.apps.len(), changes.catalogue), (0, None));
        let _ = kept;
    }
}

on_both! {
    async fn a_rotation_sends_both_secrets_and_the_next_removes_the_oldest(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}/key/rotate", id(&app));
        let second = test.post(&path, json!({"grace_seconds": 60})).await.expect(StatusCode::OK);
        let all = read(&test, From::Everything, 10).await;
        let old = record(&all, &app["key"]["value"]);
        assert_eq!(old.retires_at_ms, crate::support::START_MS + 60_000);
        assert_eq!(record(&all, &second["key"]["value"]).retires_at_ms, 0);
        let before = head(&test).await;
        let third = test.act(&path).await.expect(StatusCode::OK);
        let changes = read(&test, From::After(before.revision), 10).await;
        assert_eq!(changes.removed_keys, [hash_of(&app["key"]["value"])]);
        assert_eq!(record(&changes, &second["key"]["value"]).retires_at_ms, 1);
        assert_eq!(record(&changes, &third["key"]["value"]).retires_at_ms, 0);
        let everything = read(&test, From::Everything, 10).await;
        assert_eq!((everything.keys.len(), everything.removed_keys.len()), (2, 0));
    }
}

on_both! {
    async fn a_deleted_app_is_removed_and_its_keys_arrive_revoked(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&app).await;
        let before = head(&test).await;
        test.delete(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        let changes = read(&test, From::After(before.revision), 10).await;
        assert_eq!(changes.removed_apps.iter().map(ToString::to_string).collect::<Vec<_>>(), [id(&app)]);
        assert_eq!(record(&changes, &key["value"]).status, i32::from(Status::Revoked));
        assert!(changes.apps.is_empty());
    }
}

on_both! {
    async fn a_disabled_provider_takes_its_models_along(test: Test) {
        test.catalogue().await;
        let before = head(&test).await;
        test.patch("/providers/openai", json!({"enabled": false})).await.expect(StatusCode::OK);
        let catalogue = read(&test, From::After(before.revision), 10).await.catalogue.unwrap();
        assert!(catalogue.providers.is_empty() && catalogue.models.is_empty());
    }
}

on_both! {
    async fn only_a_point_of_this_history_can_be_resumed(test: Test) {
        test.app(json!({})).await;
        let known = head(&test).await;
        assert!(test.store.was(&known).await.unwrap());
        let forged = Position { tag: [0; 16], ..known };
        assert!(!test.store.was(&forged).await.unwrap());
        assert!(!test.store.was(&Position { revision: known.revision + 1, ..known }).await.unwrap());
        assert!(!test.store.was(&Position { revision: u64::MAX, ..known }).await.unwrap());
        for _ in 0..3 {
            test.app(json!({})).await;
        }
        assert_eq!(test.store.forget_revisions(2).await.unwrap(), 2);
        assert!(!test.store.was(&known).await.unwrap(), "too old to resume");
        assert!(test.store.was(&head(&test).await).await.unwrap());
    }
}

on_both! {
    async fn revisions_are_committed_in_order_under_concurrency(test: Test) {
        let test = std::sync::Arc::new(test);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let test = std::sync::Arc::clone(&test);
            tasks.spawn(async move {
                for _ in 0..5 {
                    test.app(json!({})).await;
                }
            });
        }
        // A reader that follows the head must never miss an app that was committed below it.
        let mut seen = std::collections::HashSet::new();
        let mut last = 0;
        while !tasks.is_empty() {
            let next = head(&test).await.revision;
            for app in read(&test, From::After(last), 10).await.apps {
                seen.insert(app.id);
            }
            last = next;
            while let Some(done) = tasks.try_join_next() {
                done.unwrap();
            }
        }
        for app in read(&test, From::After(last), 10).await.apps {
            seen.insert(app.id);
        }
        assert_eq!(seen.len(), 40);
        assert_eq!(head(&test).await.revision, 40);
    }
}

on_both! {
    async fn a_transaction_that_fails_publishes_nothing(test: Test) {
        let before = head(&test).await;
        let mut tx = test.store.begin().await.unwrap();
        tx.revision(&test.world).await.unwrap();
        drop(tx);
        assert_eq!(head(&test).await, before);
    }
}
