//! What the discovery servers read: the database, and a signal at each commit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ipnet::IpNet;
use latchkey_core::provider::{BaseUrl, ProviderKind};
use latchkey_core::upstream::{Opened, PRIVATE, SPECIAL, forms};
use latchkey_discovery::source::{
    Batch, BlockedAddresses, Credential, From, GroupCluster, Position, ProviderCluster, Source, Transport,
};
use latchkey_store::feed::FeedCursor;
use latchkey_store::seal::{MasterKey, Purpose, Sealed};
use latchkey_store::upstreams::{DetectorProtocol, McpProtocol, ModelProtocol, Protocol, Upstream};
use latchkey_store::{Backend, Store};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

/// The database as a source for gateways.
pub struct Feed {
    store: Store,
    master: MasterKey,
    ca_bundle: String,
    opened: Opened,
    head: watch::Sender<Position>,
    history: watch::Sender<u64>,
    clusters: watch::Sender<Arc<[ProviderCluster]>>,
}

impl Feed {
    /// Reads where history stands.
    ///
    /// # Errors
    /// The database is away.
    pub async fn open(
        store: Store,
        master: MasterKey,
        ca_bundle: String,
        opened: Opened,
    ) -> anyhow::Result<Self> {
        let head = store.head().await.context("could not read the history's head")?;
        let feed = Self {
            store,
            master,
            ca_bundle,
            opened,
            head: watch::Sender::new(head.position),
            history: watch::Sender::new(0),
            clusters: watch::Sender::new(Arc::default()),
        };
        feed.clusters.send_replace(feed.read_clusters().await?);
        Ok(feed)
    }

    /// Publishes each commit, by this process and by others: those are found by polling.
    pub async fn follow(&self) {
        let committed = self.store.committed();
        let poll = match self.store.backend() {
            Backend::Sqlite => Duration::from_secs(1),
            Backend::Postgres => Duration::from_millis(100),
        };
        let mut catalogue_revision = i64::MIN;
        loop {
            if let Err(error) = self.publish(&mut catalogue_revision).await {
                tracing::warn!(%error, "could not publish the newest changes");
            }
            // Whichever comes first; a commit made meanwhile has left a permit.
            let _ = tokio::time::timeout(poll, committed.notified()).await;
        }
    }

    /// Publishes what is committed. Where the database is no longer the one that it was (restored,
    /// or failed over to a copy that lacks the last commits), every stream must begin anew.
    ///
    /// # Errors
    /// The database is away.
    pub async fn publish(&self, catalogue_revision: &mut i64) -> latchkey_store::Result<()> {
        let head = self.store.head().await?;
        let known = *self.head.borrow();
        if head.position != known {
            let replaced = !self.store.was(&known).await?;
            // Both at once: no stream opens with the one and not the other.
            self.head.send_modify(|known| {
                if replaced {
                    tracing::warn!(revision = known.revision, "the database's history was replaced");
                    self.history.send_modify(|epoch| *epoch += 1);
                }
                *known = head.position;
            });
        }
        if head.catalogue_revision != *catalogue_revision {
            self.clusters.send_replace(self.read_clusters().await?);
            *catalogue_revision = head.catalogue_revision;
        }
        Ok(())
    }

    /// Whoever's credential does not open is left out: the others, and all keys, go on.
    async fn read_clusters(&self) -> latchkey_store::Result<Arc<[ProviderCluster]>> {
        let (providers, servers) = (self.store.upstreams().await?, self.store.upstreams().await?);
        let providers = self.managed::<ModelProtocol>(providers);
        let detectors = self.managed::<DetectorProtocol>(self.store.upstreams().await?);
        Ok(providers.chain(self.managed::<McpProtocol>(servers)).chain(detectors).collect())
    }

    fn managed<P: Protocol>(&self, upstreams: Vec<Upstream<P>>) -> impl Iterator<Item = ProviderCluster> {
        let managed = upstreams.into_iter().filter(|upstream| upstream.enabled && upstream.cluster.is_none());
        let left_out = |error: &anyhow::Error| tracing::error!("left out: {error:#}");
        managed.filter_map(move |upstream| self.cluster_of(upstream).inspect_err(left_out).ok())
    }

    fn cluster_of<P: Protocol>(&self, upstream: Upstream<P>) -> anyhow::Result<ProviderCluster> {
        let (cluster, name) = (upstream.cluster_name(), upstream.name.as_str());
        let (sealed, kind) = (upstream.sealed_credential.as_deref(), upstream.protocol.credential_kind());
        let credential = self.unseal(P::purpose(name), sealed, kind);
        let credential = credential.with_context(|| format!("the credential of {} `{name}`", P::NOUN))?;
        let group = upstream.protocol.group_cluster();
        let group = group.map(|cluster| GroupCluster { name: cluster, provider: name.to_owned() });
        Ok(ProviderCluster { group, ..self.cluster(cluster, upstream.address, credential) })
    }

    fn unseal(
        &self,
        purpose: Purpose<'_>,
        sealed: Option<&[u8]>,
        kind: ProviderKind,
    ) -> Result<Option<Credential>, Sealed> {
        let Some(sealed) = sealed else { return Ok(None) };
        let credential = self.master.open(purpose, sealed)?;
        Ok(Some(Credential {
            header: kind.credential_header().to_owned(),
            value: kind.credential_value(credential.expose_secret()).into(),
        }))
    }

    fn cluster(&self, name: String, url: BaseUrl, credential: Option<Credential>) -> ProviderCluster {
        let transport = match url.tls {
            true => Transport::Tls { ca_path: Some(self.ca_bundle.clone()) },
            false => Transport::Plaintext,
        };
        let reach = self.reach(&url.host);
        ProviderCluster { name, host: url.host, port: url.port, transport, credential, reach, group: None }
    }

    /// Where Envoy may not find this host.
    fn reach(&self, host: &str) -> BlockedAddresses {
        let all = |ranges: &[IpNet]| ranges.iter().flat_map(|range| forms(*range)).collect();
        match self.opened.opens(host) {
            true => BlockedAddresses { never: all(&SPECIAL), ..BlockedAddresses::default() },
            false => BlockedAddresses {
                never: all(&SPECIAL),
                closed: all(&PRIVATE),
                opened: self.opened.ranges().flat_map(forms).collect(),
            },
        }
    }
}

impl Source for Feed {
    type Cursor = FeedCursor;

    fn head(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    fn history(&self) -> watch::Receiver<u64> {
        self.history.subscribe()
    }

    async fn can_resume(&self, at: &Position) -> anyhow::Result<bool> {
        Ok(self.store.was(at).await?)
    }

    async fn read(
        &self,
        from: From,
        cursor: Option<FeedCursor>,
        limit: usize,
    ) -> anyhow::Result<Batch<FeedCursor>> {
        Ok(self.store.feed_batch(from, cursor, limit).await?)
    }

    fn clusters(&self) -> watch::Receiver<Arc<[ProviderCluster]>> {
        self.clusters.subscribe()
    }
}
