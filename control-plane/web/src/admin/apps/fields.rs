//! The fields of an app's forms.

use crate::form::app::{IDENTITY, JWT, LIMIT_FIELDS, NAMED_KEY_LIMIT_FIELDS};
use crate::form::{Field, FieldKind, FormInput, HtmlForm, argument_rule, expiry};
use crate::guardrails;
use latchkey_api::apps::AppView;

const SETTINGS: &[Field] = &[
    ("name", FieldKind::Text),
    ("allowed_models", FieldKind::Selection),
    ("mcp_scope", FieldKind::Selection),
    ("mcp_argument_rules", FieldKind::ArgumentRules),
    ("routing_groups", FieldKind::Grant),
    ("target_header", FieldKind::Flag),
    ("ip_allow_list", FieldKind::OptionalList),
    ("time_zone", FieldKind::Text),
    ("alert_thresholds", FieldKind::Numbers),
    ("metadata", FieldKind::Json),
    ("tags", FieldKind::List),
    ("keep_key_values", FieldKind::Flag),
    ("prompt_required", FieldKind::Flag),
];

pub fn new(typed: &FormInput) -> Vec<Field> {
    let own = [
        ("mode", FieldKind::Text),
        ("require_conversation_id", FieldKind::Flag),
        ("allowed_providers", FieldKind::Switches),
    ];
    [SETTINGS, &LIMIT_FIELDS, &NAMED_KEY_LIMIT_FIELDS, &own, expiry(typed)].concat()
}

/// Of an app's settings. The providers are left out where no switch was turned, so that names with a `*`
/// stay as they are.
pub fn settings(typed: &FormInput, app: &AppView) -> Vec<Field> {
    let turned =
        |name: &str| app.allowed_providers.holds(name) != typed.all("allowed_providers").any(|on| on == name);
    let providers = match typed.all("allowed_providers.shown").any(turned) {
        true => FieldKind::Switches,
        false => FieldKind::UnturnedSwitches,
    };
    [SETTINGS, &LIMIT_FIELDS, &NAMED_KEY_LIMIT_FIELDS, &[("allowed_providers", providers)], expiry(typed)]
        .concat()
}

/// Of how the user behind a request is learnt.
pub fn identity(typed: &FormInput) -> Vec<Field> {
    const CONVERSATION: &[Field] =
        &[("require_conversation_id", FieldKind::Flag), ("identity.jwt.from", FieldKind::Aside)];
    let keys: &[Field] = match typed.text("identity.jwt.from") {
        "jwks_url" => &[("identity.jwt.keys.jwks_url", FieldKind::Text)],
        "pem" => &[("identity.jwt.keys.pem", FieldKind::Text)],
        _ => return [CONVERSATION, IDENTITY].concat(),
    };
    [CONVERSATION, IDENTITY, keys, JWT].concat()
}

/// Of an app's guardrails.
pub fn guardrails() -> Vec<Field> {
    guardrails::FIELDS.clone()
}

/// The form of an app's settings as they are now.
pub fn filled(app: &AppView, providers: &[String]) -> HtmlForm {
    let on: Vec<_> =
        providers.iter().filter(|name| app.allowed_providers.holds(name)).map(String::as_str).collect();
    let from = match app.identity.jwt.as_ref().map(|_| app.identity.jwks_url()) {
        None => "",
        Some(Some(_)) => "jwks_url",
        Some(None) => "pem",
    };
    let form = HtmlForm::of(app).with("allowed_providers", on.join(", ")).with("identity.jwt.from", from);
    // The moment stays as it is unless another is chosen.
    let rules = argument_rule::write_all(&app.mcp_argument_rules);
    let form = form.with("expires_at", "").with("mcp_argument_rules", rules);
    guardrails::filled(form, &app.guardrails)
}
