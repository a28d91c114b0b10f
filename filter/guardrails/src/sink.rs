//! Where rules leave what they find.

use std::ops::Range;

use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::Dictionary;
use crate::normalize::View;
use crate::overlap::{Candidate, Rank};
use crate::rules::context::Contexts;
use crate::scanner::{End, Finding};
use crate::wanted::Wanted;

/// What a rule has found: a detector, and where.
pub(crate) type Found = (DetectorId, Range<usize>);

/// Collects what begins at or after `from`.
pub(crate) struct Sink<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) bytes: &'a [u8],
    pub(crate) wanted: &'a Wanted,
    /// What begins before was decided earlier.
    pub(crate) from: usize,
    pub(crate) candidates: Vec<Candidate<Finding>>,
    /// What is only noted, and stands beside what it overlaps.
    pub(crate) noted: Vec<Candidate<Finding>>,
    /// Where what was found can only be found again from their beginning: a sentence with the white space before it.
    pub(crate) extents: Vec<Range<usize>>,
    /// Before this, no match could begin whatever text came; if none came, it does not matter.
    pub(crate) undecided: usize,
    /// The words that were read before.
    pub(crate) contexts: Contexts,
    /// Whether more text may change what was read, and from which words on.
    pub(crate) is_unsettled: bool,
    pub(crate) settled_contexts: Contexts,
    pub(crate) dictionary: &'a Dictionary,
    /// Whether base64 is decoded: not within what was.
    pub(crate) decode: Decode,
    /// Whether it matters what was held back.
    pub(crate) end: End,
    /// Steps that custom categories took.
    pub(crate) steps: u64,
    /// Steps that exceptions took.
    pub(crate) excepting: u64,
    /// After so many steps of custom categories the search ends: for probes alone.
    pub(crate) most_steps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decode {
    Once,
    Never,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(
        dictionary: &'a Dictionary,
        view: &'a View<'a>,
        wanted: &'a Wanted,
        from: usize,
        decode: Decode,
        end: End,
    ) -> Self {
        Self {
            view,
            bytes: view.bytes(),
            wanted,
            from,
            candidates: Vec::new(),
            noted: Vec::new(),
            extents: Vec::new(),
            undecided: view.bytes().len(),
            contexts: Contexts::default(),
            is_unsettled: false,
            settled_contexts: Contexts::default(),
            dictionary,
            decode,
            end,
            steps: 0,
            excepting: 0,
            most_steps: u64::MAX,
        }
    }

    pub(crate) fn wants(&self, detector: DetectorId) -> bool {
        self.wanted.precedence(detector) > 0
    }

    /// Tries a rule at a place.
    #[inline]
    pub(crate) fn attempt(&mut self, at: usize, rule: impl FnOnce(&mut Cursor<'a>) -> Option<Found>) {
        let mut cursor = Cursor::new(self.bytes, at);
        let found = rule(&mut cursor);
        if let Some(undecided) = cursor.undecided() {
            self.hold(undecided);
        }
        if let Some((detector, span)) = found {
            self.add(detector, span);
        }
    }

    /// More text may change what is read from the place where the pass is.
    pub(crate) fn unsettled(&mut self) {
        if !self.is_unsettled && self.end == End::Open {
            self.is_unsettled = true;
            self.settled_contexts.clone_from(&self.contexts);
        }
    }

    /// A match could begin at `at` if more text came.
    pub(crate) fn hold(&mut self, at: usize) {
        self.unsettled();
        if at >= self.from {
            self.undecided = self.undecided.min(at);
        }
    }

    pub(crate) fn add(&mut self, detector: DetectorId, span: Range<usize>) {
        let precedence = self.wanted.precedence(detector);
        if precedence > 0 {
            let row = detector.detector();
            self.push(span, (precedence, row.risk, row.strength), Finding::Detector(detector));
        }
    }

    pub(crate) fn push(&mut self, span: Range<usize>, rank: Rank, item: Finding) {
        if span.start >= self.from && !span.is_empty() {
            self.candidates.push(Candidate { span, rank, item });
        }
    }
}
