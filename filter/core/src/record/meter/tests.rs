mod charge_properties;
mod reference_reader;

use std::rc::Rc;

use latchkey_proto::key::PREFIX;

use super::*;
use crate::answer::denial::Denial;
use crate::answer::usage::UsageReading;
use crate::identity::CallerIdentity;
use crate::limits::account::{self, Charge, LimitSubject, Need, Patience, ReserveOutcome, SubjectId};
use crate::price::{LongContext, Price, RateCard, Rates, ServedTier, Tier, TierChoice, TokenUsage};
use crate::record::SettlementReason;
use crate::request::body::{LimitObstacles, UsageBounds};
use crate::request::endpoint::{ClientApi, ModelOperation};
use crate::request::header::Header;
use crate::snapshot::{BucketKind, KeyId, Limits, McpServer, Provider};
use crate::testing::{self, TestMemory};
use crate::upstream::call::{McpCall, ModelCall};
use BucketKind::{CostBudget, RequestsPerMinute, TokensPerMinute};
use SettlementReason::*;

const SUBJECT: SubjectId = SubjectId([1; 16]);
const ATTRIBUTION: Attribution = Attribution {
    app: testing::APP,
    key: KeyId(testing::APP_KEY_ID),
    user: None,
    identity: CallerIdentity::Unknown,
    old_secret: false,
};
const PRICE: Price = testing::price(7, 1_000_000, 500_000, 2_000_000);
const LIMIT: u64 = 10_000;
const WINDOW: u64 = 2_000;

/// The most that the calls here may use.
const MOST: TokenUsage = TokenUsage {
    input: 300,
    cached_input: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 20,
    reasoning: 0,
};

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const USAGE: &str =
    r#""usage":{"prompt_tokens":100,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":40}}"#;

fn labelled(content_type: &str) -> AnswerHead<'_> {
    AnswerHead { content_type: Some(content_type), content_encoding: None }
}

fn headers(extra: &[(&str, &str)]) -> Vec<Header> {
    extra.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn meter(extra: &[(&str, &str)]) -> RequestMeter {
    RequestMeter::new(ATTRIBUTION, "chat_completions", Headers(&headers(extra)), UnixMs(1000))
}

fn tokens(input: u64, cached_input: u64, output: u64) -> TokenUsage {
    TokenUsage { input, cached_input, output, ..TokenUsage::default() }
}

/// A call which holds the most that it may use of these kinds.
fn call(store: &TestMemory, operation: ModelOperation, stream: bool, kinds: &[BucketKind]) -> UpstreamCall {
    let buckets: Vec<_> = kinds.iter().map(|kind| (*kind, LIMIT)).collect();
    for kind in kinds {
        testing::grant(store, SUBJECT, *kind, LIMIT, 1000);
    }
    let limits = Limits::try_from(testing::limits(&buckets)).unwrap();
    let need = Need {
        input_tokens: MOST.input,
        input_estimate: MOST.input,
        output_wanted: MOST.output,
        output_least: MOST.output,
        price: Some(testing::ceiling(&PRICE)),
        further_tries: 0,
    };
    let subjects = [LimitSubject { id: SUBJECT, limits: &limits }];
    let reserved = account::reserve(store, &subjects, &need, Patience::Whole, 1000);
    let ReserveOutcome::Reserved(mut reserved) = reserved else { panic!("refused") };
    reserved.reservation.input_tokens =
        kinds.iter().any(|kind| *kind != RequestsPerMinute).then_some(MOST.input);
    let provider = Provider::try_from(testing::provider("azure", 2, "/openai/v1")).unwrap();
    let bounds = UsageBounds {
        stream,
        wants_usage: false,
        max_output: None,
        choices: 1,
        input_bound: MOST.input,
        text: crate::price::density::Text::default(),
        input_estimate: 80,
        unbounded: None,
        tier: TierChoice::default(),
        obstacles: LimitObstacles::default(),
    };
    UpstreamCall::Model(ModelCall {
        operation,
        model: "gpt-4o".into(),
        served_model: "my-deployment".into(),
        provider: Rc::new(provider),
        price: Some(Rc::new(PRICE)),
        context_window: Some(WINDOW),
        bounds,
        reservation: (!kinds.is_empty()).then_some(reserved.reservation),
        output_cut: None,
        attempts: None,
    })
}

/// How an answer goes: its status, its type, its chunks.
type Answer<'a> = (u16, &'a str, &'a [&'a str]);

