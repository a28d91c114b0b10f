//! The answer to one HTTP request: what it uses is measured, guardrails look at it, and what clients must not see
//! is taken out.

use std::mem;

use latchkey_filter_core::answer::reply::Reply;
use latchkey_filter_core::answer::usage::{AnswerHead, ChunkAction};
use latchkey_filter_core::guardrails::{AnswerMode, WholeAnswer};
use latchkey_filter_core::mcp::{self, McpAnswerFormat};
use latchkey_filter_core::record::meter::RequestMeter;
use latchkey_filter_core::request::header::{Header, Headers};
use latchkey_filter_core::upstream::attempts;
use latchkey_filter_core::upstream::header_filter;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType};

use super::Request;
use crate::anatomy::Part;
use crate::attempt::RegisteredAttempts;
use crate::host::{self, WHOLE, attempt};
use crate::properties::note;
use crate::worker::GateWorker;

impl Request {
    /// Its headers have come.
    pub(super) fn answer_headers(&mut self, end_of_stream: bool, worker: &GateWorker) -> Action {
        let response_headers = mem::take(&mut self.response_headers);
        let is_tried = self.tries.is_some();
        let is_unrouted = self.tries.as_ref().is_some_and(RegisteredAttempts::lack_route);
        if is_unrouted && let Some(reply) = self.meter.as_mut().and_then(RequestMeter::unrouted) {
            return self.answer_for_envoy(reply, end_of_stream, worker);
        }
        let Some(meter) = &mut self.meter else { return Action::Continue };
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
            self.relay = None;
            return self.answer(&redirect.reply, worker);
        }
        withhold(meter, &headers);
        let head = AnswerHead {
            content_type: Headers(&headers).text("content-type"),
            content_encoding: Headers(&headers).text("content-encoding"),
        };
        let reads = meter.answered(status, head);
        let hides_usage = reads && meter.hides_usage();
        let mode = self
            .inspector
            .as_mut()
            .filter(|_| !end_of_stream)
            .map(|inspector| inspector.answered(status, head));
        if hides_usage || matches!(mode, Some(AnswerMode::Whole | AnswerMode::Stream)) {
            // The body may get another length.
            set_header("content-length", None);
        }
        let tried = self.tries.as_ref().map_or(0, RegisteredAttempts::count);
        let tried = (tried > 1).then(|| (attempts::COUNT_HEADER, tried.to_string()));
        for (name, value) in response_headers.into_iter().chain(tried) {
            set_header(name, Some(&value));
        }
        self.relay_headers(status, end_of_stream);
        if worker.ends_with(Part::AnswerHeaders) {
            self.give_up(worker);
            return Action::Continue;
        }
        // What replaces a whole answer has other headers.
        if mode == Some(AnswerMode::Whole) { Action::Pause } else { Action::Continue }
    }

    /// A part of its body has come, of this size.
    pub(super) fn answer_body(&mut self, size: usize, end_of_stream: bool, worker: &GateWorker) -> Action {
        if let Some(body) = self.replacement.take() {
            replace(WHOLE, &body);
            return Action::Continue;
        }
        match self.inspector.as_ref().map(|inspector| inspector.mode()) {
            Some(AnswerMode::Whole) => return self.whole_answer(end_of_stream, worker),
            Some(AnswerMode::Stream) => return self.inspected_chunk(size, end_of_stream, worker),
            Some(AnswerMode::Watch) if !self.filters_tools() => {
                return self.watched_chunk(size, end_of_stream);
            }
            Some(AnswerMode::Watch | AnswerMode::Pass) | None => {}
        }
        if self.relay.is_some() {
            return self.relay_body(size, end_of_stream, worker);
        }
        let Some(meter) = self.meter.as_mut().filter(|meter| meter.reads()) else {
            return Action::Continue;
        };
        let chunk = response_chunk(size);
        if let ChunkAction::Replace(bytes) = meter.chunk(&chunk, end_of_stream, host::now) {
            replace(size, &bytes);
        }
        Action::Continue
    }

    /// Its trailers have come, after all of its body.
    pub(super) fn answer_trailers(&mut self, worker: &GateWorker) -> Action {
        if self.inspector.as_ref().is_some_and(|inspector| inspector.mode() == AnswerMode::Whole) {
            return self.whole_answer(true, worker);
        }
        let filters_tools = self.filters_tools();
        if let Some(inspector) = &mut self.inspector
            && inspector.mode() == AnswerMode::Watch
            && !filters_tools
        {
            inspector.watch(&[], true);
        }
        if let Some(meter) = self.meter.as_mut().filter(|meter| meter.reads()) {
            // No bytes can be added any more: what is kept back is no whole event, or the usage chunk.
            let _ = meter.chunk(&[], true, host::now);
        }
        let tools = self.relay.as_ref().and_then(|relay| relay.tools.as_ref());
        // Formats that are not buffered have nothing left.
        if tools.is_some_and(|tools| tools.waits(0, false)) {
            return self.relay_body(0, true, worker);
        }
        Action::Continue
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
        set_head_of(&reply);
        set_header("content-length", Some(&reply.body.len().to_string()));
        self.replacement = Some(reply.body);
        Action::Continue
    }

    /// The headers of an MCP server's answer have come: replaces the session id, and announces what will
    /// become of the body.
    fn relay_headers(&mut self, status: u16, end_of_stream: bool) {
        let Some(relay) = &mut self.relay else { return };
        if let Some(session) = response_header(mcp::SESSION_HEADER) {
            let sealed = relay.binding.seal(&session);
            set_header(mcp::SESSION_HEADER, sealed.as_deref());
        }
        if response_header("www-authenticate").is_some() {
            set_header("www-authenticate", None);
        }
        let Some(tools) = &mut relay.tools else { return };
        if end_of_stream {
            relay.tools = None;
            return;
        }
        let (kind, encoding) = (response_header("content-type"), response_header("content-encoding"));
        let form = tools.answered(status, kind.as_deref(), encoding.as_deref());
        set_header("content-length", None);
        if form == McpAnswerFormat::Unreadable {
            set_header("content-type", Some("application/json"));
            set_header("content-encoding", None);
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
        // If it cannot be read or replaced it is held back for good: better no answer than the whole list.
        let Some(body) = whole_body() else { return Action::Pause };
        let shown = tools.pass(&body, last);
        // Only a trial's: it has seen nothing of this body yet.
        if let Some(inspector) = &mut self.inspector {
            inspector.watch(&shown, last);
        }
        tools.tell(&worker.view, host::now);
        replace_or_hold_back(WHOLE, &shown)
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
        let Some(mut body) = whole_body() else { return Action::Pause };
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
                set_head_of(&reply);
                reply.body
            }
        };
        replace_or_hold_back(WHOLE, &bytes)
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
                replace(size, &bytes);
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
        replace_or_hold_back(size, &shown)
    }
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

