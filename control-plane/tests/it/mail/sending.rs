//! When email is sent again, and when not.

use std::time::{Duration, Instant};

use latchkey::leases::SeenLeases;
use latchkey_service::action::webhooks::messages::{Mailing, give_events};
use serde_json::json;

use super::server::{Answer, ReceivedMail, SmtpReceiver};
use super::{app, budget, choose, happen, key, mailer, person, recipients, states, with_mail};
use crate::support::{Test, id, on_both};

const HOUR: Duration = Duration::from_secs(3600);

/// Somebody with a key.
struct KeyOwner {
    user: String,
    app: String,
    key: String,
}

impl KeyOwner {
    async fn new(test: &Test) -> Self {
        let app = app(test).await;
        let user = test.user("alice@acme.com").await;
        let key = key(test, &app, &user).await;
        Self { user, app: id(&app), key }
    }

    /// Something happens that they are told of.
    async fn is_told(&self, test: &Test) {
        happen(test, "quota.exceeded", &self.app, &self.key, budget()).await;
    }
}

async fn error(test: &Test) -> String {
    test.column("SELECT error FROM mails ORDER BY id DESC LIMIT 1").await.remove(0)
}

fn ids(mails: &[ReceivedMail]) -> Vec<String> {
    mails.iter().map(|mail| mail.header("Message-ID")).collect()
}

on_both! {
    async fn what_is_refused_for_now_is_sent_again_the_same(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        let mailer = mailer(&test, &server);
        server.answer(&[Answer::Say("451 4.7.1 greylisted"), Answer::Vanish]);
        mailer.send_due().await.unwrap();
        assert_eq!((states(&test).await, error(&test).await), (vec!["pending".to_owned()], "the server responded with 451: 4.7.1 greylisted".to_owned()));
        // Not before it is due.
        test.clock.advance(Duration::from_millis(9_999));
        mailer.send_due().await.unwrap();
        let first = server.take();
        assert_eq!(first.len(), 1);
        // Taken or not: the server was gone before it said so.
        test.clock.advance(Duration::from_secs(3));
        mailer.send_due().await.unwrap();
        assert_eq!(states(&test).await, ["pending"]);
        test.clock.advance(Duration::from_secs(75));
        mailer.send_due().await.unwrap();
        let again = server.take();
        assert_eq!((again.len(), states(&test).await, error(&test).await), (2, vec!["sent".to_owned()], String::new()));
        assert!(again.iter().all(|mail| mail.text == first[0].text), "{} {}", again[0].text, first[0].text);
        assert_eq!(ids(&again), ids(&[first[0].clone(), first[0].clone()]));
        assert_eq!(test.column("SELECT CAST(attempts AS TEXT) FROM mails").await, ["3"]);
    }
}

on_both! {
    async fn what_is_refused_for_good_is_not_sent_again(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        let mailer = mailer(&test, &server);
        server.answer(&[Answer::RefuseRecipient("550 5.1.1 no such user")]);
        mailer.send_due().await.unwrap();
        assert_eq!((states(&test).await, error(&test).await), (vec!["failed".to_owned()], "the server responded with 550: 5.1.1 no such user".to_owned()));
        test.clock.advance(48 * HOUR);
        assert_eq!(recipients(&mailer, &server).await, [""; 0]);
    }
}

on_both! {
    async fn a_refused_account_is_no_reason_to_lose_mail(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        server.answer(&[Answer::RefuseRecipient("530 5.7.0 authentication required")]);
        let mailer = mailer(&test, &server);
        mailer.send_due().await.unwrap();
        assert_eq!(states(&test).await, ["pending"]);
        test.clock.advance(Duration::from_secs(12));
        assert_eq!(recipients(&mailer, &server).await, ["alice@acme.com"]);
    }
}

on_both! {
    async fn a_server_that_is_away_is_tried_for_a_day_and_no_longer(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        let nobody = server.elsewhere("127.0.0.1:1");
        let mailer = mailer(&test, &nobody);
        let mut attempts = 0;
        while attempts == 0 || states(&test).await == ["pending"] {
            mailer.send_due().await.unwrap();
            attempts += 1;
            assert!(error(&test).await.contains("refused"), "{}", error(&test).await);
            test.clock.advance(HOUR / 60);
        }
        let waited = test.world.now().as_second() - crate::support::START_MS / 1_000;
        assert!((24 * 3_600..31 * 3_600).contains(&waited), "{waited}");
        assert_eq!(states(&test).await, ["failed"]);
        let tried = test.column("SELECT CAST(attempts AS TEXT) FROM mails").await;
        assert_eq!(tried, ["11"], "in {attempts} looks");
    }
}

