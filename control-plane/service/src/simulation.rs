//! What a change of an app's settings would have done to the requests of the last days, by their records.
//!
//! Both states of the app are asked about each record, the one that is in force and the one that is proposed: what
//! they decide alike is no effect of the change, whatever was in force then. The gate's own code judges who is let in
//! ([`admission`]), and limits are replayed in the order of time ([`limit_replay`]).

mod admission;
mod limit_replay;
mod price_book;
mod sample;
mod tally;
mod untold;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use latchkey_core::access::Subjects;
use latchkey_core::actor::Actor;
use latchkey_core::limits::{BucketKind, LimitWindow, Limits};
use latchkey_core::period::{self, Period};
use latchkey_core::selection::Selection;
use latchkey_core::settings::AppSettings;
use latchkey_discovery::source::Batch;
use latchkey_filter_core::answer::denial::Code;
use latchkey_proto::discovery as wire;
use latchkey_store::Store;
use latchkey_store::apps::App;
use latchkey_store::feed::traffic::{OfferPrice, TrafficKey};
use latchkey_store::traffic::{DAY_MS, SampleRate, TrafficRecord, UsedBefore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::action::Refusal;
use admission::{ComparedApps, Judgement, KeyClasses, Side, SideStores};
use limit_replay::{LimitOutcome, LimitReplay, RequestUse};
use price_book::PriceBook;
use tally::Tally;

pub use limit_replay::LimitOwner;
pub use sample::Estimate;
pub use tally::{RefusedBy, RefusedUser, Simulation};
pub use untold::Untold;

/// Of more records a sample is looked at.
pub const MOST_RECORDS: usize = 50_000;
/// The most days that are looked back.
pub const MOST_DAYS: u16 = 31;

/// Rows of one read: it takes milliseconds.
const PAGE: i64 = 2_000;
/// Between two reads, so that others have the database.
const PAUSE: Duration = Duration::from_millis(2);
/// For how long records are read; then what was read counts.
const READING: Duration = Duration::from_secs(30);
/// For how long they are judged.
const JUDGING: Duration = Duration::from_secs(15);
/// Records come by the time at which the control plane got them: those of an earlier time may follow.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// For how long somebody waits for their turn.
const WAITING: Duration = Duration::from_secs(30);

/// Runs simulations: one at a time in this process, in the order in which they are asked for, and of each person one.
#[derive(Clone, Debug)]
pub struct Simulator {
    turn: Arc<Semaphore>,
    /// Whose simulations run or wait.
    asking: Arc<Mutex<BTreeSet<String>>>,
}

/// The right to simulate. It ends when it is dropped.
#[derive(Debug)]
pub struct SimulationTurn {
    _turn: OwnedSemaphorePermit,
    _place: Place,
}

/// Somebody's place in the queue.
#[derive(Debug)]
struct Place {
    asking: Arc<Mutex<BTreeSet<String>>>,
    who: String,
}

/// The states of an app that are compared, and since when.
#[derive(Clone, Debug)]
pub struct ProposedChange {
    /// As it is.
    pub now: App,
    /// As it would be.
    pub then: App,
    /// The first moment that is looked at.
    pub from: Timestamp,
    /// The first that is not.
    pub to: Timestamp,
}

/// What was read for a simulation.
struct Traffic {
    /// In the order of time; those before the span only fill limits.
    records: Vec<TrafficRecord>,
    rate: SampleRate,
    /// From when on records are there.
    since: Timestamp,
    /// Whether that is as far back as was asked for.
    is_complete: bool,
}

/// All that a simulation goes by.
struct Evidence {
    apps: ComparedApps,
    limits: [AppSettings; 2],
    traffic: Traffic,
    from: Timestamp,
    to: Timestamp,
    catalogue: wire::Catalogue,
    policies: [wire::AppPolicy; 2],
    keys: BTreeMap<Uuid, TrafficKey>,
    before: [Vec<(Period, UsedBefore)>; 2],
    prices: Vec<OfferPrice>,
    untold: Vec<Untold>,
}

impl Default for Simulator {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), asking: Arc::default() }
    }
}

