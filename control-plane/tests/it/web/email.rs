use super::visitor::Visitor;
use crate::mail::server::{Answer, SmtpReceiver};
use crate::mail::{mailer, with_mail};
use crate::support::on_both;

on_both! {
async fn pages_say_where_no_mail_is_set_up(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    for path in ["/account", "/admin/webhooks"] {
        let page = boss.open(path).await;
        let section = page.all("#email").join(" ");
        assert!(section.contains("Email is not set up"), "{path}: {section}");
        assert_eq!(page.all("#email form").len(), 0, "{path}");
    }
}
}

on_both! {
async fn people_choose_which_mail_they_get(test: Test) {
    let server = SmtpReceiver::start().await;
    let test = with_mail(test, &server);
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let page = alice.open("/account").await;
    assert_eq!(page.all("#email label").len(), 3, "{}", page.main());
    let fields = [("budgets", "daily"), ("my_requests", "off")];
    let saved = alice.submit(&page, "/account/email", &fields).await;
    assert!(saved.all(".flash")[0].contains("Saved"), "{}", saved.main());
    assert_eq!(saved.all("#email option[selected]"), ["Daily digest", "Right away", "Never"]);
    let wrong = alice.submit(&page, "/account/email", &[("budgets", "weekly")]).await;
    assert_eq!((wrong.status, wrong.all("#budgets-error").len()), (422, 1), "{}", wrong.main());
    let sent = alice.submit(&page, "/account/email/test", &[]).await;
    assert!(sent.all(".flash")[0].contains("Test email queued"), "{}", sent.main());
    let mut boss = Visitor::owner(&test).await;
    assert_eq!(boss.open("/account").await.all("#email label").len(), 5);
}
}

on_both! {
async fn admins_see_how_mail_is_doing(test: Test) {
    let server = SmtpReceiver::start().await;
    let test = with_mail(test, &server);
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/webhooks").await;
    assert!(page.all("#email dd")[0] == server.address && page.all("#email dd")[4] == "never", "{}", page.main());
    let page = boss.submit(&page, "/admin/webhooks/email/test", &[]).await;
    assert!(page.all(".flash")[0].contains("Test email queued"), "{}", page.main());
    server.answer(&[Answer::Say("451 <b>later</b>")]);
    mailer(&test, &server).send_due().await.unwrap();
    let page = boss.open("/admin/webhooks").await;
    assert!(page.all("#email .error")[0].contains("the server responded with 451: <b>later</b>"), "{}", page.main());
    assert_eq!(page.all("#email dd")[2], "1");
    // An owner without an address is told so.
    test.sql(&["UPDATE users SET email = 'owner@localhost'".to_owned()]).await;
    let refused = boss.submit(&page, "/admin/webhooks/email/test", &[]).await;
    assert!(refused.status == 409 && refused.text.contains("email can&#39;t be delivered to owner@localhost"), "{}", refused.text);
    assert!(boss.open("/account").await.main().contains("Email can't be delivered to this address"));
}
}
