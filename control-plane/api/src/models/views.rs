//! How models and prices look from outside.

use jiff::Timestamp;
use latchkey_core::catalogue::{AS_OF, KnownModel};
use latchkey_core::name::ModelName;
use latchkey_core::price::Price;
use latchkey_core::provider::{Dialect, OutputLimit};
use latchkey_store::models::Model;
use latchkey_store::prices::{Charged, PastPrice};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A model as one provider offers it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct ModelView {
    /// Opaque.
    pub id: Uuid,
    /// What clients ask for.
    pub name: ModelName,
    /// The provider's name.
    pub provider: String,
    /// What the provider calls it.
    pub upstream_name: ModelName,
    /// Whether it can be called.
    pub enabled: bool,
    /// What it costs; null where that is not known.
    pub price: Option<PriceView>,
    /// The most tokens of one answer; null where that is not known.
    pub max_output_tokens: Option<u64>,
    /// The most tokens of input and output together; null where that is not known.
    pub context_window: Option<u64>,
    /// Under which name it takes a limit of a chat's output; null: as its provider.
    pub output_limit: Option<OutputLimit>,
    /// Whether it takes `stream_options`, by which the usage of a stream is asked for; null: as its provider.
    pub stream_options: Option<bool>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A price, as records name it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PriceView {
    /// Its number in the history of all prices.
    pub version: u64,
    /// What a million tokens cost.
    #[serde(flatten)]
    pub price: Price,
}

/// A model that needs no price typed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KnownView {
    /// What its vendor calls it.
    pub name: &'static str,
    /// Who makes it.
    pub vendor: &'static str,
    /// What it costs.
    pub price: Price,
    /// The most tokens of one answer; null where there is none.
    pub max_output_tokens: Option<u64>,
    /// The most tokens of input and output together.
    pub context_window: Option<u64>,
    /// The day on which this was read from its vendor's lists.
    #[schema(value_type = String, format = Date)]
    pub as_of: &'static str,
}

/// A price that a model has or had.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PastPriceView {
    /// The price.
    #[serde(flatten)]
    pub price: PriceView,
    /// Since when it was charged.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<Model> for ModelView {
    fn from(model: Model) -> Self {
        let Model {
            id,
            name,
            provider,
            upstream_name,
            enabled,
            price,
            max_output_tokens,
            context_window,
            dialect: Dialect { output_limit, stream_options },
            created_at,
        } = model;
        let price = price.map(PriceView::from);
        Self {
            id,
            name,
            provider,
            upstream_name,
            enabled,
            price,
            max_output_tokens,
            context_window,
            output_limit,
            stream_options,
            created_at,
        }
    }
}

impl From<Charged> for PriceView {
    fn from(Charged { version, price }: Charged) -> Self {
        Self { version, price }
    }
}

impl From<PastPrice> for PastPriceView {
    fn from(PastPrice { charged, created_at }: PastPrice) -> Self {
        Self { price: charged.into(), created_at }
    }
}

impl From<&KnownModel> for KnownView {
    fn from(known: &KnownModel) -> Self {
        let KnownModel { name, vendor, max_output_tokens, context_window, .. } = *known;
        Self { name, vendor, price: known.price(), max_output_tokens, context_window, as_of: AS_OF }
    }
}
