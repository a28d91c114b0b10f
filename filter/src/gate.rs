//! One HTTP request at the gate.

use std::cell::{Cell, RefCell};
use std::mem;
use std::net::IpAddr;
use std::rc::Rc;

use latchkey_filter_core::answer::denial::{Code, Denial};
use latchkey_filter_core::answer::reply::{Attribution, Reply};
use latchkey_filter_core::answer::usage::{AnswerHead, ChunkAction};
use latchkey_filter_core::gate::{Admitted, BodyDecision, Gate, HeadersDecision, World, admit};
use latchkey_filter_core::guardrails::{
    AnswerInspector, AnswerMode, DetectorCall, DetectorFailure, DetectorOutcome, WholeAnswer,
};
use latchkey_filter_core::identity::SignatureCheck;
use latchkey_filter_core::limits::account::{PATIENCE_MS, Patience};
use latchkey_filter_core::mcp::{self, McpAnswerFormat, McpRelay};
use latchkey_filter_core::record::meter::{RequestMeter, UpstreamOutcome, may_have_connected};
use latchkey_filter_core::request::client_address;
use latchkey_filter_core::request::header::{Header, Headers};
use latchkey_filter_core::request::redaction::without_keys;
use latchkey_filter_core::snapshot::{AppId, UnixMs};
use latchkey_filter_core::upstream::attempts;
use latchkey_filter_core::upstream::forward::Forward;
use latchkey_filter_core::upstream::header_filter;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType, Status};
use uuid::fmt::Hyphenated;

use crate::anatomy::Part;
use crate::attempt::RegisteredAttempts;
use crate::host::{self, attempt};
use crate::worker::GateWorker;

