//! From the control plane's types to the wire's.

use std::collections::BTreeMap;

use latchkey_core::density::Density;
use latchkey_core::identity::key::{Algorithm, PublicKey};
use latchkey_core::identity::{IdentitySettings, JwtKeys, JwtSettings, pem};
use latchkey_core::limits::{BucketKind, Limits};
use latchkey_core::mcp::McpArgumentRule;
use latchkey_core::mcp_tools::ToolPinning;
use latchkey_core::price::{LongContext, Price, Rates};
use latchkey_core::routing_group::RoutingTarget;
use latchkey_core::selection::Selection;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Status;
use latchkey_proto::discovery as wire;
use serde_json::{Number, Value};

use super::guardrails::{GuardrailSecret, guardrails, trial};
use super::prompts::prompts;
use super::routing_groups::routing_group;
use crate::apps::App;
use crate::guardrail_trials::GuardrailTrial;
use crate::ledger::density::Densities;
use crate::mcp_tools::PinRow;
use crate::models::Model;
use crate::prices::Charged;
use crate::routing_groups::RoutingGroup;
use crate::upstreams::{Detector, DetectorProtocol, McpServer, Protocol as _, Provider};

/// An app as gateways hold it, with the keys of the JWK set that it names, and what is tried.
pub(super) fn policy(
    app: &App,
    tried: Option<&GuardrailTrial>,
    sets: &BTreeMap<String, Vec<PublicKey>>,
    secret: &GuardrailSecret,
) -> wire::AppPolicy {
    let settings = &app.settings;
    wire::AppPolicy {
        id: app.id.as_bytes().to_vec(),
        name: app.name.as_str().to_owned(),
        status: status(app.status).into(),
        expires_at_ms: settings.expires_at.map_or(0, jiff::Timestamp::as_millisecond),
        mode: match settings.mode {
            CredentialMode::Shared => wire::CredentialMode::Shared,
            CredentialMode::Named => wire::CredentialMode::Named,
        }
        .into(),
        providers: Some(selection(&settings.allowed_providers)),
        models: Some(selection(&settings.allowed_models)),
        addresses: settings.ip_allow_list.clone().map(|ranges| wire::AddressList { ranges }),
        limits: limits_if_any(&settings.limits),
        named_key_limits: limits_if_any(&settings.named_key_limits),
        identity: identity(&settings.identity, sets),
        conversation_required: settings.require_conversation_id,
        mcp: Some(selection(&settings.mcp_scope)),
        guardrails: guardrails(app.id, &settings.guardrails, &settings.custom_categories, secret),
        mcp_argument_rules: settings.mcp_argument_rules.iter().map(argument_rule).collect(),
        prompts: prompts(settings),
        routing_groups: Some(selection(&settings.routing_groups)),
        target_header: settings.target_header,
        guardrail_trial: tried.and_then(|tried| trial(tried, secret)),
    }
}

fn argument_rule(rule: &McpArgumentRule) -> wire::McpArgumentRule {
    use wire::mcp_argument_rule::Check;
    let McpArgumentRule { tool, argument, glob, one_of, min, max, absent, optional } = rule;
    let number = |number: &Option<Number>| number.as_ref().map(Number::to_string);
    // A rule without a check, which is not written, would be refused by gateways: the app keeps what it had.
    let check = match (glob, one_of) {
        (Some(glob), _) => Some(Check::Glob(glob.clone())),
        (None, Some(values)) => {
            let values = values.iter().map(Value::to_string).collect();
            Some(Check::OneOf(wire::JsonValues { values }))
        }
        (None, None) if min.is_some() || max.is_some() => {
            Some(Check::Range(wire::NumberRange { min: number(min), max: number(max) }))
        }
        (None, None) => absent.then_some(Check::Absent(wire::Nothing {})),
    };
    wire::McpArgumentRule { tool: tool.clone(), argument: argument.clone(), optional: *optional, check }
}

fn identity(settings: &IdentitySettings, sets: &BTreeMap<String, Vec<PublicKey>>) -> Option<wire::Identity> {
    let IdentitySettings { header, enforce, allowed_domains, jwt } = settings;
    let learns = *header || *enforce || jwt.is_some();
    let jwt = jwt.as_ref().map(|JwtSettings { keys, issuers, parties, audiences, email_claim }| wire::Jwt {
        keys: match keys {
            JwtKeys::JwksUrl(url) => sets.get(url).into_iter().flatten().map(jwt_key).collect(),
            // It was read when it was written. Without a key every token is refused.
            JwtKeys::Pem(text) => pem::usable(text).iter().map(jwt_key).collect(),
        },
        issuers: issuers.clone().map(|names| wire::Names { names }),
        parties: parties.clone().map(|names| wire::Names { names }),
        email_claim: email_claim.clone(),
        audiences: audiences.clone().map(|names| wire::Names { names }),
    });
    let domains = allowed_domains.clone().map(|names| wire::Names { names });
    learns.then_some(wire::Identity { header: *header, enforce: *enforce, domains, jwt })
}

