//! The gateway's shared data, which the VMs of its process share.

pub mod layout;

pub mod memory;

/// A map shared by all VMs of a process. Entries are never removed: an empty value is a tombstone, and reads
/// as absent.
pub trait SharedStore {
    fn get(&self, key: &str) -> Option<Stored>;

    /// Replaces the value under `key`.
    ///
    /// # Errors
    /// When the host refuses it.
    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored>;

    /// Compare-and-swap: replaces the value under `key` if its write number is still `write`. It would create
    /// a name that was never written: swap only what was read.
    fn swap(&self, key: &str, value: &[u8], write: u32) -> Swap;
}

/// What became of a compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    Done,
    /// Somebody was faster: read again.
    Changed,
    Failed,
}

/// A value as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Not empty.
    pub bytes: Vec<u8>,
    /// The write number: changes with each write, and is never 0.
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
