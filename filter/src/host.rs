//! Host calls that may fail without harm: a failure is logged once, here.

use std::time::UNIX_EPOCH;

use latchkey_filter_core::snapshot::UnixMs;
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

/// The time, in nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    let since = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

/// The time. Without a clock everything that expires has expired.
pub fn now() -> UnixMs {
    UnixMs(i64::try_from(now_ns().div_euclid(1_000_000)).ok().filter(|ms| *ms > 0).unwrap_or(i64::MAX))
}

/// What the host gives, or nothing; `what` names the call in the log.
pub fn attempt<T>(what: &str, called: Result<T, Status>) -> Option<T> {
    called.inspect_err(|status| log::error!("{what}: the host answers {status:?}")).ok()
}
