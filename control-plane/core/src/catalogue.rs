//! What models cost, and the well-known ones to begin with.

use serde::Serialize;
use utoipa::ToSchema;

use crate::invalid::Invalid;
use crate::money::NanoUsd;

/// What a million tokens cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Price {
    /// US dollars per million tokens of input.
    pub input: NanoUsd,
    /// The same for input that the provider had in its cache.
    pub cached_input: NanoUsd,
    /// US dollars per million tokens of output, with those of reasoning.
    pub output: NanoUsd,
}

/// A model that needs no price typed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Known {
    /// What its vendor calls it.
    pub name: &'static str,
    /// Who makes it.
    pub vendor: &'static str,
    /// What it costs, in US dollars per million tokens.
    pub price: Price,
    /// The most tokens of one answer; null where there is none.
    pub max_output_tokens: Option<u64>,
    /// The most tokens of input and output together that cost this.
    pub context_window: Option<u64>,
}

/// The most that a million tokens may cost: a dollar each.
const DEAREST: NanoUsd = NanoUsd(1_000_000_000_000_000);

impl Price {
    /// Notes every part that is too large; `path` is where the price is.
    pub fn check(&self, path: &str, invalid: &mut Invalid) {
        for (name, part) in
            [("input", self.input), ("cached_input", self.cached_input), ("output", self.output)]
        {
            if part > DEAREST {
                let message = format!("must be at most {DEAREST} US dollars per million tokens");
                invalid.check::<(), _>(&format!("{path}.{name}"), Err(message));
            }
        }
        // The worst case is reserved at the price of input.
        if self.cached_input > self.input {
            let message = format!("must be at most the price of `{path}.input`, {}", self.input);
            invalid.check::<(), _>(&format!("{path}.cached_input"), Err(message));
        }
    }
}

/// Every well-known model.
#[must_use]
pub fn known() -> &'static [Known] {
    KNOWN
}

/// The well-known model that a provider calls `name`: exactly, or with a date or `-latest` after it.
#[must_use]
pub fn find(name: &str) -> Option<&'static Known> {
    let exactly = |name: &str| KNOWN.iter().find(|known| known.name == name);
    exactly(name).or_else(|| exactly(undated(name)?))
}

/// `name` without `-2024-08-06`, `-20240806`, `@20240806` or `-latest` at its end.
fn undated(name: &str) -> Option<&str> {
    if let Some(rest) = name.strip_suffix("-latest") {
        return Some(rest);
    }
    ["-dddd-dd-dd", "-dddddddd", "@dddddddd"].into_iter().find_map(|shape| {
        let (rest, suffix) = name.split_at_checked(name.len().checked_sub(shape.len())?)?;
        let fits = |(c, shape): (u8, u8)| if shape == b'd' { c.is_ascii_digit() } else { c == shape };
        suffix.bytes().zip(shape.bytes()).all(fits).then_some(rest)
    })
}

const fn model(
    name: &'static str,
    vendor: &'static str,
    [input, cached_input, output]: [&str; 3],
    max_output_tokens: u64,
    context_window: u64,
) -> Known {
    Known {
        name,
        vendor,
        price: Price { input: usd(input), cached_input: usd(cached_input), output: usd(output) },
        max_output_tokens: if max_output_tokens == 0 { None } else { Some(max_output_tokens) },
        context_window: Some(context_window),
    }
}

/// Reads a price of the table; one that is none does not compile.
const fn usd(text: &str) -> NanoUsd {
    let text = text.as_bytes();
    let (mut nanos, mut places, mut i) = (0_u64, None, 0);
    while i < text.len() {
        match (text[i], places) {
            (b'.', None) => places = Some(0),
            (digit @ b'0'..=b'9', _) => {
                nanos = nanos * 10 + (digit - b'0') as u64;
                if let Some(place) = places {
                    places = Some(place + 1);
                }
            }
            _ => panic!("a price is digits with a point"),
        }
        i += 1;
    }
    let places = match places {
        Some(places) => places,
        None => 0,
    };
    NanoUsd(nanos * 10_u64.pow(9 - places))
}

const OPENAI: &str = "OpenAI";
const ANTHROPIC: &str = "Anthropic";
const GOOGLE: &str = "Google";
const MISTRAL: &str = "Mistral";
const DEEPSEEK: &str = "DeepSeek";
const XAI: &str = "xAI";
const COHERE: &str = "Cohere";

