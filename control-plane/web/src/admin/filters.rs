//! Filters as people type them: apps and users by name or email address, or by the id that a link has; times by
//! their own clock.

use axum::extract::State;
use latchkey_api::Api;
use latchkey_api::apps::AppQuery;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::keys::{self, KeyQuery};
use latchkey_api::pagination::PageQuery;
use latchkey_api::problem::Problem;
use latchkey_api::upstreams::{McpProtocol, ModelProtocol, UpstreamResource};
use latchkey_api::{apps, upstreams, users};
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::key_search::KeySearch;
use latchkey_core::search::folded;
use latchkey_filter_core::snapshot::PROVIDER_PREFIX;
use uuid::Uuid;

use crate::form::{FormInput, HtmlForm};
use crate::frame::Visit;

/// What was asked, with ids where the fields name an app or a user; the form shows them by name.
///
/// # Errors
/// There is no app or user of that name.
pub async fn with_ids(
    visit: &Visit,
    api: &Api,
    asked: &FormInput,
    form: &mut HtmlForm,
    (app_field, user_field): (&str, &str),
) -> Result<FormInput, Problem> {
    let mut read = asked.clone();
    if let Some((id, name)) = app(visit, api, app_field, asked.text(app_field)).await? {
        read = read.with(app_field, id);
        *form = std::mem::take(form).with(app_field, name);
    }
    if let Some((id, name)) = user(visit, api, user_field, asked.text(user_field)).await? {
        read = read.with(user_field, id);
        *form = std::mem::take(form).with(user_field, name);
    }
    Ok(read)
}

/// Who may have answered, as records call them, for a filter: providers and MCP servers, after any.
///
/// # Errors
/// The visitor may not see them.
pub async fn upstream_options(visit: &Visit, api: &Api) -> Result<Vec<(String, String)>, Problem> {
    let servers = upstream_names::<McpProtocol>(visit, api).await?.into_iter();
    let servers = servers.map(|name| format!("{PROVIDER_PREFIX}{name}"));
    let known = upstream_names::<ModelProtocol>(visit, api)
        .await?
        .into_iter()
        .chain(servers)
        .map(|name| (name.clone(), name));
    Ok(std::iter::once((String::new(), "any".to_owned())).chain(known).collect())
}

/// The names of all upstreams of a protocol.
///
/// # Errors
/// The visitor may not see them.
pub async fn upstream_names<P: UpstreamResource>(visit: &Visit, api: &Api) -> Result<Vec<String>, Problem> {
    visit.reader()?;
    let upstreams = upstreams::all::<P>(api).await?;
    Ok(upstreams.into_iter().map(|upstream| upstream.name.to_string()).collect())
}

/// The page of who answered, as records call them.
pub fn upstream_page(name: impl AsRef<str>) -> String {
    match name.as_ref().split_once(PROVIDER_PREFIX) {
        Some(("", server)) => format!("/admin/mcp-servers/{server}"),
        _ => format!("/admin/providers/{}", name.as_ref()),
    }
}

/// What was asked, with moments where these fields have times of the viewer's clock.
///
/// # Errors
/// What was typed is no time.
pub fn with_moments(visit: &Visit, asked: FormInput, fields: &[&str]) -> Result<FormInput, Problem> {
    let mut wrong = Invalid::default();
    let mut read = asked.clone();
    for field in fields.iter().filter(|field| !asked.text(field).is_empty()) {
        if let Some(at) = wrong.check(field, visit.moment(asked.text(field))) {
            read = read.with(field, at.to_string());
        }
    }
    wrong.into_result().map_err(Problem::invalid)?;
    Ok(read)
}

/// The id and the address of the user that `text` names; none where it is empty. An id that is nobody's
/// stays, since what they did stays.
///
/// # Errors
/// There is no user with that address.
pub async fn user(
    visit: &Visit,
    api: &Api,
    field: &str,
    text: &str,
) -> Result<Option<(String, String)>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(id) = text.parse::<Uuid>() {
        let found = users::read(visit.reader()?, State(api.clone()), PathParams(id)).await;
        let name = found.map_or_else(|_| id.to_string(), |user| user.0.user.email.to_string());
        return Ok(Some((id.to_string(), name)));
    }
    let found = users::list(visit.reader()?, State(api.clone()), Query(search(text))).await?;
    let address = text.to_lowercase();
    let found = found.items.into_iter().find(|user| user.email.as_str() == address);
    let user = found.ok_or_else(|| unknown(field, "no user has this email address"))?;
    Ok(Some((user.id.to_string(), user.email.to_string())))
}

/// The id and the name of the app that `text` names; none where it is empty. An id that is no app's stays, since what
/// it did stays.
///
/// # Errors
/// No app has that name, or several have.
pub async fn app(
    visit: &Visit,
    api: &Api,
    field: &str,
    text: &str,
) -> Result<Option<(String, String)>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(id) = text.parse::<Uuid>() {
        let found = apps::read(visit.reader()?, State(api.clone()), PathParams(id)).await;
        let name = found.map_or_else(|_| id.to_string(), |app| app.0.item.name.to_string());
        return Ok(Some((id.to_string(), name)));
    }
    let called = AppQuery { search: Some(text.to_owned()), ..AppQuery::most() };
    let found = apps::list(visit.reader()?, State(api.clone()), Query(called)).await?;
    let name = folded(text);
    let mut found = found.items.into_iter().filter(|app| folded(app.item.name.as_str()) == name);
    let app = found.next().ok_or_else(|| unknown(field, "no app has this name"))?;
    if found.next().is_some() {
        return Err(unknown(
            field,
            "several apps have this name: use an app ID instead (it is in the address of the app's page)",
        ));
    }
    Ok(Some((app.item.id.to_string(), app.item.name.to_string())))
}

/// What was asked, with the id of a key that is named; the form shows the name. A name is one of an app's keys.
///
/// # Errors
/// No app is chosen, it has no key of that name, or several.
pub async fn with_key(
    visit: &Visit,
    api: &Api,
    asked: FormInput,
    form: &mut HtmlForm,
) -> Result<FormInput, Problem> {
    let text = asked.text("key_id").to_owned();
    if text.is_empty() || text.parse::<Uuid>().is_ok() {
        return Ok(asked);
    }
    let Ok(app) = asked.text("app_id").parse::<Uuid>() else {
        return Err(unknown("key_id", "is not a key ID. To find a key by name, also enter its app"));
    };
    let query = KeyQuery { limit: Some(200), search: Some(text.clone()), ..KeyQuery::default() };
    let found = keys::list(visit.reader()?, State(api.clone()), PathParams(app), Query(query)).await?;
    let name = folded(&text);
    // What a leaked key shows is no name; what is found ends with it.
    let by_name = KeySearch::parse(&text).name.is_some();
    let mut found = found.items.into_iter().filter(|key| !by_name || folded(key.item.name.as_str()) == name);
    let key = found.next().ok_or_else(|| unknown("key_id", "the app has no key of this name"))?;
    if found.next().is_some() {
        return Err(unknown("key_id", "several keys of the app have this name: use the ID of one"));
    }
    *form = std::mem::take(form).with("key_id", text);
    Ok(asked.with("key_id", key.item.id.to_string()))
}

fn search(text: &str) -> PageQuery {
    PageQuery { search: Some(text.to_owned()), ..PageQuery::most() }
}

fn unknown(field: &str, message: &str) -> Problem {
    Problem::invalid(FieldError::new(field, message).into())
}
