//! Models.

use latchkey_core::catalogue::{self, KnownModel};
use latchkey_core::change::changed;
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::limits::{given, nullable};
use latchkey_core::name::{ModelName, Slug};
use latchkey_core::price::{Biller, Draft, Price};
use latchkey_core::provider::{Dialect, DialectEdit, OutputLimit, ProviderKind};
use latchkey_core::routing_group::RoutingSettings;
use latchkey_store::Tx;
use latchkey_store::models::Model;
use latchkey_store::upstreams::ModelProtocol;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::AuditedAction;
use super::{Context, Refusal, routing_groups, taken};

/// The most models there may be: gateways get them all in one message.
const MOST_MODELS: i64 = 2000;
/// The most tokens that anything of a model may be.
const MOST_TOKENS: u64 = 1_000_000_000;

/// A model to add. Where several providers offer one model, the one added first serves it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewModel {
    /// What clients ask for.
    pub name: ModelName,
    /// The provider's name.
    pub provider: Slug,
    /// What the provider calls it: the same by default.
    pub upstream_name: Option<ModelName>,
    /// Whether it can be called: true by default.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// What it costs. Left out, a well-known model gets the price of the catalogue; null is for no
    /// price, and then apps with a budget may not use it. A price may be 0.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Draft>)]
    pub price: Option<Option<Draft>>,
    /// The most tokens of one answer; null where that is not known. Left out, as the catalogue has it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub max_output_tokens: Option<Option<u64>>,
    /// The most tokens of input and output together; null where that is not known. Left out, as the
    /// catalogue has it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub context_window: Option<Option<u64>>,
    /// Under which name it takes a limit of a chat's output; null: as its provider.
    pub output_limit: Option<OutputLimit>,
    /// Whether it takes `stream_options`, by which the usage of a stream is asked for; null: as its provider.
    pub stream_options: Option<bool>,
}

/// What to change of a model.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditModel {
    /// What the provider calls it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = ModelName)]
    pub upstream_name: Option<ModelName>,
    /// Whether it can be called.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub enabled: Option<bool>,
    /// What it costs from now on; null for no price. Earlier prices stay in its history.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Draft>)]
    pub price: Option<Option<Draft>>,
    /// The most tokens of one answer; null where that is not known.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub max_output_tokens: Option<Option<u64>>,
    /// The most tokens of input and output together; null where that is not known.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub context_window: Option<Option<u64>>,
    /// Under which name it takes a limit of a chat's output; null: as its provider.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<OutputLimit>)]
    pub output_limit: Option<Option<OutputLimit>>,
    /// Whether it takes `stream_options`, by which the usage of a stream is asked for; null: as its provider.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<bool>)]
    pub stream_options: Option<Option<bool>>,
}

fn enabled() -> bool {
    true
}

/// Adds a model that a provider offers.
///
/// # Errors
/// There is no such provider, it already offers a model of this name, or a number is out of range.
pub async fn create(tx: &mut Tx, context: Context<'_>, new: NewModel) -> Result<Model, Refusal> {
    let NewModel {
        name,
        provider,
        upstream_name,
        enabled,
        price,
        max_output_tokens,
        context_window,
        output_limit,
        stream_options,
    } = new;
    let provider = String::from(provider);
    let sizes = check(max_output_tokens.flatten(), context_window.flatten());
    let Some(kind) = provider_kind(tx, &provider).await? else {
        let message = format!("provider `{provider}` does not exist: create it first");
        return Err(Refusal::field("provider", message));
    };
    if tx.count_models().await? >= MOST_MODELS {
        return Err(Refusal::conflict(
            "too_many_models",
            format!("there can be at most {MOST_MODELS} models"),
        ));
    }
    let upstream_name = upstream_name.unwrap_or_else(|| name.clone());
    let known = catalogue::find(upstream_name.as_str());
    let price = match price {
        Some(draft) => draft.map(|draft| complete(draft, None, kind, &upstream_name)),
        None => known.map(|known| Ok(known.price())),
    };
    let price = both(price.transpose(), sizes)?;
    tx.catalogue_revision(context.world).await?;
    let mut model = Model {
        id: context.world.id(),
        name,
        provider,
        upstream_name,
        enabled,
        price: None,
        max_output_tokens: max_output_tokens.unwrap_or_else(|| known?.max_output_tokens),
        context_window: context_window.unwrap_or_else(|| known?.context_window),
        dialect: Dialect { output_limit, stream_options },
        created_at: context.world.now(),
    };
    if let Some(price) = price {
        model.price = Some(tx.insert_price(&model, price, model.created_at).await?);
    }
    tx.insert_model(&model)
        .await
        .map_err(|error| taken(error, "name", "this provider already offers a model of this name"))?;
    context.audit(tx, done("model.created", &model, json!({})));
    Ok(model)
}

