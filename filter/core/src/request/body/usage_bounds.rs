//! How much a request may use, as far as its body tells.

use memchr::memmem;

use super::input_scan::InputScan;
use crate::answer::denial::Denial;
use crate::price::TierChoice;
use crate::price::density::{self, BytesPerToken, Text};
use crate::request::endpoint::ModelOperation;

/// How much a request may use, as far as its body tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageBounds {
    pub stream: bool,
    /// The client asks for the usage chunk.
    pub wants_usage: bool,
    /// Output tokens per choice that the client asks for; none for no limit. The larger of two limits,
    /// because providers differ in which one they follow. 0 is Anthropic's way to fill the prompt cache.
    pub max_output: Option<u64>,
    /// Answers to write, each up to the limit. At least 1.
    pub choices: u64,
    /// An upper bound of the input tokens, unless it is `unbounded`. A token has at least one byte of text;
    /// an image costs what the dearest provider charges.
    pub input_bound: u64,
    /// The text within `input_bound`, in bytes, each counted as a token there.
    pub text: Text,
    /// An estimate of the input tokens: see [`crate::answer::usage::estimate`].
    pub input_estimate: u64,
    /// The first member that makes `input_bound` void: the provider may read what is not in the body (or is
    /// compressed there, as in PDF), or go on after it has answered. The model's context window still bounds
    /// it.
    pub unbounded: Option<&'static str>,
    pub tier: TierChoice,
    /// What prevents limits.
    pub obstacles: LimitObstacles,
}

/// What prevents limiting a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitObstacles {
    /// Why the output of an answer cannot be limited.
    pub output: Option<Box<Denial>>,
    /// Why the tokens and the cost cannot be bounded.
    pub cost: Option<Box<Denial>>,
    /// The shortest output limit that the provider accepts, with a thinking budget.
    pub least_output: Option<u64>,
}

/// Tokens that providers add around a prompt: templates, system prompts, marks.
pub const OVERHEAD: u64 = 256;

/// Tokens that providers add for tools: Anthropic's prompt for them has up to 804.
const TOOLS: u64 = 1_024;

/// Tokens of a tool that the provider defines; Anthropic's computer use has 735.
const DEFINED_TOOL: u64 = 1_024;

/// How often a request is read if the provider searches its tools: once more after each search.
const SEARCH_READS: u64 = 4;

/// The dearest image: `gpt-4o-mini` charges 2,833 tokens, and 5,667 for each of at most 8 tiles
/// (an image is scaled to 2,048 by 768 pixels, in tiles of 512). Others charge a third at most.
const IMAGE: u64 = 50_000;

/// A usual image, of about 1,000 by 1,000 pixels.
const USUAL_IMAGE: u64 = 1_000;

/// In shorter texts, what providers add is too large a part.
const COMPARABLE: u64 = 1_000;

/// Bytes of text in a usual token.
const BYTES_PER_TOKEN: u64 = 4;

/// Bytes of compressed sound or of an image in a usual token.
const MEDIA_BYTES_PER_TOKEN: u64 = 1_000;

impl UsageBounds {
    /// For a form. Its files are not looked into.
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

    /// For a JSON object. What the client asks for is still to be filled in.
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

    /// An estimate of the input tokens for windows: text by its usual density, all else by its bound.
    #[must_use]
    pub fn input_in_window(&self, rate: BytesPerToken) -> u64 {
        let Text { ascii, other } = self.text;
        let rest = self.input_bound.saturating_sub(ascii.saturating_add(other));
        let rest = rest.saturating_sub(OVERHEAD).saturating_add(density::OVERHEAD);
        rate.tokens(self.text).saturating_add(rest).min(self.input_bound)
    }

    /// The text, where it is nearly all that the provider reads, and long enough to compare its size with the
    /// reported tokens.
    #[must_use]
    pub fn comparable_text(&self) -> Option<Text> {
        let Text { ascii, other } = self.text;
        let bytes = ascii.saturating_add(other);
        let rest = self.input_bound.saturating_sub(bytes).saturating_sub(OVERHEAD.saturating_add(TOOLS));
        (rest == 0 && self.unbounded.is_none() && bytes >= COMPARABLE).then_some(self.text)
    }

    /// Whether the gate must ask for the usage chunk, and hide it from the client.
    #[must_use]
    pub fn must_ask_for_usage(&self, operation: ModelOperation) -> bool {
        let asks = matches!(operation, ModelOperation::ChatCompletions | ModelOperation::Completions);
        asks && self.stream && !self.wants_usage
    }
}

/// Whether a string in a JSON body may be a number of hours, as in `ttl` and `prompt_cache_retention`: no
/// vendor caches for that long without being asked. Quotes within strings are escaped, so no text looks like
/// one.
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
