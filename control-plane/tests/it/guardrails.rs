//! An app's guardrails: what is refused, versioned, asked for by users, and sent to gateways.

use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::access::{AccessMode, Rule};
use latchkey_discovery::source::From;
use latchkey_proto::discovery::{
    GuardrailAction, GuardrailDirection, GuardrailRisk, Guardrails, UnseenTexts,
};
use serde_json::{Value, json};

use crate::ledger::gateway::edit_settings;
use crate::support::{Answer, START_MS, Test, id, on_both, pair};
use crate::versions::edit;

/// What gateways get of an app, and the newest revision.
async fn shipped(test: &Test, app: &Value) -> (Option<Guardrails>, u64) {
    let bytes = id(app).parse::<uuid::Uuid>().unwrap().as_bytes().to_vec();
    let batch = test.store.feed_batch(From::Everything, None, 1000).await.unwrap();
    let policy = batch.apps.into_iter().find(|policy| policy.id == bytes).expect("the app is there");
    (policy.guardrails, test.store.head().await.unwrap().position.revision)
}

async fn put_categories(test: &Test, app: &Value, categories: Value) -> Answer {
    let path = format!("/apps/{}/custom-categories", id(app));
    test.send(test.request("PUT", &path, Some(&json!({ "custom_categories": categories })))).await
}

fn pii() -> Value {
    json!({"category": "pii", "action": "redact"})
}

on_both! {
    async fn what_is_set_is_shown_versioned_and_shipped(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        assert_eq!(app["guardrails"], json!({"rules": [], "exceptions": [], "exception_patterns": [], "unseen_texts": "refuse"}));
        let (none, before) = shipped(&test, &app).await;
        assert_eq!(none, None, "off costs nothing");
        let guardrails = json!({
            "rules": [
                {"category": "secrets", "action": "block", "direction": "request", "min_risk": "high"},
                {"category": "pii", "action": "anonymize", "shadow_until": "2026-01-31T00:00:00Z"},
                {"category": "pii", "detector": "email", "action": "allow"},
            ],
            "exceptions": ["info@example.com"], "exception_patterns": ["TEST-[0-9]+"], "unseen_texts": "allow",
        });
        let set = test.patch(&path, json!({"guardrails": guardrails})).await.expect(StatusCode::OK);
        assert_eq!(set["guardrails"]["rules"][0]["category"], "pii", "in their order");
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["guardrails"], set["guardrails"]);
        let version = test.get(&format!("{path}/versions/2")).await.expect(StatusCode::OK);
        let changed = json!(["guardrails.exception_patterns", "guardrails.exceptions", "guardrails.rules", "guardrails.unseen_texts"]);
        assert_eq!((&version["operation"], &version["changed"]), (&json!("update_config"), &changed));

        let (wire, after) = shipped(&test, &app).await;
        assert!(after > before, "a change takes a revision");
        let wire = wire.unwrap();
        let rules: Vec<_> = wire.rules.iter().map(|rule| {
            (rule.category.as_str(), rule.detector.as_str(), rule.action(), rule.direction(), rule.min_risk(), rule.shadow_until_ms)
        }).collect();
        let until = START_MS + 30 * 86_400_000;
        assert_eq!(rules, [
            ("pii", "", GuardrailAction::Anonymize, GuardrailDirection::Both, GuardrailRisk::Low, until),
            ("pii", "email", GuardrailAction::Allow, GuardrailDirection::Both, GuardrailRisk::Low, 0),
            ("secrets", "", GuardrailAction::Block, GuardrailDirection::Request, GuardrailRisk::High, 0),
        ]);
        assert_eq!((wire.exceptions, wire.exception_patterns), (vec!["info@example.com".to_owned()], vec!["TEST-[0-9]+".to_owned()]));
        assert_eq!(wire.unseen_texts, i32::from(UnseenTexts::Allow));
        let same = test.patch(&path, json!({"guardrails": set["guardrails"]})).await.expect(StatusCode::OK);
        assert_eq!(same["updated_at"], set["updated_at"]);
        assert_eq!(shipped(&test, &app).await.1, after, "the same is no change");
    }
}

