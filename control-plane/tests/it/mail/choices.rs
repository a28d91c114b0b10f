//! What people choose: at once, once a day, or never.

use std::time::Duration;

use axum::http::StatusCode;
use latchkey_service::action::webhooks::messages::{Mailing, give_events};
use serde_json::json;

use super::server::{Answer, SmtpReceiver};
use super::{app, budget, choose, happen, key, mailer, recipients, sent, states, with_mail};
use crate::support::{Test, id, on_both, pair};

const HOUR: Duration = Duration::from_secs(3600);

on_both! {
    async fn who_wants_none_gets_none_also_of_what_is_queued(test: Test) {
        let server = SmtpReceiver::start().await;
        let app = app(&test).await;
        let alice = test.user("alice@acme.com").await;
        let key = key(&test, &app, &alice).await;
        let mailer = mailer(&test, &server);
        choose(&test, &alice, json!({"budgets": "off"})).await;
        happen(&test, "quota.exceeded", &id(&app), &key, budget()).await;
        assert_eq!(recipients(&mailer, &server).await, [""; 0]);
        assert_eq!(states(&test).await, [""; 0]);
        // Other topics are not meant.
        happen(&test, "key.expiring", &id(&app), &key, json!({"days": 1, "expires_at": "2026-01-02T00:00:00Z"})).await;
        assert_eq!(recipients(&mailer, &server).await.len(), 1);
        // What waits for another attempt is not sent any more.
        choose(&test, &alice, json!({"budgets": "at_once"})).await;
        happen(&test, "quota.exceeded", &id(&app), &key, budget()).await;
        server.answer(&[Answer::Say("451 later")]);
        assert_eq!(recipients(&mailer, &server).await.len(), 1);
        choose(&test, &alice, json!({"budgets": "off"})).await;
        test.clock.advance(HOUR);
        assert_eq!((recipients(&mailer, &server).await.len(), states(&test).await), (0, vec!["sent".to_owned(), "dropped".to_owned()]));
        // As of who may not know of it any more.
        choose(&test, &alice, json!({"budgets": "at_once"})).await;
        happen(&test, "quota.exceeded", &id(&app), &key, budget()).await;
        server.answer(&[Answer::Say("451 later")]);
        assert_eq!(recipients(&mailer, &server).await.len(), 1);
        test.self_service(&app, json!({"access": {"viewer": {"mode": "disabled"}}})).await;
        test.clock.advance(HOUR);
        assert_eq!((recipients(&mailer, &server).await.len(), states(&test).await.pop().unwrap()), (0, "dropped".to_owned()));
    }
}

on_both! {
    async fn once_a_day_is_one_mail_at_eight(test: Test) {
        let server = SmtpReceiver::start().await;
        let app = app(&test).await;
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let (hers, his) = (key(&test, &app, &alice).await, key(&test, &app, &bob).await);
        let workers = [mailer(&test, &server), mailer(&test, &server)];
        for user in [&alice, &bob] {
            choose(&test, user, json!({"budgets": "daily", "expiring_keys": "daily"})).await;
        }
        happen(&test, "quota.threshold", &id(&app), &hers, budget()).await;
        happen(&test, "quota.exceeded", &id(&app), &hers, budget()).await;
        happen(&test, "quota.exceeded", &id(&app), &his, budget()).await;
        assert_eq!(recipients(&workers[0], &server).await, [""; 0]);
        test.clock.advance(8 * HOUR - Duration::from_millis(1));
        happen(&test, "key.expiring", &id(&app), &hers, json!({"days": 1, "expires_at": "2026-01-02T00:00:00Z"})).await;
        assert_eq!(recipients(&workers[0], &server).await, [""; 0]);
        test.clock.advance(Duration::from_millis(1));
        let (a, b) = tokio::join!(workers[0].send_due(), workers[1].send_due());
        a.and(b).unwrap();
        let mut mails = server.take();
        mails.sort_by_key(|mail| mail.recipients.clone());
        let [for_alice, for_bob] = mails.try_into().unwrap();
        assert_eq!((for_alice.recipients.join(""), for_alice.header("Subject")), ("alice@acme.com".to_owned(), "Latchkey daily digest: 3 notifications".to_owned()));
        assert_eq!((for_bob.recipients.join(""), for_bob.header("Subject")), ("bob@acme.com".to_owned(), "Latchkey daily digest: laptop of Support Bot: the budget is used up".to_owned()));
        let [text, html] = for_alice.parts();
        assert!(text.contains("== Budgets ==") && text.contains("== Expiring keys ==") && html.contains("80% of the budget is used"), "{text}");
        // The next day nothing is left, and what happens then is told the day after.
        happen(&test, "quota.exceeded", &id(&app), &hers, budget()).await;
        assert_eq!(recipients(&workers[0], &server).await, [""; 0]);
        test.clock.advance(24 * HOUR);
        assert_eq!(recipients(&workers[0], &server).await, ["alice@acme.com"]);
        test.clock.advance(24 * HOUR);
        assert_eq!(recipients(&workers[0], &server).await, [""; 0]);
    }
}

