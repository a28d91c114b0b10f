//! Where providers and MCP servers may be. An admin names them; what Envoy connects to must not be the
//! company's own neighborhood by accident, and never a cloud's metadata. Only who runs Latchkey opens more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::address;

/// The setting that opens private addresses.
pub const SETTING: &str = "LATCHKEY_UPSTREAM_ALLOW";

/// Never connected to: this network, link-local addresses, multicast, and metadata services elsewhere.
pub const SPECIAL: [IpNet; 14] = [
    v4([0, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([224, 0, 0, 0], 4),
    v4([255, 255, 255, 255], 32),
    v4([100, 100, 100, 200], 32),
    v4([168, 63, 129, 16], 32),
    v4([192, 0, 0, 192], 32),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    // Metadata of Amazon, its Pod Identity, Google and Scaleway.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
];

/// Connected to only where that is opened: this machine, and networks that are not the public one.
pub const PRIVATE: [IpNet; 16] = [
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([240, 0, 0, 0], 4),
    // `::1`, and what was once IPv4 within IPv6.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
];

/// The name that Google's metadata service has within its network alone.
const METADATA_NAME: &str = "metadata.google.internal";

/// What an address is, whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighborhood {
    /// On the public network.
    Public,
    /// This machine.
    Loopback,
    /// A network that is not the public one.
    Private,
    /// Link-local, a metadata service, or no address of a host at all.
    Special,
}

impl Neighborhood {
    /// Where an address is, or the IPv4 address within it.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if within(SPECIAL, address) {
            Self::Special
        } else if embedded(address).is_loopback() {
            Self::Loopback
        } else if within(PRIVATE, address) {
            Self::Private
        } else {
            Self::Public
        }
    }
}

const fn v4(address: [u8; 4], length: u8) -> IpNet {
    let [a, b, c, d] = address;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(address: [u16; 8], length: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = address;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length))
}

/// What is opened, beside the public network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened(Vec<Open>);

/// One thing that is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// Private addresses.
    Range(IpNet),
    /// A host by its name, wherever its private addresses are.
    Host(String),
}

/// Why a host is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfReach {
    /// Whatever is opened.
    #[error("{0} is a link-local or otherwise special address, which gateways never connect to")]
    Special(String),
    /// Unless it is opened.
    #[error(
        "{0} is a private address, which gateways do not connect to: an operator can allow it with {SETTING}"
    )]
    Private(String),
}

impl Opened {
    /// What these open.
    #[must_use]
    pub fn new(opened: Vec<Open>) -> Self {
        Self(opened)
    }

    /// Allows a host as a URL names it, or says why not. What a name resolves to is another question.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, host: &str) -> Result<(), OutOfReach> {
        if let Ok(address) = host.parse() {
            return self.check_address(host, address);
        }
        let name = plain(host);
        if name == METADATA_NAME {
            return Err(OutOfReach::Special(host.to_owned()));
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return self.check_address(host, Ipv4Addr::LOCALHOST.into());
        }
        Ok(())
    }

    /// Allows an address that a host has, or says why not.
    ///
    /// # Errors
    /// As said.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), OutOfReach> {
        let told =
            || if host.parse() == Ok(address) { host.to_owned() } else { format!("{host} ({address})") };
        match Neighborhood::of(address) {
            Neighborhood::Public => Ok(()),
            Neighborhood::Special => Err(OutOfReach::Special(told())),
            _ if self.opens(host) || within(self.ranges(), address) => Ok(()),
            _ => Err(OutOfReach::Private(told())),
        }
    }

    /// Whether a host is opened by its name.
    #[must_use]
    pub fn opens(&self, host: &str) -> bool {
        let name = plain(host);
        self.0.iter().any(|open| matches!(open, Open::Host(host) if *host == name))
    }

    /// The ranges that are opened.
    pub fn ranges(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().filter_map(|open| match open {
            Open::Range(range) => Some(*range),
            Open::Host(_) => None,
        })
    }
}

impl FromStr for Open {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(range) = address::range(text) {
            return range.parse().map(Self::Range).map_err(|_| "is not a range".to_owned());
        }
        let name = plain(text);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let looks_like_an_address = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if looks_like_an_address || name.contains('/') || !name.split('.').all(is_label) {
            return Err(format!(
                "`{text}`: use an address, a CIDR range, or a host name, such as 127.0.0.0/8, ::1 or \
                 vllm.internal"
            ));
        }
        Ok(Self::Host(name))
    }
}

/// A range of IPv4 addresses, and of the IPv6 addresses that hold one: mapped, translated, compatible, NAT64
/// and 6to4.
#[must_use]
pub fn forms(range: IpNet) -> Vec<IpNet> {
    let IpNet::V4(inner) = range else { return vec![range] };
    let length = inner.prefix_len();
    let [a, b, c, d] = inner.addr().octets().map(u16::from);
    let (high, low) = (a << 8 | b, c << 8 | d);
    let last = |head: [u16; 6]| {
        let [s, t, u, v, w, x] = head;
        Ipv6Net::new(Ipv6Addr::new(s, t, u, v, w, x, high, low), length.saturating_add(96))
    };
    let six_to_four =
        Ipv6Net::new(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 0), length.saturating_add(16));
    let heads = [[0, 0, 0, 0, 0, 0xffff], [0, 0, 0, 0, 0xffff, 0], [0x64, 0xff9b, 0, 0, 0, 0]];
    let others = heads.map(last).into_iter().chain([six_to_four]);
    // `::1` is this machine, not an address within 0.0.0.0/8.
    let compatible = (a != 0).then(|| last([0, 0, 0, 0, 0, 0]));
    let others = others.chain(compatible).flatten();
    std::iter::once(range).chain(others.map(IpNet::V6)).collect()
}