impl Simulator {
    /// The turn of this actor, when it comes.
    ///
    /// # Errors
    /// They have it already or wait for it, or others take too long.
    pub async fn turn(&self, actor: &Actor) -> Result<SimulationTurn, Refusal> {
        let place = Place::take(&self.asking, actor.id())
            .ok_or_else(|| busy("you already have a simulation running: wait for it to finish"))?;
        let turn = tokio::time::timeout(WAITING, Arc::clone(&self.turn).acquire_owned()).await;
        match turn {
            Ok(Ok(turn)) => Ok(SimulationTurn { _turn: turn, _place: place }),
            _ => Err(busy("other simulations are running: try again in a minute")),
        }
    }

    /// What the change would have done.
    ///
    /// # Errors
    /// It takes too long, or gateways would refuse the app.
    pub async fn simulate(
        &self,
        turn: SimulationTurn,
        store: &Store,
        change: ProposedChange,
    ) -> Result<Simulation, Refusal> {
        let evidence = Evidence::read(store, change).await?;
        let judged = tokio::task::spawn_blocking(move || {
            // Whoever asked may have left: the turn ends with the work.
            let _turn = turn;
            evidence.judge()
        });
        let mut simulation = judged.await.map_err(|error| {
            tracing::error!(%error, "a simulation failed");
            busy("the simulation failed; see the server log for details")
        })??;
        let users = simulation.users.iter().filter_map(|user| user.user_id).collect();
        let subjects = Subjects { users, ..Subjects::default() };
        let names = store.names(&subjects).await?;
        for user in &mut simulation.users {
            if let Some((email, _)) = user.user_id.and_then(|id| names.users.get(&id)) {
                user.email = Some(email.clone());
            }
        }
        Ok(simulation)
    }
}

impl Place {
    /// None where they have one.
    fn take(asking: &Arc<Mutex<BTreeSet<String>>>, who: String) -> Option<Self> {
        let is_new = asking.lock().unwrap_or_else(PoisonError::into_inner).insert(who.clone());
        is_new.then(|| Self { asking: Arc::clone(asking), who })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.who);
    }
}

fn busy(detail: &str) -> Refusal {
    Refusal::Unavailable { code: "simulation_busy", detail: detail.to_owned() }
}

impl Evidence {
    async fn read(store: &Store, change: ProposedChange) -> Result<Self, Refusal> {
        let ProposedChange { now, then, from, to } = change;
        let limits = [now.settings.clone(), then.settings.clone()];
        let app = now.id;
        let traffic = Traffic::read(store, app, warm_up(&limits, from), to).await?;
        let ids: BTreeSet<_> = traffic.records.iter().filter_map(|record| record.key_id).collect();
        let keys = store.traffic_keys(&ids.into_iter().collect::<Vec<_>>()).await?;
        let own: Vec<_> = keys.values().filter_map(|key| key.limits.as_ref()).collect();
        let mut before = [Vec::new(), Vec::new()];
        for (settings, before) in limits.iter().zip(&mut before) {
            *before = used_before(store, app, settings, &own, traffic.since).await?;
        }
        let models: BTreeSet<_> = traffic.records.iter().map(|record| record.model.as_str()).collect();
        // A group's targets have other names.
        let by_group = limits.iter().any(|settings| settings.routing_groups != Selection::None);
        let prices = store.offer_prices(|name| by_group || models.contains(name)).await?;
        let apps = ComparedApps::new(&now, &then);
        let Batch { catalogue, apps: policies, .. } = store.held_apps(&[&apps.now, &apps.then]).await?;
        let policies = <[_; 2]>::try_from(policies).unwrap_or_default();
        Ok(Self {
            untold: Untold::of_change(&now, &then),
            apps,
            limits,
            traffic,
            from,
            to,
            catalogue: catalogue.unwrap_or_default(),
            policies,
            keys,
            before,
            prices,
        })
    }

