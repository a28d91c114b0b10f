//! The attempt role: one try of a request at a target of a routing group. It runs upstream of the gate, in front of
//! each provider that serves groups, on the same worker and in the same VM.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use latchkey_filter_core::request::header::Headers;
use latchkey_filter_core::upstream::attempts::{
    ATTEMPTS_NOTE, AnswerStart, Attempts, CLUSTER_NOTE, ERROR_EVENT_STATUS, REFUSED_NOTE, SharedAttempts,
    TryEdits,
};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};

use crate::host::{self, WHOLE, attempt};
use crate::properties::{note, property_text, was_connected};
use crate::shared_data::SharedData;

thread_local! {
    /// The tries of the requests that are under way in this VM, by number.
    static UNDER_WAY: RefCell<HashMap<u64, Weak<RefCell<Attempts>>>> = RefCell::default();
    /// None until the first: a VM that was loaded again does not use the numbers of the one before.
    static NEXT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// A request's tries, which the attempt role finds while this lives.
pub struct RegisteredAttempts {
    number: u64,
    attempts: SharedAttempts,
}

/// One try.
pub struct AttemptExchange {
    provider: Rc<str>,
    attempts: Option<SharedAttempts>,
    /// The try's number, from 0.
    number: usize,
    edits_body: bool,
    holds_answer: bool,
    /// How much of a held answer was looked at, in bytes.
    seen: usize,
}

impl RegisteredAttempts {
    /// Leaves their number, and the cluster of the first, in the request's filter state. Envoy chooses the cluster
    /// by that: the request's headers must change afterwards, so that it chooses anew.
    pub fn new(attempts: SharedAttempts) -> Self {
        let number = NEXT.get().unwrap_or_else(|| host::random(host::now_ns()));
        NEXT.set(Some(number.wrapping_add(1)));
        UNDER_WAY.with_borrow_mut(|all| all.insert(number, Rc::downgrade(&attempts)));
        note(ATTEMPTS_NOTE, &number.to_string());
        if let Some(target) = attempts.borrow().current() {
            note(CLUSTER_NOTE, &target.offer.provider.cluster);
        }
        Self { number, attempts }
    }

    /// How many targets were tried.
    pub fn count(&self) -> usize {
        self.attempts.borrow().count()
    }

    /// Whether the answer is Envoy's own, for want of a route for groups.
    pub fn lack_route(&self) -> bool {
        if self.count() > 0 {
            return false;
        }
        let details = property_text(&["response", "code_details"]).unwrap_or_default();
        let cluster = property_text(&["cluster_name"]).unwrap_or_default();
        self.attempts.borrow().lacks_route(&details, &cluster)
    }
}

impl Drop for RegisteredAttempts {
    fn drop(&mut self) {
        UNDER_WAY.with_borrow_mut(|all| all.remove(&self.number));
    }
}

impl AttemptExchange {
    pub fn new(provider: Rc<str>) -> Self {
        Self { provider, attempts: None, number: 0, edits_body: false, holds_answer: false, seen: 0 }
    }

    /// Nobody knows this request here: it must not reach the provider. Nothing comes after that: Envoy gives a local
    /// reply of an upstream filter to the client, and retries nothing.
    fn refuse() -> Action {
        let body = br#"{"type":"error","error":{"message":"The routing group has changed meanwhile. Retry in a moment.","type":"server_error","param":null,"code":"provider_not_ready"}}"#;
        note(REFUSED_NOTE, "1");
        let headers = vec![("content-type", "application/json"), ("retry-after", "1")];
        attempt("send_http_response", hostcalls::send_http_response(503, headers, Some(body)));
        Action::Pause
    }

    /// The body is whole: makes it this target's, once.
    fn edit_body(&mut self) -> Action {
        let Some(attempts) = self.attempts.as_ref().filter(|_| self.edits_body) else {
            return Action::Continue;
        };
        self.edits_body = false;
        let read = attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpRequestBody, 0, WHOLE));
        let Ok(edited) = attempts.borrow().body(&read.flatten().unwrap_or_default()) else {
            return Self::refuse();
        };
        let Some(edited) = edited else { return Action::Continue };
        let length = edited.len().to_string();
        let set = hostcalls::set_map_value(MapType::HttpRequestHeaders, "content-length", Some(&length));
        attempt("set_map_value", set);
        match attempt("set_buffer", hostcalls::set_buffer(BufferType::HttpRequestBody, 0, WHOLE, &edited)) {
            Some(()) => Action::Continue,
            None => Self::refuse(),
        }
    }

    fn start(&mut self, start: AnswerStart) -> Action {
        self.holds_answer = start == AnswerStart::Hold;
        match start {
            AnswerStart::Hold => Action::Pause,
            AnswerStart::Pass => Action::Continue,
            AnswerStart::Fail => {
                let status = ERROR_EVENT_STATUS.to_string();
                let set = hostcalls::set_map_value(MapType::HttpResponseHeaders, ":status", Some(&status));
                attempt("set_map_value", set);
                Action::Continue
            }
        }
    }
}