/// The record of a call with such an answer, if one came. The limits are settled with it.
fn record(
    store: &TestMemory,
    call: UpstreamCall,
    answer: Option<Answer<'_>>,
    ending: UpstreamOutcome,
) -> Record {
    let mut meter = meter(&[]);
    meter.forwarded(call);
    if let Some((status, content_type, chunks)) = answer {
        meter.answered(status, labelled(content_type));
        for chunk in chunks {
            let _ = meter.chunk(chunk.as_bytes(), false, || UnixMs(1250));
        }
    }
    meter.finish(store, ending, UnixMs(1900))
}

/// The same for a call with a budget and a limit of tokens; what it has charged is what it tells (of the
/// window of tokens, where they are not known, what was reserved), and nothing is held any more.
fn charged(
    call: impl FnOnce(&TestMemory) -> UpstreamCall,
    answer: Option<Answer<'_>>,
    ending: UpstreamOutcome,
) -> Charged {
    let store = TestMemory::default();
    let record = record(&store, call(&store), answer, ending);
    let Record { tokens, cost, charges, settlement, settlement_reason, .. } = record;
    assert_eq!(cost, PRICE.standard.cost(&tokens));
    let charge = |kind, amount| Charge { subject: SUBJECT, kind, period: 0, amount };
    let used = tokens.input + tokens.output;
    let of_window = match settlement {
        Settlement::Reserved => used.min(MOST.input + MOST.output),
        _ => used,
    };
    let expected = [charge(TokensPerMinute, of_window), charge(CostBudget, cost.0)];
    assert_eq!(charges, if used > 0 { &expected[..] } else { &[] });
    for (kind, amount) in [(RequestsPerMinute, 1), (TokensPerMinute, of_window), (CostBudget, cost.0)] {
        let line = testing::line(&store, SUBJECT, kind);
        assert_eq!((line.used, line.held), (amount, 0), "{kind:?}");
    }
    (settlement, settlement_reason, tokens)
}

type Charged = (Settlement, Option<SettlementReason>, TokenUsage);

const LIMITED: [BucketKind; 3] = [RequestsPerMinute, TokensPerMinute, CostBudget];

fn settled(stream: bool, answer: Option<Answer<'_>>, ending: UpstreamOutcome) -> Charged {
    charged(|store| call(store, ModelOperation::ChatCompletions, stream, &LIMITED), answer, ending)
}

fn document(body: &str) -> Charged {
    settled(false, Some((200, JSON, &[body])), UpstreamOutcome::Answered)
}

fn stream(chunks: &[&str]) -> Charged {
    settled(true, Some((200, SSE, chunks)), UpstreamOutcome::Answered)
}

fn reserved(reason: SettlementReason) -> Charged {
    (Settlement::Reserved, Some(reason), MOST)
}

const DELTA: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn what_the_provider_reports_counts() {
    let told = (Settlement::Reported, None, tokens(100, 40, 9));
    assert_eq!(document(&format!("{{\"choices\":[],{USAGE}}}")), told);
    let usage = format!("data: {{\"choices\":[],{USAGE}}}\n\n");
    assert_eq!(stream(&[DELTA, &usage, DONE]), told);
    let more = document(r#"{"usage":{"prompt_tokens":500,"completion_tokens":30}}"#);
    assert_eq!(more, (Settlement::Reported, None, tokens(500, 0, 30)), "even above what was reserved");
}

#[test]
fn a_stream_that_was_cut_costs_what_was_reserved() {
    let cut = reserved(AnswerCut);
    assert_eq!(stream(&[]), cut);
    assert_eq!(stream(&[DELTA; 3]), cut);
    assert_eq!(stream(&[DELTA; 50]), cut);
    let part = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{}}}}],{USAGE}}}\n\n");
    assert_eq!(stream(&[&part]), cut, "it has told a part");
    let more = part.replace(":9", ":90");
    let told = TokenUsage { output: 90, ..MOST };
    assert_eq!(stream(&[&more]), (Settlement::Reserved, Some(AnswerCut), told), "and more than was reserved");
}

