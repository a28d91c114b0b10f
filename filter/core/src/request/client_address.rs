//! The client's address, as Envoy's `source.address` gives it.

use std::net::{IpAddr, SocketAddr};

/// The address without its port; IPv4 written as IPv6 is IPv4.
#[must_use]
pub fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let address = match text.parse::<SocketAddr>() {
        Ok(socket) => socket.ip(),
        Err(_) => text.parse::<IpAddr>().ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_brackets_and_mapping_are_taken_off() {
        let read = |text: &str| parse(text.as_bytes()).map(|address| address.to_string());
        assert_eq!(read("192.0.2.1:443").as_deref(), Some("192.0.2.1"));
        assert_eq!(read("[2001:db8::1]:443").as_deref(), Some("2001:db8::1"));
        assert_eq!(read("[::ffff:192.0.2.1]:443").as_deref(), Some("192.0.2.1"));
        assert_eq!(read("2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(read("/tmp/a.sock"), None);
    }
}
