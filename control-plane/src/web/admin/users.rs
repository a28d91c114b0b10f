//! Users: who they are, and what they may do.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use latchkey_core::status::Standing;
use serde_json::Value;
use uuid::Uuid;

use crate::api::Api;
use crate::api::account::SessionView;
use crate::api::body::{Body, NoBody, Path, Query};
use crate::api::page::{Page, PageQuery};
use crate::api::problem::Problem;
use crate::api::users::{self, IdentityView, InvitationView, UserDetail, UserGroup, UserKey, UserView};
use crate::web::form::{Field, Form, Kind, Posted};
use crate::web::format::plural;
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;
use crate::web::list::{More, Next};

const NEW: &[Field] = &[("email", Kind::Text), ("name", Kind::Text), ("role", Kind::Text)];
const EDIT: &[Field] = &[("name", Kind::Text), ("role", Kind::Text)];

const ROLES: &[(&str, &str)] = &[
    ("user", "user: the apps that they are granted"),
    ("auditor", "auditor: sees everything, changes nothing"),
    ("admin", "admin: configures the gateway"),
    ("owner", "owner: manages people, too"),
];

#[derive(Template)]
#[template(path = "admin/users.html")]
struct UsersPage {
    frame: Frame,
    search: String,
    users: Page<UserView>,
    more: More,
}

#[derive(Template)]
#[template(path = "admin/user_new.html")]
struct NewUserPage {
    frame: Frame,
    form: Form,
}

/// An invitation, whose link is shown here, once.
#[derive(Template)]
#[template(path = "admin/user_invited.html")]
struct InvitedPage {
    frame: Frame,
    id: Uuid,
    name: String,
    invitation: InvitationView,
}

#[derive(Template)]
#[template(path = "admin/user.html")]
struct UserPage {
    frame: Frame,
    user: UserView,
    /// For owners.
    identities: Option<Vec<IdentityView>>,
    groups: Vec<UserGroup>,
    keys: Page<UserKey>,
    /// For owners.
    sessions: Option<Vec<SessionView>>,
    more: More,
    form: Form,
}

/// Lists them.
pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let users = users::list(visit.reader()?, State(api), Query(query)).await?;
    let more = Next::new("/admin/users", &[("search", &search)], users.next_cursor.as_deref());
    html(&UsersPage { frame: visit.frame("Users"), search, users, more })
}

/// Asks for a new one.
pub async fn new(visit: Visit) -> Result<Response, Problem> {
    visit.owner()?;
    html(&NewUserPage { frame: visit.frame("New user"), form: Form::default() })
}

/// Creates one, and shows the invitation.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let owner = posted.visit.owner()?;
        let creation = posted.creation(NEW, Body)?;
        users::create(owner, State(api.clone()), creation).await?.told::<Value>()
    };
    match attempt.await {
        Ok(user) => {
            let id = user["id"].as_str().and_then(|id| id.parse().ok()).ok_or_else(Problem::internal)?;
            invited(&posted, &api, id).await
        }
        Err(problem) => {
            let form = posted.refused(problem)?;
            let page = html(&NewUserPage { frame: posted.visit.frame("New user"), form })?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Makes another invitation.
pub async fn invite(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    match invited(&posted, &api, id).await {
        Ok(page) => Ok(page),
        Err(problem) => again(&posted, &api, id, problem).await,
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

/// Edits one.
pub async fn update(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let edited = async {
        let owner = posted.visit.owner()?;
        let edit = Body(posted.typed.read(EDIT)?);
        users::update(owner, State(api.clone()), Path(id), edit).await
    };
    match edited.await {
        Ok(_) => Ok(done(&format!("/admin/users/{id}"), "Saved. The role counts from now on.")),
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// Deactivates one.
pub async fn deactivate(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let what = "Deactivated: their sessions are over, and their tokens have stopped.";
    match users::deactivate(posted.visit.owner()?, State(api.clone()), Path(id)).await {
        Ok(_) => Ok(done(&format!("/admin/users/{id}"), what)),
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// Lets one in again.
pub async fn reactivate(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let _active = users::reactivate(posted.visit.owner()?, State(api), Path(id)).await?;
    Ok(done(&format!("/admin/users/{id}"), "They may sign in again."))
}

/// Signs one out everywhere.
pub async fn end_sessions(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let ended = users::end_sessions(posted.visit.owner()?, State(api), Path(id)).await?.0;
    let what = format!("{} ended.", plural(ended.sessions, "session"));
    Ok(done(&format!("/admin/users/{id}"), &what))
}

/// Unlinks them from an account at an OpenID provider.
pub async fn unlink(
    State(api): State<Api>,
    Path((id, identity)): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    users::unlink(posted.visit.owner()?, State(api), Path((id, identity))).await?;
    Ok(done(&format!("/admin/users/{id}"), "Unlinked."))
}

async fn invited(posted: &Posted, api: &Api, id: Uuid) -> Result<Response, Problem> {
    let visit = &posted.visit;
    let new = posted.once(NoBody, "/invitation", "");
    let invitation = users::invite(visit.owner()?, State(api.clone()), Path(id), new).await?.told()?;
    let user = users::read(visit.reader()?, State(api.clone()), Path(id)).await?.0;
    let (frame, name) = (visit.frame("Invitation"), user.user.name.to_string());
    html(&InvitedPage { frame, id, name, invitation })
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
    let detail = users::read(visit.reader()?, state(), Path(id)).await?.0;
    let UserDetail { user, identities } = detail;
    let groups = users::groups(visit.reader()?, state(), Path(id)).await?.items;
    let keys = users::keys(visit.reader()?, state(), Path(id), Query(query)).await?;
    let sessions = match visit.owner() {
        Ok(owner) => Some(users::sessions(owner, state(), Path(id)).await?.items),
        Err(_) => None,
    };
    let more = Next::new(&format!("/admin/users/{id}"), &[], keys.next_cursor.as_deref());
    // A refused form may be one without these fields.
    let form = match form {
        Some(form) if !form.value("role").is_empty() => form,
        Some(form) => Form::of(&user).wrong_as(form),
        None => Form::of(&user),
    };
    let frame = visit.frame(user.name.as_str());
    html(&UserPage { frame, user, identities, groups, keys, sessions, more, form })
}
