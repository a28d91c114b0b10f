//! Shared queues: how worker VMs and the sync role wake each other. What is in a queue is a hint;
//! the truth is in shared data.

use proxy_wasm::hostcalls;

use crate::host::attempt;

/// Where gates ask the sync role for units.
pub const DEMANDS: &str = "latchkey.demands";

/// Where a worker's gate is told that units have come.
pub fn grants(worker: u32) -> String {
    format!("latchkey.grants.{worker}")
}

/// A worker's message to the sync role, with the worker to wake.
pub fn from_worker(worker: u32, notice: &[u8]) -> Vec<u8> {
    [&worker.to_le_bytes(), notice].concat()
}

/// The worker and its demand.
pub fn read(message: &[u8]) -> Option<(u32, &[u8])> {
    let (worker, notice) = message.split_first_chunk()?;
    Some((u32::from_le_bytes(*worker), notice))
}

/// A queue that this VM reads.
#[derive(Clone, Copy, Debug)]
pub struct Inbox(u32);

/// A queue that another VM reads. It is resolved when first needed: that VM may start later.
#[derive(Clone, Debug)]
pub struct Outbox {
    name: String,
    id: Option<u32>,
}

impl Inbox {
    /// Registers the queue: its callbacks come to this VM's root context. Not in a throwaway VM.
    pub fn register(name: &str) -> Option<Self> {
        attempt("register_shared_queue", hostcalls::register_shared_queue(name)).map(Self)
    }

    /// Whether a callback is for this queue.
    pub fn is(self, queue: u32) -> bool {
        self.0 == queue
    }

    pub fn take(self) -> Option<Vec<u8>> {
        attempt("dequeue_shared_queue", hostcalls::dequeue_shared_queue(self.0))?
    }
}

impl Outbox {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), id: None }
    }

    /// Sends a message. Tells whether there is anyone to read it.
    pub fn send(&mut self, message: &[u8]) -> bool {
        if self.id.is_none() {
            let vm = attempt("get_property", hostcalls::get_property(vec!["plugin_vm_id"])).flatten();
            let vm = vm.and_then(|id| String::from_utf8(id).ok()).unwrap_or_default();
            let found = hostcalls::resolve_shared_queue(&vm, &self.name);
            self.id = attempt("resolve_shared_queue", found).flatten();
        }
        let Some(id) = self.id else { return false };
        let sent = hostcalls::enqueue_shared_queue(id, Some(message)).is_ok();
        if !sent {
            // Its reader is gone; another may register.
            self.id = None;
        }
        sent
    }
}
