//! What the host is asked about signatures, and how its answer is taken.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use ::rsa::signature::Verifier as _;
use p256::pkcs8::DecodePublicKey as _;

use super::*;
use crate::snapshot::UnixMs;

/// Answers as a library for TLS does, or always alike.
#[derive(Default)]
struct Host {
    asked: Cell<usize>,
    wrong: RefCell<Vec<String>>,
    answers: Option<Option<bool>>,
}

impl World for Host {
    fn now(&self) -> UnixMs {
        UnixMs(NOW * 1000)
    }

    fn client_address(&self) -> Option<IpAddr> {
        None
    }

    fn verify_signature(&self, check: SignatureCheck<'_>) -> Option<bool> {
        self.asked.set(self.asked.get() + 1);
        if let Some(answer) = self.answers {
            return answer;
        }
        let SignatureCheck { public_key, signature, message } = check;
        if let Ok(key) = ::rsa::RsaPublicKey::from_public_key_der(public_key) {
            let key = ::rsa::pkcs1v15::VerifyingKey::<::rsa::sha2::Sha256>::new(key);
            let signature = ::rsa::pkcs1v15::Signature::try_from(signature);
            return Some(signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()));
        }
        let (Ok(key), Ok(signature)) = (
            p256::ecdsa::VerifyingKey::from_public_key_der(public_key),
            p256::ecdsa::Signature::from_der(signature),
        ) else {
            self.wrong.borrow_mut().push(format!("{check:?}"));
            return None;
        };
        Some(key.verify(message, &signature).is_ok())
    }
}

fn ask(host: &Host, signer: &Signer, token: &str) -> bool {
    let gate = Gate::new(by_jwt(signer));
    let headers = [(TOKEN_HEADER.to_owned(), token.as_bytes().to_vec())];
    let record = KeyRecord::try_from(testing::app_key_record()).unwrap();
    identify(Headers(&headers), &gate.app, &record, &gate.verified, host).is_ok()
}

fn wrong(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{first}{}", &signature[1..])
}

#[test]
fn the_host_checks_rsa_and_ecdsa_and_its_word_counts() {
    for (signer, times) in [(Signer::rsa(), 1), (Signer::ec(1), 1), (Signer::ed(1), 0)] {
        let token = signer.issue(&alice());
        let host = Host::default();
        assert!(ask(&host, &signer, &token));
        assert!(!ask(&host, &signer, &wrong(&token)));
        assert_eq!((host.asked.get(), host.wrong.take()), (2 * times, vec![]), "{}", signer.algorithm());

        let answering = |answer| Host { answers: Some(answer), ..Host::default() };
        for (answer, token, accepted) in [
            (Some(false), token.clone(), times == 0),
            (Some(true), wrong(&token), times == 1),
            (None, token.clone(), true),
            (None, wrong(&token), false),
        ] {
            assert_eq!(ask(&answering(answer), &signer, &token), accepted, "{answer:?} {token}");
        }
    }
}

#[test]
fn the_host_is_not_asked_about_what_can_be_no_signature() {
    for signer in [Signer::rsa(), Signer::ec(1)] {
        let head = json!({"alg": signer.algorithm(), "kid": "k"}).to_string();
        let signed = unsigned(&head, &alice().to_string());
        let good = signer.signature(&signed);
        let host = Host { answers: Some(Some(true)), ..Host::default() };
        let mut no_signatures = vec![vec![], good[1..].to_vec(), [&[0], &good[..]].concat()];
        if matches!(signer, Signer::Ec(_)) {
            no_signatures.push(vec![0; 64]);
        }
        for signature in no_signatures {
            let token = format!("{signed}.{}", attacks::encode(&signature));
            assert!(!ask(&host, &signer, &token), "{token}");
        }
        assert_eq!(host.asked.get(), 0);
    }
}
