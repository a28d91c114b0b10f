use latchkey_proto::discovery::{Ack, KeyRecord, Rejected};
use latchkey_proto::key::KeyHash;
use tonic::Code;

use super::*;

/// A stream with its clock.
struct Talk {
    session: Session<u32>,
    now: Instant,
}

fn at(revision: u64) -> Position {
    Position { revision, tag: [u8::try_from(revision).unwrap(); 16] }
}

fn key(id: u8) -> KeyRecord {
    KeyRecord { hash: vec![id; 32], ..KeyRecord::default() }
}

fn name(id: u8) -> String {
    resource::key(&KeyHash::from([id; 32]))
}

fn keys(ids: &[u8], next: Option<u32>) -> Batch<u32> {
    Batch { keys: ids.iter().copied().map(key).collect(), next, ..Batch::default() }
}

fn ids(response: &DiscoveryResponse) -> Vec<u8> {
    response.keys.iter().map(|key| key.hash[0]).collect()
}

impl Talk {
    fn opened(head: u64) -> Self {
        let now = Instant::now();
        Self { session: Session::new(Settings::default(), 7, at(head), now), now }
    }

    /// A gateway that has everything up to `revision`.
    fn resumed(revision: u64) -> Self {
        let mut talk = Self::opened(revision);
        talk.hello(Some(at(revision)));
        assert!(talk.on(Event::Resumable(true)).is_empty());
        talk
    }

    fn on(&mut self, event: Event<u32>) -> Vec<Effect<u32>> {
        self.session.on(event, self.now)
    }

    fn say(&mut self, kind: Kind) -> Vec<Effect<u32>> {
        self.on(Event::Message(DiscoveryRequest { kind: Some(kind) }))
    }

    fn hello(&mut self, position: Option<Position>) -> Vec<Effect<u32>> {
        let position: Option<wire::Position> = position.map(Into::into);
        let newest = position.clone();
        self.say(Kind::Hello(Hello {
            gateway: "gw-1".to_owned(),
            instance: "a".to_owned(),
            position,
            newest,
        }))
    }

    fn ack(&mut self, response: &DiscoveryResponse) -> Vec<Effect<u32>> {
        self.say(Kind::Ack(Ack { nonce: response.nonce.clone() }))
    }

    fn nack(&mut self, response: &DiscoveryResponse, rejected: &[u8]) -> Vec<Effect<u32>> {
        let rejected: Vec<_> = rejected
            .iter()
            .map(|id| Rejected { resource: name(*id), reason: "bad status".to_owned() })
            .collect();
        let error_detail = if rejected.is_empty() { "no room".to_owned() } else { String::new() };
        self.say(Kind::Nack(Nack { nonce: response.nonce.clone(), error_detail, rejected }))
    }

    /// The head moves, and the read that follows is answered.
    fn change(&mut self, revision: u64, batch: Batch<u32>) -> Vec<Effect<u32>> {
        let mut effects = self.on(Event::Head(at(revision)));
        assert!(matches!(effects.pop(), Some(Effect::Read(From::After(_), None))));
        self.on(Event::Read(batch))
    }
}

fn only_response(effects: Vec<Effect<u32>>) -> DiscoveryResponse {
    match <[_; 1]>::try_from(effects) {
        Ok([Effect::Send(response)]) => *response,
        other => panic!("not one response: {other:?}"),
    }
}

fn sent_and_read(effects: Vec<Effect<u32>>) -> (DiscoveryResponse, Option<u32>) {
    match <[_; 2]>::try_from(effects) {
        Ok([Effect::Send(response), Effect::Read(_, cursor)]) => (*response, cursor),
        other => panic!("not a response and a read: {other:?}"),
    }
}

fn closed(effects: &[Effect<u32>]) -> Code {
    match effects {
        [Effect::Close(status)] => status.code(),
        other => panic!("not closed: {other:?}"),
    }
}

