//! What this process is sending of a queue: it shows that it lives, and takes over what others hold that do not.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use latchkey_store::Store;
use latchkey_store::queue::{Queue, QueueLease};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often a worker shows that it lives, and sees whether others do.
const BEAT: Duration = Duration::from_secs(2);
/// How long what is on its way may take when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A worker that has not shown for so long that it lives has lost its leases.
const LOST_AFTER: Duration = Duration::from_secs(20);

/// What a worker holds of a queue.
#[derive(Clone, Debug)]
pub struct Leases {
    store: Store,
    queue: Queue,
    /// Under which name it holds leases: new with each start.
    worker: String,
    sending: Sending,
}

/// The rows that this worker is sending. A lease of another is one whose taking was not answered.
#[derive(Clone, Debug, Default)]
struct Sending(Arc<Mutex<BTreeSet<i64>>>);

/// One of them, as long as it is held.
#[derive(Debug)]
pub struct SendingOne(Sending, i64);

/// What others hold, each since when by the clock of this process.
#[derive(Debug, Default)]
pub struct SeenLeases(HashMap<QueueLease, Instant>);

impl Leases {
    /// One that holds nothing yet.
    #[must_use]
    pub fn new(store: Store, queue: Queue, worker: String) -> Self {
        Self { store, queue, worker, sending: Sending::default() }
    }

    #[must_use]
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Notes that a row that was leased is being sent, until what this gives is dropped.
    #[must_use]
    pub fn begin(&self, id: i64) -> SendingOne {
        self.sending.lock().insert(id);
        SendingOne(self.sending.clone(), id)
    }

    /// Shows that this worker lives, and takes over what others hold that have not shown that for a while, by this
    /// process's clock.
    ///
    /// # Errors
    /// The database is away.
    pub async fn watch(&self, seen: &mut SeenLeases, now: Instant) -> latchkey_store::Result<()> {
        let sending = self.sending.ids();
        self.store.beat_leases(self.queue, &self.worker, &sending).await?;
        let is_other = |lease: &QueueLease| lease.worker != self.worker || !sending.contains(&lease.id);
        let others: Vec<_> = self.store.leases(self.queue).await?.into_iter().filter(is_other).collect();
        seen.0.retain(|lease, _| others.contains(lease));
        for lease in others {
            let since = *seen.0.entry(lease.clone()).or_insert(now);
            if now.saturating_duration_since(since) >= LOST_AFTER
                && self.store.end_lease(self.queue, &lease).await?
            {
                let QueueLease { id, worker, .. } = lease;
                tracing::warn!(
                    queue = ?self.queue,
                    id,
                    worker,
                    "what a process was sending that is gone is taken over"
                );
            }
        }
        Ok(())
    }

    /// Watches for as long as the process runs.
    pub async fn keep(&self, stopping: watch::Receiver<bool>) {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = SeenLeases::default();
        loop {
            tokio::select! {
                () = stopped(stopping.clone()) => return,
                _ = beats.tick() => {
                    if let Err(error) = self.watch(&mut seen, Instant::now()).await {
                        tracing::warn!(%error, queue = ?self.queue, "could not see who sends what");
                    }
                }
            }
        }
    }

    /// Ends what is on its way, and gives back all that this worker holds.
    pub async fn end<T: 'static>(&self, mut tasks: JoinSet<T>) {
        let ended = async { while tasks.join_next().await.is_some() {} };
        let _in_time = tokio::time::timeout(LAST_WORDS, ended).await;
        tasks.shutdown().await;
        if let Err(error) = self.store.end_leases(self.queue, &self.worker).await {
            tracing::warn!(%error, queue = ?self.queue, "could not give back what was being sent; others take it over");
        }
    }
}

/// Resolves when the process is to end.
pub async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

impl Sending {
    fn ids(&self) -> BTreeSet<i64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SendingOne {
    fn drop(&mut self) {
        let Self(sending, id) = self;
        sending.lock().remove(id);
    }
}
