//! The audit log's hash chain: each entry's hash covers its content and the hash of the entry before.
//!
//! Whoever changes an entry must change every one after it and the head. Against someone who can do
//! that, keep an [`Anchor`] elsewhere.

mod anchor;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use anchor::{Hash, NotAHash};

/// An entry, before it has a place in the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// `user`, `token` or `system`.
    pub actor_kind: String,
    /// Of the user or the token; empty for the system.
    pub actor_id: String,
    /// What the actor was called then.
    pub actor_name: String,
    /// From where; empty where it is not known.
    pub client_address: String,
    /// What was done: `key.revoked`, `group.member_removed`, ….
    pub action: String,
    /// What kind of thing it was done to: `key`, `app`, `user`, ….
    pub subject_kind: String,
    pub subject_id: String,
    /// What it was called then.
    pub subject_name: String,
    /// The app that it is about; empty where it is about none.
    pub app_id: String,
    /// More of it as the text of a JSON object, without secrets.
    pub data: String,
}

/// An entry in its place, as it is stored or was exported: nothing of it is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLink {
    /// Its place: 1, 2, ….
    pub number: i64,
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// The hash of the entry before it.
    #[serde(with = "anchor::hex")]
    pub previous: Vec<u8>,
    #[serde(with = "anchor::hex")]
    pub hash: Vec<u8>,
}

/// A number and its hash that someone kept elsewhere: `1042:9f86d0…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub number: i64,
    pub hash: Hash,
}

/// The newest entry, as the store's head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Its number; 0 before the first.
    pub number: i64,
    pub hash: Vec<u8>,
    /// The highest number that is stored.
    pub last: i64,
}

/// What is wrong with a chain: the first thing that is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Numbers are skipped.
    #[error("entries {from} to {to} are missing")]
    Missing { from: i64, to: i64 },
    /// Numbers go back.
    #[error("entry {number} comes after entry {after}")]
    OutOfOrder {
        number: i64,
        /// Of the one before it.
        after: i64,
    },
    /// The hash does not fit the content.
    #[error("entry {number} was changed: its hash does not fit what it says")]
    Changed { number: i64 },
    /// The hash before it is another.
    #[error("entry {number} does not follow the entry before it: one of the two was replaced")]
    Unlinked { number: i64 },
    /// The chain ends before its head.
    #[error("entries {from} to {to} are missing at the end")]
    CutOff { from: i64, to: i64 },
    /// The chain goes on after its head.
    #[error(
        "entry {last} lies beyond the head, which is {head}: the head was set back, or entries were added past it"
    )]
    Beyond {
        /// The last that is stored.
        last: i64,
        head: i64,
    },
    /// The head has another hash.
    #[error("the head's hash is not that of entry {number}: one of the two was replaced")]
    Head { number: i64 },
    /// There is no head.
    #[error("the head is missing")]
    NoHead,
    /// The entry that was kept elsewhere is another.
    #[error("entry {number} is not the one of the anchor: the log was written anew")]
    Anchor { number: i64 },
    /// The entry that was kept elsewhere is not there.
    #[error("entry {number}, which the anchor names, is not there: {from} to {to} are")]
    NoAnchor {
        number: i64,
        /// The first that was checked.
        from: i64,
        /// The last that was checked.
        to: i64,
    },
}

/// Follows a chain, entry by entry.
#[derive(Clone, Debug)]
pub struct ChainWalk {
    first: i64,
    last: i64,
    hash: Hash,
    anchor: Option<Anchor>,
}

impl AuditEntry {
    /// The hash of this entry as `number`, after the one with the hash `previous`: SHA-256 over the
    /// number and the time in Unix milliseconds (both 8 bytes, big-endian), `previous` (32 bytes), and
    /// each text in UTF-8 with its length in bytes (8 bytes, big-endian) before it, in the order of the
    /// fields. Before the first entry, `previous` is 32 zeros.
    #[must_use]
    pub fn hash(&self, number: i64, previous: Hash) -> Hash {
        let Self {
            at_ms,
            actor_kind,
            actor_id,
            actor_name,
            client_address,
            action,
            subject_kind,
            subject_id,
            subject_name,
            app_id,
            data,
        } = self;
        let mut hash = Sha256::new();
        hash.update(number.to_be_bytes());
        hash.update(at_ms.to_be_bytes());
        hash.update(previous.0);
        let texts = [
            actor_kind,
            actor_id,
            actor_name,
            client_address,
            action,
            subject_kind,
            subject_id,
            subject_name,
            app_id,
            data,
        ];
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        Hash(hash.finalize().into())
    }
}

impl ChainWalk {
    /// From the first entry on.
    #[must_use]
    pub fn new(anchor: Option<Anchor>) -> Self {
        Self { first: 1, last: 0, hash: Hash::START, anchor }
    }

    /// From the entry `first` on, as in an export of a part: what it says of the entry before is believed.
    ///
    /// # Errors
    /// It names no hash.
    pub fn from(first: &AuditLink, anchor: Option<Anchor>) -> Result<Self, ChainFault> {
        let number = first.number;
        let hash = Hash::try_from(first.previous.as_slice()).map_err(|_| ChainFault::Unlinked { number })?;
        let walk = Self { first: number, last: number.saturating_sub(1), hash, anchor };
        if walk.last == 0 && hash != Hash::START {
            return Err(ChainFault::Unlinked { number });
        }
        Ok(walk)
    }

    /// Goes on to the next entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn follow(&mut self, link: &AuditLink) -> Result<(), ChainFault> {
        let number = link.number;
        let expected = self.last.saturating_add(1);
        if number > expected {
            return Err(ChainFault::Missing { from: expected, to: number.saturating_sub(1) });
        }
        if number < expected {
            return Err(ChainFault::OutOfOrder { number, after: self.last });
        }
        if link.previous != self.hash.0 {
            return Err(ChainFault::Unlinked { number });
        }
        let hash = link.entry.hash(number, self.hash);
        if link.hash != hash.0 {
            return Err(ChainFault::Changed { number });
        }
        if self.anchor.is_some_and(|anchor| anchor.number == number && anchor.hash != hash) {
            return Err(ChainFault::Anchor { number });
        }
        (self.last, self.hash) = (number, hash);
        Ok(())
    }

    /// The last entry that was followed: what to keep elsewhere.
    #[must_use]
    pub fn reached(&self) -> Anchor {
        Anchor { number: self.last, hash: self.hash }
    }

    /// Ends the walk at the store's head, as it was when the walk began.
    ///
    /// # Errors
    /// The head is another, or the anchor was not met.
    pub fn end_at(self, head: &ChainHead) -> Result<Anchor, ChainFault> {
        if self.last < head.number {
            return Err(ChainFault::CutOff { from: self.last.saturating_add(1), to: head.number });
        }
        let last = self.last.max(head.last);
        if last > head.number {
            return Err(ChainFault::Beyond { last, head: head.number });
        }
        if head.hash != self.hash.0 {
            return Err(ChainFault::Head { number: head.number });
        }
        self.end()
    }

    /// Ends the walk where it is, as in an export.
    ///
    /// # Errors
    /// The anchor was not met.
    pub fn end(self) -> Result<Anchor, ChainFault> {
        let (from, to) = (self.first, self.last);
        match self.anchor {
            Some(anchor) if anchor == Anchor::START => {}
            Some(Anchor { number, .. }) if !(from..=to).contains(&number) => {
                return Err(ChainFault::NoAnchor { number, from, to });
            }
            _ => {}
        }
        Ok(self.reached())
    }
}
