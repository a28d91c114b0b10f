use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{flash, two_gateways};
use crate::support::{Test, id, on_both};
use crate::web::visitor::Visitor;

async fn keys(test: &Test, app: &Value) -> Vec<Value> {
    let page = test.get(&format!("/apps/{}/keys", id(app))).await.expect(StatusCode::OK);
    page["items"].as_array().unwrap().clone()
}

on_both! {
    async fn a_named_key_is_made_for_a_user_edited_rotated_and_revoked(test: Test) {
        test.user("alice@acme.com").await;
        let app = test.app(json!({"mode": "named", "limits": {"requests_per_minute": 60}})).await;
        let path = format!("/admin/apps/{}/keys", id(&app));
        let mut boss = Visitor::owner(&test).await;
        assert!(boss.open(&path).await.main().contains("No named keys yet"));
        let page = boss.open(&format!("{path}/new")).await;
        let nobody = [("email", "nobody@acme.com"), ("name", "Alice local dev")];
        let page = boss.submit(&page, &path, &nobody).await;
        assert_eq!((page.status, page.all("#email-error")), (422, vec!["no user has this email address".into()]));
        assert_eq!(page.attribute("#name", "value").as_deref(), Some("Alice local dev"));
        let beyond = [("email", "Alice@acme.com"), ("own_limits", "true"), ("limits.requests_per_minute", "61")];
        let page = boss.submit(&page, &path, &beyond).await;
        assert_eq!((page.status, page.all("#limits\\.requests_per_minute-error").len()), (422, 1), "{}", page.main());
        let shown = boss.submit(&page, &path, &[("limits.requests_per_minute", "6"), ("expires_in", "30d")]).await;
        assert_eq!(shown.all("h1"), ["Named key created"], "{}", shown.main());
        let value = shown.all("#value").remove(0);
        assert!(value.contains(":ss1.") && shown.all("#snippet-python")[0].contains(&value));

        let key = keys(&test, &app).await.remove(0);
        assert_eq!((&key["user"]["email"], &key["limits"]["requests_per_minute"]), (&json!("alice@acme.com"), &json!(6)));
        assert_eq!(key["expires_at"], "2026-01-31T00:00:00Z");
        let list = boss.open(&path).await;
        assert_eq!(list.all("tbody td:nth-child(3)"), ["alice@acme.com"]);
        let own = format!("{path}/{}", id(&key));
        let page = boss.open(&own).await;
        let mut form = page.form(&own);
        form.retain(|(name, _)| !matches!(name.as_str(), "own_limits" | "name"));
        form.push(("name".into(), "laptop".into()));
        let page = boss.post(&own, &form).await;
        assert_eq!(flash(&page), "Saved.", "{}", page.main());
        let key = keys(&test, &app).await.remove(0);
        assert_eq!((&key["name"], &key["limits"], &key["expires_at"]), (&json!("laptop"), &Value::Null, &json!("2026-01-31T00:00:00Z")));

        let _connected = two_gateways(&test);
        let rotated = boss.submit(&page, &format!("{own}/rotate"), &[]).await;
        assert_ne!(rotated.all("#value"), [value.as_str()]);
        let twice = boss.submit(&page, &format!("{own}/rotate"), &[]).await;
        assert_eq!(twice.all("#value"), rotated.all("#value"), "sent twice, rotated once");
        let page = boss.submit(&page, &format!("{own}/deactivate"), &[]).await;
        assert_eq!(page.all("h1 .badge"), ["inactive"]);
        let page = boss.submit(&page, &format!("{own}/revoke"), &[]).await;
        assert!(flash(&page).starts_with("Revoked on 1 of 2 gateways"), "{}", page.main());
        assert_eq!(page.all("h1 .badge"), ["revoked"]);
        let other = test.app(json!({"name": "Other"})).await;
        assert_eq!(boss.open(&format!("/admin/apps/{}/keys/{}", id(&other), id(&key))).await.status, 404);
    }
}
