//! `/api/v1/groups`: smart groups.

mod views;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_service::action::Refusal;
use latchkey_service::action::access::Refreshed;
use latchkey_service::action::groups::{self, AddMembers, EditGroup, NewGroup};
use latchkey_store::Tx;
use latchkey_store::group_members::GroupMember;
use latchkey_store::groups::Group;
use latchkey_store::subjects::GroupReference;
use uuid::Uuid;

use super::Api;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams, Query};
use super::idempotency::{Answered, Creation};
use super::pagination::{ListPage, PageQuery};
use super::precondition::{EntityTag, IfMatch, Tagged};
use super::problem::Problem;

pub use views::{GroupMemberView, GroupUse, GroupView, MembersAdded, MembersChanged};

/// Lists smart groups, oldest first.
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", operation_id = "list_groups", params(PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<GroupView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<GroupView>, Problem> {
    let paging = query.paging()?;
    let rows = api.store.groups(&query.search.unwrap_or_default(), paging.after, paging.rows()).await?;
    Ok(paging.page(rows, |group| group.id, GroupView::from))
}

/// Creates a smart group.
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", operation_id = "create_group",
    request_body = NewGroup, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = GroupView), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewGroup>>,
) -> Result<Answered<GroupView>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let group = groups::create(tx, api.context(&actor).by(), new).await?;
        Ok(GroupView::from(group))
    })
    .await
}

/// Shows a smart group.
#[utoipa::path(get, path = "/api/v1/groups/{id}", tag = "groups", operation_id = "read_group",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = GroupView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Tagged<GroupView>, Problem> {
    Ok(tagged(find(&api, id).await?.into()))
}

/// Edits a smart group. What is not named stays. With another claim, or none, whoever is in it by the
/// one that it had leaves it.
#[utoipa::path(patch, path = "/api/v1/groups/{id}", tag = "groups", operation_id = "update_group",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = EditGroup,
    security(("token" = [])), responses((status = 200, body = GroupView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditGroup>,
) -> Result<Tagged<GroupView>, Problem> {
    let mut tx = api.store.begin().await?;
    if let Some(now) = tx.group(id).await? {
        if_match.check(&api, ("group", &id.to_string()), &without_members(&now.into())).await?;
    }
    let (group, _) = groups::update(&mut tx, api.context(&actor).by(), id, edit).await?;
    tx.commit().await?;
    Ok(tagged(group.into()))
}

/// With a tag that members do not change: they are added and removed by themselves.
fn tagged(group: GroupView) -> Tagged<GroupView> {
    let tag = EntityTag::of(&without_members(&group));
    Tagged(group, tag)
}

fn without_members(group: &GroupView) -> GroupView {
    GroupView { members: 0, ..group.clone() }
}

/// Deletes a smart group. One that apps name is refused with `group_in_use`, which says where.
#[utoipa::path(delete, path = "/api/v1/groups/{id}", tag = "groups", operation_id = "delete_group",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    groups::delete(&mut tx, api.context(&actor).by(), id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists a smart group's members, oldest user first.
#[utoipa::path(get, path = "/api/v1/groups/{id}/members", tag = "groups", operation_id = "list_group_members",
    params(("id" = Uuid, Path), PageQuery), security(("token" = [])),
    responses((status = 200, body = ListPage<GroupMemberView>), (status = "4XX", body = Problem)))]
pub async fn members(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<GroupMemberView>, Problem> {
    let paging = query.paging()?;
    find(&api, id).await?;
    let search = query.search.unwrap_or_default();
    let rows = api.store.group_members(id, &search, paging.after, paging.rows()).await?;
    Ok(paging.page(rows, |member: &GroupMember| member.user.id, GroupMemberView::from))
}

/// Adds people to a smart group, by id or by address: all of them, or none when one is unknown. Answers
/// when the connected gateways know of keys that work again, or have stopped.
#[utoipa::path(post, path = "/api/v1/groups/{id}/members", tag = "groups", operation_id = "add_group_members",
    params(("id" = Uuid, Path)), request_body = AddMembers,
    security(("token" = [])), responses((status = 200, body = MembersAdded), (status = "4XX", body = Problem)))]
pub async fn add_members(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(new): JsonBody<AddMembers>,
) -> Result<Json<MembersAdded>, Problem> {
    let mut tx = api.store.begin().await?;
    let added = groups::add(&mut tx, api.context(&actor).by(), id, new).await?;
    let change = committed(&api, tx, added.keys).await?;
    Ok(Json(MembersAdded { added: added.added, change }))
}

/// Adds a user to a smart group; one who is in it already stays.
#[utoipa::path(put, path = "/api/v1/groups/{id}/members/{user}", tag = "groups",
    operation_id = "add_group_member", params(("id" = Uuid, Path), ("user" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = MembersAdded), (status = "4XX", body = Problem)))]
pub async fn add_member(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, user)): PathParams<(Uuid, Uuid)>,
) -> Result<Json<MembersAdded>, Problem> {
    let mut tx = api.store.begin().await?;
    let new = AddMembers { users: vec![user], emails: vec![] };
    let added = groups::add(&mut tx, api.context(&actor).by(), id, new).await?;
    let change = committed(&api, tx, added.keys).await?;
    Ok(Json(MembersAdded { added: added.added, change }))
}

/// Takes a user out of a smart group, with effect on every app at once. Answers when the connected
/// gateways know of the keys that stopped. Who is in it by claim comes back at the next sign-in, as long
/// as the claim says so.
#[utoipa::path(delete, path = "/api/v1/groups/{id}/members/{user}", tag = "groups",
    operation_id = "remove_group_member", params(("id" = Uuid, Path), ("user" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = MembersChanged), (status = "4XX", body = Problem)))]
pub async fn remove_member(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, user)): PathParams<(Uuid, Uuid)>,
) -> Result<Json<MembersChanged>, Problem> {
    let mut tx = api.store.begin().await?;
    let keys = groups::remove(&mut tx, api.context(&actor).by(), id, user).await?;
    Ok(Json(committed(&api, tx, keys).await?))
}

/// Lists the apps that name a smart group, and on which lists.
#[utoipa::path(get, path = "/api/v1/groups/{id}/uses", tag = "groups", operation_id = "list_group_uses",
    params(("id" = Uuid, Path), PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<GroupUse>), (status = "4XX", body = Problem)))]
pub async fn uses(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<GroupUse>, Problem> {
    let paging = query.paging()?;
    find(&api, id).await?;
    let search = query.search.unwrap_or_default();
    let rows = api.store.group_uses(id, &search, paging.after, paging.rows()).await?;
    Ok(paging.page(rows, |one: &GroupReference| one.app, GroupUse::from))
}

async fn find(api: &Api, id: Uuid) -> Result<Group, Problem> {
    Ok(api.store.group(id).await?.ok_or(Refusal::NotFound("group"))?)
}

/// Commits a change of members; where keys changed, waits for the gateways.
async fn committed(api: &Api, mut tx: Tx, keys: Refreshed) -> Result<MembersChanged, Problem> {
    let revision = tx.revision(&api.world).await?;
    tx.commit().await?;
    let propagation = if keys.is_any() { Some(api.wait_for_all(revision, &[]).await) } else { None };
    Ok(MembersChanged { keys, propagation })
}
