//! A key's value, shown where it was just made, and which gateways know it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use latchkey_api::apps::{self, AppView};
use latchkey_api::body::PathParams;
use latchkey_api::problem::Problem;
use latchkey_api::{Api, models};
use latchkey_service::gateways::propagation::Propagation;
use uuid::Uuid;

use super::tabs::Tabs;
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::snippets::Snippets;

#[derive(Template)]
#[template(path = "admin/app_secret.html")]
struct SecretPage {
    frame: Frame,
    tabs: Tabs,
    heading: &'static str,
    /// Where the key's own page is.
    to: String,
    value: String,
    keeps: bool,
    /// Missing where the gateway refuses this key alone.
    snippets: Option<Snippets>,
    propagation: Option<Propagation>,
}

#[derive(Template)]
#[template(path = "admin/app_gateways.html")]
struct AppGatewaysPage {
    frame: Frame,
    tabs: Tabs,
    propagation: Option<Propagation>,
}

/// A secret that was replaced.
pub struct OldSecret {
    /// Until when it works; none where it has stopped.
    pub until: Option<Timestamp>,
    /// When it was last sent since.
    pub sent_at: Option<Timestamp>,
    /// The page of the requests that came with one.
    pub logs: String,
}

impl OldSecret {
    /// Of the key `id` of an app, where it was rotated: when that was, when its old secret stops, and when
    /// one was last sent.
    pub fn of(
        (app, id): (Uuid, Uuid),
        (rotated_at, stops_at, sent_at): (Option<Timestamp>, Option<Timestamp>, Option<Timestamp>),
        now: Timestamp,
    ) -> Option<Self> {
        let rotated_at = rotated_at?;
        Some(Self {
            until: stops_at.filter(|at| *at > now),
            sent_at: sent_at.filter(|at| *at >= rotated_at),
            logs: format!("/admin/apps/{app}/logs?key_id={id}&old_secret=true"),
        })
    }
}

/// Shows the value of an app's key, once.
pub async fn app(
    visit: &Visit,
    api: &Api,
    app: &AppView,
    heading: &'static str,
    value: String,
    propagation: Option<Propagation>,
) -> Result<Response, Problem> {
    let (tabs, to) = (Tabs::of(app, ""), format!("/admin/apps/{}", app.id));
    let snippets = if tabs.named { None } else { Some(snippets(visit, api, app, &value).await?) };
    let keeps = app.keep_key_values;
    html(&SecretPage { frame: visit.frame(heading), tabs, heading, to, value, keeps, snippets, propagation })
}

/// Shows the value of a named key, whose page is at `to`, once.
pub async fn named(
    visit: &Visit,
    api: &Api,
    app: &AppView,
    heading: &'static str,
    to: &str,
    value: String,
    propagation: Option<Propagation>,
) -> Result<Response, Problem> {
    let snippets = Some(snippets(visit, api, app, &value).await?);
    let (tabs, keeps, to) = (Tabs::of(app, ""), app.keep_key_values, to.to_owned());
    html(&SecretPage { frame: visit.frame(heading), tabs, heading, to, value, keeps, snippets, propagation })
}

/// Says which gateways have applied the app and its key as they are now.
pub async fn gateways(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    let app = super::app(&visit, &api, id).await?;
    let propagation = Some(apps::propagation(visit.reader()?, State(api), PathParams(id)).await?.0);
    let frame = visit.frame(format!("{}: gateways", app.name));
    html(&AppGatewaysPage { frame, tabs: Tabs::of(&app, ""), propagation })
}

/// With a model that the app may call, if there is any.
async fn snippets(visit: &Visit, api: &Api, app: &AppView, value: &str) -> Result<Snippets, Problem> {
    let models = models::list(visit.reader()?, State(api.clone())).await?.items;
    let callable = |model: &&models::ModelView| {
        model.enabled
            && app.allowed_models.holds(model.name.as_str())
            && app.allowed_providers.holds(&model.provider)
    };
    let model = models.iter().find(callable).map(|model| model.name.as_str());
    Ok(Snippets::new(&api.gateway_url, Some(value), model))
}
