use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::content::CustomCategory;
use crate::invalid::Invalid;
use crate::settings::AppSettings;

fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn read(settings: Value) -> GuardrailSettings {
    serde_json::from_value(settings).unwrap()
}

fn own(name: &str) -> CustomCategory {
    serde_json::from_value(json!({"name": name, "keywords": ["orion"]})).unwrap()
}

fn app(guardrails: Value, custom_categories: &[CustomCategory]) -> AppSettings {
    AppSettings {
        guardrails: read(guardrails),
        custom_categories: custom_categories.to_vec(),
        ..AppSettings::default()
    }
}

fn errors(result: Result<impl Sized, Invalid>) -> Vec<(String, String)> {
    let errors = result.err().into_iter().flat_map(|Invalid(errors)| errors);
    errors.map(|error| (error.path, error.message)).collect()
}

/// The first refusal of settings that are all new.
fn refused(guardrails: Value, own: &[CustomCategory]) -> (String, String) {
    let checked = app(guardrails, own).validated_over(&AppSettings::default());
    errors(checked).into_iter().next().unwrap_or_default()
}

fn path(guardrails: Value) -> String {
    refused(guardrails, &[]).0
}

#[test]
fn what_is_not_said_is_monitored_in_both_directions_from_low_risk_on() {
    let settings = read(json!({"rules": [{"category": "pii"}]}));
    assert_eq!(settings.rules, [GuardrailRule::monitor("pii".parse().unwrap())]);
    assert_eq!(settings.unseen_texts, UnseenTexts::Refuse);
    let shown = serde_json::to_value(&settings).unwrap();
    assert_eq!(
        shown,
        json!({
            "rules": [{"category": "pii", "action": "monitor", "direction": "both", "min_risk": "low"}],
            "exceptions": [], "exception_patterns": [], "unseen_texts": "refuse"
        })
    );
    assert_eq!(path(json!({"rules": [{"category": "pii"}]})), "");
}

#[test]
fn every_category_reads_as_it_is_written() {
    let words: Vec<_> = GuardrailCategory::all().map(GuardrailCategory::as_str).collect();
    assert_eq!(words.len(), 10);
    for word in words {
        let category: GuardrailCategory = serde_json::from_value(json!(word)).unwrap();
        assert_eq!(serde_json::to_value(category).unwrap(), word);
    }
    let unknown = serde_json::from_value::<GuardrailCategory>(json!("weather")).unwrap_err();
    assert!(unknown.to_string().contains("`social_engineering`"), "{unknown}");
    assert!(serde_json::from_value::<GuardrailSettings>(json!({"rule": []})).is_err(), "unknown fields");
}

#[test]
fn a_rule_names_what_there_is() {
    let rule = |rule: Value| refused(json!({"rules": [{"category": "pii"}, rule]}), &[]);
    let (path, message) = rule(json!({"category": "pii", "detector": "emial"}));
    assert_eq!(path, "guardrails.rules[1].detector");
    assert!(message.contains("`email`"), "{message}");
    let (path, message) = rule(json!({"category": "pii", "detector": "credit_card"}));
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("guardrails.rules[1].detector", "is a detector of the category `pci`")
    );
    assert_eq!(rule(json!({"category": "pii", "detector": "email"})).0, "");
    assert_eq!(rule(json!({"category": "custom"})).0, "guardrails.rules[1].category");
    let custom = json!({"rules": [{"category": "custom", "action": "block"}, {"category": "custom", "detector": "Orion"}]});
    assert_eq!(refused(custom.clone(), &[own("Orion")]).0, "");
    assert_eq!(refused(custom, &[own("Rigel")]).0, "guardrails.rules[1].detector");
}

#[test]
fn exceptions_and_their_patterns_are_one_line_each() {
    for (list, value) in [("exceptions", "a@b.com"), ("exception_patterns", "TEST-[0-9]+")] {
        let of = |value: &str| path(json!({"rules": [{"category": "pii"}], list: [value]}));
        assert_eq!(of(value), "");
        for wrong in [
            format!(" {value}"),
            format!("{value} "),
            format!("{value}\n"),
            format!("x\n{value}"),
            String::new(),
        ] {
            assert_eq!(of(&wrong), format!("guardrails.{list}[0]"), "{wrong:?}");
        }
    }
}

