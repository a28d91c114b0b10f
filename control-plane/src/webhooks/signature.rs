//! Signatures of messages, as the Standard Webhooks specification has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use latchkey_service::action::webhooks::SECRET_PREFIX;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The value of `webhook-signature`: one signature by each secret. None where a secret is not one.
pub fn signatures(secrets: &[SecretString], id: &str, timestamp: i64, body: &str) -> Option<String> {
    let signed = format!("{id}.{timestamp}.{body}");
    let sign = |secret: &SecretString| {
        let key = STANDARD.decode(secret.expose_secret().strip_prefix(SECRET_PREFIX)?).ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        mac.update(signed.as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    Some(secrets.iter().map(sign).collect::<Option<Vec<_>>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        let of = |secrets: &[SecretString]| {
            signatures(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
        };
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(of(std::slice::from_ref(&secret)).as_deref(), Some(one));
        assert_eq!(of(&[secret.clone(), secret]), Some(format!("{one} {one}")));
        assert_eq!(of(&["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()]), None);
    }
}
