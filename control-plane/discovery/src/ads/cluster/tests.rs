use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier as CodeSource;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::FailurePolicy;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{StringValue, Struct, Value};
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
        group: None,
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
    http(provider, [], &[]).http_filters.into_iter().map(|filter| filter.name).collect()
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

/// A node whose metadata have this under `latchkey`.
fn node(latchkey: &[(&str, &str)]) -> Node {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let fields = latchkey.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    let latchkey = Value { kind: Some(Kind::StructValue(Struct { fields })) };
    let metadata = Struct { fields: HashMap::from([("latchkey".to_owned(), latchkey)]) };
    Node { metadata: Some(metadata), ..Node::default() }
}

fn group() -> GroupCluster {
    GroupCluster { name: "latchkey/group/07".to_owned(), provider: "openai".to_owned() }
}

#[test]
fn a_node_says_where_it_has_the_filter() {
    let of = |latchkey: &[(&str, &str)]| AttemptFilter::of(&node(latchkey));
    assert!(of(&[("filter_wasm", "/gate.wasm"), ("vm_id", "latchkey")]).is_some());
    assert_eq!(of(&[("filter_wasm", "/gate.wasm")]), None);
    assert_eq!(of(&[("filter_wasm", ""), ("vm_id", "latchkey")]), None);
    assert_eq!(AttemptFilter::of(&Node::default()), None);
}

#[test]
fn the_cluster_for_groups_has_the_attempt_filter_before_all_others_and_the_same_secret() {
    let credential = Credential { header: "api-key".to_owned(), value: "s3cret".into() };
    let mut known = provider("models.acme.com", Transport::Plaintext, Some(credential));
    known.reach.never = vec!["169.254.0.0/16".parse().unwrap()];
    let filter = AttemptFilter::of(&node(&[("filter_wasm", "/gate.wasm"), ("vm_id", "latchkey")])).unwrap();
    let cluster = group_cluster(&known, &group(), &filter);
    assert_eq!(cluster.name, "latchkey/group/07");
    assert_eq!(cluster.load_assignment.as_ref().unwrap().cluster_name, "latchkey/group/07");
    let hosts = &cluster.load_assignment.as_ref().unwrap().endpoints;
    let at = |host: &LocalityLbEndpoints| {
        let Some(HostIdentifier::Endpoint(endpoint)) = &host.lb_endpoints[0].host_identifier else {
            panic!("no endpoint")
        };
        let Some(AddressKind::SocketAddress(address)) = &endpoint.address.as_ref().unwrap().address else {
            panic!("no socket")
        };
        (host.priority, address.address.clone())
    };
    let expected = [(0, "models.acme.com".to_owned()), (1, "255.255.255.255".to_owned())];
    assert_eq!(
        hosts.iter().map(at).collect::<Vec<_>>(),
        expected,
        "a connection to the last one fails at once"
    );
    let encoded = cluster.encode_to_vec();
    let holds = |text: &str| encoded.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds("latchkey/openai/credential") && !holds("s3cret"));

    let options =
        &cluster.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    let filters = HttpProtocolOptions::decode(&options.value[..]).unwrap().http_filters;
    let names: Vec<_> = filters.iter().map(|filter| filter.name.as_str()).collect();
    let expected = [
        "envoy.filters.http.header_mutation",
        "latchkey.attempt",
        "envoy.filters.http.upstream_rbac",
        "envoy.filters.http.credential_injector",
        "envoy.filters.http.upstream_codec",
    ];
    assert_eq!(names, expected);
    let Some(FilterConfig::TypedConfig(config)) = &filters[1].config_type else { panic!("no configuration") };
    assert_eq!(config.type_url, "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm");
    let plugin = Wasm::decode(&config.value[..]).unwrap().config.unwrap();
    assert_eq!((plugin.name.as_str(), plugin.root_id.as_str()), ("latchkey_attempt", "latchkey_attempt"));
    assert_eq!(plugin.failure_policy(), FailurePolicy::FailReload);
    assert!(plugin.allow_on_headers_stop_iteration.unwrap().value);
    let configuration = StringValue::decode(&plugin.configuration.unwrap().value[..]).unwrap().value;
    assert_eq!(configuration, r#"{"role":"attempt","provider":"openai"}"#);
    let Some(Vm::VmConfig(vm)) = plugin.vm else { panic!("no VM") };
    assert_eq!((vm.vm_id.as_str(), vm.runtime.as_str()), ("latchkey", "envoy.wasm.runtime.v8"));
    let Some(CodeSource::Local(code)) = vm.code.unwrap().specifier else { panic!("no file") };
    assert_eq!(code.specifier, Some(Specifier::Filename("/gate.wasm".to_owned())));
}
