//! What one Envoy has subscribed to, as a pure state machine: xDS's rules for the state of the world.
//!
//! - Each resource type has nonces and versions of its own. A version is a hash of what is sent.
//! - A request with another nonce than that of the type's last response is stale, and ignored.
//! - A request with `error_detail` is a NACK. What was refused is not sent again until it changes.
//! - Another list of resource names is answered at once, ACK or not.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use tonic::Status;

use super::cluster::AttemptFilter;
use super::snapshot::{Kind, Versions};
use super::status::{AdsStatus, TypeStatus};
use crate::source::ProviderCluster;

#[cfg(test)]
mod tests;

/// The longest error that is kept of a NACK, in characters.
const MAX_ERROR: usize = 500;

/// Stands for Envoy's own words, which may quote the secret.
const SECRET_REFUSED: &str = "Envoy refused a credential; its log says why";

/// The state of one ADS stream.
#[derive(Debug)]
pub(super) struct Subscriptions {
    versions: Versions,
    responses: u64,
    status: AdsStatus,
    /// As the first request said that names the node: Envoy says it once.
    filter: Option<AttemptFilter>,
    clusters: Option<Subscription>,
    secrets: Option<Subscription>,
}

#[derive(Debug, Default)]
struct Subscription {
    names: BTreeSet<String>,
    nonce: String,
    version: String,
}

impl Subscriptions {
    pub(super) fn new(versions: Versions) -> Self {
        let status = AdsStatus::default();
        Self { versions, responses: 0, status, filter: None, clusters: None, secrets: None }
    }

    pub(super) fn status(&self) -> &AdsStatus {
        &self.status
    }

    /// Takes a request in; says what to answer.
    ///
    /// # Errors
    /// With the status that ends the stream.
    pub(super) fn hear(
        &mut self,
        request: DiscoveryRequest,
        known: &[ProviderCluster],
    ) -> Result<Vec<DiscoveryResponse>, Status> {
        if self.status.node.is_empty()
            && let Some(node) = request.node
        {
            self.filter = AttemptFilter::of(&node);
            self.status.gets_group_clusters = self.filter.is_some();
            self.status.node = node.id;
        }
        if self.status.node.is_empty() {
            return Err(Status::invalid_argument("the first request names no node id"));
        }
        let Some(kind) = Kind::of(&request.type_url) else {
            tracing::warn!(node = self.status.node, type_url = request.type_url, "xDS type is not served");
            return Ok(Vec::new());
        };
        let names: BTreeSet<String> = request.resource_names.into_iter().collect();
        let Some(subscription) = self.subscription(kind) else {
            *self.slot(kind) = Some(Subscription { names, ..Subscription::default() });
            return Ok(vec![self.respond(kind, known)]);
        };
        if request.response_nonce != subscription.nonce {
            return Ok(Vec::new());
        }
        let renamed = subscription.names != names;
        subscription.names = names;
        let version = subscription.version.clone();
        let error = request.error_detail.map(|status| match kind {
            Kind::Cluster => status.message.chars().take(MAX_ERROR).collect(),
            Kind::Secret => SECRET_REFUSED.to_owned(),
        });
        self.note(kind, version, error);
        Ok(if renamed { vec![self.respond(kind, known)] } else { Vec::new() })
    }

    /// What to send now that clusters or credentials have changed.
    pub(super) fn publish(&mut self, known: &[ProviderCluster]) -> Vec<DiscoveryResponse> {
        let mut responses = Vec::new();
        for kind in [Kind::Cluster, Kind::Secret] {
            let Some(subscription) = self.subscription(kind) else { continue };
            let (names, version) = (subscription.names.clone(), subscription.version.clone());
            if self.versions.select(kind, &names, known, self.filter.as_ref()).version != version {
                responses.push(self.respond(kind, known));
            }
        }
        responses
    }

    fn respond(&mut self, kind: Kind, known: &[ProviderCluster]) -> DiscoveryResponse {
        self.responses += 1;
        let nonce = self.responses.to_string();
        let names = self.subscription(kind).map(|it| it.names.clone()).unwrap_or_default();
        let selection = self.versions.select(kind, &names, known, self.filter.as_ref());
        self.type_status(kind).sent.clone_from(&selection.version);
        *self.slot(kind) =
            Some(Subscription { names, nonce: nonce.clone(), version: selection.version.clone() });
        DiscoveryResponse {
            version_info: selection.version,
            resources: selection.resources,
            type_url: kind.type_url(),
            nonce,
            ..DiscoveryResponse::default()
        }
    }

    fn note(&mut self, kind: Kind, version: String, error: Option<String>) {
        if let Some(error) = &error {
            tracing::warn!(node = self.status.node, r#type = ?kind, version, error, "Envoy refused what it was sent");
        }
        let status = self.type_status(kind);
        if error.is_none() {
            status.accepted = version;
        }
        status.last_error = error;
    }

    fn subscription(&mut self, kind: Kind) -> Option<&mut Subscription> {
        self.slot(kind).as_mut()
    }

    fn slot(&mut self, kind: Kind) -> &mut Option<Subscription> {
        match kind {
            Kind::Cluster => &mut self.clusters,
            Kind::Secret => &mut self.secrets,
        }
    }

    fn type_status(&mut self, kind: Kind) -> &mut TypeStatus {
        match kind {
            Kind::Cluster => &mut self.status.clusters,
            Kind::Secret => &mut self.status.secrets,
        }
    }
}
