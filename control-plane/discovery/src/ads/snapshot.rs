//! The resources of a type that an Envoy asks for, and their version.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;
use prost::Name as _;

use super::cluster::AttemptFilter;
use super::{cluster, secret};
use crate::source::ProviderCluster;

/// The resource types that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cluster,
    Secret,
}

/// Versions by content. The hash is keyed anew in each process: a version, which Envoy shows in
/// its logs and its admin pages, tells nothing about a credential.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    key: Arc<RandomState>,
}

/// What one Envoy gets.
#[derive(Debug)]
pub(super) struct EnvoyResources {
    pub(super) version: String,
    pub(super) resources: Vec<Any>,
}

impl Kind {
    pub(super) fn of(type_url: &str) -> Option<Self> {
        [Self::Cluster, Self::Secret].into_iter().find(|kind| kind.type_url() == type_url)
    }

    pub(super) fn type_url(self) -> String {
        match self {
            Self::Cluster => Cluster::type_url(),
            Self::Secret => Secret::type_url(),
        }
    }
}

impl Versions {
    /// Clusters named, or all when none is named; secrets named. Those for routing groups are for an Envoy that has
    /// the filter.
    pub(super) fn select(
        &self,
        kind: Kind,
        names: &BTreeSet<String>,
        known: &[ProviderCluster],
        filter: Option<&AttemptFilter>,
    ) -> EnvoyResources {
        let resources: Vec<Any> = match kind {
            Kind::Cluster => {
                let all = names.is_empty() || names.contains("*");
                let of_provider = |provider: &ProviderCluster| {
                    let group = filter.and_then(|filter| group_cluster(provider, filter));
                    std::iter::once(cluster::cluster(provider)).chain(group)
                };
                let clusters = known.iter().flat_map(of_provider);
                clusters.filter(|one| all || names.contains(&one.name)).map(pack_any).collect()
            }
            Kind::Secret => {
                let secrets = known.iter().filter_map(secret::secret);
                secrets.filter(|secret| names.contains(&secret.name)).map(pack_any).collect()
            }
        };
        let contents: Vec<&[u8]> = resources.iter().map(|resource| resource.value.as_slice()).collect();
        EnvoyResources { version: format!("{:016x}", self.key.hash_one(contents)), resources }
    }
}

fn group_cluster(provider: &ProviderCluster, filter: &AttemptFilter) -> Option<Cluster> {
    provider.group.as_ref().map(|group| cluster::group_cluster(provider, group, filter))
}
