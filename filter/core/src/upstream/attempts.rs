//! The tries of one request at the targets of a routing group, one after the other.
//!
//! The gate makes them, and the attempt role, which runs in front of each target, carries them out: it turns the
//! request into that target's, and says how its answer begins. Envoy moves the request on.

mod first_event;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

pub use latchkey_proto::ledger::AttemptEnd;

use crate::answer::usage::{AnswerHead, is_event_stream};
use crate::request::body::RequestBody;
use crate::request::endpoint::ModelOperation;
use crate::request::header::{Header, Headers};
use crate::routing::ChosenBy;
use crate::routing::cooldown::{self, Failure};
use crate::routing::shares::TokenShares;
use crate::snapshot::{Offer, RoutingGroup, RoutingTarget, UnixMs};
use crate::store::SharedStore;
use crate::upstream::forward::{Forward, HeaderEdit, IDLE_TIMEOUT_HEADER};
use crate::upstream::provider_body::{may_differ, provider_body};

use first_event::{FirstEvent, FirstEventReader};

/// The header that selects the route for groups.
pub const GROUP_HEADER: &str = "x-latchkey-group";

/// The note in the request's filter state with the cluster of the next try, from which the route takes it.
pub const CLUSTER_NOTE: &str = "latchkey.group_cluster";

/// The note with the number under which the worker keeps the tries.
pub const ATTEMPTS_NOTE: &str = "latchkey.attempts";

/// The note that a try was refused before anything was sent.
pub const REFUSED_NOTE: &str = "latchkey.try_refused";

/// The status that the answer gets whose first event is an error, so that Envoy moves the request on. No provider
/// answers with it.
pub const ERROR_EVENT_STATUS: u16 = 599;

/// The answer's header with the number of targets that were tried, where it is more than one.
pub const COUNT_HEADER: &str = "x-latchkey-attempts";

/// Names a request, so that a provider does its work once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What Envoy is told about retries.
const RETRY_ON: &str = "connect-failure,refused-stream,reset,retriable-status-codes";

/// For how many seconds an answer may be silent where its provider says nothing else.
const DEFAULT_IDLE_TIMEOUT: u32 = 600;

/// Timeouts are recognised by the time that has passed, of which clocks may see a little less.
const TIMER_SLACK_MS: i64 = 20;

/// A request's tries, shared by the gate and the attempt role of one worker.
pub type SharedAttempts = Rc<RefCell<Attempts>>;

/// The tries of one request.
#[derive(Debug)]
pub struct Attempts {
    group: Rc<RoutingGroup>,
    /// In the order in which they are tried; at least one.
    targets: Vec<Rc<RoutingTarget>>,
    operation: ModelOperation,
    query: String,
    body: Rc<RequestBody>,
    /// Output tokens per answer; none: as the client asked.
    max_output: Option<u64>,
    chosen_by: ChosenBy,
    /// The tokens that were expected when the first target was chosen.
    expected_tokens: u64,
    tries: Vec<Try>,
    /// The headers as the first try got them.
    headers: Vec<Header>,
    first_event: FirstEventReader,
    /// Nothing of a target's answer is held any more.
    has_passed: bool,
}

/// What is needed for [`Attempts::new`].
#[derive(Debug)]
pub struct AttemptPlan {
    pub group: Rc<RoutingGroup>,
    /// In the order in which they are tried; at least one.
    pub targets: Vec<Rc<RoutingTarget>>,
    pub operation: ModelOperation,
    /// The client's, with its question mark.
    pub query: String,
    pub body: Rc<RequestBody>,
    pub max_output: Option<u64>,
    pub chosen_by: ChosenBy,
    pub expected_tokens: u64,
}

#[derive(Clone, Copy, Debug)]
struct Try {
    started: UnixMs,
    /// 0 where none came.
    status: u16,
    end: AttemptEnd,
    ended: Option<UnixMs>,
    /// The target got nothing of the request.
    never_sent: bool,
}

/// One try, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    pub provider: String,
    /// As the provider was asked.
    pub model: String,
    /// 0 where none came.
    pub status: u16,
    pub end: AttemptEnd,
    pub duration_ms: u32,
}

/// What a try changes of the request.
#[derive(Debug)]
pub struct TryEdits {
    /// The try's number, from 0.
    pub number: usize,
    pub headers: Vec<HeaderEdit<'static>>,
    /// Whether the body must be whole, and goes through [`Attempts::body`].
    pub edits_body: bool,
}

