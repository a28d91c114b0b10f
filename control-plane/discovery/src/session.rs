//! One discovery stream as a pure state machine: events in, effects out.
//!
//! The rules, beyond those in `discovery.proto`:
//! - What a gateway needs next is a *transfer*: an increment after the position it has, or a full
//!   snapshot when it has none that can be resumed. A transfer claims the head known before its
//!   first read; its last response carries that position.
//! - Within a transfer, up to [`Settings::window`] responses are unanswered. The last one of a
//!   transfer, and the one that begins a snapshot, travel alone: so a position never reaches a
//!   gateway that might still refuse something before it.
//! - Answers come in the order of the responses. A nonce that is unknown, already answered or out
//!   of turn closes the stream with `INVALID_ARGUMENT`: such a gateway proves nothing.
//! - A NACK that names resources quarantines them for this stream; the response is sent again
//!   without them, and without what a later response on its way brings newer. A quarantined
//!   resource is tried again when it changes. Until then responses carry no position, so that a
//!   reconnect brings it again.
//! - When history is replaced, or the head moves to where this history cannot lead (back, or to
//!   another tag), the stream closes with `UNAVAILABLE`: what the gateway has must be checked anew.
//! - A NACK that names nothing in the response is answered with the same response; after
//!   [`Settings::refusals`] of them with no ACK between, the stream closes with
//!   `FAILED_PRECONDITION`.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use latchkey_proto::discovery::discovery_request::Kind;
use latchkey_proto::discovery::{self as wire, DiscoveryRequest, DiscoveryResponse, Hello, Nack, Part};
use tonic::Status;

use crate::resource;
use crate::source::{Batch, From, Position};
use transfer::Transfer;

mod transfer;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod convergence;

/// The API lists gateways that are lost where it would show one of this name.
const RESERVED_NAME: &str = "lost";
/// The longest name or instance that a gateway may give itself, in bytes.
const MAX_NAME: usize = 256;

/// The longest reason that is kept of a NACK, in characters.
const MAX_REASON: usize = 500;

/// The most resources that one stream may have in quarantine.
const MAX_QUARANTINED: usize = 1_000;

/// The bounds of a session.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a gateway may leave the oldest response unanswered, or its Hello unsaid.
    pub ack_timeout: Duration,
    /// The most responses unanswered at a time.
    pub window: usize,
    /// The most resources in a response.
    pub batch: usize,
    /// How many NACKs in a row may name no resource.
    pub refusals: u32,
}

/// What a session is told.
#[derive(Debug)]
pub enum Event<C> {
    /// The gateway said something.
    Message(DiscoveryRequest),
    /// Whether the position asked about by [`Effect::CheckResume`] can be resumed.
    Resumable(bool),
    /// What [`Effect::Read`] asked for.
    Read(Batch<C>),
    /// The head of history moved.
    Head(Position),
    /// The head moved to another history.
    HistoryReplaced,
    /// Time passed: at the latest when [`Session::deadline`] is reached.
    Tick,
}

/// What a session wants done.
#[derive(Debug)]
pub enum Effect<C> {
    /// List the gateway as connected.
    Welcome(Greeting),
    /// Find out whether history contains all of these points, so that the first can be resumed.
    CheckResume([Position; 2]),
    /// Read a batch; there is never more than one to read.
    Read(From, Option<C>),
    /// Send a response to the gateway.
    Send(Box<DiscoveryResponse>),
    /// End the stream; nothing follows.
    Close(Status),
}

/// Who a gateway says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The name that admins see.
    pub gateway: String,
    /// New with each Envoy process.
    pub instance: String,
}

/// How far a gateway is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything up to this revision is applied, but for what is quarantined. 0: nothing yet.
    pub acknowledged: u64,
    /// That revision's tag, which tells the history that it is of.
    pub tag: [u8; 16],
    /// Everything up to this revision is sent.
    pub sent: u64,
    /// What the last NACK said.
    pub last_error: Option<String>,
    /// What the gateway refuses, by resource name, with its reasons.
    pub quarantined: BTreeMap<String, String>,
}

/// The state of one discovery stream. `C` is the source's cursor.
#[derive(Debug)]
pub struct Session<C> {
    settings: Settings,
    stream: u64,
    responses: u64,
    phase: Phase,
    head: Position,
    transfer: Option<Transfer<C>>,
    unanswered: VecDeque<Unanswered>,
    /// Since when the gateway owes an answer, if it owes one.
    waiting_since: Instant,
    refusals: u32,
    progress: Progress,
    effects: Vec<Effect<C>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitingHello,
    Checking(Position),
    /// With what the gateway has, or will have once all transfers begun are through.
    Serving(Position),
    Closed,
}