#[test]
fn a_category_and_a_detector_have_one_rule_each() {
    let twice =
        json!({"rules": [{"category": "pii"}, {"category": "pci"}, {"category": "pii", "action": "block"}]});
    assert_eq!(path(twice), "guardrails.rules[2].category");
    let email = json!({"category": "pii", "detector": "email"});
    assert_eq!(path(json!({"rules": [{"category": "pii"}, email, email]})), "guardrails.rules[2].detector");
}

#[test]
fn secrets_are_never_restored_and_allow_looks_away_from_one_detector() {
    let (path_of, message) = refused(json!({"rules": [{"category": "secrets", "action": "anonymize"}]}), &[]);
    assert_eq!(
        (path_of.as_str(), message.as_str()),
        ("guardrails.rules[0].action", "secrets are never restored: use redact")
    );
    assert_eq!(
        path(json!({"rules": [{"category": "pii", "action": "allow"}]})),
        "guardrails.rules[0].action"
    );
    let away = json!({"category": "pii", "detector": "email", "action": "allow"});
    assert_eq!(path(json!({"rules": [away]})), "guardrails.rules[0].action", "nothing looks there at all");
    assert_eq!(path(json!({"rules": [away, {"category": "pii", "action": "block"}]})), "");
    let own_away = json!({"rules": [{"category": "custom", "detector": "Orion", "action": "allow"}]});
    assert_eq!(refused(own_away, &[own("Orion")]).0, "", "custom categories are looked for without a rule");
}

#[test]
fn what_would_have_no_effect_is_refused_where_it_is_new() {
    for (settings, path_of) in [
        (json!({"exceptions": ["a@example.com"]}), "guardrails.exceptions"),
        (json!({"exception_patterns": ["TEST-\\d+"]}), "guardrails.exception_patterns"),
        (json!({"rules": [{"category": "pii"}], "unseen_texts": "allow"}), "guardrails.unseen_texts"),
        (
            json!({"rules": [{"category": "pii", "action": "block", "direction": "response"}], "unseen_texts": "allow"}),
            "guardrails.unseen_texts",
        ),
        (
            json!({"rules": [{"category": "pii", "detector": "email", "min_risk": "high"}]}),
            "guardrails.rules[0].min_risk",
        ),
    ] {
        assert_eq!(path(settings.clone()), path_of);
        let there = app(settings, &[]);
        assert_eq!(errors(there.clone().validated_over(&there)), [], "{path_of} was there");
    }
    let exceptions = json!({"exceptions": ["a@example.com"], "exception_patterns": ["TEST-\\d+"]});
    assert_eq!(refused(exceptions, &[own("Orion")]).0, "");
    let blocks = json!({"rules": [{"category": "pii", "action": "block"}], "unseen_texts": "allow"});
    assert_eq!(path(blocks), "");
    for action in ["monitor", "allow"] {
        let rule = json!({"category": "pii", "detector": "email", "action": action, "shadow_until": "2026-12-02T00:00:00Z"});
        let rules = json!({"rules": [{"category": "pii"}, rule]});
        assert_eq!(path(rules), "guardrails.rules[1].shadow_until", "{action}");
    }
}

#[test]
fn a_trial_ends_within_90_days() {
    let until = |moment: &str| {
        read(
            json!({"rules": [{"category": "pii"}, {"category": "pci", "action": "block", "shadow_until": moment}]}),
        )
    };
    let none = GuardrailSettings::default();
    let new = |moment: &str| {
        errors(check_trials(&none, &until(moment), now())).into_iter().next().unwrap_or_default().0
    };
    assert_eq!(new("2026-12-01T00:00:00Z"), "guardrails.rules[1].shadow_until");
    assert_eq!(new("2026-12-01T00:00:01Z"), "");
    assert_eq!(new("2027-03-01T00:00:00Z"), "", "90 days");
    assert_eq!(new("2027-03-01T00:00:01Z"), "guardrails.rules[1].shadow_until");
    let over = until("2026-11-01T00:00:00Z");
    assert_eq!(errors(check_trials(&over, &over, now())), [], "it was there");
}

