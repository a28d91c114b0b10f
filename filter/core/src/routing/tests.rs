use std::collections::BTreeMap;

use latchkey_proto::discovery as wire;
use latchkey_proto::ledger::AttemptEnd;

use super::cooldown::{self, Failure};
use super::*;
use crate::testing::{self, TestMemory};

/// A catalogue whose group `fast` has these targets, as provider, model and weight.
fn catalogue(targets: &[(&str, &str, u32)], balance: wire::RoutingBalance) -> Catalogue {
    let mut catalogue = testing::catalogue();
    for (at, provider) in catalogue.providers.iter_mut().enumerate() {
        provider.group_cluster = format!("latchkey/group/{at:02}");
    }
    catalogue.routing_groups = vec![testing::routing_group("fast", targets)];
    catalogue.routing_groups[0].balance = balance.into();
    Catalogue::try_from(catalogue).unwrap()
}

fn app() -> AppPolicy {
    let routing_groups = Some(testing::only(&["fast"]));
    AppPolicy::try_from(wire::AppPolicy { routing_groups, ..testing::app() }).unwrap()
}

const TWO: [(&str, &str, u32); 2] = [("openai", "gpt-4o", 70), ("azure", "gpt-4o", 30)];

struct Place {
    catalogue: Catalogue,
    cooldowns: Cooldowns,
    shares: TokenShares,
}

impl Place {
    fn new(targets: &[(&str, &str, u32)], balance: wire::RoutingBalance) -> Self {
        Self {
            catalogue: catalogue(targets, balance),
            cooldowns: Cooldowns::default(),
            shares: TokenShares::default(),
        }
    }

    fn group(&self) -> &Rc<RoutingGroup> {
        self.catalogue.routing_group("fast").unwrap()
    }

    fn targets(&self, random: u64, conversation: &str, now: i64) -> Vec<Rc<RoutingTarget>> {
        let choice = Choice {
            conversation,
            random,
            cooldowns: &self.cooldowns,
            shares: &self.shares,
            wanted: None,
            now: UnixMs(now),
        };
        targets(self.group(), &app(), ModelOperation::ChatCompletions, 10, &choice).unwrap()
    }

    fn order(&self, random: u64, conversation: &str, now: i64) -> Vec<String> {
        let targets = self.targets(random, conversation, now);
        targets.iter().map(|target| target.offer.provider.name.clone()).collect()
    }
}

/// The sum of squared deviations, each by what was expected.
fn chi_squared(seen: &BTreeMap<String, f64>, expected: &[(&str, f64)]) -> f64 {
    let term = |(name, expected): &(&str, f64)| {
        let seen = seen.get(*name).copied().unwrap_or_default();
        (seen - expected).powi(2) / expected
    };
    expected.iter().map(term).sum()
}

#[test]
fn requests_are_spread_by_weight() {
    let place = Place::new(&TWO, wire::RoutingBalance::Requests);
    for seed in 0..5_u64 {
        let mut seen = BTreeMap::<String, f64>::new();
        for at in 0..20_000_u64 {
            // As a worker draws them: from a clock.
            let clock = (1_700_000_000_000_000_000 + seed + at * 137_291).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *seen.entry(place.order(clock ^ (clock >> 29), "", 0).remove(0)).or_default() += 1.0;
        }
        let told = chi_squared(&seen, &[("openai", 14_000.0), ("azure", 6_000.0)]);
        assert!(told < 10.83, "p < 0.001: {told}, {seen:?}");
    }
}

#[test]
fn a_target_without_weight_serves_only_where_the_others_fail() {
    let place =
        Place::new(&[("azure", "gpt-4o", 0), ("openai", "gpt-4o", 100)], wire::RoutingBalance::Requests);
    for random in 0..200 {
        assert_eq!(place.order(random, "", 0), ["openai", "azure"]);
    }
}

