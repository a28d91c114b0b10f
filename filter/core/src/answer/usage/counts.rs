//! Reads the counts of one usage object, in any provider's names and convention.

mod iterations;

use serde_json::Value;

use crate::price::TokenUsage;

/// The counts of one usage object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UsageCounts {
    /// None where it is not reported.
    pub input: Option<InputCounts>,
    /// None where it is not reported.
    pub output: Option<u64>,
    /// Of the output.
    pub reasoning: u64,
    /// Tokens of the total that no part explains.
    pub unexplained: u64,
    /// The parts contradict each other, or it is not known whether some work is billed.
    pub unclear: bool,
}

/// Input tokens, by what they cost. The parts do not overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InputCounts {
    /// Not cached.
    pub fresh: u64,
    pub cache: CacheCounts,
}

/// Input tokens that went through the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CacheCounts {
    pub read: u64,
    pub written_5m: u64,
    pub written_1h: u64,
    /// Written for an unknown time.
    pub written: u64,
}

impl InputCounts {
    pub(super) fn total(&self) -> u64 {
        self.fresh.saturating_add(self.cache.total())
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let (own, others) = (self.cache, other.cache);
        let cache = CacheCounts {
            read: own.read.saturating_add(others.read),
            written_5m: own.written_5m.saturating_add(others.written_5m),
            written_1h: own.written_1h.saturating_add(others.written_1h),
            written: own.written.saturating_add(others.written),
        };
        Self { fresh: self.fresh.saturating_add(other.fresh), cache }
    }

    /// Counts that cost no less than either. Reading from the cache is the cheapest and writing to it the
    /// dearest: one of the two, or else the most written and the least read.
    pub(super) fn dearest(self, other: Self) -> Self {
        if self.covers(&other) {
            return self;
        }
        if other.covers(&self) {
            return other;
        }
        let (own, others) = (self.cache, other.cache);
        let cache = CacheCounts {
            read: own.read.min(others.read),
            written_5m: own.written_5m.max(others.written_5m),
            written_1h: own.written_1h.max(others.written_1h),
            written: own.written.max(others.written),
        };
        Self { fresh: self.total().max(other.total()).saturating_sub(cache.total()), cache }
    }

    /// It costs no less, at any rates.
    fn covers(&self, other: &Self) -> bool {
        let parts = |input: &Self| {
            let CacheCounts { written_5m, written_1h, written, read: _ } = input.cache;
            [input.fresh, written_5m, written_1h, written, input.total()]
        };
        parts(self).iter().zip(parts(other)).all(|(own, other)| *own >= other)
    }
}

impl CacheCounts {
    pub(super) fn total(&self) -> u64 {
        self.read.saturating_add(self.all_written())
    }

    pub(super) fn all_written(&self) -> u64 {
        [self.written_1h, self.written].into_iter().fold(self.written_5m, u64::saturating_add)
    }

    /// Anthropic's cache counters, which are not part of its input; none where there are none.
    pub(super) fn beside(usage: &Value) -> Option<Self> {
        let [read, written, short, long] = APART.map(|way| count(usage, &[way]));
        if [read, written, short, long].iter().all(Option::is_none) {
            return None;
        }
        let (written_5m, written_1h) = (short.unwrap_or(0), long.unwrap_or(0));
        let written = written.unwrap_or(0).saturating_sub(written_5m.saturating_add(written_1h));
        Some(Self { read: read.unwrap_or(0), written_5m, written_1h, written })
    }
}

impl UsageCounts {
    /// Counts that cost no less than either.
    pub(super) fn dearest(self, other: Self) -> Self {
        Self {
            input: [self.input, other.input].into_iter().flatten().reduce(InputCounts::dearest),
            output: self.output.max(other.output),
            reasoning: self.reasoning.max(other.reasoning),
            unexplained: self.unexplained.max(other.unexplained),
            unclear: self.unclear || other.unclear,
        }
    }

