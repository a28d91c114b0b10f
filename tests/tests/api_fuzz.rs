//! The API against its own OpenAPI document: schemathesis sends what the document permits and what it
//! does not, and checks each answer's status, type and shape. No answer may be a 5xx.

use std::fs;
use std::process::Stdio;

use latchkey_tests::stack::{PROVIDER, Stack, artifacts};
use serde_json::{Value, json};
use tokio::process::Command;

/// Operations that would end what the others need: the token that all of them are sent with.
const NEVER: &str = "^(revoke_token|delete_token)$";
/// Operations that would end the things that exist, `NEVER`, and one whose path schemathesis makes wrong, and right again
/// with the ids that it is given.
const NOT_TO_WHAT_EXISTS: &str = "^((delete|revoke)_.*|simulate_rollback)$";

/// A request that the document permits may still be refused: names must exist, a limit lies within
/// another, and no schema says so.
const UNCHECKED: &str = "positive_data_acceptance";

async fn stack() -> Stack {
    Stack::builder().gateways(0).variable("LATCHKEY_APPLY_WAIT_MS", "50").start().await.unwrap()
}

/// Runs schemathesis as an owner, on all operations but those that `except` matches.
async fn fuzz(stack: &mut Stack, phases: &str, except: &str, config: &str) {
    let url = stack.control_plane().url();
    let token = stack.control_plane().token("fuzz", "owner").await.unwrap();
    let config_file = stack.dir().join("schemathesis.toml");
    fs::write(&config_file, config).unwrap();
    let output = Command::new(artifacts::python().unwrap())
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(&config_file)
        .args([
            "run",
            &format!("{url}/api/openapi.json"),
            "--header",
            &format!("Authorization: Bearer {token}"),
        ])
        .args(["--phases", phases, "--max-examples", "10", "--seed", "1", "--workers", "1"])
        .args(["--checks", "all", "--exclude-checks", UNCHECKED, "--exclude-operation-id-regex", except])
        .args(["--continue-on-failure", "--no-shrink", "--generation-database", "none", "--no-color"])
        .args(["--request-timeout", "30", "--warnings", "off"])
        .current_dir(stack.dir())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}\n{errors}");

    let document = stack.api().get("/api/openapi.json").await.unwrap().ok().unwrap();
    let (selected, all) = operations(&document, except);
    assert!(report.contains(&format!("Selected: {selected}/{all}")), "not {selected} of {all}:\n{report}");
    assert!(report.contains(&format!("Tested: {selected}")), "{report}");
    let still = stack.api().with_token(&token).get("/api/v1/apps").await.unwrap();
    assert_eq!(still.status, 200, "an operation ended the token that the others are sent with");
    let log = fs::read_to_string(stack.dir().join("control-plane.log")).unwrap();
    let failures: Vec<_> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// How many operations there are that `except` does not match, and how many in all.
fn operations(document: &Value, except: &str) -> (usize, usize) {
    let ids =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let ids: Vec<_> = ids.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let spared = |id: &&&str| match except {
        NOT_TO_WHAT_EXISTS => {
            id.starts_with("delete_") || id.starts_with("revoke_") || **id == "simulate_rollback"
        }
        _ => matches!(**id, "revoke_token" | "delete_token"),
    };
    (ids.len() - ids.iter().filter(spared).count(), ids.len())
}

/// Says what the ids in paths are, by what the path begins with.
fn ids(things: &[(&str, &[(&str, &str)])]) -> String {
    let table = |(path, ids): &(&str, &[(&str, &str)])| {
        let ids: Vec<_> = ids.iter().map(|(name, id)| format!("\"path.{name}\" = \"{id}\"")).collect();
        format!(
            "[[operations]]\ninclude-path-regex = \"^/api/v1/{path}/\"\nparameters = {{ {} }}\n",
            ids.join(", ")
        )
    };
    things.iter().map(table).collect()
}

#[tokio::test]
async fn the_api_keeps_to_its_document() {
    let mut stack = stack().await;
    fuzz(&mut stack, "coverage,fuzzing,stateful", NEVER, "").await;
}

#[tokio::test]
async fn the_api_keeps_to_its_document_for_things_that_exist() {
    let mut stack = stack().await;
    let api = stack.api();
    let app =
        api.create_app(json!({"name": "fuzzed", "mode": "named", "keep_key_values": true})).await.unwrap();
    let user = api.create_user("alice@acme.com").await.unwrap();
    let key = api.create_key(&app, &user, "laptop").await.unwrap();
    let model = api.create_model("fuzzed", PROVIDER).await.unwrap();
    let config = ids(&[
        ("apps", &[("id", &app.id), ("key", &key.id)]),
        ("users", &[("id", &user)]),
        ("models", &[("id", model["id"].as_str().unwrap())]),
        ("providers", &[("name", PROVIDER)]),
    ]);
    fuzz(&mut stack, "coverage,fuzzing", NOT_TO_WHAT_EXISTS, &config).await;
}
