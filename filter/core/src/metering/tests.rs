use std::rc::Rc;

use latchkey_proto::key::PREFIX;

use super::*;
use crate::account::{self, Charge, Need, Owner, OwnerId, Reserve};
use crate::body::{Doubts, Terms};
use crate::denial::Denial;
use crate::endpoint::{Operation, Shape};
use crate::header::Header;
use crate::identity::Identity;
use crate::price::{Price, RateCard, Rates, Served, Tier, TierChoice};
use crate::snapshot::{BucketKind, KeyId, Limits, McpServer, Provider};
use crate::testing::{self, Memory};
use crate::tokens::Tokens;
use crate::usage::Reading;
use BucketKind::{CostBudget, RequestsPerMinute, TokensPerMinute};

const OWNER: OwnerId = OwnerId([1; 16]);
const ATTRIBUTION: Attribution = Attribution {
    app: testing::APP,
    key: KeyId(testing::APP_KEY_ID),
    user: None,
    identity: Identity::Unknown,
    old_secret: false,
};
const PRICE: Price = testing::price(7, 1_000_000, 500_000, 2_000_000);
const LIMIT: u64 = 10_000;

/// The most that the calls here may use.
const MOST: Tokens =
    Tokens { input: 300, cached_input: 0, cache_write_5m: 0, cache_write_1h: 0, output: 20, reasoning: 0 };

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const USAGE: &str =
    r#""usage":{"prompt_tokens":100,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":40}}"#;

fn headers(extra: &[(&str, &str)]) -> Vec<Header> {
    extra.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn meter(extra: &[(&str, &str)]) -> Meter {
    Meter::new(ATTRIBUTION, "chat_completions", Headers(&headers(extra)), UnixMs(1000))
}

fn tokens(input: u64, cached_input: u64, output: u64) -> Tokens {
    Tokens { input, cached_input, output, ..Tokens::default() }
}

/// A call which holds the most that it may use of these kinds.
fn call(store: &Memory, operation: Operation, stream: bool, kinds: &[BucketKind]) -> Call {
    let buckets: Vec<_> = kinds.iter().map(|kind| (*kind, LIMIT)).collect();
    for kind in kinds {
        testing::grant(store, OWNER, *kind, LIMIT, 1000);
    }
    let limits = Limits::try_from(testing::limits(&buckets)).unwrap();
    let need = Need {
        input_tokens: MOST.input,
        output_wanted: MOST.output,
        output_least: MOST.output,
        price: Some(testing::ceiling(&PRICE)),
    };
    let owners = [Owner { id: OWNER, limits: &limits }];
    let Reserve::Reserved(taken) = account::reserve(store, &owners, &need, 1000) else { panic!("refused") };
    let most = kinds.iter().any(|kind| *kind != RequestsPerMinute).then_some(MOST);
    let provider = Provider::try_from(testing::provider("azure", 2, "/openai/v1")).unwrap();
    let terms = Terms {
        stream,
        wants_usage: false,
        max_output: None,
        choices: 1,
        input_bound: MOST.input,
        input_estimate: 80,
        unbounded: None,
        tier: TierChoice::default(),
        doubts: Doubts::default(),
    };
    Call::Model(ModelCall {
        operation,
        model: "gpt-4o".into(),
        served_model: "my-deployment".into(),
        provider: Rc::new(provider),
        price: Some(Rc::new(PRICE)),
        terms,
        reserved: (!kinds.is_empty()).then_some(Reserved { most, reservation: taken.reservation }),
    })
}

/// How an answer goes: its status, its type, its chunks.
type Answer<'a> = (u16, &'a str, &'a [&'a str]);

/// The record of a call with such an answer, if one came. The limits are settled with it.
fn record(store: &Memory, call: Call, answer: Option<Answer<'_>>, ending: Ending) -> Record {
    let mut meter = meter(&[]);
    meter.forwarded(call);
    if let Some((status, content_type, chunks)) = answer {
        meter.answered(status, Some(content_type));
        for chunk in chunks {
            let _ = meter.chunk(chunk.as_bytes(), false, || UnixMs(1250));
        }
    }
    meter.finish(store, ending, UnixMs(1900))
}

