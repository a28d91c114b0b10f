//! Whether gateways may connect to where an admin says that a provider or an MCP server is.

use std::net::IpAddr;
use std::time::Duration;

use latchkey_core::provider::BaseUrl;
use latchkey_core::upstream::{Neighborhood, OutOfReach, SETTING};
use tokio::net::lookup_host;

use super::Api;
use super::problem::Problem;
use crate::action::Refusal;

/// How long a name may take to resolve. One that does not is no fault: gateways may know it, and look for
/// themselves at each address that they use.
const PATIENCE: Duration = Duration::from_secs(2);

/// Refuses a URL whose host, or an address of it, is out of reach. `field` is where the request has it.
///
/// # Errors
/// As said. A URL that cannot be read passes: what is wrong with it is said elsewhere.
pub(super) async fn check(api: &Api, field: &str, url: &str) -> Result<(), Problem> {
    let Ok(url) = url.parse::<BaseUrl>() else { return Ok(()) };
    resolve(api, &url).await.map_err(|reason| Refusal::field(field, reason).into())
}

/// Why gateways do not connect to it, as far as its URL says; none where they do, or where its cluster is of
/// your own Envoy configuration.
pub(super) fn out_of_reach(api: &Api, url: &BaseUrl, cluster: Option<&str>) -> Option<String> {
    let checked = if cluster.is_some() { Ok(()) } else { api.opened.check(&url.host) };
    checked.err().map(|reason| reason.to_string())
}

/// Refuses to send a credential in plain text, unless the host is private by all its addresses or is opened by
/// its name. `field` is where the request has the URL.
///
/// # Errors
/// As said. A URL that cannot be read passes, as above.
pub(super) async fn check_plaintext(api: &Api, field: &str, url: &str) -> Result<(), Problem> {
    let Ok(url) = url.parse::<BaseUrl>() else { return Ok(()) };
    if url.tls || api.opened.opens(&url.host) {
        return Ok(());
    }
    let addresses = addresses(&url).await;
    let is_private = |address: &IpAddr| Neighborhood::of(*address) != Neighborhood::Public;
    if !addresses.is_empty() && addresses.iter().all(is_private) {
        return Ok(());
    }
    let message = format!(
        "must be https://, since a credential goes with it; plain http is for hosts on private addresses, and \
         for those that whoever runs Latchkey opens by name with {SETTING}"
    );
    Err(Refusal::field(field, message).into())
}

async fn resolve(api: &Api, url: &BaseUrl) -> Result<(), OutOfReach> {
    api.opened.check(&url.host)?;
    addresses(url).await.into_iter().try_for_each(|address| api.opened.check_address(&url.host, address))
}

/// As far as they can be looked up here.
async fn addresses(url: &BaseUrl) -> Vec<IpAddr> {
    let looked_up = tokio::time::timeout(PATIENCE, lookup_host((url.host.as_str(), url.port))).await;
    let Ok(Ok(addresses)) = looked_up else { return Vec::new() };
    addresses.map(|address| address.ip()).collect()
}
