use prost::Message as _;

use super::*;

fn provider(host: &str, transport: Transport, credential: Option<Credential>) -> ProviderCluster {
    ProviderCluster {
        name: "latchkey/openai".to_owned(),
        host: host.to_owned(),
        port: 443,
        transport,
        credential,
        reach: BlockedAddresses::default(),
    }
}

fn tls_context(host: &str) -> UpstreamTlsContext {
    let cluster = cluster(&provider(host, Transport::Tls { ca_path: None }, None));
    let Some(TransportConfig::TypedConfig(config)) = cluster.transport_socket.unwrap().config_type else {
        panic!("no configuration");
    };
    UpstreamTlsContext::decode(&config.value[..]).unwrap()
}

fn subject_alt_names(context: UpstreamTlsContext) -> usize {
    match context.common_tls_context.unwrap().validation_context_type {
        Some(ValidationContextType::ValidationContext(validation)) => {
            assert!(validation.trusted_ca.is_some());
            validation.match_typed_subject_alt_names.len()
        }
        other => panic!("not verified: {other:?}"),
    }
}

fn filters(provider: &ProviderCluster) -> Vec<String> {
    http(provider).http_filters.into_iter().map(|filter| filter.name).collect()
}

#[test]
fn a_certificate_must_name_the_host() {
    let context = tls_context("api.openai.com");
    assert_eq!((context.sni.as_str(), context.auto_sni_san_validation), ("api.openai.com", true));
    assert_eq!(subject_alt_names(context), 0);
}

#[test]
fn a_certificate_must_name_the_address() {
    let context = tls_context("::1");
    assert_eq!((context.sni.as_str(), context.auto_sni_san_validation), ("", false));
    assert_eq!(subject_alt_names(context), 1);
}

#[test]
fn a_credential_is_injected_before_the_codec_and_is_not_in_the_cluster() {
    let credential = Credential { header: "api-key".to_owned(), value: "s3cret".into() };
    let with = provider("localhost", Transport::Plaintext, Some(credential));
    assert_eq!(
        filters(&with),
        ["envoy.filters.http.credential_injector", "envoy.filters.http.upstream_codec"]
    );
    let encoded = cluster(&with).encode_to_vec();
    assert!(!encoded.windows(6).any(|bytes| bytes == b"s3cret"));
    assert!(encoded.windows(26).any(|bytes| bytes == b"latchkey/openai/credential"));
    assert!(!format!("{with:?}").contains("s3cret"));
}

#[test]
fn without_a_credential_nothing_is_injected() {
    let without = provider("localhost", Transport::Plaintext, None);
    assert_eq!(filters(&without), ["envoy.filters.http.upstream_codec"]);
}

#[test]
fn an_address_is_looked_at_before_anything_is_sent() {
    let mut closed = provider("models.acme.com", Transport::Plaintext, None);
    let range = |text: &str| text.parse().unwrap();
    closed.reach.never = vec![range("169.254.0.0/16")];
    closed.reach.closed = vec![range("127.0.0.0/8"), range("10.0.0.0/8")];
    closed.reach.opened = vec![range("127.0.0.1/32")];
    assert_eq!(filters(&closed), ["envoy.filters.http.upstream_rbac", "envoy.filters.http.upstream_codec"]);
    let dns = dns();
    assert!(!dns.all_addresses_in_single_endpoint, "each address is looked at");
}
