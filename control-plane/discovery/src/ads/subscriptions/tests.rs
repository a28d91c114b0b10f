use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::rpc;

use super::*;
use crate::source::{BlockedAddresses, Credential, Transport};

const CREDENTIAL: &str = "latchkey/openai/credential";

fn provider(host: &str, credential: &str) -> ProviderCluster {
    ProviderCluster {
        name: "latchkey/openai".to_owned(),
        host: host.to_owned(),
        port: 80,
        transport: Transport::Plaintext,
        credential: Some(Credential { header: "authorization".to_owned(), value: credential.into() }),
        reach: BlockedAddresses::default(),
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
