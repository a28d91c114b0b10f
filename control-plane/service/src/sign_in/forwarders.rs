//! Peers that send `X-Forwarded-For` and are not trusted: perhaps a proxy that nobody has named. Then everyone
//! behind it seems to come from one address, and is held up together when somebody guesses passwords.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How many are remembered: whoever can connect can send the header.
const MOST: usize = 8;

/// Those that were seen since the process started.
#[derive(Debug, Default)]
pub struct Forwarders(Mutex<BTreeSet<IpAddr>>);

impl Forwarders {
    /// Notes one; the log is told of each once.
    pub fn note(&self, peer: IpAddr) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MOST && seen.insert(peer) {
            tracing::warn!(
                %peer,
                "a peer that is not trusted sends X-Forwarded-For: if it is your proxy, name it in \
                 LATCHKEY_TRUSTED_PROXIES, or everyone behind it counts as one address"
            );
        }
    }

    /// Those that were seen.
    #[must_use]
    pub fn seen(&self) -> Vec<IpAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_remembered_however_many_come() {
        let forwarders = Forwarders::default();
        for last in 0..=255 {
            forwarders.note(IpAddr::from([192, 0, 2, last]));
        }
        assert_eq!(forwarders.seen().len(), MOST);
    }
}
