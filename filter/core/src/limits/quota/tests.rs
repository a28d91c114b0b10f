use std::rc::Rc;

use latchkey_proto::discovery as wire;

use super::*;
use crate::answer::denial::Code;
use crate::limits::account::{BucketStatus, GrantVerdict};
use crate::price::density::{BytesPerToken, Text};
use crate::price::{LongContext, NanoUsd, Price, RateCard, Rates, Tier, TierChoice, TokenUsage};
use crate::request::body::LimitObstacles;
use crate::snapshot::{BucketLimit, KeyId, Provider, ProviderKind};
use crate::testing::{self, TestMemory};
use BucketKind::{CostBudget, RequestsPerHour, RequestsPerMinute, TokenBudget, TokensPerMinute};

const SUBJECT: SubjectId = SubjectId([1; 16]);
const NOW: UnixMs = UnixMs(1000);
const PRICE: Price = testing::price(1, 1_000_000, 500_000, 2_000_000);

fn limits(buckets: &[(BucketKind, u64)]) -> Limits {
    Limits::try_from(testing::limits(buckets)).unwrap()
}

fn bounds() -> UsageBounds {
    UsageBounds {
        stream: false,
        wants_usage: false,
        max_output: Some(100),
        choices: 1,
        input_bound: 300,
        text: Text::default(),
        input_estimate: 10,
        unbounded: None,
        tier: TierChoice::default(),
        obstacles: LimitObstacles::default(),
    }
}

fn offer() -> Offer {
    let provider = Provider {
        name: "openai".into(),
        kind: ProviderKind::OpenAi,
        cluster: "c".into(),
        authority: "a".into(),
        path_prefix: String::new(),
        idle_timeout: None,
    };
    Offer {
        provider: Rc::new(provider),
        upstream_name: "gpt-4o".into(),
        created_at: 0,
        price: Some(Rc::new(PRICE)),
        max_output_tokens: None,
        context_window: None,
        output_limit: None,
        stream_options: true,
        bytes_per_token: BytesPerToken::default(),
    }
}

fn plan(
    limits: &Limits,
    operation: ModelOperation,
    bounds: &UsageBounds,
    offer: &Offer,
) -> Result<ReservationPlan, Denial> {
    ReservationPlan::new(&[LimitSubject { id: SUBJECT, limits }], operation, bounds, offer)
}

fn refused(limits: &Limits, operation: ModelOperation, bounds: &UsageBounds, offer: &Offer) -> Code {
    plan(limits, operation, bounds, offer).unwrap_err().code
}

/// Input, output wanted, output at least.
fn need(limits: &Limits, bounds: &UsageBounds, offer: &Offer) -> [u64; 3] {
    let Need { input_tokens, output_wanted, output_least, .. } =
        plan(limits, ModelOperation::ChatCompletions, bounds, offer).unwrap().need;
    [input_tokens, output_wanted, output_least]
}

fn take(store: &TestMemory, limits: &Limits, bounds: &UsageBounds) -> Result<OrWait<Allowance>, Denial> {
    let subjects = [LimitSubject { id: SUBJECT, limits }];
    let app = AppPolicy::try_from(testing::app()).unwrap();
    take_patiently(store, &subjects, &app, limits, bounds, Patience::Whole)
}

const fn trial(patience: Patience) -> ReserveAttempt {
    ReserveAttempt { now: NOW, patience, random: 0 }
}

