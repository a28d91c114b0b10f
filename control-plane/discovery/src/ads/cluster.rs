//! A provider as an Envoy cluster.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, CustomClusterType};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType as TransportConfig;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, DataSource, Http1ProtocolOptions,
    Http2ProtocolOptions, HttpProtocolOptions as CommonHttpOptions, KeepaliveSettings, SocketAddress,
    TransportSocket, TypedExtensionConfig,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::extensions::clusters::common::dns::v3::DnsLookupFamily;
use envoy_types::pb::envoy::extensions::clusters::dns::v3::DnsCluster;
use envoy_types::pb::envoy::extensions::filters::http::credential_injector::v3::CredentialInjector;
use envoy_types::pb::envoy::extensions::filters::http::upstream_codec::v3::UpstreamCodec;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::extensions::http::injected_credentials::generic::v3::Generic;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
    UpstreamTlsContext,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::{Duration, UInt32Value};
use envoy_types::util::pack_any;
use secrecy::SecretString;

use super::secret;

pub(super) use attempt_filter::AttemptFilter;

mod attempt_filter;
mod blocked_addresses;

#[cfg(test)]
mod tests;

/// The certificate authorities trusted where a provider names none: Debian's, as in Envoy's image.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration { seconds: 5, nanos: 0 };

/// When an unused connection is closed, before providers close it themselves.
const IDLE_TIMEOUT: Duration = Duration { seconds: 60, nanos: 0 };

/// Where nobody is: no system makes a TCP connection to it.
const NOWHERE: Ipv4Addr = Ipv4Addr::BROADCAST;

/// Of a cluster's hosts: Envoy uses the last only while there is none of the first.
const FIRST_PRIORITY: u32 = 0;
const LAST_PRIORITY: u32 = 1;

/// Concurrent requests to a provider, in all: limits and budgets do the limiting.
const MAX_REQUESTS: u32 = 100_000;

/// A provider that Envoy reaches by a cluster of Latchkey's.
#[derive(Clone, Debug)]
pub struct ProviderCluster {
    /// The cluster's name, like `latchkey/openai`.
    pub name: String,
    /// A DNS name or an IP address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the provider is spoken to.
    pub transport: Transport,
    /// Put on every request by Envoy, instead of whatever the client sent.
    pub credential: Option<Credential>,
    /// The addresses to which Envoy does not connect, whatever the host's name resolves to.
    pub reach: BlockedAddresses,
    /// The cluster that reaches it for routing groups, where it is a target of one.
    pub group: Option<GroupCluster>,
}

/// A second cluster of a provider, with the filter that makes a request what the provider is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCluster {
    /// The cluster's name, like `latchkey/group/07`.
    pub name: String,
    /// The provider's name.
    pub provider: String,
}

/// Where a provider may not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockedAddresses {
    /// Closed, whatever is opened.
    pub never: Vec<IpNet>,
    /// Closed, where they are not opened.
    pub closed: Vec<IpNet>,
    /// What is opened of those.
    pub opened: Vec<IpNet>,
}

/// How a provider is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP/1.1 in the clear.
    Plaintext,
    /// HTTP/2 or HTTP/1.1, as the provider offers. Its certificate must name the host.
    Tls {
        /// A file on the gateway's machine with the authorities to trust; `None`: the system's.
        ca_path: Option<String>,
    },
}

/// What authenticates Latchkey to a provider.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The header that carries it, in lower case.
    pub header: String,
    /// The header's whole value, with `Bearer ` where the provider wants it.
    pub value: SecretString,
}

/// The cluster that reaches a provider.
pub(super) fn cluster(provider: &ProviderCluster) -> Cluster {
    named(provider, &provider.name, [], &[])
}

/// The cluster that reaches it for routing groups. The credential of the try before is removed before our filter reads
/// the headers, and this provider's is added after it.
///
/// While the provider's host has no address, the cluster has a host to which no connection can be made: Envoy moves a
/// request on from that, but answers by itself where a cluster has no host.
pub(super) fn group_cluster(
    provider: &ProviderCluster,
    group: &GroupCluster,
    filter: &AttemptFilter,
) -> Cluster {
    let first = [attempt_filter::without_credentials(), filter.http_filter(&group.provider)];
    let mut cluster = named(provider, &group.name, first, &[IpNet::from(IpAddr::V4(NOWHERE))]);
    if let Some(load_assignment) = &mut cluster.load_assignment {
        load_assignment.endpoints.push(host(NOWHERE.to_string(), provider.port, LAST_PRIORITY));
    }
    cluster
}

fn named<const N: usize>(
    provider: &ProviderCluster,
    name: &str,
    first: [HttpFilter; N],
    open: &[IpNet],
) -> Cluster {
    let thresholds = Thresholds {
        max_connections: count(MAX_REQUESTS),
        max_pending_requests: count(MAX_REQUESTS),
        max_requests: count(MAX_REQUESTS),
        // Of routing groups. By default Envoy makes three at a time.
        max_retries: count(MAX_REQUESTS),
        ..Thresholds::default()
    };
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(CustomClusterType {
            name: "envoy.cluster.dns".to_owned(),
            typed_config: Some(pack_any(dns())),
        })),
        connect_timeout: Some(CONNECT_TIMEOUT),
        load_assignment: Some(endpoint(provider, name)),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![thresholds],
            ..CircuitBreakers::default()
        }),
        transport_socket: match &provider.transport {
            Transport::Plaintext => None,
            Transport::Tls { ca_path } => Some(tls(&provider.host, ca_path.as_deref())),
        },
        typed_extension_protocol_options: HashMap::from([(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(),
            pack_any(http(provider, first, open)),
        )]),
        ..Cluster::default()
    }
}

