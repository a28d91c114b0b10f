//! The Create API Key dialog.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::apps::{self, Created};
use latchkey_api::body::JsonBody;
use latchkey_api::problem::Problem;
use latchkey_api::upstreams::{McpProtocol, ModelProtocol};

use super::{fields, secret};
use crate::admin::{filters, routing_groups};
use crate::form::{HtmlForm, Posted};
use crate::frame::{Frame, Visit};
use crate::{html, unprocessable};

#[derive(Template)]
#[template(path = "admin/app_new.html")]
struct NewAppPage {
    frame: Frame,
    form: HtmlForm,
    providers: Vec<String>,
    mcp_servers: Vec<String>,
    routing_groups: Vec<String>,
}

pub async fn new(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    visit.admin()?;
    let form = HtmlForm::default()
        .with("mode", "shared")
        .with("expires_in", "never")
        .with("alert_thresholds", "50, 80, 100")
        .with("time_zone", "UTC")
        .with("limits.budget.per", "month")
        .with("limits.token_budget.per", "month")
        .with("routing_groups", "none")
        .with("allowed_providers", filters::upstream_names::<ModelProtocol>(&visit, &api).await?.join(", "));
    ask(&visit, &api, form).await
}

/// Creates it, and shows its key.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let attempt = async {
        let creation = posted.creation(&fields::new(&posted.typed), JsonBody)?;
        apps::create(admin, State(api.clone()), creation).await?.into_made()
    };
    match attempt.await {
        Ok(Created { item: app, propagation }) => {
            let value = app.key.as_ref().and_then(|key| key.value.clone()).unwrap_or_default();
            secret::app(&posted.visit, &api, &app, "API key created", value, Some(propagation)).await
        }
        Err(problem) => Ok(unprocessable(ask(&posted.visit, &api, posted.refused(problem)?).await?)),
    }
}

async fn ask(visit: &Visit, api: &Api, form: HtmlForm) -> Result<Response, Problem> {
    let providers = filters::upstream_names::<ModelProtocol>(visit, api).await?;
    let mcp_servers = filters::upstream_names::<McpProtocol>(visit, api).await?;
    let routing_groups = routing_groups::names(visit, api).await?;
    let frame = visit.frame("Create API key");
    html(&NewAppPage { frame, form, providers, mcp_servers, routing_groups })
}