on_both! {
    async fn what_is_not_wanted_any_more_is_left_out_of_a_digest(test: Test) {
        let server = SmtpReceiver::start().await;
        let app = app(&test).await;
        let alice = test.user("alice@acme.com").await;
        let key = key(&test, &app, &alice).await;
        let mailer = mailer(&test, &server);
        choose(&test, &alice, json!({"budgets": "daily", "expiring_keys": "daily"})).await;
        happen(&test, "quota.exceeded", &id(&app), &key, budget()).await;
        happen(&test, "key.expiring", &id(&app), &key, json!({"days": 1, "expires_at": "2026-01-02T00:00:00Z"})).await;
        recipients(&mailer, &server).await;
        choose(&test, &alice, json!({"budgets": "off"})).await;
        test.clock.advance(8 * HOUR);
        let [(_, subject)] = sent(&mailer, &server).await.try_into().unwrap();
        assert_eq!(subject, "Latchkey daily digest: laptop of Support Bot: the key expires within a day");
    }
}

on_both! {
    async fn what_is_too_much_at_once_waits_for_the_digest(test: Test) {
        let server = SmtpReceiver::start().await;
        let app = app(&test).await;
        let key = key(&test, &app, &test.user("alice@acme.com").await).await;
        for _ in 0..53 {
            happen(&test, "quota.exceeded", &id(&app), &key, budget()).await;
        }
        while give_events(&test.store, &test.world, Mailing::On).await.unwrap() > 0 {}
        let mailer = mailer(&test, &server);
        assert_eq!(recipients(&mailer, &server).await.len(), 50);
        test.clock.advance(8 * HOUR);
        assert_eq!(sent(&mailer, &server).await, [("alice@acme.com".to_owned(), "Latchkey daily digest: 3 notifications".to_owned())]);
    }
}

on_both! {
    async fn what_a_digest_tells_is_found_behind_much_that_it_does_not(test: Test) {
        let server = SmtpReceiver::start().await;
        let app = app(&test).await;
        let alice = test.user("alice@acme.com").await;
        let key = key(&test, &app, &alice).await;
        let mailer = mailer(&test, &server);
        choose(&test, &alice, json!({"budgets": "daily", "expiring_keys": "daily"})).await;
        for _ in 0..201 {
            happen(&test, "quota.exceeded", &id(&app), &key, budget()).await;
        }
        let expires = json!({"days": 1, "expires_at": "2026-01-02T00:00:00Z"});
        for _ in 0..102 {
            happen(&test, "key.expiring", &id(&app), &key, expires.clone()).await;
        }
        recipients(&mailer, &server).await;
        choose(&test, &alice, json!({"budgets": "off"})).await;
        test.clock.advance(8 * HOUR);
        mailer.send_due().await.unwrap();
        let [mail] = server.take().try_into().unwrap();
        let [text, _] = mail.parts();
        assert_eq!(mail.header("Subject"), "Latchkey daily digest: 102 notifications");
        assert!(text.contains("2 more notifications are not shown.") && text.matches("expires within a day").count() == 100, "{text}");
    }
}

