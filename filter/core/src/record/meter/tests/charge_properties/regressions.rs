//! Answers for which less was charged once.

use super::*;
use ModelOperation::{ChatCompletions, Messages};

type Regression = (ModelOperation, bool, Option<&'static str>, Option<&'static str>, &'static [u8]);

#[rustfmt::skip]
const FOUND: &[Regression] = &[
    // A second usage object in one document.
    (ChatCompletions, false, None, None, b"data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":0},\"usage\":{}}\n\ndata: {\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":1.0}}}\n\n"),
    // Cache counters beside passes, without an input of their own.
    (Messages, false, None, None, b"{\"type\":\"message_start\",\"message\":{\"usage\":{\"iterations\":[{\"type\":\"message\",\"input_tokens\":1.0,\"output_tokens\":0}],\"cache_read_input_tokens\":3000.0}}}"),
    // Cached tokens beside a placeholder.
    (ChatCompletions, false, None, None, b"data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"promptTokenCount\":143}}}\n\ndata: {\"choices\":[],\"usage\":{\"cached_tokens\":143,\"input_tokens\":0,\"output_tokens\":0}}\n\n"),
];

#[test]
fn what_was_charged_too_little_once_is_not_again() {
    for (operation, stream, content_type, content_encoding, body) in FOUND {
        let (operation, stream, body) = (*operation, *stream, body.to_vec());
        let (content_type, content_encoding) = (*content_type, *content_encoding);
        let case = Case { operation, stream, content_type, content_encoding, body, places: vec![] };
        check(&case).unwrap_or_else(|error| panic!("{case:?}\n{error}"));
    }
}
