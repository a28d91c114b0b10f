//! Webhooks, what they were sent, and what came of it.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use latchkey_api::Api;
use latchkey_api::body::{JsonBody, OptionalJsonBody, PathParams, Query};
use latchkey_api::email::{self, EmailStatus};
use latchkey_api::precondition::Tagged;
use latchkey_api::problem::Problem;
use latchkey_api::webhooks::deliveries::{self, DeliveryDetails, DeliveryQuery, DeliveryState, DeliveryView};
use latchkey_api::webhooks::{self, WebhookView};
use latchkey_core::event::{KINDS, TEST};
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::selection::Selection;
use uuid::Uuid;

use super::filters;
use crate::form::{Field, FieldKind, FormInput, HtmlForm, IF_MATCH, Posted};
use crate::format::{self, plural};
use crate::frame::{Frame, Visit, done};
use crate::list::{Filter, PaginatedList};
use crate::{html, unprocessable};

const NEW: &[Field] = &[
    ("name", FieldKind::Text),
    ("format", FieldKind::Text),
    ("url", FieldKind::Text),
    ("events", FieldKind::List),
    ("apps", FieldKind::Selection),
];

const EDIT: &[Field] = &[
    ("name", FieldKind::Text),
    ("events", FieldKind::List),
    ("apps", FieldKind::Selection),
    ("enabled", FieldKind::Flag),
];

/// The same with a new URL. The one that is there is not shown whole, so an empty field leaves it.
const EDIT_WITH_URL: &[Field] = &[EDIT[0], EDIT[1], EDIT[2], EDIT[3], ("url", FieldKind::Text)];

const ROTATE: &[Field] = &[("grace_seconds", FieldKind::Number)];

const REPLAY: &[Field] =
    &[("from", FieldKind::Text), ("to", FieldKind::Text), ("types", FieldKind::OptionalList)];

const FORMATS: &[(&str, &str)] = &[
    ("standard", "Standard Webhooks: signed JSON, for programs"),
    ("slack", "Slack: an incoming webhook's URL"),
    ("teams", "Microsoft Teams: a workflow's URL"),
];

const GRACES: &[(&str, &str)] = &[
    ("86400", "1 day"),
    ("3600", "1 hour"),
    ("604800", "7 days"),
    ("2592000", "30 days"),
    ("0", "Stop right away"),
];

const STATES: &[(&str, &str)] =
    &[("", "any"), ("pending", "pending"), ("delivered", "delivered"), ("failed", "failed")];

#[derive(Template)]
#[template(path = "admin/webhooks.html")]
struct WebhooksPage {
    frame: Frame,
    list: PaginatedList<WebhookView>,
    email: EmailStatus,
}

#[derive(Template)]
#[template(path = "admin/webhook_new.html")]
struct NewWebhookPage {
    frame: Frame,
    form: HtmlForm,
    kinds: &'static [&'static str],
}

#[derive(Template)]
#[template(path = "admin/webhook.html")]
struct WebhookPage {
    frame: Frame,
    webhook: WebhookView,
    form: HtmlForm,
    kinds: &'static [&'static str],
    list: PaginatedList<DeliveryView>,
    /// What the list of deliveries may be filtered by.
    types: Vec<(&'static str, &'static str)>,
}

/// A webhook whose secret was just made: it is shown here, once.
#[derive(Template)]
#[template(path = "admin/webhook_secret.html")]
struct SecretPage {
    frame: Frame,
    webhook: WebhookView,
    secret: String,
}

#[derive(Template)]
#[template(path = "admin/delivery.html")]
struct DeliveryPage {
    frame: Frame,
    webhook: WebhookView,
    details: DeliveryDetails,
    body: String,
}

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/webhooks", get(list).post(create))
        .route("/admin/webhooks/email/test", post(test_email))
        .route("/admin/webhooks/new", get(new))
        .route("/admin/webhooks/{id}", get(page).post(update))
        .route("/admin/webhooks/{id}/delete", post(delete))
        .route("/admin/webhooks/{id}/rotate-secret", post(rotate))
        .route("/admin/webhooks/{id}/test", post(test))
        .route("/admin/webhooks/{id}/replay", post(replay))
        .route("/admin/webhooks/{id}/deliveries/{delivery}", get(delivery))
        .route("/admin/webhooks/{id}/deliveries/{delivery}/replay", post(replay_one))
}

async fn list(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let list = webhooks::list(visit.admin()?, State(api.clone())).await?;
    let list = PaginatedList::new("/admin/webhooks", &[], list);
    let email = email::status(visit.admin()?, State(api)).await?.0;
    html(&WebhooksPage { frame: visit.frame("Webhooks"), list, email })
}

