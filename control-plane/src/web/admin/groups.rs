//! Smart groups.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use uuid::Uuid;

use crate::api::Api;
use crate::api::body::{Body, Path, Query};
use crate::api::groups::{self, GroupMemberView, GroupUse, GroupView};
use crate::api::page::{Page, PageQuery};
use crate::api::problem::Problem;
use crate::web::form::{Field, Form, Kind, Posted};
use crate::web::format::{self, plural};
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;
use crate::web::list::{More, Next};

const GROUP: &[Field] = &[("name", Kind::Text), ("description", Kind::Text), ("claim", Kind::Optional)];

#[derive(Template)]
#[template(path = "admin/groups.html")]
struct GroupsPage {
    frame: Frame,
    search: String,
    groups: Page<GroupView>,
    more: More,
}

#[derive(Template)]
#[template(path = "admin/group_new.html")]
struct NewGroupPage {
    frame: Frame,
    form: Form,
}

#[derive(Template)]
#[template(path = "admin/group.html")]
struct GroupPage {
    frame: Frame,
    group: GroupView,
    members: Page<GroupMemberView>,
    more: More,
    uses: Vec<GroupUse>,
    form: Form,
}

/// Lists them.
pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let groups = groups::list(visit.reader()?, State(api), Query(query)).await?;
    let more = Next::new("/admin/groups", &[("search", &search)], groups.next_cursor.as_deref());
    html(&GroupsPage { frame: visit.frame("Smart groups"), search, groups, more })
}

/// Asks for a new one.
pub async fn new(visit: Visit) -> Result<Response, Problem> {
    visit.admin()?;
    html(&NewGroupPage { frame: visit.frame("New smart group"), form: Form::default() })
}

/// Creates it.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let creation = posted.creation(GROUP, Body)?;
        groups::create(posted.visit.admin()?, State(api), creation).await?.told::<Value>()
    };
    match attempt.await {
        Ok(group) => Ok(done(
            &format!("/admin/groups/{}", group["id"].as_str().unwrap_or_default()),
            "The group is created.",
        )),
        Err(problem) => {
            let form = posted.refused(problem)?;
            let page = html(&NewGroupPage { frame: posted.visit.frame("New smart group"), form })?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Shows one.
pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, query, None).await
}

/// Edits it.
pub async fn update(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let edited = async {
        let edit = Body(posted.typed.read(GROUP)?);
        groups::update(posted.visit.admin()?, State(api.clone()), Path(id), edit).await
    };
    match edited.await {
        Ok(_) => Ok(done(&format!("/admin/groups/{id}"), "Saved.")),
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// Adds people.
pub async fn add(State(api): State<Api>, Path(id): Path<Uuid>, posted: Posted) -> Result<Response, Problem> {
    let added = async {
        let new = Body(posted.typed.read(&[("emails", Kind::List)])?);
        groups::add_members(posted.visit.admin()?, State(api.clone()), Path(id), new).await
    };
    match added.await {
        Ok(added) => {
            let people = plural(added.added, "person").replace("persons", "people");
            Ok(done(&format!("/admin/groups/{id}"), &format!("{people} added.")))
        }
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// Takes somebody out.
pub async fn remove(
    State(api): State<Api>,
    Path((id, user)): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let _changed = groups::remove_member(posted.visit.admin()?, State(api), Path((id, user))).await?;
    Ok(done(&format!("/admin/groups/{id}"), "Removed; every app that names the group knows it."))
}

/// Deletes it.
pub async fn delete(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    match groups::delete(posted.visit.admin()?, State(api.clone()), Path(id)).await {
        Ok(_) => Ok(done("/admin/groups", "The group is deleted.")),
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

async fn again(posted: &Posted, api: &Api, id: Uuid, problem: Problem) -> Result<Response, Problem> {
    let form = posted.refused(problem)?;
    let page = show(&posted.visit, api, id, PageQuery::default(), Some(form)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    query: PageQuery,
    form: Option<Form>,
) -> Result<Response, Problem> {
    let state = || State(api.clone());
    let group = groups::read(visit.reader()?, state(), Path(id)).await?.0;
    let members = groups::members(visit.reader()?, state(), Path(id), Query(query)).await?;
    let uses = groups::uses(visit.reader()?, state(), Path(id), Query(PageQuery::most())).await?.items;
    let more = Next::new(&format!("/admin/groups/{id}"), &[], members.next_cursor.as_deref());
    let form = form.unwrap_or_else(|| Form::of(&group));
    html(&GroupPage { frame: visit.frame(group.name.as_str()), group, members, more, uses, form })
}