on_both! {
    async fn each_app_has_a_key_of_its_own_that_stays(test: Test) {
        let guardrails = json!({"guardrails": {"rules": [pii()]}});
        let (a, b) = (test.app(guardrails.clone()).await, test.app(guardrails).await);
        let key = async |app: &Value| shipped(&test, app).await.0.unwrap().key;
        let first = key(&a).await;
        assert_eq!(first.len(), 32);
        assert_ne!(first, key(&b).await);
        test.patch(&format!("/apps/{}", id(&a)), json!({"tags": ["x"]})).await.expect(StatusCode::OK);
        assert_eq!(key(&a).await, first);
        let again = test.another().await;
        assert_eq!(shipped(&again, &a).await.0.unwrap().key, first, "another process makes the same");
        let other = Test::sqlite().await;
        let app = other.app(json!({"guardrails": {"rules": [pii()]}})).await;
        assert_ne!(shipped(&other, &app).await.0.unwrap().key, first);
    }
}

on_both! {
    async fn categories_that_cost_too_much_are_kept_but_not_restored(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        // As an older control plane stored them.
        let slow = json!([{"name": "Slow", "patterns": vec![r"\w+x"; 40]}]);
        assert_eq!(put_categories(&test, &app, slow.clone()).await.refused(422), pair("invalid", "custom_categories"));
        edit_settings(&test, &app, |settings| settings.custom_categories = serde_json::from_value(slow).unwrap()).await;
        test.patch(&path, json!({"tags": ["a"]})).await.expect(StatusCode::OK);
        assert_eq!(shipped(&test, &app).await.0.unwrap().custom_categories[0].patterns.len(), 40);
        put_categories(&test, &app, json!([])).await.expect(StatusCode::OK);
        let back = test.act(&format!("{path}/versions/2/rollback")).await;
        assert_eq!(back.refused(422), pair("invalid", "custom_categories"));
    }
}

on_both! {
    async fn custom_categories_are_monitored_unless_a_rule_says_otherwise(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let before = shipped(&test, &app).await.1;
        let orion = json!([{"name": "Orion", "description": "d", "keywords": ["rigel"], "patterns": ["OR-[0-9]{4}"]}]);
        put_categories(&test, &app, orion).await.expect(StatusCode::OK);
        let (wire, after) = shipped(&test, &app).await;
        assert!(after > before, "pushed like any policy");
        let wire = wire.unwrap();
        let [rule] = wire.rules.try_into().unwrap();
        assert_eq!((rule.category.as_str(), rule.detector.as_str(), rule.action()), ("custom", "", GuardrailAction::Monitor));
        let [category] = wire.custom_categories.try_into().unwrap();
        assert_eq!((category.name.as_str(), category.keywords, category.patterns), ("Orion", vec!["rigel".to_owned()], vec!["OR-[0-9]{4}".to_owned()]));

        let one = json!({"guardrails": {"rules": [{"category": "custom", "detector": "Orion", "action": "block"}]}});
        test.patch(&path, one).await.expect(StatusCode::OK);
        let rules = shipped(&test, &app).await.0.unwrap().rules;
        let rules: Vec<_> = rules.iter().map(|rule| (rule.detector.as_str(), rule.action())).collect();
        assert_eq!(rules, [("Orion", GuardrailAction::Block), ("", GuardrailAction::Monitor)], "the others are monitored");
        let gone = put_categories(&test, &app, json!([])).await;
        assert_eq!(gone.refused(422), pair("invalid", "guardrails.rules[0].category"));
        let all = json!({"guardrails": {"rules": [{"category": "custom", "action": "redact"}]}});
        test.patch(&path, all).await.expect(StatusCode::OK);
        let rules = shipped(&test, &app).await.0.unwrap().rules;
        assert_eq!(rules.iter().map(|rule| rule.action()).collect::<Vec<_>>(), [GuardrailAction::Redact]);
    }
}

