use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::jwk::BadSet;
use super::key::{Algorithm, PublicKey, Unfit};
use super::*;
use crate::settings::AppSettings;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBgzCCASmgAwIBAgIUBy7Qm8D2RhL4iSCHYo2fDMu8IkswCgYIKoZIzj0EAwIw\n\
FjEUMBIGA1UEAwwLaWQuYWNtZS5jb20wIBcNMjYxMTIyMDYzMDE4WhgPMjEyNjEw\n\
MjkwNjMwMThaMBYxFDASBgNVBAMMC2lkLmFjbWUuY29tMFkwEwYHKoZIzj0CAQYI\n\
KoZIzj0DAQcDQgAEJu0f1weZKAKrLdPoJIncHm8dmRRG6x+nLysjpoQBF8lonj0O\n\
HMkskOQWXiwzHMOtbbmK+s2k8QWVI4rS5KKmhKNTMFEwHQYDVR0OBBYEFG3q98ti\n\
qF9aUuLZ2GWCwd4gt4WaMB8GA1UdIwQYMBaAFG3q98tiqF9aUuLZ2GWCwd4gt4Wa\n\
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAJvuV2NT2z4WDerc\n\
MEjZCywFrwA/NUBatQraHJUThcyJAiBEQNJrCbNxxZn/npZom8U38fZueRULevbP\n\
mNmAPEOlcQ==\n\
-----END CERTIFICATE-----";
/// The key of the certificate.
const P256: &str = "-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJu0f1weZKAKrLdPoJIncHm8dmRRG\n\
6x+nLysjpoQBF8lonj0OHMkskOQWXiwzHMOtbbmK+s2k8QWVI4rS5KKmhA==\n\
-----END PUBLIC KEY-----";
const P384: &str = "-----BEGIN PUBLIC KEY-----\n\
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEbpblEHktmPbt7CHBXxgm7KwsmHx9coDx\n\
b5NPEdhvuw6tcBgN7D+8b5sZfgghXfsvE0GVL/3GjkqT+Ov6hPZ/sU8Upv6hZ3SI\n\
jPAk89UMCro7Edac0Z5XzBSg4y/v9inS\n\
-----END PUBLIC KEY-----";

/// Of RFC 7517, A.1.
const MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn rsa() -> Value {
    json!({"kty": "RSA", "kid": "r", "n": MODULUS, "e": "AQAB", "alg": "RS256", "use": "sig"})
}

fn ec() -> Value {
    json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

/// Of RFC 8037, A.2.
fn ed() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "key_ops": ["verify"]})
}

fn changed(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
    key[name] = value.into();
    key
}

fn set(keys: &[Value]) -> Result<Vec<PublicKey>, BadSet> {
    jwk::read(json!({"keys": keys}).to_string().as_bytes()).map(|set| set.keys)
}

#[test]
fn keys_of_each_kind_are_taken_of_a_set() {
    let keys = set(&[rsa(), ec(), ed()]).unwrap();
    let told: Vec<_> = keys.iter().map(|key| (key.kid.as_str(), key.algorithm, key.bytes.len())).collect();
    assert_eq!(told, [("r", Algorithm::Rs256, 270), ("e", Algorithm::Es256, 65), ("", Algorithm::EdDsa, 32)]);
    let stored = serde_json::to_string(&keys).unwrap();
    assert_eq!(serde_json::from_str::<Vec<PublicKey>>(&stored).unwrap(), keys);
}

