//! Codex CLI and Claude Code, unmodified, with a key of ours.

use latchkey_tests::agents::{Home, Said};
use latchkey_tests::provider::Seen;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{PROVIDER, PROVIDER_CREDENTIAL, Stack};
use serde_json::json;

const MODEL: &str = "house-model";
/// Codex searches the web by default.
const NO_SEARCH: &str = r#"web_search="disabled""#;
const CLAUDE: &str = "claude-house";

struct Company {
    stack: Stack,
    /// Without limits, with a budget, and with a limit of tokens per minute.
    apps: [App; 3],
}

async fn company() -> Company {
    let stack = Stack::start().await.unwrap();
    let api = stack.api();
    api.create_provider("claude", "anthropic", &stack.provider().url(), PROVIDER_CREDENTIAL).await.unwrap();
    for (name, provider) in [(MODEL, PROVIDER), (CLAUDE, "claude")] {
        let price = json!({ "input": "1", "cached_input": "0.1", "output": "10" });
        let model =
            json!({ "name": name, "provider": provider, "price": price, "max_output_tokens": 32_000 });
        api.post("/api/v1/models", model).await.unwrap().ok().unwrap();
    }
    let free = api.create_app(json!({ "name": "free" })).await.unwrap();
    let budget = json!({ "budget": { "usd": "5.00", "per": "day" } });
    let budgeted = api.create_limited_app("budgeted", budget).await.unwrap();
    let metered = api.create_limited_app("metered", json!({ "tokens_per_minute": 1_000_000 })).await.unwrap();
    stack.until_synced().await.unwrap();
    Company { stack, apps: [free, budgeted, metered] }
}

impl Company {
    /// What the provider has seen of an agent that is done, whose calls are recorded as reported.
    async fn seen(&self, app: &App, said: &Said) -> Vec<Seen> {
        assert!(said.success, "{said:?}");
        let seen = self.stack.provider().requests();
        let records = self.stack.api().until_recorded(app, seen.len()).await.unwrap();
        for record in records {
            assert_eq!((record.status, record.settlement.as_str()), (Some(200), "reported"), "{record:?}");
        }
        assert!(seen.iter().all(|seen| !seen.headers.values().any(|value| value.contains(&app.key))));
        self.stack.provider().forget();
        seen
    }
}

#[tokio::test]
async fn codex_works_with_and_without_limits() {
    let company = company().await;
    let (home, gateway) = (Home::new().unwrap(), company.stack.gateway());
    for app in &company.apps {
        let said = home.codex(gateway, &app.key, MODEL, &[NO_SEARCH], "say hello").await.unwrap();
        assert!(said.output.contains("You said: say hello"), "{said:?}");
        let seen = company.seen(app, &said).await;
        let kinds = seen[0].body["tools"].as_array().unwrap().iter();
        assert!(kinds.clone().any(|tool| tool["type"] == "namespace"), "{:?}", kinds.collect::<Vec<_>>());
        assert_eq!((seen.len(), seen[0].path.as_str()), (1, "/v1/responses"));
    }
}

#[tokio::test]
async fn codex_is_told_which_of_its_settings_a_limit_does_not_allow() {
    let company = company().await;
    let (home, gateway) = (Home::new().unwrap(), company.stack.gateway());
    let [free, budgeted, _] = &company.apps;
    let said = home.codex(gateway, &free.key, MODEL, &[], "say hello").await.unwrap();
    let seen = company.seen(free, &said).await;
    let tools = seen[0].body["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["type"] == "web_search"), "on by default: {tools:?}");
    let said = home.codex(gateway, &budgeted.key, MODEL, &[], "say hello").await.unwrap();
    // Codex shows the error as the JSON that it is.
    assert!(!said.success && said.errors.contains(r#"web_search = \"disabled\""#), "{said:?}");
    assert_eq!(company.stack.provider().requests().len(), 0);
}

#[tokio::test]
async fn codex_gives_its_websocket_up_at_once() {
    let company = company().await;
    let (home, gateway) = (Home::new().unwrap(), company.stack.gateway());
    let app = &company.apps[1];
    let settings = [NO_SEARCH, "model_providers.latchkey.supports_websockets=true"];
    let said = home.codex(gateway, &app.key, MODEL, &settings, "say hello").await.unwrap();
    assert!(said.output.contains("You said: say hello"), "{said:?}");
    assert_eq!(company.seen(app, &said).await.len(), 1);
    gateway.until_logged(|line| line["status"] == 200 && line["method"] == "POST").await.unwrap();
    let lines = gateway.access_log();
    let sockets = lines.iter().filter(|line| line["method"] == "GET" && line["path"] == "/v1/responses");
    let statuses: Vec<_> = sockets.map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [426], "one try, and no other");
}

#[tokio::test]
async fn claude_code_works_with_and_without_limits() {
    let company = company().await;
    let (home, gateway) = (Home::new().unwrap(), company.stack.gateway());
    for app in &company.apps {
        let said = home.claude(gateway, &app.key, CLAUDE, "say hello").await.unwrap();
        assert!(said.output.contains("say hello"), "{said:?}");
        let seen = company.seen(app, &said).await;
        assert!(seen.iter().all(|seen| seen.path.starts_with("/v1/messages")), "{seen:?}");
    }
}