#[test]
fn a_conversation_stays_and_conversations_are_spread_by_weight() {
    let mut place = Place::new(&TWO, wire::RoutingBalance::Requests);
    let mut seen = BTreeMap::<String, f64>::new();
    for at in 0..5_000_u64 {
        let conversation = format!("c{at}");
        let order = place.order(at, &conversation, 0);
        assert_eq!(order, place.order(at + 1, &conversation, 0));
        *seen.entry(order[0].clone()).or_default() += 1.0;
    }
    let told = chi_squared(&seen, &[("openai", 3_500.0), ("azure", 1_500.0)]);
    assert!(told < 10.83, "p < 0.001: {told}, {seen:?}");
    // While one rests the conversations of the other stay where they are, and it finds its own again.
    let store = TestMemory::default();
    cooldown::begin(&store).unwrap();
    let before: Vec<_> = (0..100).map(|at| place.order(0, &format!("c{at}"), 0)).collect();
    let azure = Rc::clone(&place.group().tiers[0].targets[1]);
    cooldown::failed(&store, &azure, failure(None), UnixMs(0));
    place.cooldowns = Cooldowns::read(&store);
    for (at, before) in before.iter().enumerate() {
        assert_eq!(place.order(0, &format!("c{at}"), 1), ["openai", "azure"]);
        assert_eq!(place.order(0, &format!("c{at}"), 5_001), *before);
    }
}

#[test]
fn tokens_are_spread_by_weight_however_they_come() {
    let place = Place::new(&TWO, wire::RoutingBalance::Tokens);
    let mut seen = BTreeMap::<String, u64>::new();
    let mut random = 1_u64;
    for _ in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Most are small, and some are a hundred times as large.
        let tokens = if random >> 60 == 0 { 90_000 } else { 100 + (random >> 40) % 1_000 };
        let targets = place.targets(random, "", 0);
        place.shares.add("fast", &targets[0], tokens / 2, &targets);
        place.shares.correct("fast", &targets[0], tokens / 2, &targets[0], tokens);
        *seen.entry(targets[0].offer.provider.name.clone()).or_default() += tokens;
    }
    let all = seen.values().sum::<u64>();
    let off = (seen["openai"] * 100).abs_diff(all * 70);
    assert!(off < 100 * 90_000, "by less than one of the largest requests: {off}, {seen:?}");
}

#[test]
fn a_target_that_rested_does_not_make_up_for_it() {
    let place = Place::new(&TWO, wire::RoutingBalance::Tokens);
    let both = place.targets(0, "", 0);
    let openai = both.iter().find(|target| target.offer.provider.name == "openai").unwrap();
    for _ in 0..10_000 {
        place.shares.add("fast", openai, 1_000, &both);
    }
    let mut in_a_row = 0;
    loop {
        let targets = place.targets(0, "", 0);
        if targets[0].offer.provider.name == "openai" {
            break;
        }
        place.shares.add("fast", &targets[0], 1_000, &targets);
        in_a_row += 1;
    }
    assert!((1..=100).contains(&in_a_row), "{in_a_row}");
}

fn failure(retry_after_ms: Option<i64>) -> Failure {
    Failure { end: AttemptEnd::Status, status: 429, retry_after_ms }
}

#[test]
fn a_target_rests_longer_with_each_failure_and_comes_back_by_one_request() {
    let place = Place::new(&TWO, wire::RoutingBalance::Requests);
    let target = Rc::clone(&place.group().tiers[0].targets[0]);
    let store = TestMemory::default();
    let rests = |now| Cooldowns::read(&store).rests(&target, UnixMs(now));
    cooldown::failed(&store, &target, failure(None), UnixMs(0));
    assert!(!rests(1), "where the list was not created nothing rests");
    cooldown::begin(&store).unwrap();
    let mut now = 1_000_000;
    for rest_ms in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
        cooldown::failed(&store, &target, failure(None), UnixMs(now));
        // Of requests that were under way.
        cooldown::failed(&store, &target, failure(None), UnixMs(now + 10));
        assert!(rests(now + 10) && rests(now + rest_ms - 1) && !rests(now + rest_ms), "{rest_ms}");
        now += rest_ms;
        assert!(cooldown::tries(&store, &target, UnixMs(now)));
        assert!(rests(now + 1), "another request passes it by");
        assert!(!cooldown::tries(&store, &target, UnixMs(now)), "also one that has not seen it coming");
        assert!(!rests(now + 30_001), "until the one should be back");
        now += 100;
    }
    cooldown::recovered(&store, &target, UnixMs(0));
    assert!(Cooldowns::read(&store).has_failed(&target), "what was sent before it failed says nothing new");
    cooldown::recovered(&store, &target, UnixMs(now));
    assert!(!rests(now) && !Cooldowns::read(&store).has_failed(&target));
    cooldown::failed(&store, &target, failure(None), UnixMs(now));
    assert!(rests(now + 4_999) && !rests(now + 5_000), "it begins anew");
    assert!(!rests(now - 400_000), "a clock that was set back makes no rest longer");
}