    /// Reads OpenAI's object, and those modeled on it.
    pub(super) fn whole(usage: &Value) -> Self {
        let unclear = has_unknown(usage);
        let counts = Self::read(usage);
        Self { unclear: counts.unclear || unclear, ..counts }
    }

    fn read(usage: &Value) -> Self {
        let raw = RawCounts::read(usage);
        let total = raw.total.unwrap_or(0);
        let output = raw.output.or_else(|| Some(raw.total?.saturating_sub(raw.input?)));
        let input =
            raw.input.or_else(|| Some(total.saturating_sub(output.unwrap_or(0))).filter(|_| total > 0));
        let (Some(prompt), completion) = (input, output.unwrap_or(0)) else {
            return Self { output, reasoning: raw.reasoning.min(output.unwrap_or(0)), ..Self::default() };
        };
        let beside = DetailsBeside::find(&raw, prompt, completion);
        let [read, written, reasoning] = beside.parts;
        let within = raw.cached(!read, !written);
        let input = InputCounts { fresh: prompt.saturating_sub(within), cache: raw.cache };
        let completion = completion.saturating_add(if reasoning { raw.reasoning } else { 0 });
        Self {
            input: Some(input),
            output: output.map(|_| completion),
            reasoning: raw.reasoning.min(completion),
            unexplained: beside.unexplained,
            unclear: beside.unclear,
        }
    }

    /// As priced tokens. What was written for an unknown time counts as the longest that the request may have
    /// asked for.
    pub(super) fn tokens(&self, long_cache: bool) -> TokenUsage {
        let input = self.input.unwrap_or_default();
        let CacheCounts { read, written_5m, written_1h, written } = input.cache;
        let (short, long) = if long_cache { (0, written) } else { (written, 0) };
        let output = self.output.unwrap_or(0);
        TokenUsage {
            input: input.total(),
            cached_input: read,
            cache_write_5m: written_5m.saturating_add(short),
            cache_write_1h: written_1h.saturating_add(long),
            output,
            reasoning: self.reasoning.min(output),
        }
    }

    /// Reads Anthropic's object, with its cache counters if it has some. Counts in other names beside its own
    /// count, too.
    pub(super) fn beside(usage: &Value) -> (Self, Option<CacheCounts>) {
        let own = |name| count(usage, &[&[name]]);
        let (fresh, output) = (own("input_tokens"), own("output_tokens"));
        let whole = Self::whole(usage);
        let (mut counts, cache) = if fresh.is_none() && own("prompt_tokens").is_some() {
            (whole, None)
        } else {
            let cache = CacheCounts::beside(usage);
            let input = fresh.map(|fresh| InputCounts { fresh, cache: cache.unwrap_or_default() });
            let own = Self { input, output, ..Self::default() };
            let unclear = has_unknown(usage) || own.is_less_than(&whole);
            (Self { unclear, ..own.dearest(whole) }, cache)
        };
        if !iterations::add_up(usage, &mut counts) {
            return (counts, cache);
        }
        // The counters beside the passes may lack an input.
        let beside = cache.map(|cache| InputCounts { fresh: fresh.unwrap_or(0), cache });
        counts.input = [counts.input, beside].into_iter().flatten().reduce(InputCounts::dearest);
        (counts, counts.input.map(|input| input.cache))
    }

    /// A count that both have is less in this one.
    fn is_less_than(&self, other: &Self) -> bool {
        let inputs = self.input.zip(other.input);
        let outputs = self.output.zip(other.output);
        inputs.is_some_and(|(own, other)| own.total() < other.total())
            || outputs.is_some_and(|(own, other)| own < other)
    }
}

/// The numbers of an object, as reported.
#[derive(Debug)]
struct RawCounts {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cache: CacheCounts,
    reasoning: u64,
    /// Its cache counters and its input have Anthropic's names: they are not part of the input.
    apart: bool,
}

