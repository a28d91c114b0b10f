use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::access::{AccessMode, Rule, Subjects};
use latchkey_core::actor::Actor;
use latchkey_core::settings::AppSettings;
use latchkey_service::action::apps::update::update;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

async fn versions(test: &Test, path: &str) -> Vec<Value> {
    let page = test.get(&format!("{path}/versions")).await.expect(StatusCode::OK);
    page["items"].as_array().unwrap().clone()
}

async fn roll_back(test: &Test, path: &str, version: i64) -> Value {
    test.act(&format!("{path}/versions/{version}/rollback")).await.expect(StatusCode::OK)
}

/// Edits what no route of apps edits.
pub async fn edit(test: &Test, app: &str, edit: impl FnOnce(&mut AppSettings) + Send) {
    let mut tx = test.store.begin().await.unwrap();
    let actor = Actor::system("test");
    let edit = |_: &mut _, settings: &mut _| {
        edit(settings);
        Ok(())
    };
    update(&mut tx, test.api.context(&actor), app.parse().unwrap(), edit).await.unwrap();
    tx.commit().await.unwrap();
}

/// A smart group with this member.
async fn group(test: &Test, member: &str) -> String {
    let group = test.world.id().to_string();
    test.sql(&[
        format!(
            "INSERT INTO groups (id, name, folded_name, description, created_at, updated_at)
             VALUES ('{group}', 'Engineering', '{group}', '', 0, 0)"
        ),
        format!(
            "INSERT INTO group_members (group_id, user_id, source, added_at) VALUES ('{group}', '{member}', 'admin', 0)"
        ),
    ])
    .await;
    group
}

