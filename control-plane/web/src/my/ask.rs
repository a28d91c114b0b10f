//! Asking for a change of an app's settings: a form, what it would change, and then the request.

mod categories;
mod edit;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::change_requests::draft;
use latchkey_api::change_requests::mine;
use latchkey_api::change_requests::{ChangePreview, MyAppSettings, NewPreview, SettingsQuery};
use latchkey_api::my_apps::MyAppDetails;
use latchkey_api::problem::Problem;
use latchkey_core::change_request::Kind as ChangeKind;
use latchkey_core::settings::CredentialMode;
use latchkey_service::action::change_requests::submit::NewChangeRequest;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::apps::{asked, read};
use super::diff::{DiffRow, rows};
use crate::form::{FormInput, HtmlForm, Posted};
use crate::frame::{Frame, Visit, done};
use crate::guardrails::{self, CategoryRow};
use crate::{html, unprocessable};

/// Fields of the forms' own, which say nothing of the change.
const STEPS: [&str; 5] = ["csrf", "once", "step", "reason", "base_version"];

const PERIODS: &[(&str, &str)] =
    &[("month", "per month"), ("week", "per week"), ("day", "per day"), ("total", "total")];

/// Where the keys of JWTs come from.
const KEYS: &[(&str, &str)] =
    &[("none", "None (ignore JWTs)"), ("jwks_url", "JWK set at a URL"), ("pem", "Public keys (PEM)")];

#[derive(Template)]
#[template(path = "my/ask.html")]
struct AskPage {
    frame: Frame,
    app: MyAppDetails,
    kind: ChangeKind,
    now: MyAppSettings,
    /// The paths of the categories that the form has room for.
    categories: Vec<String>,
    guardrails: Vec<CategoryRow>,
    form: HtmlForm,
}

#[derive(Template)]
#[template(path = "my/ask_preview.html")]
struct PreviewPage {
    frame: Frame,
    app: MyAppDetails,
    kind: ChangeKind,
    base_version: i64,
    rows: Vec<DiffRow>,
    was: &'static str,
    wish: &'static str,
    /// What was typed on the page before.
    typed: Vec<(String, String)>,
    form: HtmlForm,
}

/// What a form begins with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeFormQuery {
    /// What this request of one's own asked for.
    again: Option<Uuid>,
    /// This model, beside those that are allowed now.
    model: Option<String>,
}

/// Asks what is to be changed.
pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams((id, kind)): PathParams<(Uuid, ChangeKind)>,
    Query(ChangeFormQuery { again, model }): Query<ChangeFormQuery>,
) -> Result<Response, Problem> {
    let query = Query(SettingsQuery { change_request: again });
    let wanted = draft::settings(visit.person(), State(api.clone()), PathParams(id), query).await?.0;
    let mut form = edit::form(kind, &wanted);
    if let (ChangeKind::PromptStore, Some(again)) = (kind, again) {
        let request = mine::read(visit.person(), State(api.clone()), PathParams(again)).await?.0;
        form = edit::prompt_form(&request.changes);
    }
    if let (ChangeKind::UpdateConfig, Some(model)) = (kind, model) {
        form = edit::with_model(form, &model);
    }
    show(&visit, &api, (id, kind), form).await
}

/// Shows what would change, or sends the request.
pub async fn send(
    State(api): State<Api>,
    PathParams(place): PathParams<(Uuid, ChangeKind)>,
    posted: Posted,
) -> Result<Response, Problem> {
    match posted.typed.text("step") {
        "send" => submit(&api, place, &posted).await,
        "edit" => match again(&api, place, &posted).await {
            Ok(form) => show(&posted.visit, &api, place, form).await,
            Err(problem) => mend(&api, place, &posted, problem).await,
        },
        _ => match preview(&api, place, &posted).await {
            Ok(preview) => confirm(&api, place, &posted, preview, HtmlForm::default()).await,
            Err(problem) => mend(&api, place, &posted, problem).await,
        },
    }
}

