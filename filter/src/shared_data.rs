//! The process's shared data as a store.

use latchkey_filter_core::store::{NotStored, SharedStore, Stored, Swap};
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::host::attempt;

/// The shared data of this VM's `vm_id`.
#[derive(Clone, Copy, Debug)]
pub struct SharedData;

impl SharedStore for SharedData {
    fn get(&self, key: &str) -> Option<Stored> {
        let (bytes, write) = attempt("get_shared_data", hostcalls::get_shared_data(key))?;
        let bytes = bytes.filter(|bytes| !bytes.is_empty())?;
        Some(Stored { bytes, write: write.unwrap_or_default() })
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored> {
        attempt("set_shared_data", hostcalls::set_shared_data(key, Some(value), None)).ok_or(NotStored)
    }

    fn swap(&self, key: &str, value: &[u8], write: u32) -> Swap {
        match hostcalls::set_shared_data(key, Some(value), Some(write)) {
            Ok(()) => Swap::Done,
            Err(Status::CasMismatch) => Swap::Changed,
            Err(status) => {
                log::error!("set_shared_data: the host answers {status:?}");
                Swap::Failed
            }
        }
    }
}
