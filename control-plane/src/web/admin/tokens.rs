//! API tokens: of automation, of gateways, and of users.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use latchkey_core::role::Role;
use serde_json::Value;
use uuid::Uuid;

use super::named;
use crate::api::body::{Body, Path, Query};
use crate::api::page::{Page, PageQuery};
use crate::api::problem::Problem;
use crate::api::tokens::{self, TokenView};
use crate::api::{Api, users};
use crate::web::form::{Field, Form, Kind, Posted};
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;
use crate::web::list::{More, Next};

/// What a token is made of.
const TOKEN: &[Field] = &[
    ("name", Kind::Text),
    ("role", Kind::Text),
    ("user_id", Kind::Optional),
    ("gateway", Kind::Optional),
    ("expires_in", Kind::Text),
];

/// How long tokens live.
pub const LIFETIMES: &[(&str, &str)] = &[
    ("90d", "90 days"),
    ("30d", "30 days"),
    ("60d", "60 days"),
    ("180d", "180 days"),
    ("1y", "1 year"),
    ("never", "it does not expire"),
];

const ROLES: &[(&str, &str)] = &[
    ("gateway", "gateway: opens an Envoy's streams, and nothing else"),
    ("user", "user"),
    ("auditor", "auditor: sees everything"),
    ("admin", "admin: configures the gateway"),
    ("owner", "owner: manages people, too"),
];

#[derive(Template)]
#[template(path = "admin/tokens.html")]
struct TokensPage {
    frame: Frame,
    search: String,
    tokens: Page<TokenView>,
    people: BTreeMap<Uuid, String>,
    more: More,
    form: Form,
}

/// A token that was just made: its value is shown here, once.
#[derive(Template)]
#[template(path = "token_made.html")]
struct MadePage {
    frame: Frame,
    back: &'static str,
    name: String,
    value: String,
    gateway: bool,
}

/// Lists them, and asks for a new one.
pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    show(&visit, &api, query, Form::default()).await
}

/// Creates one, and shows its value.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let owner = posted.visit.owner()?;
        let whose = named::user(&posted.visit, &api, "user_id", posted.typed.text("user_id")).await?;
        let typed = posted.typed.clone().with("user_id", whose.unwrap_or_default().0);
        let creation = Posted { typed, ..posted.clone() }.creation(TOKEN, Body)?;
        tokens::create(owner, State(api.clone()), creation).await?.told()
    };
    match attempt.await {
        Ok(token) => made(posted.visit.frame("New API token"), "/admin/tokens", &token),
        Err(problem) => {
            let form = posted.refused(problem)?;
            let page = show(&posted.visit, &api, PageQuery::default(), form).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Revokes one.
pub async fn revoke(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let token = tokens::revoke(posted.visit.owner()?, State(api), Path(id)).await?.0;
    let what = match token.role {
        Role::Gateway => "The token is revoked. Streams that an Envoy opened with it end within a minute.",
        _ => "The token is revoked: it stopped at once.",
    };
    Ok(done("/admin/tokens", what))
}

/// Binds a gateway's to the next that uses it.
pub async fn unbind(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let next = Body(tokens::BindToken { gateway: None });
    let token = tokens::bind(posted.visit.owner()?, State(api), Path(id), next).await?.0;
    Ok(done("/admin/tokens", &format!("{} is bound to the next gateway that uses it.", token.name)))
}

/// The page of a token that was just made.
///
/// # Errors
/// It cannot be written.
pub fn made(frame: Frame, back: &'static str, token: &Value) -> Result<Response, Problem> {
    let text = |name: &str| token[name].as_str().unwrap_or_default().to_owned();
    let gateway = token["role"] == Role::Gateway.as_str();
    html(&MadePage { frame, back, name: text("name"), value: text("value"), gateway })
}

async fn show(visit: &Visit, api: &Api, query: PageQuery, form: Form) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let tokens = tokens::list(visit.owner()?, State(api.clone()), Query(query)).await?;
    let mut people = BTreeMap::new();
    for id in tokens.items.iter().filter_map(|token| token.user_id) {
        if let std::collections::btree_map::Entry::Vacant(unknown) = people.entry(id) {
            let user = users::read(visit.reader()?, State(api.clone()), Path(id)).await?;
            unknown.insert(user.0.user.email.to_string());
        }
    }
    let more = Next::new("/admin/tokens", &[("search", &search)], tokens.next_cursor.as_deref());
    html(&TokensPage { frame: visit.frame("API tokens"), search, tokens, people, more, form })
}
