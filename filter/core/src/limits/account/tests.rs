use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::price::{NanoUsd, Price};
use crate::snapshot::{BucketLimit, Limits};
use crate::testing::{self, TestMemory};

const APP: SubjectId = SubjectId([1; 16]);
const KEY: SubjectId = SubjectId([2; 16]);
const NOW: i64 = 1_700_000_000_000;
const PRICE: Price = testing::price(1, 1_000_000, 500_000, 2_000_000);

fn limits(buckets: &[(BucketKind, u64)]) -> Limits {
    let buckets = buckets.iter().map(|&(kind, limit)| BucketLimit { kind, limit }).collect();
    Limits { buckets, ..Limits::default() }
}

fn need(input_tokens: u64, output_wanted: u64, output_least: u64) -> Need {
    Need {
        input_tokens,
        input_estimate: input_tokens,
        output_wanted,
        output_least,
        price: Some(testing::ceiling(&PRICE)),
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
    super::reserve(store, subjects, need, Patience::Whole, now_ms)
}

/// Brings `total` units in all, as an answer to the wish for as many.
fn grant(store: &TestMemory, subject: SubjectId, kind: BucketKind, total: u64, status: BucketStatus) {
    if LeaseAccount::read(store, subject).is_none() {
        store.put(&subject.name(), &LeaseAccount::default().encode()).unwrap();
    }
    let status = BucketStatus { limit: 1000, ..status };
    let granted = ReceivedGrant { total, want: total, deadline_ms: NOW + 10_000, status };
    LeaseAccount::change(store, subject, |account| account.edit(kind, 0, |line| line.grant(granted, NOW)));
}

fn granted() -> BucketStatus {
    BucketStatus { verdict: GrantVerdict::Granted, retry_at_ms: NOW, ..BucketStatus::default() }
}

fn refused(least: u64) -> BucketStatus {
    let retry_at_ms = NOW + 700;
    let verdict = GrantVerdict::Exhausted;
    BucketStatus {
        verdict,
        refused: least,
        retry_at_ms,
        fresh_until_ms: retry_at_ms,
        ..BucketStatus::default()
    }
}

fn line(store: &TestMemory, subject: SubjectId, kind: BucketKind) -> AccountLine {
    *LeaseAccount::read(store, subject).unwrap().0.current(kind).unwrap()
}

#[test]
fn all_that_is_missing_is_asked_for_at_once() {
    use BucketKind::{CostBudget, RequestsPerMinute, TokensPerMinute};
    let store = TestMemory::default();
    let (app, key) =
        (limits(&[(RequestsPerMinute, 1000), (CostBudget, 1000)]), limits(&[(TokensPerMinute, 1000)]));
    let subjects = [LimitSubject { id: APP, limits: &app }, LimitSubject { id: KEY, limits: &key }];
    grant(&store, APP, RequestsPerMinute, 5, granted());
    grant(&store, KEY, TokensPerMinute, 15, granted());
    let ReserveOutcome::Wait(demand) = reserve(&store, &subjects, &need(10, 20, 10), NOW) else { panic!() };
    let buckets: Vec<_> =
        demand.buckets.iter().map(|ask| (ask.subject, ask.kind, ask.need, ask.least)).collect();
    assert_eq!(buckets, [(APP, CostBudget, 50, 50), (KEY, TokensPerMinute, 30, 30)]);
    assert_eq!(demand.buckets[0].floor, 30, "a cut answer would do with this");
    assert_eq!(line(&store, APP, RequestsPerMinute).used, 0);
}

/// The control plane has no more than `remaining` now, and may have `reachable` soon.
fn short(verdict: GrantVerdict, refused: u64, remaining: u64, reachable: u64) -> BucketStatus {
    BucketStatus { verdict, remaining, reachable, ..self::refused(refused) }
}

#[test]
fn output_is_lowered_to_what_there_can_be() {
    let kind = BucketKind::TokensPerMinute;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, kind, 50, granted());
    assert!(matches!(reserve(&store, &subjects, &need(10, 100, 20), NOW), ReserveOutcome::Wait(_)));
    grant(&store, APP, kind, 50, refused(60));
    let ReserveOutcome::Reserved(reserved) = reserve(&store, &subjects, &need(10, 100, 20), NOW) else {
        panic!()
    };
    assert_eq!(reserved.reservation.output_tokens, 40);
    assert_eq!(reserved.reservation.most(), ActualUse { tokens: 50, cost: NanoUsd(0) });
    cancel(&store, reserved.reservation);
    assert_eq!(line(&store, APP, kind).available(NOW), 50);
    grant(&store, APP, kind, 50, short(GrantVerdict::Exhausted, 60, 0, 30));
    let ReserveOutcome::Wait(demand) = reserve(&store, &subjects, &need(10, 100, 20), NOW) else { panic!() };
    assert_eq!((demand.buckets[0].need, demand.buckets[0].least), (80, 80), "others may leave so much");
}

