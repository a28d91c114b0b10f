//! What the requests of one worker thread share: the view of the store, the ring of records, the queues, and
//! the list of waiting requests.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use latchkey_filter_core::answer::denial::Code;
use latchkey_filter_core::discovery::view::View;
use latchkey_filter_core::limits::account::{self, Demand};
use latchkey_filter_core::record::meter::{RequestMeter, UpstreamOutcome};
use latchkey_filter_core::record::refusals::{RecordAction, Refusals};
use latchkey_filter_core::record::ring::{self, Append, Ring};
use latchkey_filter_core::snapshot::AppId;
use latchkey_filter_core::upstream::call::UpstreamCall;
use proxy_wasm::hostcalls;
use proxy_wasm::types::Action;

use crate::anatomy::Part;
use crate::detectors::{Detectors, JudgedCall};
use crate::gate::Request;
use crate::host::{self, attempt};
use crate::metrics::GateMetrics;
use crate::queue::{self, Inbox, Outbox};
use crate::shared_data::SharedData;

/// How often a worker is woken, to look after waiting requests.
pub const TICK: Duration = Duration::from_millis(100);

/// One per plugin and thread.
pub struct GateWorker {
    pub view: View<SharedData>,
    pub detectors: Detectors,
    until: Part,
    /// None until the first tick, and until the sync role counts workers.
    ring: RefCell<Option<Ring>>,
    refusals: RefCell<Refusals>,
    ticks: Cell<i64>,
    grants: Cell<Option<Inbox>>,
    demands: RefCell<Outbox>,
    waiting: RefCell<Vec<PausedRequest>>,
    metrics: RefCell<GateMetrics>,
}

/// A request that waits for units.
struct PausedRequest {
    id: u32,
    app: AppId,
    request: Weak<RefCell<Request>>,
}

impl GateWorker {
    /// For the root context of this id.
    pub fn new(root: u32, until: Part) -> Self {
        Self {
            view: View::new(SharedData),
            detectors: Detectors::new(root),
            until,
            ring: RefCell::default(),
            refusals: RefCell::default(),
            ticks: Cell::default(),
            grants: Cell::default(),
            demands: RefCell::new(Outbox::new(queue::DEMANDS)),
            waiting: RefCell::default(),
            metrics: RefCell::default(),
        }
    }

    /// Whether the gate goes no further than this part. Only in a build for the benchmark can it be so.
    pub fn ends_with(&self, part: Part) -> bool {
        cfg!(feature = "anatomy") && self.until == part
    }

    /// How long this worker has run, in ticks' precision: a clock that is set does not change a wait.
    pub fn time_ms(&self) -> i64 {
        self.ticks.get().saturating_mul(i64::try_from(TICK.as_millis()).unwrap_or_default())
    }

    /// Takes the worker's number, once; then looks after waiting requests.
    pub fn tick(&self) {
        self.ticks.set(self.ticks.get().saturating_add(1));
        self.join();
        self.tell_refusals();
        self.retry();
    }

    /// A queue has something for this thread.
    pub fn wake(&self, queue: u32) {
        let Some(inbox) = self.grants.get().filter(|inbox| inbox.is(queue)) else { return };
        while inbox.take().is_some() {}
        self.retry();
    }

    /// Sends a demand to the sync role, if it is not empty. Tells whether it could be sent.
    pub fn demand(&self, demand: Demand) -> bool {
        if demand.buckets.is_empty() {
            return true;
        }
        let Some(number) = self.ring.borrow().as_ref().map(Ring::worker) else { return false };
        let notice = queue::from_worker(number, &demand.encode());
        self.demands.borrow_mut().send(&notice)
    }

    /// Whether requests of this app wait already: later ones do not overtake them.
    pub fn has_waiting(&self, app: AppId) -> bool {
        self.waiting.borrow().iter().any(|waiting| waiting.app == app)
    }

    /// Does what a decision has left to do: asks detectors, and remembers who waits for units. Gives what becomes
    /// of the request, in whose context the host must be.
    pub fn follow_up(&self, id: u32, request: &Rc<RefCell<Request>>, action: Action) -> Action {
        let action = self.ask(id, request, action);
        if let Some(app) = request.borrow().waits_for() {
            self.waiting.borrow_mut().push(PausedRequest { id, app, request: Rc::downgrade(request) });
            self.metrics.borrow_mut().waits();
        }
        action
    }