impl RawCounts {
    fn read(usage: &Value) -> Self {
        let anthropic = CacheCounts::beside(usage);
        let tools = count(usage, &TOOLS).unwrap_or(0);
        let thoughts = count(usage, &THOUGHTS);
        let output = most(usage, &OUTPUT);
        let input = most(usage, &INPUT).map(|input| input.saturating_add(tools));
        // The usual one of several counts, unless one is too large to be part of the input.
        let hit = anthropic.map(|cache| cache.read);
        let most_read = most(usage, &CACHED).max(hit).filter(|most| *most > input.unwrap_or(0));
        let read = most_read.or(count(usage, &CACHED)).or(hit).unwrap_or(0);
        let cache = anthropic.unwrap_or_default();
        let written = most(usage, &WRITTEN).unwrap_or(0).saturating_sub(cache.all_written());
        let cache = CacheCounts { read, written: cache.written.saturating_add(written), ..cache };
        Self {
            input,
            // Gemini reports thoughts beside the output.
            output: match thoughts {
                Some(thoughts) => Some(output.unwrap_or(0).saturating_add(thoughts)),
                None => output,
            },
            total: most(usage, &TOTAL).filter(|total| *total > 0),
            cache,
            reasoning: thoughts.or(most(usage, &REASONING)).unwrap_or(0),
            apart: anthropic.is_some() && count(usage, &[&["prompt_tokens"]]).unwrap_or(0) == 0,
        }
    }

    /// Of the input, tokens read from and written to the cache, as asked for.
    fn cached(&self, read: bool, written: bool) -> u64 {
        let read = if read { self.cache.read } else { 0 };
        read.saturating_add(if written { self.cache.all_written() } else { 0 })
    }
}

/// Which details are not part of the input or the output.
#[derive(Debug)]
struct DetailsBeside {
    /// Read from the cache, written to it, reasoning.
    parts: [bool; 3],
    unexplained: u64,
    unclear: bool,
}

impl DetailsBeside {
    /// A total that is exactly the sum of some parts proves it; otherwise a detail that is too large to be a
    /// part is not one.
    fn find(raw: &RawCounts, prompt: u64, completion: u64) -> Self {
        let sum = prompt.saturating_add(completion);
        let details = [raw.cache.read, raw.cache.all_written(), raw.reasoning];
        let fits = |[read, written, reasoning]: [bool; 3]| {
            raw.cached(!read, !written) <= prompt && (reasoning || raw.reasoning <= completion)
        };
        let likely = Self::likely(raw, prompt, completion);
        let Some(total) = raw.total.filter(|total| *total >= sum) else {
            // An input of 0 may be a placeholder.
            let unclear = prompt == 0 && raw.cached(true, true) > 0;
            return Self { parts: likely, unexplained: 0, unclear };
        };
        let surplus = total.saturating_sub(sum);
        let proven: Vec<_> = WAYS
            .into_iter()
            .filter(|way| way.iter().zip(details).all(|(beside, count)| !beside || count > 0))
            .filter(|way| fits(*way))
            .filter(|way| {
                let counts = way.iter().zip(details).filter(|(beside, _)| **beside);
                counts.fold(0, |sum: u64, (_, count)| sum.saturating_add(count)) == surplus
            })
            .collect();
        match proven.split_last() {
            // The last one is the dearest.
            Some((dearest, others)) => Self { parts: *dearest, unexplained: 0, unclear: !others.is_empty() },
            None => Self { parts: likely, unexplained: surplus, unclear: surplus == 0 },
        }
    }

    fn likely(raw: &RawCounts, prompt: u64, completion: u64) -> [bool; 3] {
        let read = raw.apart || raw.cache.read > prompt;
        let written = raw.apart || raw.cached(!read, true) > prompt;
        [read, written, raw.reasoning > completion]
    }
}

/// From the cheapest to the dearest.
const WAYS: [[bool; 3]; 8] = [
    [false, false, false],
    [true, false, false],
    [false, true, false],
    [true, true, false],
    [false, false, true],
    [true, false, true],
    [false, true, true],
    [true, true, true],
];

/// Paths to one count, the usual first.
type Ways<'a> = &'a [&'a [&'a str]];

