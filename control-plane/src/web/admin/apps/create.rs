//! The Create API Key dialog.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use uuid::Uuid;

use super::{fields, secret};
use crate::api::Api;
use crate::api::apps;
use crate::api::body::{Body, Path};
use crate::api::problem::Problem;
use crate::web::admin::named;
use crate::web::form::{Form, Posted};
use crate::web::frame::{Frame, Visit};
use crate::web::html;

#[derive(Template)]
#[template(path = "admin/app_new.html")]
struct NewAppPage {
    frame: Frame,
    form: Form,
    providers: Vec<String>,
    mcp_servers: Vec<String>,
}

/// Asks for a new one.
pub async fn new(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    visit.admin()?;
    let providers = named::providers(&visit, &api).await?;
    let mcp_servers = named::servers(&visit, &api).await?;
    let form = Form::default()
        .with("mode", "shared")
        .with("expires_in", "never")
        .with("alert_thresholds", "50, 80, 100")
        .with("time_zone", "UTC")
        .with("limits.budget.per", "month")
        .with("limits.token_budget.per", "month")
        .with("allowed_providers", providers.join(", "));
    html(&NewAppPage { frame: visit.frame("Create API key"), form, providers, mcp_servers })
}

/// Creates it, and shows its key.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let attempt = async {
        let creation = posted.creation(&fields::new(&posted.typed), Body)?;
        apps::create(admin, State(api.clone()), creation).await?.told::<Value>()
    };
    let made = match attempt.await {
        Ok(made) => made,
        Err(problem) => {
            let form = posted.refused(problem)?;
            let providers = named::providers(&posted.visit, &api).await?;
            let mcp_servers = named::servers(&posted.visit, &api).await?;
            let page = html(&NewAppPage {
                frame: posted.visit.frame("Create API key"),
                form,
                providers,
                mcp_servers,
            })?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let id: Uuid = serde_json::from_value(made["id"].clone()).map_err(|_| Problem::internal())?;
    let value = made["key"]["value"].as_str().unwrap_or_default().to_owned();
    let app = apps::read(posted.visit.reader()?, State(api.clone()), Path(id)).await?.0.item;
    let propagation = serde_json::from_value(made["propagation"].clone()).ok();
    secret::app(&posted.visit, &api, &app, "API key created", value, propagation).await
}
