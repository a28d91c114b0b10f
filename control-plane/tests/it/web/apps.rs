//! The console's pages of apps.

mod audit;
mod keys;
mod requests;
mod self_service;

use std::time::Duration;

use axum::http::StatusCode;
use latchkey_discovery::registry::Connection;
use serde_json::{Value, json};

use super::visitor::{Shown, Visitor};
use crate::support::{START_MS, Test, id, on_both};

/// Two gateways: one that has applied everything that is to come, and one that is behind.
fn two_gateways(test: &Test) -> [Connection; 2] {
    [test.gateway("eu-1", 1_000_000), test.gateway("eu-2", 0)]
}

async fn read(test: &Test, id: &str) -> Value {
    test.get(&format!("/apps/{id}")).await.expect(StatusCode::OK)
}

/// What a page says that was just done.
fn flash(page: &Shown) -> String {
    page.all(".flash").join(" ")
}

on_both! {
    async fn a_key_is_created_from_the_dialog_and_shown_once(test: Test) {
        test.catalogue().await;
        let _gateways = two_gateways(&test);
        let mut boss = Visitor::owner(&test).await;
        assert!(boss.open("/admin/apps").await.main().contains("No API keys yet"));
        let page = boss.open("/admin/apps/new").await;
        assert!(page.main().contains("No MCP servers yet"));
        let form = [
            ("name", "Support Bot"),
            ("mode", "shared"),
            ("expires_in", "90d"),
            ("limits.requests_per_minute", "1,000"),
            ("limits.tokens_per_minute", "20000"),
            ("limits.budget.usd", "12.50"),
            ("limits.budget.per", "week"),
            ("alert_thresholds", "80"),
            ("allowed_models", "only"),
            ("allowed_models.only", "gpt-4o"),
            ("ip_allow_list", "10.0.0.0/8\n192.0.2.1"),
            ("metadata", "{\"team\": \"backend\"}"),
            ("limits.max_output_tokens", "500"),
            ("tags", "prod, eu"),
        ];
        let shown = boss.submit(&page, "/admin/apps", &form).await;
        assert_eq!((shown.status, shown.all("h1")), (200, vec!["API key created".to_owned()]), "{}", shown.main());
        let value = shown.all("#value").remove(0);
        assert!(value.starts_with("sk-quilr-") && !shown.at.contains(&value));
        assert_eq!(shown.headers["cache-control"], "no-store");
        assert!(shown.all("#snippet-python")[0].contains(&value), "the key is in the snippet");
        assert!(shown.all("#snippet-curl")[0].contains("http://127.0.0.1:10000/openai_compatible/chat/completions"));
        assert!(shown.main().contains("on 1 of 2 gateways") && shown.main().contains("eu-2"), "{}", shown.main());

        let again = boss.submit(&page, "/admin/apps", &form).await;
        assert_eq!(again.all("#value"), [value.as_str()], "a double submit creates once");
        let apps = test.get("/apps").await.expect(StatusCode::OK);
        assert_eq!(apps["items"].as_array().unwrap().len(), 1);
        let app = &apps["items"][0];
        assert_eq!(app["limits"]["budget"], json!({"usd": "12.5", "per": "week"}));
        assert_eq!(app["limits"]["requests_per_minute"], 1000);
        assert_eq!(app["expires_at"], "2026-04-01T00:00:00Z");
        assert_eq!((&app["allowed_providers"], &app["allowed_models"]), (&json!("all"), &json!(["gpt-4o"])));
        assert_eq!(app["ip_allow_list"], json!(["10.0.0.0/8", "192.0.2.1/32"]));
        assert_eq!((&app["metadata"], &app["tags"]), (&json!({"team": "backend"}), &json!(["prod", "eu"])));
        let list = boss.open("/admin/apps").await;
        assert!(list.main().contains("Requests per minute 0 of 1,000") && list.main().contains("$0.00 of $12.50"));
        assert!(!list.text.contains(&value));
        let page = boss.open(&format!("/admin/apps/{}", id(app))).await;
        assert!(!page.text.contains(&value), "it is not shown again");
    }
}

