//! One's own named keys.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::activity::Active;
use latchkey_api::apps::{Created, Rotate, Rotated, Switched};
use latchkey_api::body::{JsonBody, OptionalJsonBody, PathParams};
use latchkey_api::keys::KeyView;
use latchkey_api::my_apps::MyAppDetails;
use latchkey_api::my_keys;
use latchkey_api::precondition::Tagged;
use latchkey_api::problem::Problem;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Standing;
use uuid::Uuid;

use super::apps::{ValuePage, read, snippets};
use crate::form::app::ROTATE;
use crate::form::{Field, FieldKind, HtmlForm, IF_MATCH, Posted};
use crate::format::{self, plural, propagated};
use crate::frame::{Frame, Visit, done};
use crate::limits::{Line, Meter, meters_with_periods, of_a_request};
use crate::{html, unprocessable};

const NEW: &[Field] = &[("name", FieldKind::Text), ("expires_in", FieldKind::Optional)];
const NAME: &[Field] = &[("name", FieldKind::Text)];

/// How long a new key may last: the API's word, its days, and what people read.
const LIFETIMES: [(&str, u32, &str); 5] = [
    ("30d", 30, "30 days"),
    ("60d", 60, "60 days"),
    ("90d", 90, "90 days"),
    ("180d", 180, "180 days"),
    ("1y", 365, "1 year"),
];

/// How long an old value works after a rotation, in seconds.
const GRACES: [(&str, &str); 5] = [
    ("0", "Stop right away"),
    ("3600", "1 hour"),
    ("86400", "1 day"),
    ("604800", "7 days"),
    ("2592000", "30 days"),
];