/// Longer than any body; the host gives what there is.
pub const WHOLE: usize = 0x7fff_ffff;

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

    /// Answers instead of Envoy, whose own answer has begun. That is edited where it has a body: Envoy would word
    /// another one anew, by the flags of its own.
    fn answer_for_envoy(&mut self, reply: Reply, end_of_stream: bool, worker: &GateWorker) -> Action {
        if end_of_stream {
            return self.answer(&reply, worker);
        }
        if let Some(code) = reply.code {
            note("latchkey.code", code.as_str());
            worker.refused(code);
        }
        let length = reply.body.len().to_string();
        let own = [(":status", reply.status.to_string()), ("content-length", length)];
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_ref()));
        for (name, value) in own.chain(headers) {
            let set = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, Some(value));
            attempt("set_map_value", set);
        }
        self.replacement = Some(reply.body);
        Action::Continue
    }

    /// The headers of an MCP server's answer have come: replaces the session id, and announces what will
    /// become of the body.
    fn relay_headers(&mut self, status: u16, end_of_stream: bool) {
        let Some(relay) = &mut self.relay else { return };
        let set = |name: &str, value: Option<&str>| {
            let set = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, value);
            attempt("set_map_value", set);
        };
        if let Some(session) = response_header(mcp::SESSION_HEADER) {
            let sealed = relay.binding.seal(&session);
            set(mcp::SESSION_HEADER, sealed.as_deref());
        }
        if response_header("www-authenticate").is_some() {
            set("www-authenticate", None);
        }
        let Some(tools) = &mut relay.tools else { return };
        if end_of_stream {
            relay.tools = None;
            return;
        }
        let (kind, encoding) = (response_header("content-type"), response_header("content-encoding"));
        let form = tools.answered(status, kind.as_deref(), encoding.as_deref());
        set("content-length", None);
        if form == McpAnswerFormat::Unreadable {
            set("content-type", Some("application/json"));
            set("content-encoding", None);
        }
    }

    /// A chunk of an MCP server's answer has come whose tools must be filtered. If nothing was passed on the
    /// last time, it is the whole body so far.
    fn relay_body(&mut self, size: usize, last: bool, worker: &GateWorker) -> Action {
        let Some(tools) = self.relay.as_mut().and_then(|relay| relay.tools.as_mut()) else {
            return Action::Continue;
        };
        if tools.waits(size, last) {
            return Action::Pause;
        }
        let read = attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpResponseBody, 0, WHOLE));
        // If it cannot be read or replaced it is held back for good: better no answer than the whole list.
        let Some(body) = read.map(Option::unwrap_or_default) else { return Action::Pause };
        let shown = tools.pass(&body, last);
        // Only a trial's: it has seen nothing of this body yet.
        if let Some(inspector) = &mut self.inspector {
            inspector.watch(&shown, last);
        }
        tools.tell(&worker.view, host::now);
        match attempt("set_buffer", hostcalls::set_buffer(BufferType::HttpResponseBody, 0, WHOLE, &shown)) {
            Some(()) => Action::Continue,
            None => Action::Pause,
        }
    }

    /// Whether an MCP server's list of tools may be cut in the answer.
    fn filters_tools(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.tools.is_some())
    }

    /// A part of an answer has come that guardrails look at once it is whole.
    fn whole_answer(&mut self, last: bool, worker: &GateWorker) -> Action {
        let (Some(inspector), Some(meter)) = (&mut self.inspector, &mut self.meter) else {
            return Action::Continue;
        };
        meter.begins(host::now);
        if !last {
            return Action::Pause;
        }
        // If it cannot be read it is held back for good: better no answer than one that nobody looked at.
        let read = attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpResponseBody, 0, WHOLE));
        let Some(mut body) = read.map(Option::unwrap_or_default) else { return Action::Pause };
        let mut is_changed = false;
        if let Some(tools) = self.relay.as_mut().and_then(|relay| relay.tools.as_mut()) {
            body = tools.pass(&body, true);
            tools.tell(&worker.view, host::now);
            is_changed = true;
        }
        // Whole answers have no usage chunk to hide.
        let _ = meter.chunk(&body, true, host::now);
        let bytes = match inspector.whole(&body) {
            WholeAnswer::Pass if is_changed => body,
            WholeAnswer::Pass => return Action::Continue,
            WholeAnswer::Replace(bytes) => bytes,
            WholeAnswer::Refuse(reply) => {
                meter.replaced(&reply);
                reply.code.inspect(|code| worker.refused(*code));
                let status = reply.status.to_string();
                let own = [(":status", status.as_str())].into_iter();
                let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_ref()));
                for (name, value) in own.chain(headers) {
                    let set = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, Some(value));
                    attempt("set_map_value", set);
                }
                reply.body
            }
        };
        match attempt("set_buffer", hostcalls::set_buffer(BufferType::HttpResponseBody, 0, WHOLE, &bytes)) {
            Some(()) => Action::Continue,
            None => Action::Pause,
        }
    }

    /// A chunk of an answer has come that guardrails look at and do not change.
    fn watched_chunk(&mut self, size: usize, last: bool) -> Action {
        let (Some(inspector), Some(meter)) = (&mut self.inspector, &mut self.meter) else {
            return Action::Continue;
        };
        let chunk = response_chunk(size);
        match meter.chunk(&chunk, last, host::now) {
            ChunkAction::Pass => inspector.watch(&chunk, last),
            ChunkAction::Replace(bytes) => {
                inspector.watch(&bytes, last);
                let set = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, &bytes);
                attempt("set_buffer", set);
            }
        }
        Action::Continue
    }

    /// A chunk of a stream has come that guardrails look at.
    fn inspected_chunk(&mut self, size: usize, last: bool, worker: &GateWorker) -> Action {
        let (Some(inspector), Some(meter)) = (&mut self.inspector, &mut self.meter) else {
            return Action::Continue;
        };
        let chunk = response_chunk(size);
        let passed = match meter.chunk(&chunk, last, host::now) {
            ChunkAction::Pass => chunk,
            ChunkAction::Replace(bytes) => bytes,
        };
        let passed = match self.relay.as_mut().and_then(|relay| relay.tools.as_mut()) {
            Some(tools) => {
                let shown = tools.pass(&passed, last);
                tools.tell(&worker.view, host::now);
                shown
            }
            None => passed,
        };
        let shown = inspector.chunk(&passed, last);
        if shown.len() == size && shown == passed {
            return Action::Continue;
        }
        match attempt("set_buffer", hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, &shown)) {
            Some(()) => Action::Continue,
            None => Action::Pause,
        }
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
        let mut request = self.request.borrow_mut();
        let response_headers = mem::take(&mut request.response_headers);
        let is_tried = request.tries.is_some();
        let is_unrouted = request.tries.as_ref().is_some_and(RegisteredAttempts::lack_route);
        if is_unrouted && let Some(reply) = request.meter.as_mut().and_then(RequestMeter::unrouted) {
            return request.answer_for_envoy(reply, end_of_stream, &self.worker);
        }
        let Some(meter) = &mut request.meter else { return Action::Continue };
        meter.follow_attempts();
        let headers = attempt("get_map", hostcalls::get_map_bytes(MapType::HttpResponseHeaders));
        let headers = headers.unwrap_or_default();
        let status = Headers(&headers).text(":status").and_then(|status| status.parse().ok());
        let status = status.unwrap_or_default();
        // Envoy did not move it on after all.
        let is_held_error = is_tried && status == attempts::ERROR_EVENT_STATUS;
        let status = if is_held_error { set_status(502) } else { status };
        if let Some(redirect) = meter.redirect(status, Headers(&headers)) {
            note("latchkey.location", &redirect.location);
            request.relay = None;
            return request.answer(&redirect.reply, &self.worker);
        }
        withhold(meter, &headers);
        let head = AnswerHead {
            content_type: Headers(&headers).text("content-type"),
            content_encoding: Headers(&headers).text("content-encoding"),
        };
        let reads = meter.answered(status, head);
        let hides_usage = reads && meter.hides_usage();
        let mode = request
            .inspector
            .as_mut()
            .filter(|_| !end_of_stream)
            .map(|inspector| inspector.answered(status, head));
        if hides_usage || matches!(mode, Some(AnswerMode::Whole | AnswerMode::Stream)) {
            // The body may get another length.
            let removed = hostcalls::set_map_value(MapType::HttpResponseHeaders, "content-length", None);
            attempt("set_map_value", removed);
        }
        let tried = request.tries.as_ref().map_or(0, RegisteredAttempts::count);
        let tried = (tried > 1).then(|| (attempts::COUNT_HEADER, tried.to_string()));
        for (name, value) in response_headers.into_iter().chain(tried) {
            let set = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, Some(&value));
            attempt("set_map_value", set);
        }
        request.relay_headers(status, end_of_stream);
        if self.worker.ends_with(Part::AnswerHeaders) {
            request.give_up(&self.worker);
            return Action::Continue;
        }
        // What replaces a whole answer has other headers.
        if mode == Some(AnswerMode::Whole) { Action::Pause } else { Action::Continue }
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let mut request = self.request.borrow_mut();
        if let Some(body) = request.replacement.take() {
            let set = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, WHOLE, &body);
            attempt("set_buffer", set);
            return Action::Continue;
        }
        match request.inspector.as_ref().map(|inspector| inspector.mode()) {
            Some(AnswerMode::Whole) => return request.whole_answer(end_of_stream, &self.worker),
            Some(AnswerMode::Stream) => return request.inspected_chunk(size, end_of_stream, &self.worker),
            Some(AnswerMode::Watch) if !request.filters_tools() => {
                return request.watched_chunk(size, end_of_stream);
            }
            Some(AnswerMode::Watch | AnswerMode::Pass) | None => {}
        }
        if request.relay.is_some() {
            return request.relay_body(size, end_of_stream, &self.worker);
        }
        let Some(meter) = request.meter.as_mut().filter(|meter| meter.reads()) else {
            return Action::Continue;
        };
        let chunk = response_chunk(size);
        if let ChunkAction::Replace(bytes) = meter.chunk(&chunk, end_of_stream, host::now) {
            attempt("set_buffer", hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, &bytes));
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        let mut request = self.request.borrow_mut();
        if request.inspector.as_ref().is_some_and(|inspector| inspector.mode() == AnswerMode::Whole) {
            return request.whole_answer(true, &self.worker);
        }
        let filters_tools = request.filters_tools();
        if let Some(inspector) = &mut request.inspector
            && inspector.mode() == AnswerMode::Watch
            && !filters_tools
        {
            inspector.watch(&[], true);
        }
        if let Some(meter) = request.meter.as_mut().filter(|meter| meter.reads()) {
            // No bytes can be added any more: what is kept back is no whole event, or the usage chunk.
            let _ = meter.chunk(&[], true, host::now);
        }
        let tools = request.relay.as_ref().and_then(|relay| relay.tools.as_ref());
        // Formats that are not buffered have nothing left.
        if tools.is_some_and(|tools| tools.waits(0, false)) {
            return request.relay_body(0, true, &self.worker);
        }
        Action::Continue
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

