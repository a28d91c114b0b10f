//! The models that an app may call, and the provider that serves a call.

mod anthropic;

use std::rc::Rc;

use serde::Serialize;

use crate::answer::denial::{Code, Denial};
use crate::answer::reply::Reply;
use crate::request::endpoint::{ClientApi, ModelOperation};
use crate::snapshot::{AppPolicy, Catalogue, Offer, Provider, ProviderKind, RoutingGroup, RoutingTarget};

/// Who owns routing groups, for clients.
const GROUP_OWNER: &str = "latchkey";

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

/// The models and routing groups that the app may call: all for OpenAI's clients; for Anthropic's, a page of
/// those that speak their API. A group stands in for the model of its name.
///
/// # Errors
/// When the query asks for a page that there is not.
pub fn list(catalogue: &Catalogue, app: &AppPolicy, api: ClientApi, query: &str) -> Result<Reply, Denial> {
    let groups: Vec<_> = allowed_groups(catalogue, app)
        .filter_map(|group| Some((group.name.as_str(), group_offer(group, app)?)))
        .filter(|(_, offer)| lists(offer, api))
        .collect();
    let is_group = |name: &str| groups.iter().any(|(group, _)| *group == name);
    let models = catalogue
        .models()
        .filter(|(name, _)| app.allows_model(name) && !is_group(name))
        .filter_map(|(name, offers)| Some((name, allowed(offers, app).find(|offer| lists(offer, api))?)));
    let models = models.chain(groups.iter().map(|(name, offer)| (*name, offer)));
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
    let group = group(catalogue, app, name);
    let of_group = group.map(|group| group_offer(group, app).ok_or(Code::ModelNotAllowed)).transpose()?;
    let offers = match &of_group {
        Some(offer) => vec![offer],
        None => usable(catalogue, app, name)?.collect(),
    };
    offers.first().ok_or(Code::ProviderNotAllowed)?;
    let offer = offers.into_iter().find(|offer| lists(offer, api)).ok_or_else(|| {
        Denial::new(Code::ModelNotFound, "No provider of this model speaks Anthropic's API.")
    })?;
    Ok(match api {
        ClientApi::OpenAi => Reply::ok(&OpenAiModel::new(name, offer)),
        ClientApi::Anthropic => anthropic::one(name, offer),
    })
}

/// The routing group of this name, if the app may use it.
pub fn group<'a>(catalogue: &'a Catalogue, app: &AppPolicy, name: &str) -> Option<&'a Rc<RoutingGroup>> {
    catalogue.routing_group(name).filter(|group| app.allows_routing_group(&group.name))
}

fn allowed_groups<'a>(
    catalogue: &'a Catalogue,
    app: &'a AppPolicy,
) -> impl Iterator<Item = &'a Rc<RoutingGroup>> {
    catalogue.routing_groups().filter(|group| app.allows_routing_group(&group.name))
}

/// Whether the app may be served by this target.
#[must_use]
pub fn allows_target(app: &AppPolicy, target: &RoutingTarget) -> bool {
    app.allows_provider(&target.offer.provider.name) && app.allows_model(&target.model)
}

/// A group as clients see it: a model that can do what each of its targets can. None where the app may be
/// served by none of them.
fn group_offer(group: &RoutingGroup, app: &AppPolicy) -> Option<Offer> {
    let targets = || group.targets().filter(|target| allows_target(app, target));
    let first = &targets().next()?.offer;
    let least = |of: fn(&Offer) -> Option<u64>| targets().filter_map(|target| of(&target.offer)).min();
    Some(Offer {
        provider: Rc::new(Provider { name: GROUP_OWNER.to_owned(), ..(*first.provider).clone() }),
        created_at: group.created_at,
        max_output_tokens: least(|offer| offer.max_output_tokens),
        context_window: least(|offer| offer.context_window),
        ..first.clone()
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
pub(crate) fn serves(kind: ProviderKind, operation: ModelOperation) -> bool {
    match kind {
        ProviderKind::Anthropic => {
            operation.client_api() == ClientApi::Anthropic || operation == ModelOperation::ChatCompletions
        }
        ProviderKind::OpenAi | ProviderKind::AzureOpenAi | ProviderKind::OpenAiCompatible => {
            operation.client_api() == ClientApi::OpenAi
        }
    }
}