    /// Asks the detectors that a decision wants to hear. Those that fail at once may lead to another decision.
    fn ask(&self, id: u32, request: &Rc<RefCell<Request>>, mut action: Action) -> Action {
        loop {
            let calls = request.borrow_mut().take_calls();
            if calls.is_empty() {
                return action;
            }
            for (index, call) in calls.into_iter().enumerate() {
                self.metrics.borrow_mut().asks();
                let asked = self.detectors.ask(id, request, index, call, self.time_ms());
                let Err(failure) = asked else { continue };
                self.metrics.borrow_mut().not_judged();
                if let Some(decided) = request.borrow_mut().judged(index, Err(failure), self) {
                    action = decided;
                }
            }
        }
    }

    /// The host has heard of a call to a detector.
    pub fn heard(&self, token: u32, headers: usize, size: usize) {
        let heard = self.detectors.heard(token, headers, size, self.time_ms());
        let Some(JudgedCall { id, request, index, outcome }) = heard else { return };
        if outcome.is_err() {
            self.metrics.borrow_mut().not_judged();
        }
        if hostcalls::set_effective_context(id).is_err() {
            return;
        }
        let decided = request.borrow_mut().judged(index, outcome, self);
        let Some(action) = decided else { return };
        resume(self.follow_up(id, &request, action));
    }

    pub fn refused(&self, code: Code) {
        self.metrics.borrow_mut().refused(code);
    }

    /// Whether what a request uses can be recorded.
    pub fn has_room(&self) -> bool {
        self.join();
        self.ring.borrow_mut().as_mut().is_some_and(|ring| !ring.is_nearly_full(&SharedData))
    }

    pub fn record(&self, meter: RequestMeter, outcome: UpstreamOutcome) {
        self.join();
        let is_own = meter.is_own();
        let attempts = meter.attempts().cloned();
        let mut record = meter.finish(&SharedData, outcome, host::now());
        if let Some(attempts) = attempts {
            let tokens = record.tokens.input.saturating_add(record.tokens.output);
            attempts.borrow().correct_shares(self.view.shares(), tokens);
        }
        if is_own {
            let room = self.has_room_for_refusals();
            record = match self.refusals.borrow_mut().take(record, room) {
                RecordAction::Keep(record) => *record,
                RecordAction::Counted => return,
                RecordAction::Dropped => return self.metrics.borrow_mut().dropped(),
            };
        }
        let kept = self.ring.borrow_mut().as_mut().map(|ring| ring.append(&SharedData, record));
        if kept != Some(Append::Appended) {
            self.metrics.borrow_mut().dropped();
        }
    }

    /// Appends the counted refusals that are due, if there is room.
    fn tell_refusals(&self) {
        if !self.has_room_for_refusals() {
            return;
        }
        for (record, repeats) in self.refusals.borrow_mut().due(host::now()) {
            let mut ring = self.ring.borrow_mut();
            let kept = ring.as_mut().map(|ring| ring.append_repeated(&SharedData, record, repeats));
            if kept != Some(Append::Appended) {
                self.metrics.borrow_mut().dropped();
            }
        }
    }

    fn has_room_for_refusals(&self) -> bool {
        self.ring.borrow_mut().as_mut().is_some_and(|ring| ring.has_room_for_refusals(&SharedData))
    }

    /// A request was not sent after all: cancels its reservation.
    pub fn give_back(&self, call: UpstreamCall) {
        if let Some(reservation) = call.into_reservation() {
            account::cancel(&SharedData, reservation);
        }
    }

    fn join(&self) {
        if self.ring.borrow().is_some() {
            return;
        }
        let Some(number) = ring::take_worker(&SharedData) else { return };
        self.grants.set(Inbox::register(&queue::grants(number)));
        *self.ring.borrow_mut() = Some(Ring::new(number, ring::CAPACITY));
    }

    /// Decides waiting requests again, each in its own context.
    fn retry(&self) {
        // Taken before the loop, as each retry may add to the list.
        let waiting = self.waiting.take();
        for waiting in waiting {
            let Some(alive) = waiting.request.upgrade() else { continue };
            if hostcalls::set_effective_context(waiting.id).is_err() {
                self.waiting.borrow_mut().push(waiting);
                continue;
            }
            let decided = alive.borrow_mut().retry(self);
            let Some(action) = decided else { continue };
            let action = self.ask(waiting.id, &alive, action);
            if alive.borrow().waits_for().is_some() {
                self.waiting.borrow_mut().push(waiting);
            }
            resume(action);
        }
    }
}

/// Lets a request go whose decision is made outside of its own callbacks.
fn resume(action: Action) {
    if action == Action::Continue {
        attempt("resume_http_request", hostcalls::resume_http_request());
    }
}