/// Whether ranges hold an address, or the IPv4 address within it.
fn within(ranges: impl IntoIterator<Item = IpNet>, address: IpAddr) -> bool {
    let inner = embedded(address);
    ranges.into_iter().any(|range| range.contains(&address) || range.contains(&inner))
}

/// The IPv4 address within an IPv6 one: mapped, translated, compatible, NAT64 or 6to4.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0, 0, 0, 0, 0, 0] if g != 0 => v4(g, h),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::BaseUrl;

    fn opened(list: &[&str]) -> Opened {
        Opened::new(list.iter().map(|text| text.parse().unwrap()).collect())
    }

    /// A URL's host as it is read, by these rules.
    fn reaches(url: &str, list: &[&str]) -> bool {
        opened(list).check(&url.parse::<BaseUrl>().unwrap().host).is_ok()
    }

    #[test]
    fn the_public_network_is_open() {
        for url in
            ["https://api.openai.com/v1", "https://8.8.8.8", "https://[2606:4700::1111]", "http://172.32.0.1"]
        {
            assert!(reaches(url, &[]), "{url}");
        }
    }

    #[test]
    fn private_hosts_are_closed_however_they_are_written() {
        for url in [
            "http://127.0.0.1:9901/quitquitquit",
            "http://2130706433",
            "http://0x7f000001",
            "http://0177.0.0.1",
            "http://127.1",
            "http://0x7f.1",
            "http://127.0.0.1.",
            "http://%31%32%37.0.0.1",
            "http://１２７.0.0.1",
            "http://localhost",
            "http://LOCALHOST.",
            "http://x.localhost",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
            "http://[::ffff:7f00:1]",
            "http://[64:ff9b::7f00:1]",
            "http://[::127.0.0.1]",
            "http://[::ffff:0:127.0.0.1]",
        ] {
            assert!(!reaches(url, &[]), "{url}");
            assert!(!reaches(url, &["10.0.0.0/8"]), "{url}");
        }
        for url in [
            "http://10.1.2.3",
            "http://192.168.1.1",
            "http://100.64.0.1",
            "http://[fd00::1]",
            "http://172.16.0.1",
        ] {
            assert!(!reaches(url, &[]), "{url}");
        }
    }

    #[test]
    fn whoever_runs_it_opens_ranges_and_hosts() {
        assert!(reaches("http://127.0.0.1:9100/v1", &["127.0.0.0/8"]));
        assert!(reaches("http://localhost:9100/v1", &["127.0.0.0/8"]));
        assert!(reaches("http://[::ffff:127.0.0.1]", &["127.0.0.0/8"]));
        assert!(reaches("http://[::1]", &["::1"]));
        assert!(!reaches("http://10.0.0.1", &["127.0.0.0/8"]));
        let named = opened(&["VLLM.internal."]);
        assert!(named.check_address("vllm.internal", [10, 0, 0, 1].into()).is_ok());
        assert!(named.check_address("other.internal", [10, 0, 0, 1].into()).is_err());
        assert!(named.check_address("vllm.internal", [169, 254, 169, 254].into()).is_err());
        for bad in ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0", "http://x", "a b", "a..b"] {
            assert!(bad.parse::<Open>().is_err(), "{bad}");
        }
    }

    #[test]
    fn special_addresses_are_never_open() {
        let everything = ["0.0.0.0/0", "::/0", "metadata.google.internal"];
        for url in [
            "http://169.254.169.254/latest",
            "http://2852039166",
            "http://[::ffff:169.254.169.254]",
            "http://[::169.254.169.254]",
            "http://[::ffff:0:169.254.169.254]",
            "http://[fd20:ce::254]",
            "http://192.0.0.192",
            "http://[fd00:ec2::254]",
            "http://[fe80::1]",
            "http://0.0.0.0",
            "http://0",
            "http://[::]",
            "http://224.0.0.1",
            "http://100.100.100.200",
            "http://metadata.google.internal",
        ] {
            assert!(!reaches(url, &everything), "{url}");
        }
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        let near = |range: IpNet| {
            let edges = [range.network(), range.broadcast()];
            let next = |address: IpAddr| match address {
                IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4).wrapping_add(1))),
                IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6).wrapping_add(1))),
            };
            [edges[0], edges[1], next(edges[1])]
        };
        let edges: Vec<_> = SPECIAL.into_iter().chain(PRIVATE).flat_map(forms).flat_map(near).collect();
        prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
            any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
            prop::sample::select(edges),
        ]
    }

    proptest! {
        #[test]
        fn the_ranges_that_gateways_get_say_the_same(address in address()) {
            let within = |ranges: &[IpNet]| {
                ranges.iter().flat_map(|range| forms(*range)).any(|range| range.contains(&address))
            };
            let checked = Opened::default().check_address("x", address);
            let refused = within(&SPECIAL) || within(&PRIVATE);
            prop_assert_eq!(checked.is_err(), refused, "{}", address);
        }
    }
}
