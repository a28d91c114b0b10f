//! What is charged is never less than what a plain reader of the whole body finds, or it is what was
//! reserved; whatever the bytes, their label, their cut, and their chunks. `LATCHKEY_CASES` sets how many
//! answers are tried, and `LATCHKEY_SEED` which. A failure prints both the seed and the answer, which
//! belongs into [`regressions`] once it is understood.

mod regressions;

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

use super::*;

/// Reading from the cache is cheap, and writing to it dear.
const RATES: Rates = Rates {
    input: 1_000_000,
    cached_input: 100_000,
    cache_write_5m: 1_250_000,
    cache_write_1h: 2_500_000,
    output: 2_000_000,
};
const PRICE: Price =
    Price { version: 7, standard: RateCard { rates: RATES, long_context: None }, tiers: vec![] };

/// As many as `make test` has time for.
const CASES: u32 = 2_000;

fn cases() -> ProptestConfig {
    let set = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let cases = set("LATCHKEY_CASES").and_then(|cases| cases.try_into().ok()).unwrap_or(CASES);
    let seed = set("LATCHKEY_SEED").unwrap_or_else(|| RandomState::new().hash_one(CASES));
    println!("LATCHKEY_SEED={seed} LATCHKEY_CASES={cases}");
    let rng_seed = RngSeed::Fixed(seed);
    ProptestConfig { failure_persistence: None, rng_seed, ..ProptestConfig::with_cases(cases) }
}

/// An answer, and what was asked for.
#[derive(Clone)]
struct Case {
    operation: ModelOperation,
    stream: bool,
    content_type: Option<&'static str>,
    content_encoding: Option<&'static str>,
    body: Vec<u8>,
    places: Vec<Index>,
}

/// As [`regressions`] takes it.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, stream, content_type, content_encoding, body, places: _ } = self;
        let body = body.escape_ascii();
        write!(f, "({operation:?}, {stream}, {content_type:?}, {content_encoding:?}, b\"{body}\"),")
    }
}

fn count() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..2_000_u64).prop_map(|count| count.to_string()),
        1 => Just("0".to_owned()),
        1 => (0..500_u64).prop_map(|count| format!("{count}.0")),
        1 => select(vec!["5e2", "1e30", "-1", "null", "\"7\"", "9223372036854775808", "12.5", "[]", "{}"])
            .prop_map(str::to_owned),
    ]
}

/// A usage object of some dialect.
fn usage() -> impl Strategy<Value = String> {
    let names = vec![
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "totalTokenCount",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_write_tokens",
        "prompt_cache_hit_tokens",
        "promptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "reasoning_tokens",
        "service_tier",
    ];
    let plain = (select(names), count()).prop_map(|(name, count)| format!("\"{name}\":{count}"));
    let details = (
        select(vec![
            "prompt_tokens_details",
            "completion_tokens_details",
            "input_tokens_details",
            "output_tokens_details",
            "cache_creation",
        ]),
        select(vec![
            "cached_tokens",
            "reasoning_tokens",
            "cache_write_tokens",
            "ephemeral_5m_input_tokens",
            "ephemeral_1h_input_tokens",
        ]),
        count(),
    )
        .prop_map(|(around, name, count)| format!("\"{around}\":{{\"{name}\":{count}}}"));
    let pass = (select(vec!["message", "compaction", "fallback_message", "x"]), count(), count()).prop_map(
        |(kind, input, output)| {
            format!("{{\"type\":\"{kind}\",\"input_tokens\":{input},\"output_tokens\":{output}}}")
        },
    );
    let passes =
        prop::collection::vec(pass, 0..4).prop_map(|all| format!("\"iterations\":[{}]", all.join(",")));
    let usual = (count(), count())
        .prop_map(|(input, output)| format!("\"prompt_tokens\":{input},\"completion_tokens\":{output}"));
    let anthropic = (count(), count())
        .prop_map(|(input, output)| format!("\"input_tokens\":{input},\"output_tokens\":{output}"));
    let member = prop_oneof![2 => usual, 2 => anthropic, 3 => plain, 1 => details, 1 => passes];
    prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(",")))
}