const INPUT: [&[&str]; 3] = [&["prompt_tokens"], &["input_tokens"], &["promptTokenCount"]];
const OUTPUT: [&[&str]; 3] = [&["completion_tokens"], &["output_tokens"], &["candidatesTokenCount"]];
const TOTAL: [&[&str]; 2] = [&["total_tokens"], &["totalTokenCount"]];
const CACHED: [&[&str]; 5] = [
    &["prompt_tokens_details", "cached_tokens"],
    &["input_tokens_details", "cached_tokens"],
    &["prompt_cache_hit_tokens"],
    &["cached_tokens"],
    &["cachedContentTokenCount"],
];
const WRITTEN: [&[&str]; 4] = [
    &["prompt_tokens_details", "cache_write_tokens"],
    &["input_tokens_details", "cache_write_tokens"],
    &["prompt_tokens_details", "cache_creation_tokens"],
    &["cache_write_tokens"],
];
const REASONING: [&[&str]; 3] = [
    &["completion_tokens_details", "reasoning_tokens"],
    &["output_tokens_details", "reasoning_tokens"],
    &["reasoning_tokens"],
];

const TOOLS: [&[&str]; 1] = [&["toolUsePromptTokenCount"]];
const THOUGHTS: [&[&str]; 1] = [&["thoughtsTokenCount"]];
/// Anthropic's, which are not part of the input.
const APART: [&[&str]; 4] = [
    &["cache_read_input_tokens"],
    &["cache_creation_input_tokens"],
    &["cache_creation", "ephemeral_5m_input_tokens"],
    &["cache_creation", "ephemeral_1h_input_tokens"],
];
/// Work that is not billed by tokens, or at another rate.
const EXTRA: [&[&str]; 5] = [
    &["server_tool_use", "web_search_requests"],
    &["prompt_audio_seconds"],
    &["num_search_queries"],
    &["num_sources_used"],
    &["citation_tokens"],
];

