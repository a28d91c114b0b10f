//! The edits that the forms are typed for, by kind.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use latchkey_api::change_requests::MyAppSettings;
use latchkey_api::problem::Problem;
use latchkey_api::versions::FieldChange;
use latchkey_core::change_request::Kind as ChangeKind;
use latchkey_core::settings::CredentialMode;
use serde_json::{Value, json};

use super::categories;
use crate::form::app::{IDENTITY, JWT, LIMIT_FIELDS, NAMED_KEY_LIMIT_FIELDS};
use crate::form::{Field, FieldKind, FormInput, HtmlForm, argument_rule};
use crate::guardrails;

/// Fields of the forms' own, which say nothing of the change.
const STEPS: &[Field] =
    &[("step", FieldKind::Aside), ("reason", FieldKind::Aside), ("base_version", FieldKind::Aside)];

/// What is done to a prompt.
const ACTION: Field = ("action", FieldKind::Aside);

const CREATE: &[Field] = &[
    ("create.name", FieldKind::Text),
    ("create.text", FieldKind::Text),
    ("create.labels", FieldKind::List),
    ACTION,
];

const ADD_VERSION: &[Field] = &[
    ("add_version.name", FieldKind::Text),
    ("add_version.text", FieldKind::Text),
    ("add_version.labels", FieldKind::List),
    ACTION,
];

const SET_LABEL: &[Field] = &[
    ("set_label.name", FieldKind::Text),
    ("set_label.label", FieldKind::Text),
    ("set_label.version", FieldKind::Number),
    ACTION,
];

const REMOVE_LABEL: &[Field] =
    &[("remove_label.name", FieldKind::Text), ("remove_label.label", FieldKind::Text), ACTION];

/// Where the keys of JWTs come from.
const KEYS: &[Field] = &[("keys", FieldKind::Aside)];

const ALLOWED: &[Field] = &[
    ("allowed_models", FieldKind::Selection),
    ("mcp_scope", FieldKind::Selection),
    ("mcp_argument_rules", FieldKind::ArgumentRules),
    ("routing_groups", FieldKind::Grant),
    ("target_header", FieldKind::Flag),
    ("allowed_providers", FieldKind::Selection),
    ("ip_allow_list", FieldKind::OptionalList),
];

const CONFIG: &[Field] = &[
    ("time_zone", FieldKind::Text),
    ("alert_thresholds", FieldKind::Numbers),
    ("require_conversation_id", FieldKind::Flag),
    ("prompt_required", FieldKind::Flag),
];

/// The form with one more model; all are all.
pub(super) fn with_model(form: HtmlForm, model: &str) -> HtmlForm {
    const ONLY: &str = "allowed_models.only";
    let allowed = match form.selection("allowed_models") {
        "all" => return form,
        "none" => model.to_owned(),
        _ if form.holds(ONLY, model) => form.value(ONLY).to_owned(),
        _ => format!("{}, {model}", form.value(ONLY)),
    };
    form.with("allowed_models", "only").with(ONLY, allowed)
}

/// The form that shows `now`.
pub(super) fn form(kind: ChangeKind, now: &MyAppSettings) -> HtmlForm {
    let form = HtmlForm::of(now);
    match kind {
        ChangeKind::UpdateConfig => {
            let ranges = now.ip_allow_list.as_ref().map(|ranges| ranges.join("\n")).unwrap_or_default();
            let rules = argument_rule::write_all(&now.mcp_argument_rules);
            let form = form.with("ip_allow_list", ranges).with("mcp_argument_rules", rules);
            let form = form.with("expires_at", last_day(now));
            guardrails::filled(form, &now.guardrails)
        }
        ChangeKind::JwtAuthSettings => {
            let keys = match &now.identity.jwt {
                None => "none",
                Some(_) if now.identity.jwks_url().is_some() => "jwks_url",
                Some(_) => "pem",
            };
            let form = form.with("keys", keys);
            if now.identity.jwt.is_some() { form } else { form.with("identity.jwt.email_claim", "email") }
        }
        ChangeKind::CustomCategories => categories::form(&now.custom_categories),
        ChangeKind::SetTags | ChangeKind::PromptStore => form,
    }
}

