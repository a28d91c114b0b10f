//! Reads the usage of an answer, streamed or not, as it passes: whatever the size of its chunks, and in
//! bounded memory. Nothing that a provider sends can stop the reader; what it cannot read is reported as a
//! [`UsageDoubt`].

mod chunk_filter;
mod counts;
mod document;
mod event_scanner;
pub(crate) mod format;
mod names;
mod report;

use crate::price::{ServedTier, TokenUsage};
use crate::request::body::UsageBounds;
use crate::request::endpoint::{ClientApi, ModelOperation};
use crate::request::header::essence;

use chunk_filter::{ChunkFilter, FilteredChunk};
use counts::UsageCounts;
use document::{DocumentScanner, UsagePlace};
use event_scanner::{EventScanner, StreamPiece};
use format::{AnswerFormat, FormatDetector, FormatHint};
use names::{ShortText, UNKNOWN};
use report::UsageReport;

/// The longest token of text in bytes, as JSON writes it.
const LONGEST_TOKEN: u64 = 1024;

/// Reads the usage of one answer.
#[derive(Debug)]
pub struct UsageReader {
    operation: ModelOperation,
    /// What the request wrote to the cache may be kept for an hour or longer.
    long_cache: bool,
    /// By its content type.
    labelled_as_events: bool,
    format: Option<AnswerFormat>,
    detector: FormatDetector,
    events: EventScanner,
    document: DocumentScanner,
    report: UsageReport,
    chunk_filter: Option<ChunkFilter>,
    hides_usage: bool,
    progress: AnswerProgress,
}

/// What was read in the documents or events that have ended.
#[derive(Clone, Copy, Debug, Default)]
struct AnswerProgress {
    /// The answer came to its end.
    complete: bool,
    /// Output was generated after the last usage.
    stale: bool,
    /// The current document has reported output tokens.
    has_output_tokens: bool,
    /// There may be usage that was not seen.
    obscure: bool,
    output: bool,
    output_bytes: u64,
    deltas: u64,
    /// Another document came before the current one.
    several: bool,
    tier: Option<ShortText>,
}

/// What to do with a chunk of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkAction {
    Pass,
    Replace(Vec<u8>),
}

/// What an answer says about its usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageReading {
    /// As far as the provider reports it.
    pub reported: TokenUsage,
    /// As far as the answer says.
    pub served: ServedTier,
    /// Why `reported` is not, or may not be, all that was used; none where it is.
    pub doubt: Option<UsageDoubt>,
    /// Tokens of the total that no part explains, where nothing else is in doubt.
    pub unexplained: u64,
    /// The reported input is final, whatever comes after it.
    pub input_reported: bool,
    /// The usage is of one choice.
    pub by_choice: bool,
    /// As JSON writes it.
    pub output_bytes: u64,
    /// Events with generated text.
    pub deltas: u64,
}

/// Why the reported usage is not, or may not be, all that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageDoubt {
    /// The answer was cut before its usage came: by the client, the provider, or the network.
    Cut,
    /// The answer is encoded.
    Unreadable,
    /// The answer ended without usage.
    Missing,
    /// The usage lacks the input or the output, has zeros beside text, or came before the end.
    Partial,
    /// The usage contradicts itself, or has unknown parts.
    Unclear,
}

/// What of the request the reader must know.
#[derive(Clone, Copy, Debug)]
pub struct AnswerContext {
    pub operation: ModelOperation,
    /// The usage chunk is taken out of the stream: the client did not ask for it.
    pub hides_usage: bool,
    /// The request may write to a cache that is kept for an hour or longer.
    pub long_cache: bool,
}

/// The headers of an answer that say how to read it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerHead<'a> {
    pub content_type: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
}

impl AnswerHead<'_> {
    /// Whether the body is compressed, or encoded in another way.
    pub(crate) fn is_encoded(&self) -> bool {
        self.content_encoding.is_some_and(|encoding| {
            encoding.split(',').any(|word| !matches!(word.trim(), "" | "identity" | "Identity" | "IDENTITY"))
        })
    }
}

impl UsageReader {
    #[must_use]
    pub fn new(asked: AnswerContext, head: AnswerHead<'_>) -> Self {
        let AnswerContext { operation, hides_usage, long_cache } = asked;
        Self {
            operation,
            long_cache,
            labelled_as_events: head.content_type.is_some_and(is_event_stream),
            format: head.is_encoded().then_some(AnswerFormat::Unreadable),
            detector: FormatDetector::default(),
            events: EventScanner::default(),
            document: DocumentScanner::default(),
            report: UsageReport::new(operation.client_api() == ClientApi::Anthropic),
            chunk_filter: None,
            hides_usage: hides_usage && asks_for_usage(operation),
            progress: AnswerProgress::default(),
        }
    }

