//! Smart groups.

use std::future::ready;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::groups::{self, GroupMemberView, GroupUse, GroupView};
use latchkey_api::pagination::PageQuery;
use latchkey_api::precondition::Tagged;
use latchkey_api::problem::Problem;
use uuid::Uuid;

use crate::form::{Field, FieldKind, HtmlForm, IF_MATCH, Posted};
use crate::format::{self, plural};
use crate::frame::{Frame, Visit, done};
use crate::html;
use crate::list::PaginatedList;

const GROUP: &[Field] =
    &[("name", FieldKind::Text), ("description", FieldKind::Text), ("claim", FieldKind::Optional)];

#[derive(Template)]
#[template(path = "admin/groups.html")]
struct GroupsPage {
    frame: Frame,
    search: String,
    list: PaginatedList<GroupView>,
}

#[derive(Template)]
#[template(path = "admin/group_new.html")]
struct NewGroupPage {
    frame: Frame,
    form: HtmlForm,
}

#[derive(Template)]
#[template(path = "admin/group.html")]
struct GroupPage {
    frame: Frame,
    group: GroupView,
    members: PaginatedList<GroupMemberView>,
    uses: Vec<GroupUse>,
    form: HtmlForm,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let page = groups::list(visit.reader()?, State(api), Query(query)).await?;
    let list = PaginatedList::new("/admin/groups", &[("search", &search)], page);
    html(&GroupsPage { frame: visit.frame("Smart groups"), search, list })
}

pub async fn new(visit: Visit) -> Result<Response, Problem> {
    visit.admin()?;
    ask(&visit, HtmlForm::default())
}

pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let created = async {
        let creation = posted.creation(GROUP, JsonBody)?;
        groups::create(posted.visit.admin()?, State(api), creation).await?.into_made()
    };
    let done = |group: GroupView| done(&path(group.id), "Group created.");
    posted.answer(created.await, done, |form| ready(ask(&posted.visit, form))).await
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, query, None).await
}

pub async fn update(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let edited = async {
        let edit = JsonBody(posted.typed.read(GROUP)?);
        groups::update(posted.visit.admin()?, State(api.clone()), PathParams(id), posted.if_match(), edit)
            .await
    };
    posted
        .answer(
            edited.await,
            |_| done(&path(id), "Saved."),
            |form| show(&posted.visit, &api, id, PageQuery::default(), Some(form)),
        )
        .await
}

pub async fn add(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let added = async {
        let new = JsonBody(posted.typed.read(&[("emails", FieldKind::List)])?);
        groups::add_members(posted.visit.admin()?, State(api.clone()), PathParams(id), new).await
    };
    let done = |added: axum::Json<groups::MembersAdded>| {
        let people = plural(added.added, "person").replace("persons", "people");
        done(&path(id), &format!("{people} added."))
    };
    posted
        .answer(added.await, done, |form| show(&posted.visit, &api, id, PageQuery::default(), Some(form)))
        .await
}

pub async fn remove(
    State(api): State<Api>,
    PathParams((id, user)): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let _changed = groups::remove_member(posted.visit.admin()?, State(api), PathParams((id, user))).await?;
    Ok(done(&path(id), "Removed. Access through this group has ended."))
}

pub async fn delete(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let deleted = groups::delete(posted.visit.admin()?, State(api.clone()), PathParams(id)).await;
    let done = |_| done("/admin/groups", "Group deleted.");
    posted.answer(deleted, done, |form| show(&posted.visit, &api, id, PageQuery::default(), Some(form))).await
}

fn path(id: Uuid) -> String {
    format!("/admin/groups/{id}")
}

fn ask(visit: &Visit, form: HtmlForm) -> Result<Response, Problem> {
    html(&NewGroupPage { frame: visit.frame("Create smart group"), form })
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    query: PageQuery,
    form: Option<HtmlForm>,
) -> Result<Response, Problem> {
    let state = || State(api.clone());
    let Tagged(group, tag) = groups::read(visit.reader()?, state(), PathParams(id)).await?;
    let members = groups::members(visit.reader()?, state(), PathParams(id), Query(query)).await?;
    let members = PaginatedList::new(&path(id), &[], members);
    let uses = groups::uses(visit.reader()?, state(), PathParams(id), Query(PageQuery::most())).await?.items;
    let now = HtmlForm::of(&group).with(IF_MATCH, tag.as_str());
    let form = match form {
        Some(form) if form.has("name") => form.on_top_of(&now),
        // People to add.
        Some(form) => now.with("emails", form.value("emails")).wrong_as(form),
        None => now,
    };
    html(&GroupPage { frame: visit.frame(group.name.as_str()), group, members, uses, form })
}
