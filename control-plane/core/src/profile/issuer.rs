//! Which OpenID providers one operator can vouch for.

use url::Url;
use uuid::Uuid;

/// Microsoft's hosts, on which the path names the tenant.
const MICROSOFT: [&str; 9] = [
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.microsoftonline.de",
    "login-us.microsoftonline.com",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
];

/// The tenant of all personal Microsoft accounts.
const CONSUMERS: Uuid = Uuid::from_u128(0x9188040d_6c67_4c5b_b112_36a304b66dad);

/// Where anybody can have an account.
const PUBLIC: [&str; 9] = [
    "accounts.google.com",
    "appleid.apple.com",
    "account.apple.com",
    "www.linkedin.com",
    "www.facebook.com",
    "gitlab.com",
    "slack.com",
    "id.twitch.tv",
    "api.login.yahoo.com",
];

/// Whether accounts of several companies, or of anybody, come from this issuer: there, an address that is not
/// verified may be anyone's claim.
#[must_use]
pub fn is_shared(issuer: &Url) -> bool {
    let host = issuer.host_str().unwrap_or_default().trim_end_matches('.');
    if !MICROSOFT.contains(&host) {
        return PUBLIC.contains(&host);
    }
    let tenant = issuer.path_segments().and_then(|mut segments| segments.next()).unwrap_or_default();
    match Uuid::parse_str(tenant) {
        Ok(id) => id == CONSUMERS,
        // A domain of the tenant's; `common`, `organizations` and `consumers` have no dot.
        Err(_) => !tenant.contains('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_vouches_for_the_accounts_of_others() {
        for (issuer, shared) in [
            ("https://login.microsoftonline.com/common/v2.0", true),
            ("https://LOGIN.microsoftonline.com/Organizations/v2.0", true),
            ("https://login.microsoftonline.com/consumers/v2.0", true),
            ("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", true),
            ("https://login.microsoftonline.com/%7Btenantid%7D/v2.0", true),
            ("https://login.microsoftonline.com/{tenantid}/v2.0", true),
            ("https://login.microsoftonline.com/", true),
            ("https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0", false),
            ("https://login.microsoftonline.com/acme.onmicrosoft.com/v2.0", false),
            ("https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/", false),
            ("https://sts.windows.net/common/", true),
            ("https://accounts.google.com", true),
            ("https://acme.okta.com", false),
            ("https://id.acme.example/realms/common", false),
            ("http://127.0.0.1:9000", false),
        ] {
            assert_eq!(is_shared(&issuer.parse().unwrap()), shared, "{issuer}");
        }
    }
}
