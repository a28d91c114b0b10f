use super::visitor::Visitor;
use crate::support::on_both;

on_both! {
async fn a_gateways_token_is_shown_once_and_revoked(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/tokens").await;
    let filled = [("name", "edge-eu-1"), ("role", "gateway"), ("user_id", "nobody@acme.com"), ("expires_in", "never")];
    let refused = boss.submit(&page, "/admin/tokens", &filled).await;
    assert_eq!((refused.status, refused.all("#user_id-error").len()), (422, 1), "{}", refused.main());
    assert_eq!(refused.attribute("#name", "value").as_deref(), Some("edge-eu-1"));
    let filled = [("name", "edge-eu-1"), ("role", "gateway"), ("expires_in", "never")];
    let made = boss.submit(&page, "/admin/tokens", &filled).await;
    let value = made.all("#value").remove(0);
    assert!(value.starts_with("lk_"), "{value}");
    let twice = boss.submit(&page, "/admin/tokens", &filled).await;
    assert_eq!(twice.all("#value"), [value.as_str()], "sent twice, it is made once");

    let page = boss.open("/admin/tokens?search=edge").await;
    assert_eq!(page.all("tbody tr").len(), 1);
    assert!(!page.text.contains(&value));
    let action = page.attribute("td form", "action").unwrap();
    let page = boss.submit(&page, &action, &[]).await;
    assert!(page.all(".flash")[0].contains("revoked"), "{}", page.main());
    let page = boss.open("/admin/tokens?search=edge").await;
    assert_eq!(page.all("tbody .badge"), ["revoked"]);
}
}

on_both! {
async fn a_users_own_token_does_what_they_may(test: Test) {
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let page = alice.open("/account").await;
    assert_eq!(page.all("#role option"), ["user"], "no role beyond one's own");
    let page = alice.submit(&page, "/account/tokens", &[("name", "")]).await;
    assert_eq!((page.status, page.all("#name-error").len()), (422, 1), "{}", page.main());
    let made = alice.submit(&page, "/account/tokens", &[("name", "laptop")]).await;
    let value = made.all("#value").remove(0);
    let me = test.with(&value, "GET", "/me", None).await;
    assert_eq!((me.status.as_u16(), &me.json["user"]["email"]), (200, &"alice@acme.com".into()));

    let page = alice.open("/account").await;
    assert!(!page.text.contains(&value));
    let action = page.attribute("#tokens td form", "action").unwrap();
    let page = alice.submit(&page, &action, &[]).await;
    assert!(page.all(".flash")[0].contains("revoked"), "{}", page.main());
    assert_eq!(test.with(&value, "GET", "/me", None).await.status.as_u16(), 401);
    assert_eq!(alice.open("/admin/tokens").await.status, 403);
}
}

on_both! {
async fn anothers_token_cannot_be_revoked_from_ones_own_account(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/account").await;
    boss.submit(&page, "/account/tokens", &[("name", "mine")]).await;
    let action = boss.open("/account").await.attribute("#tokens td form", "action").unwrap();
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let csrf = alice.open("/account").await.form("/sign-out").remove(0);
    assert_eq!(alice.post(&action, &[csrf]).await.status, 404);
    assert_eq!(boss.open("/account").await.all("#tokens tbody .badge"), ["active"]);
}
}
