//! An app's settings.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use super::fields;
use super::secret::OldSecret;
use super::tabs::Tabs;
use crate::admin::{filters, routing_groups};
use crate::form::{Field, HtmlForm, Posted, taken};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::guardrails::{self, CategoryRow};
use crate::limits::{Meter, meters};
use crate::{html, unprocessable};
use latchkey_api::Api;
use latchkey_api::activity::Active;
use latchkey_api::apps::{self, AppView};
use latchkey_api::body::{JsonBody, PathParams};
use latchkey_api::content;
use latchkey_api::problem::Problem;
use latchkey_api::upstreams::{McpProtocol, ModelProtocol};

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
    form: HtmlForm,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, None).await
}

pub async fn update(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let app = super::app(&posted.visit, &api, id).await?;
    save(&api, id, &posted, &fields::settings(&posted.typed, &app)).await
}

/// Edits how the user behind a request is learnt.
pub async fn identity(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    save(&api, id, &posted, &fields::identity(&posted.typed)).await
}

/// Edits what is looked for in requests and answers.
pub async fn guardrails(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let app = super::app(&posted.visit, &api, id).await?;
    let saved = async {
        let typed = posted.typed.clone().over(fields::filled(&app, &[]));
        typed.unused(&fields::guardrails()).into_result().map_err(Problem::invalid)?;
        let typed = guardrails::read(&typed, &app.guardrails)?;
        let edit =
            JsonBody(taken(&json!({ "guardrails": typed.json })).map_err(|problem| typed.placed(problem))?);
        let saved = apps::update(admin, State(api.clone()), PathParams(id), edit).await;
        saved.map_err(|problem| typed.placed(problem))
    };
    match saved.await {
        Ok(_) => Ok(done(&format!("/admin/apps/{id}"), "Saved.")),
        Err(problem) => again(&posted, &api, id, &fields::guardrails(), problem).await,
    }
}

async fn save(api: &Api, id: Uuid, posted: &Posted, fields: &[Field]) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let saved = async {
        let app = super::app(&posted.visit, api, id).await?;
        let shown = fields::filled(&app, &[]);
        let edit = JsonBody(posted.typed.clone().over(shown).read(fields)?);
        apps::update(admin, State(api.clone()), PathParams(id), edit).await
    };
    match saved.await {
        Ok(_) => Ok(done(&format!("/admin/apps/{id}"), "Saved.")),
        Err(problem) => again(posted, api, id, fields, problem).await,
    }
}

/// The page once more, with what was typed and why it was refused.
pub async fn again(
    posted: &Posted,
    api: &Api,
    id: Uuid,
    fields: &[Field],
    problem: Problem,
) -> Result<Response, Problem> {
    let page = show(&posted.visit, api, id, Some((posted, fields, problem))).await?;
    Ok(unprocessable(page))
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    refused: Option<(&Posted, &[Field], Problem)>,
) -> Result<Response, Problem> {
    let app = apps::read(visit.reader()?, State(api.clone()), PathParams(id)).await?.0;
    let providers = filters::upstream_names::<ModelProtocol>(visit, api).await?;
    let now = fields::filled(&app.item, &providers);
    let form = match refused {
        None => now,
        Some((posted, fields, problem)) => posted.typed.form().beside(now, fields).refused(problem)?,
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
        form,
    })
}
