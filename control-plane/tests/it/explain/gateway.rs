//! A gateway's pure parts, fed by the feed and leased to by the book.

use jiff::Timestamp;
use latchkey_discovery::source::From;
use latchkey_filter_core::discovery::replica::{DiscoveryOutcome, Replica};
use latchkey_filter_core::discovery::update::Part;
use latchkey_filter_core::discovery::view::View;
use latchkey_filter_core::gate::{self, BodyDecision, Gate, HeadersDecision, World};
use latchkey_filter_core::ledger::{LedgerClient, LedgerConfig, LedgerEffect, LedgerEvent};
use latchkey_filter_core::limits::account::Patience;
use latchkey_filter_core::request::header::{Header, Headers};
use latchkey_filter_core::snapshot::UnixMs;
use latchkey_filter_core::store::memory::Memory;
use latchkey_proto::discovery as wire;
use latchkey_proto::ledger::{LedgerRequest, LedgerResponse};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::ledger::gateway::ControlPlane;
use crate::support::Test;

/// When and where a request comes.
pub struct Place {
    pub at: Timestamp,
    pub address: Option<std::net::IpAddr>,
}

impl World for Place {
    fn now(&self) -> UnixMs {
        UnixMs(self.at.as_millisecond())
    }

    fn client_address(&self) -> Option<std::net::IpAddr> {
        self.address.map(|address| address.to_canonical())
    }
}

/// What a gateway that has just started does with a request.
pub async fn decide(
    test: &Test,
    control_plane: &ControlPlane,
    token: &str,
    instance: &str,
    headers: &[Header],
    body: &[u8],
    place: &Place,
) -> BodyDecision {
    let store = Memory::default();
    sync(test, &store, place).await;
    let view = View::new(&store);
    let admitted = match gate::admit(Headers(headers), &view, place) {
        HeadersDecision::Reply(reply) => return BodyDecision::Reply(reply),
        HeadersDecision::NeedBody(admitted) => admitted,
    };
    let (requests, responses) = control_plane.open(token).await.unwrap();
    let config = LedgerConfig {
        gateway: "edge-1".to_owned(),
        instance: instance.to_owned(),
        ring_capacity: 8,
        away_after_ms: 2000,
        offline_limits_ms: 0,
    };
    let ledger = LedgerClient::resume(&store, config);
    let mut stream = Stream { ledger, requests, responses, now_ms: place.at.as_millisecond() };
    stream.on(LedgerEvent::Connected).await;
    for round in 0..200 {
        let patience = if round < 100 { Patience::Whole } else { Patience::Over };
        let gate = Gate { view: &view, world: place, has_room: true, patience };
        match admitted.decide(|| body.to_vec(), &gate) {
            BodyDecision::Wait(demand) => stream.on(LedgerEvent::Demand(demand.encode())).await,
            decided => return decided,
        }
    }
    panic!("the request waits for ever");
}

async fn sync(test: &Test, store: &Memory, place: &Place) {
    let batch = test.store.feed_batch(From::Everything, None, 1000).await.unwrap();
    let part =
        |part: Part| wire::DiscoveryResponse { part: part.into(), ..wire::DiscoveryResponse::default() };
    let end = wire::DiscoveryResponse {
        catalogue: batch.catalogue,
        apps: batch.apps,
        keys: batch.keys,
        position: Some(wire::Position { revision: 1, tag: vec![1] }),
        ..part(Part::SnapshotEnd)
    };
    let mut replica = Replica::resume(store, 1);
    for response in [part(Part::SnapshotBegin), end] {
        assert_eq!(replica.receive(response), DiscoveryOutcome::Applied);
    }
    replica.beat(place.now()).unwrap();
}

struct Stream<'a> {
    ledger: LedgerClient<&'a Memory>,
    requests: mpsc::Sender<LedgerRequest>,
    responses: Streaming<LedgerResponse>,
    now_ms: i64,
}

impl Stream<'_> {
    /// Does what the event comes to, until nothing is left to be answered.
    async fn on(&mut self, event: LedgerEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.ledger.on(event, self.now_ms) {
                let LedgerEffect::Send(request) = effect else { continue };
                let is_report =
                    matches!(request.kind, Some(latchkey_proto::ledger::ledger_request::Kind::Report(_)));
                self.requests.send(request).await.unwrap();
                if is_report {
                    let response = self.responses.message().await.unwrap().expect("the stream is open");
                    events.push(LedgerEvent::Response(response));
                }
            }
        }
    }
}