/// A document, or the data of an event.
fn document() -> impl Strategy<Value = String> {
    let usage = || prop_oneof![6 => usage(), 1 => Just("null".to_owned()), 1 => Just("[]".to_owned())];
    let text = || select(vec!["", "a", "one two three", "\\u00e9\\\"", "{\\\"usage\\\":{}}"]);
    prop_oneof![
        3 => usage().prop_map(|usage| format!("{{\"choices\":[],\"usage\":{usage}}}")),
        3 => (text(), usage()).prop_map(|(text, usage)| {
            format!("{{\"choices\":[{{\"index\":0,\"message\":{{\"content\":\"{text}\"}}}}],\"usage\":{usage}}}")
        }),
        3 => text().prop_map(|text| format!("{{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}")),
        1 => (text(), usage()).prop_map(|(text, usage)| {
            format!("{{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"usage\":{usage}}}]}}")
        }),
        1 => usage().prop_map(|usage| format!("{{\"choices\":[],\"x_groq\":{{\"usage\":{usage}}}}}")),
        1 => usage().prop_map(|usage| format!("{{\"usageMetadata\":{usage}}}")),
        2 => usage().prop_map(|usage| format!("{{\"type\":\"message_start\",\"message\":{{\"usage\":{usage}}}}}")),
        2 => usage().prop_map(|usage| format!("{{\"type\":\"message_delta\",\"usage\":{usage}}}")),
        1 => text().prop_map(|text| format!("{{\"type\":\"content_block_delta\",\"delta\":{{\"text\":\"{text}\"}}}}")),
        1 => Just("{\"type\":\"message_stop\"}".to_owned()),
        2 => usage().prop_map(|usage| {
            format!("{{\"type\":\"response.completed\",\"response\":{{\"output\":[],\"usage\":{usage}}}}}")
        }),
        1 => usage().prop_map(|usage| format!("{{\"usage\":{usage},\"metadata\":{{\"usage\":{usage}}}}}")),
        1 => (usage(), usage()).prop_map(|(one, other)| format!("{{\"usage\":{one},\"\\u0075sage\":{other}}}")),
        1 => (usage(), usage()).prop_map(|(one, other)| format!("{{\"usage\":{one},\"usage\":{other}}}")),
        1 => Just("{\"error\":{\"message\":\"no\"}}".to_owned()),
        1 => Just("[DONE]".to_owned()),
    ]
}

fn events() -> impl Strategy<Value = Vec<u8>> {
    let end = select(vec!["\n\n", "\r\n\r\n", "\r\r", "\n"]);
    let before = select(vec!["data: ", "data:", "event: x\ndata: ", ": hi\n\ndata: ", "id: 1\ndata:"]);
    let event = (before, document(), end).prop_map(|(before, data, end)| format!("{before}{data}{end}"));
    let begin = select(vec!["", "\u{feff}", "\n\n", " ", ": ping\n\n"]);
    (begin, prop::collection::vec(event, 0..7))
        .prop_map(|(begin, events)| format!("{begin}{}", events.concat()).into_bytes())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(document(), 1..5).prop_map(|lines| lines.join("\n").into_bytes());
    let whole = prop_oneof![
        6 => events(),
        4 => document().prop_map(String::into_bytes),
        1 => lines,
        1 => any::<Vec<u8>>(),
    ];
    let mutations = prop::collection::vec((any::<Index>(), any::<Mutation>()), 0..3);
    (whole, prop_oneof![3 => Just(vec![]), 1 => mutations]).prop_map(|(mut body, mutations)| {
        for (at, mutation) in mutations {
            mutation.apply(&mut body, at);
        }
        body
    })
}

#[derive(Clone, Copy, Debug)]
enum Mutation {
    Cut,
    Drop,
    Set(u8),
    Insert(u8),
    Repeat,
}

impl Arbitrary for Mutation {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let byte = || prop_oneof![select(b"{}[]\",:\n\r \\0123456789due".to_vec()), any::<u8>()];
        prop_oneof![
            Just(Self::Cut),
            Just(Self::Drop),
            byte().prop_map(Self::Set),
            byte().prop_map(Self::Insert),
            Just(Self::Repeat),
        ]
        .boxed()
    }
}