/// Edits a model. With another name at its provider, what is as the catalogue has it for the old name becomes
/// as it has it for the new one. Another price gets a version of its own; earlier ones stay, since what was charged
/// names them.
///
/// # Errors
/// There is no such model, a number is out of range, or what the model costs by its new name is not known.
pub async fn update(tx: &mut Tx, context: Context<'_>, id: Uuid, edit: EditModel) -> Result<Model, Refusal> {
    let EditModel {
        upstream_name,
        enabled,
        price,
        max_output_tokens,
        context_window,
        output_limit,
        stream_options,
    } = edit;
    let sizes = check(max_output_tokens.flatten(), context_window.flatten());
    let before = tx.model(id).await?.ok_or(Refusal::NotFound("model"))?;
    let mut model = before.clone();
    model.upstream_name = upstream_name.unwrap_or(model.upstream_name);
    let renamed = Renamed::of(&before.upstream_name, &model.upstream_name);
    model.enabled = enabled.unwrap_or(model.enabled);
    model.max_output_tokens = max_output_tokens
        .unwrap_or_else(|| renamed.follow(model.max_output_tokens, |known| known.max_output_tokens));
    model.context_window =
        context_window.unwrap_or_else(|| renamed.follow(model.context_window, |known| known.context_window));
    model.dialect = DialectEdit { output_limit, stream_options }.of(model.dialect);
    let old = before.price.as_ref().map(|charged| &charged.price);
    let followed = renamed.price(old);
    let price = match price {
        None => followed.ok_or_else(|| unpriced(&model.upstream_name)),
        Some(None) => Ok(None),
        Some(Some(draft)) => {
            let kind = provider_kind(tx, &model.provider).await?.ok_or(Refusal::NotFound("provider"))?;
            let basis = followed.flatten();
            complete(draft, basis.as_ref(), kind, &model.upstream_name).map(Some)
        }
    };
    let price = both(price, sizes)?;
    if model == before && price.as_ref() == old {
        return Ok(model);
    }
    tx.catalogue_revision(context.world).await?;
    if price.as_ref() != old {
        model.price = match price {
            None => None,
            Some(price) => Some(tx.insert_price(&model, price, context.world.now()).await?),
        };
    }
    tx.update_model(&model).await?;
    let paths = changed(&edited(&before), &edited(&model));
    context.audit(tx, done("model.updated", &model, json!({ "changed": paths })));
    Ok(model)
}

/// Removes a model. The prices that it had stay, for the records that name them.
///
/// # Errors
/// There is no such model, or routing groups have it as a target.
pub async fn delete(tx: &mut Tx, context: Context<'_>, id: Uuid) -> Result<(), Refusal> {
    let model = tx.model(id).await?.ok_or(Refusal::NotFound("model"))?;
    // Who makes it a target takes a revision too, so that one waits for the other.
    tx.catalogue_revision(context.world).await?;
    let what = format!("`{}` of `{}`", model.name, model.provider);
    let is_target = |settings: &RoutingSettings| settings.has_target(&model.provider, model.name.as_str());
    routing_groups::refuse_targets(tx, &what, is_target).await?;
    if !tx.delete_model(id).await? {
        return Err(Refusal::NotFound("model"));
    }
    context.audit(tx, done("model.deleted", &model, json!({})));
    Ok(())
}

