//! Long runs of letters, digits and `+ / - _`.

use crate::sink::Sink;

/// The longest run that is decoded.
const LONGEST: usize = 4096;

/// Looks at a run from `start` to `end`.
pub(crate) fn ended(sink: &mut Sink<'_>, start: usize, end: usize) {
    if end == sink.bytes.len() && end.saturating_sub(start) <= LONGEST {
        sink.hold(start);
    }
}
