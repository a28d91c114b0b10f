//! From where a request comes.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// The client's address: the peer's, or, where the peer is a trusted proxy, the rightmost one
    /// in `forwarded` that is none. What cannot be read ends the search at the hop before it.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.to_canonical();
        for hop in forwarded.rev() {
            let Some(hop) = self.trusts(client).then(|| address(hop)).flatten() else { break };
            client = hop;
        }
        client
    }

    /// Whether this address is a trusted proxy's.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let ip = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

/// What stands for the client where failures are counted: an IPv4 address, or the /64 of an IPv6
/// one, all of which one client may have.
#[must_use]
pub fn network(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 32 } else { 64 };
    IpNet::new(address, length).map_or_else(|_| IpNet::from(address), |net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted = TrustedProxies(trusted.iter().map(|range| range.parse().unwrap()).collect());
        trusted.client(peer.parse().unwrap(), forwarded.iter().copied()).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client(&[], "203.0.113.9", &["10.0.0.1"]), "203.0.113.9");
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.9", &["10.0.0.1"]), "203.0.113.9");
    }

    #[test]
    fn the_rightmost_that_is_not_trusted_is_the_client() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(client(&trusted, "::ffff:10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(client(&trusted, "fd00::1", &[" [2001:db8::1]:80 "]), "2001:db8::1");
        assert_eq!(client(&trusted, "10.0.0.1", &["10.0.0.3", "10.0.0.2"]), "10.0.0.3");
        assert_eq!(client(&trusted, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["203.0.113.9", "unknown"]), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        assert_eq!(network("2001:db8::1:2:3:4".parse().unwrap()).to_string(), "2001:db8::/64");
        assert_eq!(network("203.0.113.9".parse().unwrap()).to_string(), "203.0.113.9/32");
    }

    proptest! {
        #[test]
        fn what_a_client_puts_in_front_changes_nothing(lies in prop::collection::vec("[0-9a-z.:, ]{0,20}", 0..5)) {
            let mut hops = lies.iter().map(String::as_str).collect::<Vec<_>>();
            hops.push("203.0.113.9");
            prop_assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &hops), "203.0.113.9");
        }
    }
}
