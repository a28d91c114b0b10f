//! Where rules leave what they find.

use std::ops::Range;

use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::overlap::Candidate;
use crate::scanner::Finding;
use crate::wanted::Wanted;

/// What a rule has found: a detector, and where.
pub(crate) type Found = (DetectorId, Range<usize>);

/// Collects what begins at or after `from`.
pub(crate) struct Sink<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) wanted: &'a Wanted,
    /// What begins before was decided earlier.
    pub(crate) from: usize,
    pub(crate) candidates: Vec<Candidate<Finding>>,
    /// Before this, no match could begin whatever text came; if none came, it does not matter.
    pub(crate) undecided: usize,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(bytes: &'a [u8], wanted: &'a Wanted, from: usize) -> Self {
        Self { bytes, wanted, from, candidates: Vec::new(), undecided: bytes.len() }
    }

    pub(crate) fn wants(&self, detector: DetectorId) -> bool {
        self.wanted.precedence(detector) > 0
    }

    pub(crate) fn wants_any(&self, detectors: &[DetectorId]) -> bool {
        detectors.iter().any(|detector| self.wants(*detector))
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

    /// A match could begin at `at` if more text came.
    pub(crate) fn hold(&mut self, at: usize) {
        if at >= self.from {
            self.undecided = self.undecided.min(at);
        }
    }

    pub(crate) fn add(&mut self, detector: DetectorId, span: Range<usize>) {
        let precedence = self.wanted.precedence(detector);
        if precedence > 0 && span.start >= self.from && !span.is_empty() {
            let row = detector.detector();
            let rank = (precedence, row.risk, row.strength);
            self.candidates.push(Candidate { span, rank, item: Finding::Detector(detector) });
        }
    }
}
