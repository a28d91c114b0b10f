//! What gateways send, read with care: a record that cannot be read costs itself alone, and numbers and
//! texts are cut to what the database holds.

use jiff::{SignedDuration, Timestamp};
use latchkey_core::attempt::RestingTarget;
use latchkey_core::density::Text;
use latchkey_core::grant::LeaseRequest;
use latchkey_core::lease::ReportedLease;
use latchkey_core::limits::{BucketKind, Unit};
use latchkey_core::money::NanoUsd;
use latchkey_proto::ledger as wire;
use latchkey_store::ledger::bucket::BucketKey;
use latchkey_store::records::Record;
use uuid::Uuid;

use super::attempts;
use super::findings::{NewFinding, finding};
use super::tool_sightings::{self, ReportedSightings};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayReport {
    /// Its number on the stream.
    pub id: u64,
    pub batches: Vec<WorkerBatch>,
    /// What it says of leases, and asks for.
    pub leases: Vec<LeaseReport>,
    /// All targets of routing groups that rest; none where that is as it was.
    pub resting: Option<Vec<RestingTarget>>,
    /// Tools of MCP servers that are not as they are pinned, by server.
    pub tools: ReportedSightings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerBatch {
    pub worker: u32,
    /// Its records, in order.
    pub entries: Vec<SequencedRecord>,
}

/// A record with its place in the worker's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequencedRecord {
    /// From 1.
    pub sequence: u64,
    /// How many the worker had to drop.
    pub dropped: u64,
    /// The record, or what is wrong with it.
    pub record: Result<Box<Recorded>, &'static str>,
}

/// A record, with what only the ledger needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Without what its gateway does not say: the gateway's name, and the app's metadata.
    pub record: Record,
    pub charges: Vec<BucketCharge>,
    /// The size of its text, where that is comparable to the tokens reported.
    pub text: Option<Text>,
    /// What guardrails found.
    pub findings: Vec<NewFinding>,
}

/// Units that a request used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketCharge {
    pub bucket: BucketKey,
    pub units: u64,
}

/// A lease of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseReport {
    /// As it was named, for the answer.
    pub named: wire::BucketId,
    /// Of which bucket; none where the name cannot be read. The period is -1 where it is not known.
    pub bucket: Option<BucketKey>,
    pub told: ReportedLease,
    pub ask: Option<LeaseRequest>,
}

/// The most of any number of one request: sums of many still fit the database.
pub(super) const MOST: u64 = 1 << 50;
/// The most of any number of a lease.
const MOST_UNITS: u64 = 1 << 60;
/// The most prompts that a record names.
const MOST_PROMPTS: usize = 32;
/// Longest text, in bytes.
const LONGEST: usize = 256;
/// Of one request; those beyond are counted in its record.
const MOST_FINDINGS: usize = 200;
/// How far a gateway's clock may be believed.
const OLDEST: SignedDuration = SignedDuration::from_hours(30 * 24);
const NEWEST: SignedDuration = SignedDuration::from_hours(1);

#[must_use]
pub fn report(report: wire::Report, now: Timestamp) -> GatewayReport {
    let wire::Report { id, batches, leases, resting, tools } = report;
    let batch = |wire::Batch { worker, records }| WorkerBatch {
        worker,
        entries: records.into_iter().map(|record| entry(record, now)).collect(),
    };
    GatewayReport {
        id,
        batches: batches.into_iter().map(batch).collect(),
        leases: leases.into_iter().map(lease).collect(),
        resting: resting.map(attempts::resting),
        tools: tool_sightings::by_server(tools, now),
    }
}

fn entry(record: wire::Record, now: Timestamp) -> SequencedRecord {
    let (sequence, dropped) = (record.sequence, record.dropped.min(MOST));
    if sequence > MOST {
        return SequencedRecord { sequence: 0, dropped, record: Err("its sequence is absurd") };
    }
    SequencedRecord { sequence, dropped, record: self::record(record, now).map(Box::new) }
}

