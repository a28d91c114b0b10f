//! One's own account: password, sessions, email, API tokens.

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::account::{self, ChangePassword, Me, SessionView};
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::email::{self, MyEmail};
use latchkey_api::pagination::PageQuery;
use latchkey_api::problem::Problem;
use latchkey_api::tokens::TokenView;
use latchkey_core::mail::{MailFrequency, MailTopic};
use latchkey_core::role::{Permission, Role};
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
    email: MyEmail,
    /// What they can choose, each with its field.
    topics: Vec<(&'static str, MailTopic)>,
    frequencies: &'static [(&'static str, &'static str)],
    preferences: HtmlForm,
    tokens: PaginatedList<TokenView>,
    /// Roles that a token of theirs may have.
    roles: Vec<Role>,
    token: HtmlForm,
}

/// How often one gets email about what.
const PREFERENCES: &[Field] = &[
    ("budgets", FieldKind::Text),
    ("expiring_keys", FieldKind::Text),
    ("requests_to_decide", FieldKind::Text),
    ("my_requests", FieldKind::Text),
    ("webhooks", FieldKind::Text),
];

const FREQUENCIES: &[(&str, &str)] = &[
    (MailFrequency::AtOnce.as_str(), "Right away"),
    (MailFrequency::Daily.as_str(), "Daily digest"),
    (MailFrequency::Off.as_str(), "Never"),
];

/// Forms that were refused, as they are shown again.
#[derive(Default)]
struct RefusedForms {
    password: HtmlForm,
    token: HtmlForm,
    /// None where they are as they are stored.
    preferences: Option<HtmlForm>,
}

/// What a token of one's own is made of.
const TOKEN: &[Field] =
    &[("name", FieldKind::Text), ("role", FieldKind::Text), ("expires_in", FieldKind::Text)];

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    show(&visit, &api, query, RefusedForms::default()).await
}

pub async fn password(
    State(api): State<Api>,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let change =
        ChangePassword { current: posted.typed.raw("current").into(), new: posted.typed.raw("new").into() };
    match account::password(posted.visit.person(), State(api.clone()), headers, JsonBody(change)).await {
        Ok(_) => Ok(done("/account", "Password changed. You have been signed out everywhere else.")),
        Err(problem) => {
            // What was typed is secret, and is not shown again.
            let form = HtmlForm::default().refused(Problem { status: problem.status.max(422), ..problem })?;
            let refused = RefusedForms { password: form, ..RefusedForms::default() };
            Ok(unprocessable(show(&posted.visit, &api, PageQuery::default(), refused).await?))
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
    Ok(done("/account", "Session ended."))
}

/// Makes an API token of one's own, and shows its value.
pub async fn create_token(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let creation = posted.creation(TOKEN, JsonBody)?;
        account::create_token(posted.visit.person(), State(api.clone()), creation).await?.into_made()
    };
    match attempt.await {
        Ok(token) => made(posted.visit.frame("Create API token"), "/account", token),
        Err(problem) => {
            let refused = RefusedForms { token: posted.refused(problem)?, ..RefusedForms::default() };
            Ok(unprocessable(show(&posted.visit, &api, PageQuery::default(), refused).await?))
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
    Ok(done("/account", &format!("Token {} revoked.", token.name)))
}

/// Changes how often one gets email about what.
pub async fn email(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let changed = async {
        let shown =
            PREFERENCES.iter().filter(|(name, _)| posted.typed.has(name)).copied().collect::<Vec<_>>();
        let edit = JsonBody(posted.typed.read(&shown)?);
        email::update_mine(posted.visit.person(), State(api.clone()), edit).await
    };
    posted
        .answer(
            changed.await,
            |_| done("/account#email", "Saved."),
            |form| email_again(&posted.visit, &api, form),
        )
        .await
}

/// Sends a test to oneself.
pub async fn test_email(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let sent = email::test(posted.visit.person(), State(api.clone())).await;
    let done = |(_, axum::Json(_)): (_, axum::Json<email::TestEmailSent>)| {
        done("/account#email", "Test email queued.")
    };
    posted.answer(sent, done, |form| email_again(&posted.visit, &api, form)).await
}

/// Shows what was refused about email.
async fn email_again(visit: &Visit, api: &Api, form: HtmlForm) -> Result<Response, Problem> {
    let refused = RefusedForms { preferences: Some(form), ..RefusedForms::default() };
    show(visit, api, PageQuery::default(), refused).await
}

async fn show(
    visit: &Visit,
    api: &Api,
    query: PageQuery,
    refused: RefusedForms,
) -> Result<Response, Problem> {
    let RefusedForms { password: form, token, preferences } = refused;
    let email = email::mine(visit.person(), State(api.clone())).await?.0;
    let stored = HtmlForm::of(&email);
    let preferences = match preferences {
        Some(refused) if refused.has("budgets") => refused,
        Some(refused) => stored.wrong_as(refused),
        None => stored,
    };
    let is_admin = visit.actor.role.permits(Permission::GatewayUpdate);
    let topics = PREFERENCES.iter().map(|(name, _)| *name).zip(MailTopic::ALL);
    let topics = topics.filter(|(_, topic)| is_admin || !topic.is_for_admins()).collect();
    let me = Me::read(api, &visit.actor, None).await?;
    let sessions = account::sessions(visit.person(), State(api.clone())).await?.items;
    let tokens = account::tokens(visit.person(), State(api.clone()), Query(query)).await?;
    let tokens = PaginatedList::new("/account", &[], tokens);
    let mut roles: Vec<_> = Role::ALL.into_iter().filter(|role| role.within(visit.actor.role)).collect();
    roles.reverse();
    let frame = visit.frame("My account");
    let frequencies = FREQUENCIES;
    html(&AccountPage {
        frame,
        me,
        sessions,
        form,
        email,
        topics,
        frequencies,
        preferences,
        tokens,
        roles,
        token,
    })
}
