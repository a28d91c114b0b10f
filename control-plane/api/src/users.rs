//! `/api/v1/users`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::name::{Email, Name};
use latchkey_core::role::{Permission, Role};
use latchkey_service::action::users::EditUser;
use latchkey_service::action::{self, Refusal};
use latchkey_store::accounts::UserAccount;
use latchkey_store::identities::{LinkedIdentity, SignInIdentity};
use latchkey_store::keys::{KeyAccess, KeysOf};
use latchkey_store::users::User;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::account::{EndedSessions, SessionView};
use super::auth::{AdminGuard, OwnerGuard, ReaderGuard};
use super::body::{JsonBody, NoBody, PathParams, Query};
use super::idempotency::{Answered, Creation};
use super::keys::{RevokedKeys, UserKey, of_apps};
use super::pagination::{ListPage, PageQuery};
use super::precondition::{EntityTag, IfMatch, Tagged};
use super::problem::Problem;
use super::propagation::key_resources;

/// A person.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct UserView {
    /// Opaque.
    pub id: Uuid,
    /// Unique.
    pub email: Email,
    /// What others see.
    pub name: Name,
    /// What they may do.
    pub role: Role,
    /// When the record was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Whether they may sign in.
    pub active: bool,
    /// Since when they may not; null while they may.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deactivated_at: Option<Timestamp>,
    /// How they can sign in; empty while they cannot: an invitation sets a password.
    pub sign_in_methods: Vec<SignInWay>,
}

/// A way to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignInWay {
    /// With a password of this Latchkey.
    Password,
    /// At the OpenID provider.
    Oidc,
}

/// A person, with who they are elsewhere.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserDetail {
    /// The person.
    #[serde(flatten)]
    pub user: UserView,
    /// Who they are to OpenID providers, the oldest first; null for those who may not manage people.
    pub identities: Option<Vec<IdentityView>>,
}

/// Someone as an OpenID provider knows them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IdentityView {
    /// Opaque.
    pub id: Uuid,
    /// The provider.
    pub issuer: String,
    /// Its name for them.
    pub subject: String,
    /// Since when they are linked.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A person to add.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Unique.
    pub email: Email,
    /// What others see: 1 to 100 characters.
    pub name: Name,
    /// What they may do: `user` by default.
    #[serde(default = "user")]
    pub role: Role,
}

/// An invitation, shown in this answer only.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct InvitationView {
    /// Give it to the user, over a channel that reaches only them.
    pub link: String,
    /// What the link carries, for `POST /api/v1/auth/invitation`.
    pub token: String,
    /// Until when it can be used.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// A smart group that a user is in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserGroup {
    /// Opaque.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
}

fn user() -> Role {
    Role::User
}

impl SignInWay {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Oidc => "company account",
        }
    }
}

impl From<UserAccount> for UserView {
    fn from(account: UserAccount) -> Self {
        let UserAccount { user, password_hash, has_identity } = account;
        let User { id, email, name, role, created_at, deactivated_at } = user;
        let password = password_hash.is_some().then_some(SignInWay::Password);
        let oidc = has_identity.then_some(SignInWay::Oidc);
        let sign_in_methods = password.into_iter().chain(oidc).collect();
        let active = deactivated_at.is_none();
        Self { id, email, name, role, created_at, active, deactivated_at, sign_in_methods }
    }
}

impl From<LinkedIdentity> for IdentityView {
    fn from(link: LinkedIdentity) -> Self {
        let LinkedIdentity { id, identity: SignInIdentity { issuer, subject }, created_at } = link;
        Self { id, issuer, subject, created_at }
    }
}

/// Lists users, oldest first.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", operation_id = "list_users", params(PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<UserView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<UserView>, Problem> {
    let paging = query.paging()?;
    let rows = api.store.accounts(&query.search.unwrap_or_default(), paging.after, paging.rows()).await?;
    Ok(paging.page(rows, |account| account.user.id, UserView::from))
}