/// Settings that are refused, and where.
fn refusals() -> Vec<(Value, &'static str)> {
    let rule = |rule: Value| json!({"rules": [{"category": "pii"}, rule]});
    let many = |count: usize, item: &dyn Fn(usize) -> Value| (0..count).map(item).collect::<Vec<_>>();
    vec![
        (rule(json!({"category": "weather"})), "guardrails.rules[1].category"),
        (rule(json!({"category": "pci", "action": "erase"})), "guardrails.rules[1].action"),
        (rule(json!({"category": "pci", "colour": "red"})), "guardrails.rules[1].colour"),
        (rule(json!({"category": "pii", "detector": "emial"})), "guardrails.rules[1].detector"),
        (rule(json!({"category": "pii", "action": "block"})), "guardrails.rules[1].category"),
        (rule(json!({"category": "secrets", "action": "anonymize"})), "guardrails.rules[1].action"),
        (rule(json!({"category": "pci", "action": "allow"})), "guardrails.rules[1].action"),
        (
            rule(json!({"category": "pci", "detector": "credit_card", "action": "allow"})),
            "guardrails.rules[1].action",
        ),
        (
            rule(json!({"category": "pci", "shadow_until": "2026-01-02T00:00:00Z"})),
            "guardrails.rules[1].shadow_until",
        ),
        (
            rule(
                json!({"category": "pii", "detector": "email", "action": "allow", "shadow_until": "2026-01-02T00:00:00Z"}),
            ),
            "guardrails.rules[1].shadow_until",
        ),
        (
            rule(json!({"category": "pci", "action": "block", "shadow_until": "2025-12-31T23:59:59Z"})),
            "guardrails.rules[1].shadow_until",
        ),
        (
            rule(json!({"category": "pci", "action": "block", "shadow_until": "2026-04-02T00:00:00Z"})),
            "guardrails.rules[1].shadow_until",
        ),
        (
            rule(json!({"category": "pii", "detector": "email", "min_risk": "high"})),
            "guardrails.rules[1].min_risk",
        ),
        (rule(json!({"category": "custom"})), "guardrails.rules[1].category"),
        (json!({"exceptions": ["a@example.com"]}), "guardrails.exceptions"),
        (json!({"exception_patterns": ["a+"]}), "guardrails.exception_patterns"),
        (json!({"rules": [pii()], "exceptions": [""]}), "guardrails.exceptions[0]"),
        (json!({"rules": [pii()], "exception_patterns": ["a+", "("]}), "guardrails.exception_patterns[1]"),
        (json!({"rules": [{"category": "pii"}], "unseen_texts": "allow"}), "guardrails.unseen_texts"),
        (json!({"rules": many(201, &|_| pii())}), "guardrails.rules"),
        (
            json!({"rules": [pii()], "exceptions": many(501, &|i| json!(format!("v{i}")))}),
            "guardrails.exceptions",
        ),
        (
            json!({"rules": [pii()], "exception_patterns": many(51, &|i| json!(format!("v{i}")))}),
            "guardrails.exception_patterns",
        ),
    ]
}

on_both! {
    async fn what_makes_no_sense_is_refused_with_its_path(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        for (guardrails, field) in refusals() {
            let body = json!({"name": "New", "guardrails": guardrails});
            assert_eq!(test.post("/apps", body.clone()).await.refused(422), pair("invalid", field), "{guardrails}");
            let answer = test.patch(&path, body).await;
            let message = answer.json["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
            assert_eq!(answer.refused(422), pair("invalid", field), "{guardrails}");
            assert!(message.len() > 15, "{field} says how to fix it: {message}");
        }
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["updated_at"], app["updated_at"], "nothing was changed");
        let secrets = json!({"guardrails": {"rules": [{"category": "secrets", "action": "anonymize"}]}});
        let answer = test.patch(&path, secrets).await;
        assert_eq!(answer.json["errors"][0]["message"], "secrets are never restored: use redact");
    }
}

