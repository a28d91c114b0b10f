use std::sync::LazyLock;

use latchkey_proto::discovery as wire;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::issuer::{NOW, Signer, alice, unsigned, with};
use super::verified::KEPT;
use super::*;
use crate::request::header::Header;
use crate::testing::{self, FixedWorld};

mod attacks;
mod host;

fn names(names: &[&str]) -> Option<wire::Names> {
    Some(wire::Names { names: names.iter().map(|name| (*name).to_owned()).collect() })
}

fn jwt(keys: Vec<wire::JwtKey>) -> wire::Jwt {
    let (issuers, parties) = (names(&["https://id.acme.com"]), names(&["chat", "cli"]));
    wire::Jwt { keys, issuers, parties, email_claim: "email".to_owned(), audiences: None }
}

fn by_header() -> wire::Identity {
    wire::Identity { header: true, ..wire::Identity::default() }
}

fn by_jwt(signer: &Signer) -> wire::Identity {
    wire::Identity { jwt: Some(jwt(vec![signer.public("k")])), ..wire::Identity::default() }
}

/// An app, and what it has verified.
struct Gate {
    app: Rc<AppPolicy>,
    verified: Verified,
    place: FixedWorld,
}

impl Gate {
    fn new(identity: impl Into<Option<wire::Identity>>) -> Self {
        let app = wire::AppPolicy { identity: identity.into(), ..testing::app() };
        let app = Rc::new(AppPolicy::try_from(app).unwrap());
        Self { app, verified: Verified::default(), place: FixedWorld::at(NOW * 1000, "192.0.2.1") }
    }

    fn key(&self, record: wire::KeyRecord, pairs: &[(&str, &str)]) -> Result<CallerIdentity, Denial> {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let headers: Vec<Header> = pairs.iter().map(header).collect();
        let record = KeyRecord::try_from(record).unwrap();
        identify(Headers(&headers), &self.app, &record, &self.verified, &self.place)
    }

    /// With the app key.
    fn ask(&self, pairs: &[(&str, &str)]) -> Result<CallerIdentity, Denial> {
        self.key(testing::app_key_record(), pairs)
    }

    fn code(&self, pairs: &[(&str, &str)]) -> Code {
        self.ask(pairs).unwrap_err().code
    }

    /// Why a token is refused.
    fn refused(&self, token: &str) -> String {
        let denial = self.ask(&[(TOKEN_HEADER, token)]).unwrap_err();
        assert_eq!(denial.code, Code::InvalidUserToken, "{denial:?}");
        assert!(!denial.message.contains(token), "{}", denial.message);
        denial.message.strip_prefix("The user token was refused: ").unwrap().to_owned()
    }
}

fn claimed(email: &str, by: IdentityClaim) -> Result<CallerIdentity, Denial> {
    Ok(CallerIdentity::Claimed { email: email.into(), by })
}

#[test]
fn a_named_key_says_who_it_is_and_headers_say_nothing() {
    let gate = Gate::new(wire::Identity { enforce: true, ..by_header() });
    let named = testing::named_key_record();
    assert_eq!(gate.key(named.clone(), &[]), Ok(CallerIdentity::Key));
    assert_eq!(
        gate.key(named, &[(EMAIL_HEADER, "bob@acme.com"), (TOKEN_HEADER, "x")]),
        Ok(CallerIdentity::Key)
    );
}

#[test]
fn an_app_that_believes_nothing_ignores_everything() {
    let claims = [(EMAIL_HEADER, "not an address"), (EMAIL_HEADER, "b@acme.com"), (TOKEN_HEADER, "x")];
    assert_eq!(Gate::new(None).ask(&claims), Ok(CallerIdentity::Unknown));
    let only_header = Gate::new(by_header());
    let ignored = only_header.ask(&[(TOKEN_HEADER, "x"), (TOKEN_HEADER, "y"), (EMAIL_HEADER, "b@acme.com")]);
    assert_eq!(ignored, claimed("b@acme.com", IdentityClaim::Header));
    let only_jwt = Gate::new(by_jwt(&Signer::ec(1)));
    assert_eq!(only_jwt.ask(&[(EMAIL_HEADER, "b@acme.com")]), Ok(CallerIdentity::Unknown));
}

