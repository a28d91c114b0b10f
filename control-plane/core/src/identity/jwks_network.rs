//! Which addresses the control plane asks for JWK sets. An admin names the URL; what answers must not be
//! the control plane's own neighborhood by accident, and never a cloud's metadata.

use std::net::IpAddr;

use url::Url;

use crate::outbound_url;
use crate::upstream::Neighborhood;

/// What may be asked, beside the public network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JwksNetworkPolicy {
    /// Private networks.
    pub private: bool,
    /// This machine.
    pub loopback: bool,
}

/// Why an address is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedJwksAddress {
    /// Link-local addresses and metadata services are not asked, whatever is set.
    #[error("{0} is a link-local or otherwise special address, which is never allowed")]
    Special(IpAddr),
    /// A private network.
    #[error("{0} is a private address: set LATCHKEY_JWKS_ALLOW_PRIVATE=true to allow it")]
    Private(IpAddr),
}

impl JwksNetworkPolicy {
    /// Allows an address, or says why not.
    ///
    /// # Errors
    /// As said.
    pub fn check(self, address: IpAddr) -> Result<(), RefusedJwksAddress> {
        let allowed = match Neighborhood::of(address) {
            Neighborhood::Public => true,
            Neighborhood::Loopback => self.loopback,
            Neighborhood::Private => self.private,
            Neighborhood::Special => return Err(RefusedJwksAddress::Special(address)),
        };
        if allowed { Ok(()) } else { Err(RefusedJwksAddress::Private(address)) }
    }
}

/// The URL of a JWK set in its normal form: with `https`, or with `http` on this machine.
///
/// # Errors
/// Says what is wrong with it.
pub fn jwks_url(text: &str) -> Result<Url, String> {
    outbound_url::url(text, "someone in between could replace the keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, private: bool, loopback: bool) -> bool {
        JwksNetworkPolicy { private, loopback }.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn public_addresses_are_asked() {
        for address in ["8.8.8.8", "2606:4700::1111", "172.32.0.1", "100.128.0.1", "::ffff:8.8.8.8"] {
            assert!(check(address, false, false), "{address}");
        }
    }

    #[test]
    fn private_ones_only_where_that_is_said() {
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "::10.0.0.1",
            "198.18.0.1",
        ] {
            assert!(!check(address, false, true), "{address}");
            assert!(check(address, true, false), "{address}");
        }
        for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            assert!(!check(address, true, false), "{address}");
            assert!(check(address, false, true), "{address}");
        }
    }

    #[test]
    fn link_local_and_metadata_addresses_never() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(!check(address, true, true), "{address}");
        }
    }

    #[test]
    fn urls_are_encrypted_or_on_this_machine() {
        for good in [
            "https://id.acme.com/keys?x=1",
            "http://localhost:8000/jwks",
            "http://127.0.0.1/",
            "http://[::1]:1/",
        ] {
            assert!(jwks_url(good).is_ok(), "{good}");
        }
        assert_eq!(jwks_url(" https://ID.acme.com ").unwrap().as_str(), "https://id.acme.com/");
        for bad in [
            "",
            "id.acme.com",
            "http://id.acme.com/",
            "http://10.0.0.1/",
            "http://localhost.evil.org/",
            "file:///etc/passwd",
            "ftp://id.acme.com/",
            "https://user@id.acme.com/",
            "https://id.acme.com/#x",
            "https://",
            "javascript:alert(1)",
            "http://127.0.0.1.evil.org/",
            "gopher://127.0.0.1/",
        ] {
            assert!(jwks_url(bad).is_err(), "{bad}");
        }
    }
}