#[test]
fn a_stream_begins_with_hello_and_has_one() {
    assert_eq!(closed(&Talk::opened(1).say(Kind::Ack(Ack::default()))), Code::InvalidArgument);
    assert_eq!(closed(&Talk::resumed(1).hello(None)), Code::InvalidArgument);
    let empty = Event::Message(DiscoveryRequest { kind: None });
    assert_eq!(closed(&Talk::opened(1).on(empty)), Code::InvalidArgument);
}

#[test]
fn a_gateway_needs_a_name() {
    let nameless = Hello { gateway: String::new(), instance: "a".to_owned(), position: None, newest: None };
    assert_eq!(closed(&Talk::opened(1).say(Kind::Hello(nameless))), Code::InvalidArgument);
}

#[test]
fn a_gateway_is_not_called_as_a_list_of_the_api() {
    let lost = Hello { gateway: "lost".to_owned(), instance: "a".to_owned(), position: None, newest: None };
    assert_eq!(closed(&Talk::opened(1).say(Kind::Hello(lost))), Code::InvalidArgument);
}

#[test]
fn a_gateway_that_is_up_to_date_is_sent_nothing() {
    let talk = Talk::resumed(5);
    assert_eq!(talk.session.progress().acknowledged, 5);
    assert_eq!(talk.session.deadline(), None);
}

#[test]
fn a_gateway_that_is_behind_is_sent_only_what_came_after() {
    let mut talk = Talk::opened(9);
    talk.hello(Some(at(5)));
    let effects = talk.on(Event::Resumable(true));
    assert!(matches!(effects[..], [Effect::Read(From::After(5), None)]), "{effects:?}");
    let response = only_response(talk.on(Event::Read(keys(&[1], None))));
    assert_eq!(response.part(), Part::Increment);
    assert_eq!(response.position, Some(at(9).into()));
    assert_eq!(talk.session.progress().acknowledged, 5);
    assert!(talk.ack(&response).is_empty());
    assert_eq!(talk.session.progress().acknowledged, 9);
}

#[test]
fn a_gateway_with_nothing_is_sent_a_snapshot() {
    let mut talk = Talk::opened(9);
    let effects = talk.hello(None);
    assert!(matches!(effects[..], [Effect::Welcome(_), Effect::Read(From::Everything, None)]), "{effects:?}");
    let begin = only_response(talk.on(Event::Read(keys(&[1, 2], None))));
    assert_eq!((begin.part(), begin.position.clone()), (Part::SnapshotBegin, None));
    let end = only_response(talk.ack(&begin));
    assert_eq!((end.part(), end.position.clone()), (Part::SnapshotEnd, Some(at(9).into())));
    assert_eq!(talk.session.progress().acknowledged, 0);
    talk.ack(&end);
    assert_eq!(talk.session.progress().acknowledged, 9);
}

#[test]
fn a_gateway_from_another_history_is_sent_a_snapshot() {
    let mut talk = Talk::opened(9);
    let effects = talk.hello(Some(at(12)));
    assert!(matches!(effects[..], [Effect::Welcome(_), Effect::CheckResume(_)]), "{effects:?}");
    let effects = talk.on(Event::Resumable(false));
    assert!(matches!(effects[..], [Effect::Read(From::Everything, None)]), "{effects:?}");
}

#[test]
fn a_snapshot_is_pipelined_and_its_end_waits_for_the_rest() {
    let mut talk = Talk::opened(9);
    talk.hello(None);
    let (begin, _) = sent_and_read(talk.on(Event::Read(keys(&[0], Some(1)))));
    assert!(talk.on(Event::Read(keys(&[1], Some(2)))).is_empty(), "parts wait for the beginning");
    let (first, _) = sent_and_read(talk.ack(&begin));
    let mut parts = vec![first];
    for id in 2..9 {
        parts.push(sent_and_read(talk.on(Event::Read(keys(&[id], Some(u32::from(id) + 1))))).0);
    }
    assert!(talk.on(Event::Read(keys(&[9], Some(10)))).is_empty(), "the window is full");
    parts.push(sent_and_read(talk.ack(&parts[0].clone())).0);
    assert!(talk.on(Event::Read(keys(&[10], None))).is_empty());
    for part in &parts[1..8] {
        assert_eq!(part.part(), Part::SnapshotPart);
        assert!(talk.ack(part).is_empty(), "the end waits");
    }
    let end = only_response(talk.ack(&parts[8]));
    assert_eq!((end.part(), ids(&end)), (Part::SnapshotEnd, vec![10]));
}

