//! Which target a failed try is booked on, and what is charged for it.

use super::*;
use crate::record::meter::may_have_connected;

#[test]
fn a_target_without_a_host_rests_and_what_the_one_before_has_read_is_charged() {
    let store = grouped(&[(BUDGET, 1_000_000_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    let mut tried = None;
    let mut input = 0;
    let record = record(
        &store,
        |attempts, meter| {
            input = meter.call().unwrap().reservation().unwrap().input_tokens.unwrap();
            attempts.borrow_mut().begin("openai", &[], &store, UnixMs(1_000)).unwrap();
            attempts.borrow_mut().ended(0, false, UnixMs(1_100));
            tried = Some(Rc::clone(attempts));
            meter.answered(503, AnswerHead::default());
        },
        UpstreamOutcome::NoHost,
    );
    let ends: Vec<_> = record.attempts.iter().map(|it| (it.provider.as_str(), it.end)).collect();
    assert_eq!(ends, [("openai", AttemptEnd::Connection), ("azure", AttemptEnd::Connection)]);
    assert_eq!((record.cost.0, record.settlement), (1_000 * input, Settlement::Reserved));
    let cooldowns = cooldown::Cooldowns::read(&store);
    assert!(tried.unwrap().borrow().targets().iter().all(|target| cooldowns.rests(target, UnixMs(9_001))));
}

#[test]
fn a_target_whose_circuit_breaker_is_open_rests_and_what_the_one_before_has_read_is_charged() {
    let store = grouped(&[(BUDGET, 1_000_000_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    // Whether the try before was never sent, how many tries Envoy has made, and how many that are of ours.
    for (never_sent, made, tried) in
        [(false, Some(2), 2), (false, None, 2), (true, Some(2), 2), (true, None, 2), (true, Some(1), 1)]
    {
        let settlement = if never_sent { Settlement::None } else { Settlement::Reserved };
        let record = record(
            &store,
            |attempts, meter| {
                attempts.borrow_mut().begin("openai", &[], &store, UnixMs(1_000)).unwrap();
                attempts.borrow_mut().ended(0, never_sent, UnixMs(1_100));
                meter.answered(503, AnswerHead::default());
            },
            UpstreamOutcome::Overflow(made),
        );
        assert_eq!((record.settlement, record.cost.0 > 0), (settlement, !never_sent));
        let ends: Vec<_> = record.attempts.iter().map(|it| it.end).collect();
        assert_eq!(ends, vec![AttemptEnd::Connection; tried], "{never_sent} {made:?}");
        let cooldowns = cooldown::Cooldowns::read(&store);
        let targets = attempts(&forwarded(call(&store, &[], BODY))).borrow().targets().to_vec();
        let rests = |name: &str| {
            let target = targets.iter().find(|it| it.offer.provider.name == name).unwrap();
            cooldowns.rests(target, UnixMs(1_200))
        };
        assert_eq!((rests("openai"), rests("azure")), (true, tried == 2), "{never_sent} {made:?}");
        // The next one finds both well again.
        for target in &targets {
            cooldown::recovered(&store, target, UnixMs(i64::MAX));
        }
    }
}

#[test]
fn what_was_never_connected_was_never_sent() {
    use UpstreamOutcome::{Answered, NeverSent, NoHost, Overflow, Unknown};
    let of_last_try =
        |outcome: UpstreamOutcome| [true, false].map(|connected| outcome.of_last_try(connected, Some(2)));
    for outcome in [Answered, NeverSent, NoHost] {
        assert_eq!(of_last_try(outcome), [outcome; 2]);
    }
    assert_eq!(of_last_try(Unknown), [Unknown, NeverSent]);
    assert_eq!(of_last_try(Overflow(None)), [Unknown, Overflow(Some(2))]);
}

#[test]
fn what_may_have_been_connected_counts_as_connected() {
    let ip = Some("10.0.0.7:443");
    for (local, host, flags, connected) in [
        (Some("10.0.0.1:40000"), ip, 0, true),
        (Some("10.0.0.1:40000"), None, 0, true),
        (None, ip, 0, false),
        (Some(""), Some("[::1]:80"), 0, false),
        // No host was chosen, or none is told yet.
        (None, None, 0, false),
        (None, Some(""), 0, false),
        // Envoy knows no local address of these.
        (None, Some("/run/model.sock"), 0, true),
        (Some(""), Some("@model"), 0x4, true),
        (None, Some("envoy://internal/1"), 0, true),
        (None, Some("/run/model.sock"), 0x20, false),
    ] {
        assert_eq!(may_have_connected(local, host, || flags), connected, "{local:?} {host:?} {flags}");
    }
}

#[test]
fn what_was_sent_is_charged_though_the_next_try_is_refused() {
    let store = grouped(&[(BUDGET, 1_000_000_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    let mut input = 0;
    let record = record(
        &store,
        |attempts, meter| {
            input = meter.call().unwrap().reservation().unwrap().input_tokens.unwrap();
            attempts.borrow_mut().begin("openai", &[], &store, UnixMs(1_000)).unwrap();
            attempts.borrow_mut().ended(0, false, UnixMs(1_100));
            // The slot of the next target has another provider's cluster by now.
            assert!(attempts.borrow_mut().begin("another", &[], &store, UnixMs(1_101)).is_none());
            meter.answered(503, AnswerHead::default());
        },
        UpstreamOutcome::NeverSent,
    );
    let ends: Vec<_> = record.attempts.iter().map(|it| (it.provider.as_str(), it.end)).collect();
    assert_eq!(ends, [("openai", AttemptEnd::Connection), ("azure", AttemptEnd::Connection)]);
    assert_eq!((record.cost.0, record.settlement), (1_000 * input, Settlement::Reserved));
    let targets = attempts(&forwarded(call(&store, &[], BODY))).borrow().targets().to_vec();
    let azure = targets.iter().find(|it| it.offer.provider.name == "azure").unwrap();
    assert!(!cooldown::Cooldowns::read(&store).has_failed(azure), "it is not its fault");
}

#[test]
fn more_tries_than_targets_are_refused_and_what_was_sent_is_charged() {
    let store = grouped(&[(BUDGET, 1_000_000_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    let mut input = 0;
    let record = record(
        &store,
        |attempts, meter| {
            input = meter.call().unwrap().reservation().unwrap().input_tokens.unwrap();
            for (number, provider) in ["openai", "azure"].into_iter().enumerate() {
                let at = UnixMs(1_000 + i64::try_from(number).unwrap());
                attempts.borrow_mut().begin(provider, &[], &store, at).unwrap();
                attempts.borrow_mut().ended(number, false, at);
            }
            assert!(attempts.borrow_mut().begin("azure", &[], &store, UnixMs(1_101)).is_none());
            meter.answered(503, AnswerHead::default());
        },
        UpstreamOutcome::NeverSent,
    );
    assert_eq!((record.settlement, record.attempts.len()), (Settlement::Reserved, 2));
    assert_eq!(record.cost.0, 1_000 * input + 3_000 * input, "the input of both, each at its price");
    assert_eq!(record.provider, "azure");
}