on_both! {
    async fn a_refused_dialog_keeps_what_was_typed_and_marks_the_fields(test: Test) {
        test.catalogue().await;
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open("/admin/apps/new").await;
        let mut form = page.form("/admin/apps");
        form.retain(|(name, _)| !matches!(name.as_str(), "allowed_providers" | "name" | "ip_allow_list" | "time_zone"));
        for (name, value) in [("name", "Bot"), ("ip_allow_list", "nowhere"), ("time_zone", "Mars/Olympus")] {
            form.push((name.to_owned(), value.to_owned()));
        }
        let page = boss.post("/admin/apps", &form).await;
        assert_eq!(page.status, 422);
        assert_eq!(page.attribute("#name", "value").as_deref(), Some("Bot"));
        assert_eq!(page.all("#ip_allow_list"), ["nowhere"]);
        assert!(page.attribute("#ip_allow_list", "aria-invalid").is_some(), "{}", page.text);
        assert!(page.attribute("#time_zone", "aria-invalid").is_some());
        assert_eq!(page.attribute("#allowed_providers-openai", "checked"), None, "the switch stays off");
        assert!(page.attribute("details.more-settings", "open").is_some());
        let page = boss.submit(&page, "/admin/apps", &[("metadata", "[1]"), ("limits.requests_per_minute", "many")]).await;
        assert_eq!(page.all("#limits\\.requests_per_minute-error"), ["must be a whole number, such as 60 or 1,000"]);
        assert_eq!(page.all("#metadata-error").len(), 1);
        assert!(test.get("/apps").await.expect(StatusCode::OK)["items"].as_array().unwrap().is_empty());
    }
}

on_both! {
    async fn the_list_is_searched_filtered_and_sorted(test: Test) {
        for name in ["beta", "Alpha", "gamma"] {
            test.app(json!({"name": name})).await;
            test.clock.advance(Duration::from_secs(1));
        }
        let off = test.app(json!({"name": "delta"})).await;
        test.act(&format!("/apps/{}/deactivate", id(&off))).await.expect(StatusCode::OK);
        let mut boss = Visitor::owner(&test).await;
        let names = async |boss: &mut Visitor<'_>, query: &str| {
            boss.open(&format!("/admin/apps?{query}")).await.all("tbody td:first-child a")
        };
        assert_eq!(names(&mut boss, "search=&status=&sort=name").await, ["Alpha", "beta", "delta", "gamma"]);
        assert_eq!(names(&mut boss, "search=&status=inactive&sort=").await, ["delta"]);
        assert_eq!(names(&mut boss, "search=a&status=active&sort=newest").await, ["gamma", "Alpha", "beta"]);
        assert!(boss.open("/admin/apps?status=expired").await.main().contains("No API keys match"));
        assert_eq!(boss.open("/admin/apps?status=nonsense").await.status, 400);
    }
}

on_both! {
    async fn settings_are_edited_and_what_was_not_touched_stays(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({
            "allowed_providers": ["openai"], "expires_in": "1y", "keep_key_values": true,
            "limits": {"requests_per_minute": 5, "requests_per_day": 7},
            "identity": {"header": true}
        })).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        let edit = [("name", "Renamed"), ("limits.requests_per_minute", ""), ("tags", "blue")];
        let page = boss.submit(&page, &path, &edit).await;
        assert_eq!((flash(&page).as_str(), page.all("h1")[0].as_str()), ("Saved.", "Renamed active"), "{}", page.main());
        let now = read(&test, &id(&app)).await;
        assert_eq!((&now["limits"], &now["tags"]), (&json!({"requests_per_day": 7}), &json!(["blue"])));
        for same in ["allowed_providers", "expires_at", "keep_key_values", "identity", "alert_thresholds"] {
            assert_eq!(now[same], app[same], "{same}");
        }
        let page = boss.submit(&page, &path, &[("expires_in", "never")]).await;
        assert_eq!(read(&test, &id(&app)).await["expires_at"], Value::Null);
        let page = boss.submit(&page, &path, &[("expires_in", "day"), ("expires_at", "2026-01-31")]).await;
        assert_eq!(read(&test, &id(&app)).await["expires_at"], "2026-02-01T00:00:00Z");
        let page = boss.submit(&page, &path, &[("name", ""), ("tags", "red")]).await;
        assert_eq!((page.status, page.all("#name-error").len()), (422, 1));
        assert_eq!(page.attribute("#tags", "value").as_deref(), Some("red"));
        assert!(page.attribute("#identity\\.header", "checked").is_some(), "the other form shows what is there");
        assert_eq!(read(&test, &id(&app)).await["tags"], json!(["blue"]), "nothing changed");
    }
}