on_both! {
    async fn what_was_there_does_not_hold_up_other_edits(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let until = "2026-01-02T00:00:00Z";
        let rules = json!([{"category": "pci", "action": "block", "shadow_until": until}]);
        test.patch(&path, json!({"guardrails": {"rules": rules, "exceptions": ["x"]}})).await.expect(StatusCode::OK);
        // As an older version stored it.
        edit_settings(&test, &app, |settings| {
            let category = json!({"name": "P", "keywords": ["kilo"], "examples": ["an old example"]});
            settings.custom_categories = vec![serde_json::from_value(category).unwrap()];
        }).await;
        test.clock.advance(Duration::from_hours(48));
        test.patch(&path, json!({"tags": ["a"]})).await.expect(StatusCode::OK);
        let same = test.get(&path).await.expect(StatusCode::OK)["guardrails"].clone();
        test.patch(&path, json!({"guardrails": same, "tags": ["b"]})).await.expect(StatusCode::OK);
        let other = json!({"guardrails": {"rules": [{"category": "pci", "action": "redact", "shadow_until": until}]}});
        assert_eq!(test.patch(&path, other).await.refused(422).1, "guardrails.rules[0].shadow_until", "a new trial that is over");
        let examples = json!([{"name": "P", "keywords": ["kilo"], "examples": ["an old example", "a new one"]}]);
        assert_eq!(put_categories(&test, &app, examples).await.refused(422).1, "custom_categories[0].examples");
        test.patch(&path, json!({"guardrails": {}})).await.expect(StatusCode::OK);
        test.act(&format!("{path}/versions/2/rollback")).await.expect(StatusCode::OK);
    }
}

on_both! {
    async fn users_see_the_rules_and_ask_for_others(test: Test) {
        let guardrails = json!({"rules": [pii()], "exceptions": ["ceo@example.com"]});
        let app = test.app(json!({"guardrails": guardrails})).await;
        let alice = test.user("alice@acme.com").await;
        let token = test.token_of(&alice).await;
        let mine = format!("/me/apps/{}", id(&app));
        edit(&test, &id(&app), |settings| {
            settings.self_service.access.viewer = Rule { mode: AccessMode::Everyone, ..Rule::default() };
        }).await;
        let shown = test.with(&token, "GET", &mine, None).await.expect(StatusCode::OK);
        assert_eq!(shown["guardrails"]["rules"][0]["action"], "redact");
        assert!(!shown.to_string().contains("ceo@"), "exceptions are not for everyone");
        edit(&test, &id(&app), |settings| {
            settings.self_service.access.settings_request = Rule { mode: AccessMode::Everyone, ..Rule::default() };
        }).await;
        let now = test.with(&token, "GET", &format!("{mine}/settings"), None).await.expect(StatusCode::OK);
        assert_eq!(now["guardrails"]["exceptions"], json!(["ceo@example.com"]), "who asks for another list sees it");

        let ask = async |guardrails: Value| {
            let body = json!({"kind": "update_config", "edit": {"guardrails": guardrails}, "reason": "r"});
            test.with(&token, "POST", &format!("{mine}/change-requests"), Some(body)).await
        };
        let wrong = ask(json!({"rules": [{"category": "pii", "detector": "emial"}]})).await;
        assert_eq!(wrong.refused(422), pair("invalid", "edit.guardrails.rules[0].detector"));
        let asked = ask(json!({"rules": [{"category": "pii", "action": "block"}], "exceptions": ["ceo@example.com"]})).await;
        let asked = asked.expect(StatusCode::CREATED);
        assert_eq!(asked["changes"][0]["path"], "guardrails.rules");
        assert_eq!(asked["changes"].as_array().unwrap().len(), 1);
        let done = test.act(&format!("/change-requests/{}/approve", id(&asked))).await.expect(StatusCode::OK);
        assert_eq!(done["status"], "approved", "{done}");
        assert_eq!(shipped(&test, &app).await.0.unwrap().rules[0].action(), GuardrailAction::Block);

        let trial = json!({"rules": [{"category": "pii", "action": "block", "shadow_until": "2026-01-02T00:00:00Z"}]});
        let late = ask(trial).await.expect(StatusCode::CREATED);
        test.clock.advance(Duration::from_hours(48));
        let failed = test.act(&format!("/change-requests/{}/approve", id(&late))).await.expect(StatusCode::OK);
        assert_eq!(failed["status"], "failed", "the trial is over before it began");
        assert!(failed["comment"].as_str().unwrap().contains("guardrails.rules[0].shadow_until"), "{failed}");
    }
}

