//! A plain reader of a whole answer, to compare with: it parses everything with `serde_json` and takes the
//! last word of each place that is known to hold usage.

use serde_json::{Deserializer, Value};

use crate::price::TokenUsage;
use crate::request::endpoint::ModelOperation;

/// What an answer says of its usage; none where it says nothing.
pub(super) fn read(operation: ModelOperation, body: &[u8]) -> Option<TokenUsage> {
    let documents = documents(body);
    let usages = |places: &[fn(&Value) -> Vec<&Value>]| -> Vec<Value> {
        let found =
            documents.iter().flat_map(|document| places.iter().flat_map(move |place| place(document)));
        found.filter(|usage| usage.is_object()).cloned().collect()
    };
    let usual =
        usages(&[|it| it.get("usage").into_iter().collect(), |it| nested(it, &["message", "response"])]);
    let unusual = usages(&[
        |it| nested(it, &["x_groq"]),
        |it| it.get("usageMetadata").into_iter().collect(),
        |it| {
            it["choices"].as_array().into_iter().flatten().filter_map(|choice| choice.get("usage")).collect()
        },
    ]);
    let says =
        |usages: &[Value]| if operation == ModelOperation::Messages { parts(usages) } else { last(usages) };
    says(&usual).or_else(|| says(&unusual))
}

fn nested<'a>(document: &'a Value, around: &[&str]) -> Vec<&'a Value> {
    around.iter().filter_map(|name| document.get(name)?.get("usage")).collect()
}

/// The documents of a body, or of its events.
fn documents(body: &[u8]) -> Vec<Value> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let whole: Result<Vec<Value>, _> = Deserializer::from_slice(body).into_iter().collect();
    if let Ok(documents) = whole
        && documents.iter().all(Value::is_object)
    {
        return documents;
    }
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim_start();
    let data = |event: &str| {
        let lines = event.split('\n').filter_map(|line| line.strip_prefix("data:"));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    text.split("\n\n").filter_map(|event| serde_json::from_str(&data(event)).ok()).collect()
}

fn whole(value: &Value) -> Option<u64> {
    let real = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0);
    value.as_u64().or(real.map(|number| number as u64))
}

fn number(value: &Value) -> u64 {
    whole(value).unwrap_or(0)
}

fn first(usage: &Value, ways: &[&str]) -> u64 {
    ways.iter().filter_map(|way| usage.pointer(way)).map(number).find(|count| *count > 0).unwrap_or(0)
}

/// The last that says something. Whatever may be of the cache is, as is what only the total tells, and what
/// is told beside it counts not.
fn last(usages: &[Value]) -> Option<TokenUsage> {
    usages.iter().rev().find_map(|usage| {
        let input = first(usage, &["/prompt_tokens", "/input_tokens", "/promptTokenCount"]);
        let output = first(usage, &["/completion_tokens", "/output_tokens", "/candidatesTokenCount"])
            .saturating_add(number(&usage["thoughtsTokenCount"]));
        let total = number(&usage["total_tokens"]).max(number(&usage["totalTokenCount"]));
        let beyond = total.saturating_sub(input.saturating_add(output));
        let input = input.saturating_add(beyond);
        let cached = first(
            usage,
            &[
                "/prompt_tokens_details/cached_tokens",
                "/input_tokens_details/cached_tokens",
                "/prompt_cache_hit_tokens",
                "/cached_tokens",
                "/cachedContentTokenCount",
                "/cache_read_input_tokens",
            ],
        );
        let written = ["/prompt_tokens_details", "/input_tokens_details"]
            .iter()
            .filter_map(|details| usage.pointer(&format!("{details}/cache_write_tokens")))
            .map(number)
            .max();
        let cache_write_5m =
            written.unwrap_or(0).max(number(&usage["cache_creation_input_tokens"])).min(input);
        let cached_input = cached.saturating_add(beyond).min(input.saturating_sub(cache_write_5m));
        let tokens = TokenUsage { input, cached_input, cache_write_5m, output, ..TokenUsage::default() };
        (input > 0 || output > 0).then_some(tokens)
    })
}

/// The last words on input and on output.
fn parts(usages: &[Value]) -> Option<TokenUsage> {
    let (mut fresh, mut read, mut written, mut written_1h, mut output) = (0, 0, 0, 0, 0);
    for usage in usages {
        let own = |name: &str| number(&usage[name]);
        let passes = usage["iterations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sum = |name: &str| {
            let known =
                passes.iter().filter(|pass| matches!(pass["type"].as_str(), Some("message" | "compaction")));
            let billed = known.filter(|pass| number(&pass["output_tokens"]) > 0);
            billed.map(|pass| number(&pass[name])).fold(0, u64::saturating_add)
        };
        output = output.max(own("output_tokens")).max(sum("output_tokens"));
        let split = &usage["cache_creation"];
        let (short, long) = (&split["ephemeral_5m_input_tokens"], &split["ephemeral_1h_input_tokens"]);
        let counters =
            [&usage["cache_read_input_tokens"], &usage["cache_creation_input_tokens"], short, long];
        let apart = counters.into_iter().any(|counter| whole(counter).is_some());
        let hit = own("cache_read_input_tokens");
        let miss = own("cache_creation_input_tokens").max(number(short).saturating_add(number(long)));
        let cached = hit.saturating_add(miss);
        let brings = apart || !passes.is_empty();
        let told = whole(&usage["input_tokens"]).is_some() || !passes.is_empty();
        let input = if apart { own("input_tokens") } else { own("input_tokens").max(sum("input_tokens")) };
        let before: u64 = [fresh, read, written].into_iter().fold(0, u64::saturating_add);
        if brings && told && (cached > 0 || input >= before) {
            (fresh, read, written, written_1h) = (input, hit, miss, number(long));
        } else if brings && !told && cached > 0 {
            (fresh, read, written, written_1h) = (before.saturating_sub(cached), hit, miss, number(long));
        } else if !brings && input > fresh && input != before {
            fresh = input;
        }
    }
    let input = [fresh, read, written].into_iter().fold(0, u64::saturating_add);
    let cache_write_5m = written.saturating_sub(written_1h);
    let tokens = TokenUsage {
        input,
        cached_input: read,
        cache_write_5m,
        cache_write_1h: written_1h,
        output,
        ..TokenUsage::default()
    };
    (input > 0 || output > 0).then_some(tokens)
}