#[test]
fn keys_of_other_kinds_and_uses_are_passed_over() {
    let short = MODULUS.get(..170).unwrap();
    for other in [
        changed(rsa(), "use", "enc"),
        changed(rsa(), "alg", "RS512"),
        changed(rsa(), "alg", "PS256"),
        changed(rsa(), "alg", "HS256"),
        changed(rsa(), "kty", "oct"),
        changed(rsa(), "n", short),
        changed(rsa(), "e", "AQ"),
        changed(rsa(), "e", "AQAA"),
        changed(rsa(), "d", "AQAB"),
        changed(rsa(), "kid", "k".repeat(300)),
        changed(ec(), "crv", "P-384"),
        changed(ec(), "crv", "secp256k1"),
        changed(ec(), "x", "AAAA"),
        changed(ec(), "x", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"),
        changed(ed(), "crv", "Ed448"),
        changed(ed(), "crv", "X25519"),
        changed(ed(), "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        changed(ed(), "key_ops", json!(["sign"])),
        json!({"kty": "oct", "k": "AAAA"}),
        json!("key"),
        json!(null),
    ] {
        assert!(matches!(set(std::slice::from_ref(&other)), Err(BadSet::NoKey(_))), "{other}");
        assert_eq!(set(&[other, ed()]).unwrap().len(), 1);
    }
}

#[test]
fn sets_are_bounded_and_what_is_none_is_refused() {
    assert_eq!(set(&vec![ed(); 80]).unwrap().len(), 50);
    for bad in ["", "{}", "[]", "<html>", r#"{"keys":{}}"#, r#"{"keys":null}"#] {
        assert_eq!(jwk::read(bad.as_bytes()), Err(BadSet::Malformed), "{bad}");
    }
}

#[test]
fn a_key_that_is_no_good_is_named_and_the_others_are_taken() {
    let long = URL_SAFE_NO_PAD.encode(vec![0xff; 1024]);
    let long = changed(changed(rsa(), "n", long), "kid", "big\u{202e}\n");
    let encryption = changed(changed(rsa(), "use", "enc"), "kid", "enc");
    let read = jwk::read(json!({"keys": [&long, &encryption, &ed()]}).to_string().as_bytes()).unwrap();
    assert_eq!(
        (read.keys.len(), read.unfit),
        (1, vec![r"`big\u{202e}\n`: an RSA key may have at most 4096 bits".to_owned()])
    );
    let alone = set(&[long]).unwrap_err().to_string();
    assert!(alone.ends_with(r"(`big\u{202e}\n`: an RSA key may have at most 4096 bits)"), "{alone}");
}

#[test]
fn a_certificate_stands_for_its_key() {
    let key = pem::read(P256).unwrap();
    assert_eq!(pem::read(CERTIFICATE).unwrap(), key);
    assert_eq!(pem::read(&format!("{CERTIFICATE}\n\n{P256}\n")).unwrap().len(), 2);
    assert_eq!(pem::usable(&format!("{P384}\n{P256}\n")), key);
    assert_eq!(pem::usable("nonsense"), []);
    assert_eq!((key[0].algorithm, key[0].bytes.len(), key[0].kid.as_str()), (Algorithm::Es256, 65, ""));
    let rsa = ::pem::encode(&::pem::Pem::new("RSA PUBLIC KEY", set(&[rsa()]).unwrap()[0].bytes.clone()));
    assert_eq!(pem::read(&rsa).unwrap()[0].bytes, set(&[self::rsa()]).unwrap()[0].bytes);
    let ed25519 =
        [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &set(&[ed()]).unwrap()[0].bytes];
    let ed25519 = ::pem::encode(&::pem::Pem::new("PUBLIC KEY", ed25519.concat()));
    assert_eq!(pem::read(&ed25519).unwrap()[0].algorithm, Algorithm::EdDsa);
}

#[test]
fn private_keys_and_nonsense_are_refused_and_never_quoted() {
    for (text, why) in [
        ("", "contains no key"),
        ("hello", "is not PEM"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA", "is not PEM"),
        (&format!("{P256}\n-----BEGIN PUBLIC KEY-----\nAAAA"), "is not PEM"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "block 1: the key is malformed"),
        (&format!("{P256}\n{P384}"), "block 2: only RSA, P-256 and Ed25519"),
        ("-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----", "block 1 is neither"),
        ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----", "contains a private key"),
        ("-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n", "contains a private key"),
        (&format!("{P256}\n-----begin encrypted private key-----c2VjcmV0"), "contains a private key"),
        (&"x".repeat(70_000), "is longer"),
        (&format!("{P256}\n").repeat(51), "contains more than 50 keys"),
    ] {
        let told = pem::read(text).unwrap_err().to_string();
        assert!(told.starts_with(why) && !told.contains("c2VjcmV0"), "{text}: {told}");
    }
}

#[test]
fn rsa_keys_are_neither_short_nor_odd_ones_out() {
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] = if bits.is_multiple_of(8) { 0xff } else { (1 << (bits % 8)) - 1 };
        bytes
    };
    let three = [3].as_slice();
    assert_eq!(PublicKey::rsa(&modulus(2047), three), Err(Unfit::Short));
    assert!(PublicKey::rsa(&modulus(2048), three).is_ok());
    assert!(PublicKey::rsa(&modulus(4096), &[0, 1, 0, 1]).is_ok());
    assert_eq!(PublicKey::rsa(&modulus(4097), three), Err(Unfit::Long));
    assert_eq!(PublicKey::rsa(&modulus(8192), three), Err(Unfit::Long));
    assert_eq!(PublicKey::rsa(&[], three), Err(Unfit::Malformed));
    for exponent in [&[][..], &[1], &[2], &[1, 0, 0, 0, 1]] {
        assert_eq!(PublicKey::rsa(&modulus(2048), exponent), Err(Unfit::Exponent), "{exponent:?}");
    }
}

/// The settings that are stored, or where they are wrong.
fn check(identity: Value) -> Result<IdentitySettings, Vec<String>> {
    check_in(CredentialMode::Shared, identity)
}

fn check_in(mode: CredentialMode, identity: Value) -> Result<IdentitySettings, Vec<String>> {
    let identity = serde_json::from_value(identity).unwrap();
    match (AppSettings { mode, identity, ..AppSettings::default() }).validated() {
        Ok(settings) => Ok(settings.identity),
        Err(invalid) => Err(invalid.0.into_iter().map(|error| error.path).collect()),
    }
}

#[test]
fn settings_are_stored_in_their_normal_form() {
    let stored = check(json!({
        "header": true, "enforce": true, "allowed_domains": ["ACME.com", "acme.com", "b\u{fc}cher.example"],
        "jwt": {"keys": {"jwks_url": "https://ID.acme.com"}, "issuers": ["a", "a"], "parties": ["p"], "audiences": ["g", "g"]}
    }));
    let stored = stored.unwrap();
    assert_eq!(stored.allowed_domains.as_ref().unwrap(), &["acme.com", "xn--bcher-kva.example"]);
    assert_eq!(stored.jwks_url(), Some("https://id.acme.com/"));
    let jwt = stored.jwt.clone().unwrap();
    assert_eq!((jwt.issuers.unwrap().len(), jwt.email_claim.as_str()), (1, "email"));
    assert_eq!(jwt.audiences.unwrap(), ["g"]);
    assert_eq!(check(serde_json::to_value(&stored).unwrap()), Ok(stored));
    assert_eq!(check(json!({})), Ok(IdentitySettings::default()));
    assert_eq!(check_in(CredentialMode::Named, json!({})), Ok(IdentitySettings::default()));
}

#[test]
fn settings_without_effect_and_wrong_ones_are_refused_by_their_path() {
    let jwt = |jwt: Value| json!({"jwt": jwt});
    let url = json!({"jwks_url": "https://id.acme.com/"});
    for (identity, paths) in [
        (json!({"enforce": true}), vec!["identity.enforce"]),
        (json!({"allowed_domains": ["acme.com"]}), vec!["identity.allowed_domains"]),
        (json!({"header": true, "allowed_domains": []}), vec!["identity.allowed_domains"]),
        (
            json!({"header": true, "allowed_domains": ["acme.com", "@acme.com", "*.acme.com", "", "10.0.0.1", "a b"]}),
            (1..6)
                .map(|i| {
                    [
                        "identity.allowed_domains[1]",
                        "identity.allowed_domains[2]",
                        "identity.allowed_domains[3]",
                        "identity.allowed_domains[4]",
                        "identity.allowed_domains[5]",
                    ][i - 1]
                })
                .collect(),
        ),
        (
            jwt(json!({"keys": url, "issuers": [], "parties": [], "audiences": []})),
            vec!["identity.jwt.issuers", "identity.jwt.parties", "identity.jwt.audiences"],
        ),
        (
            jwt(json!({"keys": url, "issuers": [""], "email_claim": ""})),
            vec!["identity.jwt.email_claim", "identity.jwt.issuers[0]"],
        ),
        (jwt(json!({"keys": {"jwks_url": "http://id.acme.com/"}})), vec!["identity.jwt.keys.jwks_url"]),
        (jwt(json!({"keys": {"pem": "x"}})), vec!["identity.jwt.keys.pem"]),
    ] {
        assert_eq!(check(identity.clone()).unwrap_err(), paths, "{identity}");
    }
    assert_eq!(check_in(CredentialMode::Named, json!({"header": true})).unwrap_err(), ["identity"]);
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(json: Vec<u8>, text in "(-----BEGIN (PUBLIC KEY|CERTIFICATE)-----\n)?[A-Za-z0-9+/=\n]{0,80}(\n-----END (PUBLIC KEY|CERTIFICATE)-----)?") {
        let _ = jwk::read(&json);
        let _ = pem::read(&text);
        let _ = jwks_network::jwks_url(&text);
    }

    #[test]
    fn a_normal_form_stays_as_it_is(domains in prop::collection::vec("[a-zA-Z0-9.\u{e9}-]{1,12}", 1..4)) {
        if let Ok(stored) = check(json!({"header": true, "allowed_domains": domains})) {
            prop_assert_eq!(check(serde_json::to_value(&stored).unwrap()), Ok(stored));
        }
    }
}
