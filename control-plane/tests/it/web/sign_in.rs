use super::visitor::{TYPED, Visitor};
use crate::support::on_both;

on_both! {
async fn whoever_is_not_signed_in_is_led_there_and_back(test: Test) {
    test.local("alice@acme.com").await;
    let mut alice = Visitor::new(&test);
    let page = alice.open("/account").await;
    assert_eq!(page.at, "/sign-in?return_to=%2Faccount");
    let fields = [("email", "alice@acme.com"), ("password", TYPED)];
    let page = alice.submit(&page, "/sign-in", &fields).await;
    assert_eq!((page.status, page.at.as_str(), page.all("h1")), (200, "/account", vec!["My account".to_owned()]));
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
}
}

on_both! {
async fn a_wrong_password_keeps_the_address_and_not_the_password(test: Test) {
    test.local("alice@acme.com").await;
    let mut alice = Visitor::new(&test);
    let page = alice.open("/sign-in").await;
    let page = alice.submit(&page, "/sign-in", &[("email", "alice@acme.com"), ("password", "wrong one")]).await;
    assert_eq!(page.status, 401);
    assert_eq!(page.all("[role=alert]"), ["the email address or password is incorrect"]);
    assert_eq!(page.attribute("#email", "value").as_deref(), Some("alice@acme.com"));
    assert!(!page.text.contains("wrong one"));
}
}

on_both! {
async fn a_form_without_the_sessions_token_changes_nothing(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/groups/new").await;
    let page = boss.submit(&page, "/admin/groups", &[("csrf", "forged"), ("name", "marketing")]).await;
    assert_eq!(page.status, 403);
    assert!(page.main().contains("reload the page"), "{}", page.main());
    assert!(!boss.open("/admin/groups").await.main().contains("marketing"));
}
}

on_both! {
async fn signing_out_ends_the_session(test: Test) {
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let kept = alice.cookies.clone();
    let page = alice.open("/account").await;
    let page = alice.submit(&page, "/sign-out", &[]).await;
    assert_eq!((page.at.as_str(), page.all(".flash")), ("/sign-in", vec!["You are signed out.".to_owned()]));
    alice.cookies = kept;
    assert!(alice.open("/account").await.at.starts_with("/sign-in"));
}
}

on_both! {
async fn what_is_not_there_is_a_page_that_helps(test: Test) {
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let page = alice.open("/nowhere").await;
    assert_eq!((page.status, page.all("h1")), (404, vec!["Not found".to_owned()]));
    assert_eq!(page.all("nav li"), ["My apps", "My change requests"], "the ways on are there");
    let page = alice.open("/admin/groups").await;
    assert_eq!((page.status, page.all("h1")), (403, vec!["Not allowed".to_owned()]));
}
}