#[test]
fn lists_are_bounded_and_patterns_are_tried_with_the_engine() {
    let many = |count: usize, item: fn(usize) -> Value| (0..count).map(item).collect::<Vec<_>>();
    let rule = json!([{"category": "pii"}]);
    let with = |field: &str, list: Vec<Value>| path(json!({"rules": rule, field: list}));
    assert_eq!(with("exceptions", many(501, |i| json!(format!("v{i}")))), "guardrails.exceptions");
    assert_eq!(
        with("exception_patterns", many(51, |i| json!(format!("v{i}")))),
        "guardrails.exception_patterns"
    );
    assert_eq!(path(json!({"rules": many(201, |_| json!({"category": "pii"}))})), "guardrails.rules");
    for wrong in ["", " a", "a\u{200b}b", "a\nb"] {
        assert_eq!(
            with("exceptions", vec![json!("fine"), json!(wrong)]),
            "guardrails.exceptions[1]",
            "{wrong:?}"
        );
    }
    for wrong in ["", "(", "x*"] {
        assert_eq!(
            with("exception_patterns", vec![json!("a+"), json!(wrong)]),
            "guardrails.exception_patterns[1]",
            "{wrong}"
        );
    }
    let stored = app(json!({"rules": rule, "exception_patterns": ["("]}), &[]);
    assert_eq!(errors(stored.clone().validated_over(&stored)), [], "of an older engine");
}

#[test]
fn new_patterns_and_examples_of_own_categories_are_refused_with_their_path() {
    let category = |patterns: &[&str], examples: &[&str]| {
        let category = json!({"name": "P", "keywords": ["kilo"], "patterns": patterns, "examples": examples});
        app(json!({}), &[own("A"), serde_json::from_value(category).unwrap()])
    };
    let none = AppSettings::default();
    let first = |after: &AppSettings, before: &AppSettings| {
        errors(after.clone().validated_over(before)).into_iter().next().unwrap_or_default().0
    };
    assert_eq!(first(&category(&["a+", "("], &[]), &none), "custom_categories[1].patterns[1]");
    let old = category(&["("], &["an example"]);
    assert_eq!(first(&old, &none), "custom_categories[1].patterns[0]");
    assert_eq!(first(&old, &old), "", "what was there may stay");
    assert_eq!(first(&category(&[], &["an example", "b"]), &old), "custom_categories[1].examples");
    assert_eq!(first(&category(&[], &[]), &old), "", "and may go");
}

/// A category that can be told from other content, or one that cannot.
fn learned(name: &str, clear: bool) -> CustomCategory {
    let examples: Vec<_> =
        (0..20).map(|i| format!("Can we sue party {} for breach of the contract?", i + 10)).collect();
    let other: Vec<_> = (0..20)
        .map(|i| match clear {
            true => format!("Write a birthday greeting for guest {}.", i),
            false => format!("Can we sue party {} for breach of the contract?", i + 40),
        })
        .collect();
    let names = ["Ann", "Bob", "Kim", "Lee", "Max", "Sue", "Tom", "Uwe", "Eva", "Ida"];
    let distinct = |texts: Vec<String>| -> Vec<String> {
        texts
            .into_iter()
            .enumerate()
            .map(|(i, text)| format!("{} {}: {text}", names[i % 10], names[i / 10]))
            .collect()
    };
    serde_json::from_value(
        json!({"name": name, "examples": distinct(examples), "counter_examples": distinct(other)}),
    )
    .unwrap()
}