#[test]
fn a_target_says_how_long_it_wants_to_rest_within_bounds() {
    let place = Place::new(&TWO, wire::RoutingBalance::Requests);
    let target = Rc::clone(&place.group().tiers[0].targets[0]);
    for (asked, rest_ms) in [(1_500, 1_500), (90_000, 90_000), (86_400_000, 300_000), (0, 5_000)] {
        let store = TestMemory::default();
        cooldown::begin(&store).unwrap();
        cooldown::failed(&store, &target, failure(Some(asked)), UnixMs(0));
        let rests = |now| Cooldowns::read(&store).rests(&target, UnixMs(now));
        assert!(rests(rest_ms - 1) && !rests(rest_ms), "{asked}");
        let told = Cooldowns::read(&store).on_wire().targets.remove(0);
        assert_eq!(
            (told.provider.as_str(), told.model.as_str(), told.until_ms),
            ("openai", "gpt-4o", rest_ms)
        );
        assert_eq!((told.reason(), told.status), (AttemptEnd::Status, 429));
    }
}

#[test]
fn targets_that_rest_come_last_and_all_that_rest_are_better_than_none() {
    let mut place = Place::new(&TWO, wire::RoutingBalance::Requests);
    let store = TestMemory::default();
    cooldown::begin(&store).unwrap();
    let [openai, azure] = [0, 1].map(|at| Rc::clone(&place.group().tiers[0].targets[at]));
    cooldown::failed(&store, &openai, failure(Some(20_000)), UnixMs(0));
    place.cooldowns = Cooldowns::read(&store);
    for random in 0..50 {
        assert_eq!(place.order(random, "", 1), ["azure", "openai"]);
    }
    cooldown::failed(&store, &azure, failure(Some(30_000)), UnixMs(0));
    place.cooldowns = Cooldowns::read(&store);
    for random in 0..50 {
        assert_eq!(place.order(random, "", 1), ["openai", "azure"], "the one that is back soonest");
    }
}

#[test]
fn the_size_of_the_input_chooses_the_tier() {
    let mut catalogue = testing::catalogue();
    catalogue.providers.iter_mut().for_each(|provider| provider.group_cluster = "c".into());
    let tier = |most, provider: &str| wire::RoutingTier {
        max_input_tokens: most,
        targets: vec![wire::RoutingTarget { provider: provider.into(), model: "gpt-4o".into(), weight: 100 }],
    };
    let mut group = testing::routing_group("fast", &[]);
    group.tiers = vec![tier(100, "azure"), tier(0, "openai")];
    catalogue.routing_groups = vec![group];
    let place = Place {
        catalogue: Catalogue::try_from(catalogue).unwrap(),
        cooldowns: Cooldowns::default(),
        shares: TokenShares::default(),
    };
    for (input, provider) in [(0, "azure"), (100, "azure"), (101, "openai"), (u64::MAX, "openai")] {
        let served = place.group().targets_for(input);
        assert_eq!(served[0].offer.provider.name, provider, "{input}");
    }
}

