//! Keeps the JWK sets that apps name: fetched every few minutes, soon after an app names a new one, and soon
//! after a gateway refused a token, which may be signed with a new key. While a source is away its last good
//! keys stay in force.

pub mod fetch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use jiff::SignedDuration;
use latchkey_core::actor::Actor;
use latchkey_core::identity::jwk;
use latchkey_core::identity::key::PublicKey;
use latchkey_ledger::suspects::Suspects;
use latchkey_store::Store;
use latchkey_store::jwks::FetchedJwkSet;
use latchkey_world::World;
use serde_json::json;

use fetch::{Answer, Fetcher};
use latchkey_service::action::By;
use latchkey_service::action::audit::AuditedAction;

/// How often it is looked whether a set is due.
const LOOK: Duration = Duration::from_secs(1);
/// At how many looks it is checked that what apps name is known.
const TIDY_EACH: u32 = 60;
/// How often a set is fetched whose source does not say.
const USUAL: Duration = Duration::from_secs(300);
/// What a source may say instead.
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(900);
/// When a set is tried again that could not be fetched.
const RETRY: Duration = Duration::from_secs(30);
/// How often a set is fetched out of turn at most, whatever tokens are made up.
const SUSPECTED: SignedDuration = SignedDuration::from_secs(30);
/// How many are fetched at once.
const AT_ONCE: usize = 8;

/// The job that keeps the sets.
pub struct Jwks {
    store: Store,
    world: World,
    fetcher: Fetcher,
    suspects: Suspects,
    said: Mutex<BTreeMap<String, SourceInfo>>,
}

/// What a source said beside its keys.
#[derive(Clone, Debug)]
struct SourceInfo {
    etag: Option<String>,
    fresh_for: Duration,
    /// Keys that are refused, and why.
    unfit: Vec<String>,
}

impl Jwks {
    /// A job that has done nothing yet.
    #[must_use]
    pub fn new(store: Store, world: World, fetcher: Fetcher, suspects: Suspects) -> Self {
        Self { store, world, fetcher, suspects, said: Mutex::default() }
    }

    /// Fetches what is due, for as long as the process runs.
    pub async fn keep(&self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for look in 0_u32.. {
            looks.tick().await;
            let looked = async {
                if look.is_multiple_of(TIDY_EACH) {
                    self.tidy(&[]).await?;
                }
                self.refresh().await
            };
            if let Err(error) = looked.await {
                tracing::warn!(%error, "could not look after the JWK sets");
            }
        }
    }

    /// Fetches what is due, once.
    ///
    /// # Errors
    /// The database is away.
    pub async fn refresh(&self) -> latchkey_store::Result<()> {
        let sets = self.store.jwk_sets().await?;
        let suspected = self.suspected(&sets).await?;
        let is_due = |set: &FetchedJwkSet| suspected.contains(&set.url) || self.is_due(set);
        let due: Vec<_> = sets.into_iter().filter(is_due).collect();
        if due.is_empty() {
            return Ok(());
        }
        let used = self.tidy(&due).await?;
        let due = due.into_iter().filter(|set| used.contains(&set.url));
        let mut fetched = stream::iter(due.map(|set| self.fetch(set))).buffer_unordered(AT_ONCE);
        while let Some(outcome) = fetched.next().await {
            outcome?;
        }
        Ok(())
    }

    /// The sets to be fetched out of turn: of apps that refused tokens, unless that was done a moment ago.
    /// Then it is done when the moment is over.
    async fn suspected(&self, sets: &[FetchedJwkSet]) -> latchkey_store::Result<BTreeSet<String>> {
        let now = self.world.now();
        let mut suspected = BTreeSet::new();
        for id in self.suspects.take() {
            let app = self.store.app(id).await?;
            let url = app.as_ref().and_then(|app| app.settings.identity.jwks_url());
            let Some(set) = url.and_then(|url| sets.iter().find(|set| set.url == url)) else { continue };
            let age = now.duration_since(set.suspected_at);
            if suspected.contains(&set.url) {
                continue;
            }
            if !age.is_negative() && age < SUSPECTED {
                self.suspects.add([id]);
            } else if self.store.suspect_jwk_set(set, now).await? {
                suspected.insert(set.url.clone());
            }
        }
        Ok(suspected)
    }