/// Forty examples of each side, and what tells them apart.
fn legal() -> Value {
    let of = |texts: [&str; 2]| -> Vec<String> {
        ["Ann", "Bob", "Kim", "Lee", "Max", "Sue", "Tom", "Uwe", "Eva", "Ida"]
            .iter()
            .flat_map(|who| texts.map(|text| text.replace("{}", who)))
            .collect()
    };
    json!({
        "name": "Legal",
        "examples": of(["Can we sue {} for breach of the contract?", "Is the liability clause with {} enforceable in court?"]),
        "counter_examples": of(["Write a friendly birthday greeting for {}.", "Which restaurant would {} like for lunch?"]),
    })
}

on_both! {
    async fn listed_values_are_kept_as_hashes_alone(test: Test) {
        let app = test.app(json!({})).await;
        let (path, categories) = (format!("/apps/{}", id(&app)), format!("/apps/{}/custom-categories", id(&app)));
        let of = |values: Value| json!([{"name": "Customers", "values": values}]);
        let set = put_categories(&test, &app, of(json!(["Planted Name", "C-100977"]))).await.expect(StatusCode::OK);
        let hashes = set["custom_categories"][0]["values"].clone();
        assert!(hashes.as_array().unwrap().iter().all(|value| value.as_str().unwrap().starts_with("hash:")), "{hashes}");
        assert_eq!(test.get(&categories).await.expect(StatusCode::OK), set);
        put_categories(&test, &app, of(hashes.clone())).await.expect(StatusCode::OK);
        put_categories(&test, &app, of(json!(["planted name", "c-100977"]))).await.expect(StatusCode::OK);
        let versions = test.get(&format!("{path}/versions")).await.expect(StatusCode::OK);
        assert_eq!(versions["items"].as_array().unwrap().len(), 2, "the hashes and the values are the same list");

        let wire = shipped(&test, &app).await.0.unwrap();
        assert_eq!(wire.custom_categories[0].values.len(), 30, "{wire:?}");
        let key = latchkey_core::guardrails::ListKey::new(&wire.key);
        let expected = key.hashes("C-100977").unwrap()[0].to_bytes();
        assert!(wire.custom_categories[0].values.chunks(15).any(|hash| hash == expected));

        let fewer = json!([{"name": "Customers", "values": hashes, "remove_values": ["C-100977"]}]);
        let fewer = put_categories(&test, &app, fewer).await.expect(StatusCode::OK);
        assert_eq!(fewer["custom_categories"][0]["values"].as_array().unwrap().len(), 1);
        test.act(&format!("{path}/versions/2/rollback")).await.expect(StatusCode::OK);
        assert_eq!(test.get(&categories).await.expect(StatusCode::OK), set, "an older list is restored");

        let other = test.app(json!({"name": "Other"})).await;
        let foreign = put_categories(&test, &other, of(hashes.clone())).await;
        assert_eq!(foreign.refused(422), pair("invalid", "custom_categories[0].values[0]"));
        let refused = put_categories(&test, &app, of(json!(["Another Name", "x"]))).await;
        assert_eq!(refused.refused(422), pair("invalid", "custom_categories[0].values[1]"));
        let removed = json!([{"name": "Customers", "values": hashes, "remove_values": ["Nobody"]}]);
        assert_eq!(put_categories(&test, &app, removed).await.refused(422).1, "custom_categories[0].remove_values[0]");

        let most: Vec<_> = (0..10_000).map(|i| format!("Number {i:05} of the longest list")).collect();
        let set = put_categories(&test, &other, of(json!(most))).await.expect(StatusCode::OK);
        let again = put_categories(&test, &other, set["custom_categories"].clone()).await.expect(StatusCode::OK);
        assert_eq!(again, set);
        for query in ["SELECT settings FROM apps", "SELECT settings FROM app_versions"] {
            let rows = test.column(query).await;
            assert!(!rows.is_empty() && rows.iter().all(|row| !row.contains("Planted") && !row.contains("100977")), "{query}");
        }
    }
}