/// Adds a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", operation_id = "create_user", request_body = NewUser,
    params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = UserView), (status = "4XX", body = Problem)))]
pub async fn create(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewUser>>,
) -> Result<Answered<UserView>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        of_a_person(Some(new.role))?;
        let user = action::users::create(tx, api.context(&actor).by(), new.email, new.name, new.role).await?;
        let account = UserAccount { user, password_hash: None, has_identity: false };
        Ok(UserView::from(account))
    })
    .await
}

/// Shows a user.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", operation_id = "read_user",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = UserDetail), (status = "4XX", body = Problem)))]
pub async fn read(
    ReaderGuard(actor): ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Tagged<UserDetail>, Problem> {
    let Json(user) = view(&api, id).await?;
    let identities = match actor.role.permits(Permission::MembersUpdate) {
        true => Some(api.store.links(id).await?.into_iter().map(IdentityView::from).collect()),
        false => None,
    };
    let tag = EntityTag::of(&(&user.name, user.role));
    Ok(Tagged(UserDetail { user, identities }, tag))
}

/// Forgets who a user is to an OpenID provider, and signs them out everywhere. Who has the user's address
/// there, verified, is linked at the next sign-in.
#[utoipa::path(delete, path = "/api/v1/users/{id}/identities/{identity}", tag = "users",
    operation_id = "unlink_user", params(("id" = Uuid, Path), ("identity" = Uuid, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn unlink(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams((id, identity)): PathParams<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    action::users::unlink(&mut tx, api.context(&actor).by(), id, identity).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes a user's name or role. The role counts from the next request on.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", operation_id = "update_user",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = EditUser,
    security(("token" = [])), responses((status = 200, body = UserView), (status = "4XX", body = Problem)))]
pub async fn update(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditUser>,
) -> Result<Tagged<UserView>, Problem> {
    of_a_person(edit.role)?;
    let mut tx = api.store.begin().await?;
    let (before, _) = action::users::update(&mut tx, api.context(&actor).by(), id, edit).await?;
    if_match.check(&api, ("user", &id.to_string()), &(&before.name, before.role)).await?;
    tx.commit().await?;
    let Json(user) = view(&api, id).await?;
    let tag = EntityTag::of(&(&user.name, user.role));
    Ok(Tagged(user, tag))
}

/// Deactivates a user: their sessions end, their tokens stop, and they cannot sign in.
#[utoipa::path(post, path = "/api/v1/users/{id}/deactivate", tag = "users", operation_id = "deactivate_user",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = UserView), (status = "4XX", body = Problem)))]
pub async fn deactivate(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<UserView>, Problem> {
    let mut tx = api.store.begin().await?;
    action::users::deactivate(&mut tx, api.context(&actor).by(), id).await?;
    tx.commit().await?;
    view(&api, id).await
}

/// Lets a user sign in again; their tokens work again, their sessions do not come back.
#[utoipa::path(post, path = "/api/v1/users/{id}/reactivate", tag = "users", operation_id = "reactivate_user",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = UserView), (status = "4XX", body = Problem)))]
pub async fn reactivate(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<UserView>, Problem> {
    let mut tx = api.store.begin().await?;
    action::users::reactivate(&mut tx, api.context(&actor).by(), id).await?;
    tx.commit().await?;
    view(&api, id).await
}

/// Makes a link by which a user sets a password, once, within 72 hours. An earlier one stops.
#[utoipa::path(post, path = "/api/v1/users/{id}/invite", tag = "users", operation_id = "invite_user",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = InvitationView), (status = "4XX", body = Problem)))]
pub async fn invite(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    new: Creation<NoBody>,
) -> Result<Answered<InvitationView>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, NoBody| {
        let invitation = action::invitations::create(tx, api.context(&actor).by(), id).await?;
        let link = api.sign_in.public_url.at(&invitation.path());
        let token = invitation.token.expose_secret().to_owned();
        Ok(InvitationView { link, token, expires_at: invitation.expires_at })
    })
    .await
}

/// Lists where a user is signed in, the latest sign-in first.
#[utoipa::path(get, path = "/api/v1/users/{id}/sessions", tag = "users", operation_id = "list_user_sessions",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ListPage<SessionView>), (status = "4XX", body = Problem)))]
pub async fn sessions(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<ListPage<SessionView>, Problem> {
    let user = find(&api, id).await?;
    SessionView::list(&api, &actor, user.id).await
}

/// Lists a user's named keys of every app, oldest first, without their values.
#[utoipa::path(get, path = "/api/v1/users/{id}/keys", tag = "users", operation_id = "list_user_keys",
    params(("id" = Uuid, Path), PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<UserKey>), (status = "4XX", body = Problem)))]
