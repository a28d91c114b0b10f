//! Requests that say who sends them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

pub fn signer(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The public key, in PEM.
pub fn pem(signer: &SigningKey) -> String {
    let head = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
    let der = [head.as_slice(), signer.verifying_key().as_bytes()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

/// A token of Alice's that lasts for so many seconds from the start.
pub fn jwt(signer: &SigningKey, seconds: i64) -> String {
    let claims =
        json!({"iss": "https://id.acme.com", "email": "alice@acme.com", "exp": START_MS / 1000 + seconds});
    let parts =
        [json!({"alg": "EdDSA", "typ": "JWT"}), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = parts.join(".");
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}

/// An app that lets in whom `identity` says.
async fn app(test: &Test, identity: Value) -> Value {
    test.catalogue().await;
    test.app(json!({"identity": identity})).await
}

fn asking(headers: Value) -> Value {
    json!({"model": "gpt-4o", "headers": headers})
}

on_both! {
    async fn an_app_that_wants_an_address_is_told_one(test: Test) {
        let app = app(&test, json!({"header": true, "enforce": true, "allowed_domains": ["acme.com"]})).await;
        assert_eq!(code(&test, &app, asking(json!({}))).await, "identity_required");
        let alice = asking(json!({"X-User-Email": "alice@acme.com"}));
        assert_eq!(explain(&test, &app, alice).await["allowed"], true);
        let stranger = asking(json!({"x-user-email": "eve@example.com"}));
        assert_eq!(code(&test, &app, stranger).await, "identity_not_allowed");
        let twice = asking(json!({"x-user-email": "alice@acme.com", "X-User-Email": "alice@acme.com"}));
        assert_eq!(code(&test, &app, twice).await, "invalid_identity");
    }
}

on_both! {
    async fn a_token_is_verified_as_a_gateway_does_and_never_told(test: Test) {
        let keys = json!({"keys": {"pem": pem(&signer(1))}, "issuers": ["https://id.acme.com"]});
        let app = app(&test, json!({"jwt": keys, "enforce": true})).await;
        let ask = |token: &str| asking(json!({"x-user-token": token}));
        let good = jwt(&signer(1), 60);
        assert_eq!(explain(&test, &app, ask(&format!("Bearer {good}"))).await["allowed"], true);
        let forged = jwt(&signer(2), 60);
        let refused = explain(&test, &app, ask(&forged)).await;
        assert_eq!((&refused["code"], &refused["message"]),
            (&json!("invalid_user_token"), &json!("The user token was refused: its signature is wrong.")));
        assert!(!refused.to_string().contains(&forged));
        let mut later = ask(&good);
        later["at"] = json!("2026-01-01T00:02:00Z");
        assert_eq!(explain(&test, &app, later).await["message"], "The user token was refused: it has expired.");
        let long = explain(&test, &app, ask(&"x".repeat(33_000))).await;
        assert_eq!(long["message"], "The user token was refused: it is longer than 32768 bytes.");
        let logged = test.column("SELECT data FROM audit").await;
        assert!(!logged.iter().any(|data| data.contains(&good)));
    }
}

on_both! {
    async fn a_conversation_is_named_where_the_app_wants_one(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({"require_conversation_id": true})).await;
        assert_eq!(code(&test, &app, asking(json!({}))).await, "conversation_id_required");
        assert_eq!(code(&test, &app, asking(json!({"x-conversation-id": "a b"}))).await, "invalid_conversation_id");
        let named = asking(json!({"x-conversation-id": " chat-7 "}));
        assert_eq!(explain(&test, &app, named).await["allowed"], true);
    }
}

on_both! {
    async fn headers_that_decide_nothing_or_that_no_client_sends_are_refused(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}/explain", id(&app));
        for (headers, field) in [
            (json!({"authorization": "Bearer sk"}), "headers.authorization"),
            (json!({"x-user-email": "a\nb"}), "headers.x-user-email"),
            (json!({"x-user-token": "x".repeat(41_000)}), "headers.x-user-token"),
            (json!({"x-user-token": 7}), "headers.x-user-token"),
            (json!([]), "headers"),
        ] {
            let answer = test.post(&path, json!({"headers": headers})).await;
            assert_eq!(answer.refused(422), pair("invalid", field), "{field}");
        }
    }
}