fn record(record: wire::Record, now: Timestamp) -> Result<Recorded, &'static str> {
    let settlement = settlement(record.settlement())?;
    let settlement_reason = reason(record.settlement_reason());
    let identity_source = source(record.identity_source());
    let wire::Record {
        sequence: _,
        dropped: _,
        at_ms,
        request_id,
        app_id,
        key_id,
        user_id,
        model,
        served_model,
        provider,
        endpoint,
        status,
        code,
        tokens,
        cost_nano_usd,
        price_version,
        settlement: _,
        settlement_reason: _,
        latency_ms,
        first_token_ms,
        streamed,
        client_address,
        conversation_id,
        charges,
        identity,
        identity_source: _,
        old_secret,
        service_tier,
        repeats,
        asked_output_tokens,
        granted_output_tokens,
        text: size,
        findings,
        inspection,
        prompts,
        attempts,
        tried_change_request,
    } = record;
    let tokens = tokens.unwrap_or_default();
    let record = Record {
        at: believed(at_ms, now),
        request_id: text(request_id),
        app_id: Some(uuid(&app_id).ok_or("its app is no UUID")?),
        key_id: Some(uuid(&key_id).ok_or("its key is no UUID")?),
        user_id: match user_id.as_slice() {
            [] => None,
            id => Some(uuid(id).ok_or("its user is no UUID")?),
        },
        model: text_if_any(model),
        served_model: text_if_any(served_model),
        provider: text_if_any(provider),
        endpoint: text_if_any(endpoint),
        status: number_if_any(status.min(999).into()),
        code: text_if_any(code),
        input_tokens: tokens.input.min(MOST),
        cached_input_tokens: tokens.cached_input.min(MOST),
        output_tokens: tokens.output.min(MOST),
        reasoning_tokens: tokens.reasoning.min(MOST),
        cache_write_5m_tokens: tokens.cache_write_5m.min(MOST),
        cache_write_1h_tokens: tokens.cache_write_1h.min(MOST),
        cost: NanoUsd(cost_nano_usd.min(MOST)),
        price_version: number_if_any(price_version),
        settlement: settlement.to_owned(),
        settlement_reason: settlement_reason.map(str::to_owned),
        latency_ms: latency_ms.into(),
        first_token_ms: first_token_ms.map(u64::from),
        streamed,
        client_address: text_if_any(client_address),
        conversation_id: text_if_any(conversation_id),
        identity: text_if_any(identity).map(|email| email.to_lowercase()),
        identity_source: identity_source.to_owned(),
        old_secret,
        service_tier: text_if_any(service_tier),
        repeats: repeats.clamp(1, MOST),
        asked_output_tokens: number_if_any(asked_output_tokens),
        granted_output_tokens: number_if_any(granted_output_tokens),
        prompts: prompts.into_iter().take(MOST_PROMPTS).map(text).collect(),
        attempts: attempts::attempts(attempts),
        inspected: inspection.is_some(),
        // What a trial would have done is no finding of the request.
        findings: findings.iter().filter(|finding| finding.change_request.is_empty()).count() as u64,
        unread: inspection.map_or(0, |inspection| inspection.unread.into()),
        tried_change_request: uuid(&tried_change_request),
        ..Record::default()
    };
    let charges = charges.iter().map(charge).collect::<Option<_>>().ok_or("a charge names no bucket")?;
    let text = size.map(|size| Text { ascii: size.ascii.min(MOST), other: size.other.min(MOST) });
    let findings = findings.into_iter().take(MOST_FINDINGS).filter_map(finding).collect();
    Ok(Recorded { record, charges, text, findings })
}

fn charge(charge: &wire::Charge) -> Option<BucketCharge> {
    let bucket = charge.bucket.as_ref().and_then(bucket).filter(|bucket| bucket.period >= 0)?;
    // Requests are counted by leases.
    let units = if bucket.kind.unit() == Unit::Requests { 0 } else { charge.amount.min(MOST) };
    Some(BucketCharge { bucket, units })
}

fn lease(lease: wire::Lease) -> LeaseReport {
    let wire::Lease { bucket: named, granted, used, returned, local, want, least, ahead, floor } = lease;
    let named = named.unwrap_or_default();
    let bucket = bucket(&named);
    let told = ReportedLease {
        granted: granted.min(MOST_UNITS),
        used: if bucket.is_some_and(|bucket| bucket.kind.unit() == Unit::Requests) {
            used.min(MOST_UNITS)
        } else {
            0
        },
        returned: returned.min(MOST_UNITS),
        local: local.min(MOST_UNITS),
    };
    let ask = (want > 0).then(|| {
        let want = want.min(MOST_UNITS);
        let least = least.clamp(1, want);
        let floor = if floor == 0 { least } else { floor.min(least) };
        LeaseRequest { want, least, floor, ahead }
    });
    LeaseReport { named, bucket, told, ask }
}

fn bucket(id: &wire::BucketId) -> Option<BucketKey> {
    let kind = BucketKind::from_number(id.kind)?;
    // A window has no period.
    let period = if kind.span_ms().is_some() { 0 } else { id.period };
    (period >= -1).then_some(BucketKey { subject: uuid(&id.owner)?, kind, period })
}

fn settlement(settlement: wire::Settlement) -> Result<&'static str, &'static str> {
    match settlement {
        wire::Settlement::None => Ok("none"),
        wire::Settlement::Reported => Ok("reported"),
        wire::Settlement::Estimated => Ok("estimated"),
        wire::Settlement::Reserved => Ok("reserved"),
        wire::Settlement::Unspecified => Err("it does not say how it was settled"),
    }
}

