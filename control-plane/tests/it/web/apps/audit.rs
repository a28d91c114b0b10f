use axum::http::StatusCode;
use serde_json::json;

use super::{flash, read};
use crate::support::{id, on_both};
use crate::web::visitor::Visitor;

on_both! {
    async fn versions_are_compared_and_rolled_back(test: Test) {
        let app = test.app(json!({"tags": ["blue"]})).await;
        let path = format!("/apps/{}", id(&app));
        test.patch(&path, json!({"limits": {"requests_per_minute": 1000}})).await.expect(StatusCode::OK);
        test.patch(&path, json!({"tags": ["red"]})).await.expect(StatusCode::OK);
        let audit = format!("/admin/apps/{}/audit", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&audit).await;
        assert_eq!(page.all("[aria-label=Versions] tbody td:first-child"), ["v3", "v2", "v1"]);
        assert_eq!(page.all("[aria-label=Versions] tbody td:nth-child(2)"), ["set_tags", "update_config", "create"]);
        assert!(page.main().contains("limits.requests_per_minute"));
        let page = boss.open(&format!("{audit}/2")).await;
        assert_eq!((page.all("td.was"), page.all("td.is")), (vec!["–".to_owned()], vec!["1,000".to_owned()]));
        let page = boss.open(&format!("{audit}/3?against=1")).await;
        assert_eq!(page.all(".diff th code"), ["limits.requests_per_minute", "tags"]);
        assert!(page.main().contains("This is the latest version"));

        let page = boss.open(&format!("{audit}/1")).await;
        assert!(page.main().contains("There is no earlier version"));
        let rollback = format!("{audit}/1/rollback");
        let page = boss.submit(&page, &rollback, &[]).await;
        assert_eq!(flash(&page), "Rolled back to v1. The new version is v4.", "{}", page.main());
        assert_eq!(read(&test, &id(&app)).await["tags"], json!(["blue"]));
        let page = boss.open(&format!("{audit}/1")).await;
        let page = boss.submit(&page, &rollback, &[]).await;
        assert_eq!(page.status, 422);
        assert!(page.all(".refused").join(" ").contains("nothing to change"), "{}", page.main());
        test.act(&format!("{path}/revoke")).await.expect(StatusCode::OK);
        assert!(boss.open(&format!("{audit}/2")).await.main().contains("The app is revoked and cannot be rolled back."));
        assert_eq!(boss.open(&format!("{audit}/99")).await.status, 404);
    }
}
