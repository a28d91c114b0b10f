//! The models that an app may call, and the provider that serves a call.

mod anthropic;

use serde::Serialize;

use crate::answer::denial::{Code, Denial};
use crate::answer::reply::Reply;
use crate::request::endpoint::{ClientApi, ModelOperation};
use crate::snapshot::{AppPolicy, Catalogue, Offer, ProviderKind};

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<OpenAiModel<'a>>,
}

#[derive(Serialize)]
struct OpenAiModel<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
}

/// The models that the app may call: all for OpenAI's clients; for Anthropic's, a page of those that speak
/// their API.
///
/// # Errors
/// When the query asks for a page that there is not.
pub fn list(catalogue: &Catalogue, app: &AppPolicy, api: ClientApi, query: &str) -> Result<Reply, Denial> {
    let models = catalogue
        .models()
        .filter(|(name, _)| app.allows_model(name))
        .filter_map(|(name, offers)| Some((name, allowed(offers, app).find(|offer| lists(offer, api))?)));
    match api {
        ClientApi::OpenAi => {
            let data = models.map(|(name, offer)| OpenAiModel::new(name, offer)).collect();
            Ok(Reply::ok(&ModelList { object: "list", data }))
        }
        ClientApi::Anthropic => anthropic::page(models.collect(), query),
    }
}

/// One model of that list.
///
/// # Errors
/// When nobody offers it, or the app may not call it.
pub fn retrieve(catalogue: &Catalogue, app: &AppPolicy, api: ClientApi, name: &str) -> Result<Reply, Denial> {
    let mut offers = usable(catalogue, app, name)?.peekable();
    offers.peek().ok_or(Code::ProviderNotAllowed)?;
    let offer = offers.find(|offer| lists(offer, api)).ok_or_else(|| {
        Denial::new(Code::ModelNotFound, "No provider of this model speaks Anthropic's API.")
    })?;
    Ok(match api {
        ClientApi::OpenAi => Reply::ok(&OpenAiModel::new(name, offer)),
        ClientApi::Anthropic => anthropic::one(name, offer),
    })
}

/// Whether the API of this kind lists the offer.
fn lists(offer: &Offer, api: ClientApi) -> bool {
    api == ClientApi::OpenAi || serves(offer.provider.kind, ModelOperation::Messages)
}

/// The first offer that the app may use and that serves the operation.
///
/// # Errors
/// When there is none; the first rule that leaves none decides.
pub fn choose<'a>(
    catalogue: &'a Catalogue,
    app: &AppPolicy,
    name: &str,
    operation: ModelOperation,
) -> Result<&'a Offer, Denial> {
    let mut offers = usable(catalogue, app, name)?.peekable();
    offers.peek().ok_or(Code::ProviderNotAllowed)?;
    let serving = offers.find(|offer| serves(offer.provider.kind, operation));
    serving.ok_or_else(|| Code::EndpointNotSupported.into())
}

impl<'a> OpenAiModel<'a> {
    fn new(id: &'a str, offer: &'a Offer) -> Self {
        Self { id, object: "model", created: offer.created_at, owned_by: &offer.provider.name }
    }
}

fn usable<'a>(
    catalogue: &'a Catalogue,
    app: &AppPolicy,
    name: &str,
) -> Result<impl Iterator<Item = &'a Offer>, Denial> {
    let offers = catalogue.offers(name);
    if offers.is_empty() {
        return Err(Code::ModelNotFound.into());
    }
    if !app.allows_model(name) {
        return Err(Code::ModelNotAllowed.into());
    }
    Ok(allowed(offers, app))
}

fn allowed<'a>(offers: &'a [Offer], app: &AppPolicy) -> impl Iterator<Item = &'a Offer> {
    offers.iter().filter(|offer| app.allows_provider(&offer.provider.name))
}

/// Anthropic serves its own API, and chat completions for OpenAI's SDK.
fn serves(kind: ProviderKind, operation: ModelOperation) -> bool {
    match kind {
        ProviderKind::Anthropic => {
            operation.client_api() == ClientApi::Anthropic || operation == ModelOperation::ChatCompletions
        }
        ProviderKind::OpenAi | ProviderKind::AzureOpenAi | ProviderKind::OpenAiCompatible => {
            operation.client_api() == ClientApi::OpenAi
        }
    }
}
