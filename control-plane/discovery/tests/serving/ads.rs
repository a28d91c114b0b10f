use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::rpc;
use latchkey_discovery::source::{BlockedAddresses, Credential, ProviderCluster, Transport};
use prost::{Message as _, Name as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::support::{ControlPlane, TOKEN, Verdict, with_token};

/// An Envoy's ADS stream.
struct Envoy {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

fn provider(credential: &str) -> ProviderCluster {
    ProviderCluster {
        name: "latchkey/openai".to_owned(),
        host: "api.openai.com".to_owned(),
        port: 443,
        transport: Transport::Tls { ca_path: None },
        credential: Some(Credential { header: "authorization".to_owned(), value: credential.into() }),
        reach: BlockedAddresses::default(),
        group: None,
    }
}

impl Envoy {
    async fn connect(control_plane: &ControlPlane) -> Self {
        let (requests, outgoing) = mpsc::channel(16);
        let request = with_token(ReceiverStream::new(outgoing), Some(TOKEN));
        let mut client = AggregatedDiscoveryServiceClient::new(control_plane.channel.clone());
        let responses = client.stream_aggregated_resources(request).await.unwrap().into_inner();
        Self { requests, responses }
    }

    async fn say(&self, request: DiscoveryRequest) {
        let node = Some(Node { id: "gw-1".to_owned(), ..Node::default() });
        self.requests.send(DiscoveryRequest { node, ..request }).await.unwrap();
    }

    async fn subscribe(&self, type_url: String, names: &[&str]) {
        let resource_names = names.iter().map(|name| (*name).to_owned()).collect();
        self.say(DiscoveryRequest { type_url, resource_names, ..DiscoveryRequest::default() }).await;
    }

    async fn answer(&self, response: &DiscoveryResponse, names: &[&str], error: Option<&str>) {
        let error =
            error.map(|message| rpc::Status { message: message.to_owned(), ..rpc::Status::default() });
        let request = DiscoveryRequest {
            version_info: response.version_info.clone(),
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            error_detail: error,
            ..DiscoveryRequest::default()
        };
        self.say(request).await;
    }

    /// Another list of names is answered at once: so all that was said before is heard.
    async fn heard(&mut self, clusters: &DiscoveryResponse, names: &[&str]) -> DiscoveryResponse {
        self.answer(clusters, names, None).await;
        let response = self.receive().await;
        assert_eq!(response.type_url, Cluster::type_url());
        response
    }

    async fn receive(&mut self) -> DiscoveryResponse {
        self.responses.message().await.unwrap().expect("the stream goes on")
    }
}

fn credential(response: &DiscoveryResponse) -> String {
    let secret = Secret::decode(&response.resources[0].value[..]).unwrap();
    assert_eq!(secret.name, "latchkey/openai/credential");
    format!("{:?}", secret.r#type)
}

#[tokio::test]
async fn an_envoy_gets_clusters_and_the_credentials_that_it_names() {
    let control_plane = ControlPlane::start().await;
    control_plane.source.publish(vec![provider("Bearer one")]);
    let mut envoy = Envoy::connect(&control_plane).await;
    envoy.subscribe(Cluster::type_url(), &[]).await;
    let clusters = envoy.receive().await;
    assert_eq!(Cluster::decode(&clusters.resources[0].value[..]).unwrap().name, "latchkey/openai");
    envoy.answer(&clusters, &[], None).await;

    envoy.subscribe(Secret::type_url(), &["latchkey/openai/credential"]).await;
    let first = envoy.receive().await;
    envoy.answer(&first, &["latchkey/openai/credential"], None).await;
    let clusters = envoy.heard(&clusters, &["*"]).await;
    control_plane.source.publish(vec![provider("Bearer two")]);
    let second = envoy.receive().await;
    assert_eq!(second.type_url, Secret::type_url(), "the cluster has not changed");
    assert_ne!(credential(&first), credential(&second));
    assert_ne!(first.version_info, second.version_info);

    envoy.answer(&second, &["latchkey/openai/credential"], Some("no thanks")).await;
    envoy.subscribe("type.googleapis.com/unknown".to_owned(), &[]).await;
    let clusters = envoy.heard(&clusters, &[]).await;
    let status = &control_plane.statuses.all()[0];
    assert_eq!(status.node, "gw-1");
    assert_eq!(status.clusters.accepted, clusters.version_info);
    assert_eq!(status.secrets.accepted, first.version_info);
    let shown = "Envoy refused a credential; its log says why";
    assert_eq!(status.secrets.last_error.as_deref(), Some(shown), "not what Envoy said: it may quote it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_an_envoy_is_heard_reaches_it() {
    let control_plane = ControlPlane::start().await;
    let mut envoy = Envoy::connect(&control_plane).await;
    envoy.subscribe(Cluster::type_url(), &[]).await;
    let mut clusters = envoy.receive().await;
    for round in 0..400 {
        envoy.answer(&clusters, &[], None).await;
        // Sooner and later after it, so that some rounds meet the moment at which it is heard.
        let since = Instant::now();
        while since.elapsed() < Duration::from_micros(2 * u64::from(round)) {
            std::hint::spin_loop();
        }
        control_plane.source.publish(vec![ProviderCluster { port: 1_000 + round, ..provider("Bearer one") }]);
        let next = tokio::time::timeout(Duration::from_secs(30), envoy.receive()).await;
        clusters = next.unwrap_or_else(|_| panic!("change {round} did not come"));
    }
}

#[tokio::test]
async fn ads_needs_the_gateway_token_too() {
    let control_plane = ControlPlane::start().await;
    let mut client = AggregatedDiscoveryServiceClient::new(control_plane.channel.clone());
    let request = with_token(tokio_stream::pending(), Some("wrong"));
    let status = client.stream_aggregated_resources(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_ads_stream_ends_when_its_token_is_revoked_but_not_while_that_cannot_be_told() {
    let control_plane = ControlPlane::start().await;
    let mut envoy = Envoy::connect(&control_plane).await;
    envoy.subscribe(Cluster::type_url(), &[]).await;
    let clusters = envoy.receive().await;

    control_plane.token.becomes(Verdict::Unknown);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert_eq!(control_plane.token.checks(), 2);
    envoy.heard(&clusters, &["*"]).await;

    control_plane.token.becomes(Verdict::Revoked);
    tokio::time::pause();
    let status = envoy.responses.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn delta_ads_is_refused_with_advice() {
    let control_plane = ControlPlane::start().await;
    let mut client = AggregatedDiscoveryServiceClient::new(control_plane.channel.clone());
    let request = with_token(tokio_stream::pending(), Some(TOKEN));
    let status = client.delta_aggregated_resources(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}
