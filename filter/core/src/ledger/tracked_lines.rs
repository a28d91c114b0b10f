//! What is remembered of the lines of one subject's account.

use latchkey_proto::window::Window;

use crate::limits::account::Totals;
use crate::snapshot::BucketKind;

/// At most one of each kind and period. They are few, and subjects are many: a list takes a quarter of the memory
/// of a map.
#[derive(Debug, Default)]
pub(super) struct TrackedLines(Vec<((BucketKind, i64), TrackedLine)>);

/// What is remembered of an account line.
#[derive(Debug, Default)]
pub(super) struct TrackedLine {
    /// As last reported on this stream.
    pub reported: Option<Totals>,
    /// An answer may have been lost; the next must be told apart from it.
    pub is_unsure: bool,
    /// Units received, and units of them taken, at the last check.
    pub received_and_taken: (u64, u64),
    pub quiet_since: u64,
    /// The tick at which the rate was measured, and the units taken by then.
    pub base: (u64, u64),
    /// Units taken per second.
    pub rate: u64,
    /// Units lent under offline limits.
    pub offline_window: Option<Box<Window>>,
}

impl TrackedLines {
    pub fn get(&self, kind: BucketKind, period: i64) -> Option<&TrackedLine> {
        let mut lines = self.0.iter();
        lines.find(|(name, _)| *name == (kind, period)).map(|(_, line)| line)
    }

    /// Edits a line, and creates it if there is none.
    pub fn edit<T>(&mut self, kind: BucketKind, period: i64, edit: impl FnOnce(&mut TrackedLine) -> T) -> T {
        let mut lines = self.0.iter_mut();
        if let Some((_, line)) = lines.find(|(name, _)| *name == (kind, period)) {
            return edit(line);
        }
        let mut line = TrackedLine::default();
        let edited = edit(&mut line);
        self.0.reserve_exact(1);
        self.0.push(((kind, period), line));
        edited
    }

    /// Forgets the lines of which `keeps` does not hold.
    pub fn retain(&mut self, keeps: impl Fn(BucketKind, i64, &TrackedLine) -> bool) {
        self.0.retain(|((kind, period), line)| keeps(*kind, *period, line));
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut TrackedLine> {
        self.0.iter_mut().map(|(_, line)| line)
    }
}
