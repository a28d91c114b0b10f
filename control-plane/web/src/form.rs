//! Forms: what is typed is read as the JSON that the API takes, by the API's own names of fields, so that its
//! errors find their fields again.
//!
//! Nothing that was typed is dropped: what no field of the form takes, as things are chosen there, is refused
//! by its name.

pub mod app;
pub mod argument_rule;
mod kind;
mod number;
mod overtaken;
mod unused;

use std::collections::BTreeMap;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use latchkey_api::Api;
use latchkey_api::body;
use latchkey_api::idempotency::Creation;
use latchkey_api::precondition::IfMatch;
use latchkey_api::problem::Problem;
use latchkey_core::invalid::FieldError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use super::frame::Visit;
use super::unprocessable;

pub use kind::FieldKind;
pub use overtaken::{IF_MATCH, OvertakenField};

/// A field: its path in the API's JSON, and how it is typed.
pub type Field = (&'static str, FieldKind);

/// When a key is to stop: a lifetime chosen in the field `expires_in`, or the day in `expires_at`. Neither leaves
/// it as it is.
#[must_use]
pub fn expiry(typed: &FormInput) -> &'static [Field] {
    const LIFETIME: &[Field] = &[("expires_in", FieldKind::Text)];
    const DAY: &[Field] = &[("expires_in", FieldKind::Aside), ("expires_at", FieldKind::Day)];
    match (typed.text("expires_in"), typed.text("expires_at")) {
        ("", "") => &[],
        ("" | "day", _) => DAY,
        _ => LIFETIME,
    }
}

/// What was typed into a form.
#[derive(Clone, Debug, Default)]
pub struct FormInput {
    said: Vec<(String, String)>,
    /// What the form's fields held when it was shown: what stands there still was not typed.
    shown: BTreeMap<String, String>,
}

/// A form that somebody who is signed in sent from a page of ours: without the session's token in its field
/// `csrf` there is none.
#[derive(Clone, Debug)]
pub struct Posted {
    pub visit: Visit,
    pub typed: FormInput,
}

/// A form to show: what its fields hold, and what is wrong with them.
#[derive(Clone, Debug, Default)]
pub struct HtmlForm {
    values: BTreeMap<String, String>,
    /// Every field that is wrong.
    pub errors: Vec<FieldError>,
    /// What is wrong, where that is no field.
    pub problem: Option<String>,
    /// Where somebody else has changed what the form edits: what they changed.
    pub overtaken: Option<Vec<OvertakenField>>,
}

impl FromRequest<Api> for FormInput {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        Self::parse(&body::bytes(request, api).await?)
    }
}

/// What a form that was sent by GET asks to see: a list's filters.
#[derive(Clone, Debug, Default)]
pub struct FilterForm(pub FormInput);

impl FromRequestParts<Api> for FilterForm {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        FormInput::parse(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
    }
}

impl FromRequest<Api> for Posted {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (mut parts, rest) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, api).await?;
        let typed = FormInput::from_request(Request::from_parts(parts, rest), api).await?;
        if !visit.confirms(typed.text("csrf")) {
            let detail = "this form belongs to another session: reload the page and submit it again";
            return Err(Problem::new(StatusCode::FORBIDDEN, "csrf", detail));
        }
        Ok(Self { visit, typed })
    }
}