on_both! {
    async fn replicas_send_each_mail_once_and_a_dead_one_is_taken_over(test: Test) {
        let server = SmtpReceiver::start().await;
        let owner = KeyOwner::new(&test).await;
        for _ in 0..12 {
            owner.is_told(&test).await;
        }
        let workers = [mailer(&test, &server), mailer(&test, &server), mailer(&test, &server)];
        let [a, b, c] = &workers;
        let (a, b, c) = tokio::join!(a.send_due(), b.send_due(), c.send_due());
        a.and(b).and(c).unwrap();
        let received = server.take();
        let mut ids = ids(&received);
        ids.sort();
        ids.dedup();
        assert_eq!((received.len(), ids.len()), (12, 12));

        // One dies while it sends.
        owner.is_told(&test).await;
        server.answer(&[Answer::Hang]);
        let dying = workers[0].clone();
        let dying = tokio::spawn(async move { dying.send_due().await });
        let first = async {
            loop {
                if let Some(mail) = server.take().pop() {
                    return mail;
                }
                tokio::task::yield_now().await;
            }
        };
        let first = tokio::time::timeout(Duration::from_secs(60), first).await.expect("it is sent");
        dying.abort();
        let (now, mut seen) = (Instant::now(), SeenLeases::default());
        let other = &workers[1];
        for (seconds, taken_over) in [(0, 0), (19, 0), (20, 1)] {
            other.watch_leases(&mut seen, now + Duration::from_secs(seconds)).await.unwrap();
            other.send_due().await.unwrap();
            let again = server.take();
            assert_eq!(again.len(), taken_over, "after {seconds} s");
            assert!(again.iter().all(|mail| mail.text == first.text));
        }
    }
}

on_both! {
    async fn a_clock_that_is_set_back_delays_nothing(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        server.answer(&[Answer::Say("451 later")]);
        let mailer = mailer(&test, &server);
        mailer.send_due().await.unwrap();
        test.sql(&[format!("UPDATE mails SET next_at = next_at + {}", 365_i64 * 86_400_000)]).await;
        server.take();
        assert_eq!(recipients(&mailer, &server).await, ["alice@acme.com"]);
    }
}

on_both! {
    async fn what_is_old_is_not_told_any_more(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        let nobody = server.elsewhere("127.0.0.1:1");
        mailer(&test, &nobody).send_due().await.unwrap();
        // While email is not set up.
        test.clock.advance(7 * 24 * HOUR + Duration::from_millis(1));
        assert_eq!(recipients(&mailer(&test, &server), &server).await, [""; 0]);
        assert_eq!(states(&test).await, ["dropped"]);
    }
}

on_both! {
    async fn what_cannot_be_read_holds_up_nothing_else(test: Test) {
        let server = SmtpReceiver::start().await;
        let owner = KeyOwner::new(&test).await;
        let damage = async || test.sql(&["UPDATE users SET role = 'damaged' WHERE email = 'alice@acme.com'".to_owned()]).await;
        let mend = async || test.sql(&["UPDATE users SET role = 'user' WHERE email = 'alice@acme.com'".to_owned()]).await;
        damage().await;
        owner.is_told(&test).await;
        let mailer = mailer(&test, &server);
        assert_eq!(recipients(&mailer, &server).await, [""; 0]);
        mend().await;
        owner.is_told(&test).await;
        assert_eq!(recipients(&mailer, &server).await, ["alice@acme.com"]);
        // Choices that cannot be read are the defaults.
        test.sql(&["INSERT INTO mail_preferences SELECT id, 'damaged' FROM users".to_owned()]).await;
        owner.is_told(&test).await;
        assert_eq!(recipients(&mailer, &server).await, ["alice@acme.com"]);
        // Damaged between its first attempt and its second.
        server.answer(&[Answer::Say("451 later")]);
        owner.is_told(&test).await;
        assert_eq!(recipients(&mailer, &server).await.len(), 1);
        damage().await;
        test.clock.advance(HOUR);
        assert_eq!((recipients(&mailer, &server).await.len(), states(&test).await), (0, ["sent", "sent", "failed"].map(str::to_owned).to_vec()));
    }
}

