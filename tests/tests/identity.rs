//! Who is behind a request with a shared key, at a real Envoy.

use std::time::Duration;

use latchkey_tests::issuer::{Issuer, Signer, claims, encode, now, unsigned};
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{Stack, wait};
use reqwest::Method;
use rsa::sha2::Digest as _;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

async fn send(stack: &Stack, key: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hello" }] });
    let mut request = stack.gateway().request(Method::POST, CHAT).json(&body).bearer_auth(key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.send().await.unwrap()).await.unwrap()
}

async fn outcome(stack: &Stack, key: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = send(stack, key, headers).await;
    (answer.status, answer.code().to_owned())
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// An app with these settings of identity, once the gateway has it with all keys.
async fn app(stack: &Stack, identity: Value) -> App {
    let app = stack.api().create_app(json!({ "name": "shared", "identity": identity })).await.unwrap();
    if identity["jwt"]["keys"]["jwks_url"].is_string() {
        let fetched = async || {
            let sets = stack.api().get("/api/v1/jwks").await?.ok()?;
            let all = sets["items"].as_array().unwrap().iter().all(|set| set["fetched_at"].is_string());
            Ok(all.then_some(()))
        };
        wait::until("the JWK sets to be fetched", Duration::from_secs(10), fetched).await.unwrap();
    }
    stack.until_synced().await.unwrap();
    app
}

fn jwks(url: &str) -> Value {
    json!({ "keys": { "jwks_url": url }, "issuers": ["https://id.acme.com"], "parties": ["chat"] })
}

#[tokio::test]
async fn requests_are_attributed_by_jwt_and_by_header_and_the_provider_learns_nothing() {
    let stack = Stack::start().await.unwrap();
    let signers = [Signer::rsa(), Signer::ec(1), Signer::ed(1)];
    let issuer = Issuer::start(&[signers[0].jwk("k"), signers[1].jwk("k"), signers[2].jwk("k")]).await;
    let alice = stack.api().create_user("alice@acme.com").await.unwrap();
    let app = app(&stack, json!({ "header": true, "jwt": jwks(&issuer.url) })).await;
    stack.provider().forget();

    for signer in &signers {
        let token = signer.issue("k", &claims("Alice@acme.com", json!({})));
        for value in [token.clone(), format!("Bearer {token}")] {
            let headers = [("x-user-token", value.as_str()), ("x-conversation-id", "talk-1")];
            assert_eq!(outcome(&stack, &app.key, &headers).await, ok(), "{}", signer.algorithm());
        }
    }
    assert_eq!(outcome(&stack, &app.key, &[("X-User-Email", "Bob@acme.com")]).await, ok());
    assert_eq!(outcome(&stack, &app.key, &[]).await, ok());
    for seen in stack.provider().requests() {
        for name in ["x-user-email", "x-user-token", "x-conversation-id"] {
            assert!(!seen.headers.contains_key(name), "{name}: {seen:?}");
        }
        assert!(!format!("{seen:?}").contains("acme.com"), "{seen:?}");
    }

    let records = stack.api().until_recorded(&app, 8).await.unwrap();
    let of =
        |source: &str| records.iter().filter(|record| record.identity_source == source).collect::<Vec<_>>();
    let by_jwt = of("jwt");
    assert_eq!(by_jwt.len(), 6);
    for record in by_jwt {
        let told = (record.identity.as_deref(), record.user_id.as_deref(), record.conversation_id.as_deref());
        assert_eq!(told, (Some("alice@acme.com"), Some(alice.as_str()), Some("talk-1")));
    }
    let by_header = of("header");
    assert_eq!(
        (by_header.len(), by_header[0].identity.as_deref(), &by_header[0].user_id),
        (1, Some("bob@acme.com"), &None)
    );
    assert_eq!((of("none").len(), &of("none")[0].identity), (1, &None));
    let mine =
        stack.api().get(&format!("/api/v1/logs?app_id={}&identity=alice@acme.com", app.id)).await.unwrap();
    assert_eq!(mine.ok().unwrap()["items"].as_array().unwrap().len(), 6);
    stack.gateway().until_logged(|line| line["user"] == "alice@acme.com").await.unwrap();
}

#[tokio::test]
async fn an_app_that_did_not_turn_it_on_ignores_who_it_is_said_to_be() {
    let stack = Stack::start().await.unwrap();
    let app = app(&stack, json!({})).await;
    stack.provider().forget();
    let headers =
        [("x-user-email", "ceo@acme.com"), ("x-user-token", "nonsense"), ("x-user-email", "two@acme.com")];
    assert_eq!(outcome(&stack, &app.key, &headers).await, ok());
    let record = stack.api().until_recorded(&app, 1).await.unwrap().remove(0);
    assert_eq!((record.identity, record.identity_source.as_str(), record.user_id), (None, "none", None));
    assert!(!format!("{:?}", stack.provider().requests()).contains("acme.com"));
}

#[tokio::test]
async fn who_it_is_can_be_demanded_and_kept_to_domains_and_a_named_key_says_it() {
    let stack = Stack::start().await.unwrap();
    let alice = stack.api().create_user("alice@other.com").await.unwrap();
    // A named key of a time when the app was in named mode: it goes on.
    let app = stack.api().create_app(json!({ "name": "was named", "mode": "named" })).await.unwrap();
    let named = stack.api().create_key(&app, &alice, "hers").await.unwrap();
    let identity = json!({ "header": true, "enforce": true, "allowed_domains": ["acme.com"] });
    let edit = json!({ "mode": "shared", "identity": identity });
    let shared = stack.api().send(Method::PATCH, &app.path(), Some(edit)).await.unwrap().ok().unwrap();
    let app = App { key: shared["key"]["value"].as_str().unwrap().to_owned(), ..app };
    stack.until_synced().await.unwrap();
    let ask = async |headers: &[(&str, &str)]| outcome(&stack, &app.key, headers).await;
    assert_eq!(ask(&[]).await, refused(401, "identity_required"));
    assert_eq!(ask(&[("x-user-token", "ignored")]).await, refused(401, "identity_required"));
    assert_eq!(ask(&[("x-user-email", "bob@ACME.com")]).await, ok());
    for email in ["bob@eu.acme.com", "bob@acme.com.evil.org", "bob@notacme.com"] {
        assert_eq!(ask(&[("x-user-email", email)]).await, refused(403, "identity_not_allowed"), "{email}");
    }
    for email in ["bob", "bob@acme.com, eve@acme.com", "<bob@acme.com>", "bob@acme.com\t,"] {
        assert_eq!(ask(&[("x-user-email", email)]).await, refused(400, "invalid_identity"), "{email}");
    }
    let twice = [("x-user-email", "bob@acme.com"), ("x-user-email", "bob@acme.com")];
    assert_eq!(ask(&twice).await, refused(400, "invalid_identity"));

    let headers = [("x-user-email", "ceo@acme.com"), ("x-user-token", "nonsense")];
    assert_eq!(outcome(&stack, &named.value, &headers).await, ok());
    let records = stack.api().until_recorded(&app, 12).await.unwrap();
    let by_key: Vec<_> = records.iter().filter(|record| record.identity_source == "key").collect();
    assert_eq!(
        (by_key.len(), by_key[0].user_id.as_deref(), &by_key[0].identity),
        (1, Some(alice.as_str()), &None)
    );
}

#[tokio::test]
async fn a_conversation_can_be_demanded() {
    let stack = Stack::start().await.unwrap();
    let app =
        stack.api().create_app(json!({ "name": "talks", "require_conversation_id": true })).await.unwrap();
    stack.until_synced().await.unwrap();
    let ask = async |headers: &[(&str, &str)]| outcome(&stack, &app.key, headers).await;
    assert_eq!(ask(&[]).await, refused(400, "conversation_id_required"));
    assert_eq!(ask(&[("x-conversation-id", "a b")]).await, refused(400, "invalid_conversation_id"));
    assert_eq!(ask(&[("x-conversation-id", "a.b_c-1")]).await, ok());
}

#[tokio::test]
async fn keys_that_the_issuer_rotates_are_picked_up_and_old_ones_stop() {
    let mut stack = Stack::start().await.unwrap();
    let (old, new) = (Signer::ec(1), Signer::ec(2));
    let issuer = Issuer::start(&[old.jwk("old")]).await;
    let app = app(&stack, json!({ "enforce": true, "jwt": jwks(&issuer.url) })).await;
    let tokens = [
        old.issue("old", &claims("a@acme.com", json!({}))),
        new.issue("new", &claims("a@acme.com", json!({}))),
    ];
    let ask = async |stack: &Stack, token: &str| outcome(stack, &app.key, &[("x-user-token", token)]).await;
    assert_eq!(ask(&stack, &tokens[0]).await, ok());
    assert_eq!(ask(&stack, &tokens[1]).await, refused(401, "invalid_user_token"));

    issuer.publish(&[new.jwk("new")]);
    // As if the time had passed.
    stack.control_plane().sql("UPDATE jwks SET tried_at = 0").await.unwrap();
    let switched = async || Ok((ask(&stack, &tokens[1]).await == ok()).then_some(()));
    wait::until("the new key to be in force", Duration::from_secs(10), switched).await.unwrap();
    assert_eq!(
        ask(&stack, &tokens[0]).await,
        refused(401, "invalid_user_token"),
        "though it was verified before"
    );
}

#[tokio::test]
async fn a_key_that_a_token_names_first_is_fetched_at_once_and_made_up_ones_are_bounded() {
    let stack = Stack::start().await.unwrap();
    let (old, new) = (Signer::ec(1), Signer::ec(2));
    let issuer = Issuer::start(&[old.jwk("k1")]).await;
    let app = app(&stack, json!({ "enforce": true, "jwt": jwks(&issuer.url) })).await;
    let token = |signer: &Signer, kid: &str| signer.issue(kid, &claims("a@acme.com", json!({})));
    let ask = async |token: &str| outcome(&stack, &app.key, &[("x-user-token", token)]).await;
    assert_eq!(ask(&token(&old, "k1")).await, ok());
    issuer.publish(&[new.jwk("k2")]);
    let (first, second) = (token(&old, "k1"), token(&new, "k2"));
    let made_up = async {
        for number in 0..200 {
            let stranger = Signer::ec(9).issue(&format!("kid-{number}"), &claims("a@acme.com", json!({})));
            assert_eq!(ask(&stranger).await, refused(401, "invalid_user_token"));
        }
    };
    let switched = async || Ok((ask(&second).await == ok()).then_some(()));
    let known = wait::until("the new key to be in force", Duration::from_secs(20), switched);
    let ((), known) = tokio::join!(made_up, known);
    known.unwrap();
    assert_eq!(ask(&first).await, refused(401, "invalid_user_token"), "the old key went with the same fetch");
    assert!(issuer.asked() <= 3, "asked {} times", issuer.asked());
}

#[tokio::test]
async fn a_token_may_be_as_long_as_envoy_takes_and_must_be_for_an_accepted_audience() {
    let stack = Stack::start().await.unwrap();
    let signer = Signer::rsa();
    let issuer = Issuer::start(&[signer.jwk("k")]).await;
    let open = app(&stack, json!({ "enforce": true, "jwt": jwks(&issuer.url) })).await;
    let mut jwt = jwks(&issuer.url);
    jwt["audiences"] = json!(["gw"]);
    let closed = app(&stack, json!({ "enforce": true, "jwt": jwt })).await;
    let token = |changes: Value| signer.issue("k", &claims("ana@acme.com", changes));
    let groups = |count: usize| {
        let groups: Vec<_> = (0..count).map(|n| format!("00000000-0000-0000-0000-{n:012}")).collect();
        token(json!({ "aud": ["wiki", "gw"], "groups": groups }))
    };
    for count in [150, 200, 450, 590] {
        let token = groups(count);
        for app in [&open, &closed] {
            let told = outcome(&stack, &app.key, &[("x-user-token", &token)]).await;
            assert_eq!(told, ok(), "{} bytes", token.len());
        }
    }
    assert_eq!(send(&stack, &open.key, &[("x-user-token", &groups(900))]).await.status, 431);
    for (aud, fits) in [
        (json!("gw"), true),
        (json!(["wiki", "gw"]), true),
        (json!("wiki"), false),
        (json!(["account", "wiki"]), false),
        (json!(null), false),
    ] {
        let token = token(json!({ "aud": aud, "typ": "ID" }));
        assert_eq!(outcome(&stack, &open.key, &[("x-user-token", &token)]).await, ok(), "{aud}");
        let answer = send(&stack, &closed.key, &[("x-user-token", &token)]).await;
        assert_eq!((answer.status == 200, answer.status == 401), (fits, !fits), "{aud}: {}", answer.text);
        assert!(fits || answer.text.contains("audience"), "{}", answer.text);
    }
}

#[tokio::test]
async fn tokens_that_are_forged_or_misused_are_refused() {
    let stack = Stack::start().await.unwrap();
    let (rsa, ec, ed) = (Signer::rsa(), Signer::ec(1), Signer::ed(1));
    let issuer = Issuer::start(&[rsa.jwk("rsa"), ec.jwk("ec"), ed.jwk("ed")]).await;
    let app =
        app(&stack, json!({ "header": true, "allowed_domains": ["acme.com"], "jwt": jwks(&issuer.url) }))
            .await;
    stack.provider().forget();
    let alice = claims("alice@acme.com", json!({}));
    let of = |changes: Value| ec.issue("ec", &claims("alice@acme.com", changes));
    let head = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid });
    let resigned =
        |signature: &[u8]| format!("{}.{}", unsigned(&head("ES256", "ec"), &alice), encode(signature));
    let good = ec.signature(&unsigned(&head("ES256", "ec"), &alice));
    let (r, s) = good.split_at(32);
    let good_token = resigned(&good);
    let public = rsa.jwk("rsa").to_string();
    let in_der = p256::ecdsa::Signature::from_slice(&good).unwrap().to_der();
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let by_rsa =
        |signature: &[u8]| format!("{}.{}", unsigned(&head("RS256", "rsa"), &alice), encode(signature));
    let rsa_good = rsa.signature(&unsigned(&head("RS256", "rsa"), &alice));
    let rsa_good_token = by_rsa(&rsa_good);
    let forged = rsa_encodings(&rsa, &unsigned(&head("RS256", "rsa"), &alice));
    assert_eq!(forged[0], rsa_good);

    for (attack, token, why) in [
        ("alg none", format!("{}.", unsigned(&head("none", "ec"), &alice)), "algorithm"),
        ("alg None", format!("{}.{}", unsigned(&head("None", "ec"), &alice), encode(&good)), "algorithm"),
        (
            "HS256 with the public key",
            format!("{}.{}", unsigned(&head("HS256", "rsa"), &alice), encode(public)),
            "algorithm",
        ),
        ("wrong kid", ec.issue("rsa", &alice), "no key of its kid"),
        ("unknown kid", ec.issue("x", &alice), "no key of its kid"),
        ("another's key", Signer::ec(9).issue("ec", &alice), "signature is wrong"),
        ("an RS256 token for an EC key", rsa.issue("ec", &alice), "no key of its kid"),
        ("RS256 claimed for an EC key", ec.sign(&head("RS256", "ec"), &alice), "no key of its kid"),
        ("unknown curve", ec.sign(&head("ES256K", "ec"), &alice), "algorithm"),
        ("another curve", ec.sign(&head("ES384", "ec"), &alice), "algorithm"),
        ("expired", of(json!({ "exp": now() - 120 })), "expired"),
        ("endless", of(json!({ "exp": null })), "wrong type"),
        ("not yet valid", of(json!({ "nbf": now() + 600 })), "not valid yet"),
        ("issued tomorrow", of(json!({ "iat": now() + 86_400 })), "not valid yet"),
        ("wrong party", of(json!({ "azp": "other" })), "party"),
        ("wrong issuer", of(json!({ "iss": "https://evil.org" })), "issuer"),
        ("not verified", of(json!({ "email_verified": false })), "not verified"),
        ("nobody", of(json!({ "email": "alice" })), "email"),
        ("critical", ec.sign(&json!({ "alg": "ES256", "kid": "ec", "crit": ["x"] }), &alice), "critical"),
        (
            "its own key",
            Signer::ec(9).sign(&json!({ "alg": "ES256", "jwk": Signer::ec(9).jwk("ec") }), &alice),
            "signature",
        ),
        ("r is 0", resigned(&[&[0; 32], s].concat()), "signature is wrong"),
        ("s is 0", resigned(&[r, &[0; 32]].concat()), "signature is wrong"),
        ("both are 0", resigned(&[0; 64]), "signature is wrong"),
        ("no signature", resigned(&[]), "signature is wrong"),
        ("s is the order", resigned(&[r, &order].concat()), "signature is wrong"),
        ("r is the order", resigned(&[&order, s].concat()), "signature is wrong"),
        ("in DER", resigned(in_der.as_bytes()), "signature is wrong"),
        ("a byte short", resigned(&good[1..]), "signature is wrong"),
        ("a byte long", resigned(&[&good[..], &[0]].concat()), "signature is wrong"),
        ("RSA: of zeros", by_rsa(&[0; 256]), "signature is wrong"),
        ("RSA: one", by_rsa(&[&[0; 255][..], &[1]].concat()), "signature is wrong"),
        ("RSA: above the modulus", by_rsa(&[0xff; 256]), "signature is wrong"),
        ("RSA: a byte short", by_rsa(&rsa_good[1..]), "signature is wrong"),
        ("RSA: a byte long", by_rsa(&[&[0], &rsa_good[..]].concat()), "signature is wrong"),
        ("RSA: no signature", by_rsa(&[]), "signature is wrong"),
        ("RSA: of another text", by_rsa(&rsa.signature("x")), "signature is wrong"),
        ("RSA: what follows the digest", by_rsa(&forged[1]), "signature is wrong"),
        ("RSA: a byte after the digest", by_rsa(&forged[2]), "signature is wrong"),
        ("RSA: without parameters", by_rsa(&forged[3]), "signature is wrong"),
        ("RSA: without padding", by_rsa(&forged[4]), "signature is wrong"),
        ("padded", format!("{good_token}="), "not a signed JWT"),
        ("five parts", format!("{good_token}.x.y"), "three parts"),
    ] {
        let answer = send(&stack, &app.key, &[("x-user-token", &token)]).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_user_token"), "{attack}: {}", answer.text);
        assert!(answer.text.contains(why), "{attack}: {}", answer.text);
        assert!(!answer.text.contains(&token), "{attack}");
    }
    let headers = |token| [("x-user-token", token), ("x-user-email", "bob@acme.com")];
    let (token, other) = (of(json!({})), of(json!({ "email": "alice@evil.org" })));
    assert_eq!(outcome(&stack, &app.key, &headers(&token)).await, refused(400, "invalid_identity"));
    assert_eq!(outcome(&stack, &app.key, &headers("x")).await, refused(401, "invalid_user_token"));
    assert_eq!(
        outcome(&stack, &app.key, &[("x-user-token", &other)]).await,
        refused(403, "identity_not_allowed")
    );
    let larger = "x".repeat(40_000);
    assert_eq!(send(&stack, &app.key, &[("x-user-token", &larger)]).await.status, 431);
    assert_eq!(stack.provider().requests().len(), 0);

    for token in [good_token, rsa_good_token] {
        assert_eq!(outcome(&stack, &app.key, &[("x-user-token", &token)]).await, ok());
    }
    // Envoy has checked all these signatures, and the VM none.
    assert!(!stack.gateway().log_end().contains("verify_signature"), "{}", stack.gateway().log_end());
    let ready = stack.gateway().get("/latchkey/ready", &app.key).await.unwrap();
    assert_eq!(ready.status, 200, "{}", ready.text);
}