on_both! {
    async fn each_change_is_a_version_that_says_what_changed(test: Test) {
        let alice = test.user("alice@acme.com").await;
        test.sql(&[format!("UPDATE users SET role = 'admin' WHERE id = '{alice}'")]).await;
        let app = test.app(json!({"tags": ["a"]})).await;
        let path = format!("/apps/{}", id(&app));
        let token = test.token_of(&alice).await;
        for edit in [
            json!({"tags": ["b"]}),
            json!({"tags": ["b"]}),
            json!({"identity": {"header": true}}),
            json!({"limits": {"requests_per_minute": 5}, "name": "Renamed"}),
        ] {
            test.with(&token, "PATCH", &path, Some(edit)).await.expect(StatusCode::OK);
        }
        test.act(&format!("{path}/deactivate")).await.expect(StatusCode::OK);
        edit(&test, &id(&app), |settings| settings.self_service.most_keys_per_user = Some(3)).await;
        let versions = versions(&test, &path).await;
        let told: Vec<_> = versions.iter().map(|version| {
            (version["number"].as_i64().unwrap(), version["operation"].as_str().unwrap(), version["changed"].to_string())
        }).collect();
        assert_eq!(told, [
            (5, "self_service", r#"["self_service.most_keys_per_user"]"#.to_owned()),
            (4, "update_config", r#"["limits.requests_per_minute","name"]"#.to_owned()),
            (3, "jwt_auth_settings", r#"["identity.header"]"#.to_owned()),
            (2, "set_tags", r#"["tags"]"#.to_owned()),
            (1, "create", "[]".to_owned()),
        ], "an edit that changes nothing, and a switch, are none");
        assert_eq!(versions[1]["actor"], json!({"kind": "user", "id": alice, "name": "alice@acme.com"}));
        assert_eq!(versions[0]["actor"], json!({"kind": "system", "id": null, "name": "test"}));
        assert_eq!(versions[4]["actor"]["kind"], "token");
        let page = test.get(&format!("{path}/versions?limit=4")).await.expect(StatusCode::OK);
        let next = page["next_cursor"].as_str().unwrap();
        let rest = test.get(&format!("{path}/versions?limit=4&cursor={next}")).await.expect(StatusCode::OK);
        assert_eq!((&rest["items"][0]["number"], &rest["next_cursor"]), (&json!(1), &Value::Null));
    }
}

on_both! {
    async fn a_version_shows_what_differs_from_any_other_and_no_secret(test: Test) {
        let app = test.app(json!({"metadata": {"team": "a", "api_key": "hunter2"}})).await;
        let path = format!("/apps/{}", id(&app));
        test.patch(&path, json!({"metadata": {"team": "b", "api_key": "hunter3"}})).await.expect(StatusCode::OK);
        test.patch(&path, json!({"limits": {"requests_per_minute": 5}})).await.expect(StatusCode::OK);
        let read = async |rest: &str| {
            let shown = test.get(&format!("{path}/versions/{rest}")).await.expect(StatusCode::OK);
            assert!(!shown.to_string().contains("hunter"), "{shown}");
            shown
        };
        let second = read("2").await;
        assert_eq!(second["settings"]["metadata"], json!({"team": "b", "api_key": "[redacted]"}));
        assert_eq!((&second["name"], &second["against"]), (&json!("Support Bot"), &json!(1)));
        assert_eq!(second["changes"], json!([
            {"path": "metadata.api_key", "before": "[redacted]", "after": "[redacted]"},
            {"path": "metadata.team", "before": "a", "after": "b"},
        ]));
        let third = read("3?against=1").await;
        let paths: Vec<_> = third["changes"].as_array().unwrap().iter().map(|change| &change["path"]).collect();
        assert_eq!(paths, ["limits.requests_per_minute", "metadata.api_key", "metadata.team"]);
        assert_eq!(third["changes"][0], json!({"path": "limits.requests_per_minute", "after": 5}), "it was not there");
        assert_eq!(read("1?against=3").await["changes"][2], json!({"path": "metadata.team", "before": "b", "after": "a"}));
        let first = read("1").await;
        assert_eq!((&first["against"], &first["changes"]), (&Value::Null, &json!([])));
        for missing in ["4", "0", "1?against=9"] {
            assert_eq!(test.get(&format!("{path}/versions/{missing}")).await.refused(404).0, "not_found");
        }
    }
}

on_both! {
    async fn a_rollback_is_a_version_and_can_be_rolled_back(test: Test) {
        let app = test.app(json!({"tags": ["a"], "limits": {"requests_per_minute": 5}})).await;
        let path = format!("/apps/{}", id(&app));
        test.patch(&path, json!({"tags": ["b"], "limits": null, "name": "Renamed"})).await.expect(StatusCode::OK);
        let back = roll_back(&test, &path, 1).await;
        assert_eq!(back["version"], 3);
        assert_eq!((&back["app"]["tags"], &back["app"]["name"]), (&json!(["a"]), &json!("Support Bot")));
        assert_eq!(back["app"]["limits"], json!({"requests_per_minute": 5}));
        let read = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!(read["tags"], json!(["a"]));
        let newest = &versions(&test, &path).await[0];
        assert_eq!(newest["operation"], "rollback");
        assert_eq!(newest["changed"], json!(["limits.requests_per_minute", "name", "tags"]));
        assert_eq!(roll_back(&test, &path, 2).await["app"]["name"], "Renamed");
    }
}

on_both! {
    async fn a_rollback_is_refused_with_the_reason(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({"allowed_models": ["gpt-4o"]})).await;
        let path = format!("/apps/{}", id(&app));
        let to = |version: i64| format!("{path}/versions/{version}/rollback");
        assert_eq!(test.act(&to(1)).await.refused(409).0, "nothing_to_roll_back");
        assert_eq!(test.act(&to(2)).await.refused(409).0, "version_gone");
        test.patch(&path, json!({"allowed_models": "all", "expires_in": "30d"})).await.expect(StatusCode::OK);
        let models = test.get("/models").await.expect(StatusCode::OK);
        test.delete(&format!("/models/{}", id(&models["items"][0]))).await;
        assert_eq!(test.act(&to(1)).await.refused(422), pair("invalid", "allowed_models[0]"));
        test.patch(&path, json!({"expires_in": "never"})).await.expect(StatusCode::OK);
        test.clock.advance(Duration::from_secs(31 * 86_400));
        assert_eq!(test.act(&to(2)).await.refused(422), pair("invalid", "expires_at"));
        assert_eq!(versions(&test, &path).await.len(), 3, "nothing was changed");
        test.act(&format!("{path}/revoke")).await.expect(StatusCode::OK);
        assert_eq!(test.act(&to(2)).await.refused(409).0, "revoked");
        test.delete(&path).await.expect(StatusCode::OK);
        assert_eq!(test.act(&to(2)).await.refused(404).0, "not_found");
        assert_eq!(test.get(&format!("{path}/versions")).await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn a_rollback_to_a_group_or_user_that_is_gone_is_refused(test: Test) {
        let alice = test.user("alice@acme.com").await;
        let group = group(&test, &alice).await;
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let only = |groups: &str| Rule {
            mode: AccessMode::Specific,
            allow: Subjects { groups: [groups.parse().unwrap()].into(), ..Subjects::default() },
            ..Rule::default()
        };
        edit(&test, &id(&app), |settings| settings.self_service.access.viewer = only(&group)).await;
        edit(&test, &id(&app), |settings| settings.self_service.access.viewer = Rule::default()).await;
        test.sql(&["DELETE FROM group_members".to_owned(), "DELETE FROM groups".to_owned()]).await;
        let refused = test.act(&format!("{path}/versions/2/rollback")).await;
        assert_eq!(refused.refused(422), pair("invalid", "self_service.access.viewer.allow.groups[0]"));
    }
}

on_both! {
    /// Named in issue 4.
    async fn a_rollback_restoring_a_revoked_key(test: Test) {
        let app = test.app(json!({"mode": "named", "tags": ["a"]})).await;
        let path = format!("/apps/{}", id(&app));
        let (revoked, off, kept) =
            (test.named_key(&app).await, test.named_key(&app).await, test.named_key(&app).await);
        test.patch(&path, json!({"tags": ["b"]})).await.expect(StatusCode::OK);
        test.act(&format!("{path}/keys/{}/revoke", id(&revoked))).await.expect(StatusCode::OK);
        test.act(&format!("{path}/keys/{}/deactivate", id(&off))).await.expect(StatusCode::OK);
        roll_back(&test, &path, 1).await;
        let status = async |key: &Value| {
            test.get(&format!("{path}/keys/{}", id(key))).await.expect(StatusCode::OK)["status"].clone()
        };
        assert_eq!(status(&revoked).await, "revoked");
        assert_eq!(status(&off).await, "inactive");
        assert_eq!(status(&kept).await, "active");
        assert_eq!(test.act(&format!("{path}/keys/{}/activate", id(&revoked))).await.refused(409).0, "revoked");
    }
}

on_both! {
    async fn a_rollback_leaves_groups_and_their_members(test: Test) {
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let group = group(&test, &alice).await;
        let app = test.app(json!({})).await;
        test.sql(&[format!("UPDATE group_members SET user_id = '{bob}' WHERE group_id = '{group}'")]).await;
        test.patch(&format!("/apps/{}", id(&app)), json!({"tags": ["b"]})).await.expect(StatusCode::OK);
        roll_back(&test, &format!("/apps/{}", id(&app)), 1).await;
        let groups = async |user: &str| test.store.member(user.parse().unwrap()).await.unwrap().unwrap().groups;
        assert!(groups(&alice).await.is_empty());
        assert_eq!(groups(&bob).await.len(), 1);
    }
}

on_both! {
    async fn a_rollback_from_named_to_shared_replaces_the_app_key(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let named = test.patch(&path, json!({"mode": "named"})).await.expect(StatusCode::OK);
        let back = roll_back(&test, &path, 1).await;
        let value = &back["app"]["key"]["value"];
        assert!(value.is_string() && *value != named["key"]["value"], "{back}");
        assert_eq!(back["app"]["key"]["old_secret_stops_at"], "1970-01-01T00:00:00.001Z");
        let again = roll_back(&test, &path, 2).await;
        assert_eq!(again["app"]["mode"], "named");
        assert!(test.named_key(&again["app"]).await["value"].is_string());
    }
}

on_both! {
    async fn values_that_were_forgotten_do_not_come_back_with_a_rollback(test: Test) {
        let app = test.app(json!({"keep_key_values": true})).await;
        let path = format!("/apps/{}", id(&app));
        test.patch(&path, json!({"keep_key_values": false})).await.expect(StatusCode::OK);
        assert_eq!(roll_back(&test, &path, 1).await["app"]["keep_key_values"], true);
        assert_eq!(test.get(&format!("{path}/key/value")).await.refused(409).0, "value_not_kept");
    }
}

on_both! {
    async fn only_admins_roll_back_and_only_readers_read(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        test.patch(&path, json!({"tags": ["b"]})).await.expect(StatusCode::OK);
        let auditor = test.token(latchkey_core::role::Role::Auditor).await;
        let to = format!("{path}/versions/1/rollback");
        assert_eq!(test.with(&auditor, "POST", &to, None).await.refused(403).0, "forbidden");
        test.with(&auditor, "GET", &format!("{path}/versions/1"), None).await.expect(StatusCode::OK);
        let user = test.token_of(&test.user("alice@acme.com").await).await;
        assert_eq!(test.with(&user, "GET", &format!("{path}/versions"), None).await.refused(403).0, "forbidden");
    }
}

mod an_app_that_is_older_than_versions_has_its_first_one {
    use sqlx::Connection as _;
    use sqlx::migrate::Migrator;

    use super::*;

    static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
    static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

    async fn run(url: String, migrator: &Migrator, files: tempfile::TempDir) {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
        migrator.run_to(2, &mut connection).await.unwrap();
        let app = "01890000-0000-7000-8000-000000000001";
        sqlx::query(sqlx::AssertSqlSafe(format!(
            r#"INSERT INTO apps (id, name, status, settings, created_at, updated_at, revision)
               VALUES ('{app}', 'Old', 'active', '{{"tags": ["a"]}}', 1, 2000, 1)"#
        )))
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        let test = Test::on(&url, files).await;
        let path = format!("/apps/{app}");
        let first = test.get(&format!("{path}/versions/1")).await.expect(StatusCode::OK);
        assert_eq!((&first["operation"], &first["at"]), (&json!("create"), &json!("1970-01-01T00:00:02Z")));
        assert_eq!(first["actor"], json!({"kind": "system", "id": null, "name": "migration"}));
        assert_eq!(first["settings"]["tags"], json!(["a"]));
        edit(&test, app, |settings| settings.tags.clear()).await;
        let second = test.get(&format!("{path}/versions/2")).await.expect(StatusCode::OK);
        assert_eq!(second["changes"], json!([{"path": "tags", "before": ["a"], "after": []}]));
        assert_eq!(roll_back(&test, &path, 1).await["app"]["tags"], json!(["a"]));
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