/// The form of a prompt that was asked for before.
pub(super) fn prompt_form(changes: &[FieldChange]) -> HtmlForm {
    let form = HtmlForm::default();
    // Of a version that is added, the text says it all.
    let text = |change: &&FieldChange| matches!(change.path.segments(), [_, _, leaf] if leaf == "text");
    let Some(change) = changes.iter().find(text).or(changes.first()) else { return form };
    let name = change.path.segments().get(1).cloned().unwrap_or_default();
    if change.path.segments().len() > 2 {
        let Some(text) = change.after.as_ref().and_then(Value::as_str) else { return form };
        return form.with("add_version.name", name).with("add_version.text", text);
    }
    match &change.after {
        Some(prompt) => HtmlForm::default()
            .with("create.name", name)
            .with("create.text", prompt["text"].as_str().unwrap_or_default()),
        None => HtmlForm::default().with("delete", name),
    }
}

/// The form as it was typed, of an app that is `now` so: without the categories that are to be removed.
///
/// # Errors
/// What was typed has no effect.
pub(super) fn again(kind: ChangeKind, typed: &FormInput, now: &MyAppSettings) -> Result<HtmlForm, Problem> {
    match kind {
        ChangeKind::CustomCategories => {
            let typed = typed.clone().over(form(kind, now));
            Ok(categories::form(&categories::read(&typed, STEPS)?))
        }
        _ => Ok(typed.form()),
    }
}

/// The edit that was typed, of an app that is `now` so.
///
/// # Errors
/// What was typed is not of a field's kind.
pub(super) fn read(
    kind: ChangeKind,
    mode: CredentialMode,
    typed: &FormInput,
    now: &MyAppSettings,
) -> Result<Value, Problem> {
    let typed = &typed.clone().over(form(kind, now));
    let json = |fields: &[Field]| typed.json(&[STEPS, fields].concat());
    match kind {
        ChangeKind::UpdateConfig => config(mode, typed, now),
        ChangeKind::SetTags => json(&[("tags", FieldKind::List)]),
        ChangeKind::JwtAuthSettings => identity(typed),
        ChangeKind::CustomCategories => {
            let sent = categories::sent(categories::read(typed, STEPS)?);
            Ok(json!({ "custom_categories": sent }))
        }
        ChangeKind::PromptStore => json(match typed.text("action") {
            "delete" => &[("delete", FieldKind::Text), ACTION],
            "add_version" => ADD_VERSION,
            "set_label" => SET_LABEL,
            "remove_label" => REMOVE_LABEL,
            _ => CREATE,
        }),
    }
}

fn config(mode: CredentialMode, typed: &FormInput, now: &MyAppSettings) -> Result<Value, Problem> {
    let named = if mode == CredentialMode::Named { &NAMED_KEY_LIMIT_FIELDS[..] } else { &[] };
    // The moment is told by its day: where that stays, so does the moment.
    let last: Field = match typed.text("expires_at") {
        day if day == last_day(now) => ("expires_at", FieldKind::Aside),
        "" => ("expires_at", FieldKind::Optional),
        _ => ("expires_at", FieldKind::Day),
    };
    let fields = [STEPS, ALLOWED, &LIMIT_FIELDS, CONFIG, named, &[last], &guardrails::FIELDS].concat();
    let mut edit = typed.json(&fields)?;
    edit["guardrails"] = guardrails::read(typed, &now.guardrails)?.json;
    Ok(edit)
}

fn identity(typed: &FormInput) -> Result<Value, Problem> {
    let keys = match typed.text("keys") {
        "jwks_url" => ("identity.jwt.keys.jwks_url", FieldKind::Text),
        "pem" => ("identity.jwt.keys.pem", FieldKind::Text),
        _ => {
            let mut edit = typed.json(&[STEPS, KEYS, IDENTITY].concat())?;
            edit["identity"]["jwt"] = Value::Null;
            return Ok(edit);
        }
    };
    typed.json(&[STEPS, KEYS, IDENTITY, JWT, &[keys]].concat())
}

/// The last day, in UTC, on which the app works; empty for ever.
fn last_day(now: &MyAppSettings) -> String {
    let last = |at: Timestamp| at.checked_sub(SignedDuration::from_millis(1)).ok();
    let last = now.expires_at.and_then(last);
    last.map(|at| at.to_zoned(TimeZone::UTC).date().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_day_ends_with_the_moment() {
        let last = |at: &str| {
            let settings = serde_json::from_value(json!({ "expires_at": at })).unwrap();
            last_day(&MyAppSettings::new(1, settings))
        };
        assert_eq!(last("2027-01-01T00:00:00Z"), "2026-12-31");
        assert_eq!(last("2026-12-31T00:00:01Z"), "2026-12-31");
        assert_eq!(last_day(&MyAppSettings::new(1, latchkey_core::settings::AppSettings::default())), "");
    }
}
