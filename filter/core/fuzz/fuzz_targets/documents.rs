#![no_main]

#[path = "../answers.rs"]
#[expect(dead_code, reason = "each fuzzer takes one of its checks")]
mod answers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| answers::document(input));