impl HttpContext for AttemptExchange {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let number = property_text(&[ATTEMPTS_NOTE]).and_then(|number| number.parse::<u64>().ok());
        let found = number.and_then(|number| UNDER_WAY.with_borrow(|all| all.get(&number)?.upgrade()));
        let Some(attempts) = found else { return Self::refuse() };
        let headers = attempt("get_map", hostcalls::get_map_bytes(MapType::HttpRequestHeaders));
        let headers = headers.unwrap_or_default();
        let begun = attempts.borrow_mut().begin(&self.provider, &headers, &SharedData, host::now());
        let Some(TryEdits { number, headers, edits_body }) = begun else { return Self::refuse() };
        note(CLUSTER_NOTE, &attempts.borrow().next_cluster().unwrap_or_default());
        for edit in headers {
            let set =
                hostcalls::set_map_value(MapType::HttpRequestHeaders, &edit.name, edit.value.as_deref());
            attempt("set_map_value", set);
        }
        self.number = number;
        self.edits_body = edits_body && !end_of_stream;
        self.attempts = Some(attempts);
        if self.edits_body { Action::Pause } else { Action::Continue }
    }

    fn on_http_request_body(&mut self, _: usize, end_of_stream: bool) -> Action {
        if self.edits_body && !end_of_stream { Action::Pause } else { self.edit_body() }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.edit_body()
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let Some(attempts) = &self.attempts else { return Action::Continue };
        let headers = attempt("get_map", hostcalls::get_map_bytes(MapType::HttpResponseHeaders));
        let headers = headers.unwrap_or_default();
        let status =
            Headers(&headers).text(":status").and_then(|status| status.parse().ok()).unwrap_or_default();
        let mut attempts = attempts.borrow_mut();
        let now = host::now();
        let start = attempts.answered(self.number, status, Headers(&headers), &SharedData, now);
        let start = match start {
            AnswerStart::Hold if end_of_stream => attempts.held(self.number, &[], true, &SharedData, now),
            start => start,
        };
        drop(attempts);
        self.start(start)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(attempts) = self.attempts.as_ref().filter(|_| self.holds_answer) else {
            return Action::Continue;
        };
        // All that is held: nothing was passed on yet.
        let more = size.saturating_sub(self.seen);
        let read =
            attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpResponseBody, self.seen, more));
        let bytes = read.flatten().unwrap_or_default();
        self.seen = self.seen.saturating_add(bytes.len());
        let start = attempts.borrow_mut().held(self.number, &bytes, end_of_stream, &SharedData, host::now());
        self.start(start)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        let Some(attempts) = self.attempts.as_ref().filter(|_| self.holds_answer) else {
            return Action::Continue;
        };
        let start = attempts.borrow_mut().held(self.number, &[], true, &SharedData, host::now());
        self.start(start)
    }
}

impl Context for AttemptExchange {
    fn on_done(&mut self) -> bool {
        if let Some(attempts) = &self.attempts {
            attempts.borrow_mut().ended(self.number, !was_connected(), host::now());
        }
        true
    }
}
