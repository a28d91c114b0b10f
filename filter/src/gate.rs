//! One HTTP request at the gate.

use std::mem;
use std::net::IpAddr;
use std::rc::Rc;

use latchkey_filter_core::address;
use latchkey_filter_core::denial::{Code, Denial};
use latchkey_filter_core::forward::Forward;
use latchkey_filter_core::gate::{Admission, Admitted, Outcome, World, admit};
use latchkey_filter_core::header::{Header, Headers};
use latchkey_filter_core::reply::{Attribution, Reply};
use latchkey_filter_core::snapshot::UnixMs;
use latchkey_filter_core::view::View;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType, Status};
use uuid::fmt::Hyphenated;

use crate::host::{self, attempt};
use crate::shared_data::SharedData;

/// One per plugin and thread.
pub type SharedView = Rc<View<SharedData>>;

/// More than any body; the host gives what there is.
const WHOLE: usize = 0x7fff_ffff;

/// A request, from its headers until it is let go.
pub struct Exchange {
    view: SharedView,
    state: State,
}

enum State {
    /// The headers have not come, or the request has been answered or let go.
    Idle,
    /// The body is being buffered.
    Buffering { headers: Vec<Header>, admitted: Admitted },
}

/// The host, as the gate's rules ask it.
struct Host;

impl World for Host {
    fn now(&self) -> UnixMs {
        host::now()
    }

    fn client_address(&self) -> Option<IpAddr> {
        let text = attempt("get_property", hostcalls::get_property(vec!["source", "address"]));
        address::parse(&text.flatten()?)
    }
}

impl Exchange {
    pub fn new(view: SharedView) -> Self {
        Self { view, state: State::Idle }
    }

    /// The request is whole: settle it.
    fn settle(&mut self, body: &[u8]) -> Action {
        let State::Buffering { headers, admitted } = mem::replace(&mut self.state, State::Idle) else {
            return Action::Continue;
        };
        let outcome = match admitted.settle(body, &self.view, &Host) {
            Outcome::Forward(forward) if edit(&forward, &headers).is_err() => {
                admitted.refuse(&Denial::from(Code::InternalError))
            }
            outcome => outcome,
        };
        match outcome {
            Outcome::Forward(_) => Action::Continue,
            Outcome::Reply(reply) => answer(&reply),
        }
    }

    fn settle_buffered(&mut self) -> Action {
        if matches!(self.state, State::Idle) {
            return Action::Continue;
        }
        let body = attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpRequestBody, 0, WHOLE));
        self.settle(&body.flatten().unwrap_or_default())
    }
}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let read = attempt("get_map", hostcalls::get_map_bytes(MapType::HttpRequestHeaders));
        let headers = read.unwrap_or_default();
        match admit(Headers(&headers), &self.view, &Host) {
            Admission::Reply(reply) => {
                reply.attribution.iter().for_each(attribute);
                answer(&reply)
            }
            Admission::NeedBody(admitted) => {
                attribute(&admitted.attribution);
                self.state = State::Buffering { headers, admitted };
                if end_of_stream { self.settle(&[]) } else { Action::Pause }
            }
        }
    }

    fn on_http_request_body(&mut self, _: usize, end_of_stream: bool) -> Action {
        match self.state {
            State::Buffering { .. } if !end_of_stream => Action::Pause,
            _ => self.settle_buffered(),
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.settle_buffered()
    }
}

impl Context for Exchange {}

/// Turns the client's request into the provider's, before it is let go.
fn edit(forward: &Forward, headers: &[Header]) -> Result<(), Status> {
    for edit in forward.edits(Headers(headers)) {
        hostcalls::set_map_value(MapType::HttpRequestHeaders, edit.name, edit.value.as_deref())?;
    }
    if let Some(body) = &forward.body {
        hostcalls::set_buffer(BufferType::HttpRequestBody, 0, WHOLE, body)?;
    }
    Ok(())
}

/// Answers in the provider's place.
fn answer(reply: &Reply) -> Action {
    if let Some(code) = reply.code {
        note("latchkey.code", code.as_str());
    }
    let sent =
        hostcalls::send_http_response(u32::from(reply.status), reply.headers.clone(), Some(&reply.body));
    attempt("send_http_response", sent);
    Action::Pause
}

/// Tells Envoy's access log whose request it is.
fn attribute(attribution: &Attribution) {
    let Attribution { app, key, user } = attribution;
    let mut text = [0; Hyphenated::LENGTH];
    note("latchkey.app", app.0.as_hyphenated().encode_lower(&mut text));
    note("latchkey.key", key.0.as_hyphenated().encode_lower(&mut text));
    if let Some(user) = user {
        note("latchkey.user", user.0.as_hyphenated().encode_lower(&mut text));
    }
}

/// Sets `wasm.<name>` in the request's filter state.
fn note(name: &str, value: &str) {
    attempt("set_property", hostcalls::set_property(vec![name], Some(value.as_bytes())));
}
