//! One HTTP request at the gate: what is decided about it, and its end. Its answer is in [`answer`].

use std::cell::{Cell, RefCell};
use std::mem;
use std::net::IpAddr;
use std::rc::Rc;

use latchkey_filter_core::answer::denial::{Code, Denial};
use latchkey_filter_core::answer::reply::{Attribution, Reply};
use latchkey_filter_core::answer::usage::AnswerHead;
use latchkey_filter_core::gate::{Admitted, BodyDecision, Gate, HeadersDecision, World, admit};
use latchkey_filter_core::guardrails::{AnswerInspector, DetectorCall, DetectorFailure, DetectorOutcome};
use latchkey_filter_core::identity::SignatureCheck;
use latchkey_filter_core::limits::account::{PATIENCE_MS, Patience};
use latchkey_filter_core::mcp::McpRelay;
use latchkey_filter_core::record::meter::{RequestMeter, UpstreamOutcome};
use latchkey_filter_core::request::header::{Header, Headers};
use latchkey_filter_core::snapshot::{AppId, UnixMs};
use latchkey_filter_core::upstream::attempts;
use latchkey_filter_core::upstream::forward::Forward;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType, Status};

use crate::anatomy::Part;
use crate::attempt::RegisteredAttempts;
use crate::host::{self, WHOLE, attempt};
use crate::properties::{
    attribute, client_address, note, outcome, property_number, property_text, was_connected,
};
use crate::worker::GateWorker;

mod answer;

/// How long a request waits for the control plane's answer: longer than for units that others hold.
const LONGEST_WAIT_MS: i64 = PATIENCE_MS + 1_000;

/// One request and its answer.
pub struct HttpExchange {
    id: u32,
    worker: Rc<GateWorker>,
    request: Rc<RefCell<Request>>,
}

#[derive(Default)]
pub struct Request {
    state: RequestState,
    /// None until its key is known, and after its end.
    meter: Option<RequestMeter>,
    response_headers: Vec<(&'static str, String)>,
    /// How an MCP server's answer is passed on.
    relay: Option<Box<McpRelay>>,
    /// What guardrails do with the answer.
    inspector: Option<Box<AnswerInspector>>,
    /// Of a routing group: keeps its tries for the attempt role.
    tries: Option<RegisteredAttempts>,
    /// Takes the place of the body of an answer of Envoy's own.
    replacement: Option<Vec<u8>>,
}

#[derive(Default)]
enum RequestState {
    /// The headers have not come, or the request is answered or sent on.
    #[default]
    Idle,
    /// The body is being buffered.
    Buffering(BufferedRequest),
    /// The body is complete, and the request waits for units since then, in the worker's time.
    Waiting(BufferedRequest, i64),
    /// The body is complete, and external detectors are to be asked, or have been.
    Judging(BufferedRequest, Vec<DetectorCall>, Outcomes),
}

/// What became of a request's calls to detectors, in their order; none where that is still to come.
type Outcomes = Vec<Option<DetectorOutcome>>;

struct BufferedRequest {
    headers: Vec<Header>,
    admitted: Box<Admitted>,
}

/// The host as the gate's rules ask it. One callback has one time.
#[derive(Default)]
struct Host {
    now_ns: Cell<Option<u64>>,
}

impl Host {
    fn now_ns(&self) -> u64 {
        let now_ns = self.now_ns.get().unwrap_or_else(host::now_ns);
        self.now_ns.set(Some(now_ns));
        now_ns
    }
}

impl World for Host {
    fn now(&self) -> UnixMs {
        host::moment(self.now_ns())
    }

    fn client_address(&self) -> Option<IpAddr> {
        client_address()
    }

    fn verify_signature(&self, check: SignatureCheck<'_>) -> Option<bool> {
        host::verify_signature(check)
    }

    fn random(&self) -> u64 {
        host::random(self.now_ns())
    }
}

impl HttpExchange {
    pub fn new(id: u32, worker: Rc<GateWorker>) -> Self {
        Self { id, worker, request: Rc::default() }
    }

    /// It waits for nothing any more.
    fn end_wait(&self) {
        if matches!(mem::take(&mut self.request.borrow_mut().state), RequestState::Judging(..)) {
            self.worker.detectors.forget(self.id);
        }
    }

    fn decide_buffered(&self) -> Action {
        let mut request = self.request.borrow_mut();
        if !matches!(request.state, RequestState::Buffering(_)) {
            // Answered or sent on already; or it waits, and nothing more can come.
            return match request.state {
                RequestState::Waiting(..) | RequestState::Judging(..) => Action::Pause,
                RequestState::Idle | RequestState::Buffering(_) => Action::Continue,
            };
        }
        let action = match request.queue_up(&self.worker) {
            true => Action::Pause,
            false => request.decide(&self.worker),
        };
        drop(request);
        self.worker.follow_up(self.id, &self.request, action)
    }
}

impl Request {
    /// Queues up where other requests of the app wait already. Tells whether it does.
    fn queue_up(&mut self, worker: &GateWorker) -> bool {
        self.state = match mem::take(&mut self.state) {
            RequestState::Buffering(pending) if worker.has_waiting(pending.admitted.attribution.app) => {
                RequestState::Waiting(pending, worker.time_ms())
            }
            other => other,
        };
        matches!(self.state, RequestState::Waiting(..))
    }

