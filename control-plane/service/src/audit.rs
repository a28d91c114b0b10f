//! Reading the audit log as a chain: to verify it, and to give it away.

use bytes::Bytes;
use futures::stream::{self, Stream, TryStreamExt as _};
use jiff::Timestamp;
use latchkey_core::chain::{Anchor, AuditLink, ChainFault, ChainWalk};
use latchkey_store::Store;

/// How many entries are held at a time.
const PAGE: i64 = 2000;

/// What a check of the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong; this is its newest entry.
    Whole(Anchor),
    /// Something is.
    Broken {
        /// The first that is.
        fault: ChainFault,
        /// The last entry that nothing is wrong with.
        reached: Anchor,
    },
}

/// Checks the whole chain as it is now. Entries that are added meanwhile are not waited for.
///
/// # Errors
/// The database is away, or holds what cannot be read.
pub async fn verify(store: &Store, anchor: Option<Anchor>) -> latchkey_store::Result<Verdict> {
    let mut walk = ChainWalk::new(anchor);
    let Some(head) = store.audit_head().await? else {
        return Ok(Verdict::Broken { fault: ChainFault::NoHead, reached: walk.reached() });
    };
    let mut pages = std::pin::pin!(pages(store.clone(), i64::MIN, head.number));
    while let Some(page) = pages.try_next().await? {
        for link in &page {
            if let Err(fault) = walk.follow(link) {
                return Ok(Verdict::Broken { fault, reached: walk.reached() });
            }
        }
    }
    let reached = walk.reached();
    Ok(match walk.end_at(&head) {
        Ok(newest) => Verdict::Whole(newest),
        Err(fault) => Verdict::Broken { fault, reached },
    })
}

/// Checks exported lines. Where they begin with a later entry than the first, what that says of the
/// entry before it is believed.
///
/// # Errors
/// A line that is no entry.
pub fn verify_export(
    lines: impl Iterator<Item = std::io::Result<String>>,
    anchor: Option<Anchor>,
) -> anyhow::Result<Verdict> {
    let mut walk: Option<ChainWalk> = None;
    for (number, line) in (1..).zip(lines) {
        let link: AuditLink = serde_json::from_str(&line?)
            .map_err(|error| anyhow::anyhow!("line {number} is not an exported entry: {error}"))?;
        let begun = match walk.take() {
            Some(walk) => Ok(walk),
            None => ChainWalk::from(&link, anchor),
        };
        let mut current = match begun {
            Ok(walk) => walk,
            Err(fault) => return Ok(Verdict::Broken { fault, reached: Anchor::START }),
        };
        if let Err(fault) = current.follow(&link) {
            return Ok(Verdict::Broken { fault, reached: current.reached() });
        }
        walk = Some(current);
    }
    let walk = walk.unwrap_or_else(|| ChainWalk::new(anchor));
    let reached = walk.reached();
    Ok(match walk.end() {
        Ok(newest) => Verdict::Whole(newest),
        Err(fault) => Verdict::Broken { fault, reached },
    })
}

/// The entries from the first at `from` or later to the last before `to`, and all between them, as lines
/// of JSON in the order of the chain: some thousand at a time.
///
/// # Errors
/// The database is away.
pub async fn export(
    store: &Store,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> latchkey_store::Result<impl Stream<Item = latchkey_store::Result<Bytes>> + Send + 'static> {
    // An empty span where nothing is: from 1 to 0.
    let (first, last) = store.audit_span(from, to).await?.unwrap_or((1, 0));
    Ok(pages(store.clone(), first, last).and_then(async |page| lines(&page)))
}

fn lines(page: &[AuditLink]) -> latchkey_store::Result<Bytes> {
    let mut lines = Vec::with_capacity(page.len() * 600);
    for link in page {
        serde_json::to_writer(&mut lines, link)
            .map_err(|error| latchkey_store::Error::Encode(error.into()))?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

fn pages(
    store: Store,
    first: i64,
    last: i64,
) -> impl Stream<Item = latchkey_store::Result<Vec<AuditLink>>> + Send {
    stream::try_unfold(Some(first), move |next| {
        let store = store.clone();
        async move {
            let Some(next) = next else { return Ok(None) };
            let page = store.audit_chain(next, last, PAGE).await?;
            let Some(newest) = page.last() else { return Ok(None) };
            let next = newest.number.checked_add(1);
            Ok(Some((page, next)))
        }
    })
}
