use serde_json::json;

use super::*;

fn typed(pairs: &[(&str, &str)]) -> FormInput {
    let said = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    FormInput { said, ..FormInput::default() }
}

#[test]
fn what_is_typed_becomes_the_apis_json() {
    let typed = typed(&[
        ("name", " Support Bot "),
        ("limits.requests_per_minute", "1,000"),
        ("limits.tokens_per_minute", ""),
        ("limits.budget.usd", "$12.50"),
        ("limits.budget.per", "month"),
        ("limits.token_budget.tokens", ""),
        ("limits.token_budget.per", "day"),
        ("allowed_models", "only"),
        ("allowed_models.only", "gpt-4o, claude-*"),
        ("allowed_providers", "none"),
        ("ip_allow_list", ""),
        ("alert_thresholds", "50, 80"),
        ("metadata", "{\"team\": \"a\"}"),
        ("keep_key_values", "on"),
    ]);
    let fields = [
        ("name", FieldKind::Text),
        ("limits.requests_per_minute", FieldKind::Number),
        ("limits.tokens_per_minute", FieldKind::Number),
        ("limits.budget", FieldKind::Budget),
        ("limits.token_budget", FieldKind::TokenBudget),
        ("allowed_models", FieldKind::Selection),
        ("allowed_providers", FieldKind::Selection),
        ("ip_allow_list", FieldKind::OptionalList),
        ("alert_thresholds", FieldKind::Numbers),
        ("metadata", FieldKind::Json),
        ("keep_key_values", FieldKind::Flag),
        ("require_conversation_id", FieldKind::Flag),
    ];
    assert_eq!(
        typed.json(&fields).unwrap(),
        json!({
            "name": "Support Bot",
            "limits": {
                "requests_per_minute": 1000,
                "tokens_per_minute": null,
                "budget": { "usd": "12.50", "per": "month" },
                "token_budget": null,
            },
            "allowed_models": ["gpt-4o", "claude-*"],
            "allowed_providers": "none",
            "ip_allow_list": null,
            "alert_thresholds": [50, 80],
            "metadata": { "team": "a" },
            "keep_key_values": true,
            "require_conversation_id": false,
        })
    );
}

#[test]
fn switches_that_are_all_on_restrict_nothing() {
    let read = |on: &[&str]| {
        let shown = ["openai", "anthropic"].map(|name| ("allowed_providers.shown", name));
        let on: Vec<_> = on.iter().map(|name| ("allowed_providers", *name)).chain(shown).collect();
        typed(&on).json(&[("allowed_providers", FieldKind::Switches)]).unwrap()["allowed_providers"].clone()
    };
    assert_eq!(read(&["openai", "anthropic"]), json!("all"));
    assert_eq!(read(&["openai"]), json!(["openai"]));
    assert_eq!(read(&[]), json!("none"));
}

#[test]
fn a_key_stops_after_a_lifetime_or_at_the_end_of_a_day() {
    let read = |lifetime, day| {
        let typed = typed(&[("expires_in", lifetime), ("expires_at", day)]);
        typed.json(expiry(&typed)).map_err(|problem| problem.detail)
    };
    assert_eq!(read("90d", ""), Ok(json!({ "expires_in": "90d" })));
    assert_eq!(read("day", "2027-01-31"), Ok(json!({ "expires_at": "2027-02-01T00:00:00Z" })));
    assert_eq!(read("", ""), Ok(json!({})));
    assert_eq!(read("", "2027-01-31"), Ok(json!({ "expires_at": "2027-02-01T00:00:00Z" })));
    for lifetime in ["never", "30d"] {
        let typed = typed(&[("expires_in", lifetime), ("expires_at", "2027-01-31")]);
        let problem = typed.json(expiry(&typed)).unwrap_err();
        assert_eq!(problem.errors[0].path, "expires_at", "a day beside a lifetime");
    }
    assert!(read("day", "").unwrap_err().contains("enter a date"));
}

