//! URLs that the control plane itself asks: encrypted, or on this machine.

use url::{Host, Url};

/// A URL in its normal form: with `https`, or with `http` on this machine. `risk` is what plaintext would let others
/// do.
///
/// # Errors
/// Says what is wrong with it.
pub fn url(text: &str, risk: &str) -> Result<Url, String> {
    let wrong = |why: &str| Err(why.to_owned());
    if text.len() > 2048 {
        return wrong("is longer than 2048 bytes");
    }
    let Ok(url) = Url::parse(text.trim()) else { return wrong("is not a URL") };
    let Some(host) = url.host() else { return wrong("has no host") };
    let here = match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        "http" => return Err(format!("must begin with https://: {risk}")),
        _ => return wrong("must begin with https://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("must not contain a user name or a password");
    }
    if url.fragment().is_some() {
        return wrong("must not have a fragment");
    }
    Ok(url)
}