#[test]
fn changes_made_while_a_response_is_under_way_follow_its_ack_together() {
    let mut talk = Talk::resumed(1);
    let response = only_response(talk.change(2, keys(&[1], None)));
    assert!(talk.on(Event::Head(at(3))).is_empty());
    assert!(talk.on(Event::Head(at(4))).is_empty());
    let effects = talk.ack(&response);
    assert!(matches!(effects[..], [Effect::Read(From::After(2), None)]), "{effects:?}");
    assert_eq!(only_response(talk.on(Event::Read(keys(&[2], None)))).position, Some(at(4).into()));
}

#[test]
fn a_nonce_that_is_unknown_repeated_or_out_of_turn_ends_the_stream() {
    let mut talk = Talk::resumed(1);
    let response = only_response(talk.change(2, keys(&[1], None)));
    talk.ack(&response);
    assert_eq!(closed(&talk.ack(&response)), Code::InvalidArgument);

    let mut talk = Talk::resumed(1);
    talk.change(2, keys(&[1], Some(1)));
    let (second, _) = sent_and_read(talk.on(Event::Read(keys(&[2], Some(2)))));
    assert_eq!(closed(&talk.ack(&second)), Code::InvalidArgument);

    let of_another_stream = DiscoveryResponse { nonce: "6-1".to_owned(), ..DiscoveryResponse::default() };
    let mut talk = Talk::resumed(1);
    talk.change(2, keys(&[1], None));
    assert_eq!(closed(&talk.ack(&of_another_stream)), Code::InvalidArgument);
}

#[test]
fn what_a_nack_names_is_left_out_and_holds_the_position_back() {
    let mut talk = Talk::resumed(1);
    let response = only_response(talk.change(2, keys(&[1, 2], None)));
    let again = only_response(talk.nack(&response, &[2]));
    assert_ne!(again.nonce, response.nonce);
    assert_eq!((ids(&again), again.position.clone()), (vec![1], None));
    assert_eq!(talk.session.progress().acknowledged, 1);
    talk.ack(&again);
    let progress = talk.session.progress();
    assert_eq!(progress.acknowledged, 2);
    assert_eq!(progress.quarantined, BTreeMap::from([(name(2), "bad status".to_owned())]));
    assert_eq!(progress.last_error, Some(format!("{}: bad status", name(2))));
    let next = only_response(talk.change(3, keys(&[3], None)));
    assert_eq!(next.position, None);
}

#[test]
fn a_quarantined_resource_is_tried_again_when_it_changes() {
    let mut talk = Talk::resumed(1);
    let response = only_response(talk.change(2, keys(&[2], None)));
    let empty = only_response(talk.nack(&response, &[2]));
    talk.ack(&empty);
    let retry = only_response(talk.change(3, keys(&[2], None)));
    assert_eq!((ids(&retry), retry.position.clone()), (vec![2], Some(at(3).into())));
    assert!(talk.session.progress().quarantined.contains_key(&name(2)), "until it is acknowledged");
    talk.ack(&retry);
    assert!(talk.session.progress().quarantined.is_empty());
}

#[test]
fn a_removal_ends_the_quarantine() {
    let mut talk = Talk::resumed(1);
    let response = only_response(talk.change(2, keys(&[2], None)));
    let empty = only_response(talk.nack(&response, &[2]));
    talk.ack(&empty);
    let removal = Batch { removed_keys: vec![KeyHash::from([2; 32])], ..Batch::default() };
    let removal = only_response(talk.change(3, removal));
    assert_eq!(removal.position, Some(at(3).into()));
    talk.ack(&removal);
    assert!(talk.session.progress().quarantined.is_empty());
}

#[test]
fn a_response_sent_again_takes_nothing_back_that_a_later_one_changed() {
    let mut talk = Talk::resumed(1);
    let (first, _) = sent_and_read(talk.change(2, keys(&[1, 2, 3], Some(1))));
    let (_second, _) = sent_and_read(talk.on(Event::Read(keys(&[3], Some(2)))));
    let again = only_response(talk.nack(&first, &[2]));
    assert_eq!(ids(&again), [1]);
}

