//! One named key.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::activity::Active;
use latchkey_api::apps::AppView;
use latchkey_api::body::{JsonBody, PathParams};
use latchkey_api::keys::{self, KeyView};
use latchkey_api::problem::Problem;
use uuid::Uuid;

use super::{OWN_LIMITS, own_limits};
use crate::admin::apps::secret::OldSecret;
use crate::admin::apps::tabs::Tabs;
use crate::form::{Field, FieldKind, HtmlForm, Posted, expiry};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::limits::{Meter, meters};
use crate::{html, unprocessable};

#[derive(Template)]
#[template(path = "admin/key.html")]
struct KeyPage {
    frame: Frame,
    tabs: Tabs,
    path: String,
    key: Active<KeyView>,
    /// Whether values are kept, to be seen again.
    keeps: bool,
    old_secret: Option<OldSecret>,
    meters: Vec<Meter>,
    form: HtmlForm,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
) -> Result<Response, Problem> {
    show(&visit, &api, ids, None).await
}

pub async fn update(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let name: &[Field] = &[("name", FieldKind::Text), OWN_LIMITS];
    let fields = [name, own_limits(&posted.typed), expiry(&posted.typed)].concat();
    let admin = posted.visit.admin()?;
    let saved = async {
        let key = keys::read(posted.visit.reader()?, State(api.clone()), PathParams(ids)).await?.0;
        let edit = JsonBody(posted.typed.clone().over(HtmlForm::of(&key.item)).read(&fields)?);
        keys::update(admin, State(api.clone()), PathParams(ids), edit).await
    };
    match saved.await {
        Ok(_) => Ok(done(&path(ids), "Saved.")),
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

pub fn path((app, key): (Uuid, Uuid)) -> String {
    format!("/admin/apps/{app}/keys/{key}")
}

/// The page once more, with what was typed and why it was refused.
pub async fn again(
    posted: &Posted,
    api: &Api,
    ids: (Uuid, Uuid),
    problem: Problem,
) -> Result<Response, Problem> {
    let page = show(&posted.visit, api, ids, Some((posted, problem))).await?;
    Ok(unprocessable(page))
}

async fn show(
    visit: &Visit,
    api: &Api,
    ids: (Uuid, Uuid),
    refused: Option<(&Posted, Problem)>,
) -> Result<Response, Problem> {
    let app: AppView = super::app(visit, api, ids.0).await?;
    let key = keys::read(visit.reader()?, State(api.clone()), PathParams(ids)).await?.0;
    let own = if key.item.limits.is_some() { "true" } else { "" };
    let now = HtmlForm::of(&key.item).with("own_limits", own).with("expires_at", "");
    let form = match refused {
        None => now,
        // An action's form holds none of these fields.
        Some((posted, problem)) if !posted.typed.has("name") => now.refused(problem)?,
        Some((posted, problem)) => posted.refused(problem)?,
    };
    let moments = (key.item.rotated_at, key.item.old_secret_stops_at, key.old_secret_used_at);
    html(&KeyPage {
        frame: visit.frame(format!("{}: {}", app.name, key.item.name)),
        tabs: Tabs::of(&app, "keys"),
        path: path(ids),
        keeps: app.keep_key_values,
        old_secret: OldSecret::of(ids, moments, api.world.now()),
        meters: meters(&key.usage),
        key,
        form,
    })
}
