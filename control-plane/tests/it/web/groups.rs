use super::visitor::Visitor;
use crate::support::on_both;

on_both! {
async fn a_group_is_made_filled_and_deleted(test: Test) {
    test.user("alice@acme.com").await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/groups").await;
    assert!(page.main().contains("No groups yet"));
    let page = boss.open("/admin/groups/new").await;
    let page = boss.submit(&page, "/admin/groups", &[("name", "engineering")]).await;
    assert_eq!((page.status, page.all("h1")), (200, vec!["engineering".to_owned()]));
    let path = page.at.clone();
    let page = boss.submit(&page, &format!("{path}/members"), &[("emails", "alice@acme.com, nobody@acme.com")]).await;
    assert_eq!((page.status, page.all("#emails-error").len()), (422, 1), "{}", page.main());
    assert!(page.text.contains("nobody@acme.com</textarea>"), "what was typed is kept");
    let page = boss.submit(&page, &format!("{path}/members"), &[("emails", "alice@acme.com")]).await;
    assert_eq!((page.all(".flash"), page.all("td:nth-child(2)")), (vec!["1 person added.".into()], vec!["alice@acme.com".into()]));
    let page = boss.submit(&page, &format!("{path}/delete"), &[]).await;
    assert_eq!(page.at, "/admin/groups");
    assert!(page.main().contains("No groups yet"));
}
}

on_both! {
async fn a_form_that_is_sent_twice_creates_once(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/groups/new").await;
    let first = boss.submit(&page, "/admin/groups", &[("name", "engineering")]).await;
    let second = boss.submit(&page, "/admin/groups", &[("name", "engineering")]).await;
    assert_eq!((first.at.as_str(), second.status), (second.at.as_str(), 200));
    assert_eq!(boss.open("/admin/groups").await.all("tbody tr").len(), 1);
}
}
