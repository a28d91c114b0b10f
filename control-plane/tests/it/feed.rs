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
        let batch = test.store.feed_batch(from, cursor, limit).await.unwrap();
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

on_both! {
    async fn a_damaged_app_is_sent_as_one_to_refuse_and_holds_up_nothing(test: Test) {
        let (app, other) = (test.app(json!({})).await, test.app(json!({})).await);
        test.damage_app(&id(&app)).await;
        let all = read(&test, From::Everything, 10).await;
        let status = |app: &Value| {
            all.apps.iter().find(|policy| policy.id == id(app).parse::<uuid::Uuid>().unwrap().as_bytes()).unwrap().status
        };
        assert_eq!(status(&app), i32::from(Status::Unspecified));
        assert_eq!(status(&other), i32::from(Status::Active));
        assert_eq!(all.keys.len(), 2);
    }
}

on_both! {
    async fn a_batch_is_bounded_in_bytes(test: Test) {
        let name = "m".repeat(190);
        let models: Vec<_> = (0..1000).map(|i| format!("{name}{i}*")).collect();
        for _ in 0..8 {
            test.app(json!({"allowed_models": models})).await;
        }
        let first = test.store.feed_batch(From::Everything, None, 1000).await.unwrap();
        assert!(first.apps.len() < 8 && first.next.is_some(), "{} apps at once", first.apps.len());
        assert_eq!(read(&test, From::Everything, 1000).await.apps.len(), 8);
    }
}

on_both! {
    async fn a_replaced_history_is_noticed_while_it_runs(test: Test) {
        use latchkey::feed::Feed;
        use latchkey_discovery::source::Source as _;

        test.app(json!({})).await;
        let feed = Feed::open(test.store.clone(), test.api.master.clone(), String::new(), Default::default()).await.unwrap();
        let (history, mut catalogue) = (feed.history(), 0);
        test.app(json!({})).await;
        feed.publish(&mut catalogue).await.unwrap();
        assert_eq!((*history.borrow(), *feed.head().borrow()), (0, head(&test).await), "an ordinary change");
        test.lose_last_revision().await;
        feed.publish(&mut catalogue).await.unwrap();
        assert_eq!((*history.borrow(), *feed.head().borrow()), (1, head(&test).await));
    }
}

on_both! {
    async fn a_credential_that_does_not_open_costs_its_provider_only(test: Test) {
        use latchkey::feed::Feed;
        use latchkey_discovery::source::Source as _;

        for (name, credential) in [("good", json!(null)), ("bad", json!("sk-1"))] {
            let body = json!({"name": name, "kind": "openai", "base_url": "https://x.com", "credential": credential});
            test.post("/providers", body).await.expect(StatusCode::CREATED);
        }
        let other = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned().into();
        let other = latchkey_store::seal::MasterKey::parse(&other).unwrap();
        assert!(other.belong_to(&test.store, &test.world).await.is_ok(), "the first start decides");
        assert!(test.api.master.belong_to(&test.store, &test.world).await.is_err());
        let feed = Feed::open(test.store.clone(), other, String::new(), Default::default()).await.unwrap();
        let names: Vec<_> = feed.clusters().borrow().iter().map(|cluster| cluster.name.clone()).collect();
        assert_eq!(names, ["latchkey/good"]);
    }
}
