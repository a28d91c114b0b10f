//! What has broken JWT verifiers before.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sha2::Digest as _;

use super::*;

/// Made once for each process.
static RSA: LazyLock<Signer> = LazyLock::new(Signer::rsa);

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn header(changes: Value) -> String {
    let mut header = json!({"alg": "ES256", "kid": "k"});
    header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    header.to_string()
}

const ALGORITHM: &str = "its algorithm is not RS256, ES256 or EdDSA.";
const SIGNATURE: &str = "its signature is wrong.";
const MALFORMED: &str = "it is not a signed JWT of three parts in base64url.";

#[test]
fn no_algorithm_but_those_known_is_accepted() {
    let signer = Signer::ec(1);
    let gate = Gate::new(by_jwt(&signer));
    let claims = alice().to_string();
    for name in ["none", "None", "NONE", "", "HS256", "HS512", "ES384", "ES256K", "PS256", "RS512", "es256"] {
        let head = header(json!({"alg": name}));
        assert_eq!(gate.refused(&signer.sign(&head, &claims)), ALGORITHM, "{name}");
        assert_eq!(gate.refused(&format!("{}.", unsigned(&head, &claims))), ALGORITHM, "{name}");
    }
    assert_eq!(gate.refused(&signer.sign("{}", &claims)), ALGORITHM);
    for wrong in
        [r#"{"alg":["ES256"]}"#, r#"{"alg":null}"#, "[]", "7", "", r#"{"alg":"ES256","alg":"ES256"}"#]
    {
        assert!(gate.refused(&signer.sign(wrong, &claims)).starts_with("its header"), "{wrong}");
    }
    assert_eq!(gate.refused(&format!("{}.", unsigned(&header(json!({})), &claims))), SIGNATURE);
}

#[test]
fn a_public_key_is_no_shared_secret_and_no_key_of_another_kind() {
    let gate = Gate::new(by_jwt(&RSA));
    let signed = unsigned(r#"{"alg":"HS256","kid":"k"}"#, &alice().to_string());
    // The value of the signature does not matter: the algorithm is refused before it is read.
    let mac = sha2::Sha256::new().chain_update(RSA.public("k").key).chain_update(&signed).finalize();
    assert_eq!(gate.refused(&format!("{signed}.{}", encode(mac))), ALGORITHM);

    for (own, other) in [("ES256", &*RSA), ("RS256", &Signer::ec(1)), ("EdDSA", &Signer::ec(1))] {
        let gate = Gate::new(by_jwt(other));
        let token = other.sign(&header(json!({"alg": own})), &alice().to_string());
        assert_eq!(gate.refused(&token), "the app has no key of its kid and algorithm.", "{own}");
    }
}

#[test]
fn keys_that_the_token_brings_along_are_not_looked_at() {
    let stranger = Signer::ec(9);
    let gate = Gate::new(by_jwt(&Signer::ec(1)));
    let point = stranger.public("k").key;
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])});
    let head = header(json!({"jwk": jwk, "jku": "https://evil.org/jwks", "x5u": "https://evil.org/x"}));
    assert_eq!(gate.refused(&stranger.sign(&head, &alice().to_string())), SIGNATURE);
}

#[test]
fn critical_extensions_are_refused() {
    let signer = Signer::ec(1);
    let gate = Gate::new(by_jwt(&signer));
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!(null)] {
        let token = signer.sign(&header(json!({"crit": crit, "b64": false})), &alice().to_string());
        assert_eq!(gate.refused(&token), "it has critical extensions, and none is known here.");
    }
}