    fn judge(self) -> Result<Simulation, Refusal> {
        let Self { apps, limits, traffic, from, to, catalogue, policies, keys, before, prices, untold } =
            self;
        let Traffic { records, rate, since, is_complete } = traffic;
        let from = if is_complete { from } else { since.max(from) };
        let classes = KeyClasses::new(apps.now.id, &keys, records.iter());
        let refused =
            |refused: crate::explain::Refused| Refusal::conflict("refused_by_gateways", refused.to_string());
        let store =
            |policy: &wire::AppPolicy| SideStores::new(&catalogue, policy, &classes, to).map_err(refused);
        let [now, then] = &policies;
        let (now, then) = (store(now)?, store(then)?);
        let sides = [Side::new(&now, &apps, &apps.now), Side::new(&then, &apps, &apps.then)];
        let own = || keys.iter().filter_map(|(id, key)| Some((*id, key.limits.clone()?))).collect();
        let mut replays = Vec::new();
        for (settings, before) in limits.iter().zip(before) {
            let zone =
                period::zone(&settings.time_zone).map_err(|error| Refusal::field("time_zone", error))?;
            let AppSettings { limits, named_key_limits: named, .. } = settings;
            replays.push(LimitReplay::new(limits, named, own(), zone, since, before, rate.stands_for()));
        }
        let limits_differ = {
            let [now, then] = &limits;
            let of =
                |it: &AppSettings| (it.limits.clone(), it.named_key_limits.clone(), it.time_zone.clone());
            of(now) != of(then)
        };
        let book = PriceBook::new(&catalogue, &prices);
        let mut tally = Tally::new(untold);
        let by_address = apps.compares_addresses();
        let begun = Instant::now();
        for (number, record) in records.iter().enumerate() {
            if number.is_multiple_of(1_024) && begun.elapsed() > JUDGING {
                return Err(busy("there is too much to simulate: try fewer days"));
            }
            let mut judgements = sides.each_ref().map(|side| side.judge(record, &classes, by_address));
            if let [_, then @ Judgement::Admitted(_)] = &mut judgements
                && apps.depends_on_message(record)
            {
                *then = Judgement::Untold(Untold::McpArguments);
            }
            let named = record.key_id.filter(|id| keys.get(id).is_some_and(|key| key.user.is_some()));
            let effect = Effect::of(record, judgements, &mut replays, named, limits_differ, &book);
            if record.at >= from {
                tally.add(record, effect);
            }
        }
        Ok(tally.finish(from, to, is_complete, rate.stands_for()))
    }
}

/// What a change would have done to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Nothing but perhaps another price: how much more or less it would have cost.
    None { more_cost: i128 },
    /// It would be refused.
    Refused { code: &'static str, limit: Option<(LimitOwner, &'static str)> },
    /// Its answer would be shorter.
    Shortened { more_cost: i128 },
    /// So many of those that were refused would pass; what they would have used is not known.
    Passed(u64),
    /// The record does not say enough.
    Untold(Untold),
}

/// What one side does with a request that was let in then.
enum Outcome {
    Refused { code: &'static str, limit: Option<(LimitOwner, &'static str)> },
    Served { output_tokens: u64, cost: u64 },
}

