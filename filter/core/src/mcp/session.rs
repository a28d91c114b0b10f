//! Binds a session to the key that opened it. The session id that clients see is the server's id with a seal,
//! made for this key with a secret of the gateways. Servers never see the seal.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::snapshot::{KeyId, SessionKey};

/// The header that names a session.
pub const HEADER: &str = "mcp-session-id";

const PURPOSE: &[u8] = b"latchkey mcp session\0";

/// The key and the server of a session.
#[derive(Clone, Debug)]
pub struct SessionBinding {
    key: KeyId,
    server: String,
    secret: SessionKey,
}

impl SessionBinding {
    #[must_use]
    pub fn new(key: KeyId, server: &str, secret: &SessionKey) -> Self {
        Self { key, server: server.to_owned(), secret: secret.clone() }
    }

    /// The client's session id; none where the server's id is malformed.
    #[must_use]
    pub fn seal(&self, id: &str) -> Option<String> {
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        let tag = self.tag(id).filter(|_| is_id)?;
        Some([id, ".", &tag].concat())
    }

    /// The server's session id; none where the seal is not this key's.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<String> {
        let (id, tag) = str::from_utf8(sealed).ok()?.rsplit_once('.')?;
        bool::from(self.tag(id)?.as_bytes().ct_eq(tag.as_bytes())).then(|| id.to_owned())
    }

    fn tag(&self, id: &str) -> Option<String> {
        let Self { key, server, secret: SessionKey(secret) } = self;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok().filter(|_| !secret.is_empty())?;
        for part in [PURPOSE, key.0.as_bytes(), server.as_bytes(), b"\0", id.as_bytes()] {
            mac.update(part);
        }
        Some(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const SECRET: &[u8] = b"of the gateways";

    fn binding(key: u128, server: &str) -> SessionBinding {
        bound(key, server, SECRET)
    }

    fn bound(key: u128, server: &str, secret: &[u8]) -> SessionBinding {
        SessionBinding::new(KeyId(Uuid::from_u128(key)), server, &SessionKey(secret.to_vec()))
    }

    #[test]
    fn a_session_opens_for_its_key_at_its_server() {
        let own = binding(1, "github");
        let sealed = own.seal("s-1.x").unwrap();
        assert_eq!(own.open(sealed.as_bytes()).as_deref(), Some("s-1.x"));
        for other in [binding(2, "github"), binding(1, "docs")] {
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

    #[test]
    fn who_knows_the_key_and_not_the_secret_seals_nothing() {
        let own = binding(1, "github");
        for secret in [&b""[..], &[1], b"sk-quilr-key"] {
            let forged = bound(1, "github", secret).seal("victim");
            assert_eq!(forged.and_then(|forged| own.open(forged.as_bytes())), None);
        }
        let unknown = bound(1, "github", b"");
        assert_eq!((unknown.seal("s"), unknown.open(b"s.")), (None, None), "without a secret there are none");
        assert_eq!(format!("{own:?}").matches("SessionKey").count(), 1);
        assert!(!format!("{own:?}").contains(&format!("{SECRET:?}")));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_nothing_else_does(id in "[!-~]{1,40}", other in "[!-~]{0,60}") {
            let own = binding(1, "github");
            let sealed = own.seal(&id).unwrap();
            prop_assert_eq!(own.open(sealed.as_bytes()), Some(id));
            prop_assert!(other == sealed || own.open(other.as_bytes()).is_none());
        }
    }
}