/// What to do with an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerStart {
    /// It goes on as it comes.
    Pass,
    /// Its headers wait for the first event.
    Hold,
    /// It gets [`ERROR_EVENT_STATUS`], and Envoy moves the request on.
    Fail,
}

impl Attempts {
    #[must_use]
    pub fn new(plan: AttemptPlan) -> Self {
        let AttemptPlan { group, targets, operation, query, body, max_output, chosen_by, expected_tokens } =
            plan;
        Self {
            group,
            targets,
            operation,
            query,
            body,
            max_output,
            chosen_by,
            expected_tokens,
            tries: Vec::new(),
            headers: Vec::new(),
            first_event: FirstEventReader::default(),
            has_passed: false,
        }
    }

    #[must_use]
    pub fn group(&self) -> &RoutingGroup {
        &self.group
    }

    /// What has put the first target first.
    #[must_use]
    pub fn chosen_by(&self) -> ChosenBy {
        self.chosen_by
    }

    /// In the order in which they are tried.
    #[must_use]
    pub fn targets(&self) -> &[Rc<RoutingTarget>] {
        &self.targets
    }

    /// The target of the last try that was begun, or of the first.
    #[must_use]
    pub fn current(&self) -> Option<&Rc<RoutingTarget>> {
        let last = self.targets.len().saturating_sub(1);
        self.targets.get(self.tries.len().saturating_sub(1).min(last))
    }

    /// Whether Envoy's local answer, with these `response.code_details`, says that its configuration has no route for
    /// groups. `cluster`: where the route leads that it has found.
    #[must_use]
    pub fn lacks_route(&self, details: &str, cluster: &str) -> bool {
        let first = self.targets.first().map(|target| target.offer.provider.cluster.as_str());
        let is_unrouted = match details {
            // A route that has a cluster for groups leads to the first target's, though Envoy may not have that yet.
            "cluster_not_found" => first != Some(cluster),
            details => details == "route_not_found",
        };
        self.tries.is_empty() && is_unrouted
    }