/// Sends a test by email to whoever asks.
async fn test_email(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    posted.visit.admin()?;
    let _sent = email::test(posted.visit.person(), State(api)).await?;
    Ok(done("/admin/webhooks", "Test email queued. Reload the page to see the result."))
}

async fn new(visit: Visit) -> Result<Response, Problem> {
    visit.admin()?;
    ask(&visit, HtmlForm::default().with("format", "standard").with("events", "*"))
}

async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let created = async {
        let typed = with_apps(&posted.visit, &api, &posted.typed).await?;
        let creation = Posted { typed, ..posted.clone() }.creation(NEW, JsonBody)?;
        webhooks::create(posted.visit.admin()?, State(api.clone()), creation).await?.into_made()
    };
    match created.await {
        Ok(webhook) => issued(&posted.visit, webhook, "Webhook created. Send a test to try it."),
        Err(problem) => Ok(unprocessable(ask(&posted.visit, posted.refused(problem)?)?)),
    }
}

async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Filter(query): Filter<DeliveryQuery>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, query, None).await
}

async fn update(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let edited = async {
        let admin = posted.visit.admin()?;
        let typed = with_apps(&posted.visit, &api, &posted.typed).await?;
        let fields = if typed.text("url").is_empty() { EDIT } else { EDIT_WITH_URL };
        let edit = JsonBody(typed.read(fields)?);
        webhooks::update(admin, State(api.clone()), PathParams(id), posted.if_match(), edit).await
    };
    answer(&posted, &api, id, edited.await, |_| done(&path(id), "Saved.")).await
}

async fn delete(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let deleted = webhooks::delete(posted.visit.admin()?, State(api.clone()), PathParams(id)).await;
    let done = |_| done("/admin/webhooks", "Webhook deleted.");
    answer(&posted, &api, id, deleted, done).await
}

/// Replaces its secret, and shows the new one.
async fn rotate(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let rotated = async {
        let rotate = posted.creation(ROTATE, OptionalJsonBody)?;
        webhooks::rotate_secret(posted.visit.admin()?, State(api.clone()), PathParams(id), rotate)
            .await?
            .into_made()
    };
    match rotated.await {
        Ok(webhook) => issued(&posted.visit, webhook, "Secret replaced."),
        Err(problem) => answer(&posted, &api, id, Err(problem), |()| done(&path(id), "")).await,
    }
}

async fn test(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let sent = deliveries::test(posted.visit.admin()?, State(api.clone()), PathParams(id)).await;
    let done = |_| done(&path(id), "Test queued. Reload the page to see the result.");
    answer(&posted, &api, id, sent, done).await
}

async fn replay(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let replayed = async {
        let admin = posted.visit.admin()?;
        let typed = filters::with_moments(&posted.visit, posted.typed.clone(), &["from", "to"])?;
        let which = JsonBody(typed.read(REPLAY)?);
        deliveries::replay(admin, State(api.clone()), PathParams(id), which).await
    };
    let done = |(_, axum::Json(replayed)): (_, axum::Json<deliveries::Replayed>)| {
        done(&path(id), &format!("{} queued.", plural(replayed.messages, "message")))
    };
    answer(&posted, &api, id, replayed.await, done).await
}

async fn delivery(
    visit: Visit,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, i64)>,
) -> Result<Response, Problem> {
    let webhook = webhooks::read(visit.admin()?, State(api.clone()), PathParams(ids.0)).await?.0;
    let details = deliveries::read(visit.admin()?, State(api.clone()), PathParams(ids)).await?.0;
    let body = serde_json::to_string_pretty(&details.body).unwrap_or_default();
    html(&DeliveryPage { frame: visit.frame(details.delivery.kind.clone()), webhook, details, body })
}

async fn replay_one(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, i64)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let (id, delivery) = ids;
    let replayed = deliveries::replay_one(posted.visit.admin()?, State(api.clone()), PathParams(ids)).await;
    let done = |_| {
        let what = "Message queued. Reload the page to see the result.";
        done(&format!("{}/deliveries/{delivery}", path(id)), what)
    };
    answer(&posted, &api, id, replayed, done).await
}

/// Answers a form of a webhook's page.
async fn answer<T>(
    posted: &Posted,
    api: &Api,
    id: Uuid,
    attempt: Result<T, Problem>,
    done: impl FnOnce(T) -> Response,
) -> Result<Response, Problem> {
    let again = |form| show(&posted.visit, api, id, DeliveryQuery::default(), Some(form));
    posted.answer(attempt, done, again).await
}

