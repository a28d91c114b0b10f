//! Rules about the arguments of MCP tools.

use axum::http::StatusCode;
use latchkey_discovery::source::From;
use latchkey_proto::discovery as wire;
use serde_json::{Value, json};

use crate::mcp_tools::attach;
use crate::support::{id, on_both, pair};

fn rule(fields: &Value) -> Value {
    let mut rule = json!({"tool": "github/create_issue", "argument": "/repo"});
    rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    rule
}

on_both! {
    async fn argument_rules_are_checked_when_they_are_written_and_reach_gateways(test: Test) {
        use wire::mcp_argument_rule::Check;

        attach(&test, "unpinned").await;
        for (rules, path) in [
            (json!([rule(&json!({}))]), "mcp_argument_rules[0]"),
            (json!([rule(&json!({"glob": "a", "absent": true}))]), "mcp_argument_rules[0]"),
            (json!([rule(&json!({"glob": "a", "argument": "repo"}))]), "mcp_argument_rules[0].argument"),
            (json!([rule(&json!({"glob": "a"})), rule(&json!({"glob": "a", "tool": "gitlab/x"}))]), "mcp_argument_rules[1].tool"),
            (json!([rule(&json!({"one_of": [["a"]]}))]), "mcp_argument_rules[0].one_of[0]"),
            (json!([rule(&json!({"like": "a"}))]), "mcp_argument_rules[0].like"),
        ] {
            let body = json!({"name": "Bot", "mcp_argument_rules": rules});
            assert_eq!(test.post("/apps", body).await.refused(422), pair("invalid", path), "{rules}");
        }
        let out_of_scope = json!({"name": "Bot", "mcp_scope": "none", "mcp_argument_rules": [rule(&json!({"glob": "a"}))]});
        assert_eq!(test.post("/apps", out_of_scope).await.refused(422), pair("invalid", "mcp_argument_rules[0].tool"));
        let rules = json!([
            rule(&json!({"glob": "acme/*"})),
            rule(&json!({"one_of": ["a", 7, true], "optional": true})),
            rule(&json!({"min": 1, "max": 2.5})),
            rule(&json!({"absent": true, "argument": "/force"})),
        ]);
        let app = test.app(json!({"mcp_argument_rules": rules})).await;
        assert_eq!(app["mcp_argument_rules"], rules);
        let all = test.store.feed_batch(From::Everything, None, 100).await.unwrap();
        let held = |argument: &str, optional, check| wire::McpArgumentRule {
            tool: "github/create_issue".to_owned(), argument: argument.to_owned(), optional, check: Some(check),
        };
        let values = ["\"a\"", "7", "true"].map(str::to_owned).to_vec();
        assert_eq!(all.apps[0].mcp_argument_rules, [
            held("/repo", false, Check::Glob("acme/*".to_owned())),
            held("/repo", true, Check::OneOf(wire::JsonValues { values })),
            held("/repo", false, Check::Range(wire::NumberRange { min: Some("1".to_owned()), max: Some("2.5".to_owned()) })),
            held("/force", false, Check::Absent(wire::Nothing {})),
        ]);
        latchkey_filter_core::snapshot::AppPolicy::try_from(all.apps[0].clone()).unwrap();
        let path = format!("/apps/{}", id(&app));
        test.patch(&path, json!({"mcp_argument_rules": []})).await.expect(StatusCode::OK);
        let versions = test.get(&format!("{path}/versions")).await.expect(StatusCode::OK);
        assert_eq!(versions["items"][0]["changed"], json!(["mcp_argument_rules"]), "{versions}");
        test.act(&format!("{path}/versions/1/rollback")).await.expect(StatusCode::OK);
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["mcp_argument_rules"], rules);
        let refused = test.delete("/mcp-servers/github").await;
        assert_eq!(refused.refused(409).0, "in_use", "the rules name it");
    }
}

on_both! {
    async fn a_rule_is_explained_and_may_be_asked_for(test: Test) {
        attach(&test, "unpinned").await;
        let app = test.app(json!({"mcp_argument_rules": [rule(&json!({"glob": "acme/*"}))]})).await;
        let explain = async |repo: &str| {
            let call = json!({"name": "create_issue", "arguments": {"repo": repo}});
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call});
            let asked = json!({"path": "/mcp/github", "body": body});
            test.post(&format!("/apps/{}/explain", id(&app)), asked).await.expect(StatusCode::OK)
        };
        assert_eq!(explain("acme/site").await["allowed"], true);
        let refused = explain("evil-corp/site").await;
        assert_eq!((&refused["code"], &refused["rule"]), (&json!("mcp_argument_denied"), &json!("app.mcp")));
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("`/repo` must be a string like `acme/*`") && !message.contains("evil"), "{message}");
        test.patch("/mcp-servers/github", json!({"tool_pinning": "approval"})).await.expect(StatusCode::OK);
        assert_eq!(explain("acme/site").await["code"], "mcp_tool_not_approved");

        let alice = test.user("alice@acme.com").await;
        let access = json!({"viewer": {"mode": "everyone"}, "settings_request": {"mode": "everyone"}});
        test.self_service(&app, json!({"access": access})).await;
        let token = test.token_of(&alice).await;
        let wish = json!({"kind": "update_config", "edit": {"mcp_argument_rules": []}, "reason": "all repositories"});
        let path = format!("/me/apps/{}/change-requests", id(&app));
        let asked = test.with(&token, "POST", &path, Some(wish)).await.expect(StatusCode::CREATED);
        assert_eq!(asked["changes"][0]["path"], "mcp_argument_rules", "{asked}");
        test.act(&format!("/change-requests/{}/approve", id(&asked))).await.expect(StatusCode::OK);
        let now = test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(now["mcp_argument_rules"], json!([]));
    }
}

on_both! {
    async fn argument_rules_are_typed_into_the_settings_of_an_app(test: Test) {
        use crate::web::visitor::Visitor;

        attach(&test, "unpinned").await;
        let app = test.app(json!({})).await;
        let path = format!("/admin/apps/{}", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        let page = boss.submit(&page, &path, &[("mcp_argument_rules", "github/create_issue /repo: perhaps")]).await;
        assert_eq!((page.status, page.all("#mcp_argument_rules-error").len()), (422, 1), "{}", page.main());
        let lines = "github/create_issue /repo: like acme/*\ngithub/* /force: absent";
        let page = boss.submit(&page, &path, &[("mcp_argument_rules", lines)]).await;
        assert_eq!(page.status, 200, "{}", page.main());
        let now = test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(now["mcp_argument_rules"], json!([
            {"tool": "github/create_issue", "argument": "/repo", "glob": "acme/*"},
            {"tool": "github/*", "argument": "/force", "absent": true},
        ]));
        let page = boss.open(&path).await;
        assert!(page.all("#mcp_argument_rules")[0].contains("like acme/*"), "{}", page.main());
        boss.submit(&page, &path, &[("tags", "blue")]).await;
        let later = test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!((&later["mcp_argument_rules"], &later["tags"]), (&now["mcp_argument_rules"], &json!(["blue"])));
    }
}
