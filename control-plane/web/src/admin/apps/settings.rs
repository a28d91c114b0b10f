//! An app's settings.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use uuid::Uuid;

use super::conflict::ConflictNote;
use super::fields;
use super::secret::OldSecret;
use super::tabs::Tabs;
use crate::admin::{filters, routing_groups};
use crate::form::{Field, HtmlForm, IF_MATCH, Posted, taken};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::guardrails::{self, CategoryRow};
use crate::limits::{Meter, meters};
use crate::{html, simulation as words, unprocessable};
use latchkey_api::Api;
use latchkey_api::activity::Active;
use latchkey_api::apps::{self, AppView};
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::content;
use latchkey_api::precondition::{EntityTag, Tagged};
use latchkey_api::problem::Problem;
use latchkey_api::simulation::{self, SimulationQuery, SimulationView};
use latchkey_api::upstreams::{McpProtocol, ModelProtocol};
use latchkey_api::versions::{self, AppConflict};
use latchkey_service::action::apps::edit::EditApp;

#[derive(Template)]
#[template(path = "admin/app.html")]
struct AppPage {
    frame: Frame,
    tabs: Tabs,
    app: Active<AppView>,
    /// Until when the secret that was replaced still works.
    old_secret: Option<OldSecret>,
    meters: Vec<Meter>,
    providers: Vec<String>,
    mcp_servers: Vec<String>,
    routing_groups: Vec<String>,
    categories: Vec<CategoryRow>,
    /// The names of the app's own categories of content.
    own_categories: Vec<String>,
    conflict: Option<ConflictNote>,
    simulation: Option<SimulationView>,
    /// Whether all of the settings are shown.
    is_open: bool,
    form: HtmlForm,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, ShownForm::Now, None).await
}

pub async fn update(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let base = base(&posted, &api, id).await?;
    save(&api, id, &posted, &base, &fields::settings(&posted.typed, &base)).await
}

/// Edits how the user behind a request is learnt.
pub async fn identity(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let base = base(&posted, &api, id).await?;
    save(&api, id, &posted, &base, &fields::identity(&posted.typed)).await
}

/// Shows what the settings that were typed would have done to past requests.
pub async fn simulate(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let base = base(&posted, &api, id).await?;
    try_out(&api, id, &posted, &base, &fields::settings(&posted.typed, &base)).await
}

/// The same of how users are learnt.
pub async fn simulate_identity(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let base = base(&posted, &api, id).await?;
    try_out(&api, id, &posted, &base, &fields::identity(&posted.typed)).await
}

/// Edits what is looked for in requests and answers.
pub async fn guardrails(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let base = base(&posted, &api, id).await?;
    let read = || {
        let typed = posted.typed.clone().over(fields::filled(&base, &[]));
        typed.unused(&fields::guardrails()).into_result().map_err(Problem::invalid)?;
        let typed = guardrails::read(&typed, &base.guardrails)?;
        let edit: EditApp =
            taken(&json!({ "guardrails": typed.json })).map_err(|problem| typed.placed(problem))?;
        Ok::<_, Problem>((typed, edit))
    };
    let (typed, edit) = match read() {
        Ok(read) => read,
        Err(problem) => return again(&posted, &api, id, &fields::guardrails(), problem).await,
    };
    apply(&api, id, &posted, &fields::guardrails(), edit, |problem| typed.placed(problem)).await
}

/// The app as it was when the form was shown.
async fn base(posted: &Posted, api: &Api, id: Uuid) -> Result<AppView, Problem> {
    posted.visit.admin()?;
    match posted.if_match().version() {
        Some(version) => versions::app_at(api, id, version).await,
        None => super::app(&posted.visit, api, id).await,
    }
}

/// What was typed over the form as it was shown.
fn typed(posted: &Posted, base: &AppView, fields: &[Field]) -> Result<EditApp, Problem> {
    posted.typed.clone().over(fields::filled(base, &[])).read(fields)
}

async fn save(
    api: &Api,
    id: Uuid,
    posted: &Posted,
    base: &AppView,
    fields: &[Field],
) -> Result<Response, Problem> {
    match typed(posted, base, fields) {
        Ok(edit) => apply(api, id, posted, fields, edit, |problem| problem).await,
        Err(problem) => again(posted, api, id, fields, problem).await,
    }
}