fn take_patiently(
    store: &TestMemory,
    subjects: &[LimitSubject<'_>],
    app: &AppPolicy,
    limits: &Limits,
    bounds: &UsageBounds,
    patience: Patience,
) -> Result<OrWait<Allowance>, Denial> {
    let plan = plan(limits, ModelOperation::ChatCompletions, bounds, &offer()).unwrap();
    plan.reserve(store, subjects, app, trial(patience))
}

/// After it has waited in vain.
fn take_at_last(
    store: &TestMemory,
    limits: &Limits,
    bounds: &UsageBounds,
) -> Result<OrWait<Allowance>, Denial> {
    let app = AppPolicy::try_from(testing::app()).unwrap();
    take_patiently(store, &[LimitSubject { id: SUBJECT, limits }], &app, limits, bounds, Patience::Over)
}

fn held(taken: Result<OrWait<Allowance>, Denial>) -> Allowance {
    match taken.unwrap() {
        OrWait::Ready(allowance) => allowance,
        OrWait::Wait(demand) => panic!("{demand:?}"),
    }
}

#[test]
fn the_worst_case_is_bounded_by_client_model_and_limits() {
    let metered = limits(&[(TokensPerMinute, 1000)]);
    assert_eq!(need(&metered, &bounds(), &offer()), [300, 100, 16]);
    let silent = UsageBounds { max_output: None, ..bounds() };
    assert_eq!(need(&metered, &silent, &offer()), [300, 16_384, 16]);
    let small = Offer { max_output_tokens: Some(50), context_window: Some(200), ..offer() };
    assert_eq!(need(&metered, &silent, &small), [200, 50, 16]);
    assert_eq!(need(&metered, &bounds(), &small), [200, 50, 16]);
    let strict = Limits { max_output_tokens: Some(20), ..metered.clone() };
    assert_eq!(need(&strict, &UsageBounds { choices: 3, ..silent }, &small), [200, 60, 48]);
    assert_eq!(need(&metered, &UsageBounds { max_output: Some(4), ..bounds() }, &small), [200, 4, 4]);
    let embeddings = plan(&metered, ModelOperation::Embeddings, &bounds(), &offer()).unwrap();
    assert_eq!((embeddings.need.input_tokens, embeddings.need.output_wanted), (300, 0));
}

#[test]
fn a_request_that_only_counts_needs_no_bound() {
    let counted = limits(&[(RequestsPerMinute, 5)]);
    let unbounded = UsageBounds { unbounded: Some("file_id"), ..bounds() };
    let unpriced = Offer { price: None, ..offer() };
    let any = plan(&counted, ModelOperation::ImageGenerations, &unbounded, &unpriced).unwrap();
    assert_eq!((any.need.input_tokens, any.asked), (0, None));
    let store = TestMemory::default();
    testing::grant(&store, SUBJECT, RequestsPerMinute, 5, 5);
    let held = held(take(&store, &counted, &bounds()));
    assert_eq!(
        (held.max_output, held.reservation.most_tokens()),
        (None, None),
        "nothing is known of its tokens"
    );
    assert_eq!(testing::line(&store, SUBJECT, RequestsPerMinute).used, 1);
}

#[test]
fn what_cannot_be_bounded_is_refused_where_it_is_limited() {
    let tokens = limits(&[(TokensPerMinute, 1_000_000)]);
    let budget = limits(&[(CostBudget, 1_000_000_000)]);
    let chat = ModelOperation::ChatCompletions;
    let unpriced = Offer { price: None, ..offer() };
    assert_eq!(refused(&budget, chat, &bounds(), &unpriced), Code::ModelNotPriced);
    assert!(plan(&tokens, chat, &bounds(), &unpriced).is_ok(), "tokens have no price");
    for limits in [&tokens, &budget] {
        assert_eq!(
            refused(limits, ModelOperation::ImageGenerations, &bounds(), &offer()),
            Code::EndpointNotMetered
        );
        assert!(plan(limits, ModelOperation::Moderations, &bounds(), &unpriced).is_ok(), "it is free");
        let outside = UsageBounds { unbounded: Some("file_id"), ..bounds() };
        let denial = plan(limits, chat, &outside, &offer()).unwrap_err();
        assert_eq!(denial.code, Code::InputNotBounded);
        assert!(denial.message.contains("`file_id`"), "{}", denial.message);
        let windowed = Offer { context_window: Some(128_000), ..offer() };
        assert_eq!(need(limits, &outside, &windowed)[0], 128_000);
    }
}

#[test]
fn the_window_bounds_a_prompt_only_where_a_longer_one_cannot_be_billed() {
    let budget = limits(&[(CostBudget, 1_000_000_000)]);
    let offer = |kind| Offer {
        provider: Rc::new(Provider { kind, ..(*offer().provider).clone() }),
        context_window: Some(1000),
        ..offer()
    };
    let input = |kind, input_bound, input_estimate, unbounded| {
        need(&budget, &UsageBounds { input_bound, input_estimate, unbounded, ..bounds() }, &offer(kind))[0]
    };
    for vendor in [ProviderKind::OpenAi, ProviderKind::AzureOpenAi, ProviderKind::Anthropic] {
        assert_eq!(input(vendor, 4000, 1000, None), 1000, "it is refused or fits");
        assert_eq!(input(vendor, 4004, 1001, None), 4004, "it is not the vendor that takes it");
        assert_eq!(input(vendor, 4004, 1001, Some("file_id")), 4004);
    }
    let anyone = ProviderKind::OpenAiCompatible;
    assert_eq!(input(anyone, 4000, 1000, None), 4000);
    assert_eq!(input(anyone, 999, 249, None), 999);
    assert_eq!(input(anyone, 999, 249, Some("file_id")), 1000);
    assert_eq!(input(anyone, 4000, 1000, Some("file_id")), 4000);
}

#[test]
fn a_long_prompt_is_reserved_at_the_long_rate() {
    let long =
        Rates { input: 2_000_000, cached_input: 0, cache_write_5m: 0, cache_write_1h: 0, output: 3_000_000 };
    let card = RateCard { long_context: Some(LongContext { above: 300, rates: long }), ..PRICE.standard };
    let offer = Offer { price: Some(Rc::new(Price { standard: card, ..PRICE })), ..offer() };
    let budget = limits(&[(CostBudget, 1_000_000)]);
    let worst = |input_bound| {
        let bounds = UsageBounds { input_bound, ..bounds() };
        let need = plan(&budget, ModelOperation::ChatCompletions, &bounds, &offer).unwrap().need;
        need.price.unwrap().worst(need.input_tokens, need.output_wanted)
    };
    assert_eq!(worst(300), NanoUsd(300 + 200));
    assert_eq!(worst(301), NanoUsd(602 + 300));
}

#[test]
fn a_tier_without_a_price_is_refused_by_name_where_money_is_limited() {
    let asks = |tier: &str| {
        let tier = TierChoice { service_tier: Some(tier.to_owned()), ..TierChoice::default() };
        UsageBounds { tier, ..bounds() }
    };
    let budget = limits(&[(CostBudget, 1_000_000)]);
    let chat = ModelOperation::ChatCompletions;
    let denial = plan(&budget, chat, &asks("priority"), &offer()).unwrap_err();
    assert_eq!(denial.code, Code::ServiceTierNotPriced);
    for part in ["`service_tier`", "`priority`", "leave"] {
        assert!(denial.message.contains(part), "{}", denial.message);
    }
    for tier in ["auto", "default"] {
        assert!(plan(&budget, chat, &asks(tier), &offer()).is_ok(), "{tier}");
    }
    let tokens = limits(&[(TokensPerMinute, 1000)]);
    assert!(plan(&tokens, chat, &asks("priority"), &offer()).is_ok(), "money is not limited");
    let priority = Tier { name: "priority".into(), card: PRICE.standard };
    let price = Price { tiers: vec![priority], ..PRICE };
    let priced = Offer { price: Some(Rc::new(price)), ..offer() };
    assert!(plan(&budget, chat, &asks("priority"), &priced).is_ok());
}

#[test]
fn what_stands_in_the_way_of_a_limit_is_refused_where_there_is_one() {
    let doubt = |code| Some(Box::new(Denial::from(code)));
    let output = LimitObstacles { output: doubt(Code::InvalidParameter), ..LimitObstacles::default() };
    let cost = LimitObstacles { cost: doubt(Code::InputNotBounded), ..LimitObstacles::default() };
    let chat = ModelOperation::ChatCompletions;
    let (output, cost) =
        (UsageBounds { obstacles: output, ..bounds() }, UsageBounds { obstacles: cost, ..bounds() });
    for limits in [limits(&[(TokensPerMinute, 1_000_000)]), limits(&[(CostBudget, 1_000_000_000)])] {
        assert_eq!(refused(&limits, chat, &output, &offer()), Code::InvalidParameter);
        assert_eq!(refused(&limits, chat, &cost, &offer()), Code::InputNotBounded);
        assert!(plan(&limits, ModelOperation::Embeddings, &output, &offer()).is_ok(), "it has no output");
    }
    let short = Limits { max_output_tokens: Some(50), ..Limits::default() };
    assert_eq!(refused(&short, chat, &output, &offer()), Code::InvalidParameter);
    assert!(plan(&short, chat, &cost, &offer()).is_ok());
    let counted = limits(&[(RequestsPerMinute, 5)]);
    assert!(plan(&counted, chat, &output, &offer()).is_ok() && plan(&counted, chat, &cost, &offer()).is_ok());
}

#[test]
fn a_limit_of_zero_fills_the_cache_and_is_left_alone() {
    let zero = UsageBounds { max_output: Some(0), ..bounds() };
    let metered = limits(&[(TokensPerMinute, 100_000)]);
    let plan = plan(&metered, ModelOperation::Messages, &zero, &offer()).unwrap();
    assert_eq!((plan.need.output_wanted, plan.need.output_least, plan.asked), (16_384, 16, None));
}

#[test]
fn a_thinking_budget_needs_room_for_thinking() {
    let thinking = UsageBounds {
        max_output: Some(32_000),
        obstacles: LimitObstacles { least_output: Some(1_025), ..LimitObstacles::default() },
        ..bounds()
    };
    let large = Offer { max_output_tokens: Some(64_000), ..offer() };
    let metered = limits(&[(TokensPerMinute, 100_000)]);
    assert_eq!(need(&metered, &thinking, &large), [300, 32_000, 1_025]);
    let most = |most| Limits { max_output_tokens: Some(most), ..Limits::default() };
    assert!(plan(&most(1_025), ModelOperation::Messages, &thinking, &large).is_ok());
    let denial = plan(&most(1_024), ModelOperation::Messages, &thinking, &large).unwrap_err();
    assert_eq!(denial.code, Code::MaxOutputTokensExceeded);
    assert!(
        denial.message.contains("at least 1025") && denial.message.contains("1024"),
        "{}",
        denial.message
    );
}

#[test]
fn a_request_with_too_much_input_is_refused() {
    let most = |most| Limits { max_input_tokens: Some(most), ..Limits::default() };
    assert!(plan(&most(10), ModelOperation::ChatCompletions, &bounds(), &offer()).is_ok());
    let denial = plan(&most(9), ModelOperation::ChatCompletions, &bounds(), &offer()).unwrap_err();
    assert_eq!(denial.code, Code::MaxInputTokensExceeded);
    assert_eq!(denial.message, "The request has about 10 input tokens; the limit per request is 9.");
}

#[test]
fn the_stricter_of_two_owners_bounds_a_request() {
    let (app, key) = (Some(50), Some(40));
    let app = Limits { max_output_tokens: app, max_input_tokens: Some(100), ..Limits::default() };
    let key = Limits { max_output_tokens: key, max_input_tokens: Some(9), ..Limits::default() };
    let subjects =
        [LimitSubject { id: SUBJECT, limits: &app }, LimitSubject { id: SubjectId([2; 16]), limits: &key }];
    let plan = |bounds: &UsageBounds| {
        ReservationPlan::new(&subjects, ModelOperation::ChatCompletions, bounds, &offer())
    };
    assert_eq!(plan(&bounds()).unwrap_err().code, Code::MaxInputTokensExceeded);
    assert_eq!(plan(&UsageBounds { input_estimate: 9, ..bounds() }).unwrap().need.output_wanted, 40);
}

#[test]
fn output_is_shared_among_the_answers_once_there_is_no_more() {
    let store = TestMemory::default();
    let metered = limits(&[(TokensPerMinute, 1000)]);
    let three = UsageBounds { choices: 3, ..bounds() };
    // Of its bound of 300 some 60 count in a window.
    testing::grant(&store, SUBJECT, TokensPerMinute, 1000, 160);
    assert!(matches!(take(&store, &metered, &three).unwrap(), OrWait::Wait(_)), "more may be had");
    testing::refuse(&store, SUBJECT, TokensPerMinute, 1000, GrantVerdict::Exhausted);
    let held = held(take(&store, &metered, &three));
    assert_eq!((held.max_output, held.output_cut), (Some(33), Some(OutputCut { asked: 100, granted: 33 })));
    let headers: Vec<_> = output_cut_headers(held.output_cut).collect();
    assert_eq!(headers, [(ASKED_HEADER, "100".to_owned()), (GRANTED_HEADER, "33".to_owned())]);
    assert_eq!(output_cut_headers(None).count(), 0);
    assert_eq!(
        held.reservation.most_tokens(),
        Some(TokenUsage { input: 300, output: 100, ..TokenUsage::default() })
    );
    assert_eq!(testing::line(&store, SUBJECT, TokensPerMinute).held, 160);
}

#[test]
fn owners_are_those_that_limit_something() {
    let (one, two, three) = ([(RequestsPerMinute, 1)], [(RequestsPerMinute, 2)], [(RequestsPerHour, 3)]);
    let app = |own: &[_], of_keys: &[_]| {
        let limits = Some(testing::limits(own));
        let named_key_limits = Some(testing::limits(of_keys));
        AppPolicy::try_from(wire::AppPolicy { limits, named_key_limits, ..testing::app() }).unwrap()
    };
    let key = |record: wire::KeyRecord| KeyRecord::try_from(record).unwrap();
    let named = key(testing::named_key_record());
    let parent = key(testing::app_key_record());
    let overridden =
        key(wire::KeyRecord { limits: Some(testing::limits(&three)), ..testing::named_key_record() });
    let lifted = key(wire::KeyRecord { limits: Some(testing::limits(&[])), ..testing::named_key_record() });
    let app_id = SubjectId::from(testing::APP);
    let key_id = SubjectId::from(KeyId(testing::NAMED_KEY_ID));
    let found = |app: &AppPolicy, key: &KeyRecord| -> Vec<(SubjectId, Vec<BucketLimit>)> {
        subjects(app, key).iter().map(|subject| (subject.id, subject.limits.buckets.clone())).collect()
    };
    let buckets = |all: &[_]| limits(all).buckets;
    let both = app(&one, &two);
    assert_eq!(found(&both, &named), [(app_id, buckets(&one)), (key_id, buckets(&two))]);
    assert_eq!(found(&both, &overridden), [(app_id, buckets(&one)), (key_id, buckets(&three))]);
    assert_eq!(found(&both, &lifted), [(app_id, buckets(&one))]);
    assert_eq!(found(&both, &parent), [(app_id, buckets(&one))]);
    assert_eq!(found(&app(&[], &two), &named), [(key_id, buckets(&two))]);
    assert_eq!(found(&app(&[], &[]), &named), []);
}

#[test]
fn each_reason_has_its_code() {
    let code = |kind, verdict| {
        let store = TestMemory::default();
        testing::refuse(&store, SUBJECT, kind, 1_000_000, verdict);
        take_at_last(&store, &limits(&[(kind, 1_000_000)]), &bounds()).unwrap_err().code
    };
    for kind in [RequestsPerMinute, RequestsPerHour, TokensPerMinute] {
        assert_eq!(code(kind, GrantVerdict::Exhausted), Code::RateLimitExceeded);
        assert_eq!(code(kind, GrantVerdict::Contended), Code::RateLimitExceeded);
        assert_eq!(code(kind, GrantVerdict::Away), Code::LeaseUnavailable);
    }
    for kind in [TokenBudget, CostBudget] {
        assert_eq!(code(kind, GrantVerdict::Exhausted), Code::InsufficientQuota);
        assert_eq!(code(kind, GrantVerdict::Contended), Code::QuotaContended);
        assert_eq!(code(kind, GrantVerdict::Away), Code::LeaseUnavailable);
    }
    for kind in [TokensPerMinute, TokenBudget, CostBudget] {
        let denial = take(&TestMemory::default(), &limits(&[(kind, 70)]), &bounds()).unwrap_err();
        assert_eq!(denial.code, Code::RequestExceedsLimit, "alone it is too large");
        let limit_detail = denial.limit_detail.unwrap();
        assert!(
            limit_detail.needed > limit_detail.limit && limit_detail.retry_after_ms.is_none(),
            "{limit_detail:?}"
        );
        assert!(denial.message.starts_with("The request alone may need more"), "{}", denial.message);
    }
}

#[test]
fn a_denial_tells_the_limit_and_when_to_come_back() {
    let store = TestMemory::default();
    let told = BucketStatus { resets_at_ms: 9_500, ..testing::refusal(GrantVerdict::Exhausted) };
    testing::answer(&store, SUBJECT, RequestsPerMinute, 60, 0, told);
    let denial = take(&store, &limits(&[(RequestsPerMinute, 60)]), &bounds()).unwrap_err();
    assert_eq!(
        denial.message,
        "Too many requests or tokens within the window: wait and try again. The key's \
         requests_per_minute is 60, of which 0 is left; this request needs 1."
    );
    let limit_detail = *denial.limit_detail.unwrap();
    assert_eq!(
        (limit_detail.name, limit_detail.owner, limit_detail.limit),
        ("requests_per_minute", "key", 60)
    );
    assert_eq!((limit_detail.remaining, limit_detail.needed, limit_detail.resets_at), (0, 1, Some(9)));
    assert_eq!(limit_detail.retry_after_ms, Some(9_000));
    assert_eq!(
        limit_detail.headers,
        [
            ("x-ratelimit-limit-requests", "60".to_owned()),
            ("x-ratelimit-remaining-requests", "0".to_owned()),
            ("x-ratelimit-reset-requests", "8500ms".to_owned()),
        ]
    );
}

#[test]
fn the_tightest_limit_is_announced() {
    let standing = |kind, limit, remaining, resets_at_ms| LimitStanding {
        subject: 0,
        kind,
        limit,
        remaining,
        resets_at_ms,
    };
    let found = rate_limit_headers(
        &[
            standing(RequestsPerHour, 100, 7, 5000),
            standing(RequestsPerMinute, 60, 8, 2000),
            standing(CostBudget, 10, 0, 2000),
            standing(TokensPerMinute, 500, 90, 500),
            standing(TokenBudget, 9000, 100, 0),
        ],
        NOW,
    );
    let expected = [
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "7"),
        ("x-ratelimit-reset-requests", "4000ms"),
        ("x-ratelimit-limit-tokens", "500"),
        ("x-ratelimit-remaining-tokens", "90"),
        ("x-ratelimit-reset-tokens", "60000ms"),
    ];
    assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
    assert_eq!(rate_limit_headers(&[standing(CostBudget, 10, 0, 2000)], NOW), []);
}