/// Signatures of a text by RSA with SHA-256 whose encodings are right, and wrong in ways that lenient verifiers
/// overlooked (Bleichenbacher, 2006): all of them take the private key.
fn rsa_encodings(signer: &Signer, text: &str) -> Vec<Vec<u8>> {
    let Signer::Rsa(key) = signer else { unreachable!() };
    let key: &rsa::RsaPrivateKey = (**key).as_ref();
    let digest = rsa::sha2::Sha256::digest(text.as_bytes());
    let info = hex("3031300d060960864801650304020105000420");
    let without_parameters = hex("302f300b06096086480165030402010420");
    let of = |padding: usize, info: &[u8], tail: &[u8]| {
        let mut encoded = [&[0, 1], vec![0xff; padding].as_slice(), &[0], info, &digest, tail].concat();
        encoded.resize(256, 0);
        let number = rsa::BoxedUint::from_be_slice(&encoded, 2048).unwrap();
        let signature = rsa::hazmat::rsa_decrypt_and_check::<rand::rngs::StdRng>(key, None, &number).unwrap();
        signature.to_be_bytes().to_vec()
    };
    vec![
        of(202, &info, &[]),
        of(8, &info, &[7; 194]),
        of(201, &info, &[0]),
        of(204, &without_parameters, &[]),
        of(0, &info, &[]),
    ]
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}
