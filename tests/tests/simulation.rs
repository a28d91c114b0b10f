//! What a simulation says beside what comes true: the same requests under other settings, through a real gateway.

use latchkey_tests::stack::Stack;
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::{CHEAP, DEAR, Priced, Record};
use reqwest::Method;
use serde_json::{Value, json};

/// As dear as another; the changed settings do not allow it.
const FORBIDDEN: Priced = Priced { name: "test/forbidden", ..DEAR };

const REQUESTS: usize = 400;
const HOURLY: usize = 200;
/// Of the answer of a dear model.
const ANSWER: u64 = 100;

/// The model and the address of a request: of four one is dear and one forbidden, and of seven one is from elsewhere.
fn request(number: usize) -> (&'static str, &'static str, u64) {
    let (model, tokens) = match number % 4 {
        0 => (DEAR.name, ANSWER),
        1 => (FORBIDDEN.name, 10),
        _ => (CHEAP.name, 1),
    };
    (model, if number.is_multiple_of(7) { "198.51.100.9" } else { "203.0.113.9" }, tokens)
}

/// Sends a request as often as others hold what it needs; its code where it is refused.
async fn send(stack: &Stack, app: &App, number: usize) -> Option<String> {
    let (model, address, tokens) = request(number);
    let body =
        json!({ "model": model, "max_tokens": tokens, "messages": [{ "role": "user", "content": "hi" }] });
    loop {
        let request = stack.gateway().request(Method::POST, "/v1/chat/completions").bearer_auth(&app.key);
        let request =
            request.header("x-forwarded-for", address).header("x-sample", format!("tokens={tokens}"));
        let answer = Answer::read(request.json(&body).send().await.unwrap()).await.unwrap();
        match (answer.status, answer.code()) {
            (200, _) => return None,
            (429, "quota_contended") => {}
            (_, code) => return Some(code.to_owned()),
        }
    }
}

async fn run(stack: &Stack, app: &App) -> Vec<Option<String>> {
    let mut codes = Vec::new();
    for number in 0..REQUESTS {
        codes.push(send(stack, app, number).await);
    }
    codes
}

/// What requests that these settings let in cost until this many dear ones were let in, and half a dear one.
fn budget(records: &[Record], dear: usize) -> u64 {
    let (mut seen, mut spent) = (0, 0);
    for record in records {
        let (model, address, _) = request_of(record);
        if address || model == FORBIDDEN.name {
            continue;
        }
        spent += record.cost();
        seen += usize::from(model == DEAR.name);
        if seen == dear {
            return spent + record.cost() * 6 / 10;
        }
    }
    panic!("there were {seen} dear requests");
}

/// The model, and whether it is from elsewhere.
fn request_of(record: &Record) -> (&str, bool, u64) {
    (record.model.as_deref().unwrap(), record.client_address.starts_with("198."), record.output_tokens)
}

#[tokio::test]
async fn what_a_simulation_says_of_other_settings_comes_true() {
    let stack = Stack::builder().priced().trusted_hops(1).start().await.unwrap();
    let provider = latchkey_tests::stack::PROVIDER;
    stack.api().create_priced_model(&FORBIDDEN, provider).await.unwrap();
    let app = stack.api().create_app(json!({ "name": "recorded" })).await.unwrap();
    stack.until_synced().await.unwrap();
    let recorded = run(&stack, &app).await;
    assert_eq!(recorded.iter().flatten().count(), 0, "without limits nothing is refused: {recorded:?}");
    let mut records = stack.api().until_recorded(&app, REQUESTS).await.unwrap();
    records.sort_by(|one, other| one.at.cmp(&other.at));

    let budget = budget(&records, 50);
    let settings = json!({
        "allowed_models": [CHEAP.name, DEAR.name], "ip_allow_list": ["203.0.113.0/24"],
        "limits": {
            "requests_per_hour": HOURLY, "min_output_tokens": ANSWER,
            "budget": { "usd": format!("{}.{:09}", budget / 1_000_000_000, budget % 1_000_000_000), "per": "total" },
        },
    });
    let path = format!("{}/simulation", app.path());
    let said = stack.api().post(&path, settings.clone()).await.unwrap().ok().unwrap();

    let mut other = settings;
    other["name"] = json!("replayed");
    let other = stack.api().create_app(other).await.unwrap();
    stack.until_synced().await.unwrap();
    let truth = run(&stack, &other).await;
    let refused = truth.iter().flatten().count();

    let count = |name: &str| said[name]["count"].as_u64().unwrap();
    assert_eq!((count("requests"), count("refused_then")), (REQUESTS as u64, 0));
    assert!((REQUESTS / 4..REQUESTS * 3 / 4).contains(&refused), "the settings mean something: {refused}");
    let rules = said["refused_by_rule"].as_array().unwrap();
    let by = |code: &str| -> u64 {
        let rules = rules.iter().filter(|rule| rule["code"] == code);
        rules.map(|rule| rule["requests"].as_u64().unwrap()).sum()
    };
    let said_refused = count("would_be_refused");
    let off = said_refused.abs_diff(refused as u64);
    assert!(
        off * 100 <= 2 * REQUESTS as u64,
        "{said_refused} were said, and {refused} were refused: {said:#}"
    );
    for code in ["model_not_allowed", "ip_not_allowed", "rate_limit_exceeded", "insufficient_quota"] {
        let true_count = truth.iter().flatten().filter(|refused| *refused == code).count() as u64;
        assert!(true_count > 0, "{code} decides about some: {truth:?}");
        assert!(
            by(code).abs_diff(true_count) * 100 <= 2 * REQUESTS as u64,
            "{code}: {} and {true_count}",
            by(code)
        );
    }
    let spent: u64 = stack.api().records(&other, "").await.unwrap().iter().map(Record::cost).sum();
    let said_spent = latchkey_tests::stack::ledger::nano_usd(said["spend_would_be"].as_str().unwrap());
    // Gateways reserve the most that an input may cost: of 50 dear requests they refuse one or two earlier.
    assert!(said_spent.abs_diff(spent) * 100 <= 6 * spent, "{said_spent} was said, and {spent} was spent");
    let then: u64 = records.iter().map(Record::cost).sum();
    assert_eq!(latchkey_tests::stack::ledger::nano_usd(said["spend_then"].as_str().unwrap()), then);
}

#[tokio::test]
async fn while_a_simulation_runs_gateways_are_served() {
    let stack = Stack::builder().priced().start().await.unwrap();
    let limits = json!({ "requests_per_hour": 1_000, "budget": { "usd": "1", "per": "day" } });
    let app = stack.api().create_limited_app("busy", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    let call = latchkey_tests::load::Call::chat(&app.key, CHEAP.name, 10, "tokens=10");
    let address = stack.gateway().address();
    let simulate = async || {
        let path = format!("{}/simulation", app.path());
        stack.api().post(&path, json!({ "limits": { "requests_per_hour": 1 } })).await.unwrap()
    };
    for _ in 0..10 {
        let (outcome, said) = tokio::join!(latchkey_tests::load::once(address, &call), simulate());
        assert_eq!(outcome.status, 200, "{}", outcome.text());
        let said: Value = said.ok().unwrap();
        assert_eq!(said["complete"], true);
    }
    stack.api().until_recorded(&app, 10).await.unwrap();
    let said = simulate().await.ok().unwrap();
    assert_eq!(said["would_be_refused"], json!({ "count": 9, "error": 0 }), "{said:#}");
}
