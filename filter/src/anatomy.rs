//! For `make bench ARGS="--only anatomy"`: what each part of the gate's work costs is what a gate that does it costs
//! more than one that stops before it. A gate for use does all of it.

/// A part of the gate's work, in the order of a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "anatomy", derive(Default, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Part {
    /// Envoy calls the module, and that does nothing.
    Nothing,
    /// The request's headers are read.
    Headers,
    /// The key is looked up, and the policy.
    Admission,
    /// The body is read, and units are reserved.
    Decision,
    /// The request becomes the provider's.
    Edits,
    /// The answer's headers are read and edited.
    AnswerHeaders,
    /// The usage is read in the answer's body.
    Usage,
    /// What was reserved is settled, and the record is written.
    #[cfg_attr(feature = "anatomy", default)]
    All,
}

#[cfg(feature = "anatomy")]
pub use floor::Floor;

/// What remains of a gate without its work: Envoy calls it as often, and it calls Envoy as often, as a gate does for a
/// chat completion with limits and a budget (`tests/tests/host_calls.rs` says how often that is).
#[cfg(feature = "anatomy")]
mod floor {
    use proxy_wasm::hostcalls;
    use proxy_wasm::traits::{Context, HttpContext};
    use proxy_wasm::types::{Action, BufferType, MapType};

    use crate::host::{self, WHOLE, attempt};

    /// As long as a limited subject's account.
    const ACCOUNT: [u8; 620] = [1; 620];
    const NAME: &str = "anatomy.account";

    pub struct Floor;

    fn account() {
        attempt("get_shared_data", hostcalls::get_shared_data(NAME));
    }

    fn store() {
        attempt("set_shared_data", hostcalls::set_shared_data(NAME, Some(&ACCOUNT), None));
    }

    fn headers(map: MapType, count: usize, value: Option<&str>) {
        for name in ["x-a", "x-b", "x-c", "x-d", "x-e", "x-f"].iter().take(count) {
            attempt("set_map_value", hostcalls::set_map_value(map, name, value));
        }
    }

    impl HttpContext for Floor {
        fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
            attempt("get_map", hostcalls::get_map_bytes(MapType::HttpRequestHeaders));
            host::now();
            account();
            for name in ["latchkey.app", "latchkey.key"] {
                attempt("set_property", hostcalls::set_property(vec![name], Some(&ACCOUNT[..36])));
            }
            Action::Pause
        }

        fn on_http_request_body(&mut self, _: usize, end_of_stream: bool) -> Action {
            if !end_of_stream {
                return Action::Pause;
            }
            let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, WHOLE);
            let body = attempt("get_buffer", body).flatten().unwrap_or_default();
            host::now();
            account();
            store();
            headers(MapType::HttpRequestHeaders, 3, Some("a value"));
            headers(MapType::HttpRequestHeaders, 3, None);
            attempt("set_buffer", hostcalls::set_buffer(BufferType::HttpRequestBody, 0, WHOLE, &body));
            Action::Continue
        }

        fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
            attempt("get_map", hostcalls::get_map_bytes(MapType::HttpResponseHeaders));
            headers(MapType::HttpResponseHeaders, 6, Some("1000000"));
            Action::Continue
        }

        fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
            if size > 0 {
                attempt("get_buffer", hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size));
                host::now();
            }
            Action::Continue
        }

        fn on_log(&mut self) {
            host::now();
            attempt("get_property", hostcalls::get_property(vec!["source", "address"]));
            account();
            account();
            store();
            store();
        }
    }

    impl Context for Floor {}
}
