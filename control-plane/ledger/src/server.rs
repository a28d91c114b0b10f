//! The `Ledger` service: one task for each stream, which reads reports and hands them to the book.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_discovery::admission::Admission;
use latchkey_discovery::source::Authenticator;
use latchkey_proto::ledger::ledger_request::Kind;
use latchkey_proto::ledger::ledger_server::{Ledger, LedgerServer};
use latchkey_proto::ledger::{Hello, LedgerRequest, LedgerResponse};
use latchkey_world::World;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::book::Waiting;
use super::intake;
use super::streams::{self, Answers, LedgerStreams, Outgoing, WINDOW};
use super::suspects::Suspects;
use super::tool_sightings::SightingQueue;
use super::transaction::Sender;

/// The largest message taken from a gateway: a few thousand records.
const MAX_REQUEST: usize = 4 << 20;
/// How long a gateway may take to say who it is.
const GREETING: Duration = Duration::from_secs(10);
/// Longest name of a gateway or its process, in bytes.
const LONGEST_NAME: usize = 256;

/// Who writes what reports say.
#[derive(Clone, Debug)]
pub(super) struct Queues {
    pub reports: mpsc::Sender<Waiting>,
    pub sightings: SightingQueue,
}

#[derive(Debug)]
pub struct LedgerService<A> {
    authenticator: Arc<A>,
    world: World,
    queues: Queues,
    listed: LedgerStreams,
    suspects: Suspects,
    stopping: watch::Receiver<bool>,
    opened: AtomicU64,
}

struct LedgerExchange {
    id: u64,
    world: World,
    queues: Queues,
    listed: LedgerStreams,
    suspects: Suspects,
    answers: Answers,
    places: Arc<Semaphore>,
}

impl<A: Authenticator> LedgerService<A> {
    pub(super) fn new(
        authenticator: Arc<A>,
        world: World,
        queues: Queues,
        listed: LedgerStreams,
        suspects: Suspects,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { authenticator, world, queues, listed, suspects, stopping, opened: AtomicU64::new(1) }
    }

    /// The gRPC service, with its message limits.
    #[must_use]
    pub fn into_service(self) -> LedgerServer<Self> {
        LedgerServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

#[tonic::async_trait]
impl<A: Authenticator> Ledger for LedgerService<A> {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<LedgerResponse, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<LedgerRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let admission = Admission::check(&self.authenticator, request.metadata()).await?;
        let (answers, responses) = streams::answers();
        let stream = LedgerExchange {
            id: self.opened.fetch_add(1, Ordering::Relaxed),
            world: self.world.clone(),
            queues: self.queues.clone(),
            listed: self.listed.clone(),
            suspects: self.suspects.clone(),
            answers,
            places: Arc::new(Semaphore::new(WINDOW)),
        };
        tokio::spawn(stream.run(request.into_inner(), admission, self.stopping.clone()));
        // What a report took up is free once its answer has been taken.
        let messages = ReceiverStream::new(responses).map(|outgoing| outgoing.message);
        Ok(Response::new(Box::pin(messages)))
    }
}

impl LedgerExchange {
    async fn run<A: Authenticator>(
        self,
        requests: Streaming<LedgerRequest>,
        admission: Admission<A>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let answers = self.answers.clone();
        let id = self.id;
        let end = tokio::select! {
            end = self.serve(requests, &admission) => end,
            status = admission.lost() => Err(status),
            // An error means that the sender is gone, which is a stop as well.
            _ = stopping.wait_for(|stopping| *stopping) => {
                Err(Status::unavailable("the control plane is stopping"))
            }
            () = answers.closed() => Ok(()),
        };
        if let Err(status) = end {
            tracing::debug!(stream = id, reason = status.message(), "ledger stream closed");
            // A gateway that has left needs no farewell.
            answers.try_send(Outgoing { message: Err(status), place: None }).ok();
        }
        tracing::info!(stream = id, "ledger stream ended");
    }

    async fn serve<A: Authenticator>(
        self,
        mut requests: Streaming<LedgerRequest>,
        admission: &Admission<A>,
    ) -> Result<(), Status> {
        let late = |_| Status::deadline_exceeded("no Hello came");
        let Some(first) = tokio::time::timeout(GREETING, requests.message()).await.map_err(late)?? else {
            return Ok(());
        };
        let sender = sender(first)?;
        let Sender { gateway, instance } = &sender;
        // What is charged is charged by the gateway that it says it is.
        admission.claim(gateway).await?;
        tracing::info!(stream = self.id, gateway, instance, "gateway connected to the ledger");
        let _listed = self.listed.list(instance, self.id, self.answers.clone());
        while let Some(request) = requests.message().await? {
            let Some(Kind::Report(report)) = request.kind else {
                return Err(Status::invalid_argument("only reports follow the Hello"));
            };
            // Closed once a report could not be written: the status that ends the stream is on its way.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return Ok(()) };
            let mut report = intake::report(report, self.world.now());
            self.queues.sightings.push(std::mem::take(&mut report.tools));
            self.suspects.note(&report);
            let waiting = Waiting { sender: sender.clone(), report, answers: self.answers.clone(), place };
            if self.queues.reports.send(waiting).await.is_err() {
                return Err(Status::unavailable("the control plane is stopping"));
            }
        }
        Ok(())
    }
}

fn sender(first: LedgerRequest) -> Result<Sender, Status> {
    let Some(Kind::Hello(Hello { gateway, instance })) = first.kind else {
        return Err(Status::invalid_argument("the first message must be a Hello"));
    };
    let plain = |name: &str| (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control);
    if plain(&gateway) && plain(&instance) {
        return Ok(Sender { gateway, instance });
    }
    Err(Status::invalid_argument(format!(
        "gateway and instance must be 1 to {LONGEST_NAME} bytes without control characters"
    )))
}