#[test]
fn a_header_names_one_plausible_address() {
    let gate = Gate::new(by_header());
    assert_eq!(gate.ask(&[(EMAIL_HEADER, " Bob@ACME.com ")]), claimed("bob@acme.com", IdentityClaim::Header));
    assert_eq!(gate.ask(&[]), Ok(CallerIdentity::Unknown));
    assert_eq!(gate.ask(&[(EMAIL_HEADER, "")]), Ok(CallerIdentity::Unknown));
    assert_eq!(gate.code(&[(EMAIL_HEADER, "bob")]), Code::InvalidIdentity);
    let twice = [(EMAIL_HEADER, "bob@acme.com"), (EMAIL_HEADER, "bob@acme.com")];
    assert_eq!(gate.code(&twice), Code::InvalidIdentity);
}

#[test]
fn without_an_identity_that_is_wanted_the_request_is_refused() {
    let enforcing = |identity| Gate::new(wire::Identity { enforce: true, ..identity });
    assert_eq!(enforcing(by_header()).code(&[]), Code::IdentityRequired);
    let signer = Signer::ec(1);
    let gate = enforcing(by_jwt(&signer));
    assert_eq!(gate.code(&[(EMAIL_HEADER, "bob@acme.com")]), Code::IdentityRequired);
    assert_eq!(gate.code(&[(TOKEN_HEADER, "")]), Code::IdentityRequired);
    let token = signer.issue(&alice());
    assert_eq!(gate.ask(&[(TOKEN_HEADER, &token)]), claimed("alice@acme.com", IdentityClaim::Jwt));
}

#[test]
fn only_accepted_domains_are_let_in_and_their_subdomains_are_others() {
    let gate = Gate::new(wire::Identity { domains: names(&["acme.com"]), ..by_header() });
    assert!(gate.ask(&[(EMAIL_HEADER, "bob@Acme.COM")]).is_ok());
    for other in ["bob@eu.acme.com", "bob@notacme.com", "bob@acme.com.evil.org", "bob@acme.co"] {
        assert_eq!(gate.code(&[(EMAIL_HEADER, other)]), Code::IdentityNotAllowed, "{other}");
    }
    assert_eq!(gate.ask(&[]), Ok(CallerIdentity::Unknown));
}

#[test]
fn a_jwt_counts_and_a_header_that_differs_is_refused() {
    let signer = Signer::ec(1);
    let gate = Gate::new(wire::Identity { header: true, ..by_jwt(&signer) });
    let token = signer.issue(&alice());
    let both = |email| gate.ask(&[(TOKEN_HEADER, &token), (EMAIL_HEADER, email)]);
    assert_eq!(both("ALICE@acme.com"), claimed("alice@acme.com", IdentityClaim::Jwt));
    assert_eq!(both("bob@acme.com").unwrap_err().code, Code::InvalidIdentity);
    assert_eq!(both("nonsense").unwrap_err().code, Code::InvalidIdentity);
    assert_eq!(gate.code(&[(TOKEN_HEADER, "x"), (EMAIL_HEADER, "alice@acme.com")]), Code::InvalidUserToken);
    assert_eq!(gate.code(&[(TOKEN_HEADER, &token), (TOKEN_HEADER, &token)]), Code::InvalidIdentity);
    assert_eq!(gate.ask(&[(EMAIL_HEADER, "bob@acme.com")]), claimed("bob@acme.com", IdentityClaim::Header));
}

#[test]
fn each_algorithm_verifies_with_or_without_a_scheme() {
    for signer in [Signer::rsa(), Signer::ec(1), Signer::ed(1)] {
        let gate = Gate::new(by_jwt(&signer));
        let token = signer.issue(&alice());
        assert_eq!(gate.ask(&[(TOKEN_HEADER, &token)]), claimed("alice@acme.com", IdentityClaim::Jwt));
        let bearer = format!("Bearer {token}");
        assert_eq!(gate.ask(&[(TOKEN_HEADER, &bearer)]), claimed("alice@acme.com", IdentityClaim::Jwt));
        let other = Gate::new(by_jwt(&Signer::ec(9)));
        other.ask(&[(TOKEN_HEADER, &token)]).unwrap_err();
    }
}

