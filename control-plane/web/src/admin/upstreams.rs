//! Providers of models, MCP servers, and external detectors.

mod texts;
mod tools;

use std::future::ready;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use latchkey_api::Api;
use latchkey_api::body::{JsonBody, PathParams};
use latchkey_api::pagination::ListPage;
use latchkey_api::precondition::EntityTag;
use latchkey_api::problem::Problem;
use latchkey_api::upstreams::{self, DetectorProtocol, McpProtocol, ModelProtocol, Upstream};
use latchkey_core::name::Slug;
use latchkey_service::action::upstreams::reach::out_of_reach;
use uuid::Uuid;

use super::routing_groups;
use crate::form::{Field, FieldKind, HtmlForm, IF_MATCH, Posted};
use crate::frame::{Frame, Visit, done};
use crate::html;
use crate::list::PaginatedList;

use texts::{Fact, IDLE_TIMEOUTS, KINDS, TOOL_PINNINGS, UpstreamPages};
pub use texts::{OUTPUT_LIMITS, STREAM_OPTIONS};
use tools::ToolList;

/// The fields of every upstream's form, beside that of its URL and those of its protocol.
const COMMON: &[Field] = &[("cluster", FieldKind::Optional), ("enabled", FieldKind::Flag)];
const NAME: Field = ("name", FieldKind::Text);
const CREDENTIAL: Field = ("credential", FieldKind::Optional);
const FORGET: Field = ("forget_credential", FieldKind::Aside);

#[derive(Template)]
#[template(path = "admin/upstreams.html")]
struct UpstreamsPage<P: UpstreamPages> {
    frame: Frame,
    /// Each with why gateways do not connect to it.
    list: PaginatedList<(Upstream<P>, Option<String>)>,
}

#[derive(Template)]
#[template(path = "admin/upstream_new.html")]
struct NewUpstreamPage<P: UpstreamPages> {
    frame: Frame,
    form: HtmlForm,
    protocol: std::marker::PhantomData<P>,
}

#[derive(Template)]
#[template(path = "admin/upstream.html")]
struct UpstreamPage<P: UpstreamPages> {
    frame: Frame,
    path: String,
    upstream: Upstream<P>,
    out_of_reach: Option<String>,
    facts: Vec<Fact>,
    /// The models that a provider offers, by id.
    models: Option<Vec<(String, String)>>,
    /// The cluster that reaches it for routing groups, and the groups that have it as a target, by id.
    group_cluster: Option<String>,
    groups: Vec<(Uuid, String)>,
    /// Of an MCP server whose tools are pinned, or were.
    tools: Option<ToolList>,
    form: HtmlForm,
}

/// The pages of providers, of MCP servers, and of external detectors.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/providers", get(list::<ModelProtocol>).post(create::<ModelProtocol>))
        .route("/admin/providers/new", get(new::<ModelProtocol>))
        .route("/admin/providers/{name}", get(page::<ModelProtocol>).post(update::<ModelProtocol>))
        .route("/admin/providers/{name}/switch", post(switch::<ModelProtocol>))
        .route("/admin/providers/{name}/delete", post(delete::<ModelProtocol>))
        .route("/admin/mcp-servers", get(list::<McpProtocol>).post(create::<McpProtocol>))
        .route("/admin/mcp-servers/new", get(new::<McpProtocol>))
        .route("/admin/mcp-servers/{name}", get(page::<McpProtocol>).post(update::<McpProtocol>))
        .route("/admin/mcp-servers/{name}/switch", post(switch::<McpProtocol>))
        .route("/admin/mcp-servers/{name}/delete", post(delete::<McpProtocol>))
        .route("/admin/mcp-servers/{name}/approve", post(tools::approve_new))
        .route("/admin/mcp-servers/{name}/tools/{tool}", get(tools::page))
        .route("/admin/mcp-servers/{name}/tools/{tool}/approve", post(tools::approve))
        .route("/admin/mcp-servers/{name}/tools/{tool}/reject", post(tools::reject))
        .route("/admin/mcp-servers/{name}/tools/{tool}/forget", post(tools::forget))
        .route("/admin/detectors", get(list::<DetectorProtocol>).post(create::<DetectorProtocol>))
        .route("/admin/detectors/new", get(new::<DetectorProtocol>))
        .route("/admin/detectors/{name}", get(page::<DetectorProtocol>).post(update::<DetectorProtocol>))
        .route("/admin/detectors/{name}/switch", post(switch::<DetectorProtocol>))
        .route("/admin/detectors/{name}/delete", post(delete::<DetectorProtocol>))
}

async fn list<P: UpstreamPages>(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    visit.reader()?;
    let page = ListPage { items: upstreams::all::<P>(&api).await?, next_cursor: None };
    let list = PaginatedList::new(P::PATH, &[], page).map(|upstream| {
        let out_of_reach = out_of_reach(&api.opened, &upstream);
        (upstream, out_of_reach)
    });
    html(&UpstreamsPage { frame: visit.frame(P::TITLE), list })
}

