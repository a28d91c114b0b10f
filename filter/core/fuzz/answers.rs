//! What must hold of every answer: used by the fuzzers, and by the test that replays their corpora.

use latchkey_filter_core::answer::usage::{
    AnswerContext, AnswerHead, ChunkAction, UsageReader, UsageReading,
};
use latchkey_filter_core::request::endpoint::ModelOperation;

/// An answer that is labelled JSON.
pub fn document(input: &[u8]) {
    check(input, "application/json");
}

/// An answer that is labelled as a stream of events.
pub fn events(input: &[u8]) {
    check(input, "text/event-stream");
}

/// The first byte chooses who is asked, and the second where the answer is cut into chunks.
fn check(input: &[u8], content_type: &str) {
    let [choice, cut, body @ ..] = input else { return };
    let operations = [
        ModelOperation::ChatCompletions,
        ModelOperation::Completions,
        ModelOperation::Responses,
        ModelOperation::Messages,
        ModelOperation::Embeddings,
    ];
    let asked = AnswerContext {
        operation: operations[usize::from(*choice) % operations.len()],
        hides_usage: choice & 0x80 != 0,
        long_cache: choice & 0x40 != 0,
    };
    let head = AnswerHead { content_type: Some(content_type), content_encoding: None };
    let (passed, reading) = read(UsageReader::new(asked, head), &[body]);

    let size = usize::from(*cut).max(1);
    let chunks: Vec<_> = body.chunks(size).collect();
    let (parts, again) = read(UsageReader::new(asked, head), &chunks);
    assert_eq!(reading, again, "what is read depends on the chunks");
    assert_eq!(passed, parts, "what the client gets depends on the chunks");

    let told = reading.reported;
    let parts = [told.cached_input, told.cache_write_5m, told.cache_write_1h];
    assert!(parts.iter().fold(0_u64, |sum, part| sum.saturating_add(*part)) <= told.input, "{told:?}");
    assert!(told.reasoning <= told.output, "{told:?}");
    if !asked.hides_usage {
        assert_eq!(passed, body, "the answer was changed");
    }
    assert!(passed.len() <= body.len(), "the answer has grown");
}

fn read(mut reader: UsageReader, chunks: &[&[u8]]) -> (Vec<u8>, UsageReading) {
    let mut passed = vec![];
    let mut take = |passage, chunk: &[u8]| match passage {
        ChunkAction::Pass => passed.extend_from_slice(chunk),
        ChunkAction::Replace(bytes) => passed.extend(bytes),
    };
    for chunk in chunks {
        take(reader.chunk(chunk, false), chunk);
    }
    take(reader.chunk(&[], true), &[]);
    (passed, reader.finish())
}