#[test]
fn a_token_lasts_from_its_beginning_to_its_end_with_a_minutes_leeway() {
    let signer = Signer::ed(1);
    let mut gate = Gate::new(by_jwt(&signer));
    let fails = |gate: &Gate, changes| gate.refused(&signer.issue(&with(changes)));
    assert_eq!(fails(&gate, json!({"exp": NOW - 60})), "it has expired.");
    assert_eq!(fails(&gate, json!({"exp": null})), "it has no expiration.");
    assert_eq!(fails(&gate, json!({"nbf": NOW + 61})), "it is not valid yet.");
    assert_eq!(fails(&gate, json!({"iat": NOW + 61})), "it is not valid yet.");
    for wrong in [json!({"exp": "soon"}), json!({"nbf": "now"}), json!({"iat": {}})] {
        assert!(fails(&gate, wrong).contains("of a wrong type"));
    }
    for good in [
        json!({"exp": NOW - 59}),
        json!({"nbf": NOW + 60}),
        json!({"exp": NOW as f64 + 0.5}),
        json!({"iat": null}),
    ] {
        gate.ask(&[(TOKEN_HEADER, &signer.issue(&with(good)))]).unwrap();
    }
    let token = signer.issue(&alice());
    gate.ask(&[(TOKEN_HEADER, &token)]).unwrap();
    gate.place = FixedWorld::at((NOW + 360) * 1000 - 1, "192.0.2.1");
    gate.ask(&[(TOKEN_HEADER, &token)]).unwrap();
    gate.place = FixedWorld::at((NOW + 360) * 1000, "192.0.2.1");
    assert_eq!(gate.refused(&token), "it has expired.", "also where it was verified before");
}

#[test]
fn issuer_and_party_must_be_accepted_where_the_app_says_so() {
    let signer = Signer::ec(1);
    let gate = Gate::new(by_jwt(&signer));
    let ask = |changes| gate.ask(&[(TOKEN_HEADER, &signer.issue(&with(changes)))]);
    let refused = |changes| gate.refused(&signer.issue(&with(changes)));
    assert_eq!(refused(json!({"iss": "https://id.acme.com/"})), "the app does not accept its issuer.");
    assert_eq!(refused(json!({"iss": null})), "the app does not accept its issuer.");
    let party = "the app does not accept the party that it was issued to.";
    assert_eq!(refused(json!({"azp": null})), party);
    assert_eq!(refused(json!({"azp": "other", "client_id": "chat"})), party, "azp counts where there is one");
    assert_eq!(refused(json!({"azp": null, "aud": "chat"})), party);
    ask(json!({"azp": null, "client_id": "cli"})).unwrap();
    assert!(refused(json!({"azp": ["chat"]})).contains("of a wrong type"));

    let any = wire::Jwt { issuers: None, parties: None, ..jwt(vec![signer.public("k")]) };
    let any = Gate::new(wire::Identity { jwt: Some(any), ..wire::Identity::default() });
    any.ask(&[(TOKEN_HEADER, &signer.issue(&with(json!({"iss": null, "azp": null}))))]).unwrap();
}

#[test]
fn one_audience_must_be_accepted_where_the_app_says_so() {
    let signer = Signer::ec(1);
    let only = wire::Jwt { audiences: names(&["gw", "gw2"]), ..jwt(vec![signer.public("k")]) };
    let gate = Gate::new(wire::Identity { jwt: Some(only), ..wire::Identity::default() });
    for good in [json!("gw"), json!(["gw"]), json!(["wiki", "gw2"])] {
        gate.ask(&[(TOKEN_HEADER, &signer.issue(&with(json!({"aud": good}))))]).unwrap();
    }
    let refused = |aud| gate.refused(&signer.issue(&with(json!({"aud": aud}))));
    for other in [
        json!("wiki"),
        json!(["account", "wiki"]),
        json!([]),
        json!("GW"),
        json!("gw,gw2"),
        json!(""),
        json!(null),
    ] {
        assert_eq!(refused(other.clone()), "it is not for an audience that the app accepts.", "{other}");
    }
    for odd in [json!(7), json!({"gw": true}), json!(["gw", 7])] {
        assert!(refused(odd.clone()).contains("of a wrong type"), "{odd}");
    }
    let id_token = signer.issue(&with(json!({"aud": "wiki", "typ": "ID"})));
    assert_eq!(gate.refused(&id_token), "it is not for an audience that the app accepts.");
    let any = Gate::new(by_jwt(&signer));
    any.ask(&[(TOKEN_HEADER, &id_token)]).unwrap();
}

