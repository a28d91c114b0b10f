//! A provider's usage object.

use serde_json::Value;

use crate::tokens::Tokens;

/// What a provider has told of its usage so far.
#[derive(Debug)]
pub(super) enum Report {
    /// Whole each time: the last counts.
    Whole(Option<Tokens>),
    /// In parts that grow, and with cached tokens beside the others: Anthropic's.
    Parts { told: bool, input: u64, cache_read: u64, cache_written: u64, output: u64 },
}

impl Report {
    pub(super) fn new(in_parts: bool) -> Self {
        match in_parts {
            true => Self::Parts { told: false, input: 0, cache_read: 0, cache_written: 0, output: 0 },
            false => Self::Whole(None),
        }
    }

    /// Takes a usage object; one that says nothing changes nothing.
    pub(super) fn add(&mut self, object: &[u8]) {
        let Ok(object) = serde_json::from_slice::<Value>(object) else {
            return;
        };
        match self {
            Self::Whole(last) => *last = whole(&object).or(*last),
            Self::Parts { told, input, cache_read, cache_written, output } => {
                let parts = [
                    (input, "input_tokens"),
                    (cache_read, "cache_read_input_tokens"),
                    (cache_written, "cache_creation_input_tokens"),
                    (output, "output_tokens"),
                ];
                for (part, name) in parts {
                    if let Some(count) = count(&object, &[&[name]]) {
                        *part = count.max(*part);
                        *told = true;
                    }
                }
            }
        }
    }

    pub(super) fn tokens(&self) -> Option<Tokens> {
        match self {
            Self::Whole(tokens) => *tokens,
            Self::Parts { told, input, cache_read, cache_written, output } => told.then(|| Tokens {
                input: input.saturating_add(*cache_read).saturating_add(*cache_written),
                cached_input: *cache_read,
                output: *output,
                ..Tokens::default()
            }),
        }
    }
}

/// A total above the sum is output: some servers leave reasoning out of their output.
fn whole(object: &Value) -> Option<Tokens> {
    let input = count(object, &[&["prompt_tokens"], &["input_tokens"]]);
    let output = count(object, &[&["completion_tokens"], &["output_tokens"]]);
    let total = count(object, &[&["total_tokens"]]);
    let input = input.or_else(|| Some(total?.saturating_sub(output.unwrap_or(0))));
    let input = input.or(output.map(|_| 0))?;
    let output = output.unwrap_or(0).max(total.unwrap_or(0).saturating_sub(input));
    let cached: [&[&str]; 4] = [
        &["prompt_tokens_details", "cached_tokens"],
        &["input_tokens_details", "cached_tokens"],
        &["prompt_cache_hit_tokens"],
        &["cached_tokens"],
    ];
    let reasoning: [&[&str]; 2] =
        [&["completion_tokens_details", "reasoning_tokens"], &["output_tokens_details", "reasoning_tokens"]];
    Some(Tokens {
        input,
        cached_input: count(object, &cached).unwrap_or(0).min(input),
        output,
        reasoning: count(object, &reasoning).unwrap_or(0).min(output),
        ..Tokens::default()
    })
}

/// The first of these, each a way through nested objects, that leads to a count.
fn count(object: &Value, ways: &[&[&str]]) -> Option<u64> {
    ways.iter().find_map(|way| way.iter().try_fold(object, |value, name| value.get(name))?.as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(in_parts: bool, objects: &[&str]) -> Option<[u64; 4]> {
        let mut report = Report::new(in_parts);
        objects.iter().for_each(|object| report.add(object.as_bytes()));
        report.tokens().map(|tokens| [tokens.input, tokens.cached_input, tokens.output, tokens.reasoning])
    }

    #[test]
    fn every_servers_names_are_read() {
        for (object, expected) in [
            (r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}"#, [9, 0, 4, 0]),
            (
                r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":3}}"#,
                [9, 8, 4, 3],
            ),
            (
                r#"{"input_tokens":9,"output_tokens":4,"input_tokens_details":{"cached_tokens":2},"output_tokens_details":{"reasoning_tokens":1}}"#,
                [9, 2, 4, 1],
            ),
            (r#"{"prompt_tokens":8,"total_tokens":8}"#, [8, 0, 0, 0]),
            (r#"{"total_tokens":8}"#, [8, 0, 0, 0]),
            (r#"{"output_tokens":8}"#, [0, 0, 8, 0]),
            (r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":33}"#, [9, 0, 24, 0]),
            (
                r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_cache_hit_tokens":5,"prompt_tokens_details":null}"#,
                [9, 5, 4, 0],
            ),
            (r#"{"prompt_tokens":1,"completion_tokens":1,"cached_tokens":5}"#, [1, 1, 1, 0]),
        ] {
            assert_eq!(read(false, &[object]), Some(expected), "{object}");
        }
    }

    #[test]
    fn what_is_no_count_tells_nothing() {
        for object in [
            "{}",
            "[]",
            "{",
            r#"{"type":"duration","seconds":3}"#,
            r#"{"prompt_tokens":-1}"#,
            r#"{"prompt_tokens":"7"}"#,
        ] {
            assert_eq!(read(false, &[object]), None, "{object}");
            assert_eq!(read(true, &[object]), None, "{object}");
        }
        let last = read(false, &[r#"{"prompt_tokens":3,"completion_tokens":5}"#, "{}"]);
        assert_eq!(last, Some([3, 0, 5, 0]));
    }

    #[test]
    fn anthropics_parts_add_up_and_grow() {
        let start = r#"{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":30,"output_tokens":1}"#;
        assert_eq!(read(true, &[start]), Some([60, 30, 1, 0]));
        assert_eq!(read(true, &[start, r#"{"output_tokens":15}"#]), Some([60, 30, 15, 0]));
        assert_eq!(read(true, &[start, r#"{"input_tokens":0,"output_tokens":15}"#]), Some([60, 30, 15, 0]));
    }
}