#[test]
fn what_the_app_may_not_use_is_no_target() {
    let catalogue = catalogue(&TWO, wire::RoutingBalance::Requests);
    let of = |edit: fn(&mut wire::AppPolicy)| {
        let mut app = wire::AppPolicy { routing_groups: Some(testing::all()), ..testing::app() };
        edit(&mut app);
        AppPolicy::try_from(app).unwrap()
    };
    let ask = |app: &AppPolicy, operation| {
        service(&catalogue, app, "fast", operation).map(|_| ()).map_err(|denial| denial.code)
    };
    let chat = ModelOperation::ChatCompletions;
    assert_eq!(ask(&of(|_| ()), chat), Ok(()));
    assert_eq!(ask(&of(|app| app.routing_groups = None), chat), Err(Code::ModelNotFound), "it is not told");
    assert_eq!(
        ask(&of(|app| app.models = Some(testing::only(&["other"]))), chat),
        Err(Code::ModelNotAllowed)
    );
    assert_eq!(ask(&of(|app| app.providers = Some(testing::only(&[]))), chat), Err(Code::ModelNotAllowed));
    assert_eq!(ask(&of(|_| ()), ModelOperation::Messages), Err(Code::EndpointNotSupported));
    let azure = of(|app| app.providers = Some(testing::only(&["azure"])));
    let group = catalogue.routing_group("fast").unwrap();
    let (cooldowns, shares) = (Cooldowns::default(), TokenShares::default());
    let choice = |wanted| Choice {
        conversation: "",
        random: 3,
        cooldowns: &cooldowns,
        shares: &shares,
        wanted,
        now: UnixMs(0),
    };
    let served = targets(group, &azure, chat, 1, &choice(None)).unwrap();
    assert_eq!(served.len(), 1);
    assert_eq!(served[0].offer.provider.cluster, "latchkey/group/01");
    for (wanted, is_served) in [
        ("azure", true),
        ("azure/gpt-4o", true),
        ("openai", false),
        ("azure/gpt", false),
        ("azur", false),
        ("", false),
    ] {
        let told = targets(group, &azure, chat, 1, &choice(Some(wanted)));
        assert_eq!(told.map(|targets| targets.len()).ok(), is_served.then_some(1), "{wanted}");
    }
}

#[test]
fn a_group_that_does_not_hang_together_is_refused() {
    let refused = |edit: fn(&mut wire::RoutingGroup)| {
        let mut catalogue = testing::catalogue();
        catalogue.providers.iter_mut().for_each(|provider| provider.group_cluster = "c".into());
        let mut group = testing::routing_group("fast", &TWO);
        edit(&mut group);
        catalogue.routing_groups = vec![group];
        Catalogue::try_from(catalogue).unwrap_err().to_string()
    };
    let malformed = |field: &str| format!("routing group `fast`: {field} is malformed");
    assert_eq!(refused(|group| group.tiers.clear()), malformed("tiers"));
    assert_eq!(refused(|group| group.tiers[0].max_input_tokens = 1), malformed("tiers.max_input_tokens"));
    assert_eq!(
        refused(|group| group.tiers[0].targets[1].provider = "none".into()),
        malformed("tiers.targets")
    );
    assert_eq!(refused(|group| group.tiers[0].targets[1].model = "none".into()), malformed("tiers.targets"));
    assert_eq!(refused(|group| group.balance = 0), malformed("balance"));
    assert_eq!(refused(|group| group.failover = None), malformed("failover"));
    let failover = |edit: fn(&mut wire::Failover)| {
        move |group: &mut wire::RoutingGroup| edit(group.failover.as_mut().unwrap())
    };
    for (edit, field) in [
        ((|it: &mut wire::Failover| it.max_attempts = 0) as fn(&mut wire::Failover), "failover.max_attempts"),
        (|it| it.max_attempts = 5, "failover.max_attempts"),
        (|it| it.statuses = vec![200], "failover.statuses"),
    ] {
        let mut catalogue = testing::catalogue();
        catalogue.providers.iter_mut().for_each(|provider| provider.group_cluster = "c".into());
        let mut group = testing::routing_group("fast", &TWO);
        failover(edit)(&mut group);
        catalogue.routing_groups = vec![group];
        assert_eq!(Catalogue::try_from(catalogue).unwrap_err().to_string(), malformed(field));
    }
    let mut twice = testing::catalogue();
    twice.providers.iter_mut().for_each(|provider| provider.group_cluster = "c".into());
    twice.routing_groups = vec![testing::routing_group("fast", &TWO), testing::routing_group("fast", &TWO)];
    assert_eq!(Catalogue::try_from(twice).unwrap_err().to_string(), "two routing groups are named `fast`");
}