    /// Reads a chunk of the answer's body, `last` or not. Bytes are kept back only where usage is hidden, and
    /// only those of an event that may be the usage chunk: at most 64 KiB, until that is known.
    pub fn chunk(&mut self, bytes: &[u8], last: bool) -> ChunkAction {
        match self.format {
            Some(format) => self.read_as(format, bytes, 0, last),
            None => self.detect_format(bytes, last),
        }
    }

    /// What was read so far.
    #[must_use]
    pub fn finish(&self) -> UsageReading {
        let progress = self.progress_so_far();
        let (counts, place) = self.report.counts().unwrap_or((UsageCounts::default(), UsagePlace::Usual));
        UsageReading {
            reported: counts.tokens(self.long_cache),
            served: self.served(),
            doubt: self.doubt(&counts, &progress),
            unexplained: if counts.unclear || progress.obscure { 0 } else { counts.unexplained },
            input_reported: self.operation == ModelOperation::Messages
                && place == UsagePlace::Usual
                && !(counts.unclear || progress.obscure)
                && counts.input.is_some_and(|input| input.total() > 0),
            by_choice: place == UsagePlace::Unusual,
            output_bytes: progress.output_bytes,
            deltas: progress.deltas,
        }
    }

    fn doubt(&self, counts: &UsageCounts, progress: &AnswerProgress) -> Option<UsageDoubt> {
        let is_positive = |count: Option<u64>| count.unwrap_or(0) > 0;
        let input = counts.input.map(|input| input.total());
        let output_missing = self.operation.has_output() && counts.output.is_none();
        // Elsewhere an answer may hold text that tools have read or drawn.
        let written = if asks_for_usage(self.operation) { progress.output_bytes } else { 0 };
        let proven = counts.output.unwrap_or(0).saturating_mul(LONGEST_TOKEN) >= written
            && (!progress.output || is_positive(counts.output));
        match self.format {
            Some(AnswerFormat::Unreadable) => Some(UsageDoubt::Unreadable),
            _ if progress.obscure => Some(UsageDoubt::Unclear),
            _ if !progress.complete => Some(UsageDoubt::Cut),
            _ if counts.input.is_none() && counts.output.is_none() => Some(UsageDoubt::Missing),
            _ if !is_positive(input) || output_missing || !proven || progress.stale => {
                Some(UsageDoubt::Partial)
            }
            _ if counts.unclear || counts.unexplained > 0 => Some(UsageDoubt::Unclear),
            // Embeddings have no price for output.
            _ if self.operation == ModelOperation::Embeddings && is_positive(counts.output) => {
                Some(UsageDoubt::Unclear)
            }
            _ => None,
        }
    }

    /// The tier; unknown where the answer and its usage contradict each other.
    fn served(&self) -> ServedTier {
        let tier = self.document.tier().or(self.progress.tier).map(|word| word.text());
        let mut served = self.report.served().clone();
        served.service_tier = match (tier, served.service_tier) {
            (Some(one), Some(other)) if one != other => Some(UNKNOWN.to_owned()),
            (one, other) => one.or(other),
        };
        served
    }

    /// Reads a chunk while the format is not known.
    fn detect_format(&mut self, bytes: &[u8], last: bool) -> ChunkAction {
        let kept = self.detector.word().to_vec();
        let mut blank = 0_usize;
        let mut decided = None;
        for byte in bytes {
            match self.detector.push(*byte) {
                FormatHint::Blank => blank = blank.saturating_add(1),
                FormatHint::Undecided => {}
                FormatHint::Decided(format) => {
                    decided = Some(format);
                    break;
                }
            }
        }
        let undecided = decided.is_none() && !last;
        if undecided {
            // The beginning of a possible usage chunk waits.
            let passed = bytes.get(..blank).unwrap_or_default();
            return match self.hides_usage && passed.len() < bytes.len() {
                true => ChunkAction::Replace(passed.to_vec()),
                false => ChunkAction::Pass,
            };
        }
        let by_label = if self.labelled_as_events { AnswerFormat::Events } else { AnswerFormat::Document };
        let format = decided.flatten().unwrap_or(by_label);
        self.format = Some(format);
        self.chunk_filter = (format == AnswerFormat::Events && self.hides_usage).then(ChunkFilter::default);
        if kept.is_empty() {
            return self.read_as(format, bytes, blank, last);
        }
        let whole = [kept.as_slice(), bytes].concat();
        match self.read_as(format, &whole, 0, last) {
            _ if !self.hides_usage => ChunkAction::Pass,
            ChunkAction::Pass => ChunkAction::Replace(whole),
            replaced => replaced,
        }
    }

    /// Reads a chunk after its first `skip` bytes, which pass.
    fn read_as(&mut self, format: AnswerFormat, bytes: &[u8], skip: usize, last: bool) -> ChunkAction {
        let rest = bytes.get(skip..).unwrap_or_default();
        match format {
            AnswerFormat::Unreadable => ChunkAction::Pass,
            AnswerFormat::Document => {
                self.read_documents(rest);
                ChunkAction::Pass
            }
            AnswerFormat::Events => self.read_events(bytes, rest, last),
        }
    }