on_both! {
    async fn a_request_for_listed_values_keeps_none_of_them(test: Test) {
        let app = test.app(json!({})).await;
        let alice = test.user("alice@acme.com").await;
        let token = test.token_of(&alice).await;
        edit(&test, &id(&app), |settings| {
            for rule in [&mut settings.self_service.access.viewer, &mut settings.self_service.access.settings_request] {
                *rule = Rule { mode: AccessMode::Everyone, ..Rule::default() };
            }
        }).await;
        let mine = format!("/me/apps/{}", id(&app));
        let edit = json!({"custom_categories": [{"name": "Customers", "values": ["Planted Name"]}]});
        let body = json!({"kind": "custom_categories", "edit": edit});
        let shown = test.with(&token, "POST", &format!("{mine}/change-requests/preview"), Some(body)).await.expect(StatusCode::OK);
        assert!(!shown.to_string().contains("Planted"), "{shown}");
        let body = json!({"kind": "custom_categories", "edit": edit, "reason": "r"});
        let asked = test.with(&token, "POST", &format!("{mine}/change-requests"), Some(body)).await.expect(StatusCode::CREATED);
        let stored = test.column("SELECT edit FROM change_requests").await;
        assert!(stored[0].contains("hash:") && !stored[0].contains("Planted"), "{stored:?}");
        assert!(!asked.to_string().contains("Planted"), "{asked}");
        let done = test.act(&format!("/change-requests/{}/approve", id(&asked))).await.expect(StatusCode::OK);
        assert_eq!(done["status"], "approved", "{done}");
        assert_eq!(shipped(&test, &app).await.0.unwrap().custom_categories[0].values.len(), 15);
        let wrong = json!({"custom_categories": [{"name": "Customers", "values": ["fine", "#x"]}]});
        let body = json!({"kind": "custom_categories", "edit": wrong, "reason": "r"});
        let refused = test.with(&token, "POST", &format!("{mine}/change-requests"), Some(body)).await;
        assert_eq!(refused.refused(422), pair("invalid", "edit.custom_categories[0].values[1]"));
    }
}

on_both! {
    async fn categories_are_learned_from_examples_and_measured_before_they_are_saved(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let shown = test.post(&format!("{path}/custom-categories/preview"), json!({"custom_categories": [legal()]})).await.expect(StatusCode::OK);
        let learned = &shown["custom_categories"][0]["learned"];
        assert!(learned["precision_percent"].as_u64().unwrap() >= 90, "{learned}");
        let none = test.get(&format!("{path}/custom-categories")).await.expect(StatusCode::OK);
        assert_eq!(none["custom_categories"], json!([]), "nothing was saved");
        let set = put_categories(&test, &app, json!([legal()])).await.expect(StatusCode::OK);
        assert_eq!(&set["custom_categories"][0]["learned"], learned, "the same examples, the same figures");
        let wire = shipped(&test, &app).await.0.unwrap();
        assert_eq!(wire.custom_categories[0].learned.as_ref().map(|it| (it.format, it.weights.len())), Some((1, 8192)));
        let block = json!({"guardrails": {"rules": [{"category": "custom", "detector": "Legal", "action": "block"}]}});
        test.patch(&path, block).await.expect(StatusCode::OK);

        // Examples that cannot be told apart no longer may.
        let mut vague = legal();
        let (first, second) = (vague["examples"].clone(), vague["counter_examples"].clone());
        let mixed = |odd: usize| -> Vec<Value> {
            let all = first.as_array().unwrap().iter().chain(second.as_array().unwrap());
            all.enumerate().filter(|(i, _)| (i.count_ones() as usize) % 2 == odd).map(|(_, text)| text.clone()).collect()
        };
        (vague["examples"], vague["counter_examples"]) = (json!(mixed(0)), json!(mixed(1)));
        let refused = put_categories(&test, &app, json!([vague])).await;
        assert_eq!(refused.refused(422), pair("invalid", "guardrails.rules[0].action"));
        let mut few = legal();
        few["examples"].as_array_mut().unwrap().truncate(19);
        assert_eq!(put_categories(&test, &app, json!([few])).await.refused(422).1, "custom_categories[0].examples");
        let mut same = set["custom_categories"][0].clone();
        same["description"] = json!("What lawyers are for.");
        let same = put_categories(&test, &app, json!([same])).await.expect(StatusCode::OK);
        assert_eq!(&same["custom_categories"][0]["learned"], learned);
    }
}