/// Makes the edit. Where it is refused, the page is shown once more, with what is wrong where `place` puts it.
async fn apply(
    api: &Api,
    id: Uuid,
    posted: &Posted,
    fields: &[Field],
    edit: EditApp,
    place: impl FnOnce(Problem) -> Problem,
) -> Result<Response, Problem> {
    let (admin, body) = (posted.visit.admin()?, JsonBody(edit.clone()));
    match apps::update(admin, State(api.clone()), PathParams(id), posted.if_match(), body).await {
        Ok(_) => Ok(done(&format!("/admin/apps/{id}"), "Saved.")),
        Err(problem) if problem.status == 412 => conflicting(posted, api, id, edit).await,
        Err(problem) => again(posted, api, id, fields, place(problem)).await,
    }
}

async fn try_out(
    api: &Api,
    id: Uuid,
    posted: &Posted,
    base: &AppView,
    fields: &[Field],
) -> Result<Response, Problem> {
    let tried = async {
        let edit = JsonBody(typed(posted, base, fields)?);
        let (reader, days) = (posted.visit.reader()?, Query(SimulationQuery::default()));
        simulation::of_edit(reader, State(api.clone()), PathParams(id), days, edit).await
    };
    match tried.await {
        Ok(tried) => {
            let form = ShownForm::Typed(posted, fields);
            show(&posted.visit, api, id, form, Some(tried.0)).await
        }
        Err(problem) => again(posted, api, id, fields, problem).await,
    }
}

/// The page once more, with what somebody else has changed, and what was typed on top of it.
async fn conflicting(posted: &Posted, api: &Api, id: Uuid, edit: EditApp) -> Result<Response, Problem> {
    let base = posted.if_match().version().unwrap_or_default();
    let conflict = versions::conflict(api, id, base, edit).await?;
    let page = show(&posted.visit, api, id, ShownForm::Conflict(conflict.into()), None).await?;
    Ok((StatusCode::CONFLICT, page).into_response())
}

/// What the page's forms hold.
enum ShownForm<'a> {
    /// What is there now.
    Now,
    /// What was typed of these fields, and of the others what is there now.
    Typed(&'a Posted, &'a [Field]),
    /// The same, and why it was refused.
    Refused(&'a Posted, &'a [Field], Problem),
    /// What was typed on top of what somebody else has changed.
    Conflict(Box<AppConflict>),
}

/// The page once more, with what was typed and why it was refused.
pub async fn again(
    posted: &Posted,
    api: &Api,
    id: Uuid,
    fields: &[Field],
    problem: Problem,
) -> Result<Response, Problem> {
    let page = show(&posted.visit, api, id, ShownForm::Refused(posted, fields, problem), None).await?;
    Ok(unprocessable(page))
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    form: ShownForm<'_>,
    simulation: Option<SimulationView>,
) -> Result<Response, Problem> {
    let Tagged(app, tag) = apps::read(visit.reader()?, State(api.clone()), PathParams(id)).await?;
    let providers = filters::upstream_names::<ModelProtocol>(visit, api).await?;
    let filled =
        |app: &AppView, tag: &EntityTag| fields::filled(app, &providers).with(IF_MATCH, tag.as_str());
    let now = || filled(&app.item, &tag);
    let mut conflict = None;
    let form = match form {
        ShownForm::Now => now(),
        ShownForm::Typed(posted, fields) => posted.typed.form().beside(now(), fields),
        ShownForm::Refused(posted, fields, problem) => {
            posted.typed.form().beside(now(), fields).refused(problem)?
        }
        ShownForm::Conflict(found) => {
            let form = filled(&found.merged, &found.newest);
            conflict = Some(ConflictNote::new(*found, format!("/admin/apps/{id}")));
            form
        }
    };
    let old_secret = app.item.key.as_ref().and_then(|key| {
        let moments = (key.rotated_at, key.old_secret_stops_at, app.old_secret_used_at);
        OldSecret::of((id, key.id), moments, api.world.now())
    });
    let own = content::categories(visit.reader()?, State(api.clone()), PathParams(id)).await?.0;
    let own_categories: Vec<_> = own.custom_categories.into_iter().map(|category| category.name).collect();
    html(&AppPage {
        frame: visit.frame(app.item.name.as_str()),
        tabs: Tabs::of(&app.item, "settings"),
        old_secret,
        meters: meters(&app.usage),
        app,
        providers,
        mcp_servers: filters::upstream_names::<McpProtocol>(visit, api).await?,
        routing_groups: routing_groups::names(visit, api).await?,
        categories: guardrails::rows(&form, !own_categories.is_empty()),
        own_categories,
        is_open: form.is_refused() || conflict.is_some() || simulation.is_some(),
        conflict,
        simulation,
        form,
    })
}
