use super::{KnownModel, own, plain, times, writing};
use crate::price::{LongContext, Rates, Tier};

/// The day on which the prices were read.
pub const AS_OF: &str = "2026-11-29";

const OPENAI: &str = "OpenAI";
const ANTHROPIC: &str = "Anthropic";
const GOOGLE: &str = "Google";
const MISTRAL: &str = "Mistral";
const DEEPSEEK: &str = "DeepSeek";
const XAI: &str = "xAI";
const COHERE: &str = "Cohere";

/// Rates of input, cached input and output, the most tokens of an answer, and the context window.
const fn model(
    name: &'static str,
    vendor: &'static str,
    rates: [&str; 3],
    max_output_tokens: u64,
    context_window: u64,
) -> KnownModel {
    KnownModel {
        name,
        vendor,
        rates: plain(rates),
        long_context: None,
        tiers: &[],
        max_output_tokens: if max_output_tokens == 0 { None } else { Some(max_output_tokens) },
        context_window: Some(context_window),
    }
}

/// A model of Anthropic's, which asks five quarters and twice the input's rate for writing to its cache.
const fn claude(
    name: &'static str,
    rates: [&str; 3],
    max_output_tokens: u64,
    context_window: u64,
) -> KnownModel {
    let known = model(name, ANTHROPIC, rates, max_output_tokens, context_window);
    KnownModel { rates: writing(known.rates, ANTHROPICS_WRITES), ..known }
}

const ANTHROPICS_WRITES: [u64; 2] = [5, 8];
const OPENAIS_WRITES: [u64; 2] = [5, 10];

impl KnownModel {
    /// With what OpenAI asks for writing to its cache since GPT-5.6.
    const fn writes(self) -> Self {
        Self { rates: writing(self.rates, OPENAIS_WRITES), ..self }
    }

    /// With the rates of a request with more input tokens; writing costs as many times the input.
    const fn long(self, above: u64, rates: [&str; 3]) -> Self {
        let Rates { input, cache_write_5m, cache_write_1h, .. } = self.rates;
        let writes = [cache_write_5m.0 * 4 / input.0, cache_write_1h.0 * 4 / input.0];
        Self { long_context: Some(LongContext { above, rates: writing(plain(rates), writes) }), ..self }
    }

    const fn tiers(self, tiers: &'static [(&'static str, Tier)]) -> Self {
        Self { tiers, ..self }
    }
}

