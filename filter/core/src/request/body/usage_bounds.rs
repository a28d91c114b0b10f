//! What a request may cost, as far as its body tells.

use memchr::memmem;

use super::input_scan::InputScan;
use crate::answer::denial::Denial;
use crate::price::TierChoice;
use crate::price::density::{self, BytesPerToken, Text};
use crate::request::endpoint::ModelOperation;

/// What a request may cost, as far as its body tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageBounds {
    /// The client asks for a stream.
    pub stream: bool,
    /// The client asks for the usage of a stream.
    pub wants_usage: bool,
    /// The most output tokens per choice that the client asks for; none: as many as there may be. Where
    /// it names two limits, the larger, because providers differ in which one they follow. 0 is
    /// Anthropic's way to fill the prompt cache.
    pub max_output: Option<u64>,
    /// How many answers the provider writes, each up to the limit: at least 1.
    pub choices: u64,
    /// No provider reads more input tokens than these, unless it is `unbounded`. A token has at
    /// least one byte of text; an image costs what the dearest provider charges for it.
    pub input_bound: u64,
    /// The text within that bound: its bytes, each counted as a token there.
    pub text: Text,
    /// About how many input tokens a provider reads: see [`crate::answer::usage::estimate`].
    pub input_estimate: u64,
    /// The first member that makes `input_bound` void: it lets the provider read what is not in
    /// the body (or is compressed there, as in PDF), or work after it has answered. The model's
    /// context window still bounds it.
    pub unbounded: Option<&'static str>,
    /// Which tiers may serve it.
    pub tier: TierChoice,
    /// What stands in the way of limits.
    pub obstacles: LimitObstacles,
}

/// What stands in the way of limits, as far as the body tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitObstacles {
    /// Why the output of an answer cannot be limited.
    pub output: Option<Box<Denial>>,
    /// Why the tokens and the cost of the request cannot be bounded.
    pub cost: Option<Box<Denial>>,
    /// The shortest answer that the provider accepts to be limited to, where it thinks within a budget.
    pub least_output: Option<u64>,
}

/// What providers add around a prompt: templates, system prompts, marks.
pub const OVERHEAD: u64 = 256;

/// What providers add where there are tools: Anthropic's prompt for them has up to 804 tokens.
const TOOLS: u64 = 1_024;

/// What a tool that the provider defines adds; Anthropic's computer use has 735 tokens.
const DEFINED_TOOL: u64 = 1_024;

/// How often a request may be read whose tools the provider searches: after each search once more.
const SEARCH_READS: u64 = 4;

/// The dearest image: `gpt-4o-mini` charges 2,833 tokens, and 5,667 for each of at most 8 tiles
/// (an image is scaled to 2,048 by 768 pixels, in tiles of 512). Others charge a third at most.
const IMAGE: u64 = 50_000;

/// A usual image, of about 1,000 by 1,000 pixels.
const USUAL_IMAGE: u64 = 1_000;

/// Of shorter texts what providers add is too large a part.
const COMPARABLE: u64 = 1_000;

/// Bytes of text in a usual token.
const BYTES_PER_TOKEN: u64 = 4;

/// Bytes of compressed sound or of an image in a usual token.
const MEDIA_BYTES_PER_TOKEN: u64 = 1_000;

impl UsageBounds {
    /// Of a form, whose files are not looked into.
    pub(super) fn of_form(body: &[u8]) -> Self {
        let bytes = count(body.len());
        Self {
            stream: false,
            wants_usage: false,
            max_output: None,
            choices: 1,
            input_bound: bytes.saturating_add(OVERHEAD),
            text: Text::default(),
            input_estimate: bytes.div_ceil(MEDIA_BYTES_PER_TOKEN),
            unbounded: Some("multipart"),
            tier: TierChoice::default(),
            obstacles: LimitObstacles::default(),
        }
    }

    /// Of a JSON object with this reach; what the client asks for is still to be filled in.
    pub(super) fn of_input(body: &[u8], scan: InputScan) -> Self {
        let text = count(body.len()).saturating_sub(count(scan.image_bytes));
        let tools = if scan.tools { TOOLS } else { 0 };
        let bound = [
            text,
            OVERHEAD,
            tools,
            scan.defined_tools.saturating_mul(DEFINED_TOOL),
            scan.images.saturating_mul(IMAGE),
        ];
        let audio = count(scan.audio_bytes);
        let other = count(body.iter().filter(|byte| !byte.is_ascii()).count());
        let read = text.saturating_sub(audio).div_ceil(BYTES_PER_TOKEN);
        let heard = audio.div_ceil(MEDIA_BYTES_PER_TOKEN);
        let seen = scan.images.saturating_mul(USUAL_IMAGE);
        let reads = if scan.searches_tools { SEARCH_READS } else { 1 };
        Self {
            stream: false,
            wants_usage: false,
            max_output: None,
            choices: 1,
            input_bound: bound.into_iter().fold(0, u64::saturating_add).saturating_mul(reads),
            text: Text { ascii: text.saturating_sub(audio).saturating_sub(other), other },
            input_estimate: read.saturating_add(heard).saturating_add(seen),
            unbounded: scan.outside,
            tier: TierChoice::default(),
            obstacles: LimitObstacles { cost: scan.unbounded, ..LimitObstacles::default() },
        }
    }

    /// About how many input tokens a provider reads at most, for windows of tokens: text by its usual
    /// density, all else by its bound.
    #[must_use]
    pub fn input_in_window(&self, rate: BytesPerToken) -> u64 {
        let Text { ascii, other } = self.text;
        let rest = self.input_bound.saturating_sub(ascii.saturating_add(other));
        let rest = rest.saturating_sub(OVERHEAD).saturating_add(density::OVERHEAD);
        rate.tokens(self.text).saturating_add(rest).min(self.input_bound)
    }

    /// The text, where it is nearly all that the provider reads, and enough of it that its size can be
    /// compared with the tokens reported.
    #[must_use]
    pub fn comparable_text(&self) -> Option<Text> {
        let Text { ascii, other } = self.text;
        let bytes = ascii.saturating_add(other);
        let rest = self.input_bound.saturating_sub(bytes).saturating_sub(OVERHEAD.saturating_add(TOOLS));
        (rest == 0 && self.unbounded.is_none() && bytes >= COMPARABLE).then_some(self.text)
    }

    /// Whether the gate must ask for the usage of a stream, and hide it from the client.
    #[must_use]
    pub fn must_ask_for_usage(&self, operation: ModelOperation) -> bool {
        let asks = matches!(operation, ModelOperation::ChatCompletions | ModelOperation::Completions);
        asks && self.stream && !self.wants_usage
    }
}

/// Whether a string of a JSON body may be a number of hours, as `ttl` and `prompt_cache_retention` say
/// them: no vendor keeps what it caches for so long without being asked to. A quote within a string is
/// escaped, so that no text looks like one.
pub(super) fn names_hours(body: &[u8]) -> bool {
    let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'\\' | b'u');
    [r#"h""#, r#"\u0068""#].iter().any(|end| {
        memmem::find_iter(body, end.as_bytes()).any(|at| {
            let before = body.get(..at).unwrap_or_default();
            let rest = before.iter().rev().find(|byte| !is_number(byte));
            rest == Some(&b'"')
        })
    })
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
