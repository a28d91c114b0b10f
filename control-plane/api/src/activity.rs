//! How much an app or a key is used, and how much of each of its limits.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use latchkey_core::forecast::{Forecast, forecast};
use latchkey_core::limits::{BucketKind, LimitWindow, Limits};
use latchkey_core::money::NanoUsd;
use latchkey_core::period::{self, Period};
use latchkey_core::settings::AppSettings;
use latchkey_ledger::transaction::DryRun;
use latchkey_proto::window::Window;
use latchkey_store::Store;
use latchkey_store::activity::{Activity, Stock};
use latchkey_store::ledger::bucket::BucketKey;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An app or a key, and how much it is used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Active<T> {
    /// The app or key.
    #[serde(flatten)]
    pub item: T,
    /// When it was last used; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When a secret that was replaced was last sent, of the key or of the app's own key; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_secret_used_at: Option<Timestamp>,
    /// Requests since it was made.
    pub requests: u64,
    /// How much of each limit is used.
    pub usage: UsageOfLimits,
}

/// How much of each limit is used; what is absent is not limited.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct UsageOfLimits {
    /// Requests in the last 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<UsageOf<u64>>,
    /// Requests in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_hour: Option<UsageOf<u64>>,
    /// Requests in the last 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<UsageOf<u64>>,
    /// Tokens in the last 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<UsageOf<u64>>,
    /// Tokens in the current period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<UsageOf<u64>>,
    /// US dollars in the current period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<UsageOf<NanoUsd>>,
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct UsageOf<T> {
    /// The most.
    pub limit: T,
    /// What was used.
    pub used: T,
    /// What gateways hold for requests under way and to come.
    pub reserved: T,
    /// What is neither used nor reserved.
    pub remaining: T,
    /// When a budget's period ends, or, if nothing more is used, a window is empty; null for never, and
    /// for a window that is empty.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resets_at: Option<Timestamp>,
    /// When a budget is spent if use goes on at the rate of its period so far; absent where it lasts until its period
    /// ends, and where too little is known: less than an hour, or less than 1 % of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub spent_at: Option<Timestamp>,
    /// How much of a budget is used when its period ends, at that rate, in percent; absent where it is spent before, and
    /// where too little is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent_at_reset: Option<u8>,
}

#[derive(Clone, Debug)]
pub struct UsageSubject<'a> {
    id: Uuid,
    limits: &'a Limits,
    zone: TimeZone,
}

/// How much some apps or keys are used.
#[derive(Clone, Debug)]
pub struct Activities {
    activity: HashMap<Uuid, Activity>,
    usage: HashMap<Uuid, UsageOfLimits>,
}

impl<'a> UsageSubject<'a> {
    /// The app or key `id` with its `limits`, of an app with these settings.
    #[must_use]
    pub fn new(id: Uuid, limits: &'a Limits, settings: &AppSettings) -> Self {
        Self { id, limits, zone: period::zone(&settings.time_zone).unwrap_or(TimeZone::UTC) }
    }
}

