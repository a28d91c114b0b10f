use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use latchkey_proto::discovery as wire;

use super::{Detector, InvalidResource, McpServer, RoutingGroup, name};
use crate::price::density::BytesPerToken;
use crate::price::{LongContext, Price, RateCard, Rates, Tier};

/// The enabled models with the providers that serve them, the MCP servers, the external
/// detectors and the routing groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// In their order on the wire.
    names: Vec<String>,
    offers: BTreeMap<String, Vec<Offer>>,
    mcp_servers: BTreeMap<String, Rc<McpServer>>,
    detectors: BTreeMap<String, Rc<Detector>>,
    routing_groups: BTreeMap<String, Rc<RoutingGroup>>,
}

/// A model as one provider serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub provider: Rc<Provider>,
    /// The model's name at the provider.
    pub upstream_name: String,
    /// Unix seconds.
    pub created_at: i64,
    /// None where unknown: then an app with a budget may not use it.
    pub price: Option<Rc<Price>>,
    /// None where unknown.
    pub max_output_tokens: Option<u64>,
    /// Tokens of input and output together; none where unknown.
    pub context_window: Option<u64>,
    /// The only member that it takes as a chat's output limit; none for the usual ones.
    pub output_limit: Option<&'static str>,
    /// Whether its provider takes `stream_options`.
    pub stream_options: bool,
    pub bytes_per_token: BytesPerToken,
}

/// How to reach a provider, in values that may stand in headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// As policies name it.
    pub name: String,
    pub kind: ProviderKind,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// The host, and port where needed, of its base URL.
    pub authority: String,
    /// The path of its base URL: `/v1`, or empty.
    pub path_prefix: String,
    /// Seconds that an answer may be silent, in digits; none for the gateway's default.
    pub idle_timeout: Option<String>,
}

/// Which API a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    OpenAi,
    /// Azure OpenAI with its version-less API.
    AzureOpenAi,
    Anthropic,
    OpenAiCompatible,
}

impl Catalogue {
    /// The offers of a model by preference; empty when there are none.
    #[must_use]
    pub fn offers(&self, model: &str) -> &[Offer] {
        self.offers.get(model).map_or(&[], Vec::as_slice)
    }

    /// The MCP server of this name.
    #[must_use]
    pub fn mcp_server(&self, name: &str) -> Option<&Rc<McpServer>> {
        self.mcp_servers.get(name)
    }

    /// The external detector of this name.
    #[must_use]
    pub fn detector(&self, name: &str) -> Option<&Rc<Detector>> {
        self.detectors.get(name)
    }

    /// The routing group of this name.
    #[must_use]
    pub fn routing_group(&self, name: &str) -> Option<&Rc<RoutingGroup>> {
        self.routing_groups.get(name)
    }

    /// Every routing group, by name.
    pub fn routing_groups(&self) -> impl Iterator<Item = &Rc<RoutingGroup>> {
        self.routing_groups.values()
    }

    /// Every model with its offers, in their order on the wire.
    pub fn models(&self) -> impl Iterator<Item = (&str, &[Offer])> {
        self.names.iter().map(|name| (name.as_str(), self.offers(name)))
    }
}

impl TryFrom<wire::Catalogue> for Catalogue {
    type Error = InvalidResource;

