//! What brings a gateway from what it has to a position.

use latchkey_proto::discovery::{DiscoveryResponse, Part};

use crate::source::{Batch, From, Position};

/// An increment or a snapshot that is not yet sent whole.
#[derive(Debug)]
pub(super) struct Transfer<C> {
    from: From,
    to: Position,
    begun: bool,
    page: Page<C>,
}

/// What is to be sent next.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each stream")]
enum Page<C> {
    Wanted(Option<C>),
    Asked,
    Held(Batch<C>),
}

impl<C> Transfer<C> {
    pub(super) fn snapshot(to: Position) -> Self {
        Self { from: From::Everything, to, begun: false, page: Page::Wanted(None) }
    }

    pub(super) fn increment(after: u64, to: Position) -> Self {
        Self { from: From::After(after), to, begun: false, page: Page::Wanted(None) }
    }

    /// Whether the next response waits until all before it are acknowledged: it begins a snapshot,
    /// or carries the position. `None` while there is no next response.
    pub(super) fn goes_alone(&self) -> Option<bool> {
        let Page::Held(batch) = &self.page else { return None };
        Some(batch.next.is_none() || (self.from == From::Everything && !self.begun))
    }

    /// The read that is due, once.
    pub(super) fn ask(&mut self) -> Option<(From, Option<C>)> {
        let Page::Wanted(cursor) = &mut self.page else { return None };
        let cursor = cursor.take();
        self.page = Page::Asked;
        Some((self.from, cursor))
    }

    pub(super) fn hold(&mut self, batch: Batch<C>) {
        self.page = Page::Held(batch);
    }

    /// The next response, and the position that it completes if it is the last.
    ///
    /// A snapshot with a single batch is a BEGIN with all of it and an empty END.
    pub(super) fn take(&mut self) -> Option<(DiscoveryResponse, Option<Position>)> {
        let Page::Held(batch) = &mut self.page else { return None };
        let batch = std::mem::take(batch);
        self.page = Page::Asked;
        let last = batch.next.is_none();
        let part = match (self.from, self.begun) {
            (From::After(_), _) => Part::Increment,
            (From::Everything, false) => Part::SnapshotBegin,
            (From::Everything, true) if last => Part::SnapshotEnd,
            (From::Everything, true) => Part::SnapshotPart,
        };
        self.begun = true;
        let (response, next) = respond(part, batch);
        let completes = last && part != Part::SnapshotBegin;
        if !completes {
            self.page = next.map_or_else(|| Page::Held(Batch::default()), |at| Page::Wanted(Some(at)));
        }
        Some((response, completes.then_some(self.to)))
    }
}

fn respond<C>(part: Part, batch: Batch<C>) -> (DiscoveryResponse, Option<C>) {
    let Batch { catalogue, apps, keys, removed_keys, removed_apps, newest, next } = batch;
    let response = DiscoveryResponse {
        nonce: String::new(),
        part: part.into(),
        position: None,
        catalogue,
        apps,
        keys,
        removed_keys: removed_keys.into_iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        removed_apps: removed_apps.into_iter().map(|id| id.into_bytes().to_vec()).collect(),
        newest: newest.map(Into::into),
    };
    (response, next)
}
