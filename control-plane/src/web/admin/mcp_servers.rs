//! MCP servers.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use latchkey_core::name::Slug;

use crate::api::Api;
use crate::api::body::{Body, Path};
use crate::api::mcp_servers::{self, McpServerView};
use crate::api::problem::Problem;
use crate::web::form::{Field, Form, Kind, Posted};
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;

const NEW: &[Field] = &[
    ("name", Kind::Text),
    ("url", Kind::Text),
    ("credential", Kind::Optional),
    ("cluster", Kind::Optional),
    ("enabled", Kind::Flag),
];
const EDIT: &[Field] = &[("url", Kind::Text), ("cluster", Kind::Optional), ("enabled", Kind::Flag)];
const CREDENTIAL: Field = ("credential", Kind::Optional);

#[derive(Template)]
#[template(path = "admin/mcp_servers.html")]
struct ServersPage {
    frame: Frame,
    servers: Vec<McpServerView>,
}

#[derive(Template)]
#[template(path = "admin/mcp_server_new.html")]
struct NewServerPage {
    frame: Frame,
    form: Form,
}

#[derive(Template)]
#[template(path = "admin/mcp_server.html")]
struct ServerPage {
    frame: Frame,
    server: McpServerView,
    /// Where clients find it.
    address: String,
    form: Form,
}

/// Lists them.
pub async fn list(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let servers = mcp_servers::list(visit.reader()?, State(api)).await?.items;
    html(&ServersPage { frame: visit.frame("MCP servers"), servers })
}

/// Asks for a new one.
pub async fn new(visit: Visit) -> Result<Response, Problem> {
    visit.admin()?;
    let form = Form::default().with("enabled", "true");
    html(&NewServerPage { frame: visit.frame("New MCP server"), form })
}

/// Creates it.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let admin = posted.visit.admin()?;
        let creation = posted.creation(NEW, Body)?;
        mcp_servers::create(admin, State(api), creation).await?.told::<serde_json::Value>()
    };
    match attempt.await {
        Ok(server) => {
            let name = server["name"].as_str().unwrap_or_default();
            Ok(done(
                &format!("/admin/mcp-servers/{name}"),
                "The MCP server is attached. Keys whose scope holds it can call it now.",
            ))
        }
        Err(problem) => {
            let form = posted.refused(problem)?;
            let page = html(&NewServerPage { frame: posted.visit.frame("New MCP server"), form })?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Shows one.
pub async fn page(visit: Visit, State(api): State<Api>, Path(name): Path<Slug>) -> Result<Response, Problem> {
    show(&visit, &api, name, None).await
}

/// Edits it. The credential is replaced where one was typed, and taken away where that was ticked.
pub async fn update(
    State(api): State<Api>,
    Path(name): Path<Slug>,
    posted: Posted,
) -> Result<Response, Problem> {
    let mut fields = EDIT.to_vec();
    match (posted.typed.text("credential").is_empty(), posted.typed.has("forget_credential")) {
        (true, false) => {}
        (true, true) => fields.extend([CREDENTIAL, ("forget_credential", Kind::Aside)]),
        (false, _) => fields.push(CREDENTIAL),
    }
    edit(&api, name, &posted, &fields, "Saved.").await
}

/// Switches it on or off.
pub async fn switch(
    State(api): State<Api>,
    Path(name): Path<Slug>,
    posted: Posted,
) -> Result<Response, Problem> {
    let what = match posted.typed.has("enabled") {
        true => "Enabled: it can be called.",
        false => "Disabled: it is no longer called.",
    };
    edit(&api, name, &posted, &[("enabled", Kind::Flag)], what).await
}

/// Deletes it.
pub async fn delete(
    State(api): State<Api>,
    Path(name): Path<Slug>,
    posted: Posted,
) -> Result<Response, Problem> {
    match mcp_servers::delete(posted.visit.admin()?, State(api.clone()), Path(name.clone())).await {
        Ok(_) => Ok(done("/admin/mcp-servers", "The MCP server is deleted.")),
        Err(problem) => again(&posted, &api, name, problem).await,
    }
}

async fn edit(
    api: &Api,
    name: Slug,
    posted: &Posted,
    fields: &[Field],
    what: &str,
) -> Result<Response, Problem> {
    let edited = async {
        let admin = posted.visit.admin()?;
        let edit = Body(posted.typed.read(fields)?);
        mcp_servers::update(admin, State(api.clone()), Path(name.clone()), edit).await
    };
    match edited.await {
        Ok(_) => Ok(done(&format!("/admin/mcp-servers/{}", name.as_str()), what)),
        Err(problem) => again(posted, api, name, problem).await,
    }
}

async fn again(posted: &Posted, api: &Api, name: Slug, problem: Problem) -> Result<Response, Problem> {
    let form = posted.refused(problem)?;
    let page = show(&posted.visit, api, name, Some(form)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn show(visit: &Visit, api: &Api, name: Slug, form: Option<Form>) -> Result<Response, Problem> {
    let state = State(api.clone());
    let server = mcp_servers::read(visit.reader()?, state, Path(name)).await?.0;
    let now = || match server.managed_cluster {
        true => Form::of(&server).with("cluster", ""),
        false => Form::of(&server),
    };
    // A refused form may be one without these fields.
    let form = match form {
        Some(form) if !form.value("url").is_empty() => form,
        Some(form) => now().wrong_as(form),
        None => now(),
    };
    let address = format!("{}/mcp/{}", api.gateway_url, server.name);
    html(&ServerPage { frame: visit.frame(server.name.as_str()), server, address, form })
}
