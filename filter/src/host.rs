//! Host calls that may fail without harm: a failure is logged once, here.
//!
//! What [`attempt`] cannot catch: every one of the SDK's host calls (0.2.5) panics on a status that
//! it does not expect, and a panic is a trap. Read in the sources of the SDK, of the host library
//! and of Envoy:
//!
//! - `get_property`, `open_grpc_stream` and `send_grpc_stream_message` return the failures that
//!   Envoy knows; so do `cancel_grpc_stream`, `close_grpc_stream`, `record_metric` and
//!   `increment_metric` for tokens and metrics that are gone.
//! - `get_buffer` and `get_shared_data` read what is not there as nothing; `set_shared_data` without
//!   a compare-and-swap value, `get_current_time`, `set_tick_period`, `get_map_bytes`,
//!   `define_metric` of a counter or a gauge, `send_http_response` and `log` have no failure in
//!   Envoy but that of memory outside of the VM, which safe code cannot name.
//! - `call_foreign_function` returns what an unknown function and Envoy's `verify_signature` fail with.
//! - `dispatch_http_call` returns the failures that Envoy knows: a cluster that is not there, and a call that
//!   fails at once. `set_effective_context` returns that a context is gone.
//! - `set_map_value`, `set_buffer` and `set_property` do trap where there is no request left to
//!   change: headers that were let go, a buffer that is not the filter's, a finished stream. The
//!   gate calls them only within the callbacks that still hold the request. The sync role does not.
//! - The SDK's dispatcher traps on a context that it does not know. Calls for streams that it does
//!   not know it ignores.
//!
//! A trap in the gate refuses requests until the VM is loaded again. One in the sync role is final:
//! its heartbeat stops, and `GET /latchkey/ready` says so. No call of the sync role has a
//! replacement in the SDK that could not trap.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use latchkey_filter_core::identity::SignatureCheck;
use latchkey_filter_core::snapshot::UnixMs;
use prost::Message as _;
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

/// Longer than any body; the host gives what there is.
pub const WHOLE: usize = 0x7fff_ffff;

/// The time, in nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    let since = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

pub fn now() -> UnixMs {
    moment(now_ns())
}

/// A time of the host in milliseconds. Without a clock everything that expires has expired.
pub fn moment(now_ns: u64) -> UnixMs {
    UnixMs(i64::try_from(now_ns.div_euclid(1_000_000)).ok().filter(|ms| *ms > 0).unwrap_or(i64::MAX))
}

/// A number that is hard to guess, from a time of the host; not for secrets.
pub fn random(now_ns: u64) -> u64 {
    let mixed = now_ns.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed.wrapping_shr(29)
}

/// What the host gives, or nothing; `what` names the call in the log.
pub fn attempt<T>(what: &str, called: Result<T, Status>) -> Option<T> {
    called.inspect_err(|status| log::error!("{what}: the host answers {status:?}")).ok()
}

/// Whether Envoy finds a signature good; none where it cannot tell, which is logged once: the gate then
/// computes by itself, slowly.
pub fn verify_signature(check: SignatureCheck<'_>) -> Option<bool> {
    let arguments = VerifySignatureArguments {
        hash_function: "sha256".to_owned(),
        public_key: check.public_key.to_vec(),
        signature: check.signature.to_vec(),
        text: check.message.to_vec(),
    };
    let called = hostcalls::call_foreign_function("verify_signature", Some(&arguments.encode_to_vec()));
    let answer = called.map_err(|status| format!("{status:?}")).and_then(|result| {
        let result = VerifySignatureResult::decode(result.unwrap_or_default().as_slice());
        let VerifySignatureResult { result, error } = result.map_err(|error| error.to_string())?;
        // It also answers false where it could not begin, and says so in other words.
        if result || error.contains("verify digest") { Ok(result) } else { Err(error) }
    });
    let log_once = |why: &String| {
        static IS_LOGGED: AtomicBool = AtomicBool::new(false);
        if !IS_LOGGED.swap(true, Ordering::Relaxed) {
            log::warn!("verify_signature: the host answers {why}; signatures are computed in the VM");
        }
    };
    answer.inspect_err(log_once).ok()
}

/// Envoy's `source/extensions/common/wasm/ext/verify_signature.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct VerifySignatureArguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    /// X.509's `SubjectPublicKeyInfo` in DER.
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

/// The same file's.
#[derive(Clone, PartialEq, prost::Message)]
struct VerifySignatureResult {
    #[prost(bool, tag = "1")]
    result: bool,
    /// Why the signature is not good.
    #[prost(string, tag = "2")]
    error: String,
}
