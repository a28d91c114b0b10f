//! A store in memory, for the control plane's explanations and for tests.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::store::{NotStored, SharedStore, Stored, Swap};

/// For one thread.
#[derive(Debug, Default)]
pub struct Memory {
    values: RefCell<HashMap<String, Stored>>,
    writes: Cell<u32>,
}

#[cfg(test)]
impl Memory {
    /// The number of names ever written.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.values.borrow().len()
    }
}

impl SharedStore for Memory {
    fn get(&self, key: &str) -> Option<Stored> {
        self.values.borrow().get(key).filter(|stored| !stored.bytes.is_empty()).cloned()
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored> {
        self.writes.set(self.writes.get().checked_add(1).unwrap_or(1));
        let stored = Stored { bytes: value.to_vec(), write: self.writes.get() };
        self.values.borrow_mut().insert(key.to_owned(), stored);
        Ok(())
    }

    fn swap(&self, key: &str, value: &[u8], write: u32) -> Swap {
        let is_other = |stored: &Stored| write != 0 && stored.write != write;
        if self.values.borrow().get(key).is_some_and(is_other) {
            return Swap::Changed;
        }
        self.put(key, value).map_or(Swap::Failed, |()| Swap::Done)
    }
}