/// Whether a count cannot be read, or there is work without a price.
fn has_unknown(usage: &Value) -> bool {
    let counts: [Ways<'_>; 9] =
        [&INPUT, &OUTPUT, &TOTAL, &CACHED, &WRITTEN, &REASONING, &TOOLS, &THOUGHTS, &APART];
    let at = |way: &&[&str]| way.iter().try_fold(usage, |value, name| value.get(name));
    let no_count = |value: &Value| !value.is_null() && whole_number(value).is_none();
    let some = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
    counts.into_iter().flatten().filter_map(at).any(no_count) || EXTRA.iter().filter_map(at).any(some)
}

/// The first path that leads to a count.
fn count(usage: &Value, ways: Ways<'_>) -> Option<u64> {
    ways.iter().find_map(|way| whole_number(way.iter().try_fold(usage, |value, name| value.get(name))?))
}

/// The largest count: one may be a placeholder.
fn most(usage: &Value, ways: Ways<'_>) -> Option<u64> {
    ways.iter().filter_map(|way| count(usage, &[*way])).max()
}

/// A whole number in any notation: `500`, `500.0`, `5e2`. One beyond 64 bits is the largest.
fn whole_number(value: &Value) -> Option<u64> {
    /// 2^64.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0)?;
        if number >= BEYOND {
            return Some(u64::MAX);
        }
        format!("{:.0}", number.abs()).parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Fresh, read, written; output, reasoning; unexplained; unclear.
    fn whole(usage: &Value) -> ([u64; 3], Option<u64>, u64, u64, bool) {
        let UsageCounts { input, output, reasoning, unexplained, unclear } = UsageCounts::whole(usage);
        let InputCounts { fresh, cache } = input.unwrap_or_default();
        ([fresh, cache.read, cache.all_written()], output, reasoning, unexplained, unclear)
    }

    #[test]
    fn a_total_proves_what_stands_beside() {
        for (usage, expected) in [
            // Cached tokens beside the prompt.
            (
                json!({ "prompt_tokens": 480, "completion_tokens": 370, "total_tokens": 14_150,
                    "prompt_tokens_details": { "cached_tokens": 13_300 } }),
                ([480, 13_300, 0], Some(370), 0, 0, false),
            ),
            // The same where the cached tokens are fewer than the others.
            (
                json!({ "prompt_tokens": 480, "completion_tokens": 370, "total_tokens": 950, "cached_tokens": 100 }),
                ([480, 100, 0], Some(370), 0, 0, false),
            ),
            // Reasoning beside the output.
            (
                json!({ "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 620,
                    "completion_tokens_details": { "reasoning_tokens": 500 } }),
                ([100, 0, 0], Some(520), 500, 0, false),
            ),
            // Both.
            (
                json!({ "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 650, "cached_tokens": 30,
                    "completion_tokens_details": { "reasoning_tokens": 500 } }),
                ([100, 30, 0], Some(520), 500, 0, false),
            ),
            // Everything within.
            (
                json!({ "prompt_tokens": 100, "completion_tokens": 520, "total_tokens": 620, "cached_tokens": 30,
                    "completion_tokens_details": { "reasoning_tokens": 500 } }),
                ([70, 30, 0], Some(520), 500, 0, false),
            ),
            // Written tokens, within and beside.
            (
                json!({ "input_tokens": 18_000, "output_tokens": 10, "total_tokens": 18_010,
                    "input_tokens_details": { "cache_write_tokens": 17_990, "cached_tokens": 0 } }),
                ([10, 0, 17_990], Some(10), 0, 0, false),
            ),
            (
                json!({ "prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 18_010,
                    "prompt_tokens_details": { "cache_write_tokens": 17_990 } }),
                ([10, 0, 17_990], Some(10), 0, 0, false),
            ),
        ] {
            assert_eq!(whole(&usage), expected, "{usage}");
        }
    }

    #[test]
    fn what_a_total_does_not_explain_is_unclear() {
        for (usage, expected) in [
            // Neither.
            (
                json!({ "prompt_tokens": 480, "completion_tokens": 370, "total_tokens": 14_150 }),
                ([480, 0, 0], Some(370), 0, 13_300, false),
            ),
            (
                json!({ "prompt_tokens": 480, "completion_tokens": 370, "total_tokens": 14_150, "cached_tokens": 99 }),
                ([381, 99, 0], Some(370), 0, 13_300, false),
            ),
            // Either: the dearer.
            (
                json!({ "prompt_tokens": 600, "completion_tokens": 600, "total_tokens": 1_700, "cached_tokens": 500,
                    "completion_tokens_details": { "reasoning_tokens": 500 } }),
                ([100, 500, 0], Some(1_100), 500, 0, true),
            ),
            // A total that leaves out what cannot be within.
            (
                json!({ "prompt_tokens": 480, "completion_tokens": 370, "total_tokens": 850, "cached_tokens": 13_300 }),
                ([480, 13_300, 0], Some(370), 0, 0, true),
            ),
        ] {
            assert_eq!(whole(&usage), expected, "{usage}");
        }
    }

    #[test]
    fn without_a_total_what_cannot_be_within_stands_beside() {
        for (usage, expected) in [
            (
                json!({ "prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 5 }),
                ([1, 5, 0], Some(1), 0, 0, false),
            ),
            (
                json!({ "prompt_tokens": 9, "completion_tokens": 4,
                    "completion_tokens_details": { "reasoning_tokens": 7 } }),
                ([9, 0, 0], Some(11), 7, 0, false),
            ),
            // Anthropic's names mean beside, OpenAI's within.
            (
                json!({ "input_tokens": 20, "output_tokens": 4, "cache_read_input_tokens": 5 }),
                ([20, 5, 0], Some(4), 0, 0, false),
            ),
            (
                json!({ "prompt_tokens": 20, "completion_tokens": 4, "cache_read_input_tokens": 5 }),
                ([15, 5, 0], Some(4), 0, 0, false),
            ),
            (
                json!({ "promptTokenCount": 20, "candidatesTokenCount": 4, "thoughtsTokenCount": 6,
                    "cachedContentTokenCount": 5, "totalTokenCount": 30 }),
                ([15, 5, 0], Some(10), 6, 0, false),
            ),
        ] {
            assert_eq!(whole(&usage), expected, "{usage}");
        }
    }

    #[test]
    fn a_total_tells_the_part_that_is_missing_beside_another() {
        for (usage, input, output) in [
            (json!({ "prompt_tokens": 8, "total_tokens": 20 }), Some(8), Some(12)),
            (json!({ "completion_tokens": 5, "total_tokens": 8 }), Some(3), Some(5)),
            (json!({ "total_tokens": 8 }), Some(8), None),
            (json!({ "prompt_tokens": 8 }), Some(8), None),
            (json!({ "completion_tokens": 8 }), None, Some(8)),
            (json!({}), None, None),
        ] {
            let counts = UsageCounts::whole(&usage);
            assert_eq!((counts.input.map(|input| input.total()), counts.output), (input, output), "{usage}");
        }
    }

    #[test]
    fn what_was_written_for_a_time_that_is_not_told_is_kept_as_long_as_was_asked() {
        let written = |usage: &Value, long_cache| {
            let tokens = UsageCounts::beside(usage).0.tokens(long_cache);
            (tokens.input, tokens.cache_write_5m, tokens.cache_write_1h)
        };
        let whole = json!({ "input_tokens": 10, "output_tokens": 1, "cache_creation_input_tokens": 300 });
        assert_eq!([false, true].map(|long| written(&whole, long)), [(310, 300, 0), (310, 0, 300)]);
        let mut split = whole.clone();
        split["cache_creation"] =
            json!({ "ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 90 });
        assert_eq!([false, true].map(|long| written(&split, long)), [(310, 210, 90), (310, 200, 100)]);
        let openai = json!({ "prompt_tokens": 310, "completion_tokens": 1,
            "prompt_tokens_details": { "cache_write_tokens": 300 } });
        assert_eq!([false, true].map(|long| written(&openai, long)), [(310, 300, 0), (310, 0, 300)]);
    }

    #[test]
    fn of_counts_that_differ_the_dearest_is_taken() {
        for (usage, expected) in [
            (
                json!({ "prompt_tokens": 500, "completion_tokens": 5, "cache_creation_input_tokens": 400,
                    "prompt_tokens_details": { "cache_write_tokens": 0, "cache_creation_tokens": 300 } }),
                ([100, 0, 400], Some(5), 0, 0, false),
            ),
            (
                json!({ "prompt_tokens": 500, "completion_tokens": 5, "cache_creation_input_tokens": 0,
                    "prompt_tokens_details": { "cache_write_tokens": 400 } }),
                ([100, 0, 400], Some(5), 0, 0, false),
            ),
            (
                json!({ "prompt_tokens": 500, "completion_tokens": 5,
                    "prompt_tokens_details": { "cache_write_tokens": 0, "cache_creation_tokens": 300 } }),
                ([200, 0, 300], Some(5), 0, 0, false),
            ),
            (
                json!({ "prompt_tokens": 500, "completion_tokens": 5, "cached_tokens": 400,
                    "prompt_tokens_details": { "cached_tokens": 0 } }),
                ([500, 0, 0], Some(5), 0, 0, false),
            ),
            // One of them cannot be within the prompt.
            (
                json!({ "prompt_tokens": 100, "completion_tokens": 5, "cache_read_input_tokens": 900,
                    "prompt_tokens_details": { "cached_tokens": 0 } }),
                ([100, 900, 0], Some(5), 0, 0, false),
            ),
            (
                json!({ "prompt_tokens": 9, "completion_tokens": 5, "reasoning_tokens": 50,
                    "completion_tokens_details": { "reasoning_tokens": 0 } }),
                ([9, 0, 0], Some(55), 50, 0, false),
            ),
            (
                json!({ "prompt_tokens": null, "input_tokens": 900, "output_tokens": 5, "cache_read_input_tokens": 800 }),
                ([900, 800, 0], Some(5), 0, 0, false),
            ),
            (
                json!({ "prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 0, "totalTokenCount": 900 }),
                ([9, 0, 0], Some(5), 0, 886, false),
            ),
            (
                json!({ "input_tokens": 0, "output_tokens": 5, "cached_tokens": 143 }),
                ([0, 143, 0], Some(5), 0, 0, true),
            ),
            // Reasoning alone is not the output.
            (
                json!({ "prompt_tokens": 9, "completion_tokens_details": { "reasoning_tokens": 50 } }),
                ([9, 0, 0], None, 50, 0, false),
            ),
        ] {
            assert_eq!(whole(&usage), expected, "{usage}");
        }
    }

    #[test]
    fn what_is_told_in_no_count_or_has_no_price_is_unclear() {
        for (name, value) in [
            ("completion_tokens", json!("5")),
            ("prompt_tokens_details", json!({ "cache_write_tokens": -1 })),
            ("cache_creation_input_tokens", json!("300000")),
            ("cache_creation", json!({ "ephemeral_1h_input_tokens": 0.5 })),
            ("thoughtsTokenCount", json!([7])),
            ("server_tool_use", json!({ "web_search_requests": 3 })),
            ("num_search_queries", json!(2)),
            ("prompt_audio_seconds", json!(0.5)),
        ] {
            let mut openai = json!({ "prompt_tokens": 9, "completion_tokens": 5 });
            openai[name] = value.clone();
            assert!(UsageCounts::whole(&openai).unclear, "{openai}");
            let mut anthropic = json!({ "input_tokens": 9, "output_tokens": 5 });
            anthropic[name] = value;
            assert!(UsageCounts::beside(&anthropic).0.unclear, "{anthropic}");
        }
        let nothing = json!({ "input_tokens": 9, "output_tokens": 5, "cache_creation": null, "prompt_tokens_details": {},
            "server_tool_use": { "web_search_requests": 0 }, "total_tokens": null, "reasoning_tokens": null,
            "prompt_audio_seconds": {} });
        assert!(!UsageCounts::whole(&nothing).unclear && !UsageCounts::beside(&nothing).0.unclear);
    }

    #[test]
    fn anthropics_object_is_no_less_told_in_other_names() {
        let read = |usage: Value| {
            let (counts, _) = UsageCounts::beside(&usage);
            (counts.input.unwrap().total(), counts.output, counts.unexplained, counts.unclear)
        };
        let usage = |more: Value| {
            let mut usage = json!({ "input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 980 });
            usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read(usage)
        };
        assert_eq!(usage(json!({})), (1_000, Some(5), 0, false));
        assert_eq!(
            usage(json!({ "prompt_tokens": 1_000, "completion_tokens": 5 })),
            (1_000, Some(5), 0, false)
        );
        assert_eq!(usage(json!({ "total_tokens": 25 })), (1_000, Some(5), 0, false));
        assert_eq!(usage(json!({ "total_tokens": 1_005 })), (1_000, Some(5), 0, false));
        assert_eq!(usage(json!({ "total_tokens": 7_005 })).2, 6_980);
        assert_eq!(usage(json!({ "prompt_tokens": 9_000 })), (9_000, Some(5), 0, true));
        assert_eq!(usage(json!({ "completion_tokens": 500 })), (1_000, Some(500), 0, true));
        let alone = json!({ "cache_read_input_tokens": 980, "iterations": [{ "type": "message", "input_tokens": 1 }] });
        assert_eq!(read(alone).0, 980);
    }

    #[test]
    fn whole_numbers_are_whole_numbers() {
        for (text, expected) in [
            ("500", Some(500)),
            ("500.0", Some(500)),
            ("5e2", Some(500)),
            ("5.0E+2", Some(500)),
            ("0.0", Some(0)),
            ("-0.0", Some(0)),
            ("500.5", None),
            ("-1", None),
            ("-1.0", None),
            ("\"500\"", None),
            ("null", None),
            ("9223372036854775808", Some(1 << 63)),
            ("18446744073709551616", Some(u64::MAX)),
            ("1e300", Some(u64::MAX)),
            ("4294967296.0", Some(1 << 32)),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(whole_number(&value), expected, "{text}");
        }
    }
}
