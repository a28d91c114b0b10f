//! API tokens: of automation, of gateways, and of users.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::pagination::PageQuery;
use latchkey_api::problem::Problem;
use latchkey_api::tokens::{self, TokenView};
use latchkey_api::{Api, users};
use latchkey_core::role::Role;
use uuid::Uuid;

use super::filters;
use crate::form::{Field, FieldKind, HtmlForm, Posted};
use crate::frame::{Frame, Visit, done};
use crate::list::PaginatedList;
use crate::{html, unprocessable};

/// What a token is made of.
const TOKEN: &[Field] = &[
    ("name", FieldKind::Text),
    ("role", FieldKind::Text),
    ("user_id", FieldKind::Optional),
    ("gateway", FieldKind::Optional),
    ("expires_in", FieldKind::Text),
];

pub const LIFETIMES: &[(&str, &str)] = &[
    ("90d", "90 days"),
    ("30d", "30 days"),
    ("60d", "60 days"),
    ("180d", "180 days"),
    ("1y", "1 year"),
    ("never", "never"),
];

const ROLES: &[(&str, &str)] = &[
    ("gateway", "gateway: only connects a gateway"),
    ("user", "user"),
    ("auditor", "auditor: sees everything"),
    ("admin", "admin: configures the gateway"),
    ("owner", "owner: also manages people"),
];

#[derive(Template)]
#[template(path = "admin/tokens.html")]
struct TokensPage {
    frame: Frame,
    search: String,
    list: PaginatedList<TokenView>,
    /// The email addresses of the tokens' users.
    people: BTreeMap<Uuid, String>,
    form: HtmlForm,
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
    show(&visit, &api, query, HtmlForm::default()).await
}

/// Creates one, and shows its value.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let owner = posted.visit.owner()?;
        let whose = filters::user(&posted.visit, &api, "user_id", posted.typed.text("user_id")).await?;
        let typed = posted.typed.clone().with("user_id", whose.unwrap_or_default().0);
        let creation = Posted { typed, ..posted.clone() }.creation(TOKEN, JsonBody)?;
        tokens::create(owner, State(api.clone()), creation).await?.into_made()
    };
    match attempt.await {
        Ok(token) => made(posted.visit.frame("Create API token"), "/admin/tokens", token),
        Err(problem) => {
            let form = posted.refused(problem)?;
            Ok(unprocessable(show(&posted.visit, &api, PageQuery::default(), form).await?))
        }
    }
}

pub async fn revoke(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let token = tokens::revoke(posted.visit.owner()?, State(api), PathParams(id)).await?.0;
    let what = match token.role {
        Role::Gateway => "Token revoked. Open streams of the gateway end within a minute.",
        _ => "Token revoked.",
    };
    Ok(done("/admin/tokens", what))
}

/// Binds a gateway's to the next that uses it.
pub async fn unbind(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let next = JsonBody(tokens::BindToken { gateway: None });
    let token = tokens::bind(posted.visit.owner()?, State(api), PathParams(id), next).await?.0;
    Ok(done("/admin/tokens", &format!("{} will be bound to the next gateway that uses it.", token.name)))
}

/// The page of a token that was just made.
///
/// # Errors
/// It cannot be written.
pub fn made(frame: Frame, back: &'static str, token: TokenView) -> Result<Response, Problem> {
    let TokenView { name, role, value, .. } = token;
    let (value, gateway) = (value.unwrap_or_default(), role == Role::Gateway);
    html(&MadePage { frame, back, name, value, gateway })
}

async fn show(visit: &Visit, api: &Api, query: PageQuery, form: HtmlForm) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let tokens = tokens::list(visit.owner()?, State(api.clone()), Query(query)).await?;
    let mut people = BTreeMap::new();
    for id in tokens.items.iter().filter_map(|token| token.user_id) {
        if let std::collections::btree_map::Entry::Vacant(unknown) = people.entry(id) {
            let user = users::read(visit.reader()?, State(api.clone()), PathParams(id)).await?;
            unknown.insert(user.0.user.email.to_string());
        }
    }
    let list = PaginatedList::new("/admin/tokens", &[("search", &search)], tokens);
    html(&TokensPage { frame: visit.frame("API tokens"), search, list, people, form })
}