#[test]
fn what_others_hold_is_waited_for_then_less_is_taken_and_then_it_is_refused() {
    let kind = BucketKind::TokensPerMinute;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    let reserve = |patience, now| super::reserve(&store, &subjects, &need(10, 100, 20), patience, now);
    let asked = |reserve| match reserve {
        ReserveOutcome::Wait(demand) => {
            demand.buckets.iter().map(|ask| (ask.need, ask.least)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    grant(&store, APP, kind, 10, granted());
    grant(&store, APP, kind, 10, short(GrantVerdict::Contended, 100, 35, 500));
    assert_eq!(asked(reserve(Patience::Whole, NOW)), [], "it waits, and keeps nothing from others");
    assert_eq!(asked(reserve(Patience::Whole, NOW + 700)), [(110, 110)], "and asks again");
    assert_eq!(asked(reserve(Patience::Cut, NOW)), [(45, 45)], "all that is there");
    grant(&store, APP, kind, 10, short(GrantVerdict::Contended, 35, 10, 500));
    assert_eq!(asked(reserve(Patience::Cut, NOW)), [(30, 30)], "there is too little even for the floor");
    grant(&store, APP, kind, 10, short(GrantVerdict::Contended, 20, 10, 500));
    assert_eq!(asked(reserve(Patience::Cut, NOW)), []);
    for now in [NOW, NOW + 1_000] {
        let ReserveOutcome::Refused(refusal) = reserve(Patience::Over, now) else { panic!() };
        assert_eq!((refusal.reason, refusal.needed), (RefusalReason::Contended, 30));
    }
    grant(&store, APP, kind, 55, short(GrantVerdict::Contended, 60, 0, 500));
    let ReserveOutcome::Reserved(reserved) = reserve(Patience::Cut, NOW) else { panic!() };
    assert_eq!(reserved.reservation.output_tokens, 45, "what is here is enough for a shorter answer");
}

#[test]
fn what_requests_here_hold_is_waited_for() {
    let kind = BucketKind::CostBudget;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, kind, 200, granted());
    let ReserveOutcome::Reserved(first) = reserve(&store, &subjects, &need(10, 90, 1), NOW) else { panic!() };
    grant(&store, APP, kind, 200, refused(100));
    let ReserveOutcome::Wait(demand) = reserve(&store, &subjects, &need(10, 90, 1), NOW) else { panic!() };
    assert_eq!(demand.buckets, []);
    settle(&store, first.reservation, ActualUse { tokens: 5, cost: NanoUsd(5) });
    assert!(matches!(reserve(&store, &subjects, &need(10, 90, 1), NOW), ReserveOutcome::Reserved(_)));
}

#[test]
fn what_is_recalled_goes_back_also_from_requests_under_way() {
    let kind = BucketKind::TokensPerMinute;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, kind, 100, granted());
    let recall = |now| {
        LeaseAccount::change(&store, APP, |account| account.edit(kind, 0, |line| line.recall(0, now)));
        line(&store, APP, kind).returned
    };
    let ReserveOutcome::Reserved(reserved) = reserve(&store, &subjects, &need(10, 40, 1), NOW) else {
        panic!()
    };
    assert_eq!(recall(NOW + 100), 0, "those for whom it came are about to take it");
    assert_eq!(recall(NOW + 300), 50);
    settle(&store, reserved.reservation, ActualUse { tokens: 20, ..ActualUse::default() });
    let line = line(&store, APP, kind);
    assert_eq!((line.used, line.returned, line.unused()), (20, 80, 0));
}

#[test]
fn a_window_of_tokens_counts_an_estimate_and_then_what_was_used() {
    use BucketKind::{TokenBudget, TokensPerMinute};
    let store = TestMemory::default();
    let app = limits(&[(TokensPerMinute, 1000), (TokenBudget, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, TokensPerMinute, 500, granted());
    grant(&store, APP, TokenBudget, 500, granted());
    let need = Need { input_estimate: 40, ..need(100, 10, 10) };
    let hold = || match reserve(&store, &subjects, &need, NOW) {
        ReserveOutcome::Reserved(reserved) => reserved.reservation,
        other => panic!("{other:?}"),
    };
    let (beyond, unknown) = (hold(), hold());
    let held = |kind| line(&store, APP, kind).held;
    assert_eq!((held(TokensPerMinute), held(TokenBudget)), (100, 220));
    let amounts = |charges: Vec<Charge>| charges.iter().map(|charge| charge.amount).collect::<Vec<_>>();
    let actual = |tokens| ActualUse { tokens, ..ActualUse::default() };
    assert_eq!(amounts(settle(&store, beyond, actual(70))), [70, 70], "more than was estimated");
    let line_of = line(&store, APP, TokensPerMinute);
    assert_eq!((line_of.used, line_of.held, line_of.unused()), (70, 50, 380));
    assert_eq!(amounts(settle_unknown(&store, unknown, actual(110), 0)), [50, 110]);
}

#[test]
fn a_no_holds_for_as_much_and_for_as_long_as_it_was_said() {
    let kind = BucketKind::TokensPerMinute;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, kind, 0, refused(60));
    let ReserveOutcome::Refused(refusal) = reserve(&store, &subjects, &need(50, 100, 10), NOW + 100) else {
        panic!()
    };
    assert_eq!((refusal.reason, refusal.needed), (RefusalReason::Exhausted, 60));
    assert_eq!(refusal.retry_after_ms, 600);
    let ReserveOutcome::Refused(larger) = reserve(&store, &subjects, &need(50, 100, 20), NOW + 100) else {
        panic!()
    };
    assert_eq!(larger.retry_after_ms, 600 + 60_000, "nothing is known of when there is room for more");
    assert!(
        matches!(reserve(&store, &subjects, &need(50, 100, 10), NOW + 700), ReserveOutcome::Wait(_)),
        "it is over"
    );
    let raised = limits(&[(kind, 2000)]);
    let subjects = [LimitSubject { id: APP, limits: &raised }];
    assert!(
        matches!(reserve(&store, &subjects, &need(50, 100, 10), NOW), ReserveOutcome::Wait(_)),
        "the limit was raised"
    );
}

#[test]
fn nobody_is_told_to_wait_for_longer_than_a_window_lasts() {
    let kind = BucketKind::TokensPerMinute;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    let status =
        BucketStatus { retry_at_ms: NOW + 40_000, resets_at_ms: NOW + 40_000, used: 300, ..refused(60) };
    grant(&store, APP, kind, 0, status);
    let waits = |least| match reserve(&store, &subjects, &need(50, 900, least), NOW) {
        ReserveOutcome::Refused(refusal) => (refusal.retry_after_ms, refusal.standing.resets_at_ms - NOW),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(10), (40_000, 40_000));
    assert_eq!(waits(30), (44_000, 44_000), "300 leave in a minute, 20 of them in 4 s");
    assert_eq!(waits(900), (61_000, 61_000), "then all that was used has left");
}

#[test]
fn what_the_limit_can_never_hold_is_not_waited_for() {
    let store = TestMemory::default();
    let app = limits(&[(BucketKind::CostBudget, 100)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    let ReserveOutcome::Refused(refusal) = reserve(&store, &subjects, &need(90, 100, 10), NOW) else {
        panic!()
    };
    assert_eq!((refusal.reason, refusal.retry_after_ms), (RefusalReason::TooLarge, 0));
    let ReserveOutcome::Wait(demand) = reserve(&store, &subjects, &need(50, 100, 10), NOW) else { panic!() };
    assert_eq!((demand.buckets[0].need, demand.buckets[0].floor), (100, 70), "no more than the limit");
    let unpriced = Need { price: None, ..need(1, 1, 1) };
    assert!(matches!(reserve(&store, &subjects, &unpriced, NOW), ReserveOutcome::Unpriced(0)));
}

#[test]
fn a_lifted_limit_holds_nobody() {
    let store = TestMemory::default();
    let app = limits(&[(BucketKind::RequestsPerDay, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    let status = BucketStatus {
        verdict: GrantVerdict::Unlimited,
        fresh_until_ms: NOW + 1000,
        ..BucketStatus::default()
    };
    grant(&store, APP, BucketKind::RequestsPerDay, 0, status);
    assert!(matches!(reserve(&store, &subjects, &need(1, 1, 1), NOW), ReserveOutcome::Reserved(_)));
    assert!(matches!(reserve(&store, &subjects, &need(1, 1, 1), NOW + 1000), ReserveOutcome::Wait(_)));
}

#[test]
fn a_low_lease_is_told_once() {
    let kind = BucketKind::RequestsPerMinute;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, kind, 4, granted());
    let refill = |now| match reserve(&store, &subjects, &need(1, 1, 1), now) {
        ReserveOutcome::Reserved(reserved) => reserved.refill.map(|demand| demand.buckets[0].need),
        _ => panic!(),
    };
    assert_eq!([NOW, NOW, NOW, NOW + 1].map(refill), [None, None, Some(16), None]);
}

#[test]
fn a_lease_is_renewed_ahead_when_a_third_of_its_time_is_left() {
    for kind in [BucketKind::RequestsPerMinute, BucketKind::TokenBudget] {
        let store = TestMemory::default();
        let app = limits(&[(kind, 1000)]);
        let subjects = [LimitSubject { id: APP, limits: &app }];
        grant(&store, APP, kind, 100, granted());
        let refill = |now| match reserve(&store, &subjects, &need(1, 0, 0), now) {
            ReserveOutcome::Reserved(reserved) => reserved.refill.is_some(),
            other => panic!("{other:?}"),
        };
        assert_eq!([NOW + 6_600, NOW + 6_700].map(refill), [false, true], "{kind:?}");
    }
}

#[test]
fn what_was_leased_under_a_higher_limit_is_not_used() {
    let kind = BucketKind::RequestsPerMinute;
    let store = TestMemory::default();
    grant(&store, APP, kind, 100, granted());
    let reserve = |limit| {
        let app = limits(&[(kind, limit)]);
        reserve(&store, &[LimitSubject { id: APP, limits: &app }], &need(1, 1, 1), NOW)
    };
    assert!(matches!(reserve(1000), ReserveOutcome::Reserved(_)));
    assert!(matches!(reserve(2000), ReserveOutcome::Reserved(_)), "a raised limit takes nothing away");
    let ReserveOutcome::Wait(demand) = reserve(999) else { panic!("the limit was lowered") };
    assert_eq!((demand.buckets[0].need, demand.buckets[0].limit), (1, 999));
}

#[test]
fn an_admission_that_was_reported_stays_counted() {
    let kind = BucketKind::RequestsPerMinute;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, kind, 4, granted());
    let admit = || match reserve(&store, &subjects, &need(1, 1, 1), NOW) {
        ReserveOutcome::Reserved(reserved) => reserved.reservation,
        _ => panic!(),
    };
    let (first, second) = (admit(), admit());
    cancel(&store, second);
    assert_eq!(line(&store, APP, kind).used, 1);
    LeaseAccount::change(&store, APP, |account| account.edit(kind, 0, |line| line.reports += 1));
    cancel(&store, first);
    assert_eq!(line(&store, APP, kind).used, 1);
}

#[test]
fn what_was_reserved_in_a_period_settles_in_it() {
    let kind = BucketKind::CostBudget;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, kind, 100, granted());
    let ReserveOutcome::Reserved(reserved) = reserve(&store, &subjects, &need(10, 10, 1), NOW) else {
        panic!()
    };
    LeaseAccount::change(&store, APP, |account| {
        let granted = ReceivedGrant { total: 100, want: 100, deadline_ms: i64::MAX, status: granted() };
        account.edit(kind, NOW, |line| line.grant(granted, NOW));
    });
    let charges = settle(&store, reserved.reservation, ActualUse { tokens: 15, cost: NanoUsd(20) });
    assert_eq!(charges, [Charge { subject: APP, kind, period: 0, amount: 20 }]);
    assert_eq!(line(&store, APP, kind).used, 0);
}

#[test]
fn what_outlives_its_lease_goes_back_and_not_into_the_next() {
    let kind = BucketKind::TokensPerMinute;
    let store = TestMemory::default();
    let app = limits(&[(kind, 1000)]);
    let subjects = [LimitSubject { id: APP, limits: &app }];
    grant(&store, APP, kind, 100, granted());
    let hold = || match reserve(&store, &subjects, &need(10, 40, 40), NOW) {
        ReserveOutcome::Reserved(reserved) => reserved.reservation,
        _ => panic!(),
    };
    let (first, second) = (hold(), hold());
    let granted = ReceivedGrant { total: 120, want: 20, deadline_ms: NOW + 20_000, status: granted() };
    LeaseAccount::change(&store, APP, |account| {
        account.edit(kind, 0, |line| line.grant(granted, NOW + 10_000))
    });
    settle(&store, first, ActualUse { tokens: 30, ..ActualUse::default() });
    cancel(&store, second);
    let line = line(&store, APP, kind);
    assert_eq!((line.returned, line.available(NOW + 10_000)), (70, 20));
}

/// One thing that one of the threads does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve { keyed: bool, input: u64, output: u64 },
    Settle { index: usize, share: u64 },
    Cancel { index: usize },
    Grant { subject: bool, kind: usize, amount: u64, ttl_ms: i64 },
    GiveBack { subject: bool },
    Report,
    Wait { ms: i64 },
}

/// What must be true, kept apart from the accounts.
#[derive(Default)]
struct Books {
    now_ms: i64,
    live: Vec<Reservation>,
    /// Units for good, by owner and kind; of requests, those admitted.
    used: BTreeMap<(SubjectId, BucketKind), u64>,
}

const KINDS: [BucketKind; 3] =
    [BucketKind::RequestsPerMinute, BucketKind::TokensPerMinute, BucketKind::CostBudget];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 0..30_u64, 0..40_u64).prop_map(|(keyed, input, output)| Step::Reserve { keyed, input, output }),
        2 => (0..8_usize, 0..=100_u64).prop_map(|(index, share)| Step::Settle { index, share }),
        1 => (0..8_usize).prop_map(|index| Step::Cancel { index }),
        4 => (any::<bool>(), 0..3_usize, 1..120_u64, 1..3000_i64)
            .prop_map(|(subject, kind, amount, ttl_ms)| Step::Grant { subject, kind, amount, ttl_ms }),
        1 => any::<bool>().prop_map(|subject| Step::GiveBack { subject }),
        1 => Just(Step::Report),
        1 => (0..2000_i64).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn carry_out(step: Step, store: &TestMemory, books: &RefCell<Books>) {
    let now = NOW + books.borrow().now_ms;
    let subject = |is_app: bool| if is_app { APP } else { KEY };
    match step {
        Step::Reserve { keyed, input, output } => {
            let app = limits(&KINDS.map(|kind| (kind, 1000)));
            let key = limits(&[(BucketKind::TokensPerMinute, 1000), (BucketKind::CostBudget, 1000)]);
            let subjects = [LimitSubject { id: APP, limits: &app }, LimitSubject { id: KEY, limits: &key }];
            let subjects = if keyed { &subjects[..] } else { &subjects[..1] };
            if let ReserveOutcome::Reserved(reserved) =
                reserve(store, subjects, &need(input, output, output / 2), now)
            {
                let mut books = books.borrow_mut();
                for held in reserved.reservation.held() {
                    if held.kind == BucketKind::RequestsPerMinute {
                        *books.used.entry((held.subject, held.kind)).or_default() += 1;
                    }
                }
                books.live.push(reserved.reservation);
            }
        }
        Step::Settle { index, share } => {
            let Some(reservation) = take(books, index) else { return };
            let most = reservation.most();
            let actual =
                ActualUse { tokens: most.tokens * share / 100, cost: NanoUsd(most.cost.0 * share / 100) };
            for charge in settle(store, reservation, actual) {
                *books.borrow_mut().used.entry((charge.subject, charge.kind)).or_default() += charge.amount;
            }
        }
        Step::Cancel { index } => {
            let Some(reservation) = take(books, index) else { return };
            let held: Vec<_> = reservation.held().to_vec();
            let before = line_of(store, APP).map_or(0, |line| line.used);
            cancel(store, reservation);
            let after = line_of(store, APP).map_or(0, |line| line.used);
            // Where other threads come between, the books cannot tell whether it was reported.
            let taken = held.iter().filter(|held| held.kind == BucketKind::RequestsPerMinute).count() as u64;
            let mut books = books.borrow_mut();
            let used = books.used.entry((APP, BucketKind::RequestsPerMinute)).or_default();
            *used = if after < before { used.saturating_sub(taken) } else { *used };
        }
        Step::Grant { subject: is_app, kind, amount, ttl_ms } => {
            LeaseAccount::change(store, subject(is_app), |account| {
                account.edit(KINDS[kind], 0, |line| {
                    let total = line.granted + amount;
                    let status = BucketStatus { limit: 1000, ..granted() };
                    line.grant(ReceivedGrant { total, want: amount, deadline_ms: now + ttl_ms, status }, now);
                });
            });
        }
        Step::GiveBack { subject: is_app } => {
            LeaseAccount::change(store, subject(is_app), |account| {
                account.lines.iter_mut().for_each(|line| {
                    line.give_back();
                });
            });
        }
        Step::Report => {
            LeaseAccount::change(store, APP, |account| {
                account.lines.iter_mut().for_each(|line| line.reports += 1)
            });
        }
        Step::Wait { ms } => books.borrow_mut().now_ms += ms,
    }
}

fn take(books: &RefCell<Books>, index: usize) -> Option<Reservation> {
    let mut books = books.borrow_mut();
    (index < books.live.len()).then(|| books.live.swap_remove(index))
}

fn line_of(store: &TestMemory, subject: SubjectId) -> Option<AccountLine> {
    LeaseAccount::read(store, subject)?.0.current(BucketKind::RequestsPerMinute).copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn accounts_agree_with_the_books_whoever_comes_between(
        steps in prop::collection::vec((step(), any::<bool>()), 1..60)
    ) {
        let store = TestMemory::default();
        let books = Rc::new(RefCell::new(Books::default()));
        for subject in [APP, KEY] {
            store.put(&subject.name(), &LeaseAccount::default().encode()).unwrap();
        }
        let mut steps = steps.into_iter().peekable();
        while let Some((step, _)) = steps.next() {
            // Those marked happen between the read and the swap of the one before. A cancellation
            // stays by itself, for the books' sake; so does a report: an admission that is reported
            // before it is undone stays counted, one too many.
            while let Some((intruder, _)) = steps.next_if(|(intruder, comes_between)| {
                let alone = matches!(intruder, Step::Cancel { .. } | Step::Report);
                *comes_between && !alone && !matches!(step, Step::Cancel { .. })
            }) {
                let books = Rc::clone(&books);
                store.interrupt(move |store| carry_out(intruder, store, &books));
            }
            carry_out(step, &store, &books);
            store.calm();
            let books = books.borrow();
            for subject in [APP, KEY] {
                for line in LeaseAccount::read(&store, subject).unwrap().0.lines {
                    let held: u64 = books.live.iter().flat_map(Reservation::held)
                        .filter(|held| held.subject == subject && held.kind == line.kind && !line.is_of_requests())
                        .map(|held| held.amount).sum();
                    prop_assert_eq!(line.held, held);
                    prop_assert_eq!(line.used, books.used.get(&(subject, line.kind)).copied().unwrap_or_default());
                    prop_assert!(line.used + line.held + line.returned <= line.granted + line.local, "{:?}", line);
                }
            }
        }
    }

    #[test]
    fn accounts_and_notices_read_back(
        numbers in prop::collection::vec((any::<[u64; 13]>(), any::<[i64; 6]>(), 0..6_usize), 0..7), subject: [u8; 16]
    ) {
        let lines = numbers.iter().map(|(n, m, kind)| AccountLine {
            kind: BucketKind::ALL[*kind], period: m[0], granted: n[0], used: n[1], held: n[2], returned: n[3],
            local: n[4], deadline_ms: m[1], last_grant: n[5], reports: n[6], lapses: n[11], asked_at_ms: m[2],
            status: BucketStatus {
                verdict: [GrantVerdict::Unknown, GrantVerdict::Granted, GrantVerdict::Exhausted, GrantVerdict::Contended,
                    GrantVerdict::Unlimited, GrantVerdict::Away][*kind],
                limit: n[7], remaining: n[8], reachable: n[12], used: n[9], resets_at_ms: m[3], retry_at_ms: m[4],
                fresh_until_ms: m[5], refused: n[10],

            },
        }).collect();
        let account = LeaseAccount { lines };
        prop_assert_eq!(LeaseAccount::decode(&account.encode()), Some(account));
        let buckets = numbers.iter().map(|(n, _, kind)| BucketDemand {
            subject: SubjectId(subject), kind: BucketKind::ALL[*kind], need: n[0], least: n[1], floor: n[3], limit: n[2],
        }).collect();
        let demand = Demand { buckets };
        prop_assert_eq!(Demand::decode(&demand.encode()), Some(demand));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = (LeaseAccount::decode(&bytes), Demand::decode(&bytes));
        let versioned = [&[VERSION], bytes.as_slice()].concat();
        let _ = (LeaseAccount::decode(&versioned), Demand::decode(&versioned));
    }
}