    fn try_from(catalogue: wire::Catalogue) -> Result<Self, InvalidResource> {
        let wire::Catalogue { providers, models, mcp_servers, detectors, routing_groups } = catalogue;
        let mut by_name = BTreeMap::new();
        let mut group_clusters = BTreeMap::new();
        for provider in providers {
            let group_cluster = provider.group_cluster.clone();
            let provider = Rc::new(Provider::try_from(provider)?);
            if !group_cluster.is_empty() {
                let of_groups = Provider { cluster: group_cluster, ..(*provider).clone() };
                group_clusters.insert(provider.name.clone(), Rc::new(of_groups));
            }
            if let Some(twin) = by_name.insert(provider.name.clone(), provider) {
                return Err(InvalidResource::TwoProviders(twin.name.clone()));
            }
        }
        let mut read = Self::default();
        let mut seen = BTreeSet::new();
        for offered in models {
            let wire::Model {
                name: model,
                provider,
                upstream_name,
                created_at,
                price,
                max_output_tokens,
                context_window,
                output_limit,
                refuses_stream_options,
                bytes_per_token,
            } = offered;
            let model = name(model, "models.name")?;
            let upstream_name = name(upstream_name, "models.upstream_name")?;
            let Some(found) = by_name.get(&provider) else {
                return Err(InvalidResource::NoProvider { model, provider });
            };
            if !seen.insert((model.clone(), provider.clone())) {
                return Err(InvalidResource::OfferedTwice { model, provider });
            }
            let offer = Offer {
                provider: Rc::clone(found),
                upstream_name,
                created_at,
                price: price.map(Price::try_from).transpose()?.map(Rc::new),
                max_output_tokens: known(max_output_tokens),
                context_window: known(context_window),
                output_limit: match wire::OutputLimit::try_from(output_limit) {
                    Ok(wire::OutputLimit::MaxTokens) => Some("max_tokens"),
                    Ok(wire::OutputLimit::MaxCompletionTokens) => Some("max_completion_tokens"),
                    Ok(wire::OutputLimit::Unspecified) | Err(_) => None,
                },
                stream_options: !refuses_stream_options,
                bytes_per_token: bytes_per_token.map_or_else(BytesPerToken::default, |rate| {
                    BytesPerToken::measured(rate.ascii, rate.other)
                }),
            };
            read.add(model, offer);
        }
        for server in mcp_servers {
            let server = Rc::new(McpServer::try_from(server)?);
            if let Some(twin) = read.mcp_servers.insert(server.name.clone(), server) {
                return Err(InvalidResource::TwoMcpServers(twin.name.clone()));
            }
        }
        for detector in detectors {
            let detector = Rc::new(Detector::try_from(detector)?);
            if let Some(twin) = read.detectors.insert(detector.name.clone(), detector) {
                return Err(InvalidResource::TwoDetectors(twin.name.clone()));
            }
        }
        for group in routing_groups {
            let find = |provider: &str, model: &str| {
                let offers = read.offers(model);
                let offer = offers.iter().find(|offer| offer.provider.name == provider)?;
                Some(Offer { provider: Rc::clone(group_clusters.get(provider)?), ..offer.clone() })
            };
            let group = Rc::new(RoutingGroup::read(group, find)?);
            if let Some(twin) = read.routing_groups.insert(group.name.clone(), group) {
                return Err(InvalidResource::TwoRoutingGroups(twin.name.clone()));
            }
        }
        Ok(read)
    }
}

impl Catalogue {
    fn add(&mut self, model: String, offer: Offer) {
        if !self.offers.contains_key(&model) {
            self.names.push(model.clone());
        }
        self.offers.entry(model).or_default().push(offer);
    }
}

impl TryFrom<wire::Provider> for Provider {
    type Error = InvalidResource;

    fn try_from(provider: wire::Provider) -> Result<Self, InvalidResource> {
        let wire::Provider {
            name: provider_name,
            kind,
            cluster,
            authority,
            path_prefix,
            idle_timeout_seconds,
            group_cluster,
        } = provider;
        let name = name(provider_name, "providers.name")?;
        let malformed = |field| InvalidResource::Provider { provider: name.clone(), field };
        if !is_token(&cluster) {
            return Err(malformed("cluster"));
        }
        if !group_cluster.is_empty() && !is_token(&group_cluster) {
            return Err(malformed("group_cluster"));
        }
        if !is_authority(&authority) {
            return Err(malformed("authority"));
        }
        if !is_path_prefix(&path_prefix) {
            return Err(malformed("path_prefix"));
        }
        let kind = match wire::ProviderKind::try_from(kind) {
            Ok(wire::ProviderKind::Openai) => ProviderKind::OpenAi,
            Ok(wire::ProviderKind::AzureOpenai) => ProviderKind::AzureOpenAi,
            Ok(wire::ProviderKind::Anthropic) => ProviderKind::Anthropic,
            Ok(wire::ProviderKind::OpenaiCompatible) => ProviderKind::OpenAiCompatible,
            Ok(wire::ProviderKind::Unspecified) | Err(_) => return Err(malformed("kind")),
        };
        let idle_timeout = (idle_timeout_seconds != 0).then(|| idle_timeout_seconds.to_string());
        Ok(Self { name, kind, cluster, authority, path_prefix, idle_timeout })
    }
}

impl TryFrom<wire::Price> for Price {
    type Error = InvalidResource;