#[derive(Template)]
#[template(path = "my/key_new.html")]
struct NewMyKeyPage {
    frame: Frame,
    app: MyAppDetails,
    lifetimes: Vec<(&'static str, String)>,
    form: HtmlForm,
}

#[derive(Template)]
#[template(path = "my/key.html")]
struct MyKeyPage {
    frame: Frame,
    app: MyAppDetails,
    key: Active<KeyView>,
    meters: Vec<Meter>,
    /// What one request may hold.
    lines: Vec<Line>,
    graces: &'static [(&'static str, &'static str)],
    form: HtmlForm,
}

pub async fn new(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    ask(&visit, &api, id, HtmlForm::default()).await
}

/// Creates it, and shows its value, once.
pub async fn create(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let attempt = async {
        let creation = posted.creation(NEW, JsonBody)?;
        let person = posted.visit.person();
        my_keys::create(person, State(api.clone()), PathParams(id), creation).await?.into_made()
    };
    match attempt.await {
        Ok(Created { item: key, .. }) => {
            let title = format!("{} created", key.name);
            let value = key.value.unwrap_or_default();
            show_value(&posted.visit, &api, (id, key.id), title, value, String::new()).await
        }
        Err(problem) => Ok(unprocessable(ask(&posted.visit, &api, id, posted.refused(problem)?).await?)),
    }
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
) -> Result<Response, Problem> {
    show(&visit, &api, ids, None).await
}

pub async fn rename(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let renamed = async {
        let edit = JsonBody(posted.typed.read(NAME)?);
        let if_match = posted.if_match();
        my_keys::update(posted.visit.person(), State(api.clone()), PathParams(ids), if_match, edit).await
    };
    let again = |form| show(&posted.visit, &api, ids, Some(form));
    posted.answer(renamed.await, |_| done(&path(ids), "Renamed."), again).await
}

/// Replaces its value, and shows the new one.
pub async fn rotate(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let rotated = async {
        let rotate = posted.creation::<Rotate, _>(ROTATE, OptionalJsonBody)?;
        my_keys::rotate(posted.visit.person(), State(api.clone()), PathParams(ids), rotate).await?.into_made()
    };
    let Rotated { key, propagation } = match rotated.await {
        Ok(rotated) => rotated,
        Err(problem) => return again(&posted, &api, ids, problem).await,
    };
    let grace = posted.typed.text("grace_seconds");
    let old = match GRACES.iter().find(|(seconds, _)| *seconds == grace && grace != "0") {
        Some((_, words)) => format!("keeps working for {words}"),
        None => "is refused".to_owned(),
    };
    let how_far = propagated(&propagation);
    let note = format!("The new value works {how_far}; the old value {old}.");
    let title = format!("{} rotated", key.name);
    show_value(&posted.visit, &api, ids, title, key.value.unwrap_or_default(), note).await
}

pub async fn revoke(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let revoked = my_keys::revoke(posted.visit.person(), State(api.clone()), PathParams(ids)).await;
    // Also keys of apps that one no longer sees can be revoked.
    let sees_app = read(&posted.visit, &api, ids.0).await.is_ok();
    let done = |Json(revoked): Json<Switched<KeyView>>| {
        let (name, how_far) = (revoked.item.name.as_str(), propagated(&revoked.propagation));
        let to = if sees_app { format!("/apps/{}", ids.0) } else { "/apps".to_owned() };
        done(&to, &format!("“{name}” revoked {how_far}."))
    };
    posted.answer(revoked, done, |form| show(&posted.visit, &api, ids, Some(form))).await
}

pub async fn value(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let (visit, state) = (&posted.visit, State(api.clone()));
    let key = my_keys::read(visit.person(), state.clone(), PathParams(ids)).await?.0.item;
    match my_keys::value(visit.person(), state, PathParams(ids)).await {
        Ok(value) => {
            let title = format!("Value of {}", key.name.as_str());
            show_value(visit, &api, (ids.0, ids.1), title, value.0.value, String::new()).await
        }
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

fn path((app, key): (Uuid, Uuid)) -> String {
    format!("/apps/{app}/keys/{key}")
}

async fn ask(visit: &Visit, api: &Api, id: Uuid, form: HtmlForm) -> Result<Response, Problem> {
    let app = read(visit, api, id).await?;
    let longest = app.longest_key_lifetime_days;
    let open = match longest {
        Some(days) => format!("Maximum: {}", plural(days, "day")),
        None => "Never expires".to_owned(),
    };
    let fit = LIFETIMES.into_iter().filter(|(_, days, _)| longest.is_none_or(|longest| *days <= longest));
    let lifetimes = std::iter::once(("", open)).chain(fit.map(|(word, _, words)| (word, words.to_owned())));
    let frame = visit.frame(format!("Create key for {}", app.app.name.as_str()));
    html(&NewMyKeyPage { frame, lifetimes: lifetimes.collect(), app, form })
}

async fn show(
    visit: &Visit,
    api: &Api,
    (id, key): (Uuid, Uuid),
    form: Option<HtmlForm>,
) -> Result<Response, Problem> {
    let app = read(visit, api, id).await?;
    let Tagged(key, tag) = my_keys::read(visit.person(), State(api.clone()), PathParams((id, key))).await?;
    let now = HtmlForm::default().with("name", key.item.name.as_str()).with(IF_MATCH, tag.as_str());
    let form = match form {
        Some(form) if form.has("name") => form.on_top_of(&now),
        Some(form) => form.clone().beside(now, ROTATE).wrong_as(form),
        None => now,
    };
    let limits = key.item.limits.as_ref().unwrap_or(&app.named_key_limits);
    html(&MyKeyPage {
        frame: visit.frame(format!("{}: {}", app.app.name.as_str(), key.item.name.as_str())),
        meters: meters_with_periods(limits, &key.usage),
        lines: of_a_request(limits),
        graces: &GRACES,
        form,
        app,
        key,
    })
}

async fn again(posted: &Posted, api: &Api, ids: (Uuid, Uuid), problem: Problem) -> Result<Response, Problem> {
    let form = posted.refused(problem)?;
    let page = show(&posted.visit, api, ids, Some(form)).await?;
    Ok(unprocessable(page))
}

async fn show_value(
    visit: &Visit,
    api: &Api,
    (app, key): (Uuid, Uuid),
    title: String,
    value: String,
    note: String,
) -> Result<Response, Problem> {
    let next = format!("/apps/{app}/keys/{key}");
    let app = read(visit, api, app).await?;
    let snippets = snippets(api, &app, Some(&value));
    let again = if app.values_visible {
        "You can see it again on the key's page."
    } else {
        "Copy it now. You won't be able to see it again."
    };
    let note = format!("{again} {note}");
    html(&ValuePage { frame: visit.frame(title), app, note, value, snippets, next })
}
