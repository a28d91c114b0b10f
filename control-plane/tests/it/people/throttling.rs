use std::time::Duration;

use axum::http::StatusCode;

use serde_json::json;

use super::browser::{Browser, PASSWORD};
use crate::support::{Test, on_both};

async fn guess(test: &Test, from: &'static str, email: &str) -> StatusCode {
    Browser::at(from).try_sign_in(test, email, "wrong horse battery").await.status
}

on_both! {
    async fn a_guesser_waits_longer_and_longer_and_others_do_not(test: Test) {
        test.local("alice@acme.com").await;
        for (email, known) in [("alice@acme.com", true), ("nobody@acme.com", false)] {
            for _ in 0..6 {
                assert_eq!(guess(&test, "192.0.2.7", email).await, 401, "{email}");
            }
            for wait in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
                let held_up = Browser::at("192.0.2.7").try_sign_in(&test, email, PASSWORD).await;
                assert_eq!(held_up.headers["retry-after"], wait.to_string());
                assert_eq!(held_up.refused(429).0, "too_many_attempts", "the right password waits as well");
                test.clock.advance(Duration::from_secs(wait));
                assert_eq!(guess(&test, "192.0.2.7", email).await, 401, "{email}");
            }
            let elsewhere = Browser::at("198.51.100.1").try_sign_in(&test, email, PASSWORD).await;
            assert_eq!(elsewhere.status, if known { 200 } else { 401 }, "another address is not held up");
            test.clock.advance(Duration::from_secs(120));
            let right = Browser::at("192.0.2.7").try_sign_in(&test, email, PASSWORD).await;
            assert_eq!(right.status, if known { 200 } else { 401 });
        }
    }
}

on_both! {
    async fn guesses_from_many_addresses_wait_too(test: Test) {
        test.local("alice@acme.com").await;
        test.local("bob@acme.com").await;
        Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        const FROM: [&str; 26] = [
            "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4", "198.51.100.5", "198.51.100.6",
            "198.51.100.7", "198.51.100.8", "198.51.100.9", "198.51.100.10", "198.51.100.11", "198.51.100.12",
            "198.51.100.13", "198.51.100.14", "198.51.100.15", "198.51.100.16", "198.51.100.17", "198.51.100.18",
            "198.51.100.19", "198.51.100.20", "198.51.100.21", "198.51.100.22", "198.51.100.23", "198.51.100.24",
            "198.51.100.25", "198.51.100.26",
        ];
        for from in &FROM[..25] {
            for _ in 0..4 {
                assert_eq!(guess(&test, from, "alice@acme.com").await, 401);
            }
        }
        assert_eq!(guess(&test, FROM[25], "alice@acme.com").await, 401);
        assert_eq!(guess(&test, FROM[25], "alice@acme.com").await, 429);
        Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        Browser::sign_in(&test, FROM[25], "bob@acme.com").await;
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
        assert_eq!(guess(&test, "203.0.113.9", "alice@acme.com").await, 429);
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

on_both! {
    async fn a_proxy_that_nobody_named_is_told_of(test: Test) {
        let forwarded = |from| Browser::at(from).with("x-forwarded-for", "203.0.113.9");
        assert_eq!(test.api.sign_in.forwarders.seen(), Vec::<std::net::IpAddr>::new());
        Browser::at("192.0.2.1").get(&test, "/me").await;
        forwarded("10.0.0.7").get(&test, "/me").await;
        assert_eq!(json!(test.api.sign_in.forwarders.seen()), json!(["10.0.0.7"]));
    }
}
