use latchkey_proto::discovery as discovery_wire;

use super::*;
use crate::limits::account::{ActualUse, LimitSubject, Need, PERIOD_NOW, Patience, ReserveOutcome, settle};
use crate::mcp::sightings;
use crate::snapshot::{BucketLimit, Limits, McpServer, ToolHash, UnixMs};
use crate::testing::{self, TestMemory};

mod pauses;

const APP: SubjectId = SubjectId([1; 16]);
const NOW: i64 = 1_700_000_000_000;

pub(super) fn config() -> LedgerConfig {
    LedgerConfig {
        gateway: "gw".into(),
        instance: "1".into(),
        ring_capacity: 8,
        away_after_ms: 2000,
        offline_limits_ms: 600_000,
    }
}

fn limits(kind: BucketKind, limit: u64) -> Limits {
    Limits { buckets: vec![BucketLimit { kind, limit }], ..Limits::default() }
}

fn need(input: u64, output: u64) -> Need {
    Need {
        input_tokens: input,
        input_estimate: input,
        output_wanted: output,
        output_least: 1,
        price: None,
        further_tries: 0,
    }
}

/// Of a request that has just come.
fn reserve(
    store: &impl SharedStore,
    subjects: &[LimitSubject<'_>],
    need: &Need,
    now_ms: i64,
) -> ReserveOutcome {
    crate::limits::account::reserve(store, subjects, need, Patience::Whole, now_ms)
}

fn grant(kind: BucketKind, granted: u64, verdict: wire::Verdict) -> wire::Grant {
    wire::Grant {
        bucket: Some(crate::record::bucket_id(APP, kind, 0)),
        granted,
        verdict: verdict.into(),
        ttl_ms: 10_000,
        limit: 100,
        ..wire::Grant::default()
    }
}

fn reports(effects: &[LedgerEffect]) -> Vec<&wire::Report> {
    let report = |effect| match effect {
        &LedgerEffect::Send(wire::LedgerRequest { kind: Some(Kind::Report(ref report)) }) => Some(report),
        _ => None,
    };
    effects.iter().filter_map(report).collect()
}

fn answer(report: u64, grants: Vec<wire::Grant>) -> LedgerEvent {
    LedgerEvent::Response(wire::LedgerResponse { report, grants, ..wire::LedgerResponse::default() })
}

#[test]
fn a_dry_request_asks_waits_and_goes() {
    let store = TestMemory::default();
    let mut ledger = LedgerClient::resume(&store, config());
    let effects = ledger.on(LedgerEvent::Connected, NOW);
    assert!(matches!(&effects[0], LedgerEffect::Send(wire::LedgerRequest { kind: Some(Kind::Hello(_)) })));
    assert_eq!(reports(&effects)[0].id, 1, "a probe");
    let limits = limits(BucketKind::TokensPerMinute, 100);
    let subjects = [LimitSubject { id: APP, limits: &limits }];
    let ReserveOutcome::Wait(demand) = reserve(&store, &subjects, &need(10, 20), NOW) else { panic!() };
    let effects = ledger.on(LedgerEvent::Demand(demand.encode()), NOW);
    let lease = &reports(&effects)[0].leases[0];
    assert_eq!((lease.want, lease.least, lease.floor, lease.ahead), (30, 30, 11, false));
    let effects =
        ledger.on(answer(2, vec![grant(BucketKind::TokensPerMinute, 30, wire::Verdict::Granted)]), NOW);
    assert!(effects.contains(&LedgerEffect::Wake));
    let ReserveOutcome::Reserved(reserved) = reserve(&store, &subjects, &need(10, 20), NOW) else { panic!() };
    assert_eq!(reserved.reservation.output_tokens, 20);
    let charges = settle(&store, reserved.reservation, ActualUse { tokens: 25, ..ActualUse::default() });
    assert_eq!(charges[0].amount, 25);
    let (account, _) = LeaseAccount::read(&store, APP).unwrap();
    assert_eq!((account.lines[0].used, account.lines[0].held, account.lines[0].unused()), (25, 0, 5));
}

const TPM: BucketKind = BucketKind::TokensPerMinute;
const RPM: BucketKind = BucketKind::RequestsPerMinute;
const COST: BucketKind = BucketKind::CostBudget;

fn demand(kind: BucketKind, need: u64, least: u64) -> LedgerEvent {
    let buckets = vec![BucketDemand { subject: APP, kind, need, least, floor: least, limit: 100 }];
    LedgerEvent::Demand(crate::limits::account::Demand { buckets }.encode())
}

fn connected(store: &TestMemory) -> LedgerClient<&TestMemory> {
    let mut ledger = LedgerClient::resume(store, config());
    ledger.on(LedgerEvent::Connected, NOW);
    ledger.on(answer(1, vec![]), NOW);
    ledger
}

/// A ledger whose app has been granted 30 units.
fn supplied(store: &TestMemory, kind: BucketKind) -> LedgerClient<&TestMemory> {
    let mut ledger = connected(store);
    ledger.on(demand(kind, 30, 30), NOW);
    ledger.on(answer(2, vec![grant(kind, 30, wire::Verdict::Granted)]), NOW);
    ledger
}

fn tick(ledger: &mut LedgerClient<&TestMemory>, times: i64, from_ms: i64) -> Vec<LedgerEffect> {
    (1..=times).flat_map(|tick| ledger.on(LedgerEvent::Tick, from_ms + tick * 100)).collect()
}

fn only_line(store: &TestMemory) -> crate::limits::account::AccountLine {
    let (account, _) = LeaseAccount::read(&store, APP).unwrap();
    assert_eq!(account.lines.len(), 1);
    account.lines[0]
}

fn leases(effects: &[LedgerEffect]) -> Vec<(u64, u64, u64, u64)> {
    let leases = reports(effects).into_iter().flat_map(|report| &report.leases);
    leases.map(|lease| (lease.granted, lease.returned, lease.want, lease.least)).collect()
}

#[test]
fn demands_that_wait_for_an_answer_are_put_together() {
    let store = TestMemory::default();
    let mut ledger = connected(&store);
    for _ in 0..MOST_UNANSWERED {
        assert_eq!(leases(&ledger.on(demand(TPM, 10, 5), NOW)), [(0, 0, 10, 5)]);
    }
    assert_eq!(ledger.on(demand(TPM, 10, 9), NOW), []);
    assert_eq!(ledger.on(demand(TPM, 20, 7), NOW), []);
    let effects = ledger.on(answer(2, vec![grant(TPM, 4, wire::Verdict::Granted)]), NOW);
    assert_eq!(leases(&effects), [(4, 0, 26, 3)], "together 30, of which 4 are there");
}

#[test]
fn an_answer_that_was_lost_is_told_apart() {
    let store = TestMemory::default();
    let mut ledger = connected(&store);
    ledger.on(demand(TPM, 30, 10), NOW);
    ledger.on(LedgerEvent::Closed, NOW);
    assert_eq!(leases(&ledger.on(LedgerEvent::Connected, NOW)), [(0, 0, 1, 1)], "what did the answer say?");
    ledger.on(demand(TPM, 30, 10), NOW);
    ledger.on(answer(1, vec![grant(TPM, 31, wire::Verdict::Granted)]), NOW + 9000);
    let line = only_line(&store);
    assert_eq!(
        (line.granted, line.returned, line.available(NOW + 9000)),
        (31, 30, 1),
        "nobody knows for how long"
    );
}

#[test]
fn after_a_lost_answer_all_or_nothing_is_asked_for() {
    let store = TestMemory::default();
    let mut ledger = supplied(&store, TPM);
    ledger.on(demand(TPM, 60, 40), NOW);
    ledger.on(LedgerEvent::Closed, NOW);
    ledger.on(demand(TPM, 60, 40), NOW);
    assert_eq!(leases(&ledger.on(LedgerEvent::Connected, NOW)), [(30, 0, 10, 10)]);
}

#[test]
fn of_a_budget_what_an_answer_lost_is_used() {
    let store = TestMemory::default();
    let mut ledger = connected(&store);
    ledger.on(demand(COST, 30, 10), NOW);
    ledger.on(LedgerEvent::Closed, NOW);
    ledger.on(LedgerEvent::Connected, NOW);
    ledger.on(answer(1, vec![grant(COST, 31, wire::Verdict::Granted)]), NOW);
    assert_eq!(only_line(&store).available(NOW), 31);
}

#[test]
fn what_is_over_goes_back_before_more_comes() {
    let store = TestMemory::default();
    let mut ledger = supplied(&store, TPM);
    ledger.on(demand(TPM, 40, 40), NOW + 5000);
    ledger.on(answer(3, vec![grant(TPM, 40, wire::Verdict::Granted)]), NOW + 12_000);
    let line = only_line(&store);
    assert_eq!((line.returned, line.available(NOW + 12_000), line.deadline_ms), (30, 10, NOW + 15_000));
}

#[test]
fn what_lies_idle_for_a_second_goes_back_and_its_owner_is_forgotten() {
    let store = TestMemory::default();
    let mut ledger = supplied(&store, COST);
    tick(&mut ledger, 9, NOW);
    assert_eq!(only_line(&store).available(NOW), 30);
    let effects = tick(&mut ledger, 7, NOW + 900);
    assert_eq!(leases(&effects), [(30, 30, 0, 0)]);
    assert_eq!(only_line(&store).available(NOW), 0);
    for report in 3..10 {
        ledger.on(answer(report, vec![]), NOW);
    }
    tick(&mut ledger, 120, NOW + 2000);
    assert_eq!(ledger.subjects.len(), 0);
    assert_eq!(only_line(&store).returned, 30, "the numbers stay: they only grow");
}

#[test]
fn what_lies_idle_is_kept_while_nobody_could_take_it() {
    let store = TestMemory::default();
    let mut ledger = supplied(&store, COST);
    ledger.on(LedgerEvent::Closed, NOW);
    tick(&mut ledger, 40, NOW);
    assert_eq!(only_line(&store).available(NOW + 4000), 30);
    ledger.on(LedgerEvent::Connected, NOW + 4000);
    ledger.on(answer(1, vec![]), NOW + 4000);
    tick(&mut ledger, 16, NOW + 4000);
    assert_eq!(only_line(&store).returned, 30);
}

#[test]
fn a_recall_and_a_revocation_take_what_is_not_held() {
    let store = TestMemory::default();
    let limits = limits(TPM, 100);
    let subjects = [LimitSubject { id: APP, limits: &limits }];
    for revoked in [false, true] {
        let mut ledger = supplied(&store, TPM);
        let ReserveOutcome::Reserved(reserved) = reserve(&store, &subjects, &need(5, 5), NOW) else {
            panic!()
        };
        let recalls = vec![crate::record::bucket_id(APP, TPM, 0)];
        let recall = wire::LedgerResponse { recalls, ..wire::LedgerResponse::default() };
        let effects = ledger
            .on(if revoked { LedgerEvent::Revoked(APP) } else { LedgerEvent::Response(recall) }, NOW + 300);
        assert_eq!(leases(&effects), [(30, 20, 0, 0)]);
        settle(&store, reserved.reservation, ActualUse { tokens: 10, ..ActualUse::default() });
        assert_eq!(only_line(&store).unused(), 0);
        store.put(&APP.name(), &[]).unwrap();
    }
}

#[test]
fn a_lowered_limit_takes_back_what_was_leased_before() {
    let ask = |kind, limit| {
        let buckets = vec![BucketDemand { subject: APP, kind, need: 1, least: 1, floor: 1, limit }];
        LedgerEvent::Demand(crate::limits::account::Demand { buckets }.encode())
    };
    for (kind, want) in [(RPM, 3), (TPM, 3), (COST, 1)] {
        let store = TestMemory::default();
        let mut ledger = supplied(&store, kind);
        assert_eq!(leases(&ledger.on(ask(kind, 100), NOW)), [], "{kind:?}: there is enough");
        assert_eq!(leases(&ledger.on(ask(kind, 50), NOW)), [(30, 30, want, 1)], "{kind:?}");
        let granted = grant(kind, 31, wire::Verdict::Granted);
        ledger.on(answer(3, vec![wire::Grant { limit: 70, ..granted }]), NOW);
        let line = only_line(&store);
        assert_eq!((line.unused(), line.status.limit), (1, 50), "{kind:?}: of who asked");
    }
}

#[test]
fn alone_a_gateway_heeds_a_lowered_limit() {
    for kind in [RPM, COST] {
        let store = TestMemory::default();
        let mut ledger = supplied(&store, kind);
        ledger.on(LedgerEvent::Closed, NOW);
        tick(&mut ledger, 25, NOW);
        assert!(ledger.is_away());
        let buckets = vec![BucketDemand { subject: APP, kind, need: 5, least: 5, floor: 5, limit: 10 }];
        ledger.on(LedgerEvent::Demand(crate::limits::account::Demand { buckets }.encode()), NOW + 2_500);
        let line = only_line(&store);
        let lent = if kind == RPM { 5 } else { 0 };
        assert_eq!((line.returned, line.available(NOW + 2_500)), (30, lent), "{kind:?}");
    }
}

#[test]
fn records_are_shipped_until_they_are_acknowledged() {
    let store = TestMemory::default();
    let mut ledger = connected(&store);
    tick(&mut ledger, 1, NOW);
    let mut ring = ring::Ring::new(ring::take_worker(&store).unwrap(), 8);
    let shipped = |effects: &[LedgerEffect]| -> Vec<(u32, Vec<u64>)> {
        let batches = reports(effects).into_iter().flat_map(|report| &report.batches);
        batches
            .map(|batch| (batch.worker, batch.records.iter().map(|record| record.sequence).collect()))
            .collect()
    };
    let acknowledge = |report, sequence| {
        let acknowledged = vec![wire::Acknowledgement { worker: 0, sequence }];
        LedgerEvent::Response(wire::LedgerResponse {
            report,
            acknowledged,
            ..wire::LedgerResponse::default()
        })
    };
    ring.append(&store, crate::testing::record());
    ring.append(&store, crate::testing::record());
    assert_eq!(shipped(&tick(&mut ledger, 1, NOW)), [(0, vec![1, 2])]);
    ring.append(&store, crate::testing::record());
    assert_eq!(shipped(&tick(&mut ledger, 1, NOW)), [], "one batch at a time");
    ledger.on(LedgerEvent::Closed, NOW);
    assert_eq!(shipped(&ledger.on(LedgerEvent::Connected, NOW)), [(0, vec![1, 2, 3])]);
    ledger.on(acknowledge(1, 2), NOW);
    assert_eq!(shipped(&ledger.on(LedgerEvent::Demand(Demand::default().encode()), NOW)), [(0, vec![3])]);
    ledger.on(acknowledge(2, 3), NOW);
    assert_eq!(shipped(&tick(&mut ledger, 3, NOW)), []);
    assert!(!ring.is_nearly_full(&store));
}

#[test]
fn a_budgets_next_period_is_another_line_and_the_old_one_goes_when_it_is_settled() {
    let store = TestMemory::default();
    let limits = limits(COST, 100);
    let subjects = [LimitSubject { id: APP, limits: &limits }];
    let price = testing::price(1, 1_000_000, 0, 1_000_000);
    let need = Need { price: Some(testing::ceiling(&price)), ..need(5, 5) };
    let mut ledger = connected(&store);
    let in_period = |period, granted| wire::Grant {
        bucket: Some(crate::record::bucket_id(APP, COST, period)),
        ttl_ms: 0,
        resets_at_ms: period + 1000,
        ..grant(COST, granted, wire::Verdict::Granted)
    };
    let effects = ledger.on(demand(COST, 10, 10), NOW);
    assert_eq!(reports(&effects)[0].leases[0].bucket.as_ref().unwrap().period, PERIOD_NOW);
    ledger.on(answer(2, vec![in_period(NOW, 10)]), NOW);
    let ReserveOutcome::Reserved(reserved) = reserve(&store, &subjects, &need, NOW) else { panic!() };
    assert!(matches!(reserve(&store, &subjects, &need, NOW + 1000), ReserveOutcome::Wait(_)));
    ledger.on(demand(COST, 10, 10), NOW + 1000);
    ledger.on(answer(3, vec![in_period(NOW + 1000, 10)]), NOW + 1000);
    assert_eq!(LeaseAccount::read(&store, APP).unwrap().0.lines.len(), 2);
    let charges =
        settle(&store, reserved.reservation, ActualUse { tokens: 8, cost: crate::price::NanoUsd(8) });
    assert_eq!((charges[0].period, charges[0].amount), (NOW, 8));
    for report in 4..20 {
        tick(&mut ledger, 1, NOW + 1000 + report * 100);
        ledger.on(answer(report.unsigned_abs(), vec![]), NOW + 1000);
    }
    assert_eq!(only_line(&store).period, NOW + 1000);
}

#[test]
fn a_budget_that_gets_a_longer_period_is_taken_of_that_from_the_next_grant_on() {
    let store = TestMemory::default();
    let limits = limits(COST, 100);
    let subjects = [LimitSubject { id: APP, limits: &limits }];
    let price = testing::price(1, 1_000_000, 0, 1_000_000);
    let need = Need { price: Some(testing::ceiling(&price)), ..need(5, 5) };
    let mut ledger = connected(&store);
    let in_period = |period, granted| wire::Grant {
        bucket: Some(crate::record::bucket_id(APP, COST, period)),
        resets_at_ms: NOW + 1000,
        ..grant(COST, granted, wire::Verdict::Granted)
    };
    let (day, month) = (NOW, NOW - 1_000_000);
    ledger.on(demand(COST, 10, 10), NOW);
    ledger.on(answer(2, vec![in_period(day, 10)]), NOW);
    assert!(matches!(reserve(&store, &subjects, &need, NOW), ReserveOutcome::Reserved(_)));
    assert!(matches!(reserve(&store, &subjects, &need, NOW), ReserveOutcome::Wait(_)));
    ledger.on(demand(COST, 10, 10), NOW);
    ledger.on(answer(3, vec![in_period(month, 10)]), NOW);
    let ReserveOutcome::Reserved(reserved) = reserve(&store, &subjects, &need, NOW) else {
        panic!("the day is over")
    };
    let charges =
        settle(&store, reserved.reservation, ActualUse { tokens: 8, cost: crate::price::NanoUsd(8) });
    assert_eq!(charges[0].period, month);
}

#[test]
fn alone_a_gateway_keeps_windows_by_itself_and_spends_no_budget() {
    let store = TestMemory::default();
    let limits = limits(RPM, 100);
    let subjects = [LimitSubject { id: APP, limits: &limits }];
    let mut ledger = connected(&store);
    ledger.on(LedgerEvent::Closed, NOW);
    assert_eq!(ledger.on(demand(COST, 5, 5), NOW), [], "it may be back at once");
    let effects = tick(&mut ledger, 20, NOW);
    assert!(effects.contains(&LedgerEffect::Wake) && ledger.is_away());
    assert_eq!(only_line(&store).status.verdict, GrantVerdict::Away);
    ledger.on(demand(RPM, 40, 1), NOW + 2000);
    let admitted = (0..100)
        .filter(|_| match reserve(&store, &subjects, &need(1, 1), NOW + 2000) {
            ReserveOutcome::Reserved(_) => true,
            ReserveOutcome::Wait(asked) => {
                ledger.on(LedgerEvent::Demand(asked.encode()), NOW + 2000);
                matches!(reserve(&store, &subjects, &need(1, 1), NOW + 2000), ReserveOutcome::Reserved(_))
            }
            _ => false,
        })
        .count();
    assert_eq!(admitted, 100);
    ledger.on(demand(RPM, 1, 1), NOW + 2000);
    let ReserveOutcome::Refused(refusal) = reserve(&store, &subjects, &need(1, 1), NOW + 2001) else {
        panic!()
    };
    assert_eq!(refusal.reason, crate::limits::account::RefusalReason::Exhausted);
    assert!((59_000..=61_000).contains(&refusal.retry_after_ms), "{refusal:?}");
    tick(&mut ledger, 6000, NOW + 3000);
    ledger.on(demand(RPM, 1, 1), NOW + 700_000);
    let ReserveOutcome::Refused(refusal) = reserve(&store, &subjects, &need(1, 1), NOW + 700_000) else {
        panic!()
    };
    assert_eq!(refusal.reason, crate::limits::account::RefusalReason::Away, "not for ever");
}

#[test]
fn silence_on_an_open_stream_is_an_absence_too() {
    let store = TestMemory::default();
    let mut ledger = connected(&store);
    ledger.on(demand(COST, 5, 5), NOW);
    tick(&mut ledger, 19, NOW);
    assert!(!ledger.is_away());
    let effects = tick(&mut ledger, 1, NOW + 1900);
    assert!(ledger.is_away() && effects.iter().any(|effect| matches!(effect, LedgerEffect::Log(_))));
    ledger.on(answer(2, vec![]), NOW + 2000);
    assert!(!ledger.is_away());
}

#[test]
fn a_clock_that_goes_back_prolongs_no_lease() {
    let store = TestMemory::default();
    let mut ledger = supplied(&store, TPM);
    tick(&mut ledger, 1, NOW);
    ledger.on(LedgerEvent::Tick, NOW - 60_000);
    assert_eq!(only_line(&store).available(NOW - 60_000), 0);
}

fn contended(granted: u64) -> wire::Grant {
    grant(TPM, granted, wire::Verdict::Contended)
}

fn recall(kind: BucketKind) -> LedgerEvent {
    let recalls = vec![crate::record::bucket_id(APP, kind, 0)];
    LedgerEvent::Response(wire::LedgerResponse { recalls, ..wire::LedgerResponse::default() })
}

#[test]
fn what_is_asked_for_lets_one_more_request_go() {
    let store = TestMemory::default();
    let mut ledger = supplied(&store, TPM);
    assert_eq!(leases(&ledger.on(demand(TPM, 20, 20), NOW)), [], "there is enough");
    assert_eq!(leases(&ledger.on(demand(TPM, 60, 20), NOW)), [(30, 0, 30, 10)], "not one unit");
}

#[test]
fn what_lets_nobody_go_is_given_back_for_others_who_wait() {
    let store = TestMemory::default();
    let mut ledger = supplied(&store, TPM);
    ledger.on(demand(TPM, 40, 40), NOW);
    let effects = ledger.on(answer(3, vec![contended(30)]), NOW);
    assert_eq!(leases(&effects), [(30, 30, 0, 0)]);
    assert_eq!(leases(&ledger.on(demand(TPM, 40, 40), NOW)), [(30, 30, 40, 40)], "the whole of it");
}

#[test]
fn what_is_missing_only_a_rest_is_kept_while_that_is_asked_for() {
    let store = TestMemory::default();
    let mut ledger = supplied(&store, TPM);
    ledger.on(demand(TPM, 40, 40), NOW);
    ledger.on(demand(TPM, 40, 40), NOW);
    ledger.on(recall(TPM), NOW + 300);
    ledger.on(answer(3, vec![contended(30)]), NOW + 300);
    assert_eq!(only_line(&store).available(NOW + 300), 30, "the second answer may bring the rest");
    ledger.on(answer(4, vec![grant(TPM, 40, wire::Verdict::Granted)]), NOW + 300);
    assert_eq!(only_line(&store).available(NOW + 300), 40);
    ledger.on(recall(TPM), NOW + 600);
    assert_eq!(only_line(&store).available(NOW + 600), 0, "nothing is asked for");
}

/// A tool with this definition is seen on a server whose tools are pinned; `add` was approved as another one.
fn see(store: &TestMemory, tool: &str, byte: u8, now_ms: i64) {
    see_text(store, tool, byte, format!("\"{byte}\""), now_ms);
}

fn see_text(store: &TestMemory, tool: &str, byte: u8, text: String, now_ms: i64) {
    let pins = vec![testing::pin("add", [0; 32])];
    let pins = Some(discovery_wire::McpPins { pins, trust_first_use: false });
    let server = discovery_wire::McpServer { pins, ..testing::mcp_server("github") };
    let form = wire::DefinitionForm::Clear;
    let seen = sightings::sighting("github", tool, ToolHash([byte; 32]), form, text);
    sightings::note(store, &McpServer::try_from(server).unwrap(), |_| true, vec![seen], UnixMs(now_ms));
}

/// The tools of the reports, each with its definition.
fn sighted(effects: &[LedgerEffect]) -> Vec<(String, String)> {
    let tools = reports(effects).into_iter().flat_map(|report| &report.tools);
    tools.map(|seen| (seen.tool.clone(), seen.definition.clone())).collect()
}

#[test]
fn a_tool_that_is_not_as_it_is_pinned_is_told_once_on_a_stream() {
    let store = TestMemory::default();
    sightings::begin(&store).unwrap();
    let mut ledger = connected(&store);
    see(&store, "send", 2, NOW);
    see(&store, "add", 1, NOW);
    let pair = |tool: &str, definition: &str| (tool.to_owned(), definition.to_owned());
    let both = [pair("add", "\"1\""), pair("send", "\"2\"")];
    assert_eq!(sighted(&tick(&mut ledger, 3, NOW)), both, "what has changed comes first");
    ledger.on(answer(2, vec![]), NOW);
    see(&store, "add", 3, NOW + 20_000);
    assert_eq!(sighted(&tick(&mut ledger, 3, NOW)), [pair("add", "\"3\"")]);
    ledger.on(LedgerEvent::Closed, NOW);
    let again = sighted(&ledger.on(LedgerEvent::Connected, NOW));
    assert_eq!(again, [pair("add", "\"3\""), pair("send", "\"2\"")], "what was sent may be lost");
    ledger.on(LedgerEvent::Closed, NOW);
    let late = sighted(&ledger.on(LedgerEvent::Connected, NOW + 300_001));
    assert_eq!(
        late,
        [pair("add", "\"3\"")],
        "nobody lists the other any more, and an admin may have forgotten it"
    );
}

#[test]
fn tools_that_do_not_fit_a_report_come_with_the_next() {
    let store = TestMemory::default();
    sightings::begin(&store).unwrap();
    let mut ledger = connected(&store);
    let text = "x".repeat(60_000);
    for byte in 0..20 {
        see_text(&store, &format!("t{byte}"), byte, text.clone(), NOW);
    }
    let effects = tick(&mut ledger, 5, NOW);
    let sizes: Vec<_> = reports(&effects).iter().map(|report| report.tools.len()).collect();
    assert_eq!(sizes, [8, 8, 4]);
    assert_eq!(sighted(&effects).len(), 20);
}
