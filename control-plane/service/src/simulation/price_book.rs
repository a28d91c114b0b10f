//! What requests would have cost elsewhere, at the price that was in force.

use std::collections::HashMap;
use std::rc::Rc;

use jiff::Timestamp;
use latchkey_filter_core::price::{Price, ServedTier, TierChoice, TokenUsage};
use latchkey_filter_core::snapshot::Catalogue;
use latchkey_proto::discovery as wire;
use latchkey_store::feed::traffic::OfferPrice;
use latchkey_store::traffic::TrafficRecord;

use super::admission::ServingOffer;
use super::limit_replay::RequestUse;

/// A provider and what it calls a model.
type Served = (String, String);

/// The prices of each provider's models, oldest first.
#[derive(Debug, Default)]
pub struct PriceBook(HashMap<Served, Vec<(Timestamp, Rc<Price>)>>);

impl PriceBook {
    /// Prices that gateways could not read are not in it.
    #[must_use]
    pub fn new(catalogue: &wire::Catalogue, prices: &[OfferPrice]) -> Self {
        let mut book = Self::default();
        for OfferPrice { provider, upstream_name, since, price } in prices {
            let read = || {
                let name = "priced".to_owned();
                let model = wire::Model {
                    name: name.clone(),
                    provider: provider.clone(),
                    upstream_name: upstream_name.clone(),
                    price: Some(price.clone()),
                    ..wire::Model::default()
                };
                let providers = catalogue.providers.iter().filter(|known| known.name == *provider);
                let priced = wire::Catalogue {
                    providers: providers.cloned().collect(),
                    models: vec![model],
                    ..wire::Catalogue::default()
                };
                Catalogue::try_from(priced).ok()?.offers(&name).first()?.price.clone()
            };
            if let Some(price) = read() {
                book.0.entry((provider.clone(), upstream_name.clone())).or_default().push((*since, price));
            }
        }
        book
    }

    /// What a request used, or would have used of another offer: at that one's price when it came, or the first that
    /// it had. Where there is none it costs what it cost.
    #[must_use]
    pub fn used(&self, record: &TrafficRecord, offer: Option<&ServingOffer>) -> RequestUse {
        let is_own = offer.is_none_or(|offer| {
            record.served_model.is_empty()
                || offer.provider == record.provider && offer.served_model == record.served_model
        });
        let price = match offer {
            Some(offer) if !is_own => {
                self.at(&offer.provider, &offer.served_model, record.at).or(offer.price.as_deref())
            }
            _ => self.at(&record.provider, &record.served_model, record.at),
        };
        let cost = |output| cost(price?, record, output);
        let whole = cost(record.output_tokens);
        let own = record.cost.0;
        // A million tokens more, so that nothing is lost by rounding.
        let million = record.output_tokens.saturating_add(1_000_000);
        let output_rate = whole.zip(cost(million)).map(|(whole, more)| more.saturating_sub(whole));
        // Lists of models use nothing of any limit.
        let is_list = record.endpoint == "models";
        RequestUse {
            requests: if is_list { 0 } else { record.repeats },
            input_tokens: record.input_tokens,
            output_tokens: record.output_tokens,
            cost: if is_own { own } else { whole.unwrap_or(own) },
            output_rate,
        }
    }

    fn at(&self, provider: &str, upstream_name: &str, at: Timestamp) -> Option<&Price> {
        let prices = self.0.get(&(provider.to_owned(), upstream_name.to_owned()))?;
        let in_force = prices.iter().rev().find(|(since, _)| *since <= at);
        in_force.or(prices.first()).map(|(_, price)| &**price)
    }
}

/// None where the tier that served has no price there.
fn cost(price: &Price, record: &TrafficRecord, output: u64) -> Option<u64> {
    let tokens = TokenUsage {
        input: record.input_tokens,
        cached_input: record.cached_input_tokens,
        cache_write_5m: record.cache_write_5m_tokens,
        cache_write_1h: record.cache_write_1h_tokens,
        output,
        reasoning: 0,
    };
    let tier = Some(record.service_tier.clone()).filter(|tier| !tier.is_empty());
    let served = ServedTier { service_tier: tier, ..ServedTier::default() };
    Some(price.cost(&tokens, &TierChoice::default(), &served)?.0)
}
