use serde_json::json;

use super::*;
use crate::provider::Provider;

const PATHS: [&str; 4] = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"];

async fn provider() -> (Provider, SocketAddr) {
    let provider = Provider::start(([127, 0, 0, 1], 0).into(), Some("sk-provider")).await.unwrap();
    let address = provider.url().replace("http://", "").replace("/v1", "").parse().unwrap();
    (provider, address)
}

fn call(path: &'static str, sample: &str, streams: bool) -> Call {
    let body = json!({
        "model": "m", "prompt": "hello", "input": "hello", "max_tokens": 50, "max_output_tokens": 50,
        "messages": [{ "role": "user", "content": "hello" }],
        "stream": streams, "stream_options": { "include_usage": true },
    });
    Call { path, key: "sk-provider".to_owned(), body, sample: sample.to_owned(), leaves: Leaves::Never }
}

#[tokio::test]
async fn clients_see_the_usage_that_is_billed() {
    let (provider, address) = provider().await;
    let calls = PATHS.iter().flat_map(|path| [(*path, false), (*path, true)]).collect::<Vec<_>>();
    let next = |number: u64| {
        let (path, streams) = calls[number as usize % calls.len()];
        (number < 160).then(|| call(path, "tokens=100,reasoning=5,cached=1", streams))
    };
    let outcomes = run(&[address], 16, next).await;
    assert_eq!(outcomes.len(), 160);
    for outcome in &outcomes {
        assert_eq!((outcome.status, &outcome.end), (200, &End::Whole), "{}", outcome.text());
    }
    let seen = outcomes.iter().filter_map(Outcome::usage).fold(Usage::default(), std::ops::Add::add);
    let billed = provider.counts().total();
    let billed = Usage {
        input: billed.input_tokens,
        cached: billed.cached_input_tokens,
        output: billed.output_tokens,
        reasoning: billed.reasoning_tokens,
    };
    assert_eq!(seen, billed);
    assert_eq!(billed.output, 160 * 50);
}

#[tokio::test]
async fn clients_leave_when_told() {
    let (provider, address) = provider().await;
    let left = async |leaves, sample| {
        let next = |number| (number == 0).then(|| Call { leaves, ..call(PATHS[0], sample, true) });
        run(&[address], 1, next).await.remove(0)
    };
    let outcome = left(Leaves::AfterBytes(600), "tokens=50,pace=5").await;
    assert_eq!(outcome.end, End::Left);
    assert!((600..2_000).contains(&outcome.body.len()), "{}", outcome.text());
    let outcome = left(Leaves::After(Duration::from_millis(100)), "slow=60000").await;
    assert_eq!((outcome.end, outcome.status), (End::Left, 0));
    let outcome = left(Leaves::After(Duration::from_millis(200)), "tokens=50,pace=50").await;
    assert_eq!((&outcome.end, outcome.status), (&End::Left, 200));
    assert!(outcome.text().starts_with("data: {"), "{}", outcome.text());
    let outcome = left(Leaves::After(Duration::from_millis(200)), "tokens=50,pace=60000").await;
    assert_eq!((outcome.end, outcome.status), (End::Left, 200));
    provider.settled().await.unwrap();
}

#[tokio::test]
async fn a_cut_and_a_failure_are_told_apart() {
    let (_provider, address) = provider().await;
    let samples = ["cut=3", "status=429", "pace=30,tokens=4"];
    let next = |number: u64| Some(call(PATHS[0], samples.get(number as usize)?, true));
    let outcomes = run(&[address], 1, next).await;
    let [cut, failure, paced] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(matches!(cut.end, End::Broken(_)) && cut.status == 200, "{cut:?}");
    assert_eq!((failure.status, failure.code().as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(failure.header("retry-after"), "1");
    let waits = paced.pieces.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(waits.max().unwrap() >= Duration::from_millis(20), "{:?}", paced.pieces);
}