impl FormInput {
    fn parse(text: &[u8]) -> Result<Self, Problem> {
        let typed: Vec<_> = form_urlencoded::parse(text).into_owned().collect();
        if typed.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            let detail = "a field contains a NUL character";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_form", detail));
        }
        Ok(Self { said: typed, shown: BTreeMap::new() })
    }

    /// The same, with this in a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.said.retain(|(key, _)| key != name);
        self.said.push((name.to_owned(), value.into()));
        self
    }

    /// The same, of a form that was shown filled like this.
    #[must_use]
    pub fn over(mut self, shown: HtmlForm) -> Self {
        self.shown = shown.values;
        self
    }

    /// What was typed into a field, without the blanks around it; empty where it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The same with its blanks, as passwords have it.
    #[must_use]
    pub fn raw(&self, name: &str) -> &str {
        let typed = self.said.iter().find(|(key, _)| key == name);
        typed.map_or("", |(_, value)| value)
    }

    /// What was chosen of a field that may be chosen several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.said.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Everything that was typed, by field.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.said.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the field is there: a box that was ticked, a button that was pressed.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The JSON of these fields, which are all that the form has as things are chosen there.
    ///
    /// # Errors
    /// What was typed is not of the field's kind, or is of no field.
    pub fn json(&self, fields: &[Field]) -> Result<Value, Problem> {
        let mut json = Value::Object(serde_json::Map::new());
        let mut wrong = self.unused(fields);
        for (path, kind) in fields.iter().filter(|(_, kind)| !kind.is_left_out()) {
            if let Some(value) = wrong.check(&kind.typed_at(path), kind.read(self, path)) {
                place(&mut json, path, value);
            }
        }
        wrong.into_result().map_err(Problem::invalid)?;
        Ok(json)
    }

    /// What these fields say, as the API takes it.
    ///
    /// # Errors
    /// What was typed is not of the field's kind, or is refused.
    pub fn read<T: DeserializeOwned>(&self, fields: &[Field]) -> Result<T, Problem> {
        taken(&self.json(fields)?)
    }

    /// The form as it was typed.
    #[must_use]
    pub fn form(&self) -> HtmlForm {
        let mut values = BTreeMap::<String, String>::new();
        for (name, value) in self.said.iter().filter(|(name, _)| name != "csrf") {
            values
                .entry(name.clone())
                .and_modify(|all| *all = format!("{all}, {value}"))
                .or_insert(value.clone());
        }
        HtmlForm { values, ..HtmlForm::default() }
    }
}

impl Posted {
    /// A creation of what these fields say, which the form's field `once` names.
    ///
    /// # Errors
    /// What was typed is not of the field's kind, or is refused.
    pub fn creation<T: DeserializeOwned, B>(
        &self,
        fields: &[Field],
        body: fn(T) -> B,
    ) -> Result<Creation<B>, Problem> {
        let json = self.typed.json(fields)?;
        Ok(self.once(body(taken(&json)?), "", &json.to_string()))
    }

    /// A creation of this, by a form that creates several things: `part` tells them apart, and `said` is
    /// what was typed of it.
    pub fn once<B>(&self, new: B, part: &str, said: &str) -> Creation<B> {
        let once = self.typed.text("once");
        let key = if once.is_empty() { String::new() } else { format!("{once}{part}") };
        Creation::of_form(new, &self.visit.anyone(), &key, &self.visit.path, said.as_bytes())
    }

    /// What the form was shown with, in its field `if_match`: with it the API changes nothing that somebody else has
    /// changed since.
    #[must_use]
    pub fn if_match(&self) -> IfMatch {
        IfMatch::of_form(self.typed.text(IF_MATCH))
    }

    /// The form again, with what is wrong with it.
    ///
    /// # Errors
    /// The problem, where it is not about what was typed.
    pub fn refused(&self, problem: Problem) -> Result<HtmlForm, Problem> {
        self.typed.form().refused(problem)
    }

    /// Answers the form: with `done` where its attempt succeeded, else with the page `again`, which shows what was
    /// typed and what is wrong with it.
    ///
    /// # Errors
    /// The problem, where it is not about what was typed.
    pub async fn answer<T, F: Future<Output = Result<Response, Problem>>>(
        &self,
        attempt: Result<T, Problem>,
        done: impl FnOnce(T) -> Response,
        again: impl FnOnce(HtmlForm) -> F,
    ) -> Result<Response, Problem> {
        match attempt {
            Ok(made) => Ok(done(made)),
            Err(problem) => {
                let is_conflict = problem.changed_meanwhile.is_some();
                let page = again(self.refused(problem)?).await?;
                Ok(if is_conflict {
                    (StatusCode::CONFLICT, page).into_response()
                } else {
                    unprocessable(page)
                })
            }
        }
    }
}

/// The element that shows the field of a path: an item of a list is in the field of the list.
#[must_use]
pub fn field(path: &str) -> &str {
    let list = path.split_once('[').map_or(path, |(list, _)| list);
    let list = list.strip_suffix(".only").unwrap_or(list);
    if list.starts_with("price.tiers.") { "price.tiers" } else { list }
}