    /// The headers that tell Envoy how to move the request on.
    #[must_use]
    pub fn retry_headers(&self) -> Vec<HeaderEdit<'static>> {
        let set = |name: &'static str, value: String| HeaderEdit {
            name: Cow::Borrowed(name),
            value: Some(Cow::Owned(value)),
        };
        let mut headers = vec![set(GROUP_HEADER, "1".to_owned())];
        let retries = self.targets.len().saturating_sub(1);
        headers.extend(self.idle_timeout().map(|seconds| set(IDLE_TIMEOUT_HEADER, seconds)));
        if let Some(timeout_ms) = self.timeout_ms() {
            headers.push(set("x-envoy-upstream-rq-per-try-timeout-ms", timeout_ms.to_string()));
        }
        if retries > 0 {
            let statuses = self.group.failover.statuses.iter().chain(&[ERROR_EVENT_STATUS]);
            let statuses: Vec<_> = statuses.map(u16::to_string).collect();
            headers.push(set("x-envoy-max-retries", retries.to_string()));
            headers.push(set("x-envoy-retry-on", RETRY_ON.to_owned()));
            headers.push(set("x-envoy-retriable-status-codes", statuses.join(",")));
        }
        headers
    }

    /// For how many seconds an answer may be silent, as the route is chosen by it, which is the same for all tries: the
    /// longest of the targets'. None: the gateway's default.
    fn idle_timeout(&self) -> Option<String> {
        let of_target = |target: &Rc<RoutingTarget>| {
            let own = target.offer.provider.idle_timeout.as_ref();
            own.map_or(Some(DEFAULT_IDLE_TIMEOUT), |seconds| seconds.parse::<u32>().ok())
        };
        let longest = self.targets.iter().filter_map(of_target).max();
        longest.filter(|seconds| *seconds != DEFAULT_IDLE_TIMEOUT).map(|seconds| seconds.to_string())
    }

    /// How long a target may take until its answer begins.
    fn timeout_ms(&self) -> Option<u32> {
        let failover = &self.group.failover;
        match self.body.bounds.stream {
            true => failover.first_event_timeout_ms.or(failover.headers_timeout_ms),
            false => failover.headers_timeout_ms,
        }
    }

    /// A try begins, in front of the target of this provider. None where the request must not go there: that is a try to
    /// which nothing was sent, and the ones before it are over.
    pub fn begin<S: SharedStore>(
        &mut self,
        provider: &str,
        headers: &[Header],
        store: &S,
        now: UnixMs,
    ) -> Option<TryEdits> {
        self.fail_last(store, now);
        self.has_passed = false;
        let number = self.tries.len();
        let target = self.targets.get(number).filter(|target| target.offer.provider.name == provider);
        let Some(target) = target.map(Rc::clone) else {
            let end = AttemptEnd::Connection;
            self.tries.push(Try { started: now, status: 0, end, ended: Some(now), never_sent: true });
            return None;
        };
        self.tries.push(Try {
            started: now,
            status: 0,
            end: AttemptEnd::Unspecified,
            ended: None,
            never_sent: false,
        });
        self.first_event = FirstEventReader::default();
        let mut edits = match number {
            0 => {
                self.headers = headers.to_vec();
                Vec::new()
            }
            _ => self.restored(headers),
        };
        let path = Forward::path(&target.offer.provider, self.operation, &self.query);
        for (name, value) in [(":path", path), (":authority", target.offer.provider.authority.clone())] {
            if Headers(headers).text(name) != Some(&value) {
                edits.retain(|edit| edit.name != name);
                edits.push(HeaderEdit { name: Cow::Borrowed(name), value: Some(Cow::Owned(value)) });
            }
        }
        // To this provider the key has named another request.
        let is_again = self.targets.iter().take(number).any(|it| it.offer.provider.name == provider);
        if is_again && Headers(&self.headers).all(IDEMPOTENCY_KEY).next().is_some() {
            edits.retain(|edit| edit.name != IDEMPOTENCY_KEY);
            edits.push(HeaderEdit { name: Cow::Borrowed(IDEMPOTENCY_KEY), value: None });
        }
        let max_output = most_of(&target.offer, self.max_output);
        let edits_body = may_differ(self.operation, &self.body, &target.offer, max_output);
        Some(TryEdits { number, headers: edits, edits_body })
    }

    /// The cluster of the try after those that were begun; none where there is none.
    #[must_use]
    pub fn next_cluster(&self) -> Option<String> {
        self.targets.get(self.tries.len()).map(|next| next.offer.provider.cluster.clone())
    }

    /// What makes these headers those that the first try got: the one before may have added its credential.
    fn restored(&self, headers: &[Header]) -> Vec<HeaderEdit<'static>> {
        let saved = Headers(&self.headers);
        let mut edits: Vec<HeaderEdit<'static>> = Vec::new();
        let names = headers.iter().chain(&self.headers).map(|(name, _)| name);
        for name in names {
            if edits.iter().any(|edit| edit.name == name.as_str())
                || Headers(headers).all(name).eq(saved.all(name))
            {
                continue;
            }
            let values: Vec<_> = saved.all(name).filter_map(|value| str::from_utf8(value).ok()).collect();
            let value = (!values.is_empty()).then(|| Cow::Owned(values.join(", ")));
            edits.push(HeaderEdit { name: Cow::Owned(name.clone()), value });
        }
        edits
    }

    /// The body of the try that was begun last, where it differs from the client's.
    ///
    /// # Errors
    /// When `bytes` is not the body that was read.
    pub fn body(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, UnknownBody> {
        let target = self.current().ok_or(UnknownBody)?;
        let max_output = most_of(&target.offer, self.max_output);
        provider_body(self.operation, || bytes, &self.body, &target.offer, max_output)
            .map_err(|_| UnknownBody)
    }

    /// The headers of a try's answer have come.
    pub fn answered<S: SharedStore>(
        &mut self,
        number: usize,
        status: u16,
        headers: Headers<'_>,
        store: &S,
        now: UnixMs,
    ) -> AnswerStart {
        let is_last = number.saturating_add(1) >= self.targets.len();
        let by_status = |begun: &Try| begun.end == AttemptEnd::Status;
        let all_failed_alike = number > 0 && self.tries.iter().take(number).all(by_status);
        let Some(begun) = self.tries.get_mut(number) else { return AnswerStart::Pass };
        (begun.status, begun.ended) = (status, Some(now));
        if status == ERROR_EVENT_STATUS || self.group.failover.statuses.contains(&status) {
            begun.end = AttemptEnd::Status;
            let failure =
                Failure { end: AttemptEnd::Status, status, retry_after_ms: retry_after_ms(headers) };
            // What fails everywhere may be the request's own fault: somebody stays for the others.
            if !(is_last && all_failed_alike && failure.retry_after_ms.is_none()) {
                self.rest(number, failure, store, now);
            }
            self.has_passed = is_last;
            return AnswerStart::Pass;
        }
        begun.end = AttemptEnd::Served;
        let head = AnswerHead {
            content_type: headers.text("content-type"),
            content_encoding: headers.text("content-encoding"),
        };
        let is_stream = head.content_type.is_some_and(is_event_stream) && !head.is_encoded();
        if is_stream && (200..300).contains(&status) && (!is_last || self.timeout_ms().is_some()) {
            return AnswerStart::Hold;
        }
        self.passes(number, store);
        AnswerStart::Pass
    }

    /// A part of a held answer has come; `last`: it is its end.
    pub fn held<S: SharedStore>(
        &mut self,
        number: usize,
        bytes: &[u8],
        last: bool,
        store: &S,
        now: UnixMs,
    ) -> AnswerStart {
        let first = match self.first_event.push(bytes) {
            FirstEvent::Unknown if last => FirstEvent::Good,
            first => first,
        };
        match first {
            FirstEvent::Unknown => AnswerStart::Hold,
            FirstEvent::Good => {
                self.passes(number, store);
                AnswerStart::Pass
            }
            FirstEvent::Error => {
                let is_last = number.saturating_add(1) >= self.targets.len();
                let Some(begun) = self.tries.get_mut(number) else { return AnswerStart::Pass };
                (begun.end, begun.ended) = (AttemptEnd::ErrorEvent, Some(now));
                let status = begun.status;
                let failure = Failure { end: AttemptEnd::ErrorEvent, status, retry_after_ms: None };
                self.rest(number, failure, store, now);
                self.has_passed = is_last;
                if is_last { AnswerStart::Pass } else { AnswerStart::Fail }
            }
        }
    }

    /// A try is over; `never_sent`: its target got nothing of the request.
    pub fn ended(&mut self, number: usize, never_sent: bool, now: UnixMs) {
        let Some(begun) = self.tries.get_mut(number) else { return };
        begun.ended.get_or_insert(now);
        begun.never_sent |= never_sent && begun.status == 0;
    }

    /// The exchange is over. `failed`: the last try's target has not answered; `never_sent`: it got nothing of the
    /// request.
    pub fn finish<S: SharedStore>(&mut self, failed: bool, never_sent: bool, store: &S, now: UnixMs) {
        if let Some(last) = self.tries.len().checked_sub(1) {
            self.ended(last, never_sent, now);
        }
        if failed {
            return self.fail_last(store, now);
        }
        // The client has left before there was an answer: that says nothing of the target.
        let has_passed = self.has_passed;
        let target = self.current().cloned();
        if let Some((last, target)) = self.tries.last_mut().zip(target)
            && matches!(last.end, AttemptEnd::Unspecified | AttemptEnd::Served)
            && !has_passed
        {
            last.end = AttemptEnd::Unspecified;
            cooldown::tries_no_more(store, &target);
        }
    }

    /// The next target has no host: it is as one that cannot be connected to, and nothing comes after it.
    pub(crate) fn no_host<S: SharedStore>(&mut self, store: &S, now: UnixMs) {
        self.fail_last(store, now);
        let number = self.tries.len();
        if number >= self.targets.len() {
            return;
        }
        let end = AttemptEnd::Connection;
        self.tries.push(Try { started: now, status: 0, end, ended: Some(now), never_sent: true });
        self.rest(number, Failure { end, status: 0, retry_after_ms: None }, store, now);
    }

    /// A target's circuit breaker is open, and nothing comes after it. Envoy mostly finds that before the try begins:
    /// `made` is how many tries it has made with that one, where it says.
    pub(crate) fn overflowed<S: SharedStore>(&mut self, made: Option<u64>, store: &S, now: UnixMs) {
        let is_of_last = match made.and_then(|made| usize::try_from(made).ok()) {
            Some(made) => made <= self.tries.len(),
            None => self.tries.last().is_some_and(|last| last.ended.is_none()),
        };
        if !is_of_last {
            self.no_host(store, now);
        }
    }

    /// The request has had so many tokens: corrects what was expected.
    pub fn correct_shares(&self, shares: &TokenShares, tokens: u64) {
        if let Some((first, served)) = self.targets.first().zip(self.current()) {
            shares.correct(&self.group.name, first, self.expected_tokens, served, tokens);
        }
    }

    /// How many targets were tried.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tries.len()
    }

    /// The last try has failed where it has no answer that went on.
    fn fail_last<S: SharedStore>(&mut self, store: &S, now: UnixMs) {
        let Some(number) = self.tries.len().checked_sub(1) else { return };
        let timeout_ms = self.timeout_ms().map(i64::from);
        let has_passed = self.has_passed;
        let Some(last) = self.tries.last_mut() else { return };
        let is_open = last.end == AttemptEnd::Unspecified || last.end == AttemptEnd::Served && !has_passed;
        if !is_open {
            return;
        }
        // A held stream was answered long before its timeout.
        let ended = last.ended.filter(|_| last.end != AttemptEnd::Served).unwrap_or(now);
        let took_ms = ended.0.saturating_sub(last.started.0);
        let is_timeout = !last.never_sent
            && timeout_ms.is_some_and(|timeout_ms| took_ms.saturating_add(TIMER_SLACK_MS) >= timeout_ms);
        last.end = if is_timeout { AttemptEnd::Timeout } else { AttemptEnd::Connection };
        last.ended = Some(now);
        let failure = Failure { end: last.end, status: last.status, retry_after_ms: None };
        self.rest(number, failure, store, now);
    }

    fn rest<S: SharedStore>(&self, number: usize, failure: Failure, store: &S, now: UnixMs) {
        if let Some(target) = self.targets.get(number) {
            cooldown::failed(store, target, failure, now);
        }
    }

    fn passes<S: SharedStore>(&mut self, number: usize, store: &S) {
        self.has_passed = true;
        let Some((target, begun)) = self.targets.get(number).zip(self.tries.get(number)) else { return };
        // These tell that the target serves nobody, or nothing about that.
        let is_well = begun.status < 500 && !matches!(begun.status, 401 | 402 | 403 | 429);
        if is_well && cooldown::Cooldowns::read(store).has_failed(target) {
            cooldown::recovered(store, target, begun.started);
        }
    }

    /// The targets that may have read the request, and whose answer nobody has seen.
    pub fn unanswered(&self) -> impl Iterator<Item = &Rc<RoutingTarget>> {
        let is_lost = |begun: &Try| {
            matches!(begun.end, AttemptEnd::Timeout | AttemptEnd::Connection) && !begun.never_sent
        };
        // What became of the last is told by the exchange itself.
        let before_last = self.tries.split_last().map(|(_, before)| before).unwrap_or_default();
        before_last
            .iter()
            .zip(&self.targets)
            .filter(move |(begun, _)| is_lost(begun))
            .map(|(_, target)| target)
    }

    /// Every try that was begun.
    #[must_use]
    pub fn records(&self, now: UnixMs) -> Vec<AttemptRecord> {
        let record = |(begun, target): (&Try, &Rc<RoutingTarget>)| AttemptRecord {
            provider: target.offer.provider.name.clone(),
            model: target.offer.upstream_name.clone(),
            status: begun.status,
            end: begun.end,
            duration_ms: u32::try_from(begun.ended.unwrap_or(now).0.saturating_sub(begun.started.0))
                .unwrap_or_default(),
        };
        self.tries.iter().zip(&self.targets).map(record).collect()
    }
}

/// The body that Envoy sends is not the one that was decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not the one that was read")]
pub struct UnknownBody;

/// No more than the target can write.
fn most_of(offer: &Offer, max_output: Option<u64>) -> Option<u64> {
    max_output.map(|tokens| tokens.min(offer.max_output_tokens.unwrap_or(u64::MAX)))
}

/// What an answer says about when to ask again, in milliseconds. A date is not read: clocks differ.
fn retry_after_ms(headers: Headers<'_>) -> Option<i64> {
    let exact = headers.text("retry-after-ms").and_then(|value| value.trim().parse::<f64>().ok());
    let seconds = || headers.text("retry-after").and_then(|value| value.trim().parse::<f64>().ok());
    let ms = exact.or_else(|| seconds().map(|seconds| seconds * 1_000.0))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is within the range")]
    (ms.is_finite() && (0.0..=1e12).contains(&ms)).then_some(ms.ceil() as i64)
}

#[cfg(test)]
mod tests;
