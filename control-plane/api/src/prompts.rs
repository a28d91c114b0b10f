//! `/api/v1/apps/{id}/prompts`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_core::prompts::Prompt;
use latchkey_service::action::Refusal;
use latchkey_service::action::prompts::{
    LabelledVersion, NewPrompt, NewPromptVersion, PromptEdit, edit_prompts,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::apps::find;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams};
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::problem::Problem;

/// A prompt that an app keeps.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PromptView {
    /// By which texts refer to it, as `{{prompt:<name>}}`.
    pub name: String,
    /// The text of the newest version.
    pub text: String,
    /// The number of the newest version.
    pub version: u32,
    /// Versions by label.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub labels: BTreeMap<String, u32>,
    /// The versions that are kept, the newest first: at most 20.
    pub versions: Vec<PromptVersionView>,
}

/// A version of a prompt. It never changes.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PromptVersionView {
    /// From 1 on.
    pub version: u32,
    /// With variables as `{{name}}`.
    pub text: String,
    /// Its variables, which a request must give.
    pub variables: Vec<String>,
}

impl From<Prompt> for PromptView {
    fn from(prompt: Prompt) -> Self {
        let versions = prompt.versions().map(|(version, text)| PromptVersionView {
            version,
            text: text.to_owned(),
            variables: Prompt::variables(text),
        });
        let versions = versions.collect();
        let Prompt { name, text, version, older: _, labels } = prompt;
        Self { name, text, version, labels, versions }
    }
}

/// Lists the prompts that an app keeps, by name: all of them, at most 100.
#[utoipa::path(get, path = "/api/v1/apps/{id}/prompts", tag = "content", operation_id = "list_prompts",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ListPage<PromptView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<ListPage<PromptView>, Problem> {
    let prompts = find(&api, id).await?.settings.prompts;
    Ok(ListPage { items: prompts.into_iter().map(PromptView::from).collect(), next_cursor: None })
}

/// Adds a prompt to an app.
#[utoipa::path(post, path = "/api/v1/apps/{id}/prompts", tag = "content", operation_id = "create_prompt",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = NewPrompt,
    security(("token" = [])), responses((status = 201, body = PromptView), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    new: Creation<JsonBody<NewPrompt>>,
) -> Result<Answered<PromptView>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let name = new.name.clone();
        let saved = edit_prompts(tx, api.context(&actor), id, PromptEdit::Create(new)).await?;
        Ok(view(saved.app.settings.prompts, &name)?)
    })
    .await
}

/// Shows a prompt of an app.
#[utoipa::path(get, path = "/api/v1/apps/{id}/prompts/{name}", tag = "content", operation_id = "read_prompt",
    params(("id" = Uuid, Path), ("name" = String, Path)),
    security(("token" = [])), responses((status = 200, body = PromptView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
) -> Result<Json<PromptView>, Problem> {
    Ok(Json(view(find(&api, id).await?.settings.prompts, &name)?))
}

/// Removes a prompt of an app with all its versions; versions of the app keep it. Requests that refer to it are
/// refused from then on.
#[utoipa::path(delete, path = "/api/v1/apps/{id}/prompts/{name}", tag = "content", operation_id = "delete_prompt",
    params(("id" = Uuid, Path), ("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    edit_prompts(&mut tx, api.context(&actor), id, PromptEdit::Delete(name)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a version to a prompt. Where it has 20, the oldest without a label goes.
#[utoipa::path(post, path = "/api/v1/apps/{id}/prompts/{name}/versions", tag = "content",
    operation_id = "create_prompt_version",
    params(("id" = Uuid, Path), ("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = NewPromptVersion,
    security(("token" = [])), responses((status = 201, body = PromptView), (status = "4XX", body = Problem)))]
pub async fn create_version(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
    new: Creation<JsonBody<NewPromptVersion>>,
) -> Result<Answered<PromptView>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let edit = PromptEdit::AddVersion { name: name.clone(), new };
        let saved = edit_prompts(tx, api.context(&actor), id, edit).await?;
        Ok(view(saved.app.settings.prompts, &name)?)
    })
    .await
}

/// Sets a label of a prompt to one of its versions.
#[utoipa::path(put, path = "/api/v1/apps/{id}/prompts/{name}/labels/{label}", tag = "content",
    operation_id = "set_prompt_label",
    params(("id" = Uuid, Path), ("name" = String, Path), ("label" = String, Path)),
    request_body = LabelledVersion,
    security(("token" = [])), responses((status = 200, body = PromptView), (status = "4XX", body = Problem)))]
pub async fn set_label(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, name, label)): PathParams<(Uuid, String, String)>,
    JsonBody(LabelledVersion { version }): JsonBody<LabelledVersion>,
) -> Result<Json<PromptView>, Problem> {
    let mut tx = api.store.begin().await?;
    let edit = PromptEdit::SetLabel { name: name.clone(), label, version };
    let saved = edit_prompts(&mut tx, api.context(&actor), id, edit).await?;
    tx.commit().await?;
    Ok(Json(view(saved.app.settings.prompts, &name)?))
}

/// Removes a label of a prompt. Requests that refer to the label are refused from then on.
#[utoipa::path(delete, path = "/api/v1/apps/{id}/prompts/{name}/labels/{label}", tag = "content",
    operation_id = "delete_prompt_label",
    params(("id" = Uuid, Path), ("name" = String, Path), ("label" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_label(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, name, label)): PathParams<(Uuid, String, String)>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    edit_prompts(&mut tx, api.context(&actor), id, PromptEdit::RemoveLabel { name, label }).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(prompts: Vec<Prompt>, name: &str) -> Result<PromptView, Refusal> {
    let prompt = prompts.into_iter().find(|prompt| prompt.name == name);
    prompt.map(PromptView::from).ok_or(Refusal::NotFound("prompt"))
}