#[test]
fn money_is_shown_in_dollars() {
    for (amount, text) in [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (10_000_000, "$0.01"),
        (1_500_000_000, "$1.50"),
        (12_345_000_000, "$12.345"),
        (1_000_000_000_000, "$1000.00"),
        (u64::MAX, "$18446744073.709551615"),
    ] {
        assert_eq!(format_amount(CostBudget, amount), text);
        assert_eq!(format_amount(TokenBudget, amount), amount.to_string());
    }
}

#[test]
fn an_app_says_how_far_an_answer_may_be_cut() {
    let store = TestMemory::default();
    let floor = |min_output_tokens| Limits { min_output_tokens, ..limits(&[(TokensPerMinute, 1000)]) };
    testing::grant(&store, SUBJECT, TokensPerMinute, 1000, 110);
    testing::refuse(&store, SUBJECT, TokensPerMinute, 1000, GrantVerdict::Exhausted);
    let cut = |floor: &Limits| take_at_last(&store, floor, &bounds());
    assert_eq!(cut(&floor(Some(51))).unwrap_err().code, Code::RateLimitExceeded);
    let held = held(cut(&floor(Some(50))));
    assert_eq!(held.output_cut, Some(OutputCut { asked: 100, granted: 50 }));
    let short = UsageBounds { max_output: Some(40), ..bounds() };
    assert_eq!(need(&floor(Some(50)), &short, &offer()), [300, 40, 40], "who asks for less gets it");
}