fn whole_body() -> Option<Vec<u8>> {
    let read = attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpResponseBody, 0, WHOLE));
    read.map(Option::unwrap_or_default)
}

/// Puts bytes in the place of the first `size` that have come.
fn replace(size: usize, bytes: &[u8]) -> Option<()> {
    attempt("set_buffer", hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, bytes))
}

/// The same, where what has come must not be passed on.
fn replace_or_hold_back(size: usize, bytes: &[u8]) -> Action {
    match replace(size, bytes) {
        Some(()) => Action::Continue,
        None => Action::Pause,
    }
}

/// Gives one of the answer's headers a value, or removes it.
fn set_header(name: &str, value: Option<&str>) {
    attempt("set_map_value", hostcalls::set_map_value(MapType::HttpResponseHeaders, name, value));
}

/// Gives the answer the reply's status and headers.
fn set_head_of(reply: &Reply) {
    set_header(":status", Some(&reply.status.to_string()));
    for (name, value) in &reply.headers {
        set_header(name, Some(value));
    }
}

/// Gives the answer this status.
fn set_status(status: u16) -> u16 {
    set_header(":status", Some(&status.to_string()));
    status
}

/// Removes the answer's headers that must not reach the client.
fn withhold(meter: &RequestMeter, headers: &[Header]) {
    let Some(call) = meter.call() else { return };
    for name in header_filter::withheld_from_clients(Headers(headers), call.authority()) {
        set_header(name, None);
    }
}
