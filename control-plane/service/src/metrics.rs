//! What Prometheus may know of this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::gateways::Gateway;

/// The upper bounds of durations, in seconds.
const SECONDS: [f64; 10] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Every metric. Clones share their content.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    gateways: Gauge,
    lag: Family<GatewayLabels, Gauge>,
    rejected: Family<GatewayLabels, Gauge>,
    database_up: Gauge,
    connections: Gauge,
    idle_connections: Gauge,
    /// When tokens were last let in, by their hash, and when they expire.
    scrapers: Arc<Mutex<HashMap<[u8; 32], Scraper>>>,
}

/// Who has read the metrics.
#[derive(Clone, Copy)]
struct Scraper {
    seen_at: Timestamp,
    expires_at: Option<Timestamp>,
}

/// While the database is away, whoever was let in so lately is let in again. A token cannot be revoked
/// meanwhile: that takes the database.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(5);

/// How many are remembered.
const MOST_SCRAPERS: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GatewayLabels {
    gateway: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that count from nothing.
    #[must_use]
    pub fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            gateways: Gauge::default(),
            lag: Family::default(),
            rejected: Family::default(),
            database_up: Gauge::default(),
            connections: Gauge::default(),
            idle_connections: Gauge::default(),
            scrapers: Arc::default(),
        };
        metrics.register(|registry| {
            let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
            registry.register("latchkey_build", "What is running", build);
            registry.register("latchkey_http_requests", "Requests answered", metrics.requests.clone());
            registry.register(
                "latchkey_http_request_duration_seconds",
                "How long answers took",
                metrics.seconds.clone(),
            );
            registry.register(
                "latchkey_gateways_connected",
                "Gateways with an open discovery stream to this process",
                metrics.gateways.clone(),
            );
            registry.register(
                "latchkey_gateway_lag_revisions",
                "How many revisions a gateway is behind",
                metrics.lag.clone(),
            );
            registry.register(
                "latchkey_gateway_rejected_resources",
                "Keys, apps and catalogues that a gateway refuses",
                metrics.rejected.clone(),
            );
            registry.register(
                "latchkey_database_up",
                "Whether the database answers: 1 or 0",
                metrics.database_up.clone(),
            );
            registry.register(
                "latchkey_database_connections",
                "Open connections to the database",
                metrics.connections.clone(),
            );
            registry.register(
                "latchkey_database_idle_connections",
                "Open connections to the database that nobody uses",
                metrics.idle_connections.clone(),
            );
        });
        metrics
    }

    /// Lets another part of the process add its own metrics, once.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry());
    }

    /// Counts an answer. `route` is one of ours, or `unmatched`.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.requests.get_or_create(&RequestLabels { method, route: route.clone(), status }).inc();
        self.seconds.get_or_create(&RouteLabels { method, route }).observe(took.as_secs_f64());
    }

    /// Notes the gateways that are connected now.
    pub fn set_gateways(&self, gateways: &[Gateway]) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.gateways.set(count(gateways.len()));
        self.lag.clear();
        self.rejected.clear();
        for gateway in gateways {
            let labels = GatewayLabels { gateway: gateway.name.clone() };
            self.lag.get_or_create(&labels).set(i64::try_from(gateway.lag).unwrap_or(i64::MAX));
            self.rejected.get_or_create(&labels).set(count(gateway.rejected.len()));
        }
    }

    /// Notes whether the database answers.
    pub fn set_database_up(&self, up: bool) {
        self.database_up.set(up.into());
    }

    /// Remembers a token that the database knows.
    pub fn let_in(&self, token: [u8; 32], expires_at: Option<Timestamp>, now: Timestamp) {
        let mut scrapers = self.scrapers.lock().unwrap_or_else(PoisonError::into_inner);
        scrapers.retain(|_, scraper| scraper.holds(now));
        if scrapers.len() < MOST_SCRAPERS || scrapers.contains_key(&token) {
            scrapers.insert(token, Scraper { seen_at: now, expires_at });
        }
    }

    /// Whether a token was let in lately, and so may be again without the database.
    #[must_use]
    pub fn remembers(&self, token: &[u8; 32], now: Timestamp) -> bool {
        let mut scrapers = self.scrapers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(scraper) = scrapers.get_mut(token).filter(|scraper| scraper.holds(now)) else {
            return false;
        };
        scraper.seen_at = now;
        true
    }

    /// Forgets a token that the database refuses.
    pub fn forget(&self, token: &[u8; 32]) {
        self.scrapers.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }

    /// Notes how many connections to the database are open, and idle.
    pub fn set_connections(&self, (open, idle): (u32, usize)) {
        self.connections.set(open.into());
        self.idle_connections.set(i64::try_from(idle).unwrap_or(i64::MAX));
    }

    /// Everything, as `OpenMetrics` text.
    ///
    /// # Errors
    /// A metric that does not encode.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry())?;
        Ok(text)
    }

    /// A panic elsewhere leaves no metric half registered.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scraper {
    fn holds(self, now: Timestamp) -> bool {
        now.duration_since(self.seen_at) <= REMEMBERED && self.expires_at.is_none_or(|at| now < at)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
