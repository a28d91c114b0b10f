//! One named key.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::activity::Active;
use latchkey_api::apps::AppView;
use latchkey_api::body::{JsonBody, PathParams};
use latchkey_api::keys::{self, KeyView};
use latchkey_api::precondition::Tagged;
use latchkey_api::problem::Problem;
use uuid::Uuid;

use super::{OWN_LIMITS, own_limits};
use crate::admin::apps::secret::OldSecret;
use crate::admin::apps::tabs::Tabs;
use crate::form::{Field, FieldKind, HtmlForm, IF_MATCH, Posted, expiry};
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
        let shown = match posted.typed.as_shown() {
            Some(shown) => shown,
            None => {
                let key = keys::read(posted.visit.reader()?, State(api.clone()), PathParams(ids)).await?.0;
                HtmlForm::of(&key.item)
            }
        };
        let edit = JsonBody(posted.typed.clone().over(shown).read(&fields)?);
        keys::update(admin, State(api.clone()), PathParams(ids), posted.if_match(), edit).await
    };
    let again = |form| show(&posted.visit, &api, ids, Some(form));
    posted.answer(saved.await, |_| done(&path(ids), "Saved."), again).await
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
    let page = show(&posted.visit, api, ids, Some(posted.refused(problem)?)).await?;
    Ok(unprocessable(page))
}

async fn show(
    visit: &Visit,
    api: &Api,
    ids: (Uuid, Uuid),
    form: Option<HtmlForm>,
) -> Result<Response, Problem> {
    let app: AppView = super::app(visit, api, ids.0).await?;
    let Tagged(key, tag) = keys::read(visit.reader()?, State(api.clone()), PathParams(ids)).await?;
    let own = if key.item.limits.is_some() { "true" } else { "" };
    let now = HtmlForm::of(&key.item).with("own_limits", own).with("expires_at", "");
    let now = now.with(IF_MATCH, tag.as_str());
    let form = match form {
        Some(form) if form.has("name") => form.on_top_of(&now),
        // An action's form holds none of these fields.
        Some(form) => now.wrong_as(form),
        None => now,
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
