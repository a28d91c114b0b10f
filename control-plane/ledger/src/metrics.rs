//! The ledger's counters as Prometheus reads them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_proto::ledger::Verdict;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::stats::{BOUNDS_MS, Stats};

/// Reads the counters at each scrape.
#[derive(Debug)]
pub struct LedgerMetrics(pub Arc<Stats>);

const VERDICTS: [(Verdict, &str); 4] = [
    (Verdict::Granted, "granted"),
    (Verdict::Exhausted, "exhausted"),
    (Verdict::Contended, "contended"),
    (Verdict::Unlimited, "unlimited"),
];

impl Collector for LedgerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(stats) = self;
        let mut counter = |name: &str, help: &str, value: &AtomicU64| {
            let counter = ConstCounter::new(value.load(Ordering::Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
        };
        counter("latchkey_ledger_records", "Records committed", &stats.records)?;
        counter("latchkey_ledger_duplicates", "Records that were committed before", &stats.duplicates)?;
        counter("latchkey_ledger_dropped", "Records that are missing or cannot be read", &stats.dropped)?;
        counter("latchkey_ledger_retries", "Transactions that were tried again", &stats.retries)?;
        counter("latchkey_ledger_reports", "Reports of gateways applied", &stats.reports)?;
        counter(
            "latchkey_mcp_tool_sightings",
            "Sightings of MCP tools that are not as they are pinned",
            &stats.sightings,
        )?;
        counter(
            "latchkey_mcp_tool_sightings_dropped",
            "Such sightings that were dropped since too many waited",
            &stats.sightings_dropped,
        )?;
        let mut grants = encoder.encode_descriptor(
            "latchkey_ledger_grants",
            "Answers to gateways that asked for units",
            None,
            MetricType::Counter,
        )?;
        for (verdict, name) in VERDICTS {
            let counter = ConstCounter::new(stats.granted(verdict));
            counter.encode(grants.encode_family(&[("verdict", name)])?)?;
        }
        let mut findings = encoder.encode_descriptor(
            "latchkey_findings",
            "Findings of guardrails committed",
            None,
            MetricType::Counter,
        )?;
        for ((category, action), count) in stats.findings.all() {
            let counter = ConstCounter::new(count);
            counter.encode(findings.encode_family(&[("category", category), ("action", action)])?)?;
        }
        let cumulative = stats.commits.cumulative();
        let bounds = BOUNDS_MS.iter().map(|ms| Duration::from_millis(*ms).as_secs_f64());
        let mut before = 0;
        let buckets: Vec<_> = bounds
            .chain([f64::MAX])
            .zip(cumulative)
            .map(|(bound, count)| (bound, count - std::mem::replace(&mut before, count)))
            .collect();
        encoder
            .encode_descriptor(
                "latchkey_ledger_commit_seconds",
                "How long the ledger's transactions took",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(stats.commits.sum_seconds(), before, &buckets, None)
    }
}