#[test]
fn tokens_of_people_in_many_groups_are_read_up_to_what_envoy_takes() {
    let signer = Signer::ec(1);
    let gate = Gate::new(by_jwt(&signer));
    let groups = |count: usize| {
        let groups: Vec<_> = (0..count).map(|n| format!("00000000-0000-0000-0000-{n:012}")).collect();
        signer.issue(&with(json!({"groups": groups})))
    };
    for count in [160, 400, 600] {
        let token = groups(count);
        assert_eq!(
            gate.ask(&[(TOKEN_HEADER, &token)]),
            claimed("alice@acme.com", IdentityClaim::Jwt),
            "{}",
            token.len()
        );
    }
    assert_eq!(gate.refused(&groups(700)), "it is longer than 32768 bytes.");
}

#[test]
fn the_address_is_in_the_claim_that_the_app_names_and_verified() {
    let signer = Signer::ec(1);
    let gate = Gate::new(by_jwt(&signer));
    let refused = |changes| gate.refused(&signer.issue(&with(changes)));
    for wrong in [json!(null), json!("alice"), json!(["a@acme.com"]), json!(7)] {
        assert_eq!(refused(json!({"email": wrong})), "it has no plausible email address.");
    }
    for wrong in [json!(false), json!("false"), json!(0), json!([])] {
        assert_eq!(refused(json!({"email_verified": wrong})), "its email address is not verified.");
    }
    for good in [json!(true), json!("true")] {
        gate.ask(&[(TOKEN_HEADER, &signer.issue(&with(json!({"email_verified": good}))))]).unwrap();
    }
    let upn = wire::Jwt { email_claim: "upn".to_owned(), ..jwt(vec![signer.public("k")]) };
    let upn = Gate::new(wire::Identity { jwt: Some(upn), ..wire::Identity::default() });
    let token = signer.issue(&with(json!({"upn": "a.lice@acme.com"})));
    assert_eq!(upn.ask(&[(TOKEN_HEADER, &token)]), claimed("a.lice@acme.com", IdentityClaim::Jwt));
}

#[test]
fn a_kid_chooses_among_keys_and_a_key_without_one_is_always_tried() {
    let (one, two) = (Signer::ec(1), Signer::ec(2));
    let named = |keys: Vec<wire::JwtKey>| {
        Gate::new(wire::Identity { jwt: Some(jwt(keys)), ..wire::Identity::default() })
    };
    let gate = named(vec![one.public("one"), two.public("two")]);
    let token = |kid: &str| {
        let header =
            if kid.is_empty() { json!({"alg": "ES256"}) } else { json!({"alg": "ES256", "kid": kid}) };
        two.sign(&header.to_string(), &alice().to_string())
    };
    gate.ask(&[(TOKEN_HEADER, &token("two"))]).unwrap();
    gate.ask(&[(TOKEN_HEADER, &token(""))]).unwrap();
    assert_eq!(gate.refused(&token("one")), "its signature is wrong.");
    assert_eq!(gate.refused(&token("three")), "the app has no key of its kid and algorithm.");
    named(vec![two.public("")]).ask(&[(TOKEN_HEADER, &token("three"))]).unwrap();
    let none = named(vec![]);
    assert_eq!(none.refused(&token("")), "the app has no key of its kid and algorithm.");
}