#[test]
fn tokens_that_were_told_before_a_cut_are_charged_in_every_window() {
    let store = TestMemory::default();
    let told = "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":350,\"completion_tokens\":90}}\n\n";
    let call = call(&store, ModelOperation::ChatCompletions, true, &LIMITED);
    let record = record(&store, call, Some((200, SSE, &[told])), UpstreamOutcome::Answered);
    assert_eq!((record.settlement, record.tokens), (Settlement::Reserved, tokens(350, 0, 90)));
    let charges: Vec<_> = record.charges.iter().map(|charge| charge.amount).collect();
    assert_eq!(charges, [440, record.cost.0]);
}

#[test]
fn a_whole_answer_without_usage_costs_what_was_reserved() {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"12345678"}}]}"#;
    assert_eq!(document(body), reserved(UsageMissing));
    assert_eq!(stream(&[DELTA, DONE]), reserved(UsageMissing));
}

#[test]
fn a_report_that_says_a_part_costs_what_was_reserved() {
    for usage in [
        r#""usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#,
        r#""usage":{"prompt_tokens":9}"#,
        r#""usage":{"completion_tokens":9}"#,
    ] {
        let usage = format!("data: {{\"choices\":[],{usage}}}\n\n");
        assert_eq!(stream(&[DELTA, &usage, DONE]), reserved(UsagePartial), "{usage}");
    }
}

#[test]
fn what_cannot_have_been_is_not_believed() {
    let usage = |input: u64, output: u64| {
        document(&format!("{{\"usage\":{{\"prompt_tokens\":{input},\"completion_tokens\":{output}}}}}"))
    };
    let most = 10 * WINDOW;
    assert_eq!(usage(most, most), (Settlement::Reported, None, tokens(most, 0, most)));
    for (input, output) in [(most + 1, 1), (1, most + 1), (1 << 63, 1), (1, u64::MAX)] {
        assert_eq!(usage(input, output), reserved(UsageImplausible), "{input} {output}");
    }
}

#[test]
fn a_total_that_nothing_explains_costs_no_less_than_it_can_mean() {
    let usage = |total: u64| {
        let usage = format!("\"prompt_tokens\":100,\"completion_tokens\":9,\"total_tokens\":{total}");
        document(&format!("{{\"usage\":{{{usage}}}}}"))
    };
    assert_eq!(usage(115), (Settlement::Reported, Some(UsageUnclear), tokens(100, 0, 15)));
    assert_eq!(usage(300), reserved(UsageUnclear), "more than it may have written");
}

#[test]
fn anthropics_input_is_told_for_good() {
    let message = |unbounded: Option<&'static str>, input: u64| {
        let start = format!(
            "data: {{\"type\":\"message_start\",\"message\":{{\"usage\":{{\"input_tokens\":{input},\
             \"cache_read_input_tokens\":40,\"output_tokens\":1,\"service_tier\":\"standard\"}}}}}}\n\n"
        );
        let asked = |store: &TestMemory| {
            let mut call = call(store, ModelOperation::Messages, true, &LIMITED);
            let UpstreamCall::Model(model) = &mut call else { panic!("no model's call") };
            model.bounds.unbounded = unbounded;
            model.provider = Rc::new(Provider::try_from(testing::provider("anthropic", 3, "")).unwrap());
            call
        };
        charged(asked, Some((200, SSE, &[&start, DELTA])), UpstreamOutcome::Answered)
    };
    let told = (Settlement::Reserved, Some(AnswerCut), tokens(100, 40, MOST.output));
    assert_eq!(message(None, 60), told);
    assert_eq!(message(Some("tools"), 60), reserved(AnswerCut), "it may still grow");
    let asked = |store: &TestMemory| call(store, ModelOperation::Messages, true, &LIMITED);
    let start = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1}}}\n\n";
    let placeholder = charged(asked, Some((200, SSE, &[start])), UpstreamOutcome::Answered);
    assert_eq!(placeholder, reserved(AnswerCut));
}

#[test]
fn usage_for_each_of_several_choices_is_unclear() {
    let asked = |store: &TestMemory| {
        let mut call = call(store, ModelOperation::ChatCompletions, true, &LIMITED);
        let UpstreamCall::Model(model) = &mut call else { panic!("no model's call") };
        model.bounds.choices = 2;
        call
    };
    let chunk = format!("data: {{\"choices\":[{{\"index\":0,{USAGE}}}]}}\n\n");
    let one = stream(&[DELTA, &chunk, DONE]);
    assert_eq!(one, (Settlement::Reported, None, tokens(100, 40, 9)));
    let several = charged(asked, Some((200, SSE, &[DELTA, &chunk, DONE])), UpstreamOutcome::Answered);
    assert_eq!(several, reserved(UsageUnclear));
    let surplus = chunk.replace("\"completion_tokens\":9", "\"completion_tokens\":9,\"total_tokens\":114");
    let several = charged(asked, Some((200, SSE, &[DELTA, &surplus, DONE])), UpstreamOutcome::Answered);
    assert_eq!(several, reserved(UsageUnclear), "a surplus explains nothing of the others");
}

