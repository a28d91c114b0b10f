//! Calls to external detectors: the one case in which the gate calls somebody.
//!
//! Calls are made in the root's context, and heard of there: Envoy cancels those of a request whose client goes
//! away, and the SDK would keep their tokens for ever.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use latchkey_filter_core::guardrails::{
    Breakers, DetectorCall, DetectorFailure, DetectorOutcome, MOST_ANSWER_BYTES,
};
use latchkey_filter_core::request::header::Headers;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use crate::gate::Request;
use crate::host::attempt;

/// The calls of one worker.
pub struct Detectors {
    /// The root's context.
    root: u32,
    pending: RefCell<HashMap<u32, PendingCall>>,
    breakers: RefCell<Breakers>,
}

/// A call that nobody has heard of yet.
struct PendingCall {
    /// The request's context.
    id: u32,
    request: Weak<RefCell<Request>>,
    /// Among the calls of the request.
    index: usize,
    call: DetectorCall,
}

/// What became of a call, and for whom.
pub struct JudgedCall {
    pub id: u32,
    pub request: Rc<RefCell<Request>>,
    pub index: usize,
    pub outcome: DetectorOutcome,
}

impl Detectors {
    pub fn new(root: u32) -> Self {
        Self { root, pending: RefCell::default(), breakers: RefCell::default() }
    }

    /// Makes a call for a request, in whose context the host is. Without an error it will be heard of.
    pub fn ask(
        &self,
        id: u32,
        request: &Rc<RefCell<Request>>,
        index: usize,
        mut call: DetectorCall,
        now_ms: i64,
    ) -> Result<(), DetectorFailure> {
        if !self.breakers.borrow_mut().lets_through(call.app, &call.detector, now_ms) {
            return Err(DetectorFailure::Resting);
        }
        let timeout = Duration::from_millis(call.detector.timeout_ms.into());
        let cluster = &call.detector.cluster;
        attempt("set_effective_context", hostcalls::set_effective_context(self.root));
        // It fails where Envoy has no such cluster, or no address for it. That is the detector's failure.
        let token = hostcalls::dispatch_http_call(cluster, call.headers(), Some(&call.body), vec![], timeout);
        attempt("set_effective_context", hostcalls::set_effective_context(id));
        let Ok(token) = token else {
            self.failed(&call, &DetectorFailure::Unreachable, now_ms);
            return Err(DetectorFailure::Unreachable);
        };
        call.body = Vec::new();
        let pending = PendingCall { id, request: Rc::downgrade(request), index, call };
        self.pending.borrow_mut().insert(token, pending);
        Ok(())
    }

    /// The host has heard of a call. Gives nothing where nobody waits for it any more.
    pub fn heard(&self, token: u32, headers: usize, size: usize, now_ms: i64) -> Option<JudgedCall> {
        let PendingCall { id, request, index, call } = self.pending.borrow_mut().remove(&token)?;
        attempt("set_effective_context", hostcalls::set_effective_context(self.root));
        let outcome = read(&call, headers, size);
        match &outcome {
            Ok(_) => self.breakers.borrow_mut().answered(call.app, &call.detector),
            Err(failure) => self.failed(&call, failure, now_ms),
        }
        Some(JudgedCall { id, request: request.upgrade()?, index, outcome })
    }

    /// A request is over. What it asked is heard of by nobody.
    pub fn forget(&self, id: u32) {
        self.pending.borrow_mut().retain(|_, pending| pending.id != id);
    }

    fn failed(&self, call: &DetectorCall, failure: &DetectorFailure, now_ms: i64) {
        if self.breakers.borrow_mut().failed(call.app, &call.detector, now_ms) {
            let (name, app) = (&call.detector.name, call.app);
            log::warn!("the detector `{name}` is left alone for some seconds for app {app}: {failure}");
        }
    }
}

/// Reads what the host has heard. Without headers there is nothing: no connection, a reset, or an answer that is
/// longer than Envoy keeps.
fn read(call: &DetectorCall, headers: usize, size: usize) -> DetectorOutcome {
    if headers == 0 {
        return Err(DetectorFailure::Unreachable);
    }
    if size > MOST_ANSWER_BYTES {
        return Err(DetectorFailure::LongAnswer);
    }
    let map = attempt("get_map", hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders));
    let map = map.unwrap_or_default();
    let status = Headers(&map).text(":status").and_then(|status| status.parse().ok()).unwrap_or_default();
    let body = match size {
        0 => None,
        _ => {
            attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size)).flatten()
        }
    };
    call.read(status, &body.unwrap_or_default())
}
