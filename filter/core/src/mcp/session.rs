//! A session belongs to the key that opened it. What clients call a session is the server's id with a
//! seal on it that only this key's holder can have been given; servers never see it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use latchkey_proto::key::KeyHash;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The header that names a session.
pub const HEADER: &str = "mcp-session-id";

const PURPOSE: &[u8] = b"latchkey mcp session\0";

/// By whom, and where, sessions are opened.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Secret: gateways and the key's holders know it.
    hash: KeyHash,
    server: String,
}

impl Binding {
    /// Of the key with this hash, at the server of this name.
    #[must_use]
    pub fn new(hash: KeyHash, server: &str) -> Self {
        Self { hash, server: server.to_owned() }
    }

    /// What the client is told of the server's id; none where that cannot be one.
    #[must_use]
    pub fn seal(&self, id: &str) -> Option<String> {
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_id.then(|| [id, ".", &self.tag(id)].concat())
    }

    /// The server's id of what the client was told; none where that was another's.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<String> {
        let (id, tag) = str::from_utf8(sealed).ok()?.rsplit_once('.')?;
        bool::from(self.tag(id).as_bytes().ct_eq(tag.as_bytes())).then(|| id.to_owned())
    }

    fn tag(&self, id: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.hash.as_bytes()) else { return String::new() };
        for part in [PURPOSE, self.server.as_bytes(), b"\0", id.as_bytes()] {
            mac.update(part);
        }
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding(key: &str, server: &str) -> Binding {
        Binding::new(KeyHash::of(key), server)
    }

    #[test]
    fn a_session_opens_for_its_key_at_its_server() {
        let own = binding("a", "github");
        let sealed = own.seal("s-1.x").unwrap();
        assert_eq!(own.open(sealed.as_bytes()).as_deref(), Some("s-1.x"));
        for other in [binding("b", "github"), binding("a", "docs")] {
            assert_eq!(other.open(sealed.as_bytes()), None);
        }
        for other in ["s-1.x", "s-1", "", ".", "s-2.x", &sealed.replace("s-1", "s-2"), &format!("{sealed}x")]
        {
            assert_eq!(own.open(other.as_bytes()), None, "{other}");
        }
        assert_eq!(own.open(b"\xff.\xff"), None);
        for id in ["", "a b", "é", "a\n"] {
            assert_eq!(own.seal(id), None, "{id:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_nothing_else_does(id in "[!-~]{1,40}", other in "[!-~]{0,60}") {
            let own = binding("a", "github");
            let sealed = own.seal(&id).unwrap();
            prop_assert_eq!(own.open(sealed.as_bytes()), Some(id));
            prop_assert!(other == sealed || own.open(other.as_bytes()).is_none());
        }
    }
}
