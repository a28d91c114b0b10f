//! The ledger streams of this process, so that a lease can be recalled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use latchkey_proto::ledger::{BucketId, LedgerResponse};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

/// Where a stream's answers go.
pub type Answers = mpsc::Sender<Outgoing>;

/// What goes out on a stream.
#[derive(Debug)]
pub struct Outgoing {
    /// A response, or the status that ends the stream.
    pub message: Result<LedgerResponse, Status>,
    /// What the report that it answers took up; free once this has been sent.
    pub place: Option<OwnedSemaphorePermit>,
}

/// How many reports of one stream may wait. Those beyond wait in the gateway.
pub const WINDOW: usize = 16;
/// Room for recalls, besides the answers and the status that ends the stream.
const RECALLS: usize = 32;

/// A channel that has room for every answer.
#[must_use]
pub fn answers() -> (Answers, mpsc::Receiver<Outgoing>) {
    mpsc::channel(WINDOW + RECALLS + 1)
}

/// The streams, by gateway process.
#[derive(Clone, Debug, Default)]
pub struct LedgerStreams(Arc<Mutex<ByProcess>>);

/// Numbers and answers of streams, the newest last: a process that reconnects has two for a moment.
type ByProcess = HashMap<String, Vec<(u64, Answers)>>;

/// A stream that is listed until this is dropped.
#[derive(Debug)]
pub struct Listed {
    streams: LedgerStreams,
    instance: String,
    id: u64,
}

impl LedgerStreams {
    #[must_use]
    pub fn list(&self, instance: &str, id: u64, answers: Answers) -> Listed {
        self.lock().entry(instance.to_owned()).or_default().push((id, answers));
        Listed { streams: self.clone(), instance: instance.to_owned(), id }
    }

    /// Asks a process to give back what it holds of these buckets, if it is connected here. Where its
    /// stream is full it has enough to do, and the next one that asks for units recalls again.
    pub fn recall(&self, instance: &str, recalls: Vec<BucketId>) {
        let streams = self.lock();
        let newest = streams.get(instance).and_then(|streams| streams.last());
        if let Some((_, answers)) = newest.filter(|(_, answers)| answers.capacity() > WINDOW + 1) {
            let message = Ok(LedgerResponse { recalls, ..LedgerResponse::default() });
            answers.try_send(Outgoing { message, place: None }).ok();
        }
    }

    /// The processes that are connected.
    #[must_use]
    pub fn instances(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, ByProcess> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut streams = self.streams.lock();
        let left = streams.get_mut(&self.instance).is_some_and(|streams| {
            streams.retain(|(id, _)| *id != self.id);
            !streams.is_empty()
        });
        if !left {
            streams.remove(&self.instance);
        }
    }
}
