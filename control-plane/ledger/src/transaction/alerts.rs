//! Events of budgets, written in the transaction of the spend.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use latchkey_core::limits::BucketKind;
use latchkey_core::money::NanoUsd;
use latchkey_core::period;
use latchkey_core::threshold::{as_good_as_spent, crossed, exceeded};
use latchkey_store::ledger::bucket::BucketKey;
use latchkey_store::ledger::event::QuotaEvent;
use serde_json::{Value, json};

use super::{CurrentLimit, LimitSubject};

/// The events of one transaction, each once.
#[derive(Debug, Default)]
pub(super) struct Alerts(BTreeMap<String, QuotaEvent>);

impl Alerts {
    /// Notes what a spend has crossed. Windows have no alerts.
    pub(super) fn spent(&mut self, subject: &Arc<LimitSubject>, key: BucketKey, before: u64, after: u64) {
        let Some(limit) = budget(subject, key) else { return };
        for percent in crossed(limit.terms.limit, &subject.thresholds, before, after) {
            self.add("quota.threshold", subject, key, limit, after, Some(percent));
        }
        if exceeded(limit.terms.limit, before, after) {
            self.add("quota.exceeded", subject, key, limit, after, None);
        }
    }

    /// Notes that a budget is as good as spent: what is left is of no use to what asked for it.
    pub(super) fn exhausted(&mut self, subject: &Arc<LimitSubject>, key: BucketKey, used: u64) {
        let Some(limit) = budget(subject, key) else { return };
        if as_good_as_spent(limit.terms.limit, used) {
            self.add("quota.exceeded", subject, key, limit, used, None);
        }
    }

    pub(super) fn events(&mut self) -> Vec<QuotaEvent> {
        std::mem::take(&mut self.0).into_values().collect()
    }

    fn add(
        &mut self,
        kind: &'static str,
        subject: &LimitSubject,
        key: BucketKey,
        limit: CurrentLimit,
        used: u64,
        percent: Option<u8>,
    ) {
        let BucketKey { subject: id, kind: bucket, period } = key;
        let what = percent.map_or_else(|| "exceeded".to_owned(), |percent| format!("{percent:03}"));
        let once = format!("{id}/{}/{period}/{what}", bucket.number());
        let moment = |ms: i64| Timestamp::from_millisecond(ms).ok();
        let mut data = json!({
            "bucket": bucket.name(),
            "per": limit.per,
            "limit": amount(bucket, limit.terms.limit),
            "used": amount(bucket, used),
            "period_start": if limit.terms.ends_at_ms.is_some() { moment(period::start_ms(period)) } else { None },
            "period_end": limit.terms.ends_at_ms.and_then(moment),
        });
        if let (Some(percent), Value::Object(data)) = (percent, &mut data) {
            data.insert("percent".to_owned(), percent.into());
        }
        let event =
            QuotaEvent { kind, app_id: subject.app_id, key_id: subject.key_id, data, once: once.clone() };
        self.0.entry(once).or_insert(event);
    }
}

/// The budget whose period this is, as it is limited now.
fn budget(subject: &LimitSubject, key: BucketKey) -> Option<CurrentLimit> {
    if key.kind.span_ms().is_some() {
        return None;
    }
    let begun = Timestamp::from_millisecond(key.period).ok()?;
    subject.limit(key.kind, begun).filter(|limit| limit.period == key.period)
}

/// Money in US dollars, tokens as a number.
pub(super) fn amount(kind: BucketKind, units: u64) -> Value {
    match kind {
        BucketKind::CostBudget => NanoUsd(units).to_string().into(),
        _ => units.into(),
    }
}