async fn new<P: UpstreamPages>(visit: Visit) -> Result<Response, Problem> {
    visit.admin()?;
    let form = HtmlForm::default().with(P::URL_FIELD, P::FIRST_URL).with("enabled", "true");
    let form = P::FIRST_NUMBERS.iter().fold(form, |form, (field, number)| form.with(field, *number));
    ask::<P>(&visit, form)
}

async fn create<P: UpstreamPages>(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let created = async {
        let admin = posted.visit.admin()?;
        let fields = [&[NAME, CREDENTIAL], P::FIELDS, COMMON].concat();
        upstreams::create::<P>(&api, &admin.0, posted.creation(&fields, JsonBody)?).await
    };
    let to = format!("{}/{}", P::PATH, posted.typed.text("name"));
    posted.answer(created.await, |_| done(&to, P::CREATED), |form| ready(ask::<P>(&posted.visit, form))).await
}

async fn page<P: UpstreamPages>(
    visit: Visit,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
) -> Result<Response, Problem> {
    show::<P>(&visit, &api, &name, None).await
}

/// Edits one. The credential is replaced where one was typed, and removed where that was ticked.
async fn update<P: UpstreamPages>(
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
    posted: Posted,
) -> Result<Response, Problem> {
    let typed = &posted.typed;
    let credential: &[Field] = match (typed.text("credential").is_empty(), typed.has("forget_credential")) {
        (true, false) => &[],
        (true, true) => &[CREDENTIAL, FORGET],
        (false, _) => &[CREDENTIAL],
    };
    edit::<P>(&api, &name, &posted, &[P::FIELDS, COMMON, credential].concat(), "Saved.").await
}

async fn switch<P: UpstreamPages>(
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
    posted: Posted,
) -> Result<Response, Problem> {
    let what = if posted.typed.has("enabled") { P::ENABLED } else { P::DISABLED };
    edit::<P>(&api, &name, &posted, &[("enabled", FieldKind::Flag)], what).await
}

async fn delete<P: UpstreamPages>(
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
    posted: Posted,
) -> Result<Response, Problem> {
    let deleted = upstreams::delete::<P>(&api, &posted.visit.admin()?.0, &name).await;
    let what = format!("The {} was deleted.", P::NOUN);
    let again = |form| show::<P>(&posted.visit, &api, &name, Some(form));
    posted.answer(deleted, |()| done(P::PATH, &what), again).await
}

async fn edit<P: UpstreamPages>(
    api: &Api,
    name: &Slug,
    posted: &Posted,
    fields: &[Field],
    what: &str,
) -> Result<Response, Problem> {
    let edited = async {
        let admin = posted.visit.admin()?;
        upstreams::update::<P>(api, &admin.0, name, &posted.if_match(), posted.typed.read(fields)?).await
    };
    let to = format!("{}/{name}", P::PATH);
    let again = |form| show::<P>(&posted.visit, api, name, Some(form));
    posted.answer(edited.await, |_| done(&to, what), again).await
}

fn ask<P: UpstreamPages>(visit: &Visit, form: HtmlForm) -> Result<Response, Problem> {
    let frame = visit.frame(format!("Create {}", P::NOUN));
    html(&NewUpstreamPage::<P> { frame, form, protocol: std::marker::PhantomData })
}

async fn show<P: UpstreamPages>(
    visit: &Visit,
    api: &Api,
    name: &Slug,
    form: Option<HtmlForm>,
) -> Result<Response, Problem> {
    visit.reader()?;
    let upstream = upstreams::find::<P>(api, name).await?;
    let now = || {
        let own_cluster = upstream.cluster.clone().unwrap_or_default();
        let shown = upstreams::view(api, upstream.clone());
        let tag = EntityTag::of(&shown);
        HtmlForm::of(&shown).with("cluster", own_cluster).with(IF_MATCH, tag.as_str())
    };
    // A refused form may be one without these fields.
    let form = match form {
        Some(form) if form.has(P::URL_FIELD) => form.on_top_of(&now()),
        Some(form) => now().wrong_as(form),
        None => now(),
    };
    html(&UpstreamPage {
        frame: visit.frame(name.as_str()),
        path: format!("{}/{name}", P::PATH),
        out_of_reach: out_of_reach(&api.opened, &upstream),
        facts: P::facts(api, &upstream),
        models: P::models(api, name).await?,
        group_cluster: upstream.protocol.group_cluster(),
        groups: match P::OFFERS_MODELS {
            true => routing_groups::of_target(visit, api, name.as_str(), None).await?,
            false => Vec::new(),
        },
        tools: P::tools(visit, api, &upstream).await?,
        upstream,
        form,
    })
}
