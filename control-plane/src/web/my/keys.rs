//! One's own named keys.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Standing;
use serde::Deserialize;
use uuid::Uuid;

use super::apps::{ValuePage, read, snippets};
use crate::api::Api;
use crate::api::activity::Active;
use crate::api::apps::{Rotate, Rotated};
use crate::api::body::{Body, OptionalBody, Path};
use crate::api::keys::KeyView;
use crate::api::my_apps::MyAppDetails;
use crate::api::my_keys;
use crate::api::problem::Problem;
use crate::web::form::app::ROTATE;
use crate::web::form::{Field, Form, Kind, Posted};
use crate::web::format::{self, plural, propagated};
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;
use crate::web::limits::{Line, Meter, meters_with_periods, of_a_request};

const NEW: &[Field] = &[("name", Kind::Text), ("expires_in", Kind::Optional)];
const NAME: &[Field] = &[("name", Kind::Text)];

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
    ("0", "not at all: it stops at once"),
    ("3600", "1 hour"),
    ("86400", "1 day"),
    ("604800", "7 days"),
    ("2592000", "30 days"),
];

#[derive(Template)]
#[template(path = "my/key_new.html")]
struct NewKeyPage {
    frame: Frame,
    app: MyAppDetails,
    lifetimes: Vec<(&'static str, String)>,
    form: Form,
}

#[derive(Template)]
#[template(path = "my/key.html")]
struct KeyPage {
    frame: Frame,
    app: MyAppDetails,
    key: Active<KeyView>,
    meters: Vec<Meter>,
    /// What one request may hold.
    lines: Vec<Line>,
    graces: &'static [(&'static str, &'static str)],
    form: Form,
}

/// A key whose value was just made.
#[derive(Deserialize)]
struct Secret {
    id: Uuid,
    name: String,
    value: String,
}

/// Asks for a new one.
pub async fn new(visit: Visit, State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    ask(&visit, &api, id, Form::default()).await
}

/// Creates it, and shows its value, once.
pub async fn create(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let attempt = async {
        let creation = posted.creation(NEW, Body)?;
        let person = posted.visit.person();
        my_keys::create(person, State(api.clone()), Path(id), creation).await?.told()
    };
    match attempt.await {
        Ok(Secret { id: key, name, value }) => {
            let title = format!("{name} is created");
            show_value(&posted.visit, &api, (id, key), title, value, String::new()).await
        }
        Err(problem) => {
            let page = ask(&posted.visit, &api, id, posted.refused(problem)?).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Shows one.
pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
) -> Result<Response, Problem> {
    show(&visit, &api, ids, None).await
}

/// Renames it.
pub async fn rename(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let renamed = async {
        let edit = Body(posted.typed.read(NAME)?);
        my_keys::update(posted.visit.person(), State(api.clone()), Path(ids), edit).await
    };
    match renamed.await {
        Ok(_) => Ok(done(&path(ids), "Renamed.")),
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

/// Replaces its value, and shows the new one.
pub async fn rotate(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let rotated = async {
        let rotate = posted.creation::<Rotate, _>(ROTATE, OptionalBody)?;
        my_keys::rotate(posted.visit.person(), State(api.clone()), Path(ids), rotate).await?.told()
    };
    let rotated: Rotated<Secret> = match rotated.await {
        Ok(rotated) => rotated,
        Err(problem) => return again(&posted, &api, ids, problem).await,
    };
    let grace = posted.typed.text("grace_seconds");
    let old = match GRACES.iter().find(|(seconds, _)| *seconds == grace && grace != "0") {
        Some((_, words)) => format!("still works for {words}"),
        None => "is refused".to_owned(),
    };
    let how_far = propagated(&rotated.propagation);
    let note = format!("It works {how_far}; the old value {old}.");
    let Secret { id, name, value } = rotated.key;
    let title = format!("{name} is rotated");
    show_value(&posted.visit, &api, (ids.0, id), title, value, note).await
}

/// Revokes it for good.
pub async fn revoke(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    match my_keys::revoke(posted.visit.person(), State(api.clone()), Path(ids)).await {
        Ok(revoked) => {
            let (name, how_far) = (revoked.item.name.as_str(), propagated(&revoked.propagation));
            Ok(done(&format!("/apps/{}", ids.0), &format!("“{name}” is revoked {how_far}.")))
        }
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

/// Shows its value again.
pub async fn value(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let (visit, state) = (&posted.visit, State(api.clone()));
    let key = my_keys::read(visit.person(), state.clone(), Path(ids)).await?.0.item;
    match my_keys::value(visit.person(), state, Path(ids)).await {
        Ok(value) => {
            let title = format!("The value of {}", key.name.as_str());
            show_value(visit, &api, (ids.0, ids.1), title, value.0.value, String::new()).await
        }
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

fn path((app, key): (Uuid, Uuid)) -> String {
    format!("/apps/{app}/keys/{key}")
}

async fn ask(visit: &Visit, api: &Api, id: Uuid, form: Form) -> Result<Response, Problem> {
    let app = read(visit, api, id).await?;
    let longest = app.longest_key_lifetime_days;
    let open = match longest {
        Some(days) => format!("As long as this app lets it: {}", plural(days, "day")),
        None => "Never expires".to_owned(),
    };
    let fit = LIFETIMES.into_iter().filter(|(_, days, _)| longest.is_none_or(|longest| *days <= longest));
    let lifetimes = std::iter::once(("", open)).chain(fit.map(|(word, _, words)| (word, words.to_owned())));
    let frame = visit.frame(format!("New key for {}", app.app.name.as_str()));
    html(&NewKeyPage { frame, lifetimes: lifetimes.collect(), app, form })
}

async fn show(
    visit: &Visit,
    api: &Api,
    (id, key): (Uuid, Uuid),
    form: Option<Form>,
) -> Result<Response, Problem> {
    let app = read(visit, api, id).await?;
    let key = my_keys::read(visit.person(), State(api.clone()), Path((id, key))).await?.0;
    let limits = key.item.limits.as_ref().unwrap_or(&app.named_key_limits);
    html(&KeyPage {
        frame: visit.frame(format!("{}: {}", app.app.name.as_str(), key.item.name.as_str())),
        meters: meters_with_periods(limits, &key.usage),
        lines: of_a_request(limits),
        graces: &GRACES,
        form: form.unwrap_or_else(|| Form::default().with("name", key.item.name.as_str())),
        app,
        key,
    })
}

async fn again(posted: &Posted, api: &Api, ids: (Uuid, Uuid), problem: Problem) -> Result<Response, Problem> {
    let form = posted.refused(problem)?;
    let page = show(&posted.visit, api, ids, Some(form)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
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
        "Copy it now: it is shown here, and then no more."
    };
    let note = format!("{again} {note}");
    html(&ValuePage { frame: visit.frame(title), app, note, value, snippets, next })
}