pub async fn keys(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<UserKey>, Problem> {
    let user = find(&api, id).await?;
    of_apps(&api, KeysOf::User(user.id), KeyAccess::Any, &query.into()).await
}

/// How many of a user's named keys are not revoked.
///
/// # Errors
/// The database is away.
pub async fn count_live_keys(_: ReaderGuard, api: &Api, id: Uuid) -> Result<u64, Problem> {
    Ok(api.store.count_keys_of(id).await?.values().sum())
}

/// Revokes all of a user's named keys for good; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/users/{id}/keys/revoke", tag = "users", operation_id = "revoke_user_keys",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = RevokedKeys), (status = "4XX", body = Problem)))]
pub async fn revoke_keys(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<RevokedKeys>, Problem> {
    let user = find(&api, id).await?;
    let mut tx = api.store.begin().await?;
    let keys = action::keys::revoke_all::of_user(&mut tx, api.context(&actor), user.id).await?;
    tx.commit().await?;
    let revision = keys.iter().map(|key| key.revision).max().unwrap_or_default();
    let resources: Vec<_> = keys.iter().flat_map(key_resources).collect();
    let propagation = api.wait_for_all(revision, &resources).await;
    Ok(Json(RevokedKeys { revoked: keys.iter().map(|key| key.id).collect(), propagation }))
}

/// Lists the smart groups that a user is in, by name.
#[utoipa::path(get, path = "/api/v1/users/{id}/groups", tag = "users", operation_id = "list_user_groups",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ListPage<UserGroup>), (status = "4XX", body = Problem)))]
pub async fn groups(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<ListPage<UserGroup>, Problem> {
    let user = find(&api, id).await?;
    let groups = api.store.groups_of(user.id).await?;
    let items = groups.into_iter().map(|(id, name)| UserGroup { id, name }).collect();
    Ok(ListPage { items, next_cursor: None })
}

/// Signs a user out everywhere.
#[utoipa::path(post, path = "/api/v1/users/{id}/sessions/end", tag = "users", operation_id = "end_user_sessions",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = EndedSessions), (status = "4XX", body = Problem)))]
pub async fn end_sessions(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<EndedSessions>, Problem> {
    let user = find(&api, id).await?;
    let mut tx = api.store.begin().await?;
    let sessions = action::sessions::end_all(&mut tx, api.context(&actor).by(), &user, None).await?;
    tx.commit().await?;
    Ok(Json(EndedSessions { sessions }))
}

async fn find(api: &Api, id: Uuid) -> Result<User, Problem> {
    Ok(api.store.user(id).await?.ok_or(Refusal::NotFound("user"))?)
}

async fn view(api: &Api, id: Uuid) -> Result<Json<UserView>, Problem> {
    Ok(Json(api.store.account(id).await?.ok_or(Refusal::NotFound("user"))?.into()))
}

fn of_a_person(role: Option<Role>) -> Result<(), Refusal> {
    if role == Some(Role::Gateway) {
        return Err(Refusal::field("role", "is only for gateway tokens, not for people"));
    }
    Ok(())
}
