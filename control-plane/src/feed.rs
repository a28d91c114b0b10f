//! What the discovery servers read: the database, and a signal at each commit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_discovery::source::{Batch, Credential, From, Position, ProviderCluster, Source, Transport};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use crate::seal::{MasterKey, Purpose};
use crate::store::feed::Cursor;
use crate::store::providers::Provider;
use crate::store::{Backend, Store};

/// The database as a source for gateways.
pub struct Feed {
    store: Store,
    master: MasterKey,
    ca_bundle: String,
    head: watch::Sender<Position>,
    history: watch::Sender<u64>,
    clusters: watch::Sender<Arc<[ProviderCluster]>>,
}

impl Feed {
    /// Reads where history stands.
    ///
    /// # Errors
    /// The database is away.
    pub async fn open(store: Store, master: MasterKey, ca_bundle: String) -> anyhow::Result<Self> {
        let head = store.head().await.context("could not read the history's head")?;
        let feed = Self {
            store,
            master,
            ca_bundle,
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
    pub async fn publish(&self, catalogue_revision: &mut i64) -> sqlx::Result<()> {
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

    /// A provider whose credential does not open is left out: the others, and all keys, go on.
    async fn read_clusters(&self) -> sqlx::Result<Arc<[ProviderCluster]>> {
        let providers = self.store.providers().await?;
        let managed = providers.into_iter().filter(|provider| provider.enabled && provider.cluster.is_none());
        let open = |provider| {
            self.cluster(provider)
                .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "a provider is left out"))
                .ok()
        };
        Ok(managed.filter_map(open).collect())
    }

    fn cluster(&self, provider: Provider) -> anyhow::Result<ProviderCluster> {
        let name = provider.cluster_name();
        let purpose = Purpose::Credential(provider.name.as_str());
        let open = |sealed: &Vec<u8>| -> anyhow::Result<Credential> {
            let credential = self.master.open(purpose, sealed)?;
            Ok(Credential {
                header: provider.kind.credential_header().to_owned(),
                value: provider.kind.credential_value(credential.expose_secret()).into(),
            })
        };
        let credential = provider.sealed_credential.as_ref().map(open).transpose();
        let credential =
            credential.with_context(|| format!("the credential of provider `{}`", provider.name))?;
        Ok(ProviderCluster {
            name,
            host: provider.url.host,
            port: provider.url.port,
            transport: match provider.url.tls {
                true => Transport::Tls { ca_path: Some(self.ca_bundle.clone()) },
                false => Transport::Plaintext,
            },
            credential,
        })
    }
}

impl Source for Feed {
    type Cursor = Cursor;

    fn head(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    fn history(&self) -> watch::Receiver<u64> {
        self.history.subscribe()
    }

    async fn can_resume(&self, at: &Position) -> anyhow::Result<bool> {
        Ok(self.store.was(at).await?)
    }

    async fn read(&self, from: From, cursor: Option<Cursor>, limit: usize) -> anyhow::Result<Batch<Cursor>> {
        Ok(self.store.page(from, cursor, limit).await?)
    }

    fn clusters(&self) -> watch::Receiver<Arc<[ProviderCluster]>> {
        self.clusters.subscribe()
    }
}