/// Each address is a host of its own, since it is the selected host's address that is looked at: of a host
/// with several, Envoy would look at the first and may connect to another.
fn dns() -> DnsCluster {
    DnsCluster {
        respect_dns_ttl: true,
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        all_addresses_in_single_endpoint: false,
        ..DnsCluster::default()
    }
}

fn endpoint(provider: &ProviderCluster, cluster: &str) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![host(provider.host.clone(), provider.port, FIRST_PRIORITY)],
        ..ClusterLoadAssignment::default()
    }
}

fn host(address: String, port: u16, priority: u32) -> LocalityLbEndpoints {
    let address = SocketAddress {
        address,
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..SocketAddress::default()
    };
    let endpoint = Endpoint {
        address: Some(Address { address: Some(AddressKind::SocketAddress(address)) }),
        ..Endpoint::default()
    };
    let endpoint =
        LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() };
    LocalityLbEndpoints { lb_endpoints: vec![endpoint], priority, ..LocalityLbEndpoints::default() }
}

/// An IP address is no SNI; its certificate is matched by the address instead.
fn tls(host: &str, ca_path: Option<&str>) -> TransportSocket {
    let by_address = host.parse::<IpAddr>().is_ok();
    let address_matcher = SubjectAltNameMatcher {
        san_type: SanType::IpAddress.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(host.to_owned())),
            ..StringMatcher::default()
        }),
        ..SubjectAltNameMatcher::default()
    };
    let ca = Specifier::Filename(ca_path.unwrap_or(SYSTEM_CA).to_owned());
    let validation = CertificateValidationContext {
        trusted_ca: Some(DataSource { specifier: Some(ca), watched_directory: None }),
        match_typed_subject_alt_names: by_address.then_some(address_matcher).into_iter().collect(),
        ..CertificateValidationContext::default()
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
            ..CommonTlsContext::default()
        }),
        sni: if by_address { String::new() } else { host.to_owned() },
        auto_sni_san_validation: !by_address,
        ..UpstreamTlsContext::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(TransportConfig::TypedConfig(pack_any(context))),
    }
}

fn http<const N: usize>(
    provider: &ProviderCluster,
    first: [HttpFilter; N],
    open: &[IpNet],
) -> HttpProtocolOptions {
    let http1 = Http1ProtocolOptions::default();
    let keepalive = KeepaliveSettings {
        interval: Some(Duration { seconds: 30, nanos: 0 }),
        timeout: Some(Duration { seconds: 10, nanos: 0 }),
        ..KeepaliveSettings::default()
    };
    let http2 =
        Http2ProtocolOptions { connection_keepalive: Some(keepalive), ..Http2ProtocolOptions::default() };
    let protocol = match provider.transport {
        Transport::Plaintext => UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::HttpProtocolOptions(http1)),
        }),
        Transport::Tls { .. } => UpstreamProtocolOptions::AutoConfig(AutoHttpConfig {
            http_protocol_options: Some(http1),
            http2_protocol_options: Some(http2),
            ..AutoHttpConfig::default()
        }),
    };
    let reach = blocked_addresses::filter(&provider.reach, open);
    let injector = provider.credential.as_ref().map(|credential| injector(provider, credential));
    let codec = filter("envoy.filters.http.upstream_codec", pack_any(UpstreamCodec {}));
    HttpProtocolOptions {
        common_http_protocol_options: Some(CommonHttpOptions {
            idle_timeout: Some(IDLE_TIMEOUT),
            ..CommonHttpOptions::default()
        }),
        upstream_protocol_options: Some(protocol),
        http_filters: first.into_iter().chain(reach).chain(injector).chain([codec]).collect(),
        ..HttpProtocolOptions::default()
    }
}

/// Without its credential a request is not let through: Envoy answers 401.
fn injector(provider: &ProviderCluster, credential: &Credential) -> HttpFilter {
    let over_ads = ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        resource_api_version: ApiVersion::V3.into(),
        ..ConfigSource::default()
    };
    let generic = Generic {
        credential: Some(SdsSecretConfig { name: secret::name(provider), sds_config: Some(over_ads) }),
        header: credential.header.clone(),
        header_value_prefix: String::new(),
    };
    let injector = CredentialInjector {
        overwrite: true,
        allow_request_without_credential: false,
        credential: Some(TypedExtensionConfig {
            name: "envoy.http.injected_credentials.generic".to_owned(),
            typed_config: Some(pack_any(generic)),
        }),
    };
    filter("envoy.filters.http.credential_injector", pack_any(injector))
}

fn filter(name: &str, config: envoy_types::pb::google::protobuf::Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(FilterConfig::TypedConfig(config)),
        ..HttpFilter::default()
    }
}

fn count(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}
