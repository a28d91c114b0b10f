//! Gateways whose configuration does not go with routing groups, and versions of it that Envoy refuses.

use std::path::PathBuf;
use std::time::Duration;

use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::gateway::Gateway;
use latchkey_tests::stack::{Stack, artifacts};
use latchkey_tests::upstream::Upstream;
use reqwest::Method;
use serde_json::json;

use super::{Act, PATIENCE, Place, body, good, group, header, record, template, wait};

/// The configuration as it was before there were routing groups.
fn without_groups(stack: &Stack) -> PathBuf {
    let cut = |text: String, from: &str, to: &str| {
        let (before, rest) = text.split_once(from).expect(from);
        let (_, after) = rest.split_once(to).expect(to);
        [before, to, after].concat()
    };
    let old = cut(template(), "  # What the control plane needs to know", "\n# A file, not a port");
    let old =
        cut(old, "                        # Of routing groups.", "                        # The only GET");
    assert!(!old.contains("latchkey/group") && !old.contains("metadata"));
    let path = stack.dir().join("without-groups.yaml");
    std::fs::write(&path, old).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_before_says_that_it_has_no_route_and_serves_models_as_ever() {
    let mut place = Place::start(
        json!({ "limits": { "budget": { "usd": "1", "per": "day" } }, "routing_groups": "all" }),
    )
    .await;
    let api = place.stack.api().clone();
    let anthropic = Upstream::start(|_| Act::ok("", "{}")).await.unwrap();
    api.create_provider("claude", "anthropic", &anthropic.url(""), "sk").await.unwrap();
    let price = json!({ "input": "1", "cached_input": "1", "output": "10" });
    let model = json!({
        "name": "claude", "provider": "claude", "price": price, "max_output_tokens": 100, "context_window": 1_000_000,
    });
    api.post("/api/v1/models", model).await.unwrap().ok().unwrap();
    let targets = json!([{ "provider": "claude", "model": "claude", "weight": 100 }]);
    api.post("/api/v1/routing-groups", json!({ "name": "smart", "targets": targets }))
        .await
        .unwrap()
        .ok()
        .unwrap();
    let options = place.stack.options("of-before").config(&without_groups(&place.stack));
    place.stack.add_gateway(options).await.unwrap();
    place.stack.until_synced().await.unwrap();
    place.targets.iter().for_each(|target| target.will(good()));
    let old = &place.stack.gateways()[1];

    let answer = old.chat(&place.app.key, body(&json!({}))).await.unwrap();
    assert_eq!((answer.status, answer.code()), (503, "group_not_routed"), "{}", answer.text);
    let error = &answer.body["error"];
    assert_eq!((&error["type"], &error["rule"]), (&json!("server_error"), &json!("gateway.routes")));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("no route for routing groups") && message.contains("envoy/README.md"),
        "{message}"
    );
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    assert!(header(&answer, "retry-after").is_some(), "another gateway may have it");
    let ask =
        old.request(Method::POST, "/anthropic_messages/v1/messages").header("x-api-key", &place.app.key);
    let message =
        json!({ "model": "smart", "max_tokens": 20, "messages": [{ "role": "user", "content": "hi" }] });
    let told = Answer::read(ask.json(&message).send().await.unwrap()).await.unwrap();
    assert_eq!((told.status, &told.body["type"]), (503, &json!("error")), "{}", told.text);
    assert_eq!((&told.body["error"]["type"], told.code()), (&json!("api_error"), "group_not_routed"));

    // Neither a target nor the money is at fault.
    let record = record(&place, header(&answer, "x-request-id").unwrap()).await;
    assert_eq!((record.status, record.code.as_deref()), (Some(503), Some("group_not_routed")));
    assert_eq!((record.cost(), record.settlement.as_str(), record.attempts.len()), (0, "none", 0));
    assert_eq!(place.taken().map(|requests| requests.len()), [0, 0, 0]);
    let served = old.chat(&place.app.key, body(&json!({ "model": "model-a" }))).await.unwrap();
    assert_eq!(served.status, 200, "{}", served.text);

    // Who looks is told, too.
    let gateways = api.get("/api/v1/gateways").await.unwrap().ok().unwrap();
    let clusters = |name: &str| {
        let all = gateways["items"].as_array().unwrap();
        let gateway = all.iter().find(|gateway| gateway["name"] == name).unwrap();
        (gateway["group_clusters"].clone(), gateway["resting"].clone())
    };
    assert_eq!(clusters("of-before"), (json!(false), json!([])));
    assert_eq!(clusters("gateway-0").0, json!(true));
    let asked = json!({ "model": "fast" });
    let explained = api.post(&format!("{}/explain", place.app.path()), asked).await.unwrap().ok().unwrap();
    assert_eq!(explained["forward"]["routing"]["without_clusters"], json!(["of-before"]), "{explained}");
}