#[test]
fn a_surplus_that_would_cost_more_as_input_costs_what_was_reserved() {
    let dear = RateCard { rates: Rates { input: 9_000_000, ..PRICE.standard.rates }, ..PRICE.standard };
    let long = Some(LongContext { above: 104, rates: Rates { input: 3_000_000, ..PRICE.standard.rates } });
    let unclear = "{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":9,\"total_tokens\":115}}";
    let settled = |card: RateCard| {
        let store = TestMemory::default();
        let UpstreamCall::Model(model) = call(&store, ModelOperation::ChatCompletions, false, &LIMITED)
        else {
            panic!()
        };
        let price = Some(Rc::new(Price { standard: card, ..PRICE }));
        let call = UpstreamCall::Model(ModelCall { price, ..model });
        let record = record(&store, call, Some((200, JSON, &[unclear])), UpstreamOutcome::Answered);
        (record.settlement, record.tokens)
    };
    assert_eq!(settled(PRICE.standard), (Settlement::Reported, tokens(100, 0, 15)));
    assert_eq!(settled(dear), (Settlement::Reserved, MOST));
    assert_eq!(settled(RateCard { long_context: long, ..PRICE.standard }), (Settlement::Reserved, MOST));
}

#[test]
fn an_encoded_answer_costs_what_was_reserved() {
    let store = TestMemory::default();
    let mut meter = meter(&[]);
    meter.forwarded(call(&store, ModelOperation::ChatCompletions, false, &LIMITED));
    meter.answered(200, AnswerHead { content_type: Some(JSON), content_encoding: Some("gzip") });
    let _ = meter.chunk(format!("{{{USAGE}}}").as_bytes(), true, || UnixMs(1250));
    let record = meter.finish(&store, UpstreamOutcome::Answered, UnixMs(1900));
    let found = (record.settlement, record.settlement_reason, record.tokens);
    assert_eq!(found, reserved(AnswerUnreadable));
}

