use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{flash, read};
use crate::support::{Test, id, on_both};
use crate::web::visitor::Visitor;

/// An app of which everyone may ask for changes.
async fn open_app(test: &Test) -> Value {
    let app = test.app(json!({"tags": ["blue"]})).await;
    test.self_service(&app, json!({"access": {"settings_request": {"mode": "everyone"}}})).await;
    app
}

/// Asks for these tags; gives the path of the request's page.
async fn ask(test: &Test, app: &Value, user: &str, tags: &[&str]) -> String {
    let body = json!({"kind": "set_tags", "edit": {"tags": tags}, "reason": "for the launch"});
    let path = format!("/me/apps/{}/change-requests", id(app));
    let token = test.token_of(user).await;
    format!(
        "/admin/requests/{}",
        id(&test.with(&token, "POST", &path, Some(body)).await.expect(StatusCode::CREATED))
    )
}

on_both! {
    async fn a_request_is_approved_and_another_rejected_with_a_reason(test: Test) {
        let (app, alice) = (open_app(&test).await, test.user("alice@acme.com").await);
        let mut boss = Visitor::owner(&test).await;
        assert!(boss.open("/admin/requests").await.main().contains("No change requests yet"));
        let first = ask(&test, &app, &alice, &["red"]).await;
        let list = boss.open("/admin/requests?status=&kind=").await;
        assert_eq!(list.all("tbody td:nth-child(4)"), ["alice@acme.com"]);
        assert!(list.main().contains("1 pending"));
        let page = boss.open(&first).await;
        assert_eq!((page.all("td.was"), page.all("td.is")), (vec!["blue".to_owned()], vec!["red".to_owned()]));
        let page = boss.submit(&page, &format!("{first}/approve"), &[("comment", "fine")]).await;
        assert_eq!((flash(&page).as_str(), page.all("h1 .badge")), ("Approved and applied.", vec!["approved".into()]));
        assert!(page.main().contains("fine"));
        assert_eq!(read(&test, &id(&app)).await["tags"], json!(["red"]));

        let second = ask(&test, &app, &alice, &["green"]).await;
        let page = boss.open(&second).await;
        let page = boss.submit(&page, &format!("{second}/reject"), &[]).await;
        assert_eq!((page.status, page.all("#reason-error").len()), (422, 1), "{}", page.main());
        let page = boss.submit(&page, &format!("{second}/reject"), &[("reason", "too green")]).await;
        assert_eq!(page.all("h1 .badge"), ["rejected"]);
        assert!(page.main().contains("too green") && page.all("form[action$='/approve']").is_empty());
        assert_eq!(boss.open("/admin/requests?status=rejected").await.all("tbody tr").len(), 1);
        let audit = boss.open(&format!("/admin/apps/{}/audit", id(&app))).await;
        assert!(audit.all("td a").contains(&"change request".to_owned()), "a version leads to its request");
    }
}

on_both! {
    async fn a_stale_request_says_so_and_nobody_decides_their_own(test: Test) {
        let app = open_app(&test).await;
        let mut boss = Visitor::owner(&test).await;
        let own = test.get("/users?search=boss").await.expect(StatusCode::OK)["items"][0]["id"].as_str().unwrap().to_owned();
        let path = ask(&test, &app, &own, &["red"]).await;
        let page = boss.open(&path).await;
        assert!(page.main().contains("This is your own request"), "{}", page.main());
        let csrf = page.attribute("input[name=csrf]", "value").unwrap();
        let refused = boss.post(&format!("{path}/approve"), &[("csrf".into(), csrf)]).await;
        assert!(matches!(refused.status, 403 | 422), "{}", refused.status);
        test.patch(&format!("/apps/{}", id(&app)), json!({"tags": ["green"]})).await.expect(StatusCode::OK);
        let page = boss.open(&path).await;
        assert_eq!(page.all("h1 .badge"), ["stale"], "{}", page.main());
        assert!(page.main().contains("changed since") && page.main().contains("green"));
    }
}
