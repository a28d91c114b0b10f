//! Providers of models.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use latchkey_core::name::Slug;

use crate::api::body::{Body, Path};
use crate::api::models::ModelView;
use crate::api::problem::Problem;
use crate::api::providers::{self, ProviderView};
use crate::api::{Api, models};
use crate::web::form::{Field, Form, Kind, Posted};
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;

const NEW: &[Field] = &[
    ("name", Kind::Text),
    ("kind", Kind::Text),
    ("base_url", Kind::Text),
    ("credential", Kind::Optional),
    ("cluster", Kind::Optional),
    ("output_limit", Kind::Optional),
    ("stream_options", Kind::Choice),
    ("idle_timeout_seconds", Kind::Number),
    ("enabled", Kind::Flag),
];
const EDIT: &[Field] = &[
    ("kind", Kind::Text),
    ("base_url", Kind::Text),
    ("cluster", Kind::Optional),
    ("output_limit", Kind::Optional),
    ("stream_options", Kind::Choice),
    ("idle_timeout_seconds", Kind::Number),
    ("enabled", Kind::Flag),
];
const CREDENTIAL: Field = ("credential", Kind::Optional);

/// Under which name a limit of a chat's output is sent.
pub(super) const OUTPUT_LIMITS: &[(&str, &str)] =
    &[("", "Default"), ("max_tokens", "max_tokens"), ("max_completion_tokens", "max_completion_tokens")];

/// Whether the usage of streams is asked for.
pub(super) const STREAM_OPTIONS: &[(&str, &str)] =
    &[("", "Default"), ("true", "Supported"), ("false", "Not supported")];

const KINDS: &[(&str, &str)] = &[
    ("openai", "OpenAI"),
    ("azure_openai", "Azure OpenAI"),
    ("anthropic", "Anthropic"),
    ("openai_compatible", "anything that answers as OpenAI does"),
];

const IDLE_TIMEOUTS: &[(&str, &str)] = &[
    ("", "10 minutes, as the gateway is configured"),
    ("60", "1 minute"),
    ("300", "5 minutes"),
    ("600", "10 minutes"),
    ("1200", "20 minutes"),
    ("1800", "30 minutes"),
    ("3600", "1 hour"),
];

#[derive(Template)]
#[template(path = "admin/providers.html")]
struct ProvidersPage {
    frame: Frame,
    providers: Vec<ProviderView>,
}

#[derive(Template)]
#[template(path = "admin/provider_new.html")]
struct NewProviderPage {
    frame: Frame,
    form: Form,
}

#[derive(Template)]
#[template(path = "admin/provider.html")]
struct ProviderPage {
    frame: Frame,
    provider: ProviderView,
    models: Vec<ModelView>,
    form: Form,
}

/// Lists them.
pub async fn list(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let providers = providers::list(visit.reader()?, State(api)).await?.items;
    html(&ProvidersPage { frame: visit.frame("Providers"), providers })
}

/// Asks for a new one.
pub async fn new(visit: Visit) -> Result<Response, Problem> {
    visit.admin()?;
    let form = Form::default().with("base_url", "https://api.openai.com/v1").with("enabled", "true");
    html(&NewProviderPage { frame: visit.frame("New provider"), form })
}

/// Creates it.
pub async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async {
        let admin = posted.visit.admin()?;
        let creation = posted.creation(NEW, Body)?;
        providers::create(admin, State(api), creation).await?.told::<serde_json::Value>()
    };
    match attempt.await {
        Ok(provider) => {
            let name = provider["name"].as_str().unwrap_or_default();
            Ok(done(
                &format!("/admin/providers/{name}"),
                "The provider is created. Add the models that it offers.",
            ))
        }
        Err(problem) => {
            let form = posted.refused(problem)?;
            let page = html(&NewProviderPage { frame: posted.visit.frame("New provider"), form })?;
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
        true => "Enabled: its models can be called.",
        false => "Disabled: its models are no longer called.",
    };
    edit(&api, name, &posted, &[("enabled", Kind::Flag)], what).await
}

/// Deletes it.
pub async fn delete(
    State(api): State<Api>,
    Path(name): Path<Slug>,
    posted: Posted,
) -> Result<Response, Problem> {
    match providers::delete(posted.visit.admin()?, State(api.clone()), Path(name.clone())).await {
        Ok(_) => Ok(done("/admin/providers", "The provider is deleted.")),
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
        providers::update(admin, State(api.clone()), Path(name.clone()), edit).await
    };
    match edited.await {
        Ok(_) => Ok(done(&format!("/admin/providers/{}", name.as_str()), what)),
        Err(problem) => again(posted, api, name, problem).await,
    }
}

async fn again(posted: &Posted, api: &Api, name: Slug, problem: Problem) -> Result<Response, Problem> {
    let form = posted.refused(problem)?;
    let page = show(&posted.visit, api, name, Some(form)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn show(visit: &Visit, api: &Api, name: Slug, form: Option<Form>) -> Result<Response, Problem> {
    let state = || State(api.clone());
    let provider = providers::read(visit.reader()?, state(), Path(name)).await?.0;
    let mut models = models::list(visit.reader()?, state()).await?.items;
    models.retain(|model| model.provider == provider.name.as_str());
    let now = || match provider.managed_cluster {
        true => Form::of(&provider).with("cluster", ""),
        false => Form::of(&provider),
    };
    // A refused form may be one without these fields.
    let form = match form {
        Some(form) if !form.value("kind").is_empty() => form,
        Some(form) => now().wrong_as(form),
        None => now(),
    };
    html(&ProviderPage { frame: visit.frame(provider.name.as_str()), provider, models, form })
}
