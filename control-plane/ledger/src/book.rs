//! The one task that writes: it takes what waits, and commits it together.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use latchkey_proto::ledger::{LedgerResponse, Verdict};
use latchkey_store::Store;
use latchkey_store::fault::Fault;
use latchkey_world::World;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tonic::Status;

use super::intake::GatewayReport;
use super::presence::Presence;
use super::stats::Stats;
use super::streams::{Answers, LedgerStreams, Outgoing};
use super::subjects::LimitSubjects;
use super::transaction::{self, Sender, TransactionOutcome};

/// A report that waits to be written.
#[derive(Debug)]
pub struct Waiting {
    pub sender: Sender,
    pub report: GatewayReport,
    pub answers: Answers,
    /// Its place among those of its stream that wait.
    pub place: OwnedSemaphorePermit,
}

/// The ledger's only writer in this process.
#[derive(Debug)]
pub struct LedgerWriter {
    store: Store,
    world: World,
    subjects: LimitSubjects,
    streams: LedgerStreams,
    presence: Presence,
    stats: Arc<Stats>,
    reports: mpsc::Receiver<Waiting>,
}

/// Why reports were not written.
enum Unwritten {
    /// The database does not do its work for now.
    Faulty,
    /// It refuses them, or what they touch cannot be read.
    Refused,
}

/// No more of these in one transaction, so that those who wait for a lease do not wait long.
const MOST_REPORTS: usize = 256;
const MOST_RECORDS: usize = 512;

/// After which waits a transaction is tried again.
const RETRIES_MS: [u64; 6] = [50, 100, 200, 400, 800, 1_600];
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl LedgerWriter {
    pub(super) fn new(
        store: Store,
        world: World,
        streams: LedgerStreams,
        presence: Presence,
        stats: Arc<Stats>,
        reports: mpsc::Receiver<Waiting>,
    ) -> Self {
        Self { store, world, subjects: LimitSubjects::default(), streams, presence, stats, reports }
    }

    /// Writes until it is dropped.
    pub async fn keep(mut self) {
        while let Some(first) = self.reports.recv().await {
            let waiting = self.gather(first);
            self.settle(waiting).await;
        }
        // The server is gone, and so is all that could come.
        std::future::pending().await
    }

    /// Writes what waits. Where that fails and the database is not at fault, each half is written by itself: who
    /// reports what cannot be written is alone with that in the end.
    async fn settle(&mut self, waiting: Vec<Waiting>) {
        let mut parts = vec![waiting];
        while let Some(mut part) = parts.pop() {
            // What follows a report that was not written comes again after it.
            part.retain(|waiting| !waiting.place.semaphore().is_closed());
            if part.is_empty() {
                continue;
            }
            match self.write(&part).await {
                Ok(outcome) => self.answer(part, outcome),
                Err(Unwritten::Refused) if part.len() > 1 => {
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                }
                Err(_) => part.into_iter().for_each(end),
            }
        }
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
    async fn write(&mut self, waiting: &[Waiting]) -> Result<TransactionOutcome, Unwritten> {
        let mut waits = RETRIES_MS.into_iter().map(Duration::from_millis);
        loop {
            let (error, passes) = match tokio::time::timeout(PATIENCE, self.commit(waiting)).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                Ok(Err(error)) => (error.to_string(), Fault::of(&error).is_some()),
                Err(_) => ("it took too long".to_owned(), true),
            };
            // What was read may be half of it.
            self.subjects = LimitSubjects::default();
            if !passes {
                tracing::error!(error, reports = waiting.len(), "reports to the ledger cannot be written");
                return Err(Unwritten::Refused);
            }
            let Some(wait) = waits.next() else {
                tracing::error!(error, reports = waiting.len(), "the ledger cannot be written; streams end");
                return Err(Unwritten::Faulty);
            };
            tracing::warn!(error, reports = waiting.len(), "the ledger cannot be written; it is tried again");
            self.stats.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
        }
    }

    async fn commit(&mut self, waiting: &[Waiting]) -> latchkey_store::Result<TransactionOutcome> {
        let begun = Instant::now();
        let reports: Vec<_> = waiting.iter().map(|waiting| (&waiting.sender, &waiting.report)).collect();
        let mut tx = self.store.begin().await?;
        let outcome =
            transaction::apply(&mut tx, &mut self.subjects, &reports, &self.presence, self.world.now())
                .await?;
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

    fn answer(&self, waiting: Vec<Waiting>, outcome: TransactionOutcome) {
        let TransactionOutcome { answers, recalls, records, duplicates, dropped, findings } = outcome;
        self.stats.records.fetch_add(records, Ordering::Relaxed);
        self.stats.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        self.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.stats.findings.add(findings);
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

/// Ends the stream of a report that was not written: its gateway sends everything again on the next one.
fn end(Waiting { answers, place, .. }: Waiting) {
    place.semaphore().close();
    let message = Err(Status::unavailable("the control plane cannot write its ledger now"));
    answers.try_send(Outgoing { message, place: Some(place) }).ok();
}
