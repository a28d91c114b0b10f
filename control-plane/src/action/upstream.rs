//! What is asked of the address of whoever answers: a provider, or an MCP server.

use latchkey_core::invalid::Invalid;
use latchkey_core::provider::{BadUrl, BaseUrl, is_credential};
use secrecy::{ExposeSecret as _, SecretString};

use super::Refusal;

/// Why a cluster and a credential exclude each other.
pub(super) const CLUSTER_BRINGS_CREDENTIAL: &str =
    "would have no effect: with `cluster`, your own Envoy configuration brings the credential";

/// A credential that stays goes nowhere else: who names another host need not know it.
const BELONGS_ELSEWHERE: &str = "belongs to the scheme, host and port before: give the credential for the new \
                                 ones, or null to remove it";

/// Reads the URL, and checks what goes with it. `url` is given with its path in the request.
///
/// # Errors
/// Every field that is wrong.
pub(super) fn check(
    (path, url): (&str, &str),
    credential: Option<&SecretString>,
    cluster: Option<&str>,
) -> Result<BaseUrl, Refusal> {
    let mut invalid = Invalid::default();
    let url = invalid.check::<_, BadUrl>(path, url.parse());
    if credential.is_some_and(|credential| !is_credential(credential.expose_secret())) {
        invalid
            .check::<(), _>("credential", Err("must be 1 to 4096 visible ASCII characters without spaces"));
    }
    if credential.is_some() && cluster.is_some() {
        invalid.check::<(), _>("credential", Err(CLUSTER_BRINGS_CREDENTIAL));
    }
    if cluster.is_some_and(|name| name.starts_with("latchkey")) {
        let message =
            "names that begin with `latchkey` are Latchkey's own: leave it out to have a cluster made";
        invalid.check::<(), _>("cluster", Err(message));
    }
    if cluster
        .is_some_and(|name| !(1..=200).contains(&name.len()) || !name.bytes().all(|c| c.is_ascii_graphic()))
    {
        invalid.check::<(), _>(
            "cluster",
            Err("must be the name of an Envoy cluster: 1 to 200 visible characters"),
        );
    }
    url.filter(|_| invalid.0.is_empty()).ok_or(Refusal::Invalid(invalid))
}

/// Refuses to take the credential from before along to another scheme, host or port.
///
/// # Errors
/// As said.
pub(super) fn check_kept(before: &BaseUrl, after: &BaseUrl) -> Result<(), Refusal> {
    let origin = |url: &BaseUrl| (url.tls, url.host.clone(), url.port);
    if origin(before) == origin(after) {
        return Ok(());
    }
    Err(Refusal::field("credential", BELONGS_ELSEWHERE))
}