on_both! {
    async fn a_key_that_somebody_wrote_hides_nothing_else(test: Test) {
        let server = SmtpReceiver::start().await;
        let app = app(&test).await;
        let alice = test.user("alice@acme.com").await;
        let mailer = mailer(&test, &server);
        choose(&test, &alice, json!({"my_requests": "daily"})).await;
        for reason in ["%73k-quilr-0123456789abcdef", "for more"] {
            let data = json!({"requester_id": alice, "kind": "set_tags", "reason": reason});
            happen(&test, "change_request.approved", &id(&app), "", data).await;
        }
        recipients(&mailer, &server).await;
        test.clock.advance(8 * HOUR);
        mailer.send_due().await.unwrap();
        let [mail] = server.take().try_into().unwrap();
        for part in mail.parts() {
            assert!(!part.contains("quilr") && part.contains("[key]"), "{part}");
            assert!(part.contains("for more") && part.contains("/account#email"), "{part}");
        }
    }
}

on_both! {
    async fn preferences_are_ones_own_and_what_is_wrong_is_named(test: Test) {
        let server = SmtpReceiver::start().await;
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let (hers, his) = (test.token_of(&alice).await, test.token_of(&bob).await);
        let defaults = json!({"configured": false, "address": "alice@acme.com", "reachable": true, "budgets": "at_once",
            "expiring_keys": "at_once", "requests_to_decide": "at_once", "my_requests": "at_once", "webhooks": "at_once"});
        let read = async |token: &str| test.with(token, "GET", "/me/email", None).await.expect(StatusCode::OK);
        assert_eq!(read(&hers).await, defaults);
        for (edit, path) in [
            (json!({"budgets": "weekly"}), "budgets"),
            (json!({"budgets": null}), "budgets"),
            (json!({"address": "bob@acme.com"}), "address"),
        ] {
            let refused = test.with(&hers, "PATCH", "/me/email", Some(edit.clone())).await;
            assert_eq!(refused.refused(422), pair("invalid", path), "{edit}");
        }
        let changed = test.with(&hers, "PATCH", "/me/email", Some(json!({"budgets": "daily", "webhooks": "off"}))).await.expect(StatusCode::OK);
        let mut expected = defaults.clone();
        (expected["budgets"], expected["webhooks"]) = (json!("daily"), json!("off"));
        assert_eq!((&changed, read(&hers).await), (&expected, expected.clone()));
        // What changes nothing is nothing.
        test.with(&hers, "PATCH", "/me/email", Some(json!({"budgets": "daily"}))).await.expect(StatusCode::OK);
        let audited = test.audited_of(&alice).await;
        assert_eq!(audited.iter().filter(|action| *action == "user.email_preferences_updated").count(), 1);
        assert_eq!(read(&his).await["budgets"], "at_once");

        let sends = async |test: &Test, token: &str| test.with(token, "POST", "/me/email/test", None).await;
        assert_eq!(sends(&test, &hers).await.refused(409), pair("email_not_set_up", ""));
        let test = with_mail(test, &server);
        let made = sends(&test, &hers).await.expect(StatusCode::ACCEPTED);
        mailer(&test, &server).send_due().await.unwrap();
        let [mail] = server.take().try_into().unwrap();
        assert_eq!((mail.recipients.join(""), mail.header("Subject")), ("alice@acme.com".to_owned(), "Test email from Latchkey".to_owned()));
        assert_eq!(mail.header("Message-ID"), format!("<{}@acme.com>", made["message_id"].as_str().unwrap()));
        test.sql(&[format!("UPDATE users SET email = 'owner@localhost' WHERE id = '{bob}'")]).await;
        assert_eq!(sends(&test, &his).await.refused(409), pair("no_email_address", ""));
        assert_eq!(sends(&test, &hers).await.refused(409), pair("tested_just_now", ""));
        for _ in 0..50 {
            test.clock.advance(Duration::from_secs(60));
            sends(&test, &hers).await.expect(StatusCode::ACCEPTED);
        }
        test.clock.advance(Duration::from_secs(60));
        assert_eq!(sends(&test, &hers).await.refused(409), pair("too_many_pending", ""));
    }
}