#[test]
fn the_beginning_of_a_snapshot_stays_the_beginning_when_sent_again() {
    let mut talk = Talk::opened(9);
    talk.hello(None);
    let (begin, _) = sent_and_read(talk.on(Event::Read(keys(&[1, 2], Some(1)))));
    talk.on(Event::Read(keys(&[3], None)));
    let again = only_response(talk.nack(&begin, &[1]));
    assert_eq!((again.part(), ids(&again)), (Part::SnapshotBegin, vec![2]));
    let end = only_response(talk.ack(&again));
    let again = only_response(talk.nack(&end, &[3]));
    assert_eq!((again.part(), ids(&again), again.position.clone()), (Part::SnapshotEnd, vec![], None));
    talk.ack(&again);
    assert_eq!(talk.session.progress().acknowledged, 9);
    assert_eq!(talk.session.progress().quarantined.len(), 2);
}

#[test]
fn a_response_refused_as_a_whole_three_times_ends_the_stream() {
    let mut talk = Talk::resumed(1);
    let mut response = only_response(talk.change(2, keys(&[1], None)));
    for _ in 0..2 {
        response = only_response(talk.nack(&response, &[]));
        assert_eq!((ids(&response), response.position.clone()), (vec![1], Some(at(2).into())));
    }
    assert_eq!(closed(&talk.nack(&response, &[])), Code::FailedPrecondition);
    assert_eq!(talk.session.progress().last_error.as_deref(), Some("no room"));
    assert_eq!(talk.session.progress().acknowledged, 1);
}

#[test]
fn blaming_a_resource_that_was_not_sent_is_refusing_the_whole() {
    let mut talk = Talk::resumed(1);
    let response = only_response(talk.change(2, keys(&[1], None)));
    let again = only_response(talk.nack(&response, &[9]));
    assert_eq!(ids(&again), [1]);
    assert!(talk.session.progress().quarantined.is_empty());
}

#[test]
fn a_gateway_that_does_not_answer_in_time_is_let_go() {
    let mut talk = Talk::resumed(1);
    let response = only_response(talk.change(2, keys(&[1], None)));
    assert_eq!(talk.session.deadline(), Some(talk.now + Duration::from_secs(10)));
    talk.now += Duration::from_secs(9);
    assert!(talk.on(Event::Tick).is_empty());
    talk.now += Duration::from_secs(1);
    assert_eq!(closed(&talk.on(Event::Tick)), Code::DeadlineExceeded);
    assert!(talk.ack(&response).is_empty(), "nothing follows");
}

#[test]
fn a_stream_without_hello_is_let_go() {
    let mut talk = Talk::opened(1);
    talk.now += Duration::from_secs(10);
    assert_eq!(closed(&talk.on(Event::Tick)), Code::DeadlineExceeded);
}

fn assert_replaced(effects: &[Effect<u32>]) {
    match effects {
        [Effect::Close(status)] => {
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(status.message(), "the control plane's history was replaced");
        }
        other => panic!("not closed: {other:?}"),
    }
}

#[test]
fn another_history_ends_the_stream_at_any_time() {
    assert_replaced(&Talk::opened(5).on(Event::HistoryReplaced));
    let mut talk = Talk::resumed(5);
    let response = only_response(talk.change(6, keys(&[1], None)));
    assert_replaced(&talk.on(Event::HistoryReplaced));
    assert!(talk.ack(&response).is_empty(), "nothing follows");
    assert_eq!(talk.session.progress().acknowledged, 5, "and nothing is proven");
}

#[test]
fn a_head_that_this_history_cannot_have_ends_the_stream() {
    assert_replaced(&Talk::resumed(5).on(Event::Head(at(4))));
    assert_replaced(&Talk::resumed(5).on(Event::Head(Position { tag: [9; 16], ..at(5) })));
    assert!(Talk::resumed(5).on(Event::Head(at(5))).is_empty());
}
