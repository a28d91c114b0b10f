//! The `Discovery` service: runs a [`Session`] for each stream.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use latchkey_proto::discovery::discovery_request::Kind;
use latchkey_proto::discovery::discovery_server::{Discovery, DiscoveryServer};
use latchkey_proto::discovery::{DiscoveryRequest, DiscoveryResponse};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::admission::Admission;
use crate::registry::{Connection, Registry, Unrecorded};
use crate::session::{Effect, Event, Greeting, Session, Settings};
use crate::source::{Authenticator, Position, Source};

/// The largest message taken from a gateway: a NACK that names a whole response, with reasons.
const MAX_REQUEST: usize = 1 << 20;

/// Why streams end when the control plane stops.
pub(crate) const STOPPING: &str = "the control plane is stopping";

/// Serves discovery streams from a source.
#[derive(Debug)]
pub struct Server<S, A> {
    source: Arc<S>,
    authenticator: Arc<A>,
    registry: Registry,
    settings: Settings,
    stopping: watch::Receiver<bool>,
    streams: AtomicU64,
}

/// One stream being served.
struct Stream<S: Source> {
    source: Arc<S>,
    registry: Registry,
    id: u64,
    session: Session<S::Cursor>,
    /// Taken before the session's head: unchanged as long as that is in history.
    history: watch::Receiver<u64>,
    answers: mpsc::Sender<Result<DiscoveryResponse, Status>>,
    /// A lookup or a read under way; never more than one.
    work: Option<BoxFuture<'static, anyhow::Result<Event<S::Cursor>>>>,
    connection: Option<Connection>,
    /// Until the gateway is recorded it is not served.
    recorded: Option<BoxFuture<'static, Result<(), Unrecorded>>>,
}

/// The stream is over.
struct Over;

impl<S: Source, A: Authenticator> Server<S, A> {
    /// A server whose streams end once `stopping` holds true.
    #[must_use]
    pub fn new(
        source: Arc<S>,
        authenticator: Arc<A>,
        registry: Registry,
        settings: Settings,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { source, authenticator, registry, settings, stopping, streams: AtomicU64::new(1) }
    }

    /// The gRPC service, with its message limits.
    #[must_use]
    pub fn into_service(self) -> DiscoveryServer<Self> {
        DiscoveryServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

#[tonic::async_trait]
impl<S: Source, A: Authenticator> Discovery for Server<S, A> {
    type SubscribeStream = ReceiverStream<Result<DiscoveryResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let admission = Admission::check(&self.authenticator, request.metadata()).await?;
        // Room for a full window and the status that ends the stream.
        let (answers, responses) = mpsc::channel(self.settings.window + 1);
        let id = self.streams.fetch_add(1, Ordering::Relaxed);
        let history = self.source.history();
        let head = self.source.head();
        let now = Instant::now().into_std();
        let session = Session::new(self.settings, id, *head.borrow(), now);
        let stream = Stream {
            source: Arc::clone(&self.source),
            registry: self.registry.clone(),
            id,
            session,
            history,
            answers,
            work: None,
            connection: None,
            recorded: None,
        };
        tokio::spawn(stream.run(request.into_inner(), head, self.stopping.clone(), admission));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

impl<S: Source> Stream<S> {
    async fn run<A: Authenticator>(
        mut self,
        mut requests: Streaming<DiscoveryRequest>,
        mut head: watch::Receiver<Position>,
        mut stopping: watch::Receiver<bool>,
        admission: Admission<A>,
    ) {
        let mut lost = std::pin::pin!(admission.lost());
        loop {
            let deadline = self.session.deadline().map(Instant::from_std);
            let event = tokio::select! {
                message = requests.message() => match message {
                    Ok(Some(message)) => Event::Message(message),
                    Ok(None) => break,
                    Err(status) => {
                        tracing::debug!(stream = self.id, reason = status.message(), "discovery stream broke");
                        self.end(status);
                        break;
                    }
                },
                Ok(()) = self.history.changed() => Event::HistoryReplaced,
                Ok(()) = head.changed() => Event::Head(*head.borrow_and_update()),
                done = work(&mut self.work) => match done {
                    Ok(event) => event,
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "discovery cannot serve a gateway now");
                        self.end(Status::unavailable("the control plane cannot read its data now"));
                        break;
                    }
                },
                () = reached(deadline) => Event::Tick,
                status = &mut lost => {
                    self.end(status);
                    break;
                }
                () = stopped(&mut stopping) => {
                    self.end(Status::unavailable(STOPPING));
                    break;
                }
                () = self.answers.closed() => break,
            };
            if let Event::Message(DiscoveryRequest { kind: Some(Kind::Hello(hello)) }) = &event
                && let Err(status) = admission.claim(&hello.gateway).await
            {
                self.end(status);
                break;
            }
            // Whatever else has happened: nothing is heard or sent across histories.
            let replaced = self.history.has_changed().is_ok_and(|changed| changed);
            let event = if replaced { Event::HistoryReplaced } else { event };
            let effects = self.session.on(event, Instant::now().into_std());
            let over = effects.into_iter().try_for_each(|effect| self.carry_out(effect)).is_err();
            if let Some(connection) = &self.connection {
                connection.report(self.session.progress());
            }
            if over {
                break;
            }
        }
        tracing::info!(stream = self.id, "discovery stream ended");
    }

    fn carry_out(&mut self, effect: Effect<S::Cursor>) -> Result<(), Over> {
        match effect {
            Effect::Welcome(greeting) => {
                let Greeting { gateway, instance } = &greeting;
                tracing::info!(stream = self.id, gateway, instance, "gateway connected");
                let connection = self.registry.connect(self.id, greeting, self.history.clone());
                self.recorded = Some(connection.recorded().boxed());
                self.connection = Some(connection);
            }
            Effect::CheckResume([position, newest]) => {
                let source = Arc::clone(&self.source);
                self.begin(async move {
                    Ok(Event::Resumable(
                        source.can_resume(&position).await? && source.can_resume(&newest).await?,
                    ))
                });
            }
            Effect::Read(from, cursor) => {
                let source = Arc::clone(&self.source);
                let limit = self.session.settings().batch;
                self.begin(async move { source.read(from, cursor, limit).await.map(Event::Read) });
            }
            Effect::Send(response) => self.answers.try_send(Ok(*response)).map_err(|_| Over)?,
            Effect::Close(status) => {
                tracing::warn!(stream = self.id, reason = status.message(), "discovery stream closed");
                self.end(status);
                return Err(Over);
            }
        }
        Ok(())
    }

    /// Nothing is looked up or read, and so nothing is sent, before the gateway is recorded.
    fn begin(&mut self, work: impl Future<Output = anyhow::Result<Event<S::Cursor>>> + Send + 'static) {
        self.work = Some(match self.recorded.take() {
            Some(recorded) => recorded.map_err(anyhow::Error::new).and_then(|()| work).boxed(),
            None => work.boxed(),
        });
    }

    /// A gateway that has left needs no farewell.
    fn end(&self, status: Status) {
        self.answers.try_send(Err(status)).ok();
    }
}

async fn work<C>(
    work: &mut Option<BoxFuture<'static, anyhow::Result<Event<C>>>>,
) -> anyhow::Result<Event<C>> {
    let Some(future) = work else { return std::future::pending().await };
    let done = future.await;
    *work = None;
    done
}

/// Resolves when the control plane stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let forgotten = stopping.wait_for(|stopping| *stopping).await.is_err();
    if forgotten {
        std::future::pending().await
    }
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