impl Effect {
    fn of(
        record: &TrafficRecord,
        judgements: [Judgement; 2],
        replays: &mut [LimitReplay],
        named: Option<Uuid>,
        limits_differ: bool,
        book: &PriceBook,
    ) -> Self {
        let [now, then] = judgements;
        if !record.code.is_empty() {
            return Self::of_refusal(record, &now, &then, replays, named, limits_differ);
        }
        if let Judgement::Untold(untold) = &then {
            // It is used up all the same.
            for replay in replays {
                replay.take(record.at, named, book.used(record, None));
            }
            return Self::Untold(*untold);
        }
        // What served it then would, unless the change has somebody else serve it.
        let other = match (&now, &then) {
            (Judgement::Admitted(now), Judgement::Admitted(then)) if now != then => then.clone(),
            _ => None,
        };
        let sides = [(now, None), (then, other)].into_iter().zip(replays);
        let mut outcomes = sides.map(|((judgement, other), replay)| match judgement {
            Judgement::Refused(code) => Outcome::Refused { code, limit: None },
            Judgement::Untold(_) | Judgement::Admitted(_) => {
                outcome(replay.take(record.at, named, book.used(record, other.as_ref())))
            }
        });
        match (outcomes.next(), outcomes.next()) {
            (Some(Outcome::Served { .. }), Some(Outcome::Refused { code, limit })) => {
                Self::Refused { code, limit }
            }
            (
                Some(Outcome::Served { output_tokens: before, cost: cost_before }),
                Some(Outcome::Served { output_tokens, cost }),
            ) => {
                let more_cost = i128::from(cost) - i128::from(cost_before);
                if output_tokens < before { Self::Shortened { more_cost } } else { Self::None { more_cost } }
            }
            (Some(Outcome::Refused { .. }), Some(Outcome::Refused { .. })) => {
                Self::Untold(Untold::RefusedAnyway)
            }
            _ => Self::None { more_cost: 0 },
        }
    }

    /// Of a request that was refused then.
    fn of_refusal(
        record: &TrafficRecord,
        now: &Judgement,
        then: &Judgement,
        replays: &mut [LimitReplay],
        named: Option<Uuid>,
        limits_differ: bool,
    ) -> Self {
        let nothing = Self::None { more_cost: 0 };
        let [now_replay, then_replay] = replays else { return nothing };
        let by_message = [Code::McpArgumentDenied, Code::McpToolNotAllowed].map(Code::as_str);
        if let Judgement::Untold(untold) = then
            && by_message.contains(&record.code.as_str())
        {
            return Self::Untold(*untold);
        }
        let is_of_limits = is_of_limits(&record.code);
        if !is_of_limits && !is_judged(&record.code) {
            return nothing;
        }
        // They would have used something.
        let wanted =
            RequestUse { requests: record.repeats, input_tokens: 1, cost: 1, ..RequestUse::default() };
        let is_admitted = |judgement: &Judgement| matches!(judgement, Judgement::Admitted(_));
        // Only what refused it then can let it in: a rule that decides by what is in records, or a limit.
        let passed_now = match is_admitted(now) {
            true if !is_of_limits => return nothing,
            true => now_replay.take(record.at, named, wanted).passed,
            false => 0,
        };
        match then {
            Judgement::Untold(untold) => Self::Untold(*untold),
            Judgement::Refused(_) => nothing,
            Judgement::Admitted(_) if is_admitted(now) && is_of_size(&record.code) => match limits_differ {
                true => Self::Untold(Untold::RequestSize),
                false => nothing,
            },
            Judgement::Admitted(_) => {
                let passed = then_replay.take(record.at, named, wanted).passed;
                let more = if limits_differ { passed } else { passed.saturating_sub(passed_now) };
                if more == 0 { nothing } else { Self::Passed(more) }
            }
        }
    }
}

fn outcome(LimitOutcome { refusal, output_tokens, cost, .. }: LimitOutcome) -> Outcome {
    match refusal {
        Some(refusal) => Outcome::Refused { code: refusal.code, limit: Some((refusal.owner, refusal.limit)) },
        None => Outcome::Served { output_tokens, cost },
    }
}

/// Whether a rule refuses with this code that is judged by what records tell.
fn is_judged(code: &str) -> bool {
    let judged = [
        Code::NamedKeyRequired,
        Code::AppExpired,
        Code::IpNotAllowed,
        Code::ConversationIdRequired,
        Code::IdentityRequired,
        Code::IdentityNotAllowed,
        Code::ModelNotFound,
        Code::ModelNotAllowed,
        Code::ProviderNotAllowed,
        Code::ModelNotPriced,
        Code::EndpointNotSupported,
        Code::EndpointNotMetered,
        Code::McpServerNotAllowed,
        Code::McpToolNotAllowed,
    ];
    judged.iter().any(|known| known.as_str() == code)
}

