//! `/api/v1/apps/{id}/access`: who may do what with an app, and why.

mod views;

use axum::Json;
use axum::extract::State;
use latchkey_core::access::{Access, AccessMode, Capability, Subjects};
use latchkey_service::action::Refusal;
use latchkey_store::apps::App;
use latchkey_store::members::Among;
use latchkey_store::subjects::SubjectNames;
use uuid::Uuid;

use super::Api;
use super::apps;
use super::auth::ReaderGuard;
use super::body::{PathParams, Query};
use super::pagination::{ListPage, paging};
use super::problem::Problem;

pub use views::{
    AccessDecision, AccessExplanation, AccessQuery, GroupRef, PeopleQuery, PersonAccess, PersonRef,
};

/// Explains what a user may do with an app: each capability, or one.
#[utoipa::path(get, path = "/api/v1/apps/{id}/access", tag = "self-service", operation_id = "explain_access",
    params(("id" = Uuid, Path), AccessQuery),
    security(("token" = [])), responses((status = 200, body = AccessExplanation), (status = "4XX", body = Problem)))]
pub async fn explain(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<AccessQuery>,
) -> Result<Json<AccessExplanation>, Problem> {
    let app = apps::find(&api, id).await?;
    let unknown = || Refusal::field("user_id", "no user has this ID");
    let user = api.store.user(query.user_id).await?.ok_or_else(unknown)?;
    let member = api.store.member(user.id).await?.ok_or_else(unknown)?;
    let names = group_names(&api, &app.settings.self_service.access).await?;
    let asked = Capability::ALL.into_iter().filter(|one| query.capability.is_none_or(|asked| asked == *one));
    let decisions =
        asked.map(|capability| AccessDecision::new(capability, &app, &user, &member, &names)).collect();
    Ok(Json(AccessExplanation { user: user.into(), decisions }))
}

/// Lists who has a capability of an app: `viewer`, unless another is asked for.
#[utoipa::path(get, path = "/api/v1/apps/{id}/access/people", tag = "self-service",
    operation_id = "list_people_with_access", params(("id" = Uuid, Path), PeopleQuery),
    security(("token" = [])),
    responses((status = 200, body = ListPage<PersonAccess>), (status = "4XX", body = Problem)))]
pub async fn people(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<PeopleQuery>,
) -> Result<ListPage<PersonAccess>, Problem> {
    let app = apps::find(&api, id).await?;
    people_of(&api, &app, query).await
}

/// How many people are looked at together.
const BATCH: i64 = 500;

pub(super) async fn people_of(
    api: &Api,
    app: &App,
    query: PeopleQuery,
) -> Result<ListPage<PersonAccess>, Problem> {
    let paging = paging::<Uuid>(query.cursor.as_deref(), query.limit, query.search.as_deref())?;
    let search = query.search.unwrap_or_default();
    let access = &app.settings.self_service.access;
    let capability = query.capability.unwrap_or(Capability::Viewer);
    let names = group_names(api, access).await?;
    let (everyone, named) = candidates(access);
    let mut found = Vec::new();
    let mut after = paging.after;
    while (found.len() as i64) < paging.rows() {
        let among = if everyone { Among::Everyone } else { Among::Named(&named) };
        let people = api.store.people(among, &search, after, BATCH).await?;
        let last = (people.len() as i64) < BATCH;
        after = people.last().map(|(user, _)| user.id).or(after);
        for (user, member) in people {
            if access.grants(capability, &member) {
                let decision = AccessDecision::new(capability, app, &user, &member, &names);
                let capabilities = access.granted(&member);
                found.push(PersonAccess { user: user.into(), capabilities, decision });
            }
        }
        if last {
            break;
        }
    }
    Ok(paging.page(found, |person| person.user.id, |person| person))
}

/// Who may come into question for any capability of an app: everyone, or those who are named. Who may
/// not see it has none but that of asking for changes, which those have who are named here too.
fn candidates(access: &Access) -> (bool, Subjects) {
    let rules = [&access.viewer, &access.settings_request];
    let mut named = Subjects::default();
    for rule in rules {
        named.users.extend(&rule.allow.users);
        named.groups.extend(&rule.allow.groups);
    }
    (rules.iter().any(|rule| rule.mode == AccessMode::Everyone), named)
}

/// What the groups are called that an app names.
async fn group_names(api: &Api, access: &Access) -> Result<SubjectNames, Problem> {
    let rules = Capability::ALL.map(|capability| access.rule(capability));
    let groups = rules.iter().flat_map(|rule| rule.allow.groups.iter().chain(&rule.exceptions.groups));
    let subjects = Subjects { groups: groups.copied().collect(), ..Subjects::default() };
    Ok(api.store.names(&subjects).await?)
}