#[test]
fn a_token_is_verified_once_and_again_by_another_policy() {
    let signer = Signer::ec(1);
    let mut gate = Gate::new(by_jwt(&signer));
    let token = signer.issue(&alice());
    gate.ask(&[(TOKEN_HEADER, &token)]).unwrap();
    gate.ask(&[(TOKEN_HEADER, &token)]).unwrap();
    assert_eq!(gate.verified.len(), 1);
    let changed = Gate::new(by_jwt(&Signer::ec(2)));
    gate.app = changed.app;
    assert_eq!(gate.refused(&token), "its signature is wrong.", "the key is no longer the app's");
}

#[test]
fn what_is_kept_of_tokens_is_bounded_and_those_in_use_stay() {
    let signer = Signer::ed(1);
    let gate = Gate::new(by_jwt(&signer));
    let used = signer.issue(&alice());
    for number in 0..4 * KEPT {
        gate.ask(&[(TOKEN_HEADER, &used)]).unwrap();
        gate.ask(&[(TOKEN_HEADER, &signer.issue(&with(json!({"jti": number}))))]).unwrap();
        assert!(gate.verified.len() <= 2 * KEPT, "{}", gate.verified.len());
    }
    let kept = gate.verified.len();
    gate.ask(&[(TOKEN_HEADER, &used)]).unwrap();
    assert_eq!(gate.verified.len(), kept);
}

#[test]
fn what_is_refused_is_remembered_apart_until_the_policy_changes() {
    let signer = Signer::ed(1);
    let mut gate = Gate::new(by_jwt(&signer));
    let used = signer.issue(&alice());
    gate.ask(&[(TOKEN_HEADER, &used)]).unwrap();
    let forged = Signer::ed(2).issue(&alice());
    for _ in 0..2 {
        assert_eq!(gate.refused(&forged), "its signature is wrong.");
        assert_eq!(gate.refused(&signer.issue(&with(json!({"exp": NOW - 100})))), "it has expired.");
    }
    assert_eq!((gate.verified.len(), gate.verified.refusals()), (1, 2));
    for number in 0..3 * KEPT {
        gate.refused(&Signer::ed(2).issue(&with(json!({"jti": number}))));
        assert!(gate.verified.refusals() <= 2 * KEPT, "{}", gate.verified.refusals());
    }
    assert_eq!(gate.verified.len(), 1, "those in use are not pushed out");
    let other = Gate::new(by_jwt(&Signer::ed(2)));
    gate.app = other.app;
    gate.ask(&[(TOKEN_HEADER, &forged)]).unwrap();
}

#[test]
fn what_may_change_by_itself_is_not_remembered() {
    let signer = Signer::ed(1);
    let mut gate = Gate::new(by_jwt(&signer));
    let early = signer.issue(&with(json!({"nbf": NOW + 100})));
    assert_eq!(gate.refused(&early), "it is not valid yet.");
    gate.refused("x");
    assert_eq!(gate.verified.refusals(), 0);
    gate.place = FixedWorld::at((NOW + 40) * 1000, "192.0.2.1");
    gate.ask(&[(TOKEN_HEADER, &early)]).unwrap();
}

#[test]
fn an_rsa_key_that_is_too_long_is_passed_over_and_others_go_on() {
    let mut long = Signer::rsa().public("long");
    // Another length of the modulus: SEQUENCE { INTEGER of 1,025 bytes, INTEGER 65537 }.
    let modulus = [&[0, 0xc1][..], &[0x55; 1022], &[0x57]].concat();
    let integer = [&[0x02, 0x82, 0x04, 0x01][..], &modulus].concat();
    let body = [&integer[..], &[0x02, 0x03, 1, 0, 1]].concat();
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    long.key = [&[0x30, 0x82, length[0], length[1]][..], &body].concat();
    assert!(super::rsa::is_too_long(&long.key));
    let signer = Signer::ec(1);
    let policy = jwt(vec![long, signer.public("k")]);
    let gate = Gate::new(wire::Identity { jwt: Some(policy), ..wire::Identity::default() });
    gate.ask(&[(TOKEN_HEADER, &signer.issue(&alice()))]).unwrap();
    let token = Signer::rsa().sign(r#"{"alg":"RS256","kid":"long"}"#, &alice().to_string());
    assert_eq!(gate.refused(&token), "the app has no key of its kid and algorithm.");
}