fn jwt_key(PublicKey { kid, algorithm, bytes }: &PublicKey) -> wire::JwtKey {
    let algorithm = match algorithm {
        Algorithm::Rs256 => wire::JwtAlgorithm::Rs256,
        Algorithm::Es256 => wire::JwtAlgorithm::Es256,
        Algorithm::EdDsa => wire::JwtAlgorithm::Eddsa,
    };
    wire::JwtKey { kid: kid.clone(), algorithm: algorithm.into(), key: bytes.clone() }
}

fn limits_if_any(own: &Limits) -> Option<wire::Limits> {
    (*own != Limits::default()).then(|| limits(own))
}

/// Limits as gateways hold them.
pub(super) fn limits(limits: &Limits) -> wire::Limits {
    let bucket = |(kind, limit, _): (BucketKind, u64, _)| wire::Bucket { kind: kind.number(), limit };
    wire::Limits {
        buckets: limits.buckets().map(bucket).collect(),
        max_input_tokens: limits.max_input_tokens,
        max_output_tokens: limits.max_output_tokens,
        min_output_tokens: limits.min_output_tokens,
    }
}

pub(super) fn status(status: Status) -> wire::Status {
    match status {
        Status::Active => wire::Status::Active,
        Status::Inactive => wire::Status::Inactive,
        Status::Revoked => wire::Status::Revoked,
    }
}

fn selection(selection: &Selection) -> wire::Selection {
    use wire::selection::Kind;
    let kind = match selection {
        Selection::All => Kind::All(wire::Everything {}),
        Selection::None => Kind::None(wire::Nothing {}),
        Selection::Only(names) => Kind::Only(wire::Names { names: names.clone() }),
    };
    wire::Selection { kind: Some(kind) }
}

fn bytes_per_token(density: Density) -> wire::BytesPerToken {
    let Density { ascii, other } = density;
    wire::BytesPerToken { ascii: ascii.unwrap_or(0), other: other.unwrap_or(0) }
}

/// The enabled providers and their enabled models, the enabled MCP servers and detectors, and the routing groups of
/// these models.
pub(super) fn catalogue(
    providers: Vec<Provider>,
    models: Vec<Model>,
    servers: Vec<McpServer>,
    pins: &[PinRow],
    detectors: Vec<Detector>,
    groups: Vec<RoutingGroup>,
    densities: &Densities,
) -> wire::Catalogue {
    use latchkey_core::provider::{OutputLimit, ProviderKind};
    let providers: Vec<_> = providers.into_iter().filter(|provider| provider.enabled).collect();
    let served = |model: &Model| {
        model.enabled && providers.iter().any(|provider| provider.name.as_str() == model.provider)
    };
    let of_provider = |name: &str| providers.iter().find(|provider| provider.name.as_str() == name);
    let dialect = |model: &Model| {
        let provider =
            of_provider(&model.provider).map(|provider| provider.protocol.dialect).unwrap_or_default();
        model.dialect.of_model(provider)
    };
    let models: Vec<_> = models.into_iter().filter(served).collect();
    let is_target = |target: &RoutingTarget| {
        // One that is newer than what was read of its provider has none yet: the next revision has both.
        let has_cluster =
            of_provider(target.provider.as_str()).is_some_and(|it| it.protocol.group_cluster().is_some());
        let is_it = |model: &Model| model.name == target.model && model.provider == target.provider.as_str();
        has_cluster && models.iter().any(is_it)
    };
    let routing_groups = groups.into_iter().filter_map(|group| routing_group(group, is_target)).collect();
    let models = models.into_iter().map(|model| wire::Model {
        output_limit: match dialect(&model).output_limit {
            None => wire::OutputLimit::Unspecified,
            Some(OutputLimit::MaxTokens) => wire::OutputLimit::MaxTokens,
            Some(OutputLimit::MaxCompletionTokens) => wire::OutputLimit::MaxCompletionTokens,
        }
        .into(),
        refuses_stream_options: dialect(&model).stream_options == Some(false),
        name: model.name.into(),
        bytes_per_token: densities.of(&model.provider, model.upstream_name.as_str()).map(bytes_per_token),
        provider: model.provider,
        upstream_name: model.upstream_name.into(),
        created_at: model.created_at.as_second(),
        price: model.price.map(price),
        max_output_tokens: model.max_output_tokens.unwrap_or(0),
        context_window: model.context_window.unwrap_or(0),
    });
    wire::Catalogue {
        detectors: detectors.into_iter().filter(|detector| detector.enabled).map(detector).collect(),
        routing_groups,
        mcp_servers: servers
            .into_iter()
            .filter(|server| server.enabled)
            .map(|server| mcp_server(server, pins))
            .collect(),
        models: models.collect(),
        providers: providers
            .iter()
            .map(|provider| wire::Provider {
                name: provider.name.as_str().to_owned(),
                kind: match provider.protocol.kind {
                    ProviderKind::Openai => wire::ProviderKind::Openai,
                    ProviderKind::AzureOpenai => wire::ProviderKind::AzureOpenai,
                    ProviderKind::Anthropic => wire::ProviderKind::Anthropic,
                    ProviderKind::OpenaiCompatible => wire::ProviderKind::OpenaiCompatible,
                }
                .into(),
                cluster: provider.cluster_name(),
                authority: provider.address.authority.clone(),
                path_prefix: provider.address.path_prefix.clone(),
                idle_timeout_seconds: provider.protocol.idle_timeout_seconds.unwrap_or_default(),
                group_cluster: provider.protocol.group_cluster().unwrap_or_default(),
            })
            .collect(),
    }
}

