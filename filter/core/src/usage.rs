//! What an answer says of its usage, read as it passes, whatever the size of its chunks and in
//! bounded memory. Nothing that a provider sends can stop the reader: what it cannot read tells
//! nothing.

mod document;
mod events;
mod name;
mod report;
mod sieve;

use crate::body::Terms;
use crate::endpoint::{Operation, Shape};
use crate::price::Served;
use crate::tokens::Tokens;

use document::Document;
use events::{Events, Piece};
use report::Report;
use sieve::{Cut, Sieve};

/// Reads the usage of one answer.
#[derive(Debug)]
pub struct Reader {
    /// Whether the answer is a stream of events, not one document.
    streamed: bool,
    events: Events,
    document: Document,
    report: Report,
    sieve: Option<Sieve>,
    complete: bool,
    output_bytes: u64,
    deltas: u64,
}

/// What the client gets in a chunk's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// The chunk itself.
    Unchanged,
    /// These bytes; perhaps none.
    Replaced(Vec<u8>),
}

/// What was read of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What the provider says that it used.
    pub usage: Option<Tokens>,
    /// The tier that served it, as far as the answer says.
    pub served: Served,
    /// The answer came to its own end: the JSON document closed, or the stream told its end by
    /// `[DONE]`, a usage chunk without choices, or an event of a type that comes last.
    pub complete: bool,
    /// Bytes of generated text, as JSON writes them.
    pub output_bytes: u64,
    /// Events of a stream that had such text.
    pub deltas: u64,
}

impl Reader {
    /// A reader of an answer with this content type. `hide_usage` takes the usage chunk out of a
    /// stream whose client did not ask for it.
    #[must_use]
    pub fn new(operation: Operation, content_type: Option<&str>, hide_usage: bool) -> Self {
        let streamed = content_type.is_some_and(is_event_stream);
        Self {
            streamed,
            events: Events::default(),
            document: Document::default(),
            report: Report::new(operation.shape() == Shape::Anthropic),
            sieve: (streamed && hide_usage).then(Sieve::default),
            complete: false,
            output_bytes: 0,
            deltas: 0,
        }
    }

    /// Reads a chunk of the answer's body, `last` or not. Only where usage is hidden, and only the
    /// bytes of an event that may be the usage chunk, are kept back until that is known: at most
    /// 64 KiB of them.
    pub fn chunk(&mut self, bytes: &[u8], last: bool) -> Passage {
        if !self.streamed {
            self.read(bytes);
            return Passage::Unchanged;
        }
        let mut cut = self.sieve.take().map(|sieve| Cut::new(sieve, bytes));
        let mut rest = bytes;
        while let Some((piece, after)) = self.events.next(rest) {
            let at = bytes.len().saturating_sub(after.len());
            rest = after;
            match piece {
                Piece::Data(data) => self.read(data),
                Piece::DataEnd => self.read(b"\n"),
                Piece::Field => {}
                Piece::Outside => cut.iter_mut().for_each(|cut| cut.outside(at)),
                Piece::End => {
                    let hidden = self.document.is_usage_chunk();
                    cut.iter_mut().for_each(|cut| cut.end(at, hidden));
                    self.end_event();
                }
                Piece::EndRest => cut.iter_mut().for_each(|cut| cut.end_rest(at)),
            }
        }
        let Some(mut cut) = cut else {
            return Passage::Unchanged;
        };
        if self.document.has_choices() {
            cut.release();
        }
        if last {
            cut.end(bytes.len(), self.document.is_usage_chunk());
        }
        let (sieve, passage) = cut.finish();
        self.sieve = Some(sieve);
        passage
    }

    /// What was read so far.
    #[must_use]
    pub fn finish(&self) -> Reading {
        let open = self.streamed && self.document.has_text();
        Reading {
            usage: self.report.tokens(),
            served: Served::default(),
            complete: self.complete,
            output_bytes: self.output_bytes.saturating_add(self.document.text_bytes()),
            deltas: self.deltas.saturating_add(u64::from(open)),
        }
    }

    fn read(&mut self, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let read = self.document.read(rest);
            rest = rest.get(read..).unwrap_or_default();
            if let Some(usage) = self.document.take_usage() {
                self.report.add(usage);
            }
        }
        self.complete |= if self.streamed { self.document.ends_stream() } else { self.document.is_closed() };
    }

    fn end_event(&mut self) {
        self.output_bytes = self.output_bytes.saturating_add(self.document.text_bytes());
        self.deltas = self.deltas.saturating_add(u64::from(self.document.has_text()));
        self.document.reset();
    }
}

/// What to count when the provider told nothing, or an answer that is not `complete` told only a
/// part. Input: what was told, or about four bytes per token, with inline images and sound at what
/// is usual for them. Output: a token for each event with text, or for every four bytes of it, or
/// what was told, whichever is most. Reasoning that the provider does not show is not seen, and so
/// not counted; nor is what it generated after the answer was cut.
#[must_use]
pub fn estimate(reading: &Reading, terms: &Terms) -> Tokens {
    let counted = reading.deltas.max(reading.output_bytes.div_ceil(4));
    let told = reading.usage.unwrap_or(Tokens { input: terms.input_estimate, ..Tokens::default() });
    Tokens { output: told.output.max(counted), ..told }
}

/// Whether an answer of this content type is a stream of events.
#[must_use]
pub fn is_event_stream(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/event-stream")
}

#[cfg(test)]
#[path = "usage/tests.rs"]
mod tests;
