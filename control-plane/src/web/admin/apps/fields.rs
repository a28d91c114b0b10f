//! The fields of an app's forms.

use axum::extract::State;

use crate::api::Api;
use crate::api::apps::AppView;
use crate::api::problem::Problem;
use crate::api::providers;
use crate::web::form::{Field, Form, Kind, Typed, expiry};
use crate::web::frame::Visit;

const SETTINGS: &[Field] = &[
    ("name", Kind::Text),
    ("allowed_models", Kind::Selection),
    ("ip_allow_list", Kind::OptionalList),
    ("time_zone", Kind::Text),
    ("alert_thresholds", Kind::Numbers),
    ("metadata", Kind::Json),
    ("tags", Kind::List),
    ("keep_key_values", Kind::Flag),
    ("limits.requests_per_minute", Kind::Number),
    ("limits.requests_per_hour", Kind::Number),
    ("limits.requests_per_day", Kind::Number),
    ("limits.tokens_per_minute", Kind::Number),
    ("limits.token_budget", Kind::TokenBudget),
    ("limits.budget", Kind::Budget),
    ("limits.max_input_tokens", Kind::Number),
    ("limits.max_output_tokens", Kind::Number),
    ("named_key_limits.requests_per_minute", Kind::Number),
    ("named_key_limits.requests_per_hour", Kind::Number),
    ("named_key_limits.requests_per_day", Kind::Number),
    ("named_key_limits.tokens_per_minute", Kind::Number),
    ("named_key_limits.token_budget", Kind::TokenBudget),
    ("named_key_limits.budget", Kind::Budget),
    ("named_key_limits.max_input_tokens", Kind::Number),
    ("named_key_limits.max_output_tokens", Kind::Number),
];

/// Of a new app.
pub fn new(typed: &Typed) -> Vec<Field> {
    let own = [
        ("mode", Kind::Text),
        ("require_conversation_id", Kind::Flag),
        ("allowed_providers", Kind::Switches),
    ];
    [SETTINGS, &own, expiry(typed)].concat()
}

/// Of an app's settings. The providers are left out where no switch was turned, so that names with a `*`
/// stay as they are.
pub fn settings(typed: &Typed, app: &AppView) -> Vec<Field> {
    let turned =
        |name: &str| app.allowed_providers.holds(name) != typed.all("allowed_providers").any(|on| on == name);
    let providers: &[Field] = match typed.all("allowed_providers.shown").any(turned) {
        true => &[("allowed_providers", Kind::Switches)],
        false => &[],
    };
    [SETTINGS, providers, expiry(typed)].concat()
}

/// Of how the user behind a request is learnt.
pub fn identity(typed: &Typed) -> Vec<Field> {
    const COMMON: &[Field] = &[
        ("require_conversation_id", Kind::Flag),
        ("identity.header", Kind::Flag),
        ("identity.enforce", Kind::Flag),
        ("identity.allowed_domains", Kind::OptionalList),
    ];
    const JWT: &[Field] = &[
        ("identity.jwt.issuers", Kind::OptionalList),
        ("identity.jwt.parties", Kind::OptionalList),
        ("identity.jwt.email_claim", Kind::Text),
    ];
    let keys: &[Field] = match typed.text("identity.jwt.from") {
        "jwks_url" => &[("identity.jwt.keys.jwks_url", Kind::Text)],
        "pem" => &[("identity.jwt.keys.pem", Kind::Text)],
        _ => return COMMON.to_vec(),
    };
    [COMMON, keys, JWT].concat()
}

/// The form of an app's settings as they are now.
pub fn filled(app: &AppView, providers: &[String]) -> Form {
    let on: Vec<_> =
        providers.iter().filter(|name| app.allowed_providers.holds(name)).map(String::as_str).collect();
    let from = match app.identity.jwt.as_ref().map(|_| app.identity.jwks_url()) {
        None => "",
        Some(Some(_)) => "jwks_url",
        Some(None) => "pem",
    };
    let form = Form::of(app).with("allowed_providers", on.join(", ")).with("identity.jwt.from", from);
    // The moment stays as it is unless another is chosen.
    form.with("expires_at", "")
}

/// The names of all providers.
///
/// # Errors
/// The visitor may not see them, or the database is away.
pub async fn providers(visit: &Visit, api: &Api) -> Result<Vec<String>, Problem> {
    let page = providers::list(visit.reader()?, State(api.clone())).await?;
    Ok(page.items.into_iter().map(|provider| provider.name.to_string()).collect())
}