/// The same for a chat with a budget and a limit of tokens; what it has charged is what it tells, and
/// nothing is held any more.
fn settled(stream: bool, answer: Option<Answer<'_>>, ending: Ending) -> (Settlement, Tokens) {
    let store = Memory::default();
    let kinds = [RequestsPerMinute, TokensPerMinute, CostBudget];
    let record = record(&store, call(&store, Operation::ChatCompletions, stream, &kinds), answer, ending);
    let Record { tokens, cost, charges, settlement, .. } = record;
    assert_eq!(cost, PRICE.standard.cost(&tokens));
    let charge = |kind, amount| Charge { owner: OWNER, kind, period: 0, amount };
    let used = tokens.input + tokens.output;
    let expected = [charge(TokensPerMinute, used), charge(CostBudget, cost.0)];
    assert_eq!(charges, if used > 0 { &expected[..] } else { &[] });
    for (kind, amount) in [(RequestsPerMinute, 1), (TokensPerMinute, used), (CostBudget, cost.0)] {
        let line = testing::line(&store, OWNER, kind);
        assert_eq!((line.used, line.held), (amount, 0), "{kind:?}");
    }
    (settlement, tokens)
}

fn document(body: &str) -> (Settlement, Tokens) {
    settled(false, Some((200, JSON, &[body])), Ending::Answered)
}

fn stream(chunks: &[&str]) -> (Settlement, Tokens) {
    settled(true, Some((200, SSE, chunks)), Ending::Answered)
}

const DELTA: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";

#[test]
fn what_the_provider_reports_counts() {
    let told = (Settlement::Reported, tokens(100, 40, 9));
    assert_eq!(document(&format!("{{\"choices\":[],{USAGE}}}")), told);
    let usage = format!("data: {{\"choices\":[],{USAGE}}}\n\n");
    assert_eq!(stream(&[DELTA, &usage, "data: [DONE]\n\n"]), told);
    let more = document(r#"{"usage":{"prompt_tokens":500,"completion_tokens":30}}"#);
    assert_eq!(more, (Settlement::Reported, tokens(500, 0, 30)), "even above what was reserved");
}

#[test]
fn a_stream_that_was_cut_is_estimated_within_what_was_reserved() {
    assert_eq!(stream(&[]), (Settlement::Estimated, tokens(80, 0, 0)));
    assert_eq!(stream(&[DELTA, DELTA, DELTA]), (Settlement::Estimated, tokens(80, 0, 3)));
    assert_eq!(stream(&[DELTA; 50]), (Settlement::Estimated, tokens(80, 0, MOST.output)));
    let part = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{}}}}],{USAGE}}}\n\n");
    assert_eq!(stream(&[&part]), (Settlement::Estimated, tokens(100, 40, 9)), "it has told a part");
    let chunks = [part.as_str()].into_iter().chain([DELTA; 12]).collect::<Vec<_>>();
    assert_eq!(stream(&chunks), (Settlement::Estimated, tokens(100, 40, 12)), "and more came");
}

#[test]
fn a_whole_answer_without_usage_is_estimated() {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"12345678"}}]}"#;
    assert_eq!(document(body), (Settlement::Estimated, tokens(80, 0, 2)));
}