fn ask(visit: &Visit, form: HtmlForm) -> Result<Response, Problem> {
    html(&NewWebhookPage { frame: visit.frame("Create webhook"), form, kinds: &KINDS })
}

/// The page of a secret that was just made, or where there is none the webhook's own.
fn issued(visit: &Visit, webhook: WebhookView, what: &str) -> Result<Response, Problem> {
    match webhook.secret.clone() {
        Some(secret) => html(&SecretPage { frame: visit.frame(webhook.name.as_str()), webhook, secret }),
        None => Ok(done(&path(webhook.id), what)),
    }
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    query: DeliveryQuery,
    form: Option<HtmlForm>,
) -> Result<Response, Problem> {
    let Tagged(webhook, tag) = webhooks::read(visit.admin()?, State(api.clone()), PathParams(id)).await?;
    let now = filled(visit, api, &webhook).await?.with(IF_MATCH, tag.as_str());
    let state = query.state.map_or("", |state| state.as_str()).to_owned();
    let kind = query.kind.clone().unwrap_or_default();
    let deliveries =
        deliveries::list(visit.admin()?, State(api.clone()), PathParams(id), Query(query)).await?;
    let list = PaginatedList::new(&path(id), &[("state", &state), ("type", &kind)], deliveries);
    // A refused form may be one without these fields.
    let form = match form {
        Some(form) if form.has("name") => form.on_top_of(&now),
        Some(form) if form.has("from") => form.clone().beside(now, REPLAY).wrong_as(form),
        Some(form) => now.wrong_as(form),
        None => now,
    };
    let form = form.with("state", state).with("type", kind);
    let types = std::iter::once("").chain(std::iter::once(TEST)).chain(KINDS);
    let types = types.map(|kind| (kind, if kind.is_empty() { "any" } else { kind })).collect();
    html(&WebhookPage {
        frame: visit.frame(webhook.name.as_str()),
        webhook,
        form,
        kinds: &KINDS,
        list,
        types,
    })
}

/// The form of a webhook as it is: with the names of its apps, and without its URL.
async fn filled(visit: &Visit, api: &Api, webhook: &WebhookView) -> Result<HtmlForm, Problem> {
    let form = HtmlForm::of(webhook).with("url", "");
    let events = webhook.events.iter().map(|event| event.as_str()).collect::<Vec<_>>().join("\n");
    let form = form.with("events", events);
    let Selection::Only(ids) = &webhook.apps else { return Ok(form) };
    let mut names = Vec::new();
    for id in ids {
        let named = filters::app(visit, api, "apps", id).await?;
        names.push(named.map_or_else(|| id.clone(), |(_, name)| name));
    }
    // A name with a comma, or that another app has too, is not read again as it is.
    let names = match typed_again(visit, api, &names, ids).await {
        true => names,
        false => ids.clone(),
    };
    Ok(form.with("apps.only", names.join(", ")))
}

/// Whether names are read as these ids.
async fn typed_again(visit: &Visit, api: &Api, names: &[String], ids: &[String]) -> bool {
    for (name, id) in names.iter().zip(ids) {
        let read = filters::app(visit, api, "apps", name).await;
        if name.contains(',') || !matches!(read, Ok(Some((read, _))) if read == *id) {
            return false;
        }
    }
    true
}

/// What was typed, with ids in the place of the names of apps.
async fn with_apps(visit: &Visit, api: &Api, typed: &FormInput) -> Result<FormInput, Problem> {
    let mut wrong = Invalid::default();
    let mut ids = Vec::new();
    let listed = typed.text("apps.only").split(['\n', ',']).map(str::trim).filter(|name| !name.is_empty());
    for name in listed {
        match filters::app(visit, api, "apps", name).await {
            Ok(named) => ids.extend(named.map(|(id, _)| id)),
            Err(problem) if problem.errors.is_empty() => return Err(problem),
            Err(problem) => wrong.0.extend(
                problem
                    .errors
                    .into_iter()
                    .map(|error| FieldError::new("apps", format!("{name}: {}", error.message))),
            ),
        }
    }
    wrong.into_result().map_err(Problem::invalid)?;
    Ok(if ids.is_empty() { typed.clone() } else { typed.clone().with("apps.only", ids.join(",")) })
}

fn path(id: Uuid) -> String {
    format!("/admin/webhooks/{id}")
}

/// An answer's status and why it did not succeed, in words.
fn outcome(status: &Option<u64>, error: &Option<String>) -> String {
    match (status, error) {
        (_, Some(error)) => error.clone(),
        (Some(status), None) => format!("it responded with {status}"),
        (None, None) => String::new(),
    }
}
