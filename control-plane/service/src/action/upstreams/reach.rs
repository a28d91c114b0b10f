//! Whether gateways may connect to where an admin says that an upstream is. It is asked before a transaction
//! begins, since names are looked up.

use std::net::IpAddr;
use std::time::Duration;

use latchkey_core::provider::BaseUrl;
use latchkey_core::upstream::{Neighborhood, Opened, OutOfReach, SETTING};
use latchkey_store::Store;
use latchkey_store::upstreams::{Protocol, Upstream};
use tokio::net::lookup_host;
use tokio::sync::OnceCell;

use super::{Administered, EditUpstream, NewUpstream};
use crate::action::Refusal;

/// How long a name may take to resolve. One that does not is no fault: gateways may know it, and look for
/// themselves at each address that they use.
const PATIENCE: Duration = Duration::from_secs(2);

/// Refuses a new upstream that is out of reach, or that would get a credential in plain text.
///
/// # Errors
/// As said. A URL that cannot be read passes: what is wrong with it is said elsewhere.
pub async fn check_new<P: Administered>(opened: &Opened, new: &NewUpstream<P>) -> Result<(), Refusal> {
    let Some(host) = UpstreamHost::of(opened, P::URL_FIELD, &new.url, new.cluster.as_deref()) else {
        return Ok(());
    };
    host.check_reach().await?;
    if new.credential.is_some() { host.check_plaintext().await } else { Ok(()) }
}

/// The same of an edit: what is only renamed, switched off or given another credential stays where it is.
pub async fn check_edit<P: Administered>(
    opened: &Opened,
    store: &Store,
    name: &str,
    edit: &EditUpstream<P>,
) -> Result<(), Refusal> {
    let Some(before) = store.upstream::<P>(name).await? else { return Ok(()) };
    let cluster = edit.cluster.as_ref().unwrap_or(&before.cluster);
    let url = edit.url.as_ref().unwrap_or(&before.url);
    let Some(host) = UpstreamHost::of(opened, P::URL_FIELD, url, cluster.as_deref()) else { return Ok(()) };
    let is_elsewhere = *url != before.url;
    let is_enabled_anew = edit.enabled == Some(true) && !before.enabled;
    if is_elsewhere || *cluster != before.cluster || is_enabled_anew {
        host.check_reach().await?;
    }
    let given = edit.credential.as_ref();
    let has_credential = given.map_or(before.sealed_credential.is_some(), Option::is_some);
    if has_credential && (is_elsewhere || given.is_some()) {
        host.check_plaintext().await?;
    }
    Ok(())
}

/// Why gateways do not connect to an upstream, as far as its URL says; none where they do, or where its cluster is
/// of the admin's own Envoy configuration.
pub fn out_of_reach<P: Protocol>(opened: &Opened, upstream: &Upstream<P>) -> Option<String> {
    let checked = if upstream.cluster.is_some() { Ok(()) } else { opened.check(&upstream.address.host) };
    checked.err().map(|reason| reason.to_string())
}

/// The host of a URL, looked up once.
struct UpstreamHost<'a> {
    opened: &'a Opened,
    field: &'static str,
    url: BaseUrl,
    addresses: OnceCell<Vec<IpAddr>>,
}

impl<'a> UpstreamHost<'a> {
    /// None where it is not for Latchkey to say, or the URL cannot be read.
    fn of(opened: &'a Opened, field: &'static str, url: &str, cluster: Option<&str>) -> Option<Self> {
        let url = url.parse().ok().filter(|_| cluster.is_none())?;
        Some(Self { opened, field, url, addresses: OnceCell::new() })
    }

    /// Refuses a host that is out of reach, or an address of it that is.
    async fn check_reach(&self) -> Result<(), Refusal> {
        self.reach().await.map_err(|reason| Refusal::field(self.field, reason))
    }

    async fn reach(&self) -> Result<(), OutOfReach> {
        let host = &self.url.host;
        self.opened.check(host)?;
        self.addresses().await.iter().try_for_each(|address| self.opened.check_address(host, *address))
    }

    /// Refuses to send a credential in plain text, unless the host is private by all its addresses or is opened
    /// by its name.
    async fn check_plaintext(&self) -> Result<(), Refusal> {
        if self.url.tls || self.opened.opens(&self.url.host) {
            return Ok(());
        }
        let addresses = self.addresses().await;
        let is_private = |address: &IpAddr| Neighborhood::of(*address) != Neighborhood::Public;
        if !addresses.is_empty() && addresses.iter().all(is_private) {
            return Ok(());
        }
        let message = format!(
            "must be https://, because a credential is sent with it. Plain http is only for private \
             addresses and for hosts that an operator allows by name with {SETTING}"
        );
        Err(Refusal::field(self.field, message))
    }

    /// As far as they can be looked up here.
    async fn addresses(&self) -> &[IpAddr] {
        let look_up = async || {
            let host = (self.url.host.as_str(), self.url.port);
            let Ok(Ok(addresses)) = tokio::time::timeout(PATIENCE, lookup_host(host)).await else {
                return Vec::new();
            };
            addresses.map(|address| address.ip()).collect()
        };
        self.addresses.get_or_init(look_up).await
    }
}
