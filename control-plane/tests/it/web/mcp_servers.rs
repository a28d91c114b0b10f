use serde_json::json;

use super::visitor::Visitor;
use crate::support::{id, on_both};

on_both! {
async fn a_server_is_attached_edited_and_deleted(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    assert!(boss.open("/admin/mcp-servers").await.main().contains("No MCP servers yet"));
    let page = boss.open("/admin/mcp-servers/new").await;
    let wrong = [("name", "github"), ("url", "ftp://x"), ("credential", "ghp-secret")];
    let page = boss.submit(&page, "/admin/mcp-servers", &wrong).await;
    assert_eq!((page.status, page.all("#url-error").len()), (422, 1), "{}", page.main());
    assert!(!page.text.contains("ghp-secret"), "a credential is not shown again");
    let right = [("url", "https://mcp.acme.com/mcp"), ("credential", "ghp-secret")];
    let page = boss.submit(&page, "/admin/mcp-servers", &right).await;
    assert_eq!((page.status, page.at.as_str()), (200, "/admin/mcp-servers/github"), "{}", page.main());
    assert!(page.main().contains("stored, encrypted") && page.main().contains("/mcp/github"), "{}", page.main());

    let page = boss.submit(&page, "/admin/mcp-servers/github", &[("url", "https://mcp.acme.com/v2")]).await;
    assert!(page.main().contains("https://mcp.acme.com/v2") && page.main().contains("stored, encrypted"));
    let page = boss.submit(&page, "/admin/mcp-servers/github", &[("forget_credential", "true")]).await;
    assert!(!page.main().contains("stored, encrypted"), "{}", page.main());
    let page = boss.submit(&page, "/admin/mcp-servers/github/switch", &[]).await;
    assert!(page.all(".badge").contains(&"disabled".to_owned()), "{}", page.main());
    let page = boss.submit(&page, "/admin/mcp-servers/github/switch", &[]).await;
    assert!(page.all(".badge").contains(&"enabled".to_owned()), "{}", page.main());
    let page = boss.submit(&page, "/admin/mcp-servers/github/delete", &[]).await;
    assert!(page.main().contains("No MCP servers yet"), "{}", page.main());
    assert_eq!(boss.open("/admin/mcp-servers/github").await.status, 404);
}
}

on_both! {
async fn the_mcp_tab_scopes_a_key_and_the_settings_change_it(test: Test) {
    for name in ["files", "github"] {
        test.post("/mcp-servers", json!({"name": name, "url": "https://mcp.acme.com/mcp"})).await.expect(201.try_into().unwrap());
    }
    let mut boss = Visitor::owner(&test).await;
    let page = boss.open("/admin/apps/new").await;
    assert!(page.main().contains("Available:") && page.main().contains("github"), "{}", page.main());
    let wrong = [("name", "Bot"), ("mode", "shared"), ("mcp_scope", "only"), ("mcp_scope.only", "files, gitlab/x")];
    let page = boss.submit(&page, "/admin/apps", &wrong).await;
    assert_eq!((page.status, page.all("#mcp_scope-error").len()), (422, 1), "{}", page.main());
    assert!(page.all("#mcp_scope-error")[0].contains("gitlab"), "{}", page.main());
    assert_eq!(page.attribute("#mcp_scope", "value").as_deref(), Some("files, gitlab/x"), "what was typed stays");
    let page = boss.submit(&page, "/admin/apps", &[("mcp_scope.only", "files, github/search_*")]).await;
    assert_eq!((page.status, page.all("h1")), (200, vec!["API key created".to_owned()]), "{}", page.main());
    let apps = test.get("/apps").await.expect(200.try_into().unwrap());
    assert_eq!(apps["items"][0]["mcp_scope"], json!(["files", "github/search_*"]));

    let path = format!("/admin/apps/{}", id(&apps["items"][0]));
    let page = boss.open(&path).await;
    assert_eq!(page.attribute("#mcp_scope", "value").as_deref(), Some("files, github/search_*"));
    let page = boss.submit(&page, &path, &[("mcp_scope", "none")]).await;
    assert_eq!(page.status, 200, "{}", page.main());
    let page = boss.open("/admin/mcp-servers/files").await;
    let page = boss.submit(&page, "/admin/mcp-servers/files/delete", &[]).await;
    assert_eq!((page.status, page.at.as_str()), (200, "/admin/mcp-servers"), "nothing names it: {}", page.main());
}
}

on_both! {
async fn users_see_the_servers_and_tools_that_they_may_call(test: Test) {
    for name in ["files", "github", "jira"] {
        test.post("/mcp-servers", json!({"name": name, "url": "https://mcp.acme.com/mcp"})).await.expect(201.try_into().unwrap());
    }
    let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
    let app = test.app(json!({"mcp_scope": ["files", "github/search_*"]})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    let page = alice.open(&format!("/apps/{}", id(&app))).await;
    let rows = page.all("[aria-label=\"MCP servers\"] tbody tr");
    assert_eq!(rows.len(), 2, "{}", page.main());
    assert!(rows[0].contains("/mcp/files") && rows[0].contains("all"), "{rows:?}");
    assert!(rows[1].contains("/mcp/github") && rows[1].contains("search_*"), "{rows:?}");
}
}