on_both! {
    async fn identity_has_a_form_of_its_own(test: Test) {
        let app = test.app(json!({"tags": ["blue"]})).await;
        let (page_path, path) = (format!("/admin/apps/{}", id(&app)), format!("/admin/apps/{}/identity", id(&app)));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&page_path).await;
        let wrong = [("identity.jwt.from", "jwks_url"), ("identity.jwt.keys.jwks_url", "nowhere"), ("identity.jwt.email_claim", "mail")];
        let page = boss.submit(&page, &path, &wrong).await;
        assert_eq!((page.status, page.all("#identity\\.jwt\\.keys\\.jwks_url-error").len()), (422, 1), "{}", page.main());
        assert_eq!(page.attribute("#identity\\.jwt\\.email_claim", "value").as_deref(), Some("mail"));
        assert_eq!(page.attribute("#tags", "value").as_deref(), Some("blue"));
        let right = [
            ("identity.jwt.keys.jwks_url", "https://login.acme.com/jwks.json"), ("identity.enforce", "true"),
            ("identity.allowed_domains", "acme.com"), ("require_conversation_id", "true"),
        ];
        let page = boss.submit(&page, &path, &right).await;
        assert_eq!(flash(&page), "Saved.", "{}", page.main());
        let now = read(&test, &id(&app)).await;
        assert_eq!(now["identity"]["jwt"]["keys"], json!({"jwks_url": "https://login.acme.com/jwks.json"}));
        assert_eq!((&now["identity"]["jwt"]["email_claim"], &now["identity"]["allowed_domains"]), (&json!("mail"), &json!(["acme.com"])));
        assert_eq!((&now["require_conversation_id"], &now["tags"]), (&json!(true), &json!(["blue"])));
        let none = [("identity.jwt.from", ""), ("identity.allowed_domains", "")];
        let mut form = page.form(&path);
        form.retain(|(name, _)| name != "identity.enforce" && none.iter().all(|(own, _)| own != name));
        boss.post(&path, &form).await;
        assert_eq!(read(&test, &id(&app)).await["identity"]["jwt"], Value::Null);
    }
}

