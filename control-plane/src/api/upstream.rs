//! Whether gateways may connect to where an admin says that a provider or an MCP server is.

use std::net::IpAddr;
use std::time::Duration;

use latchkey_core::provider::BaseUrl;
use latchkey_core::upstream::{Neighborhood, OutOfReach, SETTING};
use tokio::net::lookup_host;
use tokio::sync::OnceCell;

use super::Api;
use super::problem::Problem;
use crate::action::Refusal;

/// How long a name may take to resolve. One that does not is no fault: gateways may know it, and look for
/// themselves at each address that they use.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where gateways are to connect to, as a request leaves it.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// An existing Envoy cluster's name; with one, it is your own configuration that connects.
    pub cluster: Option<&'a str>,
    /// As it was typed.
    pub url: &'a str,
    /// Whether a credential goes there.
    pub has_credential: bool,
    /// Whether it can be called.
    pub enabled: bool,
}

impl Target<'_> {
    /// Refuses a new one that is out of reach, or that would hear a credential in plain text. `field` is where
    /// the request has the URL.
    ///
    /// # Errors
    /// As said. A URL that cannot be read passes: what is wrong with it is said elsewhere.
    pub(super) async fn check_new(self, api: &Api, field: &str) -> Result<(), Problem> {
        let Some(host) = Host::of(self, api, field) else { return Ok(()) };
        host.check_reach().await?;
        if self.has_credential { host.check_plaintext().await } else { Ok(()) }
    }

    /// The same where it was `before`: what is only renamed, switched off or given another credential stays
    /// where it is.
    ///
    /// # Errors
    /// As said.
    pub(super) async fn check_edit(
        self,
        api: &Api,
        field: &str,
        before: Target<'_>,
        gives_credential: bool,
    ) -> Result<(), Problem> {
        let Some(host) = Host::of(self, api, field) else { return Ok(()) };
        let is_elsewhere = self.url != before.url;
        if is_elsewhere || self.cluster != before.cluster || self.enabled && !before.enabled {
            host.check_reach().await?;
        }
        if self.has_credential && (is_elsewhere || gives_credential) {
            host.check_plaintext().await?;
        }
        Ok(())
    }
}

/// Why gateways do not connect to it, as far as its URL says; none where they do, or where its cluster is of
/// your own Envoy configuration.
pub(super) fn out_of_reach(api: &Api, url: &BaseUrl, cluster: Option<&str>) -> Option<String> {
    let checked = if cluster.is_some() { Ok(()) } else { api.opened.check(&url.host) };
    checked.err().map(|reason| reason.to_string())
}

/// The host of a URL, looked up once.
struct Host<'a> {
    api: &'a Api,
    field: &'a str,
    url: BaseUrl,
    addresses: OnceCell<Vec<IpAddr>>,
}

impl<'a> Host<'a> {
    /// None where it is not for Latchkey to say, or the URL cannot be read.
    fn of(target: Target<'_>, api: &'a Api, field: &'a str) -> Option<Self> {
        let url = target.url.parse().ok().filter(|_| target.cluster.is_none())?;
        Some(Self { api, field, url, addresses: OnceCell::new() })
    }

    /// Refuses a host that is out of reach, or an address of it that is.
    async fn check_reach(&self) -> Result<(), Problem> {
        self.reach().await.map_err(|reason| Refusal::field(self.field, reason).into())
    }

    async fn reach(&self) -> Result<(), OutOfReach> {
        let (opened, host) = (&self.api.opened, &self.url.host);
        opened.check(host)?;
        self.addresses().await.iter().try_for_each(|address| opened.check_address(host, *address))
    }

    /// Refuses to send a credential in plain text, unless the host is private by all its addresses or is opened
    /// by its name.
    async fn check_plaintext(&self) -> Result<(), Problem> {
        if self.url.tls || self.api.opened.opens(&self.url.host) {
            return Ok(());
        }
        let addresses = self.addresses().await;
        let is_private = |address: &IpAddr| Neighborhood::of(*address) != Neighborhood::Public;
        if !addresses.is_empty() && addresses.iter().all(is_private) {
            return Ok(());
        }
        let message = format!(
            "must be https://, since a credential goes with it; plain http is for hosts on private addresses, and \
             for those that whoever runs Latchkey opens by name with {SETTING}"
        );
        Err(Refusal::field(self.field, message).into())
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
