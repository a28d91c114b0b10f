use std::time::Duration;

use axum::http::StatusCode;

use super::browser::{Browser, PASSWORD};
use crate::support::{Test, on_both};

async fn guess(test: &Test, from: &'static str, email: &str) -> StatusCode {
    Browser::at(from).try_sign_in(test, email, "wrong horse battery").await.status
}

on_both! {
    async fn guesses_at_an_account_wait_longer_and_longer(test: Test) {
        test.local("alice@acme.com").await;
        // From an address each, so that only the account is counted.
        let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"];
        for (email, known) in [("alice@acme.com", true), ("nobody@acme.com", false)] {
            for from in addresses {
                assert_eq!(guess(&test, from, email).await, 401, "{email}");
            }
            for wait in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
                let held_up = Browser::at("192.0.2.7").try_sign_in(&test, email, PASSWORD).await;
                assert_eq!(held_up.headers["retry-after"], wait.to_string());
                assert_eq!(held_up.refused(429).0, "too_many_attempts", "the right password waits as well");
                test.clock.advance(Duration::from_secs(wait));
                assert_eq!(guess(&test, "192.0.2.7", email).await, 401, "{email}");
            }
            test.clock.advance(Duration::from_secs(120));
            let right = Browser::at("192.0.2.7").try_sign_in(&test, email, PASSWORD).await;
            assert_eq!(right.status, if known { 200 } else { 401 });
        }
    }
}

on_both! {
    async fn a_success_is_a_new_start(test: Test) {
        test.local("alice@acme.com").await;
        for _ in 0..3 {
            for _ in 0..5 {
                assert_eq!(guess(&test, "192.0.2.1", "alice@acme.com").await, 401);
            }
            Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        }
    }
}

on_both! {
    async fn strangers_do_not_hold_up_who_was_here_before(test: Test) {
        test.local("alice@acme.com").await;
        Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        for _ in 0..6 {
            assert_eq!(guess(&test, "203.0.113.9", "alice@acme.com").await, 401);
        }
        assert_eq!(guess(&test, "203.0.113.10", "alice@acme.com").await, 429);
        Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        for _ in 0..6 {
            assert_eq!(guess(&test, "192.0.2.1", "alice@acme.com").await, 401);
        }
        assert_eq!(guess(&test, "192.0.2.1", "alice@acme.com").await, 429, "yet they may not guess for ever");
    }
}

on_both! {
    async fn an_address_that_tries_many_accounts_is_held_up(test: Test) {
        test.local("alice@acme.com").await;
        for number in 0..21 {
            assert_eq!(guess(&test, "2001:db8::1", &format!("user{number}@acme.com")).await, 401);
        }
        assert_eq!(guess(&test, "2001:db8::2", "other@acme.com").await, 429, "its whole network");
        assert_eq!(guess(&test, "2001:db8:0:1::1", "other@acme.com").await, 401, "not the next one");
        test.clock.advance(Duration::from_secs(1));
        Browser::sign_in(&test, "2001:db8::1", "alice@acme.com").await;
        assert_eq!(guess(&test, "2001:db8::1", "alice@acme.com").await, 401);
        assert_eq!(guess(&test, "2001:db8::1", "alice@acme.com").await, 429, "a success excuses no one else's");
    }
}

on_both! {
    async fn many_guesses_at_once_are_no_way_around(test: Test) {
        test.local("alice@acme.com").await;
        let guesses = (0..12).map(|_| guess(&test, "192.0.2.1", "alice@acme.com"));
        let answers = futures::future::join_all(guesses).await;
        let looked_at = answers.iter().filter(|status| **status == 401).count();
        assert_eq!(looked_at, 6, "{answers:?}");
    }
}