    /// Decides on the whole request.
    fn decide(&mut self, worker: &GateWorker) -> Action {
        let (pending, since) = match mem::take(&mut self.state) {
            RequestState::Idle => return Action::Continue,
            RequestState::Buffering(pending) => (pending, None),
            RequestState::Waiting(pending, since) => (pending, Some(since)),
            RequestState::Judging(pending, _, outcomes) => {
                let missing = || Err(DetectorFailure::Unreachable);
                let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing));
                pending.admitted.judged(outcomes.collect());
                (pending, None)
            }
        };
        let body = || {
            let body = attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpRequestBody, 0, WHOLE));
            body.flatten().unwrap_or_default()
        };
        let host = Host::default();
        let waited_ms = since.map_or(0, |since| worker.time_ms().saturating_sub(since));
        let patience = Patience::after(waited_ms);
        let gate = Gate { view: &worker.view, world: &host, has_room: worker.has_room(), patience };
        let decision = pending.admitted.decide(body, &gate);
        if let (Some(meter), Some(prompts)) = (&mut self.meter, pending.admitted.take_prompts()) {
            meter.expanded(prompts);
        }
        match decision {
            BodyDecision::Reply(reply) => self.answer(&reply, worker),
            BodyDecision::Forward(forward) if worker.ends_with(Part::Decision) => {
                self.meter = None;
                worker.give_back(forward.call);
                Action::Continue
            }
            BodyDecision::Forward(forward) => self.forward(*forward, &pending, worker),
            BodyDecision::Wait(demand) => {
                if waited_ms > LONGEST_WAIT_MS || !worker.demand(demand) {
                    return self.refuse_waiting(&pending, Code::LeaseUnavailable, worker);
                }
                self.state = RequestState::Waiting(pending, since.unwrap_or_else(|| worker.time_ms()));
                Action::Pause
            }
            BodyDecision::Ask(calls) => {
                let outcomes = calls.iter().map(|_| None).collect();
                self.state = RequestState::Judging(pending, calls, outcomes);
                Action::Pause
            }
        }
    }

    /// The calls to detectors that are still to be made.
    pub fn take_calls(&mut self) -> Vec<DetectorCall> {
        match &mut self.state {
            RequestState::Judging(_, calls, _) => mem::take(calls),
            _ => Vec::new(),
        }
    }

    /// What became of a call to a detector. Once that is known of all, the request is decided on again. None: it
    /// still waits for a detector, or no more.
    ///
    /// The host's effective context must be this request's.
    pub fn judged(&mut self, index: usize, outcome: DetectorOutcome, worker: &GateWorker) -> Option<Action> {
        let RequestState::Judging(_, _, outcomes) = &mut self.state else { return None };
        *outcomes.get_mut(index)? = Some(outcome);
        if outcomes.iter().any(Option::is_none) {
            return None;
        }
        Some(self.decide(worker))
    }

    /// The app whose units it waits for.
    pub fn waits_for(&self) -> Option<AppId> {
        match &self.state {
            RequestState::Waiting(pending, _) => Some(pending.admitted.attribution.app),
            _ => None,
        }
    }

    fn forward(&mut self, mut forward: Forward, pending: &BufferedRequest, worker: &GateWorker) -> Action {
        self.tries = forward.call.attempts().map(|attempts| RegisteredAttempts::new(Rc::clone(attempts)));
        let edited = edit(&forward, &pending.headers);
        if let Some(demand) = forward.refill.take() {
            worker.demand(demand);
        }
        if edited.is_err() {
            self.tries = None;
            worker.give_back(forward.call);
            let report = forward.inspection.map(|inspection| inspection.into_report().into());
            let denial = Denial::from(Code::InternalError);
            return self.answer(&pending.admitted.refuse(&denial).inspected(report), worker);
        }
        self.response_headers = forward.response_headers;
        self.relay = forward.relay;
        if worker.ends_with(Part::Edits) {
            self.meter = None;
            worker.give_back(forward.call);
            return Action::Continue;
        }
        self.inspector =
            forward.inspection.map(|inspection| AnswerInspector::new(inspection, &forward.call).into());
        if let Some(meter) = &mut self.meter {
            meter.forwarded(forward.call);
        }
        Action::Continue
    }

    /// Cancels what is reserved for it, and records nothing.
    fn give_up(&mut self, worker: &GateWorker) {
        if let Some(call) = self.meter.take().and_then(RequestMeter::into_call) {
            worker.give_back(call);
        }
    }

    /// Refuses a request that has waited in vain.
    fn refuse_waiting(&mut self, pending: &BufferedRequest, code: Code, worker: &GateWorker) -> Action {
        self.answer(&pending.admitted.refuse_waiting(&Denial::from(code)), worker)
    }

    /// Answers instead of the provider.
    fn answer(&mut self, reply: &Reply, worker: &GateWorker) -> Action {
        if let Some(meter) = &mut self.meter {
            meter.refused(reply);
        }
        if let Some(code) = reply.code {
            note("latchkey.code", code.as_str());
            worker.refused(code);
        }
        let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let sent = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
        attempt("send_http_response", sent);
        Action::Pause
    }

    /// Tries again: units may have come. None where it does not wait for any.
    ///
    /// The host's effective context must be this request's.
    pub fn retry(&mut self, worker: &GateWorker) -> Option<Action> {
        matches!(self.state, RequestState::Waiting(..)).then(|| self.decide(worker))
    }
}

