//! Replays what the fuzzers have found worth keeping: see `fuzz/run.sh`.

use std::fs;
use std::path::Path;

#[path = "../fuzz/answers.rs"]
mod answers;
#[path = "../fuzz/content.rs"]
mod content;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", corpus.display());
}

#[test]
fn answers_that_are_documents() {
    replay("documents", answers::document);
}

#[test]
fn answers_that_are_events() {
    replay("events", answers::events);
}

#[test]
fn bodies_and_streams_that_are_edited() {
    replay("content", content::check);
}