/// The configuration, in which the clusters of groups have the filter at another path than the gate.
fn with_filter_at(stack: &Stack, path: &std::path::Path) -> PathBuf {
    let own = format!("filter_wasm: \"{}\"", path.display());
    let moved = template().replacen("filter_wasm: \"${FILTER_WASM}\"", &own, 1);
    assert!(moved.contains(&own));
    let config = stack.dir().join("filter-elsewhere.yaml");
    std::fs::write(&config, moved).unwrap();
    config
}

/// What the gateway's Envoy refuses of clusters.
async fn refusal(place: &Place, name: &str) -> Option<String> {
    let known = place.stack.api().gateway(name).await.unwrap().unwrap();
    known["cluster_error"].as_str().map(str::to_owned)
}

/// Where a target's requests come to, by the paths under which it is known.
async fn asked(place: &Place, gateway: &Gateway, model: &str) -> Option<String> {
    place.targets.iter().for_each(|target| drop(target.upstream.take()));
    let answer = gateway.chat(&place.app.key, body(&json!({ "model": model }))).await.unwrap();
    let line = |at: usize| {
        let heads = place.targets[at].upstream.take();
        heads.first().and_then(|head| head.lines().next()).map(|line| format!("{} {line}", super::NAMES[at]))
    };
    (0..3).find_map(line).filter(|_| answer.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_cluster_that_envoy_refuses_leaves_the_last_one_and_a_reconnect_resumes() {
    let mut place = Place::start(json!({ "routing_groups": "all" })).await;
    let api = place.stack.api().clone();
    let filter = place.stack.dir().join("filter.wasm");
    std::fs::copy(artifacts::filter().unwrap(), &filter).unwrap();
    let options = place.stack.options("picky").config(&with_filter_at(&place.stack, &filter));
    place.stack.add_gateway(options).await.unwrap();
    place.stack.until_synced().await.unwrap();
    place.targets.iter().for_each(|target| target.will(good()));
    let first = "a post /a/v1/chat/completions http/1.1".to_owned();
    wait::until("the group to be served", PATIENCE, async || {
        Ok((asked(&place, &place.stack.gateways()[1], "fast").await.as_ref() == Some(&first)).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(refusal(&place, "picky").await, None);

    // The file is gone: what the control plane sends now cannot be loaded.
    std::fs::remove_file(&filter).unwrap();
    let url = place.targets[1].upstream.url("/moved/v1");
    let moved = json!({ "base_url": url, "credential": "credential-of-a" });
    api.edit("/api/v1/providers/a", moved).await.unwrap();
    wait::until("the refusal to be told", PATIENCE, async || {
        Ok(refusal(&place, "picky").await.filter(|error| error.contains("latchkey/group/")))
    })
    .await
    .unwrap();
    // The ordinary cluster is there in its new form, and the group's in its last good one.
    wait::until("the model to be served where it is now", PATIENCE, async || {
        let seen = asked(&place, &place.stack.gateways()[1], "model-a").await;
        Ok((seen.as_deref() == Some("b post /moved/v1/chat/completions http/1.1")).then_some(()))
    })
    .await
    .unwrap();
    for _ in 0..5 {
        let seen = asked(&place, &place.stack.gateways()[1], "fast").await.unwrap();
        assert!(seen.starts_with("a post "), "the last good cluster goes on: {seen}");
    }

    // The control plane comes back, and so does the file; what was refused is sent again, and taken.
    std::fs::copy(artifacts::filter().unwrap(), &filter).unwrap();
    place.stack.crash_control_plane().await.unwrap();
    let second = "b post /moved/v1/chat/completions http/1.1".to_owned();
    wait::until("the group to follow", Duration::from_secs(60), async || {
        let seen = asked(&place, &place.stack.gateways()[1], "fast").await;
        Ok((seen.as_ref() == Some(&second)).then_some(()))
    })
    .await
    .unwrap();
    wait::until("nothing to be refused any more", PATIENCE, async || {
        let known = place.stack.api().gateway("picky").await?;
        Ok(known.filter(|known| known["connected"] == true && known["cluster_error"].is_null()))
    })
    .await
    .unwrap();

    // And a change after that arrives.
    let settings = group(json!({}));
    let list = api.get("/api/v1/routing-groups").await.unwrap().ok().unwrap();
    let path = format!("/api/v1/routing-groups/{}", list["items"][0]["id"].as_str().unwrap());
    let mut targets = settings["targets"].clone();
    (targets[0]["weight"], targets[2]["weight"]) = (json!(0), json!(100));
    api.edit(&path, json!({ "targets": targets })).await.unwrap();
    let third = "c post /c/v1/chat/completions http/1.1".to_owned();
    wait::until("the group to change", PATIENCE, async || {
        let seen = asked(&place, &place.stack.gateways()[1], "fast").await;
        Ok((seen.as_ref() == Some(&third)).then_some(()))
    })
    .await
    .unwrap();
}