    /// Reads JSON documents. Where there are several, each counts as an event.
    fn read_documents(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.document.is_closed() {
                let next = rest.iter().position(|byte| !byte.is_ascii_whitespace());
                let Some(next) = next else { return };
                if rest.get(next) == Some(&b'{') {
                    self.end_document();
                }
                rest = rest.get(next..).unwrap_or_default();
            }
            let read = self.read(rest);
            rest = rest.get(read..).unwrap_or_default();
        }
    }

    fn read_events(&mut self, bytes: &[u8], skipped: &[u8], last: bool) -> ChunkAction {
        let mut filtered = self.chunk_filter.take().map(|filter| FilteredChunk::new(filter, bytes));
        if skipped.len() < bytes.len() {
            filtered
                .iter_mut()
                .for_each(|filtered| filtered.outside(bytes.len().saturating_sub(skipped.len())));
        }
        let mut rest = skipped;
        while let Some((piece, after)) = self.events.next(rest) {
            let at = bytes.len().saturating_sub(after.len());
            rest = after;
            match piece {
                StreamPiece::Data(data) => self.read_data(data),
                StreamPiece::DataEnd => self.read_data(b"\n"),
                StreamPiece::Field => {}
                StreamPiece::Outside => filtered.iter_mut().for_each(|filtered| filtered.outside(at)),
                StreamPiece::End => {
                    let hidden = self.document.is_usage_chunk();
                    filtered.iter_mut().for_each(|filtered| filtered.end(at, hidden));
                    self.end_document();
                }
                StreamPiece::EndRest => filtered.iter_mut().for_each(|filtered| filtered.end_rest(at)),
            }
        }
        let Some(mut filtered) = filtered else {
            return ChunkAction::Pass;
        };
        if !self.document.may_be_usage_chunk() {
            filtered.release();
        }
        if last {
            filtered.end(bytes.len(), self.document.is_usage_chunk());
        }
        let (filter, action) = filtered.finish();
        self.chunk_filter = Some(filter);
        action
    }

    fn read_data(&mut self, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let read = self.read(rest);
            rest = rest.get(read..).unwrap_or_default();
        }
    }

    /// Reads at least one byte of a document; tells how many.
    fn read(&mut self, bytes: &[u8]) -> usize {
        let read = self.document.read(bytes);
        let place = self.document.place();
        if let Some(usage) = self.document.take_usage() {
            self.progress.has_output_tokens |= self.report.add(place, usage);
        }
        read.max(1)
    }

    /// The current document has ended, and another may follow.
    fn end_document(&mut self) {
        let broken = self.document.is_open();
        let progress = self.progress_so_far();
        self.progress =
            AnswerProgress { has_output_tokens: false, obscure: progress.obscure || broken, ..progress };
        self.document.reset();
    }

    /// Including the current document as far as it has come.
    fn progress_so_far(&self) -> AnswerProgress {
        let (progress, document) = (self.progress, &self.document);
        let streamed = self.format == Some(AnswerFormat::Events);
        let output = document.has_output();
        let asked_for = asks_for_usage(self.operation);
        let ends = document.ends_stream()
            || asked_for && document.is_usage_chunk() && !output
            || !streamed && !progress.several && document.is_closed();
        AnswerProgress {
            // Output after the end, or an unfinished document, means that it was not the end.
            complete: ends || progress.complete && !output && !document.is_open(),
            stale: !progress.has_output_tokens && (progress.stale || output),
            has_output_tokens: progress.has_output_tokens,
            several: true,
            obscure: progress.obscure || document.is_obscure(),
            output: progress.output || output,
            output_bytes: progress.output_bytes.saturating_add(document.text_bytes()),
            deltas: progress.deltas.saturating_add(u64::from(streamed && document.has_text())),
            tier: document.tier().or(progress.tier),
        }
    }
}

/// Whether a stream of the operation can end with a usage chunk.
fn asks_for_usage(operation: ModelOperation) -> bool {
    matches!(operation, ModelOperation::ChatCompletions | ModelOperation::Completions)
}

/// A lower bound of what was used, where usage is not reported, or only in part. Input: as reported, or about
/// four bytes per token, and a usual number for inline images and sound. Output: one token per event with
/// text, one for every four bytes of it, or as reported, whichever is most. It leaves out reasoning that the
/// provider does not show, and what was generated after a cut.
#[must_use]
pub fn estimate(reading: &UsageReading, bounds: &UsageBounds) -> TokenUsage {
    let counted = reading.deltas.max(reading.output_bytes.div_ceil(4));
    let reported = match reading.reported.input {
        0 => TokenUsage { input: bounds.input_estimate, ..reading.reported },
        _ => reading.reported,
    };
    TokenUsage { output: reported.output.max(counted), ..reported }
}

/// Whether an answer of this content type is a stream of events.
#[must_use]
pub fn is_event_stream(content_type: &str) -> bool {
    essence(content_type).eq_ignore_ascii_case("text/event-stream")
}

#[cfg(test)]
mod tests;