/// What the catalogue says of a model by the name that its provider had for it, and by the one that it has now.
#[derive(Clone, Copy)]
struct Renamed {
    old: Option<&'static KnownModel>,
    new: Option<&'static KnownModel>,
}

impl Renamed {
    fn of(old: &ModelName, new: &ModelName) -> Self {
        Self { old: catalogue::find(old.as_str()), new: catalogue::find(new.as_str()) }
    }

    /// The new name's value, where `now` is the old one's.
    fn follow<T: PartialEq>(self, now: Option<T>, of: impl Fn(&KnownModel) -> Option<T>) -> Option<T> {
        let same = self.old == self.new || now != self.old.and_then(&of);
        if same { now } else { self.new.and_then(&of) }
    }

    /// The price by the new name; the outer none where a rate was the catalogue's for the old name, and it has
    /// none for the new.
    fn price(self, now: Option<&Price>) -> Option<Option<Price>> {
        let (old, new) = (self.old.map(KnownModel::price), self.new.map(KnownModel::price));
        let (Some(now), Some(old)) = (now, old) else {
            return Some(self.follow(now.cloned(), |k| Some(k.price())));
        };
        if self.old == self.new
            || (now.rates.input != old.rates.input && now.rates.output != old.rates.output)
        {
            return Some(Some(now.clone()));
        }
        new.filter(|_| *now == old).map(Some)
    }
}

async fn provider_kind(tx: &mut Tx, name: &str) -> latchkey_store::Result<Option<ProviderKind>> {
    Ok(tx.upstream::<ModelProtocol>(name).await?.map(|provider| provider.protocol.kind))
}

fn unpriced(name: &ModelName) -> Invalid {
    let message = format!(
        "came from the catalog for a different model name: send the price of `{name}`, such as \
         {{\"input\": \"2.50\", \"output\": \"10\"}}, or null for no price"
    );
    FieldError::new("price", message).into()
}

/// A whole price: what is left out is as in the one that it replaces, or in the catalogue.
fn complete(
    draft: Draft,
    old: Option<&Price>,
    kind: ProviderKind,
    upstream_name: &ModelName,
) -> Result<Price, Invalid> {
    let name = upstream_name.as_str();
    let known = catalogue::find(name).map(catalogue::KnownModel::price);
    draft.complete(old.or(known.as_ref()), Biller::of(kind, name), "price")
}

/// The value, or all that is wrong with it and beside it.
fn both<T>(value: Result<T, Invalid>, beside: Result<(), Invalid>) -> Result<T, Invalid> {
    match (value, beside) {
        (Err(Invalid(mut wrong)), Err(Invalid(more))) => {
            wrong.extend(more);
            Err(Invalid(wrong))
        }
        (value, beside) => beside.and(value),
    }
}

fn check(output: Option<u64>, window: Option<u64>) -> Result<(), Invalid> {
    let mut invalid = Invalid::default();
    for (path, tokens) in [("max_output_tokens", output), ("context_window", window)] {
        if tokens.is_some_and(|tokens| !(1..=MOST_TOKENS).contains(&tokens)) {
            let message = format!("must be 1 to {MOST_TOKENS}, or null if unknown");
            invalid.check::<(), _>(path, Err(message));
        }
    }
    invalid.into_result()
}

fn done<'a>(action: &'static str, model: &'a Model, mut data: Value) -> AuditedAction<'a> {
    data["provider"] = json!(model.provider);
    AuditedAction {
        action,
        kind: "model",
        id: model.id.to_string(),
        name: model.name.as_str(),
        app: None,
        data,
    }
}

/// What of a model can be edited.
fn edited(model: &Model) -> Value {
    json!({
        "upstream_name": model.upstream_name,
        "enabled": model.enabled,
        "price": model.price.as_ref().map(|charged| &charged.price),
        "max_output_tokens": model.max_output_tokens,
        "context_window": model.context_window,
        "output_limit": model.dialect.output_limit,
        "stream_options": model.dialect.stream_options,
    })
}