#[test]
fn what_cannot_be_read_names_its_field_and_keeps_what_was_typed() {
    let typed = typed(&[("name", "x"), ("limits.requests_per_minute", "many"), ("metadata", "[1]")]);
    let fields = [
        ("name", FieldKind::Text),
        ("limits.requests_per_minute", FieldKind::Number),
        ("metadata", FieldKind::Json),
    ];
    let problem = typed.json(&fields).unwrap_err();
    let form = typed.form().refused(problem).unwrap();
    assert_eq!(form.value("limits.requests_per_minute"), "many");
    assert_eq!(form.error("limits.requests_per_minute"), Some("must be a whole number, such as 60 or 1,000"));
    assert_eq!(form.error("metadata"), Some("must be an object, such as {\"team\": \"backend\"}"));
    assert_eq!(form.error("name"), None);
}

#[test]
fn a_form_shows_what_is_there_now() {
    let now = json!({
        "name": "Support Bot",
        "allowed_models": ["a", "b"],
        "allowed_providers": "all",
        "limits": { "budget": { "usd": "1.00", "per": "day" } },
        "keep_key_values": false,
        "expires_at": null,
    });
    let form = HtmlForm::of(&now);
    assert_eq!(form.value("limits.budget.usd"), "1.00");
    assert_eq!((form.selection("allowed_models"), form.value("allowed_models.only")), ("only", "a, b"));
    assert_eq!(form.selection("allowed_providers"), "all");
    assert!(!form.ticked("keep_key_values") && form.value("expires_at").is_empty());
}

#[test]
fn an_error_of_an_item_is_shown_at_its_list() {
    let problem = Problem::invalid(FieldError::new("ip_allow_list[1]", "is no address").into());
    let form = HtmlForm::default().refused(problem).unwrap();
    assert_eq!(form.error("ip_allow_list"), Some("is no address"));
    assert_eq!(form.error("ip"), None);
    let links =
        ["ip_allow_list[1]", "allowed_models.only", "price.tiers.flex.input", "limits.budget.usd"].map(field);
    assert_eq!(links, ["ip_allow_list", "allowed_models", "price.tiers", "limits.budget.usd"]);
}

#[test]
fn a_box_that_was_unticked_stays_so_beside_what_is_there() {
    let now = HtmlForm::of(&json!({ "name": "a", "keep_key_values": true, "identity": { "header": true } }));
    let fields = [("name", FieldKind::Text), ("keep_key_values", FieldKind::Flag)];
    let form = typed(&[("name", "b")]).form().beside(now, &fields);
    assert_eq!(form.value("name"), "b");
    assert!(!form.ticked("keep_key_values") && form.ticked("identity.header"));
}

#[test]
fn a_tiers_line_says_each_rate_once_and_metadata_each_name() {
    let wrong = |path: &'static str, kind, text: &str| {
        let problem = typed(&[(path, text)]).json(&[(path, kind)]).unwrap_err();
        (problem.errors[0].path.clone(), problem.errors[0].message.clone())
    };
    let (path, why) = wrong("price.tiers", FieldKind::Tiers, "flex input 1 input 5 output 3");
    assert_eq!(
        (path.as_str(), why.as_str()),
        ("price.tiers", "`flex input 1 input 5 output 3`: `input` is listed twice")
    );
    let (_, why) = wrong("price.tiers", FieldKind::Tiers, "flex 2\nflex 3");
    assert_eq!(why, "`flex` is listed twice");
    for line in ["priority 1,5", "flex input 1,25 output 7,5", "flex input", "flex input 1 output"] {
        assert!(wrong("price.tiers", FieldKind::Tiers, line).1.starts_with(&format!("`{line}`")), "{line}");
    }
    let read = typed(&[("price.tiers", "flex: input 1.25, output 1,000\npriority 2")]);
    let tiers = json!({ "flex": { "input": "1.25", "output": "1000" }, "priority": { "multiplier": "2" } });
    assert_eq!(read.json(&[("price.tiers", FieldKind::Tiers)]).unwrap()["price"]["tiers"], tiers);
    let (path, why) = wrong("metadata", FieldKind::Json, r#"{"a": {"b": 1, "b": 2}}"#);
    assert!(path == "metadata" && why.starts_with("`b` is duplicated"), "{why}");
}