#[test]
fn a_document_that_was_cut_costs_what_was_reserved() {
    assert_eq!(document(r#"{"choices":[{"index":0,"message":{"content":"12"#), reserved(AnswerCut));
    assert_eq!(document(""), reserved(AnswerCut));
}

#[test]
fn a_call_of_which_nobody_knows_costs_what_was_reserved() {
    assert_eq!(settled(false, None, UpstreamOutcome::Unknown), reserved(AnswerUnknown));
    assert_eq!(settled(true, Some((504, JSON, &["{}"])), UpstreamOutcome::Unknown), reserved(AnswerUnknown));
}

#[test]
fn a_providers_error_and_a_call_that_was_never_sent_cost_nothing() {
    let nothing = (Settlement::None, None, TokenUsage::default());
    let error: Answer<'_> = (500, JSON, &["{\"error\":{}}"]);
    assert_eq!(settled(true, Some(error), UpstreamOutcome::Answered), nothing);
    assert_eq!(settled(false, Some((429, JSON, &[])), UpstreamOutcome::Answered), nothing);
    assert_eq!(settled(false, Some((503, JSON, &[])), UpstreamOutcome::NeverSent), nothing);
    assert_eq!(settled(false, None, UpstreamOutcome::NeverSent), nothing);
}

#[test]
fn without_a_limit_of_tokens_a_call_is_recorded_all_the_same() {
    for kinds in [&[RequestsPerMinute][..], &[]] {
        let store = TestMemory::default();
        let chat = |stream| call(&store, ModelOperation::ChatCompletions, stream, kinds);
        let seen = |record: Record| {
            assert_eq!(record.charges, []);
            assert_eq!(record.cost, PRICE.standard.cost(&record.tokens));
            (record.settlement, record.settlement_reason, record.tokens)
        };
        let least = |reason, tokens| (Settlement::Estimated, Some(reason), tokens);
        let cut = record(&store, chat(true), Some((200, SSE, &[DELTA, DELTA])), UpstreamOutcome::Answered);
        assert_eq!(seen(cut), least(AnswerCut, tokens(80, 0, 2)));
        let lost = record(&store, chat(false), None, UpstreamOutcome::Unknown);
        assert_eq!(seen(lost), least(AnswerUnknown, tokens(80, 0, 0)));
        let absurd = r#"{"usage":{"prompt_tokens":1e30,"completion_tokens":1}}"#;
        let absurd = record(&store, chat(false), Some((200, JSON, &[absurd])), UpstreamOutcome::Answered);
        assert_eq!(seen(absurd), least(UsageImplausible, tokens(80, 0, 0)));
        let unclear = r#"{"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":12}}"#;
        let unclear = record(&store, chat(false), Some((200, JSON, &[unclear])), UpstreamOutcome::Answered);
        assert_eq!(seen(unclear), least(UsageUnclear, tokens(9, 0, 1)));
    }
}

/// What a chat costs that asks for this tier and says so of its usage; what it has charged is the same.
fn billed(price: Price, tier: &str, kinds: &[BucketKind], reading: &UsageReading) -> (Settlement, NanoUsd) {
    let store = TestMemory::default();
    let UpstreamCall::Model(mut call) = call(&store, ModelOperation::ChatCompletions, false, kinds) else {
        panic!()
    };
    call.price = Some(Rc::new(price));
    call.bounds.tier.service_tier = Some(tier.to_owned());
    let mut record = testing::record();
    call.finish(&mut record, Some(reading), UpstreamOutcome::Answered, &store);
    let of_money: Vec<_> = record.charges.iter().filter(|charge| charge.kind == CostBudget).collect();
    assert!(of_money.iter().all(|charge| charge.amount == record.cost.0), "{record:?}");
    (record.settlement, record.cost)
}

fn served(tier: &str, usage: TokenUsage) -> UsageReading {
    let service_tier = Some(tier.to_owned()).filter(|tier| !tier.is_empty());
    let served = ServedTier { service_tier, ..ServedTier::default() };
    UsageReading { reported: usage, served, ..UsageReading::default() }
}

#[test]
fn the_tier_that_served_decides_what_is_charged() {
    let rates = Rates { input: 4_000_000, output: 8_000_000, ..PRICE.standard.rates };
    let card = RateCard { rates, ..PRICE.standard };
    let price = || Price { tiers: vec![Tier { name: "priority".into(), card }], ..PRICE };
    let usage = tokens(100, 0, 9);
    let cost = |asked, told| billed(price(), asked, &[CostBudget], &served(told, usage));
    let (standard, dear) = (NanoUsd(118), NanoUsd(472));
    assert_eq!(cost("auto", "default"), (Settlement::Reported, standard));
    assert_eq!(cost("auto", "priority"), (Settlement::Reported, dear));
    assert_eq!(cost("priority", ""), (Settlement::Reported, dear), "it is not said otherwise");
    assert_eq!(cost("priority", "default"), (Settlement::Reported, standard));
}

#[test]
fn a_tier_without_a_price_costs_what_was_reserved() {
    let most = testing::ceiling(&PRICE).worst(MOST.input, MOST.output);
    let answer = served("scale", tokens(100, 0, 9));
    assert_eq!(billed(PRICE, "auto", &[CostBudget], &answer), (Settlement::Reserved, most));
    let beyond = served("scale", tokens(1000, 0, 9));
    assert_eq!(billed(PRICE, "auto", &[CostBudget], &beyond), (Settlement::Reserved, NanoUsd(1018)));
    let unlimited = billed(PRICE, "auto", &[RequestsPerMinute], &answer);
    assert_eq!(unlimited, (Settlement::Estimated, NanoUsd(118)), "the dearest that is known");
}

#[test]
fn what_is_written_to_a_long_cache_costs_more_though_the_answer_does_not_say_so() {
    let rates = Rates { cache_write_5m: 3_000_000, cache_write_1h: 5_000_000, ..PRICE.standard.rates };
    let price = Price { standard: RateCard { rates, ..PRICE.standard }, ..PRICE };
    let openai = r#"{"usage":{"prompt_tokens":100,"completion_tokens":0,"prompt_tokens_details":{"cache_write_tokens":50}}}"#;
    let anthropic = r#"{"usage":{"input_tokens":50,"output_tokens":0,"cache_creation_input_tokens":50,"cache_creation":{"ephemeral_5m_input_tokens":50}}}"#;
    let cost = |operation, long_cache| {
        let store = TestMemory::default();
        let UpstreamCall::Model(mut call) = call(&store, operation, false, &[]) else { panic!() };
        call.price = Some(Rc::new(price.clone()));
        call.bounds.tier.long_cache = long_cache;
        let body = if operation == ModelOperation::Messages { anthropic } else { openai };
        let record =
            record(&store, UpstreamCall::Model(call), Some((200, JSON, &[body])), UpstreamOutcome::Answered);
        assert_eq!(record.tokens.input, 100);
        record.cost.0
    };
    assert_eq!(cost(ModelOperation::ChatCompletions, false), 50 + 150);
    assert_eq!(cost(ModelOperation::ChatCompletions, true), 50 + 250);
    assert_eq!(cost(ModelOperation::Messages, true), 50 + 150, "Anthropic says which is which");
}

#[test]
fn what_is_free_costs_nothing_and_what_cannot_be_counted_is_not_guessed() {
    let store = TestMemory::default();
    let body: Answer<'_> = (200, JSON, &[r#"{"results":[],"usage":{"prompt_tokens":5,"total_tokens":5}}"#]);
    let free = call(&store, ModelOperation::Moderations, false, &[TokensPerMinute, CostBudget]);
    let free = record(&store, free, Some(body), UpstreamOutcome::Answered);
    assert_eq!(
        (free.settlement, free.tokens, free.cost),
        (Settlement::None, TokenUsage::default(), NanoUsd(0))
    );
    assert_eq!(free.charges, []);
    assert_eq!(testing::line(&store, SUBJECT, CostBudget).held, 0);
    for (answer, ending) in [
        (None, UpstreamOutcome::Unknown),
        (Some((200, "image/png", &["\u{1}"][..])), UpstreamOutcome::Answered),
    ] {
        let image = call(&store, ModelOperation::ImageGenerations, false, &[]);
        let image = record(&store, image, answer, ending);
        assert_eq!((image.settlement, image.tokens), (Settlement::None, TokenUsage::default()));
    }
}

#[test]
fn a_record_tells_what_was_asked_and_how_it_went() {
    let store = TestMemory::default();
    let chunks = ["", DELTA, "data: [DONE]\n\n"];
    let call = call(&store, ModelOperation::ChatCompletions, true, &[]);
    let mut meter = meter(&[("x-request-id", "r-1"), ("x-conversation-id", "Chat_1.a-b")]);
    meter.came_from("2001:db8::1".parse().ok());
    meter.forwarded(call);
    assert!(meter.needs_outcome() && !meter.has_status() && meter.hides_usage());
    assert!(meter.answered(200, labelled(SSE)) && !meter.needs_outcome() && meter.has_status());
    for (chunk, at) in chunks.into_iter().zip([1100, 1250, 1300]) {
        let _ = meter.chunk(chunk.as_bytes(), false, || UnixMs(at));
    }
    let expected = Record {
        at: UnixMs(1000),
        request_id: "r-1".into(),
        key: ATTRIBUTION.key,
        served_model: "my-deployment".into(),
        provider: "azure".into(),
        tokens: tokens(80, 0, 1),
        cost: NanoUsd(82),
        price_version: 7,
        settlement: Settlement::Estimated,
        settlement_reason: Some(UsageMissing),
        latency_ms: 900,
        first_token_ms: Some(250),
        streamed: true,
        client_address: "2001:db8::1".into(),
        conversation_id: "Chat_1.a-b".into(),
        ..testing::record()
    };
    assert_eq!(meter.finish(&store, UpstreamOutcome::Answered, UnixMs(1900)), expected);
}

#[test]
fn a_refusal_is_recorded_with_its_code() {
    let mut meter = meter(&[]);
    meter.refused(&Denial::from(Code::RateLimitExceeded).reply(ClientApi::OpenAi));
    assert!(!meter.answered(429, labelled(JSON)));
    assert!(!meter.needs_outcome());
    let record = meter.finish(&TestMemory::default(), UpstreamOutcome::Answered, UnixMs(1001));
    assert_eq!((record.status, record.code, record.model.as_str()), (429, "rate_limit_exceeded", ""));
    assert_eq!((record.settlement, record.charges.len()), (Settlement::None, 0));
}

#[test]
fn a_message_to_an_mcp_server_is_recorded_and_uses_one_request() {
    let message = |store: &TestMemory, tool: &str, answer: Option<(u16, &str)>| {
        let server = Rc::new(McpServer::try_from(testing::mcp_server("github")).unwrap());
        let reservation =
            call(store, ModelOperation::Moderations, false, &[RequestsPerMinute]).into_reservation();
        let mut meter = RequestMeter::new(ATTRIBUTION, "mcp", Headers(&[]), UnixMs(1000));
        meter.forwarded(UpstreamCall::Mcp(McpCall {
            has_argument_rules: false,
            server,
            tool: tool.to_owned(),
            id: None,
            reservation,
        }));
        if let Some((status, kind)) = answer {
            assert!(!meter.answered(status, labelled(kind)), "its answer is not read");
        }
        assert!(!meter.needs_outcome() && !meter.hides_usage() && !meter.reads());
        meter.finish(store, UpstreamOutcome::Unknown, UnixMs(1900))
    };
    let store = TestMemory::default();
    let expected = Record {
        at: UnixMs(1000),
        request_id: String::new(),
        key: ATTRIBUTION.key,
        model: "github/get_me".into(),
        served_model: String::new(),
        provider: "mcp/github".into(),
        endpoint: "mcp",
        streamed: true,
        latency_ms: 900,
        ..testing::record()
    };
    assert_eq!(message(&store, "github/get_me", Some((200, SSE))), expected);
    assert_eq!(testing::line(&store, SUBJECT, RequestsPerMinute).used, 1);
    let lost = message(&store, "", None);
    assert_eq!((lost.status, lost.model.as_str(), lost.streamed), (0, "", false));
    assert_eq!((lost.settlement, lost.charges.len()), (Settlement::None, 0));
    assert_eq!(testing::line(&store, SUBJECT, RequestsPerMinute).used, 2, "it was sent");
    assert!(!message(&store, "", Some((200, JSON))).streamed);
}

#[test]
fn what_a_stranger_may_have_written_is_not_recorded() {
    let recorded = |name: &str, value: &str| {
        let record =
            meter(&[(name, value)]).finish(&TestMemory::default(), UpstreamOutcome::Answered, UnixMs(0));
        [record.conversation_id, record.request_id].concat()
    };
    let conversation = "x-conversation-id";
    assert_eq!(recorded(conversation, &"a".repeat(128)), "a".repeat(128));
    let key = format!("{PREFIX}abc");
    for value in ["a b", "a/b", "<b>", "é", "a\nb", &"a".repeat(129), &key] {
        assert_eq!(recorded(conversation, value), "", "{value}");
    }
    assert_eq!(recorded("x-request-id", "a/b c"), "a/b c");
    assert_eq!(recorded("x-request-id", &"a".repeat(129)), "");
    let twice = meter(&[(conversation, "a"), (conversation, "b")]);
    assert_eq!(
        twice.finish(&TestMemory::default(), UpstreamOutcome::Answered, UnixMs(0)).conversation_id,
        ""
    );
}

#[test]
fn endings_are_read_from_envoys_words() {
    assert_eq!(UpstreamOutcome::read("via_upstream", 0x4), UpstreamOutcome::Answered);
    assert_eq!(UpstreamOutcome::read("provider_credential_rejected", 0), UpstreamOutcome::Answered);
    assert_eq!(UpstreamOutcome::read("failed_to_inject_credential", 0), UpstreamOutcome::NeverSent);
    assert_eq!(UpstreamOutcome::read("", 0x20), UpstreamOutcome::NeverSent);
    assert_eq!(UpstreamOutcome::read("", 0x80), UpstreamOutcome::Overflow(None));
    for flag in [0x2, 0x100, 0x100_0000, 0x400_0000] {
        assert_eq!(UpstreamOutcome::read("", flag), UpstreamOutcome::NoHost);
    }
    // The last is the overload manager's, which resets what was sent.
    for flag in [0, 0x4, 0x8, 0x10, 0x40, 0x4000, 0x1_0000, 0x200_0000] {
        assert_eq!(UpstreamOutcome::read("upstream_response_timeout", flag), UpstreamOutcome::Unknown);
    }
}