/// How the exchange ended, where the answer does not tell: a timeout, a reset, a client that went away.
fn outcome() -> UpstreamOutcome {
    let details = property_text(&["response", "code_details"]).unwrap_or_default();
    let flags = property_number(&["response", "flags"]).unwrap_or_default();
    UpstreamOutcome::read(&details, flags)
}

/// Whether the last try may have had a connection to its provider, by which alone something can have been sent.
pub fn was_connected() -> bool {
    let local = property_text(&["upstream", "local_address"]);
    let host = property_text(&["upstream", "address"]);
    let flags = || property_number(&["response", "flags"]).unwrap_or_default();
    may_have_connected(local.as_deref(), host.as_deref(), flags)
}

fn client_address() -> Option<IpAddr> {
    client_address::parse(property_text(&["source", "address"])?.as_bytes())
}

pub fn property_text(path: &[&str]) -> Option<String> {
    let bytes = attempt("get_property", hostcalls::get_property(path.to_vec())).flatten()?;
    String::from_utf8(bytes).ok()
}

fn property_number(path: &[&str]) -> Option<u64> {
    let bytes = attempt("get_property", hostcalls::get_property(path.to_vec())).flatten()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn response_chunk(size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    let read = attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size));
    read.flatten().unwrap_or_default()
}