/// A response that is neither acknowledged nor refused.
#[derive(Debug)]
struct Unanswered {
    response: DiscoveryResponse,
    /// The position reached with its ACK.
    completes: Option<Position>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ack_timeout: Duration::from_secs(10), window: 8, batch: 1_000, refusals: 3 }
    }
}

impl<C> Session<C> {
    /// A stream just opened. `stream` is unlike that of any other open stream.
    #[must_use]
    pub fn new(settings: Settings, stream: u64, head: Position, now: Instant) -> Self {
        Self {
            settings,
            stream,
            responses: 0,
            phase: Phase::AwaitingHello,
            head,
            transfer: None,
            unanswered: VecDeque::new(),
            waiting_since: now,
            refusals: 0,
            progress: Progress::default(),
            effects: Vec::new(),
        }
    }

    /// The session's bounds.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How far the gateway is.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// When the stream closes unless the gateway says something; `None` while it owes nothing.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let owes = self.phase == Phase::AwaitingHello || !self.unanswered.is_empty();
        let open = self.phase != Phase::Closed;
        (owes && open).then(|| self.waiting_since + self.settings.ack_timeout)
    }

    /// Takes an event in; says what to do about it.
    pub fn on(&mut self, event: Event<C>, now: Instant) -> Vec<Effect<C>> {
        if self.phase == Phase::Closed {
            return Vec::new();
        }
        match event {
            Event::Message(message) => self.hear(message, now),
            Event::Resumable(resumable) => self.resume(resumable),
            Event::Read(batch) => self.hold(batch),
            Event::Head(head) => self.follow(head),
            Event::HistoryReplaced => self.abandon(),
            Event::Tick => self.check_deadline(now),
        }
        self.advance(now);
        std::mem::take(&mut self.effects)
    }

    fn hear(&mut self, message: DiscoveryRequest, now: Instant) {
        match (message.kind, self.phase) {
            (Some(Kind::Hello(hello)), Phase::AwaitingHello) => self.greet(hello),
            (Some(Kind::Hello(_)), _) => self.close(Status::invalid_argument("a stream has one Hello")),
            (None, _) => self.close(Status::invalid_argument("a message with nothing in it")),
            (_, Phase::AwaitingHello) => self.close(Status::invalid_argument("a stream begins with Hello")),
            (Some(Kind::Ack(ack)), _) => {
                if let Some(answered) = self.answered(&ack.nonce, now) {
                    self.acknowledge(&answered);
                }
            }
            (Some(Kind::Nack(nack)), _) => {
                if let Some(answered) = self.answered(&nack.nonce, now) {
                    self.refuse(answered, nack, now);
                }
            }
        }
    }

    fn greet(&mut self, hello: Hello) {
        match parse(hello) {
            Ok((greeting, [position, newest])) => {
                self.effects.push(Effect::Welcome(greeting));
                let (Some(position), Some(newest)) = (position, newest) else { return self.begin_snapshot() };
                self.phase = Phase::Checking(position);
                self.effects.push(Effect::CheckResume([position, newest]));
            }
            Err(reason) => self.close(Status::invalid_argument(reason)),
        }
    }

    fn resume(&mut self, resumable: bool) {
        let Phase::Checking(position) = self.phase else { return };
        if !resumable {
            return self.begin_snapshot();
        }
        self.phase = Phase::Serving(position);
        self.reach(position);
        self.progress.sent = position.revision;
    }

    fn begin_snapshot(&mut self) {
        self.phase = Phase::Serving(self.head);
        self.transfer = Some(Transfer::snapshot(self.head));
    }

    fn hold(&mut self, batch: Batch<C>) {
        if let Some(transfer) = &mut self.transfer {
            transfer.hold(batch);
        }
    }

    fn follow(&mut self, head: Position) {
        if head.revision < self.head.revision
            || (head.revision == self.head.revision && head.tag != self.head.tag)
        {
            return self.abandon();
        }
        self.head = head;
    }

    fn abandon(&mut self) {
        self.close(Status::unavailable("the control plane's history was replaced"));
    }

    /// Takes the oldest response off the window, if that is what the nonce stands for.
    fn answered(&mut self, nonce: &str, now: Instant) -> Option<Unanswered> {
        if self.unanswered.front().is_none_or(|oldest| oldest.response.nonce != nonce) {
            self.close(Status::invalid_argument("the nonce is not that of the oldest unanswered response"));
            return None;
        }
        self.waiting_since = now;
        self.unanswered.pop_front()
    }

    fn acknowledge(&mut self, answered: &Unanswered) {
        self.refusals = 0;
        if !self.progress.quarantined.is_empty() {
            for name in resource::names(&answered.response) {
                self.progress.quarantined.remove(&name);
            }
        }
        if let Some(position) = answered.completes {
            self.reach(position);
        }
    }

    /// Everything up to there is applied.
    fn reach(&mut self, Position { revision, tag }: Position) {
        self.progress.acknowledged = revision;
        self.progress.tag = tag;
    }

    fn refuse(&mut self, refused: Unanswered, nack: Nack, now: Instant) {
        let Unanswered { mut response, completes } = refused;
        let named: HashSet<_> = resource::names(&response).collect();
        let blamed: BTreeMap<_, _> = nack
            .rejected
            .into_iter()
            .filter(|rejected| named.contains(&rejected.resource))
            .map(|rejected| (rejected.resource, shorten(&rejected.reason)))
            .collect();
        if let Some((name, reason)) = blamed.first_key_value() {
            self.progress.last_error = Some(format!("{name}: {reason}"));
        } else {
            self.progress.last_error = Some(shorten(&nack.error_detail));
            self.refusals += 1;
        }
        let newer: HashSet<_> =
            self.unanswered.iter().flat_map(|later| resource::names(&later.response)).collect();
        resource::strip(&mut response, |name| blamed.contains_key(name) || newer.contains(name));
        self.progress.quarantined.extend(blamed);
        if self.refusals >= self.settings.refusals {
            self.close(Status::failed_precondition("the gateway keeps refusing a response"));
        } else if self.progress.quarantined.len() > MAX_QUARANTINED {
            self.close(Status::failed_precondition("the gateway refuses too many resources"));
        } else {
            self.send(response, completes, now);
        }
    }

    fn check_deadline(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let owed = if self.phase == Phase::AwaitingHello { "Hello" } else { "answer" };
        self.close(Status::deadline_exceeded(format!("no {owed} in {:?}", self.settings.ack_timeout)));
    }

    /// Begins, reads and sends as much as the rules let it.
    fn advance(&mut self, now: Instant) {
        let Phase::Serving(has) = self.phase else { return };
        if self.transfer.is_none() && self.unanswered.is_empty() && self.head.revision > has.revision {
            self.transfer = Some(Transfer::increment(has.revision, self.head));
            self.phase = Phase::Serving(self.head);
        }
        loop {
            let Some(transfer) = &mut self.transfer else { return };
            if let Some((from, cursor)) = transfer.ask() {
                self.effects.push(Effect::Read(from, cursor));
            }
            let Some(alone) = transfer.goes_alone() else { return };
            let room =
                if alone { self.unanswered.is_empty() } else { self.unanswered.len() < self.settings.window };
            let beginning = self.unanswered.iter().any(|it| it.response.part() == Part::SnapshotBegin);
            if !room || beginning {
                return;
            }
            let Some((response, completes)) = transfer.take() else { return };
            if completes.is_some() {
                self.transfer = None;
            }
            self.send(response, completes, now);
        }
    }

    fn send(&mut self, mut response: DiscoveryResponse, completes: Option<Position>, now: Instant) {
        self.responses += 1;
        response.nonce = format!("{}-{}", self.stream, self.responses);
        response.position = completes.filter(|_| self.leaves_no_gap(&response)).map(Into::into);
        if self.unanswered.is_empty() {
            self.waiting_since = now;
        }
        if let Some(position) = completes {
            self.progress.sent = position.revision;
        }
        self.effects.push(Effect::Send(Box::new(response.clone())));
        self.unanswered.push_back(Unanswered { response, completes });
    }

    /// Whether nothing is left in quarantine once this response is applied.
    fn leaves_no_gap(&self, response: &DiscoveryResponse) -> bool {
        if self.progress.quarantined.is_empty() {
            return true;
        }
        let named: HashSet<_> = resource::names(response).collect();
        self.progress.quarantined.keys().all(|name| named.contains(name))
    }

    fn close(&mut self, status: Status) {
        self.phase = Phase::Closed;
        self.effects.push(Effect::Close(status));
    }
}

impl std::convert::From<Position> for wire::Position {
    fn from(Position { revision, tag }: Position) -> Self {
        Self { revision, tag: tag.to_vec() }
    }
}

fn parse(hello: Hello) -> Result<(Greeting, [Option<Position>; 2]), &'static str> {
    let Hello { gateway, instance, position, newest } = hello;
    for text in [&gateway, &instance] {
        if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
            return Err("gateway and instance are 1 to 256 bytes without control characters");
        }
    }
    if gateway == RESERVED_NAME {
        return Err("no gateway can be called `lost`: give Envoy another node id");
    }
    Ok((Greeting { gateway, instance }, [point(position)?, point(newest)?]))
}

fn point(position: Option<wire::Position>) -> Result<Option<Position>, &'static str> {
    let Some(wire::Position { revision, tag }) = position else { return Ok(None) };
    let tag = tag.try_into().map_err(|_| "a position's tag is 16 bytes")?;
    Ok(Some(Position { revision, tag }))
}

fn shorten(reason: &str) -> String {
    if reason.is_empty() { "no reason given".to_owned() } else { reason.chars().take(MAX_REASON).collect() }
}