#[test]
fn those_who_must_come_back_do_not_come_at_once() {
    let refused = |verdict, retry_at_ms: i64, random| {
        let store = TestMemory::default();
        let fresh_until_ms = retry_at_ms.max(NOW.0 + 1);
        let told = BucketStatus { retry_at_ms, fresh_until_ms, ..testing::refusal(verdict) };
        testing::answer(&store, SUBJECT, RequestsPerMinute, 60, 0, told);
        let limits = limits(&[(RequestsPerMinute, 60)]);
        let app = AppPolicy::try_from(testing::app()).unwrap();
        let trial = ReserveAttempt { random, ..trial(Patience::Over) };
        let subjects = [LimitSubject { id: SUBJECT, limits: &limits }];
        let plan = plan(&limits, ModelOperation::ChatCompletions, &bounds(), &offer()).unwrap();
        let denial = plan.reserve(&store, &subjects, &app, trial).unwrap_err();
        denial.limit_detail.and_then(|limit_detail| limit_detail.retry_after_ms).unwrap()
    };
    let exhausted = |after_ms, random| refused(GrantVerdict::Exhausted, NOW.0 + after_ms, random);
    assert_eq!([0, 250, 251].map(|random| exhausted(1, random)), [50, 300, 50], "never at once");
    assert_eq!([0, 500, 501].map(|random| exhausted(2_000, random)), [2_000, 2_500, 2_000]);
    assert_eq!([0, 1_000].map(|random| exhausted(60_000, random)), [60_000, 61_000]);
    assert_eq!([0, 250].map(|random| refused(GrantVerdict::Contended, NOW.0, random)), [1_000, 1_250]);
}

#[test]
fn a_window_counts_an_estimate_of_text_and_the_bound_of_all_else() {
    let text = Text { ascii: 1_000, other: 300 };
    let long = UsageBounds { text, input_bound: 1_300 + 256, ..bounds() };
    let estimate = |bounds: &UsageBounds, offer: &Offer| {
        plan(&limits(&[(TokensPerMinute, 100_000)]), ModelOperation::ChatCompletions, bounds, offer)
            .unwrap()
            .need
    };
    let need = estimate(&long, &offer());
    assert_eq!((need.input_tokens, need.input_estimate), (1_556, 400 + 200 + 16));
    let measured = Offer { bytes_per_token: BytesPerToken::measured(4_000, 3_000), ..offer() };
    assert_eq!(estimate(&long, &measured).input_estimate, 250 + 100 + 16);
    let image = UsageBounds { input_bound: long.input_bound + 50_000, ..long.clone() };
    assert_eq!(estimate(&image, &measured).input_estimate, 50_000 + 366);
    let outside = UsageBounds { unbounded: Some("file_id"), ..long };
    let windowed = Offer { context_window: Some(128_000), ..measured };
    assert_eq!(estimate(&outside, &windowed).input_estimate, 128_000, "nothing is known of it");
}
