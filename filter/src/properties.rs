//! What Envoy tells of a request beside its headers and body, and what its access log is told.

use std::net::IpAddr;

use latchkey_filter_core::answer::reply::Attribution;
use latchkey_filter_core::record::meter::{UpstreamOutcome, may_have_connected};
use latchkey_filter_core::request::client_address;
use latchkey_filter_core::request::redaction::without_keys;
use proxy_wasm::hostcalls;
use uuid::fmt::Hyphenated;

use crate::host::attempt;

/// How the exchange ended, where the answer does not tell: a timeout, a reset, a client that went away.
pub fn outcome() -> UpstreamOutcome {
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

/// The address of the client, or of the nearest proxy that is not trusted.
pub fn client_address() -> Option<IpAddr> {
    client_address::parse(property_text(&["source", "address"])?.as_bytes())
}

/// A property's text; none where Envoy has none, or no text.
pub fn property_text(path: &[&str]) -> Option<String> {
    let bytes = attempt("get_property", hostcalls::get_property(path.to_vec())).flatten()?;
    String::from_utf8(bytes).ok()
}

/// The same of a number.
pub fn property_number(path: &[&str]) -> Option<u64> {
    let bytes = attempt("get_property", hostcalls::get_property(path.to_vec())).flatten()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Notes in Envoy's access log whose request it is.
pub fn attribute(attribution: &Attribution) {
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