on_both! {
    async fn what_is_over_goes_after_a_month_and_its_events_stay_told(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        let mailer = mailer(&test, &server);
        assert_eq!(recipients(&mailer, &server).await.len(), 1);
        let events = async || test.column("SELECT CAST(COUNT(*) AS TEXT) FROM mail_events").await;
        let forget = async || {
            let before = test.world.now().checked_sub(jiff::SignedDuration::from_hours(30 * 24)).unwrap();
            test.store.forget_mails(before, 100).await.unwrap()
        };
        test.clock.advance(30 * 24 * HOUR);
        assert_eq!((forget().await, events().await), (0, vec!["1".to_owned()]));
        test.clock.advance(HOUR);
        assert_eq!((forget().await, events().await), (1, vec!["0".to_owned()]));
        assert_eq!(recipients(&mailer, &server).await, [""; 0]);
    }
}

on_both! {
    async fn what_nobody_sends_any_more_goes_after_a_month(test: Test) {
        let server = SmtpReceiver::start().await;
        let owner = KeyOwner::new(&test).await;
        owner.is_told(&test).await;
        let nobody = server.elsewhere("127.0.0.1:1");
        mailer(&test, &nobody).send_due().await.unwrap();
        choose(&test, &owner.user, json!({"budgets": "daily"})).await;
        owner.is_told(&test).await;
        while give_events(&test.store, &test.world, Mailing::On).await.unwrap() > 0 {}
        let left = async || test.column("SELECT (SELECT COUNT(*) FROM mails) || ' ' || (SELECT COUNT(*) FROM mail_events)").await.remove(0);
        // Email is not set up any more.
        for (days, is_left) in [(29, "1 2"), (3, "0 0")] {
            test.clock.advance(24 * days * HOUR);
            let before = test.world.now().checked_sub(jiff::SignedDuration::from_hours(30 * 24)).unwrap();
            test.store.forget_mails(before, 100).await.unwrap();
            test.store.forget_untold(before, 100).await.unwrap();
            assert_eq!(left().await, is_left, "after {days} days more");
        }
    }
}

on_both! {
    async fn what_was_taken_is_sent_though_the_server_says_no_goodbye(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        server.answer(&[Answer::NoGoodbye]);
        assert_eq!(recipients(&mailer(&test, &server), &server).await, ["alice@acme.com"]);
        assert_eq!(states(&test).await, ["sent"]);
    }
}

on_both! {
    async fn what_is_about_the_sender_is_sent_again(test: Test) {
        let server = SmtpReceiver::start().await;
        KeyOwner::new(&test).await.is_told(&test).await;
        let mailer = mailer(&test, &server);
        for answer in [Answer::Greet("554 5.7.1 client host blocked"), Answer::RefuseSender("550 5.7.60 not permitted to send as"), Answer::RefuseRecipient("550 5.7.1 relaying denied"), Answer::Say("554 5.7.1 looks like spam")] {
            server.answer(&[answer]);
            mailer.send_due().await.unwrap();
            assert_eq!(states(&test).await, ["pending"], "{}", error(&test).await);
            server.take();
            test.clock.advance(HOUR);
        }
        assert_eq!(recipients(&mailer, &server).await, ["alice@acme.com"]);
    }
}

on_both! {
    async fn admins_see_how_it_is_doing(test: Test) {
        let server = SmtpReceiver::start().await;
        let status = async |test: &Test| test.get("/email").await.expect(axum::http::StatusCode::OK);
        let unset = status(&test).await;
        assert_eq!((&unset["configured"], &unset["server"], &unset["sent_at"]), (&json!(false), &json!(null), &json!(null)));
        let test = with_mail(test, &server);
        person(&test, "ada@acme.com", "admin").await;
        let owner = KeyOwner::new(&test).await;
        server.answer(&[Answer::Say("451 later"), Answer::RefuseRecipient("550 no")]);
        owner.is_told(&test).await;
        mailer(&test, &server).send_due().await.unwrap();
        test.clock.advance(Duration::from_secs(1));
        owner.is_told(&test).await;
        mailer(&test, &server).send_due().await.unwrap();
        test.clock.advance(Duration::from_secs(1));
        owner.is_told(&test).await;
        mailer(&test, &server).send_due().await.unwrap();
        let now = status(&test).await;
        assert_eq!(
            now,
            json!({"configured": true, "server": server.address, "from": "Latchkey <latchkey@acme.com>", "pending": 1,
                "waiting_for_digest": 0, "failed": 1, "sent_at": "2026-01-01T00:00:02Z",
                "last_failure": {"at": "2026-01-01T00:00:01Z", "error": "the server responded with 550: no"}})
        );
    }
}