#[test]
fn a_document_that_was_cut_costs_what_was_reserved() {
    assert_eq!(document(r#"{"choices":[{"index":0,"message":{"content":"12"#), (Settlement::Reserved, MOST));
    assert_eq!(document(""), (Settlement::Reserved, MOST));
}

#[test]
fn a_call_of_which_nobody_knows_costs_what_was_reserved() {
    assert_eq!(settled(false, None, Ending::Unknown), (Settlement::Reserved, MOST));
    assert_eq!(settled(true, Some((504, JSON, &["{}"])), Ending::Unknown), (Settlement::Reserved, MOST));
}

#[test]
fn a_providers_error_and_a_call_that_was_never_sent_cost_nothing() {
    let nothing = (Settlement::None, Tokens::default());
    let error: Answer<'_> = (500, JSON, &["{\"error\":{}}"]);
    assert_eq!(settled(true, Some(error), Ending::Answered), nothing);
    assert_eq!(settled(false, Some((429, JSON, &[])), Ending::Answered), nothing);
    assert_eq!(settled(false, Some((503, JSON, &[])), Ending::NeverSent), nothing);
    assert_eq!(settled(false, None, Ending::NeverSent), nothing);
}

#[test]
fn without_a_limit_of_tokens_a_call_is_recorded_all_the_same() {
    for kinds in [&[RequestsPerMinute][..], &[]] {
        let store = Memory::default();
        let chat = |stream| call(&store, Operation::ChatCompletions, stream, kinds);
        let seen = |record: Record| {
            assert_eq!(record.charges, []);
            assert_eq!(record.cost, PRICE.standard.cost(&record.tokens));
            (record.settlement, record.tokens)
        };
        let cut = record(&store, chat(true), Some((200, SSE, &[DELTA, DELTA])), Ending::Answered);
        assert_eq!(seen(cut), (Settlement::Estimated, tokens(80, 0, 2)));
        let lost = record(&store, chat(false), None, Ending::Unknown);
        assert_eq!(seen(lost), (Settlement::Estimated, tokens(80, 0, 0)));
    }
}

/// What a chat costs that asks for this tier and says so of its usage; what it has charged is the same.
fn billed(price: Price, tier: &str, kinds: &[BucketKind], reading: &Reading) -> (Settlement, NanoUsd) {
    let store = Memory::default();
    let Call::Model(mut call) = call(&store, Operation::ChatCompletions, false, kinds) else { panic!() };
    call.price = Some(Rc::new(price));
    call.terms.tier.service_tier = Some(tier.to_owned());
    let mut record = testing::record();
    call.finish(&mut record, Some(reading), Ending::Answered, &store);
    let of_money: Vec<_> = record.charges.iter().filter(|charge| charge.kind == CostBudget).collect();
    assert!(of_money.iter().all(|charge| charge.amount == record.cost.0), "{record:?}");
    (record.settlement, record.cost)
}

fn served(tier: &str, usage: Tokens) -> Reading {
    let service_tier = Some(tier.to_owned()).filter(|tier| !tier.is_empty());
    let served = Served { service_tier, ..Served::default() };
    Reading { usage: Some(usage), served, complete: true, ..Reading::default() }
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
    assert_eq!(unlimited, (Settlement::Reserved, NanoUsd(118)), "the dearest that is known");
}

#[test]
fn what_is_written_to_a_long_cache_costs_more_though_the_answer_does_not_say_so() {
    let rates = Rates { cache_write_5m: 3_000_000, cache_write_1h: 5_000_000, ..PRICE.standard.rates };
    let price = Price { standard: RateCard { rates, ..PRICE.standard }, ..PRICE };
    let written = Tokens { cache_write_5m: 50, ..tokens(100, 0, 0) };
    let cost = |operation, long_cache| {
        let store = Memory::default();
        let Call::Model(mut call) = call(&store, operation, false, &[]) else { panic!() };
        call.price = Some(Rc::new(price.clone()));
        call.terms.tier.long_cache = long_cache;
        let mut record = testing::record();
        call.finish(&mut record, Some(&served("", written)), Ending::Answered, &store);
        record.cost.0
    };
    assert_eq!(cost(Operation::ChatCompletions, false), 50 + 150);
    assert_eq!(cost(Operation::ChatCompletions, true), 50 + 250);
    assert_eq!(cost(Operation::Messages, true), 50 + 150, "Anthropic says which is which");
}

#[test]
fn what_is_free_costs_nothing_and_what_cannot_be_counted_is_not_guessed() {
    let store = Memory::default();
    let body: Answer<'_> = (200, JSON, &[r#"{"results":[],"usage":{"prompt_tokens":5,"total_tokens":5}}"#]);
    let free = call(&store, Operation::Moderations, false, &[TokensPerMinute, CostBudget]);
    let free = record(&store, free, Some(body), Ending::Answered);
    assert_eq!((free.settlement, free.tokens, free.cost), (Settlement::None, Tokens::default(), NanoUsd(0)));
    assert_eq!(free.charges, []);
    assert_eq!(testing::line(&store, OWNER, CostBudget).held, 0);
    for (answer, ending) in
        [(None, Ending::Unknown), (Some((200, "image/png", &["\u{1}"][..])), Ending::Answered)]
    {
        let image = call(&store, Operation::ImageGenerations, false, &[]);
        let image = record(&store, image, answer, ending);
        assert_eq!((image.settlement, image.tokens), (Settlement::None, Tokens::default()));
    }
}

#[test]
fn a_record_tells_what_was_asked_and_how_it_went() {
    let store = Memory::default();
    let chunks = ["", DELTA, "data: [DONE]\n\n"];
    let call = call(&store, Operation::ChatCompletions, true, &[]);
    let mut meter = meter(&[("x-request-id", "r-1"), ("x-conversation-id", "Chat_1.a-b")]);
    meter.came_from("2001:db8::1".parse().ok());
    meter.forwarded(call);
    assert!(meter.needs_ending() && !meter.has_status() && meter.hides_usage());
    assert!(meter.answered(200, Some(SSE)) && !meter.needs_ending() && meter.has_status());
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
        latency_ms: 900,
        first_token_ms: Some(250),
        streamed: true,
        client_address: "2001:db8::1".into(),
        conversation_id: "Chat_1.a-b".into(),
        ..testing::record()
    };
    assert_eq!(meter.finish(&store, Ending::Answered, UnixMs(1900)), expected);
}

#[test]
fn a_refusal_is_recorded_with_its_code() {
    let mut meter = meter(&[]);
    meter.refused(&Denial::from(Code::RateLimitExceeded).reply(Shape::OpenAi));
    assert!(!meter.answered(429, Some(JSON)));
    assert!(!meter.needs_ending());
    let record = meter.finish(&Memory::default(), Ending::Answered, UnixMs(1001));
    assert_eq!((record.status, record.code, record.model.as_str()), (429, "rate_limit_exceeded", ""));
    assert_eq!((record.settlement, record.charges.len()), (Settlement::None, 0));
}

#[test]
fn a_message_to_an_mcp_server_is_recorded_and_uses_one_request() {
    let message = |store: &Memory, tool: &str, answer: Option<(u16, &str)>| {
        let server = Rc::new(McpServer::try_from(testing::mcp_server("github")).unwrap());
        let reserved = call(store, Operation::Moderations, false, &[RequestsPerMinute]).into_reserved();
        let mut meter = Meter::new(ATTRIBUTION, "mcp", Headers(&[]), UnixMs(1000));
        meter.forwarded(Call::Mcp(McpCall { server, tool: tool.to_owned(), reserved }));
        if let Some((status, kind)) = answer {
            assert!(!meter.answered(status, Some(kind)), "its answer is not read");
        }
        assert!(!meter.needs_ending() && !meter.hides_usage() && !meter.reads());
        meter.finish(store, Ending::Unknown, UnixMs(1900))
    };
    let store = Memory::default();
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
    assert_eq!(testing::line(&store, OWNER, RequestsPerMinute).used, 1);
    let lost = message(&store, "", None);
    assert_eq!((lost.status, lost.model.as_str(), lost.streamed), (0, "", false));
    assert_eq!((lost.settlement, lost.charges.len()), (Settlement::None, 0));
    assert_eq!(testing::line(&store, OWNER, RequestsPerMinute).used, 2, "it was sent");
    assert!(!message(&store, "", Some((200, JSON))).streamed);
}

#[test]
fn what_a_stranger_may_have_written_is_not_recorded() {
    let recorded = |name: &str, value: &str| {
        let record = meter(&[(name, value)]).finish(&Memory::default(), Ending::Answered, UnixMs(0));
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
    assert_eq!(recorded("x-request-id", &key), "");
    let twice = meter(&[(conversation, "a"), (conversation, "b")]);
    assert_eq!(twice.finish(&Memory::default(), Ending::Answered, UnixMs(0)).conversation_id, "");
}

#[test]
fn endings_are_read_from_envoys_words() {
    assert_eq!(Ending::read("via_upstream", 0x4), Ending::Answered);
    assert_eq!(Ending::read("provider_credential_rejected", 0), Ending::Answered);
    assert_eq!(Ending::read("failed_to_inject_credential", 0), Ending::NeverSent);
    for flag in [0x2, 0x20, 0x80, 0x100, 0x100_0000, 0x200_0000, 0x400_0000] {
        assert_eq!(Ending::read("", flag), Ending::NeverSent);
    }
    for flag in [0, 0x4, 0x8, 0x10, 0x40, 0x4000, 0x1_0000] {
        assert_eq!(Ending::read("upstream_response_timeout", flag), Ending::Unknown);
    }
}
