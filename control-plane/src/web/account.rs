//! One's own account: password, sessions.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::form::{Form, Posted};
use super::frame::{Frame, Visit, done};
use super::html;
use crate::api::Api;
use crate::api::account::{self, ChangePassword, Me, SessionView};
use crate::api::body::{Body, Path};
use crate::api::problem::Problem;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    me: Me,
    sessions: Vec<SessionView>,
    form: Form,
}

/// Shows it.
pub async fn page(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    show(&visit, &api, Form::default()).await
}

/// Changes the password.
pub async fn password(
    State(api): State<Api>,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let change =
        ChangePassword { current: posted.typed.raw("current").into(), new: posted.typed.raw("new").into() };
    match account::password(posted.visit.person(), State(api.clone()), headers, Body(change)).await {
        Ok(_) => Ok(done("/account", "Your password is changed; you are signed out everywhere else.")),
        Err(problem) => {
            // What was typed is secret, and is not shown again.
            let form = Form::default().refused(Problem { status: problem.status.max(422), ..problem })?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&posted.visit, &api, form).await?).into_response())
        }
    }
}

/// Signs out one of one's browsers.
pub async fn end_session(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    account::end_session(posted.visit.person(), State(api), Path(id)).await?;
    Ok(done("/account", "That session is ended."))
}

async fn show(visit: &Visit, api: &Api, form: Form) -> Result<Response, Problem> {
    let me = Me::read(api, &visit.actor, None).await?;
    let sessions = account::sessions(visit.person(), State(api.clone())).await?.items;
    html(&AccountPage { frame: visit.frame("My account"), me, sessions, form })
}
