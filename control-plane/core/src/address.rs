//! Ranges of client addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads an address or a CIDR range, and gives it back as a range in its shortest form.
///
/// # Errors
/// Says that the text is neither.
pub fn range(text: &str) -> Result<String, NotARange> {
    let net = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| NotARange(text.to_owned()))?;
    if net.addr() != net.network() {
        return Err(NotARange(format!(
            "{text}` has bits set beyond its length, did you mean `{}",
            net.trunc()
        )));
    }
    Ok(net.to_string())
}

/// Why a text is not a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`: use an address or a CIDR range, such as 10.0.0.1, 192.168.1.0/24 or 2001:db8::/32")]
pub struct NotARange(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_ranges_of_one() {
        assert_eq!(range("10.0.0.1").unwrap(), "10.0.0.1/32");
        assert_eq!(range("192.168.1.0/24").unwrap(), "192.168.1.0/24");
        assert_eq!(range("2001:DB8::/32").unwrap(), "2001:db8::/32");
        assert_eq!(range("::1").unwrap(), "::1/128");
    }

    #[test]
    fn a_slip_in_a_range_is_named() {
        assert!(range("10.0.0.1/24").unwrap_err().to_string().contains("did you mean `10.0.0.0/24`"));
        for bad in ["", "10.0.0", "10.0.0.0/33", "example.com", "10.0.0.1 "] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
