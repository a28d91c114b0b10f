use super::visitor::Visitor;
use crate::support::on_both;

on_both! {
async fn a_provider_is_made_edited_and_deleted(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    assert!(boss.open("/admin/providers").await.main().contains("No providers yet"));
    let page = boss.open("/admin/providers/new").await;
    let wrong = [("name", "openai"), ("base_url", "ftp://x"), ("credential", "sk-provider-secret")];
    let page = boss.submit(&page, "/admin/providers", &wrong).await;
    assert_eq!((page.status, page.all("#base_url-error").len()), (422, 1), "{}", page.main());
    assert!(!page.text.contains("sk-provider-secret"), "a credential is not shown again");
    let right = [
        ("base_url", "https://api.openai.com/v1"),
        ("credential", "sk-provider-secret"),
        ("idle_timeout_seconds", "1800"),
    ];
    let page = boss.submit(&page, "/admin/providers", &right).await;
    assert_eq!((page.status, page.at.as_str()), (200, "/admin/providers/openai"), "{}", page.main());
    assert!(page.main().contains("stored, encrypted") && !page.text.contains("sk-provider-secret"));

    assert!(page.main().contains("30 min"), "{}", page.main());
    assert!(page.all("dt").contains(&"Kind".to_owned()), "{}", page.main());
    // What was typed stays where the form is refused, though a field was emptied.
    let typed = [("base_url", ""), ("idle_timeout_seconds", "1200"), ("cluster", "mine")];
    let refused = boss.submit(&page, "/admin/providers/openai", &typed).await;
    assert_eq!((refused.status, refused.all("#base_url-error").len()), (422, 1), "{}", refused.main());
    assert_eq!(refused.attribute("[name=cluster]", "value").as_deref(), Some("mine"), "{}", refused.main());

    // Nothing was typed: the credential stays.
    let page = boss.submit(&page, "/admin/providers/openai", &[("base_url", "https://api.openai.com/v2")]).await;
    assert!(page.main().contains("https://api.openai.com/v2") && page.main().contains("stored, encrypted"));
    // Elsewhere it must be typed again.
    let elsewhere = ("base_url", "https://eu.openai.com/v1");
    let page = boss.submit(&page, "/admin/providers/openai", &[elsewhere]).await;
    assert_eq!((page.status, page.all("#credential-error").len()), (422, 1), "{}", page.main());
    let page = boss.submit(&page, "/admin/providers/openai", &[elsewhere, ("credential", "sk-other")]).await;
    assert!(page.main().contains("https://eu.openai.com/v1") && page.main().contains("stored, encrypted"));
    let page = boss.submit(&page, "/admin/providers/openai", &[("forget_credential", "true")]).await;
    assert!(!page.main().contains("stored, encrypted"), "{}", page.main());
    let page = boss.submit(&page, "/admin/providers/openai/switch", &[]).await;
    assert!(page.all(".badge").contains(&"disabled".to_owned()), "{}", page.main());
    let page = boss.submit(&page, "/admin/providers/openai/switch", &[]).await;
    assert!(page.all(".badge").contains(&"enabled".to_owned()), "{}", page.main());
    let page = boss.submit(&page, "/admin/providers/openai/delete", &[]).await;
    assert!(page.main().contains("No providers yet"), "{}", page.main());
    assert_eq!(boss.open("/admin/providers/openai").await.status, 404);
}
}

on_both! {
async fn a_provider_that_is_used_says_why_it_stays(test: Test) {
    test.catalogue().await;
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/providers/openai").await;
    let page = boss.submit(&page, "/admin/providers/openai/delete", &[]).await;
    assert_eq!((page.status, page.all("[role=alert]").len()), (422, 1), "{}", page.main());
    assert!(page.all("[role=alert]")[0].contains("model"), "{}", page.main());
    assert_eq!(page.attribute("#base_url", "value").as_deref(), Some("https://api.openai.com/v1"));
}
}

on_both! {
async fn an_auditor_sees_and_changes_nothing(test: Test) {
    test.catalogue().await;
    let mut eve = Visitor::with_role(&test, "eve@acme.com", "auditor").await;
    let page = eve.open("/admin/providers/openai").await;
    assert_eq!((page.status, page.all("main form").len()), (200, 0));
    for path in ["/admin/providers/new", "/admin/models/new", "/admin/tokens", "/admin/users/new"] {
        assert_eq!(eve.open(path).await.status, 403, "{path}");
    }
    let csrf = page.form("/sign-out").remove(0);
    assert_eq!(eve.post("/admin/providers/openai/delete", &[csrf]).await.status, 403);
    assert_eq!(eve.open("/admin/providers/openai").await.status, 200);
}
}
