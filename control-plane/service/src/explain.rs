//! What the gate would decide, asked of the gate itself: a gateway in memory that holds what the feed
//! sends and has no lease yet, and whose ledger stream a dry_run of the book answers.

use std::net::IpAddr;

use jiff::Timestamp;
use latchkey_discovery::source::Batch;
use latchkey_filter_core::answer::denial::Code;
use latchkey_filter_core::answer::reply::Reply;
use latchkey_filter_core::discovery::replica::{DiscoveryOutcome, Replica};
use latchkey_filter_core::discovery::update::Part;
use latchkey_filter_core::discovery::view::View;
use latchkey_filter_core::gate::{self, Admitted, BodyDecision, Gate, HeadersDecision};
use latchkey_filter_core::guardrails::DetectorAnswer;
use latchkey_filter_core::ledger::{LedgerClient, LedgerConfig, LedgerEffect, LedgerEvent};
use latchkey_filter_core::limits::account::{Demand, Patience};
use latchkey_filter_core::request::header::{Header, Headers};
use latchkey_filter_core::snapshot::UnixMs;
use latchkey_filter_core::store::memory::Memory;
use latchkey_filter_core::upstream::forward::Forward;
use latchkey_ledger::transaction::DryRun;
use latchkey_proto::discovery as wire;
use latchkey_proto::key::KeyHash;
use latchkey_proto::ledger::ledger_request::Kind;
use latchkey_store::feed::FeedCursor;

/// A request that nobody sent. Its headers may hold a user's token, so it cannot be printed.
#[derive(Clone)]
pub struct Question {
    /// The key that it carries, by the hash of its secret.
    pub key: KeyHash,
    /// Its headers with the pseudo-headers, but for the key.
    pub headers: Vec<Header>,
    /// Its body.
    pub body: Vec<u8>,
    /// The client's address; none where it cannot be told.
    pub address: Option<IpAddr>,
    /// When it comes.
    pub at: Timestamp,
}

/// What a gateway would do.
#[derive(Debug)]
pub enum Answer {
    /// Answer by itself.
    Reply(Reply),
    /// Let the provider answer.
    Forward(Box<Forward>),
}

/// Gateways refuse what they would have to hold, and keep what they held before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gateways refuse it: {0}")]
pub struct Refused(String);

/// Each answer of the book has units, or says that there are none; slices of a budget shrink, but a
/// request is served with what it needs at least.
const MOST_ROUNDS: usize = 200;
/// In these a request waits for all that it may have; then it takes what there is.
const PATIENT_ROUNDS: usize = 100;

/// Decides about a request by what gateways `held` and the limits' rest.
///
/// # Errors
/// What they are to hold is refused by gateways.
pub fn explain(held: Batch<FeedCursor>, mut limits: DryRun, question: &Question) -> Result<Answer, Refused> {
    let Question { key, headers, body, .. } = question;
    let store = Memory::default();
    let Batch { catalogue, apps, keys, .. } = held;
    hold(&store, catalogue, apps, keys, question.at)?;
    let view = View::new(&store);
    let admitted = match gate::admit_key(*key, Headers(headers), &view, question) {
        HeadersDecision::Reply(reply) => return Ok(Answer::Reply(reply)),
        HeadersDecision::NeedBody(admitted) => admitted,
    };
    let mut sync = Sync::connect(&store, &mut limits, question.at);
    Ok(decide(&admitted, body, &view, question, &mut sync))
}

/// No time passes: what others hold now decides, as it does once a request has waited for it in vain.
fn decide(
    admitted: &Admitted,
    body: &[u8],
    view: &View<&Memory>,
    world: &Question,
    sync: &mut Sync<'_>,
) -> Answer {
    let mut rounds = 0;
    loop {
        rounds += 1;
        let patience = if rounds <= PATIENT_ROUNDS { Patience::Whole } else { Patience::Over };
        let gate = Gate { view, world, has_room: true, patience };
        if rounds > MOST_ROUNDS {
            return Answer::Reply(admitted.refuse(&Code::LeaseUnavailable.into()));
        }
        match admitted.decide(|| body.to_vec(), &gate) {
            BodyDecision::Forward(forward) => return Answer::Forward(forward),
            BodyDecision::Reply(reply) => return Answer::Reply(reply),
            BodyDecision::Wait(demand) => sync.ask(demand),
            // No detector is asked about a text that nobody has written.
            BodyDecision::Ask(calls) => {
                admitted.judged(calls.iter().map(|_| Ok(DetectorAnswer::default())).collect());
            }
        }
    }
}

/// Brings what gateways hold into the store, as the discovery stream does.
///
/// # Errors
/// Gateways refuse something of it.
pub(crate) fn hold(
    store: &Memory,
    catalogue: Option<wire::Catalogue>,
    apps: Vec<wire::AppPolicy>,
    keys: Vec<wire::KeyRecord>,
    at: Timestamp,
) -> Result<(), Refused> {
    let mut replica = Replica::resume(store, 0);
    let position = Some(wire::Position { revision: 1, tag: Vec::new() });
    let part =
        |part: Part| wire::DiscoveryResponse { part: part.into(), ..wire::DiscoveryResponse::default() };
    let end = wire::DiscoveryResponse { catalogue, apps, keys, position, ..part(Part::SnapshotEnd) };
    for response in [part(Part::SnapshotBegin), end] {
        if let DiscoveryOutcome::Rejected(refusal) = replica.receive(response) {
            let rejected: Vec<_> = refusal.rejected.iter().map(ToString::to_string).collect();
            return Err(Refused([vec![refusal.error_detail], rejected].concat().join(" ").trim().to_owned()));
        }
    }
    replica.beat(UnixMs(at.as_millisecond())).map_err(|error| Refused(error.to_string()))
}

impl gate::World for Question {
    fn now(&self) -> UnixMs {
        UnixMs(self.at.as_millisecond())
    }

    fn client_address(&self) -> Option<IpAddr> {
        self.address.map(|address| address.to_canonical())
    }
}

/// The sync role, whose stream ends at the dry_run.
struct Sync<'a> {
    ledger: LedgerClient<&'a Memory>,
    limits: &'a mut DryRun,
    now_ms: i64,
}

impl<'a> Sync<'a> {
    fn connect(store: &'a Memory, limits: &'a mut DryRun, at: Timestamp) -> Self {
        let config = LedgerConfig {
            gateway: "dry-run".to_owned(),
            instance: "dry-run".to_owned(),
            ring_capacity: 1,
            away_after_ms: u64::MAX,
            offline_limits_ms: 0,
        };
        let ledger = LedgerClient::resume(store, config);
        let mut sync = Self { ledger, limits, now_ms: at.as_millisecond() };
        sync.on(LedgerEvent::Connected);
        sync
    }

    fn ask(&mut self, demand: Demand) {
        self.on(LedgerEvent::Demand(demand.encode()));
    }

    fn on(&mut self, event: LedgerEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.ledger.on(event, self.now_ms) {
                let LedgerEffect::Send(request) = effect else { continue };
                if let Some(Kind::Report(report)) = request.kind {
                    events.push(LedgerEvent::Response(self.limits.answer(report)));
                }
            }
        }
    }
}
