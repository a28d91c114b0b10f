//! The sums of the overview, kept for a moment: they are made of the day sums of every app, key and model.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::api::Api;
use crate::api::auth::Reader;
use crate::api::body::Query;
use crate::api::problem::Problem;
use crate::api::usage::{self, UsageItem, UsageQuery, UsageView};

/// How many days they are of, with today.
const DAYS: i64 = 14;
/// How many of the dearest are named.
const FEW: u16 = 5;
/// For how long they are shown as they are.
const FRESH: SignedDuration = SignedDuration::from_secs(5);
/// For how long they are shown while new ones are made.
const STALE: SignedDuration = SignedDuration::from_secs(30);

/// The last sums, of which new ones are made by one visitor at a time.
#[derive(Debug, Default)]
pub struct Recent {
    kept: Mutex<Option<(Timestamp, Arc<Sums>)>>,
    looking: AtomicBool,
}

/// What the overview sums.
#[derive(Debug)]
pub struct Sums {
    /// By day.
    pub days: UsageView,
    /// Whose requests cost most.
    pub tops: Vec<Dearest>,
}

/// A title, what is grouped by, and the dearest groups.
pub type Dearest = (&'static str, &'static str, Vec<UsageItem>);

impl Recent {
    /// The sums, and when they were made.
    ///
    /// # Errors
    /// The database is away.
    pub async fn sums(self: Arc<Self>, reader: Reader, api: &Api) -> Result<(Timestamp, Arc<Sums>), Problem> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let age = |at: &Timestamp| api.world.now().duration_since(*at);
        let Some((at, sums)) = kept.filter(|(at, _)| age(at) < STALE) else {
            return self.look(reader, api).await;
        };
        if age(&at) >= FRESH && !self.looking.swap(true, Ordering::AcqRel) {
            tokio::spawn(self.renew(reader, api.clone()));
        }
        Ok((at, sums))
    }

    async fn renew(self: Arc<Self>, reader: Reader, api: Api) {
        if let Err(problem) = self.look(reader, &api).await {
            tracing::warn!(code = problem.code, "the overview's sums could not be made");
        }
        self.looking.store(false, Ordering::Release);
    }

    async fn look(&self, reader: Reader, api: &Api) -> Result<(Timestamp, Arc<Sums>), Problem> {
        let at = api.world.now();
        let from = at.to_zoned(TimeZone::UTC).date().checked_sub((DAYS - 1).days()).ok();
        let query = |by: &str| UsageQuery { group_by: Some(by.to_owned()), from, ..UsageQuery::default() };
        let top = async |title, by| {
            let few = UsageQuery { limit: Some(FEW), ..query(by) };
            Ok::<_, Problem>((title, by, usage::dearest(reader.clone(), api, few).await?))
        };
        let days = usage::read(reader.clone(), State(api.clone()), Query(query("day")));
        let (days, apps, users, models) = tokio::try_join!(
            days,
            top("Apps by cost", "app"),
            top("Users by cost", "user"),
            top("Models by cost", "model"),
        )?;
        let sums = Arc::new(Sums { days: days.0, tops: vec![apps, users, models] });
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, Arc::clone(&sums)));
        Ok((at, sums))
    }
}
