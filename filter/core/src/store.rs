//! Where a gateway keeps what it knows: the shared data of its process.

pub mod layout;

pub mod memory;

/// A map shared by every VM of a process. Its entries are never removed: an empty value is a
/// tombstone, and reads as absent.
pub trait SharedStore {
    /// The value under `key`.
    fn get(&self, key: &str) -> Option<Stored>;

    /// Replaces the value under `key`.
    ///
    /// # Errors
    /// When the host refuses it.
    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored>;

    /// Replaces the value under `key`, if it is still the one that [`Stored::write`] came with.
    /// Under a name that was never written it would create one: swap only what was read.
    fn swap(&self, key: &str, value: &[u8], write: u32) -> Swap;
}

/// What became of a compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The value is replaced.
    Done,
    /// Somebody was faster: read again.
    Changed,
    /// The host refuses it.
    Failed,
}

/// A value as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Not empty.
    pub bytes: Vec<u8>,
    /// Another one after each write, and never 0.
    pub write: u32,
}

/// The host has refused a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway could not store the update")]
pub struct NotStored;

impl<S: SharedStore> SharedStore for &S {
    fn get(&self, key: &str) -> Option<Stored> {
        (**self).get(key)
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored> {
        (**self).put(key, value)
    }

    fn swap(&self, key: &str, value: &[u8], write: u32) -> Swap {
        (**self).swap(key, value, write)
    }
}