#[test]
fn what_is_learned_from_examples_may_block_only_where_it_was_measured_good_enough() {
    let none = AppSettings::default();
    let rule =
        |detector: &str, action: &str| json!({"category": "custom", "detector": detector, "action": action});
    let of = |rules: Value, own: &[CustomCategory]| {
        errors(app(json!({"rules": rules}), own).validated_over(&none))
    };
    let (clear, vague) = (learned("Legal", true), learned("Vague", false));
    assert_eq!(of(json!([rule("Legal", "block")]), std::slice::from_ref(&clear)), []);
    let saved = app(json!({}), std::slice::from_ref(&clear)).validated_over(&none).unwrap();
    let figures = saved.custom_categories[0].learned.clone().unwrap();
    assert!(figures.precision_percent >= 90 && figures.recall_percent >= 50, "{figures:?}");
    for action in ["block", "redact"] {
        let refused = of(json!([rule("Vague", action)]), std::slice::from_ref(&vague));
        assert_eq!(refused[0].0, "guardrails.rules[0].action", "{action}");
        assert!(refused[0].1.contains("`Vague` was learned from examples with "), "{refused:?}");
    }
    let both = [clear.clone(), vague.clone()];
    let all = json!({"category": "custom", "action": "block"});
    assert_eq!(of(json!([all]), &both).len(), 1, "a rule of all governs it too");
    assert_eq!(of(json!([all, rule("Vague", "monitor")]), &both), [], "its own rule governs it");
    let mut trial = rule("Vague", "block");
    trial["shadow_until"] = json!("2026-12-02T00:00:00Z");
    assert_eq!(of(json!([trial]), &both), [], "a trial changes nothing");
    let refused = of(json!([rule("Legal", "anonymize")]), &both);
    assert!(refused[0].1.contains("cannot be restored"), "{refused:?}");

    // What was learned is kept with its examples, whatever is sent; other examples are learned from anew.
    let mut forged = saved.clone();
    forged.custom_categories[0].learned.as_mut().unwrap().precision_percent = 1;
    assert_eq!(forged.validated_over(&saved).unwrap(), saved);
    let mut fewer = saved.clone();
    fewer.custom_categories[0].counter_examples.pop();
    assert_eq!(errors(fewer.validated_over(&saved))[0].0, "custom_categories[0].counter_examples");
    let mut twice = saved.clone();
    twice.custom_categories[0].counter_examples.push(clear.examples[0].to_uppercase());
    assert_eq!(errors(twice.validated_over(&saved))[0].0, "custom_categories[0].counter_examples[20]");
    let mut short = saved.clone();
    short.custom_categories[0].examples.push("Why?".into());
    assert_eq!(errors(short.validated_over(&saved))[0].0, "custom_categories[0].examples[20]");
}

fn any_rule() -> impl Strategy<Value = Value> {
    let words = |words: &'static [&'static str]| prop::sample::select(words);
    (
        words(&["pii", "pci", "secrets", "jailbreak", "custom"]),
        prop::option::of(words(&["email", "credit_card", "Orion"])),
        words(&["monitor", "redact", "anonymize", "block", "allow"]),
        words(&["request", "response", "both"]),
        words(&["low", "high"]),
    )
        .prop_map(|(category, detector, action, direction, min_risk)| {
            json!({"category": category, "detector": detector, "action": action, "direction": direction, "min_risk": min_risk})
        })
}

proptest! {
    /// What is taken once is taken again, unchanged: an edit of something else never fails because of it.
    #[test]
    fn what_was_taken_is_taken_again(rules in prop::collection::vec(any_rule(), 0..6), own_too: bool) {
        let own: Vec<_> = own_too.then(|| own("Orion")).into_iter().collect();
        let before = AppSettings { custom_categories: own.clone(), ..AppSettings::default() };
        let settings = app(json!({"rules": rules}), &own);
        if let Ok(taken) = settings.validated_over(&before) {
            let text = serde_json::to_string(&taken).unwrap();
            let stored: AppSettings = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&stored, &taken);
            prop_assert_eq!(stored.clone().validated_over(&stored).unwrap(), stored);
        }
    }
}
