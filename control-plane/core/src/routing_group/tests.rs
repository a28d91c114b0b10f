use serde_json::{Value, json};

use super::*;

fn read(settings: Value) -> RoutingSettings {
    serde_json::from_value(settings).unwrap()
}

/// The paths of what is refused.
fn refused(settings: Value) -> Vec<String> {
    let Err(Invalid(errors)) = read(settings).validated() else { return Vec::new() };
    errors.into_iter().map(|error| error.path).collect()
}

fn target(provider: &str, weight: u32) -> Value {
    json!({"provider": provider, "model": "gpt-4o", "weight": weight})
}

fn tier(name: &str, up_to_tokens: Option<u64>) -> Value {
    json!({"name": name, "up_to_tokens": up_to_tokens, "targets": [target("a", 100)]})
}

#[test]
fn targets_alone_are_a_group_for_all_sizes() {
    let settings = read(json!({"targets": [target("a", 70), target("b", 30), target("c", 0)]}));
    let settings = settings.validated().unwrap();
    assert_eq!(settings.failover, Failover::default());
    let tiers: Vec<_> =
        settings.tiers().map(|(path, border, targets)| (path, border, targets.len())).collect();
    assert_eq!(tiers, [("targets".to_owned(), None, 3)]);
    assert!(settings.has_target("b", "gpt-4o") && !settings.has_target("b", "gpt-4"));
    assert!(settings.has_provider("c") && !settings.has_provider("d"));
}

#[test]
fn a_group_has_targets_or_tiers() {
    assert_eq!(refused(json!({})), ["targets"]);
    assert_eq!(refused(json!({"targets": [target("a", 100)], "tiers": [tier("high", None)]})), ["tiers"]);
}

#[test]
fn weights_of_a_tier_sum_to_100() {
    assert_eq!(refused(json!({"targets": [target("a", 70), target("b", 20)]})), ["targets"]);
    assert_eq!(refused(json!({"targets": [target("a", 0)]})), ["targets"]);
    assert_eq!(refused(json!({"targets": [target("a", 101)]})), ["targets[0].weight", "targets"]);
    let huge = json!({"targets": [target("a", u32::MAX), target("b", u32::MAX)]});
    assert_eq!(refused(huge), ["targets[0].weight", "targets[1].weight", "targets"]);
    let tiers = json!({"tiers": [tier("low", Some(10)), {"name": "high", "targets": [target("a", 99)]}]});
    assert_eq!(refused(tiers), ["tiers[1].targets"]);
}

#[test]
fn a_target_is_once_in_a_tier_and_at_most_16_are_in_a_group() {
    assert_eq!(refused(json!({"targets": [target("a", 50), target("a", 50)]})), ["targets[1]"]);
    assert_eq!(refused(json!({"tiers": [tier("low", Some(10)), tier("high", None)]})), [""; 0]);
    let many = |most: usize| -> Vec<Value> {
        (0..most).map(|i| target(&format!("p{i}"), if i == 0 { 100 } else { 0 })).collect()
    };
    assert_eq!(refused(json!({"targets": many(16)})), [""; 0]);
    assert_eq!(refused(json!({"targets": many(17)})), ["targets"]);
    let tiers = json!([{"name": "low", "up_to_tokens": 5, "targets": many(16)}, tier("high", None)]);
    assert_eq!(refused(json!({"tiers": tiers})), ["tiers"]);
}

#[test]
fn tiers_ascend_and_the_last_has_no_border() {
    let good = json!({"tiers": [tier("low", Some(8000)), tier("medium", Some(64000)), tier("high", None)]});
    assert_eq!(refused(good.clone()), [""; 0]);
    let paths: Vec<_> = read(good).tiers().map(|(path, border, _)| (path, border)).collect();
    let path = |i| format!("tiers[{i}].targets");
    assert_eq!(paths, [(path(0), Some(8000)), (path(1), Some(64000)), (path(2), None)]);
    for (tiers, path) in [
        (vec![tier("high", Some(5))], "tiers[0].up_to_tokens"),
        (vec![tier("low", None), tier("high", None)], "tiers[0].up_to_tokens"),
        (vec![tier("low", Some(0)), tier("high", None)], "tiers[0].up_to_tokens"),
        (vec![tier("low", Some(2_000_000_000)), tier("high", None)], "tiers[0].up_to_tokens"),
        (vec![tier("low", Some(9)), tier("medium", Some(9)), tier("high", None)], "tiers[1].up_to_tokens"),
        (vec![tier("high", Some(9)), tier("low", None)], "tiers[1].name"),
        (vec![tier("low", Some(9)), tier("low", None)], "tiers[1].name"),
        (vec![json!({"name": "low", "targets": []})], "tiers[0].targets"),
    ] {
        assert_eq!(refused(json!({"tiers": tiers})), [path], "{tiers:?}");
    }
}

#[test]
fn failover_is_within_what_gateways_do() {
    let refused = |failover: Value| refused(json!({"targets": [target("a", 100)], "failover": failover}));
    assert_eq!(refused(json!({"attempts": 1, "statuses": [], "headers_timeout_ms": 100})), [""; 0]);
    assert_eq!(refused(json!({"attempts": 0})), ["failover.attempts"]);
    assert_eq!(refused(json!({"attempts": 5})), ["failover.attempts"]);
    assert_eq!(
        refused(json!({"statuses": [400, 399, 599, 600]})),
        ["failover.statuses[1]", "failover.statuses[3]"]
    );
    assert_eq!(refused(json!({"headers_timeout_ms": 0})), ["failover.headers_timeout_ms"]);
    assert_eq!(refused(json!({"first_event_timeout_ms": 600_001})), ["failover.first_event_timeout_ms"]);
    let settings = read(json!({"targets": [target("a", 100)], "failover": {"statuses": [503, 429, 503]}}));
    assert_eq!(settings.validated().unwrap().failover.statuses, [429, 503]);
}

#[test]
fn a_description_is_plain_text() {
    let refused = |text: &str| refused(json!({"targets": [target("a", 100)], "description": text}));
    assert_eq!(refused("Two lines\nof text"), [""; 0]);
    for text in ["a\u{7}b", "a\u{202e}b", &"x".repeat(501)] {
        assert_eq!(refused(text), ["description"], "{text:?}");
    }
}

#[test]
fn a_group_speaks_one_api() {
    let kind = |provider: &str| match provider {
        "claude" => Some(ProviderKind::Anthropic),
        "azure" => Some(ProviderKind::AzureOpenai),
        "openai" => Some(ProviderKind::Openai),
        _ => None,
    };
    let wrong = |targets: &[&str]| {
        let mut invalid = Invalid::default();
        let targets: Vec<_> = targets.iter().map(|provider| target(provider, 0)).collect();
        read(json!({ "targets": targets })).check_family(kind, &mut invalid);
        invalid.0
    };
    assert_eq!(wrong(&["openai", "azure", "unknown"]), []);
    assert_eq!(wrong(&["claude", "claude"]), []);
    let wrong = wrong(&["openai", "azure", "claude"]);
    assert_eq!(wrong[0].path, "targets[2].provider");
    assert_eq!(
        wrong[0].message,
        "`claude` uses Anthropic's API and `targets[0]` uses OpenAI's: all targets of a group must use the \
         same API"
    );
}

#[test]
fn an_app_names_groups_and_no_patterns() {
    let mut invalid = Invalid::default();
    let names = ["fast", "gpt-*", "meta/llama"].map(str::to_owned);
    check_names("routing_groups", &Selection::Only(names.to_vec()), &mut invalid);
    let paths: Vec<_> = invalid.0.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["routing_groups[1]"]);
}