impl HtmlForm {
    /// Filled with what is there now.
    #[must_use]
    pub fn of(now: &impl Serialize) -> Self {
        let mut form = Self::default();
        flatten("", &serde_json::to_value(now).unwrap_or_default(), &mut form.values);
        form
    }

    /// With this value in a field.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<String>) -> Self {
        self.values.insert(path.to_owned(), value.into());
        self
    }

    /// These fields as they were typed, and beside them what is there now.
    #[must_use]
    pub fn beside(mut self, mut now: Self, fields: &[Field]) -> Self {
        let within = |name: &str, path: &str| {
            let rest = name.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        now.values.retain(|name, _| !fields.iter().any(|(path, _)| within(name, path)));
        now.values.append(&mut self.values);
        now
    }

    /// With what is wrong with it.
    ///
    /// # Errors
    /// The problem, where it is not about what was typed.
    pub fn refused(mut self, problem: Problem) -> Result<Self, Problem> {
        if let Some(meanwhile) = &problem.changed_meanwhile {
            self.problem = Some(overtaken::who(&meanwhile.by));
            self.overtaken = Some(Vec::new());
            return Ok(self);
        }
        if !matches!(problem.status, 400 | 409 | 422 | 429) {
            return Err(problem);
        }
        let detail = match &*problem.code {
            "idempotency_key_reused" => {
                "This form was already submitted with other values. Check the result, then submit it again."
                    .to_owned()
            }
            "idempotency_key_in_use" => "This form is already being submitted. Try again.".to_owned(),
            _ => problem.detail,
        };
        self.problem = Some(detail).filter(|_| problem.errors.is_empty());
        self.errors = problem.errors;
        Ok(self)
    }

    /// With what is wrong with another form of the same page, which has none of these fields.
    #[must_use]
    pub fn wrong_as(self, other: Self) -> Self {
        Self { values: self.values, ..other }
    }

    /// Whether the form has this field, be it empty.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.values.contains_key(path)
    }

    #[must_use]
    pub fn value(&self, path: &str) -> &str {
        self.values.get(path).map_or("", String::as_str)
    }

    /// Whether a field holds this, alone or among others.
    #[must_use]
    pub fn holds(&self, path: &str, option: &str) -> bool {
        self.value(path).split(", ").any(|value| value == option)
    }

    /// Whether a box is ticked.
    #[must_use]
    pub fn ticked(&self, path: &str) -> bool {
        !matches!(self.value(path), "" | "false")
    }

    /// Which of `all`, `none` and `only` a selection is; all where nothing is chosen.
    #[must_use]
    pub fn selection(&self, path: &str) -> &str {
        match self.value(path) {
            "" | "all" => "all",
            "none" => "none",
            _ => "only",
        }
    }

    /// What is wrong with a field.
    #[must_use]
    pub fn error(&self, path: &str) -> Option<&str> {
        let within = |error: &&FieldError| {
            let rest = error.path.strip_prefix(path);
            let of_tier = |rest: &str| path == "price.tiers" && rest.starts_with('.');
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('[') || rest == ".only" || of_tier(rest)
            })
        };
        self.errors.iter().find(within).map(|error| error.message.as_str())
    }

    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.problem.is_some() || !self.errors.is_empty()
    }
}

/// What JSON says, as the API takes it; an error names the field.
///
/// # Errors
/// A field that the API would refuse.
pub fn taken<T: DeserializeOwned>(json: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        Problem::invalid(FieldError::new(path, error.into_inner()).into())
    })
}

/// Puts a value at a path such as `limits.budget`.
fn place(json: &mut Value, path: &str, value: Value) {
    let place = path.split('.').fold(json, |outer, name| {
        if !outer.is_object() {
            *outer = Value::Object(serde_json::Map::new());
        }
        &mut outer[name]
    });
    *place = value;
}

/// Values by their paths. A list is also under `path.only`, and an object is also there as JSON.
fn flatten(path: &str, json: &Value, values: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let text = match json {
        Value::Null => return,
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(&below(name), value, values);
            }
            serde_json::to_string_pretty(json).unwrap_or_default()
        }
        Value::Array(items) => {
            let plain = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            let list = items.iter().map(plain).collect::<Vec<_>>().join(", ");
            values.insert(below("only"), list.clone());
            list
        }
        other => other.to_string(),
    };
    values.insert(path.to_owned(), text);
}

#[cfg(test)]
mod tests;