fn mcp_server(server: McpServer, pins: &[PinRow]) -> wire::McpServer {
    let cluster = server.cluster_name();
    let McpServer { name, address, protocol, .. } = server;
    // One that cannot be read is none: its tool may not be used.
    let pin = |row: &PinRow| {
        let PinRow { server: _, tool, hash, changed, approved_at_ms } = row;
        let (tool, hash) = (tool.clone(), fingerprint(hash)?);
        Some(wire::McpPin { tool, hash, changed: *changed, approved_at_ms: *approved_at_ms })
    };
    let is_pinned = protocol.tool_pinning != ToolPinning::Unpinned;
    let pins = is_pinned.then(|| wire::McpPins {
        pins: pins.iter().filter(|row| row.server == name.as_str()).filter_map(pin).collect(),
        trust_first_use: protocol.tool_pinning == ToolPinning::TrustFirstUse,
    });
    wire::McpServer {
        pins,
        name: name.into(),
        cluster,
        authority: address.authority,
        path: address.path,
        session_key: protocol.session_key.0,
    }
}

/// A fingerprint from hexadecimal.
fn fingerprint(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).ok());
    let bytes: Option<Vec<_>> = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
    bytes.filter(|bytes| bytes.len() == 32)
}

fn detector(detector: Detector) -> wire::Detector {
    let cluster = detector.cluster_name();
    let Detector { name, address, protocol: DetectorProtocol { timeout_ms, max_text_bytes }, .. } = detector;
    wire::Detector {
        name: name.into(),
        cluster,
        authority: address.authority,
        path: address.path,
        timeout_ms,
        max_text_bytes,
    }
}

/// A price as gateways hold it.
pub(super) fn price(charged: Charged) -> wire::Price {
    let Charged { version, price } = charged;
    let Price { rates: standard, long_context: long, .. } = price;
    let Rates { input, cached_input, cache_write_5m, cache_write_1h, output } = standard;
    let tier = |(name, own, long): (&str, Rates, Option<LongContext>)| wire::ServiceTier {
        name: name.to_owned(),
        rates: Some(rates(own)),
        long_context: long.map(long_context),
    };
    wire::Price {
        version,
        input: input.0,
        cached_input: cached_input.0,
        output: output.0,
        cache_write_5m: Some(cache_write_5m.0),
        cache_write_1h: Some(cache_write_1h.0),
        long_context: long.map(long_context),
        tiers: price.cards().map(tier).collect(),
    }
}

fn long_context(LongContext { above, rates: long }: LongContext) -> wire::LongContext {
    wire::LongContext { above, rates: Some(rates(long)) }
}

fn rates(rates: Rates) -> wire::Rates {
    let Rates { input, cached_input, cache_write_5m, cache_write_1h, output } = rates;
    wire::Rates {
        input: input.0,
        cached_input: cached_input.0,
        cache_write_5m: cache_write_5m.0,
        cache_write_1h: cache_write_1h.0,
        output: output.0,
    }
}
