//! Envoy's aggregated discovery service, state of the world: provider clusters (CDS) and their
//! credentials (SDS).

use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use futures::Stream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::admission::Admission;
use crate::server::{STOPPING, stopped};
use crate::source::{Authenticator, ProviderCluster, Source};
use snapshot::Versions;
pub use status::{AdsStatus, Statuses, TypeStatus};
use subscriptions::Subscriptions;

pub mod cluster;

mod secret;

mod snapshot;

pub mod status;

mod subscriptions;

/// The largest message taken from an Envoy.
const MAX_REQUEST: usize = 1 << 20;

/// Responses that wait for a slow Envoy before it is dropped.
const QUEUE: usize = 16;

/// Serves clusters and credentials from a source.
#[derive(Debug)]
pub struct Server<S, A> {
    source: Arc<S>,
    authenticator: Arc<A>,
    statuses: Statuses,
    versions: Versions,
    stopping: watch::Receiver<bool>,
}

impl<S: Source, A: Authenticator> Server<S, A> {
    /// A server whose streams end once `stopping` holds true.
    #[must_use]
    pub fn new(
        source: Arc<S>,
        authenticator: Arc<A>,
        statuses: Statuses,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { source, authenticator, statuses, versions: Versions::default(), stopping }
    }

    /// The gRPC service, with its message limits.
    #[must_use]
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

#[tonic::async_trait]
impl<S: Source, A: Authenticator> AggregatedDiscoveryService for Server<S, A> {
    type StreamAggregatedResourcesStream = ReceiverStream<Result<DiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let admission = Admission::check(&self.authenticator, request.metadata()).await?;
        let (answers, responses) = mpsc::channel(QUEUE);
        let subscriptions = Subscriptions::new(self.versions.clone());
        let stream = serve(
            request.into_inner(),
            answers,
            subscriptions,
            self.source.clusters(),
            self.statuses.clone(),
            self.stopping.clone(),
            admission,
        );
        tokio::spawn(stream);
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    type DeltaAggregatedResourcesStream =
        Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("delta ADS is not served: set `api_type: GRPC` in Envoy's ads_config"))
    }
}

/// The node says who it is in its first request, and may in others.
async fn claim<A: Authenticator>(admission: &Admission<A>, request: &DiscoveryRequest) -> Result<(), Status> {
    match &request.node {
        Some(node) if !node.id.is_empty() => admission.claim(&node.id).await,
        _ => Ok(()),
    }
}

async fn serve<A: Authenticator>(
    mut requests: Streaming<DiscoveryRequest>,
    answers: mpsc::Sender<Result<DiscoveryResponse, Status>>,
    mut subscriptions: Subscriptions,
    mut clusters: watch::Receiver<Arc<[ProviderCluster]>>,
    statuses: Statuses,
    mut stopping: watch::Receiver<bool>,
    admission: Admission<A>,
) {
    let mut lost = std::pin::pin!(admission.lost());
    let listing = statuses.connect();
    loop {
        // Not as seen: what changes while Envoy is heard is published afterwards.
        let known = Arc::clone(&clusters.borrow());
        let responses = tokio::select! {
            message = requests.message() => match message {
                Ok(Some(request)) => match claim(&admission, &request).await {
                    Ok(()) => subscriptions.hear(request, &known),
                    Err(status) => Err(status),
                },
                Ok(None) => break,
                Err(status) => Err(status),
            },
            Ok(()) = clusters.changed() => {
                let known = Arc::clone(&clusters.borrow_and_update());
                Ok(subscriptions.publish(&known))
            }
            status = &mut lost => Err(status),
            () = stopped(&mut stopping) => Err(Status::unavailable(STOPPING)),
            () = answers.closed() => break,
        };
        listing.report(subscriptions.status());
        let sent = match responses {
            Ok(responses) => responses.into_iter().all(|response| answers.try_send(Ok(response)).is_ok()),
            Err(status) => {
                // An Envoy that has left needs no farewell.
                answers.try_send(Err(status)).ok();
                false
            }
        };
        if !sent {
            break;
        }
    }
}
