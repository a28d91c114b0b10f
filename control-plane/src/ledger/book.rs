//! The one task that writes: it takes what waits, and commits it together.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use latchkey_proto::ledger::{LedgerResponse, Verdict};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tonic::Status;

use super::intake::Report;
use super::owners::Owners;
use super::page::{self, Outcome, Sender};
use super::presence::Presence;
use super::stats::Stats;
use super::streams::{Answers, Outgoing, Streams};
use crate::store::Store;
use crate::world::World;

/// A report that waits to be written.
#[derive(Debug)]
pub struct Waiting {
    /// Whose it is.
    pub sender: Sender,
    /// The report.
    pub report: Report,
    /// Where its answer goes.
    pub answers: Answers,
    /// Its place among those of its stream that wait.
    pub place: OwnedSemaphorePermit,
}

/// The ledger's only writer in this process.
#[derive(Debug)]
pub struct Book {
    store: Store,
    world: World,
    owners: Owners,
    streams: Streams,
    presence: Presence,
    stats: Arc<Stats>,
    reports: mpsc::Receiver<Waiting>,
}

/// No more of these in one transaction, so that those who wait for a lease do not wait long.
const MOST_REPORTS: usize = 256;
const MOST_RECORDS: usize = 512;

/// After which waits a transaction is tried again.
const RETRIES_MS: [u64; 6] = [50, 100, 200, 400, 800, 1_600];
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Book {
    pub(super) fn new(
        store: Store,
        world: World,
        streams: Streams,
        presence: Presence,
        stats: Arc<Stats>,
        reports: mpsc::Receiver<Waiting>,
    ) -> Self {
        Self { store, world, owners: Owners::default(), streams, presence, stats, reports }
    }

    /// Writes until it is dropped.
    pub async fn keep(mut self) {
        while let Some(first) = self.reports.recv().await {
            let waiting = self.gather(first);
            match self.write(&waiting).await {
                Some(outcome) => self.answer(waiting, outcome),
                None => {
                    for Waiting { answers, place, .. } in waiting {
                        let message =
                            Err(Status::unavailable("the control plane cannot write its ledger now"));
                        answers.try_send(Outgoing { message, place: Some(place) }).ok();
                    }
                }
            }
        }
        // The server is gone, and so is all that could come.
        std::future::pending().await
    }

    /// What waits, up to a bound.
    fn gather(&mut self, first: Waiting) -> Vec<Waiting> {
        let size =
            |waiting: &Waiting| waiting.report.batches.iter().map(|batch| batch.entries.len()).sum::<usize>();
        let mut records = size(&first);
        let mut waiting = vec![first];
        while waiting.len() < MOST_REPORTS && records < MOST_RECORDS {
            let Ok(next) = self.reports.try_recv() else { break };
            records += size(&next);
            waiting.push(next);
        }
        waiting
    }

    /// Tries again where the database is busy or away. A transaction that was committed though it seemed
    /// to fail does no harm: its records are skipped then, and its grants are told.
    async fn write(&mut self, waiting: &[Waiting]) -> Option<Outcome> {
        let mut waits = RETRIES_MS.into_iter().map(Duration::from_millis);
        loop {
            let error = match tokio::time::timeout(PATIENCE, self.commit(waiting)).await {
                Ok(Ok(outcome)) => return Some(outcome),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it took too long".to_owned(),
            };
            // What was read may be half of it.
            self.owners = Owners::default();
            let Some(wait) = waits.next() else {
                tracing::error!(error, reports = waiting.len(), "the ledger cannot be written; streams end");
                return None;
            };
            tracing::warn!(error, reports = waiting.len(), "the ledger cannot be written; it is tried again");
            self.stats.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
        }
    }

    async fn commit(&mut self, waiting: &[Waiting]) -> sqlx::Result<Outcome> {
        let begun = Instant::now();
        let reports: Vec<_> = waiting.iter().map(|waiting| (&waiting.sender, &waiting.report)).collect();
        let mut tx = self.store.begin().await?;
        let outcome =
            page::apply(&mut tx, &mut self.owners, &reports, &self.presence, self.world.now()).await?;
        tx.commit().await?;
        let elapsed = begun.elapsed();
        self.stats.commits.observe(elapsed);
        tracing::debug!(
            reports = waiting.len(),
            records = outcome.records,
            elapsed_us = elapsed.as_micros(),
            "ledger written"
        );
        Ok(outcome)
    }

    fn answer(&self, waiting: Vec<Waiting>, outcome: Outcome) {
        let Outcome { answers, recalls, records, duplicates, dropped } = outcome;
        self.stats.records.fetch_add(records, Ordering::Relaxed);
        self.stats.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        self.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.stats.reports.fetch_add(waiting.len() as u64, Ordering::Relaxed);
        for (instance, recalls) in recalls {
            self.streams.recall(&instance, recalls);
        }
        for (Waiting { answers, place, .. }, answer) in waiting.into_iter().zip(answers) {
            self.count(&answer);
            // There is room. A gateway that has left asks again when it is back.
            answers.try_send(Outgoing { message: Ok(answer), place: Some(place) }).ok();
        }
    }

    fn count(&self, answer: &LedgerResponse) {
        for grant in &answer.grants {
            self.stats.count(Verdict::try_from(grant.verdict).unwrap_or_default());
        }
    }
}