on_both! {
    async fn an_app_is_switched_rotated_revoked_and_deleted(test: Test) {
        let _gateways = two_gateways(&test);
        let app = test.app(json!({"keep_key_values": true})).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        let page = boss.submit(&page, &format!("{path}/deactivate"), &[]).await;
        assert!(flash(&page).starts_with("Deactivated on 1 of 2 gateways in"), "{}", flash(&page));
        assert!(flash(&page).contains("not yet on eu-2 (not acknowledged yet)"));
        let page = boss.submit(&page, &format!("{path}/activate"), &[]).await;
        assert_eq!(page.all("h1 .badge"), ["active"]);

        let value = boss.submit(&page, &format!("{path}/value"), &[]).await.all("#value");
        assert_eq!(value, [app["key"]["value"].as_str().unwrap()]);
        let rotated = boss.submit(&page, &format!("{path}/rotate"), &[("grace_seconds", "86400")]).await;
        assert_eq!((rotated.status, rotated.all("h1")), (200, vec!["Secret rotated".to_owned()]));
        assert_ne!(rotated.all("#value"), value);
        let twice = boss.submit(&page, &format!("{path}/rotate"), &[("grace_seconds", "86400")]).await;
        assert_eq!(twice.all("#value"), rotated.all("#value"), "sent twice, rotated once");
        let page = boss.open(&path).await;
        assert!(page.main().contains("stops in 1 day ; not sent since the rotation"), "{}", page.main());
        let sent = json!({"app_id": app["id"], "requests": 1, "last_used_at": START_MS, "old_secret_used_at": START_MS});
        test.insert("app_usage", sent).await;
        let page = boss.open(&path).await;
        assert!(page.main().contains("stops in 1 day ; last sent just now"), "{}", page.main());
        let (path_of_logs, key) = (page.attribute("dd a[href*=old_secret]", "href").unwrap(), &app["key"]);
        assert_eq!(path_of_logs, format!("/admin/apps/{}/logs?key_id={}&old_secret=true", id(&app), id(key)));
        test.insert("records", json!({"request_id": "with-the-old", "app_id": app["id"], "key_id": key["id"], "old_secret": 1})).await;
        test.insert("records", json!({"request_id": "with-the-new", "app_id": app["id"], "key_id": key["id"]})).await;
        let logs = boss.open(&path_of_logs).await;
        assert!(logs.main().contains("with-the-old") && !logs.main().contains("with-the-new"), "{}", logs.main());
        assert!(logs.attribute("#old_secret", "checked").is_some());
        let page = boss.open(&path).await;
        let refused = boss.submit(&page, &format!("{path}/rotate"), &[("grace_seconds", "9999999")]).await;
        assert_eq!((refused.status, refused.all("#grace_seconds-error").len()), (422, 1));

        let page = boss.submit(&page, &format!("{path}/revoke"), &[]).await;
        assert!(flash(&page).starts_with("Revoked on 1 of 2 gateways"), "{}", page.main());
        assert_eq!(page.all("h1 .badge"), ["revoked"]);
        assert!(!page.text.contains(&format!("{path}/rotate")), "a revoked app is not rotated");
        let page = boss.submit(&page, &format!("{path}/delete"), &[]).await;
        assert_eq!(page.at, "/admin/apps");
        assert!(flash(&page).starts_with("Deleted") && page.main().contains("No API keys yet"));
        assert_eq!(boss.open(&path).await.status, 404);
    }
}

on_both! {
    async fn auditors_see_apps_and_change_nothing(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut auditor = Visitor::with_role(&test, "auditor@acme.com", "auditor").await;
        assert!(!auditor.open("/admin/apps").await.text.contains("/admin/apps/new"));
        let page = auditor.open(&path).await;
        assert!(page.status == 200 && !page.main().contains("Revoke") && !page.main().contains("Save"));
        assert!(page.attribute("fieldset", "disabled").is_some());
        assert_eq!(auditor.open("/admin/apps/new").await.status, 403);
        let csrf = page.attribute("input[name=csrf]", "value").unwrap();
        for action in ["", "/identity", "/revoke", "/delete", "/rotate", "/value", "/mode", "/self-service", "/keys"] {
            let form = [("csrf".to_owned(), csrf.clone()), ("email".to_owned(), "auditor@acme.com".to_owned()), ("name".to_owned(), "n".to_owned())];
            assert_eq!(auditor.post(&format!("{path}{action}"), &form).await.status, 403, "{action}");
        }
        assert_eq!(read(&test, &id(&app)).await["status"], "active");
        let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
        for page in ["", "/self-service", "/keys", "/audit", "/audit/1", "/gateways"] {
            assert_eq!(alice.open(&format!("{path}{page}")).await.status, 403, "{page}");
            let other = format!("/admin/apps/00000000-0000-0000-0000-000000000000{page}");
            assert_eq!(auditor.open(&other).await.status, 404, "{page}");
        }
    }
}