/// Whether a limit refuses with this code, since the request alone is too large for it.
fn is_of_size(code: &str) -> bool {
    [Code::RequestExceedsLimit, Code::MaxInputTokensExceeded].iter().any(|known| known.as_str() == code)
}

/// Whether a limit refuses with this code.
fn is_of_limits(code: &str) -> bool {
    let of_use = [Code::RateLimitExceeded, Code::QuotaContended, Code::InsufficientQuota];
    is_of_size(code) || of_use.iter().any(|known| known.as_str() == code)
}

/// From when on records fill limits before the span begins: as long as the longest window, and where there are
/// budgets from the beginning of a day of UTC, to which sums tell what was used.
fn warm_up(sides: &[AppSettings; 2], from: Timestamp) -> Timestamp {
    let from_ms = from.as_millisecond();
    let buckets = || sides.iter().flat_map(all_buckets);
    let longest = buckets().filter_map(|(kind, ..)| kind.span_ms()).max().unwrap_or(0);
    let windows = from_ms.saturating_sub(i64::from(longest) + i64::from(longest) / 60);
    // A named key may have limits of its own.
    let start_ms = windows.div_euclid(DAY_MS) * DAY_MS;
    Timestamp::from_millisecond(start_ms).unwrap_or(from)
}

fn all_buckets(settings: &AppSettings) -> impl Iterator<Item = (BucketKind, u64, LimitWindow)> {
    settings.limits.buckets().chain(settings.named_key_limits.buckets())
}

/// What was used of each period that a budget has, from its beginning until `since`.
async fn used_before(
    store: &Store,
    app: Uuid,
    settings: &AppSettings,
    own: &[&Limits],
    since: Timestamp,
) -> Result<Vec<(Period, UsedBefore)>, Refusal> {
    let zone = period::zone(&settings.time_zone).map_err(|error| Refusal::field("time_zone", error))?;
    let windows = all_buckets(settings).chain(own.iter().flat_map(|limits| limits.buckets()));
    let mut periods: Vec<Period> = Vec::new();
    for (_, _, window) in windows {
        match window {
            LimitWindow::Calendar(period) if !periods.contains(&period) => periods.push(period),
            _ => {}
        }
    }
    let mut before = Vec::new();
    for period in periods {
        let Some(span) = period.at(since, &zone) else { continue };
        let used = store.used_before(app, span.start_ms, since.as_millisecond()).await?;
        before.push((period, used));
    }
    Ok(before)
}

impl Traffic {
    /// From the newest record back. Where there are too many, every other one goes, again and again.
    async fn read(store: &Store, app: Uuid, since: Timestamp, to: Timestamp) -> Result<Self, Refusal> {
        let begun = Instant::now();
        let (mut records, mut rate, mut before) = (Vec::<TrafficRecord>::new(), SampleRate::ALL, None);
        let mut oldest = to;
        let is_complete = loop {
            let page = store.traffic(app, before, rate, PAGE).await?;
            let Some(last) = page.last() else { break true };
            before = Some(last.id);
            let is_last = (page.len() as i64) < PAGE;
            let is_past = page.iter().all(|record| record.at < since - LATE);
            oldest = page.iter().map(|record| record.at).min().unwrap_or(oldest).min(oldest);
            records.extend(page.into_iter().filter(|record| record.at >= since && record.at < to));
            while records.len() > MOST_RECORDS && rate.halved() != rate {
                rate = rate.halved();
                records.retain(|record| rate.takes(record.id));
            }
            if is_last || is_past {
                break true;
            }
            if begun.elapsed() > READING {
                break false;
            }
            tokio::time::sleep(PAUSE).await;
        };
        records.sort_by_key(|record| (record.at, record.id));
        Ok(Self { records, rate, since: if is_complete { since } else { oldest }, is_complete })
    }
}