fn response_header(name: &str) -> Option<String> {
    let value = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name);
    String::from_utf8(attempt("get_map_value", value).flatten()?).ok()
}

/// Gives the answer this status.
fn set_status(status: u16) -> u16 {
    let value = status.to_string();
    attempt("set_map_value", hostcalls::set_map_value(MapType::HttpResponseHeaders, ":status", Some(&value)));
    status
}

/// Removes the answer's headers that must not reach the client.
fn withhold(meter: &RequestMeter, headers: &[Header]) {
    let Some(call) = meter.call() else { return };
    for name in header_filter::withheld_from_clients(Headers(headers), call.authority()) {
        attempt("set_map_value", hostcalls::set_map_value(MapType::HttpResponseHeaders, name, None));
    }
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

/// Notes in Envoy's access log whose request it is.
fn attribute(attribution: &Attribution) {
    let Attribution { app, key, user, identity, old_secret: _ } = attribution;
    let mut text = [0; Hyphenated::LENGTH];
    note("latchkey.app", app.0.as_hyphenated().encode_lower(&mut text));
    note("latchkey.key", key.0.as_hyphenated().encode_lower(&mut text));
    if let Some(user) = user {
        note("latchkey.user", user.0.as_hyphenated().encode_lower(&mut text));
    }
    if let Some(email) = identity.email() {
        note("latchkey.user", email);
    }
}

/// Sets `wasm.<name>` in the request's filter state, which the access log shows.
pub fn note(name: &str, value: &str) {
    let value = without_keys(value);
    attempt("set_property", hostcalls::set_property(vec![name], Some(value.as_bytes())));
}