#[test]
fn signatures_of_zeros_and_of_other_lengths_are_refused() {
    let signer = Signer::ec(1);
    let gate = Gate::new(by_jwt(&signer));
    let signed = unsigned(&header(json!({})), &alice().to_string());
    let good = signer.signature(&signed);
    let (r, s) = good.split_at(32);
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    for bad in [
        vec![0; 64],
        [&[0; 32], s].concat(),
        [r, &[0; 32]].concat(),
        [&order[..], s].concat(),
        [r, &order].concat(),
        good[..63].to_vec(),
        [&good[..], &[0]].concat(),
        vec![],
        // In DER, as other formats have it.
        p256::ecdsa::Signature::from_slice(&good).unwrap().to_der().as_bytes().to_vec(),
    ] {
        assert_eq!(gate.refused(&format!("{signed}.{}", encode(&bad))), SIGNATURE, "{bad:?}");
    }
    gate.ask(&[(TOKEN_HEADER, &format!("{signed}.{}", encode(&good)))]).unwrap();

    let gate = Gate::new(by_jwt(&RSA));
    let signed = unsigned(r#"{"alg":"RS256"}"#, &alice().to_string());
    let good = RSA.signature(&signed);
    for bad in [vec![0; 256], vec![0xff; 256], [&[0], &good[..]].concat(), good[1..].to_vec(), vec![1]] {
        assert_eq!(gate.refused(&format!("{signed}.{}", encode(&bad))), SIGNATURE);
    }
    gate.ask(&[(TOKEN_HEADER, &format!("{signed}.{}", encode(&good)))]).unwrap();
}

/// Bleichenbacher's forgery: what lies behind the digest, or a padding cut short, must not be overlooked.
/// With the private key every encoding can be made.
#[test]
fn an_rsa_signature_of_any_other_encoding_is_refused() {
    let Signer::Rsa(key) = &*RSA else { unreachable!() };
    let key: &::rsa::RsaPrivateKey = (**key).as_ref();
    let signed = unsigned(r#"{"alg":"RS256"}"#, &alice().to_string());
    let digest = sha2::Sha256::digest(signed.as_bytes());
    let info = hex("3031300d060960864801650304020105000420");
    let of = |padding: usize, info: &[u8], tail: &[u8]| {
        let mut encoded = [&[0, 1], vec![0xff; padding].as_slice(), &[0], info, &digest, tail].concat();
        encoded.resize(256, 0);
        let number = ::rsa::BoxedUint::from_be_slice(&encoded, 2048).unwrap();
        ::rsa::hazmat::rsa_decrypt_and_check::<rand::rngs::StdRng>(key, None, &number).unwrap().to_be_bytes()
    };
    let gate = Gate::new(by_jwt(&RSA));
    let short_info = hex("302f300b0609608648016503040201 0420".replace(' ', "").as_str());
    for bad in [of(8, &info, &[7; 194]), of(201, &info, &[0]), of(204, &short_info, &[]), of(0, &info, &[])] {
        assert_eq!(gate.refused(&format!("{signed}.{}", encode(&bad))), SIGNATURE);
    }
    let good = of(202, &info, &[]);
    gate.ask(&[(TOKEN_HEADER, &format!("{signed}.{}", encode(&good)))]).unwrap();
}

#[test]
fn what_is_no_signed_jwt_or_too_long_is_refused() {
    let signer = Signer::ec(1);
    let gate = Gate::new(by_jwt(&signer));
    let token = signer.issue(&alice());
    for bad in ["x", "a.b", "..", "a.b.c.d.e", "eyJh.eyJz.c2ln=", &format!("{token}.x"), &format!(".{token}")]
    {
        let why = gate.refused(bad);
        assert!(why == MALFORMED || why.starts_with("its header"), "{bad}: {why}");
    }
    for bad in [
        format!("{token}="),
        format!("{token}\u{e9}"),
        token.replacen('.', ". ", 1),
        token.replace('.', "%2E"),
    ] {
        assert_eq!(gate.refused(&bad), MALFORMED, "{bad}");
    }
    let long = signer.issue(&with(json!({"groups": "x".repeat(25_000)})));
    assert_eq!(gate.refused(&long), "it is longer than 32768 bytes.");
    let deep = signer.sign(&header(json!({})), &format!("{{\"a\":{}", "[".repeat(4000)));
    assert!(gate.refused(&deep).starts_with("its claims"));
    let double = r#"{"email":"alice@acme.com","email":"bob@acme.com","exp":9999999999}"#;
    assert!(gate.refused(&signer.sign(&header(json!({})), double)).starts_with("its claims"));
    let escaped = r#"{"email":"alice@acme.com","emai\u006c":"bob@acme.com","exp":9999999999}"#;
    assert!(gate.refused(&signer.sign(&header(json!({})), escaped)).starts_with("its claims"));
}

#[test]
fn keys_that_are_weak_or_malformed_are_no_keys() {
    let read = |key: wire::JwtKey| {
        let identity = wire::Identity { jwt: Some(jwt(vec![key])), ..wire::Identity::default() };
        AppPolicy::try_from(wire::AppPolicy { identity: Some(identity), ..testing::app() })
    };
    read(Signer::ec(1).public("k")).unwrap();
    let not_on_the_curve = [&[4][..], &[1; 64]].concat();
    let compressed = [&[2][..], &Signer::ec(1).public("k").key[1..33]].concat();
    for (algorithm, key) in [
        (2, not_on_the_curve),
        (2, compressed),
        (2, vec![0]),
        (3, vec![0; 32]),
        (3, vec![1; 31]),
        (1, vec![]),
        (1, Signer::rsa_of(1024).public("k").key),
        (0, Signer::ed(1).public("k").key),
        (9, Signer::ed(1).public("k").key),
        (1, Signer::ed(1).public("k").key),
    ] {
        let refused = read(wire::JwtKey { kid: "k".into(), algorithm, key }).unwrap_err();
        assert_eq!(refused.to_string(), "identity.jwt.keys: the key `k` cannot be used");
    }
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn any_signer() -> impl Strategy<Value = usize> {
    0..3usize
}

static SIGNERS: LazyLock<[Signer; 3]> = LazyLock::new(|| [Signer::rsa(), Signer::ec(1), Signer::ed(1)]);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn no_mutation_of_a_valid_token_is_accepted(
        signer in any_signer(), at in any::<prop::sample::Index>(), with in any::<u8>(), how in 0..3u8,
    ) {
        let signer = &SIGNERS[signer];
        let token = signer.issue(&alice());
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = with,
            1 => bytes.insert(at, with),
            _ => drop(bytes.remove(at)),
        }
        let gate = Gate::new(by_jwt(signer));
        let record = KeyRecord::try_from(testing::app_key_record()).unwrap();
        let outcome = |value: Vec<u8>| {
            let headers = [(TOKEN_HEADER.to_owned(), value)];
            identify(Headers(&headers), &gate.app, &record, &gate.verified, &gate.place)
        };
        // White space around a header's value is not a part of it.
        let same = bytes.trim_ascii() == token.as_bytes();
        prop_assert_eq!(outcome(bytes).is_ok(), same);
    }

    #[test]
    fn whatever_comes_is_answered(token in prop::collection::vec(any::<u8>(), 0..200), email in prop::collection::vec(any::<u8>(), 0..40)) {
        let gate = Gate::new(wire::Identity { header: true, enforce: true, ..by_jwt(&SIGNERS[1]) });
        let headers = [(TOKEN_HEADER.to_owned(), token), (EMAIL_HEADER.to_owned(), email)];
        let record = KeyRecord::try_from(testing::app_key_record()).unwrap();
        let outcome = identify(Headers(&headers), &gate.app, &record, &gate.verified, &gate.place);
        prop_assert!(outcome.is_err());
    }

    #[test]
    fn whatever_is_signed_is_answered(header in "\\PC{0,30}", claims in "\\{(\"(exp|nbf|iat|email|azp|iss)\":(-?[0-9]{1,30}(\\.[0-9]{1,3})?(e[0-9]{1,3})?|null|\"\\PC{0,9}\"),?){0,4}\\}") {
        let gate = Gate::new(by_jwt(&SIGNERS[1]));
        for head in [header.as_str(), r#"{"alg":"ES256"}"#] {
            let token = SIGNERS[1].sign(head, &claims);
            let _ = gate.ask(&[(TOKEN_HEADER, &token)]);
        }
    }
}