async fn submit(api: &Api, (id, kind): (Uuid, ChangeKind), posted: &Posted) -> Result<Response, Problem> {
    let Posted { visit, typed } = posted;
    let sent = async {
        let edit = edit(api, (id, kind), posted).await?;
        let reason = typed.text("reason").to_owned();
        // What was shown is what is asked for: a version that is none was never shown.
        let base_version = typed.text("base_version").parse().unwrap_or_default();
        let said = json!([edit, reason, base_version]).to_string();
        let new = NewChangeRequest { kind, edit, reason, base_version: Some(base_version) };
        let creation = posted.once(JsonBody(new), "", &said);
        mine::submit(visit.person(), State(api.clone()), PathParams(id), creation).await?.into_made()
    };
    let problem = match sent.await {
        Ok(request) => {
            let to = format!("/requests/{}", request.id);
            return Ok(done(&to, "Request submitted. An admin will review it."));
        }
        Err(problem) => problem,
    };
    match preview(api, (id, kind), posted).await {
        Ok(preview) => {
            let form = HtmlForm::default().with("reason", typed.raw("reason")).refused(problem)?;
            let page = confirm(api, (id, kind), posted, preview, form).await?;
            Ok(unprocessable(page))
        }
        Err(problem) => mend(api, (id, kind), posted, problem).await,
    }
}

/// The edit that was typed.
async fn edit(api: &Api, (id, kind): (Uuid, ChangeKind), posted: &Posted) -> Result<Value, Problem> {
    let Posted { visit, typed } = posted;
    let app = read(visit, api, id).await?;
    edit::read(kind, app.app.mode, typed, &settings(visit, api, id).await?)
}

/// The form as it was typed.
async fn again(api: &Api, (id, kind): (Uuid, ChangeKind), posted: &Posted) -> Result<HtmlForm, Problem> {
    let Posted { visit, typed } = posted;
    edit::again(kind, typed, &settings(visit, api, id).await?)
}

/// The app's settings as they are now.
async fn settings(visit: &Visit, api: &Api, id: Uuid) -> Result<MyAppSettings, Problem> {
    let now = Query(SettingsQuery::default());
    Ok(draft::settings(visit.person(), State(api.clone()), PathParams(id), now).await?.0)
}

async fn preview(
    api: &Api,
    (id, kind): (Uuid, ChangeKind),
    posted: &Posted,
) -> Result<ChangePreview, Problem> {
    let edit = edit(api, (id, kind), posted).await?;
    let new = JsonBody(NewPreview { kind, edit });
    Ok(draft::preview(posted.visit.person(), State(api.clone()), PathParams(id), new).await?.0)
}

/// The form again, with what is wrong with it.
async fn mend(
    api: &Api,
    (id, kind): (Uuid, ChangeKind),
    posted: &Posted,
    mut problem: Problem,
) -> Result<Response, Problem> {
    for error in &mut problem.errors {
        let own = error.path.strip_prefix("edit").map(|rest| rest.trim_start_matches('.').to_owned());
        error.path = own.unwrap_or_else(|| error.path.clone());
    }
    if kind == ChangeKind::UpdateConfig {
        let now = settings(&posted.visit, api, id).await?;
        if let Ok(typed) = guardrails::read(&posted.typed, &now.guardrails) {
            problem = typed.placed(problem);
        }
    }
    let typed = again(api, (id, kind), posted).await.unwrap_or_else(|_| posted.typed.form());
    let form = typed.refused(problem)?;
    let page = show(&posted.visit, api, (id, kind), form).await?;
    Ok(unprocessable(page))
}

async fn show(
    visit: &Visit,
    api: &Api,
    (id, kind): (Uuid, ChangeKind),
    form: HtmlForm,
) -> Result<Response, Problem> {
    let app = read(visit, api, id).await?;
    let now = settings(visit, api, id).await?;
    let frame = visit.frame(format!("Request a change: {}", asked(&kind)));
    let categories = categories::paths(&form);
    let guardrails = guardrails::rows(&form, !now.custom_categories.is_empty());
    html(&AskPage { frame, app, kind, now, categories, guardrails, form })
}

async fn confirm(
    api: &Api,
    (id, kind): (Uuid, ChangeKind),
    Posted { visit, typed }: &Posted,
    ChangePreview { base_version, changes }: ChangePreview,
    form: HtmlForm,
) -> Result<Response, Problem> {
    let app = read(visit, api, id).await?;
    html(&PreviewPage {
        frame: visit.frame(format!("Preview: {}", asked(&kind))),
        app,
        kind,
        base_version,
        rows: rows(&changes),
        was: "Now",
        wish: "Requested",
        typed: kept(typed),
        form,
    })
}

fn kept(typed: &FormInput) -> Vec<(String, String)> {
    let kept = typed.pairs().filter(|(name, _)| !STEPS.contains(name));
    kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
