//! An app's prompts.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use latchkey_api::Api;
use latchkey_api::apps::AppView;
use latchkey_api::body::{JsonBody, PathParams};
use latchkey_api::problem::Problem;
use latchkey_api::prompts::{self, PromptView};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::app;
use super::tabs::Tabs;
use crate::form::{Field, FieldKind, HtmlForm, Posted};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::html;

/// The pages of an app's prompts.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/apps/{id}/prompts", get(list).post(create))
        .route("/admin/apps/{id}/prompts/{name}", get(page).post(create_version))
        .route("/admin/apps/{id}/prompts/{name}/label", post(set_label))
        .route("/admin/apps/{id}/prompts/{name}/unlabel", post(delete_label))
        .route("/admin/apps/{id}/prompts/{name}/delete", post(delete))
}

#[derive(Template)]
#[template(path = "admin/prompts.html")]
struct PromptsPage {
    frame: Frame,
    tabs: Tabs,
    is_required: bool,
    prompts: Vec<PromptView>,
    form: HtmlForm,
}

#[derive(Template)]
#[template(path = "admin/prompt.html")]
struct PromptPage {
    frame: Frame,
    tabs: Tabs,
    prompt: PromptView,
    /// Where its page is.
    path: String,
    form: HtmlForm,
}

const NEW: &[Field] = &[("name", FieldKind::Text), ("text", FieldKind::Text), ("labels", FieldKind::List)];
const NEW_VERSION: &[Field] = &[("text", FieldKind::Text), ("labels", FieldKind::List)];

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    show_all(&visit, &api, id, HtmlForm::default()).await
}

pub async fn create(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let attempt = async {
        let creation = posted.creation(NEW, JsonBody)?;
        prompts::create(admin, State(api.clone()), PathParams(id), creation).await?.into_made()
    };
    let made = |prompt: PromptView| done(&path_of(id, &prompt.name), "Added and sent to the gateways.");
    posted.answer(attempt.await, made, |form| show_all(&posted.visit, &api, id, form)).await
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, name, HtmlForm::default()).await
}

pub async fn create_version(
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let attempt = async {
        let creation = posted.creation(NEW_VERSION, JsonBody)?;
        let path = PathParams((id, name.clone()));
        prompts::create_version(admin, State(api.clone()), path, creation).await?.into_made()
    };
    let made = |prompt: PromptView| {
        let said = format!("Version {} added and sent to the gateways.", prompt.version);
        done(&path_of(id, &prompt.name), &said)
    };
    posted.answer(attempt.await, made, |form| show(&posted.visit, &api, id, name.clone(), form)).await
}

pub async fn set_label(
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let attempt = async {
        let label = posted.typed.text("label").to_owned();
        let version =
            JsonBody(posted.typed.read(&[("label", FieldKind::Aside), ("version", FieldKind::Number)])?);
        prompts::set_label(admin, State(api.clone()), PathParams((id, name.clone(), label)), version).await
    };
    let set = |_| done(&path_of(id, &name), "Saved and sent to the gateways.");
    posted.answer(attempt.await, set, |form| show(&posted.visit, &api, id, name.clone(), form)).await
}

pub async fn delete_label(
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let label = posted.typed.text("label").to_owned();
    let path = PathParams((id, name.clone(), label));
    prompts::delete_label(posted.visit.admin()?, State(api), path).await?;
    Ok(done(&path_of(id, &name), "Label removed."))
}

pub async fn delete(
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
    posted: Posted,
) -> Result<Response, Problem> {
    prompts::delete(posted.visit.admin()?, State(api), PathParams((id, name))).await?;
    Ok(done(&format!("/admin/apps/{id}/prompts"), "Prompt deleted."))
}

async fn show_all(visit: &Visit, api: &Api, id: Uuid, form: HtmlForm) -> Result<Response, Problem> {
    let app = app(visit, api, id).await?;
    let prompts = prompts::list(visit.reader()?, State(api.clone()), PathParams(id)).await?.items;
    let frame = visit.frame(format!("{}: prompts", app.name));
    html(&PromptsPage { frame, tabs: tabs(&app), is_required: app.prompt_required, prompts, form })
}

async fn show(visit: &Visit, api: &Api, id: Uuid, name: String, form: HtmlForm) -> Result<Response, Problem> {
    let app = app(visit, api, id).await?;
    let path = path_of(id, &name);
    let prompt = prompts::read(visit.reader()?, State(api.clone()), PathParams((id, name))).await?.0;
    let frame = visit.frame(format!("{}: {}", app.name, prompt.name));
    html(&PromptPage { frame, tabs: tabs(&app), prompt, path, form })
}

fn tabs(app: &AppView) -> Tabs {
    Tabs::of(app, "prompts")
}

fn path_of(id: Uuid, name: &str) -> String {
    format!("/admin/apps/{id}/prompts/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}
