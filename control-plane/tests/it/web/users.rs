use serde_json::json;

use super::visitor::{TYPED, Visitor};
use crate::support::{id, on_both};

on_both! {
async fn an_owner_invites_somebody_who_then_signs_in(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/users/new").await;
    let wrong = [("email", "alice@acme.com"), ("name", ""), ("role", "auditor")];
    let page = boss.submit(&page, "/admin/users", &wrong).await;
    assert_eq!((page.status, page.all("#name-error").len()), (422, 1), "{}", page.main());
    assert_eq!(page.attribute("#email", "value").as_deref(), Some("alice@acme.com"), "what was typed is kept");
    let invited = boss.submit(&page, "/admin/users", &[("name", "Alice")]).await;
    assert_eq!((invited.status, invited.all("h1")), (200, vec!["Invitation for Alice".to_owned()]));
    let twice = boss.submit(&page, "/admin/users", &[("name", "Alice")]).await;
    assert_eq!(twice.all("#value"), invited.all("#value"), "sent twice, invited once");
    let link = invited.all("#value").remove(0);

    let mut alice = Visitor::new(&test);
    let page = alice.open("/invitation").await;
    let page = alice.submit(&page, "/invitation", &[("token", &link), ("password", TYPED)]).await;
    assert_eq!((page.status, page.at.as_str()), (200, "/admin"), "an auditor's start page: {}", page.main());
    let page = alice.open("/admin/users").await;
    let mut people = page.all("td:nth-child(2)");
    people.sort();
    assert_eq!(people, ["alice@acme.com", "boss@acme.com"]);
    assert_eq!(alice.open("/admin/users/new").await.status, 403);
}
}

on_both! {
async fn a_user_is_renamed_promoted_deactivated_and_let_in_again(test: Test) {
    let alice = test.user("alice@acme.com").await;
    let mut boss = Visitor::owner(&test).await;
    let path = format!("/admin/users/{alice}");
    let page = boss.open(&path).await;
    let page = boss.submit(&page, &path, &[("name", "Alice B."), ("role", "admin")]).await;
    assert_eq!((page.status, page.all("h1")), (200, vec!["Alice B.".to_owned()]));
    assert!(page.all("dd").contains(&"admin".to_owned()));
    let page = boss.submit(&page, &format!("{path}/deactivate"), &[]).await;
    assert!(page.main().contains("deactivated") && !page.main().contains("Deactivate…"), "{}", page.main());
    let page = boss.submit(&page, &format!("{path}/reactivate"), &[]).await;
    assert_eq!(page.all(".flash"), ["User reactivated."]);
}
}

on_both! {
async fn the_last_owner_stays_one(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/users").await;
    let path = page.attribute("tbody a", "href").unwrap();
    let page = boss.open(&path).await;
    let page = boss.submit(&page, &path, &[("role", "user")]).await;
    assert_eq!(page.status, 422);
    assert!(page.all("[role=alert]")[0].contains("the last active owner"), "{}", page.main());
    let page = boss.submit(&page, &format!("{path}/deactivate"), &[]).await;
    assert_eq!((page.status, page.all("h1")), (422, vec!["boss@acme.com".to_owned()]), "{}", page.main());
    assert_eq!(boss.open("/admin/users").await.status, 200);
}
}

on_both! {
async fn a_users_page_leads_to_their_groups_keys_and_sessions(test: Test) {
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/users?search=alice").await;
    let path = page.attribute("tbody a", "href").unwrap();
    let user = path.rsplit('/').next().unwrap();
    let group = test.group("engineering", &[user]).await;
    let app = test.app(json!({"mode": "named"})).await;
    let key = test.post(&format!("/apps/{}/keys", id(&app)), json!({"user_id": user, "name": "laptop"})).await.json;
    let page = boss.open(&path).await;
    for link in [format!("/admin/groups/{group}"), format!("/admin/apps/{}/keys/{}", id(&app), id(&key))] {
        assert_eq!(page.all(&format!("a[href='{link}']")).len(), 1, "{link}: {}", page.text);
    }
    assert_eq!(alice.open("/account").await.at, "/account");
    let page = boss.submit(&page, &format!("{path}/sessions/end"), &[]).await;
    assert_eq!(page.all(".flash"), ["1 session ended."]);
    assert!(alice.open("/account").await.at.starts_with("/sign-in"));
    assert_eq!(alice.open(&path).await.at, format!("/sign-in?return_to={}", path.replace('/', "%2F").replace('-', "%2D")));
    assert_eq!(boss.open(&format!("/admin/users/{}", id(&key))).await.status, 404);
}
}