/// Input, cached input and output in US dollars per million tokens, the most tokens of an answer, and
/// the context window, at the standard (not batch, not priority) prices of July 2026.
///
/// Sources: the vendors' public pages (openai.com/api/pricing, docs.claude.com/en/docs/about-claude/pricing,
/// ai.google.dev/pricing, mistral.ai/pricing, api-docs.deepseek.com/quick_start/pricing, docs.x.ai/docs/models,
/// cohere.com/pricing), by public lists of them. Where a vendor charges more beyond some length of the
/// input, the window ends there, so that what is reserved is always enough. A vendor without a price for
/// cached input charges it as input. Prices change: those that are typed in win.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    model("gpt-5.5", OPENAI, ["5", "0.5", "30"], 128_000, 272_000),
    model("gpt-5.4", OPENAI, ["2.5", "0.25", "15"], 128_000, 272_000),
    model("gpt-5.4-mini", OPENAI, ["0.75", "0.075", "4.5"], 128_000, 400_000),
    model("gpt-5.4-nano", OPENAI, ["0.2", "0.02", "1.25"], 128_000, 400_000),
    model("gpt-5.2", OPENAI, ["1.75", "0.175", "14"], 128_000, 400_000),
    model("gpt-5.1", OPENAI, ["1.25", "0.125", "10"], 128_000, 400_000),
    model("gpt-5", OPENAI, ["1.25", "0.125", "10"], 128_000, 400_000),
    model("gpt-5-mini", OPENAI, ["0.25", "0.025", "2"], 128_000, 400_000),
    model("gpt-5-nano", OPENAI, ["0.05", "0.005", "0.4"], 128_000, 400_000),
    model("gpt-4.1", OPENAI, ["2", "0.5", "8"], 32_768, 1_047_576),
    model("gpt-4.1-mini", OPENAI, ["0.4", "0.1", "1.6"], 32_768, 1_047_576),
    model("gpt-4.1-nano", OPENAI, ["0.1", "0.025", "0.4"], 32_768, 1_047_576),
    model("gpt-4o", OPENAI, ["2.5", "1.25", "10"], 16_384, 128_000),
    model("gpt-4o-2024-05-13", OPENAI, ["5", "5", "15"], 4_096, 128_000),
    model("gpt-4o-mini", OPENAI, ["0.15", "0.075", "0.6"], 16_384, 128_000),
    model("gpt-4-turbo", OPENAI, ["10", "10", "30"], 4_096, 128_000),
    model("gpt-4", OPENAI, ["30", "30", "60"], 8_192, 8_192),
    model("gpt-3.5-turbo", OPENAI, ["0.5", "0.5", "1.5"], 4_096, 16_385),
    model("gpt-3.5-turbo-instruct", OPENAI, ["1.5", "1.5", "2"], 4_096, 4_096),
    model("o1", OPENAI, ["15", "7.5", "60"], 100_000, 200_000),
    model("o3", OPENAI, ["2", "0.5", "8"], 100_000, 200_000),
    model("o3-mini", OPENAI, ["1.1", "0.55", "4.4"], 100_000, 200_000),
    model("o4-mini", OPENAI, ["1.1", "0.275", "4.4"], 100_000, 200_000),
    model("text-embedding-3-small", OPENAI, ["0.02", "0.02", "0"], 0, 8_192),
    model("text-embedding-3-large", OPENAI, ["0.13", "0.13", "0"], 0, 8_192),
    model("text-embedding-ada-002", OPENAI, ["0.1", "0.1", "0"], 0, 8_192),
    model("claude-opus-4-7", ANTHROPIC, ["5", "0.5", "25"], 128_000, 200_000),
    model("claude-opus-4-6", ANTHROPIC, ["5", "0.5", "25"], 128_000, 200_000),
    model("claude-opus-4-5", ANTHROPIC, ["5", "0.5", "25"], 64_000, 200_000),
    model("claude-opus-4-1", ANTHROPIC, ["15", "1.5", "75"], 32_000, 200_000),
    model("claude-opus-4", ANTHROPIC, ["15", "1.5", "75"], 32_000, 200_000),
    model("claude-sonnet-4-6", ANTHROPIC, ["3", "0.3", "15"], 64_000, 200_000),
    model("claude-sonnet-4-5", ANTHROPIC, ["3", "0.3", "15"], 64_000, 200_000),
    model("claude-sonnet-4", ANTHROPIC, ["3", "0.3", "15"], 64_000, 200_000),
    model("claude-haiku-4-5", ANTHROPIC, ["1", "0.1", "5"], 64_000, 200_000),
    model("claude-3-7-sonnet", ANTHROPIC, ["3", "0.3", "15"], 64_000, 200_000),
    model("claude-3-5-sonnet", ANTHROPIC, ["3", "0.3", "15"], 8_192, 200_000),
    model("claude-3-5-haiku", ANTHROPIC, ["0.8", "0.08", "4"], 8_192, 200_000),
    model("claude-3-opus", ANTHROPIC, ["15", "1.5", "75"], 4_096, 200_000),
    model("claude-3-haiku", ANTHROPIC, ["0.25", "0.03", "1.25"], 4_096, 200_000),
    model("gemini-2.5-pro", GOOGLE, ["1.25", "0.125", "10"], 65_536, 200_000),
    model("gemini-2.5-flash", GOOGLE, ["0.3", "0.03", "2.5"], 65_536, 1_114_112),
    model("gemini-2.5-flash-lite", GOOGLE, ["0.1", "0.01", "0.4"], 65_536, 1_114_112),
    model("gemini-2.0-flash", GOOGLE, ["0.1", "0.025", "0.4"], 8_192, 1_056_768),
    model("mistral-large-2411", MISTRAL, ["2", "2", "6"], 131_072, 131_072),
    model("mistral-medium-2508", MISTRAL, ["0.4", "0.4", "2"], 131_072, 131_072),
    model("mistral-small-2506", MISTRAL, ["0.1", "0.1", "0.3"], 131_072, 131_072),
    model("codestral-2508", MISTRAL, ["0.3", "0.3", "0.9"], 256_000, 256_000),
    model("deepseek-chat", DEEPSEEK, ["0.28", "0.028", "0.42"], 8_192, 131_072),
    model("deepseek-reasoner", DEEPSEEK, ["0.28", "0.028", "0.42"], 65_536, 131_072),
    model("grok-3", XAI, ["3", "0.75", "15"], 131_072, 131_072),
    model("grok-3-mini", XAI, ["0.3", "0.075", "0.5"], 131_072, 131_072),
    model("command-a-03-2025", COHERE, ["2.5", "2.5", "10"], 8_000, 256_000),
    model("command-r-plus-08-2024", COHERE, ["2.5", "2.5", "10"], 4_000, 128_000),
    model("command-r-08-2024", COHERE, ["0.15", "0.15", "0.6"], 4_000, 128_000),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_reads_as_prices_and_names_each_model_once() {
        assert_eq!(usd("0.075"), "0.075".parse().unwrap());
        assert_eq!(usd("15"), "15".parse().unwrap());
        let names: BTreeSet<_> = known().iter().map(|known| known.name).collect();
        assert_eq!(names.len(), known().len());
        for model in known() {
            let mut invalid = Invalid::default();
            model.price.check(model.name, &mut invalid);
            assert_eq!(invalid, Invalid::default());
            assert!(model.max_output_tokens <= model.context_window, "{}", model.name);
        }
    }

    #[test]
    fn a_date_does_not_hide_a_model_and_its_own_price_wins() {
        let name = |name| find(name).map(|known| known.name);
        assert_eq!(name("gpt-4o"), Some("gpt-4o"));
        assert_eq!(name("gpt-4o-2024-08-06"), Some("gpt-4o"));
        assert_eq!(name("gpt-4o-2024-05-13"), Some("gpt-4o-2024-05-13"));
        assert_eq!(name("claude-sonnet-4-5-20250929"), Some("claude-sonnet-4-5"));
        assert_eq!(name("claude-sonnet-4@20250514"), Some("claude-sonnet-4"));
        assert_eq!(name("claude-3-5-haiku-latest"), Some("claude-3-5-haiku"));
        for other in
            ["gpt-4o-audio-preview", "gpt-4o-2024-8-6", "gpt-4o-x024-08-06", "2024-08-06", "", "é-20250514"]
        {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn a_price_beyond_reason_is_refused() {
        let mut invalid = Invalid::default();
        let price = Price { input: NanoUsd(1), cached_input: NanoUsd(2), output: NanoUsd(DEAREST.0 + 1) };
        price.check("price", &mut invalid);
        let paths: Vec<_> = invalid.0.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, ["price.output", "price.cached_input"]);
    }
}
