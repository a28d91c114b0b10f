//! Takes the usage chunk out of an event stream. Every other byte passes.

use super::ChunkAction;

/// The most bytes of an event that are kept back; a longer event passes.
pub(super) const LIMIT: usize = 64 * 1024;

/// What is kept back between chunks.
#[derive(Debug, Default)]
pub(super) struct ChunkFilter {
    held: Vec<u8>,
    /// The current event passes.
    passing: bool,
    /// The previous event was hidden, and its last line feed may still come.
    hidden: bool,
}

/// A chunk that is being filtered. Bytes before `start` are decided.
pub(super) struct FilteredChunk<'a> {
    filter: ChunkFilter,
    chunk: &'a [u8],
    start: usize,
    /// What passes, once it differs from the chunk.
    out: Option<Vec<u8>>,
}

impl<'a> FilteredChunk<'a> {
    pub(super) fn new(filter: ChunkFilter, chunk: &'a [u8]) -> Self {
        let out = (!filter.held.is_empty()).then(Vec::new);
        Self { filter, chunk, start: 0, out }
    }

    /// The bytes before `at` belong to no event.
    pub(super) fn outside(&mut self, at: usize) {
        self.filter.hidden = false;
        self.pass(at);
    }

    /// An event ends at `at`.
    pub(super) fn end(&mut self, at: usize, hidden: bool) {
        self.filter.hidden = hidden && !self.filter.passing;
        self.filter.passing = false;
        if self.filter.hidden { self.drop(at) } else { self.pass(at) }
    }

    /// The line feed of the ended event comes before `at`.
    pub(super) fn end_rest(&mut self, at: usize) {
        if self.filter.hidden {
            self.drop(at)
        } else {
            self.pass(at)
        }
        self.filter.hidden = false;
    }

    /// The current event passes.
    pub(super) fn release(&mut self) {
        self.filter.passing = true;
        self.pass(self.chunk.len());
    }

    pub(super) fn finish(mut self) -> (ChunkFilter, ChunkAction) {
        let tail = self.chunk.len().saturating_sub(self.start);
        if self.filter.passing || self.filter.held.len().saturating_add(tail) > LIMIT {
            self.release();
        } else if tail > 0 {
            self.materialize();
            self.filter.held.extend_from_slice(self.chunk.get(self.start..).unwrap_or_default());
        }
        (self.filter, self.out.map_or(ChunkAction::Pass, ChunkAction::Replace))
    }

    fn pass(&mut self, at: usize) {
        if let Some(out) = &mut self.out {
            out.append(&mut self.filter.held);
            out.extend_from_slice(self.chunk.get(self.start..at).unwrap_or_default());
        }
        self.start = at;
    }

    fn drop(&mut self, at: usize) {
        if at > self.start {
            self.materialize();
        }
        self.filter.held.clear();
        self.start = at;
    }

    fn materialize(&mut self) {
        let passed = self.chunk.get(..self.start).unwrap_or_default();
        self.out.get_or_insert_with(|| passed.to_vec());
    }
}
