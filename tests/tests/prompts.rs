//! Stored prompts through a real Envoy: the official SDKs, versions and labels, and what is written down.

use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{PROVIDER_CREDENTIAL, Stack};
use serde_json::{Value, json};

const CLAUDE: &str = "claude-m";
const CALLS: [&str; 4] = ["chat", "developer", "response", "message"];

struct PromptSetup {
    stack: Stack,
    app: App,
}

impl PromptSetup {
    async fn start(settings: Value) -> Self {
        let stack = Stack::start().await.unwrap();
        let api = stack.api();
        api.create_provider("claude", "anthropic", &stack.provider().url(), PROVIDER_CREDENTIAL)
            .await
            .unwrap();
        api.create_model(CLAUDE, "claude").await.unwrap();
        let app = api.create_app(settings).await.unwrap();
        let setup = Self { stack, app };
        setup
            .post("", json!({ "name": "tone", "text": "Be kind to {{name}}.", "labels": ["production"] }))
            .await;
        setup.post("/tone/versions", json!({ "text": "Be kind and brief, {{name}}." })).await;
        setup.stack.until_synced().await.unwrap();
        setup
    }

    async fn post(&self, path: &str, body: Value) {
        let path = format!("{}/prompts{path}", self.app.path());
        self.stack.api().post(&path, body).await.unwrap().ok().unwrap();
    }

    /// What each call of the script answers to this system text.
    async fn sdks(&self, system: &str, variables: &str) -> Vec<(&'static str, Value)> {
        let variables = [("SYSTEM", system), ("VARIABLES", variables), ("CLAUDE_MODEL", CLAUDE)];
        let seen = self.stack.gateway().sdk("prompts.py", &self.app.key, &variables).await.unwrap();
        CALLS.into_iter().map(|call| (call, seen[call].clone())).collect()
    }

    /// Everything that the provider has got since the last time.
    fn upstream(&self) -> Vec<String> {
        let bodies =
            self.stack.provider().requests().iter().map(|request| request.body.to_string()).collect();
        self.stack.provider().forget();
        bodies
    }
}

#[tokio::test]
async fn every_sdk_reaches_the_provider_with_the_stored_text() {
    let setup = PromptSetup::start(json!({ "name": "prompts" })).await;
    for (system, text) in [
        ("{{prompt:tone}}", "Be kind and brief, Kim {{prompt:tone@v1}}."),
        ("Now: {{prompt:tone@v1}}", "Now: Be kind to Kim {{prompt:tone@v1}}."),
        ("{{prompt:tone@production}}", "Be kind to Kim {{prompt:tone@v1}}."),
        ("quilrai-prompt-store-tone", "Be kind and brief, Kim {{prompt:tone@v1}}."),
    ] {
        for (call, outcome) in setup.sdks(system, r#"{"name": "Kim {{prompt:tone@v1}}"}"#).await {
            assert_eq!(outcome["text"], "You said: {{prompt:tone}}", "{call} {system}: {outcome}");
        }
        let upstream = setup.upstream();
        assert_eq!(upstream.len(), CALLS.len());
        for body in upstream {
            assert!(body.contains(text), "{system}: {body}");
        }
    }
}

#[tokio::test]
async fn every_sdk_hears_what_is_wrong_by_name() {
    let setup = PromptSetup::start(json!({ "name": "prompts", "prompt_required": true })).await;
    for (system, variables, code, named) in [
        ("{{prompt:nope}}", "", "prompt_not_found", "`nope`"),
        ("{{prompt:tone@v7}}", "", "prompt_not_found", "`v7`"),
        ("{{prompt:tone}}", "", "invalid_prompt_variables", "`name`"),
        ("{{prompt:tone}}", r#"{"name": 1, "zip": 2}"#, "invalid_prompt_variables", "`zip`"),
        ("{{prompt:tone}} Be rude.", r#"{"name": 1}"#, "prompt_required", "nothing else"),
    ] {
        for (call, outcome) in setup.sdks(system, variables).await {
            assert_eq!(outcome["error"], "BadRequestError", "{call}: {outcome}");
            assert_eq!(outcome["code"], code, "{call}: {outcome}");
            assert!(outcome["message"].as_str().unwrap_or_default().contains(named), "{call}: {outcome}");
        }
    }
    assert_eq!(setup.upstream().len(), 0);
}

#[tokio::test]
async fn logs_name_the_version_and_never_the_text() {
    let setup = PromptSetup::start(json!({ "name": "prompts" })).await;
    setup.sdks("{{prompt:tone@production}}", r#"{"name": "planted"}"#).await;
    setup.stack.api().until_recorded(&setup.app, CALLS.len()).await.unwrap();
    let logs = setup.stack.api().get("/api/v1/logs").await.unwrap().text;
    let read: Value = serde_json::from_str(&logs).unwrap();
    for log in read["items"].as_array().unwrap() {
        assert_eq!(log["prompts"], json!(["tone@v1"]), "{log}");
    }
    assert!(!logs.contains("planted") && !logs.contains("Be kind"), "{logs}");
}