on_both! {
    /// One that they cannot use would keep the whole app from them.
    async fn stored_patterns_that_gateways_cannot_use_are_left_out(test: Test) {
        let app = test.app(json!({})).await;
        edit_settings(&test, &app, |settings| {
            let category = json!({"name": "P", "keywords": ["kilo"], "patterns": ["(", "OR-[0-9]{4}"]});
            settings.custom_categories = vec![serde_json::from_value(category).unwrap()];
            settings.guardrails.exception_patterns = vec!["[".to_owned(), "TEST".to_owned()];
        }).await;
        let wire = shipped(&test, &app).await.0.unwrap();
        assert_eq!(wire.custom_categories[0].patterns, ["OR-[0-9]{4}"]);
        assert_eq!(wire.exception_patterns, ["TEST"]);
        test.patch(&format!("/apps/{}", id(&app)), json!({"tags": ["x"]})).await.expect(StatusCode::OK);
    }
}

mod apps_with_categories_from_before_reach_gateways {
    use sqlx::Connection as _;
    use sqlx::migrate::Migrator;

    use super::*;

    static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
    static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

    async fn run(url: String, migrator: &Migrator, files: tempfile::TempDir) {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
        migrator.run_to(15, &mut connection).await.unwrap();
        let ids = ["01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"];
        let own = r#"{"custom_categories":[{"name":"P","description":"","keywords":["k"],"patterns":[],"examples":["e"]}]}"#;
        for (app, settings) in ids.into_iter().zip([own, r#"{"custom_categories":[]}"#]) {
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "INSERT INTO apps (id, name, status, settings, created_at, updated_at, revision, search_text)
                 VALUES ('{app}', 'Old', 'active', '{settings}', 1, 2, 0, 'old')"
            )))
            .execute(&mut connection)
            .await
            .unwrap();
        }
        sqlx::query("INSERT INTO records (at, request_id, gateway, app_id, key_id, user_id, model, served_model, provider,
            endpoint, status, code, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost, price_version,
            settlement, latency_ms, streamed, client_address, conversation_id, metadata)
            VALUES (1, 'old', 'g', '', '', '', '', '', '', '', 200, '', 0, 0, 0, 0, 0, 0, 'none', 0, 0, '', '', '{}')")
            .execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let test = Test::on(&url, files).await;
        let head = test.store.head().await.unwrap().position;
        assert_eq!(head.revision, 1);
        let changed = test.store.feed_batch(From::After(0), None, 100).await.unwrap();
        let names: Vec<_> = changed
            .apps
            .iter()
            .map(|app| app.guardrails.as_ref().map(|it| it.custom_categories.len()))
            .collect();
        assert_eq!(names, [Some(1)], "only those with categories");
        let log = test.get("/logs?request_id=old").await.expect(StatusCode::OK)["items"][0].clone();
        assert_eq!(
            (&log["inspected"], &log["findings"], &log["unread"]),
            (&json!(false), &json!(0), &json!(0))
        );
        let path = format!("/apps/{}", ids[0]);
        test.patch(&path, json!({"tags": ["x"]})).await.expect(StatusCode::OK);
    }

    #[tokio::test]
    async fn sqlite() {
        let files = tempfile::tempdir().unwrap();
        run(Test::sqlite_url(&files), &SQLITE, files).await;
    }

    #[tokio::test]
    async fn postgres() {
        run(Test::postgres_url().await, &POSTGRES, tempfile::tempdir().unwrap()).await;
    }
}
