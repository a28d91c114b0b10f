use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::value::Kind as ValueKind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use envoy_types::pb::google::rpc;
use prost::Message as _;

use super::*;
use crate::source::{BlockedAddresses, Credential, GroupCluster, Transport};

const CREDENTIAL: &str = "latchkey/openai/credential";

fn provider(host: &str, credential: &str) -> ProviderCluster {
    ProviderCluster {
        name: "latchkey/openai".to_owned(),
        host: host.to_owned(),
        port: 80,
        transport: Transport::Plaintext,
        credential: Some(Credential { header: "authorization".to_owned(), value: credential.into() }),
        reach: BlockedAddresses::default(),
        group: None,
    }
}

fn request(kind: Kind, nonce: &str, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        node: Some(Node { id: "gw-1".to_owned(), ..Node::default() }),
        type_url: kind.type_url(),
        response_nonce: nonce.to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DiscoveryRequest::default()
    }
}

fn refusal(kind: Kind, nonce: &str, names: &[&str]) -> DiscoveryRequest {
    let error = rpc::Status { message: "no thanks".to_owned(), ..rpc::Status::default() };
    DiscoveryRequest { error_detail: Some(error), ..request(kind, nonce, names) }
}

fn only(responses: Result<Vec<DiscoveryResponse>, Status>) -> DiscoveryResponse {
    let [response] = <[_; 1]>::try_from(responses.unwrap()).unwrap();
    response
}

#[test]
fn the_first_request_names_the_node() {
    let anonymous = DiscoveryRequest { node: None, ..request(Kind::Cluster, "", &[]) };
    let status = Subscriptions::new(Versions::default()).hear(anonymous, &[]).unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

#[test]
fn an_ack_is_not_answered_and_notes_the_version() {
    let known = [provider("one", "secret")];
    let mut envoy = Subscriptions::new(Versions::default());
    let response = only(envoy.hear(request(Kind::Cluster, "", &[]), &known));
    assert!(envoy.hear(request(Kind::Cluster, &response.nonce, &[]), &known).unwrap().is_empty());
    assert_eq!(envoy.status().clusters.accepted, response.version_info);
    assert!(envoy.publish(&known).is_empty(), "nothing has changed");
}

#[test]
fn what_was_refused_is_sent_again_only_when_it_changes() {
    let known = [provider("one", "secret")];
    let mut envoy = Subscriptions::new(Versions::default());
    let response = only(envoy.hear(request(Kind::Cluster, "", &[]), &known));
    assert!(envoy.hear(refusal(Kind::Cluster, &response.nonce, &[]), &known).unwrap().is_empty());
    assert_eq!(envoy.status().clusters.last_error.as_deref(), Some("no thanks"));
    assert_eq!(envoy.status().clusters.accepted, "");
    assert!(envoy.publish(&known).is_empty());
    let better = only(Ok(envoy.publish(&[provider("two", "secret")])));
    envoy.hear(request(Kind::Cluster, &better.nonce, &[]), &known).unwrap();
    assert_eq!(envoy.status().clusters.last_error, None);
}

#[test]
fn a_stale_nonce_is_ignored() {
    let mut envoy = Subscriptions::new(Versions::default());
    let first = only(envoy.hear(request(Kind::Cluster, "", &[]), &[]));
    envoy.publish(&[provider("one", "secret")]);
    assert!(envoy.hear(refusal(Kind::Cluster, &first.nonce, &["other"]), &[]).unwrap().is_empty());
    assert_eq!(envoy.status().clusters.last_error, None);
}

#[test]
fn only_secrets_that_are_named_are_sent() {
    let known = [provider("one", "secret")];
    let mut envoy = Subscriptions::new(Versions::default());
    let none = only(envoy.hear(request(Kind::Secret, "", &["another"]), &known));
    assert_eq!(none.resources, []);
    let one = only(envoy.hear(request(Kind::Secret, &none.nonce, &["another", CREDENTIAL]), &known));
    assert_eq!(one.resources.len(), 1);
}

#[test]
fn a_new_credential_changes_the_secret_and_not_the_cluster() {
    let mut envoy = Subscriptions::new(Versions::default());
    let known = [provider("one", "secret")];
    envoy.hear(request(Kind::Cluster, "", &[]), &known).unwrap();
    envoy.hear(request(Kind::Secret, "", &[CREDENTIAL]), &known).unwrap();
    let responses = envoy.publish(&[provider("one", "another")]);
    assert_eq!(responses.iter().map(|it| it.type_url.clone()).collect::<Vec<_>>(), [Kind::Secret.type_url()]);
}

#[test]
fn types_that_are_not_served_are_left_unanswered() {
    let listeners =
        DiscoveryRequest { type_url: "type.googleapis.com/x".to_owned(), ..request(Kind::Cluster, "", &[]) };
    assert!(Subscriptions::new(Versions::default()).hear(listeners, &[]).unwrap().is_empty());
}

/// A gateway that has the filter.
fn with_filter(request: DiscoveryRequest) -> DiscoveryRequest {
    let text = |text: &str| Value { kind: Some(ValueKind::StringValue(text.to_owned())) };
    let fields = [("filter_wasm", "/gate.wasm"), ("vm_id", "latchkey")];
    let fields = fields.map(|(name, value)| (name.to_owned(), text(value))).into();
    let latchkey = Value { kind: Some(ValueKind::StructValue(Struct { fields })) };
    let metadata = Some(Struct { fields: [("latchkey".to_owned(), latchkey)].into() });
    let node = request.node.map(|node| Node { metadata, ..node });
    DiscoveryRequest { node, ..request }
}

fn names(response: &DiscoveryResponse) -> Vec<String> {
    response.resources.iter().map(|one| Cluster::decode(&one.value[..]).unwrap().name).collect()
}

#[test]
fn clusters_for_groups_are_for_gateways_that_have_the_filter() {
    let group = GroupCluster { name: "latchkey/group/00".to_owned(), provider: "openai".to_owned() };
    let known = [ProviderCluster { group: Some(group), ..provider("one", "secret") }];
    let mut older = Subscriptions::new(Versions::default());
    let response = only(older.hear(request(Kind::Cluster, "", &[]), &known));
    assert_eq!(names(&response), ["latchkey/openai"]);
    let mut envoy = Subscriptions::new(Versions::default());
    let first = only(envoy.hear(with_filter(request(Kind::Cluster, "", &[])), &[provider("one", "secret")]));
    assert_eq!(names(&first), ["latchkey/openai"], "no group has it");
    // Only the first request says where the filter is.
    let then = only(Ok(envoy.publish(&known)));
    assert_eq!(names(&then), ["latchkey/openai", "latchkey/group/00"]);
    assert!(older.publish(&[provider("one", "secret")]).is_empty(), "nothing has changed for the other");
    assert_eq!([&older, &envoy].map(|it| it.status().gets_group_clusters), [false, true], "and it is said");
}
