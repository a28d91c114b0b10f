//! Coming in, and leaving.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use latchkey_api::Api;
use latchkey_api::body::Query;
use latchkey_api::problem::Problem;
use latchkey_api::sign_in::{UnauthenticatedClient, session_cookie, sign_in_context};
use latchkey_core::local_path::LocalPath;
use latchkey_service::action;
use latchkey_service::action::sessions::StartedSession;
use latchkey_service::sign_in::Cookie;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::form::{FormInput, HtmlForm, Posted};
use super::frame::{Frame, Visit, done, redirect};
use super::{html, unprocessable};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    form: HtmlForm,
    /// Where the OpenID provider is asked, where there is one.
    provider: Option<String>,
}

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage {
    frame: Frame,
    form: HtmlForm,
}

/// Where a sign-in leads to.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SignInQuery {
    return_to: Option<String>,
}

/// Asks who is there; whoever is signed in goes on.
pub async fn page(
    State(api): State<Api>,
    headers: HeaderMap,
    visit: Result<Visit, Problem>,
    Query(SignInQuery { return_to }): Query<SignInQuery>,
) -> Result<Response, Problem> {
    let return_to = local(return_to.as_deref());
    if visit.is_ok() {
        return Ok(redirect(return_to.as_str()));
    }
    show(&api, &headers, HtmlForm::default().with("return_to", return_to.as_str()))
}

/// Signs in with a password.
pub async fn sign_in(
    State(api): State<Api>,
    UnauthenticatedClient(client): UnauthenticatedClient,
    headers: HeaderMap,
    typed: FormInput,
) -> Result<Response, Problem> {
    let begun = action::sign_in::by_password(
        sign_in_context(&api, &client),
        typed.text("email"),
        typed.raw("password").into(),
    );
    match begun.await.map_err(Problem::from) {
        Ok(begun) => Ok(arrive(&api, &begun, local(Some(typed.text("return_to"))).as_str())),
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::UNAUTHORIZED);
            let again = HtmlForm::default()
                .with("email", typed.text("email"))
                .with("return_to", typed.text("return_to"));
            // A wrong password is about what was typed, though its status is 401.
            let problem =
                Problem { status: problem.status.max(StatusCode::UNPROCESSABLE_ENTITY.as_u16()), ..problem };
            Ok((status, show(&api, &headers, again.refused(problem)?)?).into_response())
        }
    }
}

pub async fn sign_out(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    latchkey_api::sign_in::sign_out(posted.visit.person(), State(api.clone())).await?;
    let cookie = AppendHeaders([(header::SET_COOKIE, api.sign_in.clear_cookie(Cookie::Session))]);
    Ok((cookie, done("/sign-in", "You are signed out.")).into_response())
}

/// Asks for the password that an invitation is for.
pub async fn invitation(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let frame = Frame::outside("Welcome", &headers, &api.world);
    html(&InvitationPage { frame, form: HtmlForm::default() })
}

/// Sets it, and signs in.
pub async fn accept(
    State(api): State<Api>,
    UnauthenticatedClient(client): UnauthenticatedClient,
    headers: HeaderMap,
    typed: FormInput,
) -> Result<Response, Problem> {
    // People paste the whole link where no script takes it apart.
    let token = typed.text("token").rsplit('#').next().unwrap_or_default().to_owned();
    let (secret, password) = (token.as_str().into(), typed.raw("password").into());
    let begun = action::sign_in::by_invitation(sign_in_context(&api, &client), &secret, password).await;
    match begun.map_err(Problem::from) {
        Ok(begun) => Ok(arrive(&api, &begun, "/")),
        Err(problem) => {
            let frame = Frame::outside("Welcome", &headers, &api.world);
            let form = HtmlForm::default().with("token", token).refused(problem)?;
            Ok(unprocessable(html(&InvitationPage { frame, form })?))
        }
    }
}

fn show(api: &Api, headers: &HeaderMap, form: HtmlForm) -> Result<Response, Problem> {
    let frame = Frame::outside("Sign in", headers, &api.world);
    let back = utf8_percent_encode(form.value("return_to"), NON_ALPHANUMERIC).to_string();
    let provider = api.sign_in.oidc.as_ref().map(|_| format!("/auth/oidc?return_to={back}"));
    html(&SignInPage { frame, form, provider })
}

fn arrive(api: &Api, begun: &StartedSession, to: &str) -> Response {
    (AppendHeaders([(header::SET_COOKIE, session_cookie(api, begun))]), redirect(to)).into_response()
}

fn local(path: Option<&str>) -> LocalPath {
    path.and_then(|path| LocalPath::try_from(path).ok()).unwrap_or_else(LocalPath::home)
}