impl HttpContext for HttpExchange {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if self.worker.ends_with(Part::Nothing) {
            return Action::Continue;
        }
        let read = attempt("get_map", hostcalls::get_map_bytes(MapType::HttpRequestHeaders));
        let headers = read.unwrap_or_default();
        if self.worker.ends_with(Part::Headers) {
            return Action::Continue;
        }
        let host = Host::default();
        let admission = admit(Headers(&headers), &self.worker.view, &host);
        if self.worker.ends_with(Part::Admission) && matches!(admission, HeadersDecision::NeedBody(_)) {
            return Action::Continue;
        }
        let mut request = self.request.borrow_mut();
        match admission {
            HeadersDecision::Reply(reply) => {
                if let Some(attribution) = reply.attribution.clone() {
                    request.meter = Some(meter(attribution, reply.endpoint, &headers, host.now()));
                }
                request.answer(&reply, &self.worker)
            }
            HeadersDecision::NeedBody(admitted) => {
                let endpoint = admitted.endpoint();
                request.meter = Some(meter(admitted.attribution.clone(), endpoint, &headers, host.now()));
                request.state = RequestState::Buffering(BufferedRequest { headers, admitted });
                drop(request);
                if end_of_stream { self.decide_buffered() } else { Action::Pause }
            }
        }
    }

    fn on_http_request_body(&mut self, _: usize, end_of_stream: bool) -> Action {
        if !end_of_stream && matches!(self.request.borrow().state, RequestState::Buffering(_)) {
            return Action::Pause;
        }
        self.decide_buffered()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.decide_buffered()
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        // Envoy may have answered a waiting request by itself.
        self.end_wait();
        self.request.borrow_mut().answer_headers(end_of_stream, &self.worker)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.request.borrow_mut().answer_body(size, end_of_stream, &self.worker)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.request.borrow_mut().answer_trailers(&self.worker)
    }

    fn on_log(&mut self) {
        self.end_wait();
        let mut request = self.request.borrow_mut();
        if self.worker.ends_with(Part::Usage) {
            return request.give_up(&self.worker);
        }
        let tries = request.tries.take();
        let Some(mut meter) = request.meter.take() else { return };
        if !meter.has_status()
            && let Some(status) = property_number(&["response", "code"])
        {
            meter.answered(u16::try_from(status).unwrap_or_default(), AnswerHead::default());
        }
        if let Some(inspector) = request.inspector.take() {
            if inspector.is_blocked() {
                meter.cut(Code::GuardrailBlocked);
                self.worker.refused(Code::GuardrailBlocked);
            }
            meter.inspected(inspector.into_report());
        }
        meter.came_from(client_address());
        let outcome = match meter.needs_outcome() {
            true if tries.is_some() && property_text(&[attempts::REFUSED_NOTE]).is_some() => {
                UpstreamOutcome::NeverSent
            }
            true if tries.is_some() => {
                let made = property_number(&["upstream", "request_attempt_count"]);
                outcome().of_last_try(was_connected(), made)
            }
            true => outcome(),
            false => UpstreamOutcome::Answered,
        };
        self.worker.record(meter, outcome);
        drop(tries);
    }
}

impl Context for HttpExchange {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        self.worker.heard(token, headers, size);
    }
}

fn meter(attribution: Attribution, endpoint: &'static str, headers: &[Header], now: UnixMs) -> RequestMeter {
    attribute(&attribution);
    RequestMeter::new(attribution, endpoint, Headers(headers), now)
}

/// Turns the client's request into the provider's.
fn edit(forward: &Forward, headers: &[Header]) -> Result<(), Status> {
    for edit in forward.edits(Headers(headers)) {
        hostcalls::set_map_value(MapType::HttpRequestHeaders, &edit.name, edit.value.as_deref())?;
    }
    if let Some(body) = &forward.body {
        hostcalls::set_buffer(BufferType::HttpRequestBody, 0, WHOLE, body)?;
    }
    Ok(())
}