/// None also for one that only a newer gateway knows.
fn reason(reason: wire::SettlementReason) -> Option<&'static str> {
    Some(match reason {
        wire::SettlementReason::Unspecified => return None,
        wire::SettlementReason::AnswerCut => "answer_cut",
        wire::SettlementReason::AnswerUnknown => "answer_unknown",
        wire::SettlementReason::AnswerUnreadable => "answer_unreadable",
        wire::SettlementReason::UsageMissing => "usage_missing",
        wire::SettlementReason::UsagePartial => "usage_partial",
        wire::SettlementReason::UsageUnclear => "usage_unclear",
        wire::SettlementReason::UsageImplausible => "usage_implausible",
        wire::SettlementReason::TierNotPriced => "tier_not_priced",
    })
}

fn source(source: wire::IdentitySource) -> &'static str {
    match source {
        wire::IdentitySource::None => "none",
        wire::IdentitySource::Key => "key",
        wire::IdentitySource::Jwt => "jwt",
        wire::IdentitySource::Header => "header",
    }
}

pub(super) fn uuid(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

/// The gateway's time, unless its clock is wrong.
pub(super) fn believed(at_ms: i64, now: Timestamp) -> Timestamp {
    let oldest = now.saturating_sub(OLDEST).unwrap_or(Timestamp::UNIX_EPOCH);
    let newest = now.saturating_add(NEWEST).unwrap_or(Timestamp::MAX);
    let at = Timestamp::from_millisecond(at_ms).ok();
    at.filter(|at| (oldest..=newest).contains(at)).unwrap_or(now)
}

fn number_if_any(number: u64) -> Option<u64> {
    Some(number.min(MOST)).filter(|number| *number > 0)
}

pub(super) fn text_if_any(text: String) -> Option<String> {
    Some(self::text(text)).filter(|text| !text.is_empty())
}

/// Cut, and without control characters: PostgreSQL refuses the one of number 0.
pub(super) fn text(text: String) -> String {
    text_up_to(LONGEST, text)
}

pub(super) fn text_up_to(bytes: usize, mut text: String) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    if text.contains(char::is_control) {
        text.retain(|c| !c.is_control());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn wire_record() -> wire::Record {
        wire::Record {
            sequence: 1,
            at_ms: now().as_millisecond(),
            app_id: vec![1; 16],
            key_id: vec![2; 16],
            settlement: wire::Settlement::Reported.into(),
            ..wire::Record::default()
        }
    }

    fn read(record: wire::Record) -> Result<Record, &'static str> {
        super::record(record, now()).map(|recorded| recorded.record)
    }

    #[test]
    fn absurd_numbers_and_texts_are_cut() {
        let odd = wire::Record {
            at_ms: i64::MAX,
            model: "ä\0".repeat(1000),
            status: u32::MAX,
            cost_nano_usd: u64::MAX,
            tokens: Some(wire::Tokens { input: u64::MAX, ..wire::Tokens::default() }),
            ..wire_record()
        };
        let record = read(odd).unwrap();
        assert_eq!(record.at, now());
        let model = record.model.unwrap();
        assert!(model.len() <= LONGEST && model.chars().all(|c| c == 'ä'));
        assert_eq!((record.status, record.cost, record.input_tokens), (Some(999), NanoUsd(MOST), MOST));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert!(read(wire_record()).is_ok());
        assert_eq!(read(wire::Record { app_id: vec![1], ..wire_record() }), Err("its app is no UUID"));
        assert_eq!(read(wire::Record { user_id: vec![1], ..wire_record() }), Err("its user is no UUID"));
        assert!(read(wire::Record { settlement: 99, ..wire_record() }).is_err());
        let charges = vec![wire::Charge::default()];
        assert!(read(wire::Record { charges, ..wire_record() }).is_err());
        assert_eq!(entry(wire::Record { sequence: u64::MAX, ..wire_record() }, now()).sequence, 0);
    }

    #[test]
    fn a_window_has_no_period_and_only_requests_are_told_by_leases() {
        let named = |kind: i32, period| wire::BucketId { owner: vec![1; 16], kind, period };
        let read = |kind, period| {
            lease(wire::Lease {
                bucket: Some(named(kind, period)),
                used: 5,
                want: 3,
                ..wire::Lease::default()
            })
        };
        let requests = read(1, 77);
        assert_eq!((requests.bucket.unwrap().period, requests.told.used), (0, 5));
        assert_eq!(requests.ask, Some(LeaseRequest { want: 3, least: 1, floor: 1, ahead: false }));
        let budget = read(6, 77);
        assert_eq!((budget.bucket.unwrap().period, budget.told.used), (77, 0));
        assert_eq!(read(9, 0).bucket, None);
        assert_eq!(read(6, -2).bucket, None);
    }
}
