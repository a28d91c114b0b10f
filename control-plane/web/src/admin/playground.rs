//! The playground: one call of the gateway, as any client makes it, and all that is known of it afterwards.

mod call;
mod live;

use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::State;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use latchkey_api::Api;
use latchkey_api::apps::{self, App, find, used_last};
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::explain::{Explain, Explanation, explain};
use latchkey_api::logs::{self, Record, RecordQuery};
use latchkey_api::models;
use latchkey_api::problem::Problem;
use latchkey_api::routing_groups::{self, RoutingGroupQuery};
use latchkey_core::attempt::AttemptEnd;
use latchkey_core::invalid::FieldError;
use serde::Deserialize;
use uuid::Uuid;

use crate::form::{Field, FieldKind, FormInput, HtmlForm, Posted};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::{html, unprocessable};
use call::{ChatCall, GatewayAnswer};

pub use live::live;

const APPS: i64 = 50;

/// How long a record is waited for: gateways ship them within a second.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Template)]
#[template(path = "admin/playground.html")]
struct PlaygroundPage {
    frame: Frame,
    form: HtmlForm,
    apps: Vec<App>,
    models: Vec<String>,
    gateway: String,
    outcome: Option<PlaygroundResult>,
}

/// What came of a call.
#[derive(Clone, Debug)]
struct PlaygroundResult {
    answer: GatewayAnswer,
    known: KnownRequest,
}

/// What is known of a request besides its answer.
#[derive(Clone, Debug, Template)]
#[template(path = "admin/playground_record.html")]
pub(super) struct KnownRequest {
    frame: Frame,
    record: Option<Record>,
    explanation: Option<Explanation>,
}

// The template escapes what it is given.
impl HtmlSafe for KnownRequest {}

const FIELDS: &[Field] = &[
    ("app", FieldKind::Aside),
    ("key", FieldKind::Aside),
    ("model", FieldKind::Text),
    ("message", FieldKind::Text),
    ("max_tokens", FieldKind::Number),
];

/// Which app to begin with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaygroundQuery {
    app: Option<Uuid>,
}

/// Which request to tell of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaygroundRecordQuery {
    request_id: String,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    Query(PlaygroundQuery { app }): Query<PlaygroundQuery>,
) -> Result<Response, Problem> {
    let form = HtmlForm::default().with("message", "Say hello in one sentence.").with("max_tokens", "200");
    let form = app.map_or(form.clone(), |app| form.with("app", app.to_string()));
    show(&visit, &api, form, None).await
}

/// Calls the gateway, and shows the whole answer.
pub async fn send(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let call = call(&api, &posted, false).await?;
        call.send(&api.gateway_url).await
    };
    match attempt.await {
        Ok(answer) => {
            let known = known(&posted.visit, &api, &answer.request_id).await?;
            show(&posted.visit, &api, posted.typed.form(), Some(PlaygroundResult { answer, known })).await
        }
        Err(problem) => Ok(unprocessable(show(&posted.visit, &api, posted.refused(problem)?, None).await?)),
    }
}

/// Tells what is known of a request, as a part of the page.
pub async fn record(
    visit: Visit,
    State(api): State<Api>,
    Query(PlaygroundRecordQuery { request_id }): Query<PlaygroundRecordQuery>,
) -> Result<Response, Problem> {
    html(&known(&visit, &api, &request_id).await?)
}

/// The call that a form asks for.
async fn call(api: &Api, posted: &Posted, streamed: bool) -> Result<ChatCall, Problem> {
    let typed: &FormInput = &posted.typed;
    let admin = posted.visit.admin()?;
    let asked = typed.read(FIELDS)?;
    let key = match (typed.text("key"), typed.text("app")) {
        ("", "") => return Err(refused("app", "choose an app, or paste a key below")),
        ("", app) => {
            let app = app.parse().map_err(|_| refused("app", "is not an app"))?;
            apps::value(admin, State(api.clone()), PathParams(app)).await?.0.value
        }
        (key, "") => key.to_owned(),
        _ => return Err(refused("key", "both an app and a key are given: clear one of them")),
    };
    ChatCall::new(key, asked, streamed)
}

fn refused(field: &str, why: &str) -> Problem {
    Problem::invalid(FieldError::new(field, why).into())
}

async fn known(visit: &Visit, api: &Api, request_id: &str) -> Result<KnownRequest, Problem> {
    let record = recorded(visit, api, request_id).await?;
    explained(visit, api, record).await
}

/// A record, and why its request was refused, where it was.
///
/// # Errors
/// The visitor may not see it.
pub(super) async fn explained(
    visit: &Visit,
    api: &Api,
    record: Option<Record>,
) -> Result<KnownRequest, Problem> {
    let frame = visit.frame("Playground");
    let (Some(log), true) = (&record, record.as_ref().is_some_and(|log| log.code.is_some())) else {
        return Ok(KnownRequest { frame, record, explanation: None });
    };
    let asked = Explain {
        key_id: log.key_id,
        model: log.model.clone(),
        endpoint: log.endpoint.clone(),
        address: log.client_address.as_ref().and_then(|address| address.parse().ok()),
        ..Explain::default()
    };
    let explanation = match log.app_id {
        Some(app) => {
            explain(visit.reader()?, State(api.clone()), PathParams(app), JsonBody(asked)).await.ok()
        }
        None => None,
    };
    Ok(KnownRequest { frame, record, explanation: explanation.map(|explained| explained.0) })
}

/// The record of a request, once its gateway has told of it.
async fn recorded(visit: &Visit, api: &Api, request_id: &str) -> Result<Option<Record>, Problem> {
    let now = api.world.now();
    let from = now.checked_sub(SignedDuration::from_mins(10)).unwrap_or(Timestamp::MIN);
    let query =
        RecordQuery { request_id: Some(request_id.to_owned()), from: Some(from), ..RecordQuery::default() };
    let begun = tokio::time::Instant::now();
    loop {
        let found = logs::list(visit.reader()?, State(api.clone()), Query(query.clone())).await?;
        if let Some(record) = found.items.into_iter().next() {
            return Ok(Some(record));
        }
        if request_id.is_empty() || begun.elapsed() > PATIENCE {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

async fn show(
    visit: &Visit,
    api: &Api,
    form: HtmlForm,
    outcome: Option<PlaygroundResult>,
) -> Result<Response, Problem> {
    visit.admin()?;
    let models = models(visit, api).await?;
    let apps = apps(api, &form).await?;
    let frame = visit.frame("Playground");
    html(&PlaygroundPage { frame, form, apps, models, gateway: api.gateway_url.to_string(), outcome })
}

/// The apps that were used last, and the one that is picked.
async fn apps(api: &Api, form: &HtmlForm) -> Result<Vec<App>, Problem> {
    let mut apps = used_last(api, APPS).await?;
    if let Ok(picked) = form.value("app").parse::<Uuid>()
        && apps.iter().all(|app| app.id != picked)
    {
        apps.push(find(api, picked).await?);
    }
    Ok(apps)
}

/// What can be asked for as the model: models and routing groups.
async fn models(visit: &Visit, api: &Api) -> Result<Vec<String>, Problem> {
    let listed = models::list(visit.reader()?, State(api.clone())).await?;
    let query = Query(RoutingGroupQuery::default());
    let groups = routing_groups::list(visit.reader()?, State(api.clone()), query).await?;
    let mut names: Vec<_> = listed.items.into_iter().map(|model| model.name.to_string()).collect();
    names.extend(groups.items.into_iter().map(|group| group.name.to_string()));
    names.sort();
    names.dedup();
    Ok(names)
}