impl Activities {
    pub async fn of_apps(
        store: &Store,
        apps: &[UsageSubject<'_>],
        now: Timestamp,
    ) -> latchkey_store::Result<Self> {
        let activity = store.app_activity(&ids(apps)).await?;
        Ok(Self { usage: usage(store, apps, &activity, now).await?, activity })
    }

    pub async fn of_keys(
        store: &Store,
        keys: &[UsageSubject<'_>],
        now: Timestamp,
    ) -> latchkey_store::Result<Self> {
        let activity = store.key_activity(&ids(keys)).await?;
        Ok(Self { usage: usage(store, keys, &activity, now).await?, activity })
    }

    /// `item`, which is the app or key `id`, with its activity.
    pub fn with<T>(&self, id: Uuid, item: T) -> Active<T> {
        let Activity { requests, last_used_at, old_secret_used_at } =
            self.activity.get(&id).copied().unwrap_or_default();
        Active {
            item,
            last_used_at,
            old_secret_used_at,
            requests,
            usage: self.usage.get(&id).copied().unwrap_or_default(),
        }
    }
}

fn ids(subjects: &[UsageSubject<'_>]) -> Vec<Uuid> {
    subjects.iter().map(|subject| subject.id).collect()
}

async fn usage(
    store: &Store,
    subjects: &[UsageSubject<'_>],
    activity: &HashMap<Uuid, Activity>,
    now: Timestamp,
) -> latchkey_store::Result<HashMap<Uuid, UsageOfLimits>> {
    let buckets = || subjects.iter().flat_map(|subject| buckets(subject, now));
    let mut stocks = store.stocks(&buckets().map(|bucket| bucket.key).collect::<Vec<_>>()).await?;
    // Whoever was never used has used nothing of them.
    let fresh = stocks.iter_mut().filter(|(key, stock)| {
        stock.used.is_none() && key.kind.span_ms().is_none() && activity.contains_key(&key.subject)
    });
    let mut fresh: Vec<_> = fresh.collect();
    if !fresh.is_empty() {
        let subjects = fresh.iter().map(|(key, _)| key.subject).collect();
        let mut book = DryRun::open(&mut store.snapshot().await?, subjects, now).await?;
        for (key, stock) in &mut fresh {
            stock.used = Some(book.used(key));
        }
    }
    let mut usage = HashMap::<_, UsageOfLimits>::new();
    for bucket in buckets() {
        let stock = stocks.get(&bucket.key).cloned().unwrap_or_default();
        usage.entry(bucket.key.subject).or_default().put(bucket.key.kind, bucket.usage(stock, now));
    }
    Ok(usage)
}

/// A bucket as it is at a moment.
struct BucketReading {
    key: BucketKey,
    limit: u64,
    /// Of a window, in milliseconds; none for a period.
    span_ms: Option<u32>,
    /// When a period began and ends; none for one without an end.
    period: Option<(i64, i64)>,
}

fn buckets(subject: &UsageSubject<'_>, now: Timestamp) -> impl Iterator<Item = BucketReading> {
    subject.limits.buckets().filter_map(move |(kind, limit, window)| {
        let (id, span_ms, period) = match window {
            LimitWindow::Sliding { span_ms } => (0, Some(span_ms), None),
            LimitWindow::Calendar(period) => {
                let span = Period::at(period, now, &subject.zone)?;
                (span.id, None, span.end_ms.map(|end_ms| (span.start_ms, end_ms)))
            }
        };
        Some(BucketReading {
            key: BucketKey { subject: subject.id, kind, period: id },
            limit,
            span_ms,
            period,
        })
    })
}

impl BucketReading {
    fn usage(&self, stock: Stock, now: Timestamp) -> UsageOf<u64> {
        let now = now.as_millisecond();
        let (used, resets_at) = match self.span_ms {
            None => (stock.used.unwrap_or(0), self.period.map(|(_, end_ms)| end_ms)),
            Some(span_ms) => {
                let mut window = Window::with_slots(span_ms, stock.slots);
                let used = window.used(now);
                (used, (used > 0).then(|| window.falls_to(now, 0)))
            }
        };
        let time = |ms: i64| Timestamp::from_millisecond(ms).ok();
        let (spent_at, percent_at_reset) =
            match self.period.and_then(|period| forecast(self.limit, used, period, now)) {
                Some(Forecast::SpentAt(ms)) => (time(ms), None),
                Some(Forecast::UsedAtReset(percent)) => (None, Some(percent)),
                None => (None, None),
            };
        UsageOf {
            limit: self.limit,
            used,
            reserved: stock.reserved,
            remaining: self.limit.saturating_sub(used).saturating_sub(stock.reserved),
            resets_at: resets_at.and_then(time),
            spent_at,
            percent_at_reset,
        }
    }
}

impl UsageOfLimits {
    fn put(&mut self, kind: BucketKind, usage: UsageOf<u64>) {
        match kind {
            BucketKind::RequestsPerMinute => self.requests_per_minute = Some(usage),
            BucketKind::RequestsPerHour => self.requests_per_hour = Some(usage),
            BucketKind::RequestsPerDay => self.requests_per_day = Some(usage),
            BucketKind::TokensPerMinute => self.tokens_per_minute = Some(usage),
            BucketKind::TokenBudget => self.token_budget = Some(usage),
            BucketKind::CostBudget => self.budget = Some(usage.map(NanoUsd)),
        }
    }

    /// How much of the limit of this kind is used: of money in nano-USD.
    #[must_use]
    pub fn of(&self, kind: BucketKind) -> Option<UsageOf<u64>> {
        match kind {
            BucketKind::RequestsPerMinute => self.requests_per_minute,
            BucketKind::RequestsPerHour => self.requests_per_hour,
            BucketKind::RequestsPerDay => self.requests_per_day,
            BucketKind::TokensPerMinute => self.tokens_per_minute,
            BucketKind::TokenBudget => self.token_budget,
            BucketKind::CostBudget => self.budget.map(|usage| usage.map(|NanoUsd(nano)| nano)),
        }
    }
}

impl<T> UsageOf<T> {
    fn map<U>(self, amount: impl Fn(T) -> U) -> UsageOf<U> {
        let Self { limit, used, reserved, remaining, resets_at, spent_at, percent_at_reset } = self;
        UsageOf {
            limit: amount(limit),
            used: amount(used),
            reserved: amount(reserved),
            remaining: amount(remaining),
            resets_at,
            spent_at,
            percent_at_reset,
        }
    }
}
