//! Users: who they are, and what they may do.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::account::SessionView;
use latchkey_api::body::{JsonBody, NoBody, PathParams, Query};
use latchkey_api::keys::UserKey;
use latchkey_api::pagination::PageQuery;
use latchkey_api::precondition::Tagged;
use latchkey_api::problem::Problem;
use latchkey_api::users::{self, IdentityView, InvitationView, UserDetail, UserGroup, UserView};
use latchkey_core::status::Standing;
use uuid::Uuid;

use crate::form::{Field, FieldKind, HtmlForm, IF_MATCH, Posted};
use crate::format::{plural, propagated};
use crate::frame::{Frame, Visit, done};
use crate::list::PaginatedList;
use crate::{html, unprocessable};

const NEW: &[Field] = &[("email", FieldKind::Text), ("name", FieldKind::Text), ("role", FieldKind::Text)];
const EDIT: &[Field] = &[("name", FieldKind::Text), ("role", FieldKind::Text)];

const ROLES: &[(&str, &str)] = &[
    ("user", "user: only apps they have access to"),
    ("auditor", "auditor: sees everything, changes nothing"),
    ("admin", "admin: configures the gateway"),
    ("owner", "owner: also manages people"),
];

#[derive(Template)]
#[template(path = "admin/users.html")]
struct UsersPage {
    frame: Frame,
    search: String,
    list: PaginatedList<UserView>,
}

#[derive(Template)]
#[template(path = "admin/user_new.html")]
struct NewUserPage {
    frame: Frame,
    form: HtmlForm,
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
    keys: PaginatedList<UserKey>,
    /// How many of their keys are not revoked.
    live_keys: u64,
    /// For owners.
    sessions: Option<Vec<SessionView>>,
    form: HtmlForm,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let page = users::list(visit.reader()?, State(api), Query(query)).await?;
    let list = PaginatedList::new("/admin/users", &[("search", &search)], page);
    html(&UsersPage { frame: visit.frame("Users"), search, list })
}

pub async fn new(visit: Visit) -> Result<Response, Problem> {
    visit.owner()?;
    ask(&visit, HtmlForm::default())
}

/// Creates one, and shows the invitation.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let owner = posted.visit.owner()?;
        let creation = posted.creation(NEW, JsonBody)?;
        users::create(owner, State(api.clone()), creation).await?.into_made()
    };
    match attempt.await {
        Ok(user) => invited(&posted, &api, user.id).await,
        Err(problem) => Ok(unprocessable(ask(&posted.visit, posted.refused(problem)?)?)),
    }
}

pub async fn invite(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let invited = invited(&posted, &api, id).await;
    posted
        .answer(invited, |page| page, |form| show(&posted.visit, &api, id, PageQuery::default(), Some(form)))
        .await
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
        let owner = posted.visit.owner()?;
        let edit = JsonBody(posted.typed.read(EDIT)?);
        users::update(owner, State(api.clone()), PathParams(id), posted.if_match(), edit).await
    };
    let done = |_| done(&path(id), "Saved. A new role takes effect right away.");
    posted
        .answer(edited.await, done, |form| show(&posted.visit, &api, id, PageQuery::default(), Some(form)))
        .await
}

pub async fn deactivate(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let deactivated = users::deactivate(posted.visit.owner()?, State(api.clone()), PathParams(id)).await;
    let done = |_| done(&path(id), "User deactivated. Their sessions and API tokens no longer work.");
    posted
        .answer(deactivated, done, |form| show(&posted.visit, &api, id, PageQuery::default(), Some(form)))
        .await
}

pub async fn reactivate(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let _active = users::reactivate(posted.visit.owner()?, State(api), PathParams(id)).await?;
    Ok(done(&path(id), "User reactivated."))
}

/// Revokes all their named keys.
pub async fn revoke_keys(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let revoked = users::revoke_keys(posted.visit.admin()?, State(api), PathParams(id)).await?.0;
    let count = revoked.revoked.len() as u64;
    Ok(done(&path(id), &format!("{} revoked {}.", plural(count, "key"), propagated(&revoked.propagation))))
}

pub async fn end_sessions(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let ended = users::end_sessions(posted.visit.owner()?, State(api), PathParams(id)).await?.0;
    let what = format!("{} ended.", plural(ended.sessions, "session"));
    Ok(done(&path(id), &what))
}

/// Unlinks them from an account at an OpenID provider.
pub async fn unlink(
    State(api): State<Api>,
    PathParams((id, identity)): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    users::unlink(posted.visit.owner()?, State(api), PathParams((id, identity))).await?;
    Ok(done(&path(id), "Unlinked."))
}

async fn invited(posted: &Posted, api: &Api, id: Uuid) -> Result<Response, Problem> {
    let visit = &posted.visit;
    let new = posted.once(NoBody, "/invitation", "");
    let invitation =
        users::invite(visit.owner()?, State(api.clone()), PathParams(id), new).await?.into_made()?;
    let user = users::read(visit.reader()?, State(api.clone()), PathParams(id)).await?.0;
    let (frame, name) = (visit.frame("Invitation"), user.user.name.to_string());
    html(&InvitedPage { frame, id, name, invitation })
}

fn path(id: Uuid) -> String {
    format!("/admin/users/{id}")
}

fn ask(visit: &Visit, form: HtmlForm) -> Result<Response, Problem> {
    html(&NewUserPage { frame: visit.frame("Create user"), form })
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    query: PageQuery,
    form: Option<HtmlForm>,
) -> Result<Response, Problem> {
    let state = || State(api.clone());
    let Tagged(UserDetail { user, identities }, tag) =
        users::read(visit.reader()?, state(), PathParams(id)).await?;
    let now = HtmlForm::of(&user).with(IF_MATCH, tag.as_str());
    let groups = users::groups(visit.reader()?, state(), PathParams(id)).await?.items;
    let keys = users::keys(visit.reader()?, state(), PathParams(id), Query(query)).await?;
    let sessions = match visit.owner() {
        Ok(owner) => Some(users::sessions(owner, state(), PathParams(id)).await?.items),
        Err(_) => None,
    };
    let keys = PaginatedList::new(&path(id), &[], keys);
    let live_keys = users::count_live_keys(visit.reader()?, api, id).await?;
    // A refused form may be one without these fields.
    let form = match form {
        Some(form) if form.has("role") => form.on_top_of(&now),
        Some(form) => now.wrong_as(form),
        None => now,
    };
    let frame = visit.frame(user.name.as_str());
    html(&UserPage { frame, user, identities, groups, keys, live_keys, sessions, form })
}
