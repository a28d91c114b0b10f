//! One's own account: password, sessions, API tokens.

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::account::{self, ChangePassword, Me, SessionView};
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::pagination::PageQuery;
use latchkey_api::problem::Problem;
use latchkey_api::tokens::TokenView;
use latchkey_core::role::Role;
use uuid::Uuid;

use super::admin::tokens::{LIFETIMES, made};
use super::form::{Field, FieldKind, HtmlForm, Posted};
use super::frame::{Frame, Visit, done};
use super::list::PaginatedList;
use super::{html, unprocessable};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    me: Me,
    sessions: Vec<SessionView>,
    form: HtmlForm,
    tokens: PaginatedList<TokenView>,
    /// Roles that a token of theirs may have.
    roles: Vec<Role>,
    token: HtmlForm,
}

/// What a token of one's own is made of.
const TOKEN: &[Field] =
    &[("name", FieldKind::Text), ("role", FieldKind::Text), ("expires_in", FieldKind::Text)];

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    show(&visit, &api, query, HtmlForm::default(), HtmlForm::default()).await
}

pub async fn password(
    State(api): State<Api>,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let change =
        ChangePassword { current: posted.typed.raw("current").into(), new: posted.typed.raw("new").into() };
    match account::password(posted.visit.person(), State(api.clone()), headers, JsonBody(change)).await {
        Ok(_) => Ok(done("/account", "Your password was changed. You are signed out everywhere else.")),
        Err(problem) => {
            // What was typed is secret, and is not shown again.
            let form = HtmlForm::default().refused(Problem { status: problem.status.max(422), ..problem })?;
            let page = show(&posted.visit, &api, PageQuery::default(), form, HtmlForm::default()).await?;
            Ok(unprocessable(page))
        }
    }
}

/// Signs out one of one's browsers.
pub async fn end_session(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    account::end_session(posted.visit.person(), State(api), PathParams(id)).await?;
    Ok(done("/account", "The session has ended."))
}

/// Makes an API token of one's own, and shows its value.
pub async fn create_token(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let creation = posted.creation(TOKEN, JsonBody)?;
        account::create_token(posted.visit.person(), State(api.clone()), creation).await?.into_made()
    };
    match attempt.await {
        Ok(token) => made(posted.visit.frame("New API token"), "/account", token),
        Err(problem) => {
            let token = posted.refused(problem)?;
            let page = show(&posted.visit, &api, PageQuery::default(), HtmlForm::default(), token).await?;
            Ok(unprocessable(page))
        }
    }
}

/// Revokes one of one's own API tokens.
pub async fn revoke_token(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let token = account::revoke_token(posted.visit.person(), State(api), PathParams(id)).await?.0;
    Ok(done("/account", &format!("The token {} is revoked and no longer works.", token.name)))
}

async fn show(
    visit: &Visit,
    api: &Api,
    query: PageQuery,
    form: HtmlForm,
    token: HtmlForm,
) -> Result<Response, Problem> {
    let me = Me::read(api, &visit.actor, None).await?;
    let sessions = account::sessions(visit.person(), State(api.clone())).await?.items;
    let tokens = account::tokens(visit.person(), State(api.clone()), Query(query)).await?;
    let tokens = PaginatedList::new("/account", &[], tokens);
    let mut roles: Vec<_> = Role::ALL.into_iter().filter(|role| role.within(visit.actor.role)).collect();
    roles.reverse();
    let frame = visit.frame("My account");
    html(&AccountPage { frame, me, sessions, form, tokens, roles, token })
}