/// In US dollars per million tokens, of November 2026.
///
/// Sources: the vendors' public pages (openai.com/api/pricing, docs.claude.com/en/docs/about-claude/pricing,
/// ai.google.dev/pricing, mistral.ai/pricing, api-docs.deepseek.com/quick_start/pricing, docs.x.ai/docs/models,
/// cohere.com/pricing), by public lists of them. A vendor without a price for cached input charges it as
/// input; one that is dearer at some hours has its dear price here. Where an answer may fill the window, it
/// is bounded to what answers really need. Prices change: those that are typed in win.
#[rustfmt::skip]
pub(super) const KNOWN: &[KnownModel] = &[
    model("gpt-6.1-sol", OPENAI, ["2", "0.1", "10"], 128_000, 1_050_000).writes().long(272_000, ["4", "0.2", "15"]).tiers(&[("flex", times(500)), ("priority", times(2000)), ("ultrafast", times(6000))]),
    model("gpt-6.1-terra", OPENAI, ["1", "0.05", "5"], 128_000, 1_050_000).writes().long(272_000, ["2", "0.1", "7.5"]).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-6-astra", OPENAI, ["10", "1", "50"], 128_000, 1_050_000).writes().long(272_000, ["20", "2", "75"]).tiers(&[("flex", times(500)), ("priority", times(2000)), ("ultrafast", times(6000))]),
    model("gpt-6-sol", OPENAI, ["2", "0.2", "10"], 128_000, 1_050_000).writes().long(272_000, ["4", "0.4", "15"]).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-6-luna", OPENAI, ["0.1", "0.01", "0.5"], 128_000, 1_050_000).writes().long(272_000, ["0.2", "0.02", "0.75"]).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5.6", OPENAI, ["4", "0.4", "20"], 128_000, 1_050_000).writes().long(272_000, ["8", "0.8", "30"]).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5.6-sol", OPENAI, ["4", "0.4", "20"], 128_000, 1_050_000).writes().long(272_000, ["8", "0.8", "30"]).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5.6-terra", OPENAI, ["2", "0.2", "12"], 128_000, 1_050_000).writes().long(272_000, ["4", "0.4", "18"]).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5.6-luna", OPENAI, ["0.2", "0.02", "1.2"], 128_000, 1_050_000).writes().long(272_000, ["0.4", "0.04", "1.8"]).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5.5", OPENAI, ["5", "0.5", "30"], 128_000, 1_050_000).long(272_000, ["10", "1", "45"]).tiers(&[("flex", times(500)), ("priority", times(2500))]),
    model("gpt-5.5-pro", OPENAI, ["30", "30", "180"], 128_000, 1_050_000).long(272_000, ["60", "60", "270"]).tiers(&[("flex", times(500))]),
    model("gpt-5.4", OPENAI, ["2.5", "0.25", "15"], 128_000, 1_050_000).long(272_000, ["5", "0.5", "22.5"]).tiers(&[("flex", own(["1.25", "0.13", "7.5"])), ("priority", times(2000))]),
    model("gpt-5.4-mini", OPENAI, ["0.75", "0.075", "4.5"], 128_000, 400_000).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5.4-nano", OPENAI, ["0.2", "0.02", "1.25"], 128_000, 400_000).tiers(&[("flex", times(500))]),
    model("gpt-5.4-pro", OPENAI, ["30", "30", "180"], 128_000, 1_050_000).long(272_000, ["60", "60", "270"]).tiers(&[("flex", times(500))]),
    model("gpt-5.3-codex", OPENAI, ["1.75", "0.175", "14"], 128_000, 400_000).tiers(&[("priority", times(2000))]),
    model("gpt-5.2", OPENAI, ["1.75", "0.175", "14"], 128_000, 400_000).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5.2-pro", OPENAI, ["21", "21", "168"], 128_000, 400_000),
    model("gpt-5.2-codex", OPENAI, ["1.75", "0.175", "14"], 128_000, 400_000),
    model("gpt-5.1", OPENAI, ["1.25", "0.125", "10"], 128_000, 400_000).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5.1-codex", OPENAI, ["1.25", "0.125", "10"], 128_000, 400_000),
    model("gpt-5.1-codex-mini", OPENAI, ["0.25", "0.025", "2"], 128_000, 400_000),
    model("gpt-5.1-codex-max", OPENAI, ["1.25", "0.125", "10"], 128_000, 400_000),
    model("gpt-5", OPENAI, ["1.25", "0.125", "10"], 128_000, 400_000).tiers(&[("flex", times(500)), ("priority", times(2000))]),
    model("gpt-5-codex", OPENAI, ["1.25", "0.125", "10"], 128_000, 400_000),
    model("gpt-5-mini", OPENAI, ["0.25", "0.025", "2"], 128_000, 400_000).tiers(&[("flex", times(500)), ("priority", times(1800))]),
    model("gpt-5-nano", OPENAI, ["0.05", "0.005", "0.4"], 128_000, 400_000).tiers(&[("flex", times(500))]),
    model("gpt-5-pro", OPENAI, ["15", "15", "120"], 272_000, 400_000),
    model("gpt-4.1", OPENAI, ["2", "0.5", "8"], 32_768, 1_047_576).tiers(&[("priority", times(1750))]),
    model("gpt-4.1-mini", OPENAI, ["0.4", "0.1", "1.6"], 32_768, 1_047_576).tiers(&[("priority", times(1750))]),
    model("gpt-4.1-nano", OPENAI, ["0.1", "0.025", "0.4"], 32_768, 1_047_576).tiers(&[("priority", times(2000))]),
    model("gpt-4o", OPENAI, ["2.5", "1.25", "10"], 16_384, 128_000).tiers(&[("priority", times(1700))]),
    model("gpt-4o-2024-05-13", OPENAI, ["5", "5", "15"], 4_096, 128_000).tiers(&[("priority", times(1750))]),
    model("gpt-4o-mini", OPENAI, ["0.15", "0.075", "0.6"], 16_384, 128_000).tiers(&[("priority", own(["0.25", "0.125", "1"]))]),
    model("gpt-4-turbo", OPENAI, ["10", "10", "30"], 4_096, 128_000),
    model("gpt-4", OPENAI, ["30", "30", "60"], 8_192, 8_192),
    model("gpt-3.5-turbo", OPENAI, ["0.5", "0.5", "1.5"], 4_096, 16_385),
    model("o1", OPENAI, ["15", "7.5", "60"], 100_000, 200_000),
    model("o1-pro", OPENAI, ["150", "150", "600"], 100_000, 200_000),
    model("o3", OPENAI, ["2", "0.5", "8"], 100_000, 200_000).tiers(&[("flex", times(500)), ("priority", times(1750))]),
    model("o3-mini", OPENAI, ["1.1", "0.55", "4.4"], 100_000, 200_000),
    model("o3-pro", OPENAI, ["20", "20", "80"], 100_000, 200_000),
    model("o4-mini", OPENAI, ["1.1", "0.275", "4.4"], 100_000, 200_000).tiers(&[("flex", own(["0.55", "0.138", "2.2"])), ("priority", own(["2", "0.5", "8"]))]),
    model("text-embedding-3-small", OPENAI, ["0.02", "0.02", "0"], 0, 8_192),
    model("text-embedding-3-large", OPENAI, ["0.13", "0.13", "0"], 0, 8_192),
    model("text-embedding-ada-002", OPENAI, ["0.1", "0.1", "0"], 0, 8_192),
    model("gpt-3.5-turbo-instruct", OPENAI, ["1.5", "1.5", "2"], 4_096, 4_096),
    claude("claude-opus-5-5", ["4", "0.2", "20"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100)), ("speed=fast", times(2000))]),
    claude("claude-opus-5", ["5", "0.5", "25"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100)), ("speed=fast", times(2000))]),
    claude("claude-opus-4-8", ["5", "0.5", "25"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100)), ("speed=fast", times(2000))]),
    claude("claude-opus-4-7", ["5", "0.5", "25"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-opus-4-6", ["5", "0.5", "25"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-opus-4-5", ["5", "0.5", "25"], 64_000, 200_000),
    claude("claude-fable-5-1", ["10", "0.25", "50"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-fable-5", ["10", "1", "50"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-mythos-5-1", ["10", "0.25", "50"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-mythos-5", ["10", "1", "50"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-sonnet-5-5", ["2", "0.1", "10"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-sonnet-5", ["2", "0.2", "10"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-sonnet-4-6", ["3", "0.3", "15"], 128_000, 1_000_000).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-sonnet-4-5", ["3", "0.3", "15"], 64_000, 1_000_000).long(200_000, ["6", "0.6", "22.5"]),
    claude("claude-haiku-5-5", ["0.1", "0.01", "0.5"], 128_000, 1_000_000).long(100_000, ["0.5", "0.05", "2.5"]).tiers(&[("inference_geo=us", times(1100))]),
    claude("claude-haiku-4-5", ["1", "0.1", "5"], 64_000, 200_000),
    claude("claude-opus-4-1", ["15", "1.5", "75"], 32_000, 200_000),
    claude("claude-opus-4", ["15", "1.5", "75"], 32_000, 200_000),
    claude("claude-sonnet-4", ["3", "0.3", "15"], 64_000, 1_000_000).long(200_000, ["6", "0.6", "22.5"]),
    claude("claude-3-7-sonnet", ["3", "0.3", "15"], 64_000, 200_000),
    claude("claude-3-5-sonnet", ["3", "0.3", "15"], 8_192, 200_000),
    claude("claude-3-5-haiku", ["0.8", "0.08", "4"], 8_192, 200_000),
    claude("claude-3-opus", ["15", "1.5", "75"], 4_096, 200_000),
    claude("claude-3-haiku", ["0.25", "0.03", "1.25"], 4_096, 200_000),
    model("gemini-4-argon", GOOGLE, ["2", "0.1", "10"], 65_536, 1_114_112).tiers(&[("flex", times(500)), ("priority", times(1800))]),
    model("gemini-4-hydrogen", GOOGLE, ["1.5", "0.075", "7.5"], 65_536, 1_114_112).tiers(&[("flex", times(500)), ("priority", times(1800))]),
    model("gemini-3.8-flash", GOOGLE, ["0.75", "0.075", "3.75"], 65_536, 1_114_112).tiers(&[("flex", times(500)), ("priority", times(1800))]),
    model("gemini-3.7-flash", GOOGLE, ["0.75", "0.075", "3.75"], 65_536, 1_114_112).tiers(&[("flex", times(500)), ("priority", times(1800))]),
    model("gemini-3.6-flash", GOOGLE, ["0.75", "0.075", "3.75"], 65_536, 1_114_112).tiers(&[("flex", times(500)), ("priority", times(1800))]),
    model("gemini-3.5-flash", GOOGLE, ["1.5", "0.15", "9"], 65_536, 1_114_112).tiers(&[("flex", own(["0.75", "0.08", "4.5"])), ("priority", times(1800))]),
    model("gemini-3.5-flash-lite", GOOGLE, ["0.3", "0.03", "2.5"], 65_536, 1_114_112).tiers(&[("flex", own(["0.15", "0.02", "1.25"])), ("priority", own(["0.54", "0.05", "4.5"]))]),
    model("gemini-3.1-pro-preview", GOOGLE, ["2", "0.2", "12"], 65_536, 1_114_112).long(200_000, ["4", "0.4", "18"]).tiers(&[("flex", own(["1", "0.2", "6"])), ("priority", times(1800))]),
    model("gemini-3.1-flash-lite", GOOGLE, ["0.25", "0.025", "1.5"], 65_536, 1_114_112).tiers(&[("flex", times(500)), ("priority", times(1800))]),
    model("gemini-3-flash-preview", GOOGLE, ["0.5", "0.05", "3"], 65_536, 1_114_112).tiers(&[("flex", own(["0.25", "0.05", "1.5"])), ("priority", times(1800))]),
    model("gemini-2.5-pro", GOOGLE, ["1.25", "0.125", "10"], 65_536, 1_114_112).long(200_000, ["2.5", "0.25", "15"]).tiers(&[("flex", own(["0.625", "0.125", "5"])), ("priority", times(1800))]),
    model("gemini-2.5-flash", GOOGLE, ["0.3", "0.03", "2.5"], 65_536, 1_114_112).tiers(&[("flex", own(["0.15", "0.03", "1.25"])), ("priority", times(1800))]),
    model("gemini-2.5-flash-lite", GOOGLE, ["0.1", "0.01", "0.4"], 65_536, 1_114_112).tiers(&[("flex", own(["0.05", "0.01", "0.2"])), ("priority", times(1800))]),
    model("gemini-embedding-001", GOOGLE, ["0.15", "0.15", "0"], 0, 2_048),
    model("gemini-2.0-flash", GOOGLE, ["0.1", "0.025", "0.4"], 8_192, 1_056_768),
    model("mistral-large-4-0", MISTRAL, ["0.7", "0.07", "2.1"], 131_072, 1_048_576),
    model("mistral-large-2512", MISTRAL, ["0.5", "0.05", "1.5"], 131_072, 262_144),
    model("mistral-medium-2604", MISTRAL, ["1.5", "0.15", "7.5"], 131_072, 262_144),
    model("mistral-small-2603", MISTRAL, ["0.15", "0.015", "0.6"], 131_072, 262_144),
    model("magistral-medium", MISTRAL, ["1.5", "0.15", "7.5"], 131_072, 262_144),
    model("magistral-small", MISTRAL, ["0.15", "0.015", "0.6"], 131_072, 262_144),
    model("devstral-medium", MISTRAL, ["0.4", "0.04", "2"], 131_072, 256_000),
    model("devstral-small", MISTRAL, ["0.1", "0.01", "0.3"], 131_072, 256_000),
    model("codestral-2508", MISTRAL, ["0.3", "0.03", "0.9"], 128_000, 128_000),
    model("ministral-14b-2512", MISTRAL, ["0.2", "0.02", "0.2"], 131_072, 262_144),
    model("ministral-8b-2512", MISTRAL, ["0.15", "0.015", "0.15"], 131_072, 262_144),
    model("ministral-3b-2512", MISTRAL, ["0.1", "0.01", "0.1"], 131_072, 131_072),
    model("open-mistral-nemo", MISTRAL, ["0.3", "0.03", "0.3"], 128_000, 128_000),
    model("pixtral-large", MISTRAL, ["2", "0.2", "6"], 128_000, 128_000),
    model("mistral-embed-2312", MISTRAL, ["0.1", "0.1", "0"], 0, 8_192),
    model("codestral-embed-2505", MISTRAL, ["0.15", "0.15", "0"], 0, 8_192),
    model("mistral-large-2411", MISTRAL, ["2", "2", "6"], 131_072, 131_072),
    model("mistral-medium-2508", MISTRAL, ["0.4", "0.4", "2"], 131_072, 131_072),
    model("mistral-small-2506", MISTRAL, ["0.1", "0.1", "0.3"], 131_072, 131_072),
    model("deepseek-v4-pro", DEEPSEEK, ["1.32", "0.044", "3.96"], 393_216, 1_000_000),
    model("deepseek-v4-flash", DEEPSEEK, ["0.3", "0.006", "1.2"], 393_216, 1_000_000),
    model("deepseek-chat", DEEPSEEK, ["0.28", "0.028", "0.42"], 8_192, 131_072),
    model("deepseek-reasoner", DEEPSEEK, ["0.28", "0.028", "0.42"], 65_536, 131_072),
    model("grok-4.7", XAI, ["2", "0.5", "6"], 131_072, 500_000).long(200_000, ["4", "1", "12"]),
    model("grok-4.6", XAI, ["2", "0.5", "6"], 131_072, 500_000).long(200_000, ["4", "1", "12"]),
    model("grok-4.5", XAI, ["2", "0.3", "6"], 131_072, 500_000).long(200_000, ["4", "0.6", "12"]),
    model("grok-4.3", XAI, ["1.25", "0.2", "2.5"], 131_072, 1_000_000).long(200_000, ["2.5", "0.4", "5"]),
    model("grok-4.20", XAI, ["1.25", "0.2", "2.5"], 131_072, 1_000_000).long(200_000, ["2.5", "0.4", "5"]),
    model("grok-build-0.1", XAI, ["1", "0.2", "2"], 131_072, 256_000).long(200_000, ["2", "0.4", "4"]),
    model("grok-code-fast-1", XAI, ["1", "0.2", "2"], 131_072, 256_000).long(200_000, ["2", "0.4", "4"]),
    model("grok-3", XAI, ["3", "0.75", "15"], 131_072, 131_072),
    model("grok-3-mini", XAI, ["0.3", "0.075", "0.5"], 131_072, 131_072),
    model("command-a-03-2025", COHERE, ["2.5", "2.5", "10"], 8_000, 256_000),
    model("command-r-plus-08-2024", COHERE, ["2.5", "2.5", "10"], 4_096, 128_000),
    model("command-r-08-2024", COHERE, ["0.15", "0.15", "0.6"], 4_096, 128_000),
    model("command-r7b-12-2024", COHERE, ["0.0375", "0.0375", "0.15"], 4_096, 128_000),
];
