//! Who owns buckets, and what their limits are: read once, until something changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use latchkey_core::grant::LimitTerms;
use latchkey_core::limits::{BucketKind, LimitWindow, Limits};
use latchkey_core::period::{self, Period};
use latchkey_core::settings::AppSettings;
use latchkey_core::status::{Standing, Status};
use latchkey_store::Tx;
use latchkey_store::ledger::subject::{AppLimitsRow, KeyLimitsRow};
use latchkey_store::records::Metadata;
use uuid::Uuid;

/// An app or a named key.
#[derive(Clone, Debug)]
pub struct LimitSubject {
    /// The app that it is, or that it opens.
    pub app_id: Uuid,
    /// The named key that it is.
    pub key_id: Option<Uuid>,
    /// At which percentages of a budget an event is written.
    pub thresholds: Vec<u8>,
    pub metadata: Metadata,
    /// When its limits may have changed last.
    pub changed_at: Timestamp,
    /// Status and expiry of the app, then of the key.
    standings: Vec<(Status, Option<Timestamp>)>,
    limits: Limits,
    zone: TimeZone,
}

/// A limit, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentLimit {
    /// The id of the bucket's period.
    pub period: i64,
    /// How long the period is; none for a window.
    pub per: Option<Period>,
    pub terms: LimitTerms,
}

/// What is known of an id.
#[derive(Clone, Debug)]
pub enum SubjectLookup {
    /// An app or a named key.
    Found(Arc<LimitSubject>),
    /// There is no such thing.
    Unknown,
    /// There is, but its row cannot be read.
    Unreadable,
}

/// What was read, as of one revision.
#[derive(Debug, Default)]
pub struct LimitSubjects {
    tag: Vec<u8>,
    known: HashMap<Uuid, SubjectLookup>,
}

const MOST: usize = 200_000;

impl LimitSubject {
    fn app(app: &AppLimitsRow) -> Self {
        let AppSettings { limits, .. } = &app.settings;
        Self {
            key_id: None,
            standings: vec![(app.status, app.settings.expires_at)],
            limits: limits.clone(),
            ..Self::of(app)
        }
    }

    fn key(key: KeyLimitsRow, app: &AppLimitsRow) -> Self {
        Self {
            key_id: Some(key.id),
            changed_at: key.changed_at.map_or(app.updated_at, |at| at.max(app.updated_at)),
            standings: vec![(app.status, app.settings.expires_at), (key.status, key.expires_at)],
            limits: key.limits.unwrap_or_else(|| app.settings.named_key_limits.clone()),
            ..Self::of(app)
        }
    }

    /// What an app's keys have in common with it.
    fn of(app: &AppLimitsRow) -> Self {
        Self {
            app_id: app.id,
            key_id: None,
            thresholds: app.settings.alert_thresholds.clone(),
            changed_at: app.updated_at,
            metadata: Metadata::from(&app.settings.metadata),
            standings: Vec::new(),
            limits: Limits::default(),
            zone: period::zone(&app.settings.time_zone).unwrap_or(TimeZone::UTC),
        }
    }

    /// Whether its requests are served at all.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.standings.iter().all(|(status, expires)| status.standing(*expires, now) == Standing::Active)
    }

    /// The limit of this kind in the period that holds `at`; none where there is no such limit.
    #[must_use]
    pub fn limit(&self, kind: BucketKind, at: Timestamp) -> Option<CurrentLimit> {
        let (_, limit, window) = self.limits.buckets().find(|(each, ..)| *each == kind)?;
        match window {
            LimitWindow::Sliding { .. } => {
                Some(CurrentLimit { period: 0, per: None, terms: LimitTerms { limit, ends_at_ms: None } })
            }
            LimitWindow::Calendar(per) => {
                let span = per.at(at, &self.zone)?;
                let terms = LimitTerms { limit, ends_at_ms: span.end_ms };
                Some(CurrentLimit { period: span.id, per: Some(per), terms })
            }
        }
    }
}

impl LimitSubjects {
    /// Reads those of `ids` that are not known, and all of them anew after a change.
    pub async fn learn(&mut self, tx: &mut Tx, ids: BTreeSet<Uuid>) -> latchkey_store::Result<()> {
        let tag = tx.newest_tag().await?;
        if tag != self.tag || self.known.len() > MOST {
            self.known.clear();
            self.tag = tag;
        }
        let unknown: Vec<_> = ids.into_iter().filter(|id| !self.known.contains_key(id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let keys = tx.key_limits(&unknown).await?;
        let parents = keys.iter().filter_map(|(_, key)| key.as_ref().ok()).map(|key| key.app_id);
        let apps: BTreeSet<_> = unknown.iter().copied().chain(parents).collect();
        let apps: Vec<_> = apps.into_iter().collect();
        let apps: HashMap<_, _> = tx.app_limits(&apps).await?.into_iter().collect();
        for id in &unknown {
            self.known.insert(*id, SubjectLookup::Unknown);
        }
        for (id, key) in keys {
            let subject = key.ok().and_then(|key| {
                let app = apps.get(&key.app_id)?.as_ref().ok()?;
                Some(LimitSubject::key(key, app))
            });
            self.insert(id, subject);
        }
        for (id, app) in &apps {
            self.insert(*id, app.as_ref().ok().map(LimitSubject::app));
        }
        Ok(())
    }

    fn insert(&mut self, id: Uuid, subject: Option<LimitSubject>) {
        let known = match subject {
            Some(subject) => SubjectLookup::Found(Arc::new(subject)),
            None => {
                tracing::error!(%id, "the limits of an app or a key cannot be read");
                SubjectLookup::Unreadable
            }
        };
        self.known.insert(id, known);
    }

    /// What is known of this id, which was learned.
    #[must_use]
    pub fn get(&self, id: Uuid) -> &SubjectLookup {
        self.known.get(&id).unwrap_or(&SubjectLookup::Unknown)
    }

    /// The subject of this id, if it is one.
    #[must_use]
    pub fn subject(&self, id: Uuid) -> Option<&Arc<LimitSubject>> {
        match self.get(id) {
            SubjectLookup::Found(subject) => Some(subject),
            SubjectLookup::Unknown | SubjectLookup::Unreadable => None,
        }
    }
}