    fn try_from(price: wire::Price) -> Result<Self, InvalidResource> {
        let wire::Price {
            version,
            input,
            cached_input,
            output,
            cache_write_5m,
            cache_write_1h,
            long_context,
            tiers,
        } = price;
        let unknown = Rates::without_writes(input, cached_input, output);
        let rates = Rates {
            cache_write_5m: cache_write_5m.unwrap_or(unknown.cache_write_5m),
            cache_write_1h: cache_write_1h.unwrap_or(unknown.cache_write_1h),
            ..unknown
        };
        let long_context = long_context.map(LongContext::try_from).transpose()?;
        let tiers = tiers.into_iter().map(Tier::try_from).collect::<Result<_, _>>()?;
        Ok(Self { version, standard: RateCard { rates, long_context }, tiers })
    }
}

impl TryFrom<wire::ServiceTier> for Tier {
    type Error = InvalidResource;

    fn try_from(tier: wire::ServiceTier) -> Result<Self, InvalidResource> {
        let wire::ServiceTier { name: tier_name, rates, long_context } = tier;
        let name = name(tier_name, "price.tiers.name")?;
        let rates = rates.ok_or(InvalidResource::Unset("price.tiers.rates"))?.into();
        let long_context = long_context.map(LongContext::try_from).transpose()?;
        Ok(Self { name, card: RateCard { rates, long_context } })
    }
}

impl TryFrom<wire::LongContext> for LongContext {
    type Error = InvalidResource;

    fn try_from(long: wire::LongContext) -> Result<Self, InvalidResource> {
        let wire::LongContext { above, rates } = long;
        let rates = rates.ok_or(InvalidResource::Unset("price.long_context.rates"))?.into();
        Ok(Self { above, rates })
    }
}

impl From<wire::Rates> for Rates {
    fn from(rates: wire::Rates) -> Self {
        let wire::Rates { input, cached_input, cache_write_5m, cache_write_1h, output } = rates;
        Self { input, cached_input, cache_write_5m, cache_write_1h, output }
    }
}

/// 0 means unknown.
fn known(tokens: u64) -> Option<u64> {
    (tokens != 0).then_some(tokens)
}

/// A host, and perhaps a port.
pub(super) fn is_authority(text: &str) -> bool {
    is_token(text) && !text.contains(['/', '?', '#', '@'])
}

/// Not empty, printable ASCII, no space: safe in a header and in a request line.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_path_prefix(text: &str) -> bool {
    text.is_empty()
        || text.starts_with('/') && !text.ends_with('/') && is_token(text) && !text.contains(['?', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn refused(edit: impl FnOnce(&mut wire::Catalogue)) -> String {
        let mut catalogue = testing::catalogue();
        edit(&mut catalogue);
        Catalogue::try_from(catalogue).unwrap_err().to_string()
    }

    #[test]
    fn what_could_not_be_sent_on_is_refused() {
        assert_eq!(
            refused(|c| c.providers[0].authority = "a\r\nx: y".into()),
            "provider `openai`: authority is malformed"
        );
        assert_eq!(
            refused(|c| c.providers[0].authority = "user@host".into()),
            "provider `openai`: authority is malformed"
        );
        assert_eq!(refused(|c| c.providers[0].cluster.clear()), "provider `openai`: cluster is malformed");
        assert_eq!(
            refused(|c| c.providers[0].path_prefix = "/v1/".into()),
            "provider `openai`: path_prefix is malformed"
        );
        assert_eq!(refused(|c| c.providers[0].kind = 0), "provider `openai`: kind is malformed");
    }

    #[test]
    fn a_catalogue_must_hang_together() {
        assert_eq!(
            refused(|c| c.models[0].provider = "nobody".into()),
            "model `gpt-4o` names the provider `nobody`, which is not in the catalogue"
        );
        assert_eq!(
            refused(|c| c.models.push(c.models[0].clone())),
            "provider `openai` offers model `gpt-4o` twice"
        );
        assert_eq!(refused(|c| c.providers.push(c.providers[0].clone())), "two providers are named `openai`");
        assert_eq!(
            refused(|c| c.mcp_servers.push(c.mcp_servers[0].clone())),
            "two MCP servers are named `github`"
        );
        assert_eq!(
            refused(|c| c.detectors.push(c.detectors[0].clone())),
            "two detectors are named `nightingale`"
        );
        assert_eq!(
            refused(|c| c.models[0].upstream_name.clear()),
            "models.upstream_name is empty or has a control character"
        );
    }
}
