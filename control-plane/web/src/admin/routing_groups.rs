//! Routing groups.

mod fields;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use latchkey_api::Api;
use latchkey_api::apps::Created;
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::models;
use latchkey_api::precondition::Tagged;
use latchkey_api::problem::Problem;
use latchkey_api::routing_groups::{self, RoutingGroupQuery, RoutingGroupView};
use latchkey_core::routing_group::{RoutingBalance, RoutingTier};
use uuid::Uuid;

use crate::form::{HtmlForm, IF_MATCH, Posted};
use crate::frame::{Frame, Visit, done};
use crate::html;
use crate::list::PaginatedList;

const BALANCES: &[(&str, &str)] = &[("requests", "Requests"), ("tokens", "Tokens")];

#[derive(Template)]
#[template(path = "admin/routing_groups.html")]
struct RoutingGroupsPage {
    frame: Frame,
    list: PaginatedList<RoutingGroupView>,
}

#[derive(Template)]
#[template(path = "admin/routing_group_new.html")]
struct NewRoutingGroupPage {
    frame: Frame,
    form: HtmlForm,
    /// As they are typed: `provider/model`.
    offered: Vec<String>,
}

#[derive(Template)]
#[template(path = "admin/routing_group.html")]
struct RoutingGroupPage {
    frame: Frame,
    group: RoutingGroupView,
    form: HtmlForm,
    offered: Vec<String>,
}

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/routing-groups", get(list).post(create))
        .route("/admin/routing-groups/new", get(new))
        .route("/admin/routing-groups/{id}", get(page).post(update))
        .route("/admin/routing-groups/{id}/delete", post(delete))
}

async fn list(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let list = routing_groups::list(visit.reader()?, State(api), Query(RoutingGroupQuery::default())).await?;
    let list = PaginatedList::new("/admin/routing-groups", &[], list);
    html(&RoutingGroupsPage { frame: visit.frame("Routing groups"), list })
}

async fn new(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    visit.admin()?;
    ask(&visit, &api, fields::empty()).await
}

async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let created = async {
        let admin = posted.visit.admin()?;
        let typed = fields::read(&posted.typed, fields::NEW)?;
        let creation = posted.once(JsonBody(typed.taken()?), "", &typed.json.to_string());
        let created = routing_groups::create(admin, State(api.clone()), creation).await;
        created.map_err(|problem| typed.placed(problem))?.into_made()
    };
    let done = |created: Created<RoutingGroupView>| {
        let what = "Routing group created. Choose it in the settings of apps that should use it.";
        done(&path(created.item.id), what)
    };
    posted.answer(created.await, done, |form| ask(&posted.visit, &api, form)).await
}

async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, None).await
}

async fn update(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let edited = async {
        let admin = posted.visit.admin()?;
        let typed = fields::read(&posted.typed, fields::EDIT)?;
        let edit = JsonBody(typed.taken()?);
        let edited =
            routing_groups::update(admin, State(api.clone()), PathParams(id), posted.if_match(), edit).await;
        edited.map_err(|problem| typed.placed(problem))
    };
    let done = |_| done(&path(id), "Saved and sent to the gateways.");
    posted.answer(edited.await, done, |form| show(&posted.visit, &api, id, Some(form))).await
}

async fn delete(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let deleted = routing_groups::delete(posted.visit.admin()?, State(api.clone()), PathParams(id)).await;
    let done = |_| done("/admin/routing-groups", "Routing group deleted.");
    posted.answer(deleted, done, |form| show(&posted.visit, &api, id, Some(form))).await
}

async fn ask(visit: &Visit, api: &Api, form: HtmlForm) -> Result<Response, Problem> {
    let offered = offered(visit, api).await?;
    html(&NewRoutingGroupPage { frame: visit.frame("Create routing group"), form, offered })
}

async fn show(visit: &Visit, api: &Api, id: Uuid, form: Option<HtmlForm>) -> Result<Response, Problem> {
    let Tagged(group, tag) =
        routing_groups::read(visit.reader()?, State(api.clone()), PathParams(id)).await?;
    let now = fields::filled(&group).with(IF_MATCH, tag.as_str());
    // A refused form may be one without these fields.
    let form = match form {
        Some(form) if form.has("balance") => form.on_top_of(&now),
        Some(form) => now.wrong_as(form),
        None => now,
    };
    let offered = offered(visit, api).await?;
    html(&RoutingGroupPage { frame: visit.frame(group.name.as_str()), group, form, offered })
}

/// What can be a target.
async fn offered(visit: &Visit, api: &Api) -> Result<Vec<String>, Problem> {
    let models = models::list(visit.reader()?, State(api.clone())).await?.items;
    Ok(models.iter().map(|model| format!("{}/{}", model.provider, model.name)).collect())
}

fn path(id: Uuid) -> String {
    format!("/admin/routing-groups/{id}")
}

/// The names of all groups, for the forms of apps.
pub async fn names(visit: &Visit, api: &Api) -> Result<Vec<String>, Problem> {
    let groups =
        routing_groups::list(visit.reader()?, State(api.clone()), Query(RoutingGroupQuery::default()))
            .await?
            .items;
    Ok(groups.into_iter().map(|group| group.name.into()).collect())
}

/// The groups, by id, that have a target of a provider: one of its models, or any.
pub async fn of_target(
    visit: &Visit,
    api: &Api,
    provider: &str,
    model: Option<&str>,
) -> Result<Vec<(Uuid, String)>, Problem> {
    let query = RoutingGroupQuery { provider: Some(provider.to_owned()), model: model.map(str::to_owned) };
    let groups = routing_groups::list(visit.reader()?, State(api.clone()), Query(query)).await?.items;
    Ok(groups.into_iter().map(|group| (group.id, group.name.into())).collect())
}

/// The targets of a group in one line.
fn summary(group: &RoutingGroupView) -> String {
    let of_tier = |targets: &[_]| fields::lines(targets).join(", ");
    if group.tiers.is_empty() {
        return of_tier(&group.targets);
    }
    let tier = |tier: &RoutingTier| format!("{}: {}", tier.name.as_str(), of_tier(&tier.targets));
    group.tiers.iter().map(tier).collect::<Vec<_>>().join("; ")
}