    fn is_due(&self, set: &FetchedJwkSet) -> bool {
        let usual = self.said(&set.url).map_or(USUAL, |said| said.fresh_for);
        let interval = if set.error.is_empty() { usual } else { RETRY };
        let age = self.world.now().duration_since(set.tried_at);
        // A clock that was set back does not keep it from being due.
        age.is_negative() || age >= SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX)
    }

    /// The URLs that apps name. Those of `due` that none does are forgotten; those that are not known are
    /// noted.
    async fn tidy(&self, due: &[FetchedJwkSet]) -> latchkey_store::Result<BTreeSet<String>> {
        let mut tx = self.store.begin().await?;
        let used: BTreeSet<_> = tx.apps_with_jwk_sets().await?.into_keys().collect();
        for url in &used {
            tx.want_jwk_set(url).await?;
        }
        for set in due.iter().filter(|set| !used.contains(&set.url)) {
            tx.forget_jwk_set(&set.url).await?;
            self.lock().remove(&set.url);
        }
        tx.commit().await?;
        Ok(used)
    }

    async fn fetch(&self, set: FetchedJwkSet) -> latchkey_store::Result<()> {
        let etag = self.said(&set.url).and_then(|said| said.etag).filter(|_| !set.keys.is_empty());
        let answer = self.fetcher.fetch(&set.url, etag.as_deref()).await;
        let read =
            answer.map_err(|failed| failed.to_string()).and_then(|Answer { body, etag, fresh_for }| {
                let read = body.map(|body| jwk::read(&body)).transpose().map_err(|bad| bad.to_string())?;
                let (keys, unfit) = match read {
                    Some(jwk::JwkSet { keys, unfit }) => (Some(keys), unfit),
                    None => (None, self.said(&set.url).map(|said| said.unfit).unwrap_or_default()),
                };
                let fresh_for = fresh_for.map_or(USUAL, |told| told.clamp(SOONEST, LATEST));
                Ok((keys, SourceInfo { etag, fresh_for, unfit }))
            });
        match read {
            Ok((keys, said)) => {
                let unfit = said.unfit.clone();
                let before = self.lock().insert(set.url.clone(), said);
                if !unfit.is_empty() && before.is_none_or(|before| before.unfit != unfit) {
                    let keys = unfit.join(", ");
                    tracing::warn!(url = set.url, keys, "keys of a JWK set are not used");
                }
                self.keep_keys(&set.url, keys).await
            }
            Err(error) => {
                if error != set.error {
                    tracing::warn!(
                        url = set.url,
                        error,
                        "a JWK set could not be fetched; its last keys stay"
                    );
                }
                self.store.jwk_set_tried(&set.url, self.world.now(), &error).await
            }
        }
    }

    /// Stores what was fetched (none: it is as it was), and has gateways be sent what changed.
    async fn keep_keys(&self, url: &str, keys: Option<Vec<PublicKey>>) -> latchkey_store::Result<()> {
        let now = self.world.now();
        let mut tx = self.store.begin().await?;
        let Some(set) = tx.jwk_set(url).await? else { return Ok(()) };
        let new = FetchedJwkSet {
            keys: keys.unwrap_or_else(|| set.keys.clone()),
            url: set.url,
            fetched_at: Some(now),
            tried_at: now,
            error: String::new(),
            suspected_at: set.suspected_at,
        };
        tx.write_jwk_set(&new).await?;
        if new.keys != set.keys {
            let apps = tx.apps_with_jwk_sets().await?.remove(url).unwrap_or_default();
            tx.lock_apps(&apps).await?;
            // The apps are read again, so that none is missed that was written meanwhile.
            let revision = tx.revision(&self.world).await?;
            let apps = tx.apps_with_jwk_sets().await?.remove(url).unwrap_or_default();
            tx.publish_apps(&apps, revision).await?;
            let by = By { actor: &Actor::system("jwks"), world: &self.world };
            let names = |keys: &[PublicKey]| keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>();
            by.audit(&mut tx, AuditedAction {
                action: "jwks.changed",
                kind: "jwks",
                id: url.to_owned(),
                name: url,
                app: None,
                data: json!({"keys_before": names(&set.keys), "keys_after": names(&new.keys), "apps": apps.len()}),
            });
            tracing::info!(url, keys = new.keys.len(), apps = apps.len(), "a JWK set has changed");
        }
        tx.commit().await
    }

    fn said(&self, url: &str) -> Option<SourceInfo> {
        self.lock().get(url).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SourceInfo>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