impl Mutation {
    fn apply(self, body: &mut Vec<u8>, at: Index) {
        if body.is_empty() {
            return;
        }
        let at = at.index(body.len());
        match self {
            Self::Cut => body.truncate(at),
            Self::Drop => {
                body.remove(at);
            }
            Self::Set(byte) => body[at] = byte,
            Self::Insert(byte) => body.insert(at, byte),
            Self::Repeat => body.extend_from_within(at..),
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    use ModelOperation::{ChatCompletions, Completions, Messages, Responses};
    let operation =
        select(vec![ChatCompletions, ChatCompletions, Completions, Messages, Messages, Responses]);
    let label = select(vec![
        None,
        Some(SSE),
        Some(SSE),
        Some(JSON),
        Some("text/plain"),
        Some("application/x-ndjson"),
    ]);
    let encoding = prop_oneof![9 => Just(None), 1 => select(vec![Some("gzip"), Some("identity")])];
    let places = prop::collection::vec(any::<Index>(), 0..5);
    (operation, any::<bool>(), label, encoding, body(), places).prop_map(
        |(operation, stream, content_type, content_encoding, body, places)| Case {
            operation,
            stream,
            content_type,
            content_encoding,
            body,
            places,
        },
    )
}

/// What a budgeted app is charged for an answer that comes in these chunks, and what its client gets.
fn charged(case: &Case, chunks: &[&[u8]]) -> (Record, Vec<u8>) {
    let store = TestMemory::default();
    let mut meter = meter(&[]);
    let UpstreamCall::Model(model) = call(&store, case.operation, case.stream, &LIMITED) else {
        panic!("no model's call")
    };
    meter.forwarded(UpstreamCall::Model(ModelCall { price: Some(Rc::new(PRICE)), ..model }));
    meter.answered(
        200,
        AnswerHead { content_type: case.content_type, content_encoding: case.content_encoding },
    );
    let mut passed = vec![];
    let last = chunks.len();
    for (chunk, number) in chunks.iter().zip(1..) {
        match meter.chunk(chunk, number == last, || UnixMs(1250)) {
            ChunkAction::Pass => passed.extend_from_slice(chunk),
            ChunkAction::Replace(bytes) => passed.extend(bytes),
        }
    }
    (meter.finish(&store, UpstreamOutcome::Answered, UnixMs(1900)), passed)
}

fn shred<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    ends.extend([0, bytes.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nobody_is_charged_less_than_the_bytes_say_or_what_was_reserved(case in case()) {
        check(&case)?;
    }
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let (record, passed) = charged(case, &[case.body.as_slice()]);
    let chunks = shred(&case.body, &case.places);
    prop_assert_eq!(&charged(case, &chunks), &(record.clone(), passed), "chunks matter");

    let charges: Vec<_> = record.charges.iter().map(|charge| (charge.kind, charge.amount)).collect();
    let used = record.tokens.input + record.tokens.output;
    let of_window = match record.settlement {
        Settlement::Reserved => charges.first().map_or(0, |charge| charge.1),
        _ => used,
    };
    prop_assert!(of_window <= used && of_window >= used.min(MOST.input + MOST.output), "{record:?}");
    prop_assert_eq!(charges, [(TokensPerMinute, of_window), (CostBudget, record.cost.0)]);
    let most = testing::ceiling(&PRICE).worst(MOST.input, MOST.output);
    let reserved =
        record.tokens.input >= MOST.input && record.tokens.output >= MOST.output && record.cost >= most;
    match record.settlement {
        Settlement::Reserved if record.settlement_reason == Some(TierNotPriced) => {
            prop_assert!(record.cost >= most, "{record:?}");
        }
        Settlement::Reserved => {
            prop_assert!(reserved && record.settlement_reason.is_some(), "{record:?}");
        }
        Settlement::Reported => {
            let found = reference_reader::read(case.operation, &case.body);
            let least = found.map(|tokens| PRICE.standard.cost(&tokens)).unwrap_or_default();
            prop_assert!(record.cost >= least || reserved, "{record:?} {found:?}");
        }
        other => prop_assert_eq!(other, Settlement::Reserved),
    }
    Ok(())
}
