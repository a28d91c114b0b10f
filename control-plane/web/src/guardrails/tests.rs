use serde_json::json;

use super::*;

fn settings(json: Value) -> GuardrailSettings {
    serde_json::from_value(json).unwrap()
}

/// The form as it is filled, sent back, with these fields typed over it.
fn sent(now: &GuardrailSettings, over: &[(&str, &str)]) -> FormInput {
    let form = filled(HtmlForm::default(), now);
    let typed =
        FIELDS.iter().fold(FormInput::default(), |typed, (name, _)| typed.with(name, form.value(name)));
    over.iter().fold(typed, |typed, (name, value)| typed.with(name, *value))
}

fn again(now: &GuardrailSettings, over: &[(&str, &str)]) -> Result<GuardrailSettings, Vec<(String, String)>> {
    match read(&sent(now, over), now) {
        Ok(typed) => Ok(settings(typed.json)),
        Err(problem) => Err(problem.errors.into_iter().map(|error| (error.path, error.message)).collect()),
    }
}

fn full() -> GuardrailSettings {
    settings(json!({
        "rules": [
            {"category": "pii", "action": "redact", "direction": "request", "min_risk": "high"},
            {"category": "pii", "detector": "email", "action": "allow"},
            {"category": "pci", "action": "block", "shadow_until": "2026-12-31T09:30:00Z"},
            {"category": "pci", "detector": "credit_card", "action": "block", "direction": "response", "min_risk": "high",
             "shadow_until": "2027-01-01T00:00:00Z"},
            {"category": "custom", "detector": "Project: Orion/2", "action": "anonymize"},
            {"category": "external", "detector": "company-model", "action": "block", "direction": "request",
             "on_failure": "pass"}
        ],
        "exceptions": ["info@example.com", "a, b"],
        "exception_patterns": ["TEST-\\d{2,4}"],
        "unseen_texts": "allow"
    }))
}

#[test]
fn a_form_that_is_sent_as_it_was_shown_says_what_is_there() {
    for now in [GuardrailSettings::default(), full()] {
        let mut read = again(&now, &[]).unwrap();
        let order = |rule: &GuardrailRule| (rule.category, rule.detector.clone());
        read.rules.sort_by_key(order);
        let mut now = now;
        now.rules.sort_by_key(order);
        assert_eq!(read, now);
    }
}

#[test]
fn a_line_says_a_rule_of_one_detector() {
    let written: Vec<_> =
        full().rules.iter().filter(|rule| rule.detector.is_some()).map(line::write).collect();
    assert_eq!(
        written,
        [
            "pii/email: allow",
            "pci/credit_card: block, response, high, until 2026-12-31",
            "custom/Project: Orion/2: anonymize",
            "external/company-model: block, on failure pass"
        ]
    );
    for wrong in [
        "email",
        "pii/email",
        "pii: redact",
        "pii/: redact",
        "pii/email: erase",
        "pii/email: redact, block",
        "pii/email: request",
        "weather/rain: block",
        "pii/email: block, until soon",
        "pii/email:",
        "external/x: block, on failure",
        "external/x: block, on failure maybe",
        "external/x: block, on failure pass, on failure block",
    ] {
        let refused = again(&GuardrailSettings::default(), &[("guardrails.detectors", wrong)]).unwrap_err();
        assert_eq!(refused[0].0, "guardrails.detectors", "{wrong}");
        assert!(refused[0].1.starts_with(&format!("`{wrong}`: ")), "{refused:?}");
    }
}

#[test]
fn a_trial_ends_with_its_last_day_and_a_row_without_an_action_says_nothing() {
    let none = GuardrailSettings::default();
    let typed = [("guardrails.pii.action", "block"), ("guardrails.pii.shadow_until", "2026-12-31")];
    let read = again(&none, &typed).unwrap();
    assert_eq!(read.rules[0].shadow_until, Some("2027-01-01T00:00:00Z".parse().unwrap()));
    for (over, field) in [
        (("guardrails.pii.shadow_until", "2026-12-31"), "guardrails.pii.shadow_until"),
        (("guardrails.pii.min_risk", "high"), "guardrails.pii.action"),
    ] {
        assert_eq!(again(&none, &[over]).unwrap_err()[0].0, field);
    }
    let odd = [("guardrails.pii.action", "block"), ("guardrails.pii.shadow_until", "soon")];
    assert_eq!(again(&none, &odd).unwrap_err()[0].0, "guardrails.pii.shadow_until");
}

#[test]
fn errors_of_rules_go_to_where_they_were_typed() {
    let typed = read(&sent(&full(), &[]), &full()).unwrap();
    let place = |path: &str| {
        let problem = Problem::invalid(FieldError::new(path, "is wrong").into());
        let error = typed.placed(problem).errors.remove(0);
        (error.path, error.message)
    };
    let pair = |path: &str, message: &str| (path.to_owned(), message.to_owned());
    assert_eq!(place("guardrails.rules[0].min_risk"), pair("guardrails.pii.min_risk", "is wrong"));
    assert_eq!(place("guardrails.rules[1].category"), pair("guardrails.pci.action", "is wrong"));
    assert_eq!(
        place("edit.guardrails.rules[2].action"),
        pair("guardrails.detectors", "`pii/email: allow`: is wrong")
    );
    assert_eq!(place("guardrails.exceptions[1]"), pair("guardrails.exceptions[1]", "is wrong"));
    assert_eq!(place("guardrails.rules[9]"), pair("guardrails.rules[9]", "is wrong"));
}

#[test]
fn every_category_has_a_row_that_says_how_far_it_can_be_trusted() {
    let rows = rows(&HtmlForm::default(), true);
    let titles: Vec<_> = rows.iter().map(|row| row.title.as_str()).collect();
    assert_eq!(titles.len(), GuardrailCategory::all().count() - 1, "all but external detectors");
    assert_eq!((titles[0], titles[5]), ("PII", "Prompt injection"));
    let secrets = rows.iter().find(|row| row.title == "Secrets").unwrap();
    assert!(secrets.actions.iter().all(|(action, _)| *action != "anonymize"), "secrets are never restored");
    assert!(super::rows(&HtmlForm::default(), false).iter().all(|row| row.title != "Custom"));
}
