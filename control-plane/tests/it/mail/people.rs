//! Who gets email about what.

use axum::http::StatusCode;
use latchkey_core::limits::BucketKind::CostBudget;
use latchkey_core::limits::Budget;
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use serde_json::json;

use super::server::SmtpReceiver;
use super::{app, budget, happen, key, mailer, person, recipients, sent, states};
use crate::ledger::gateway::{self, ControlPlane, record};
use crate::support::{id, on_both};

on_both! {
    async fn a_threshold_is_told_to_the_keys_owner_once(test: Test) {
        let server = SmtpReceiver::start().await;
        let app = app(&test).await;
        person(&test, "boss@acme.com", "owner").await;
        let key = key(&test, &app, &test.user("alice@acme.com").await).await;
        happen(&test, "quota.threshold", &id(&app), &key, budget()).await;
        let mailer = mailer(&test, &server);
        mailer.send_due().await.unwrap();
        mailer.send_due().await.unwrap();
        let [mail] = server.take().try_into().unwrap();
        assert_eq!(mail.recipients, ["alice@acme.com"]);
        assert_eq!(mail.header("Subject"), "laptop of Support Bot: 80% of the budget is used");
        assert_eq!(mail.header("From"), "Latchkey <latchkey@acme.com>");
        assert_eq!(mail.header("To"), "alice@acme.com <alice@acme.com>");
        assert_eq!(mail.header("Date"), "Thu, 01 Jan 2026 00:00:00 +0000");
        assert_eq!(mail.header("Content-Language"), "en");
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert_eq!(mail.header("List-Unsubscribe"), "<https://keys.acme.com/account#email>");
        let [stored] = test.column("SELECT message_id FROM mails").await.try_into().unwrap();
        assert_eq!(mail.header("Message-ID"), format!("<{stored}@acme.com>"));
        let link = format!("https://keys.acme.com/apps/{}/keys/{key}", id(&app));
        let [text, html] = mail.parts();
        assert!(text.contains("80% of the budget of $10 per month: $8.12 used.") && text.contains(&link), "{text}");
        assert!(html.contains(&format!("href=\"{link}\"")) && html.contains("https://keys.acme.com/account#email"), "{html}");
        assert_eq!(states(&test).await, ["sent"]);
    }
}

on_both! {
    async fn a_spend_that_crosses_a_threshold_is_told_to_admins_of_an_app_that_nobody_is_in_charge_of(test: Test) {
        let server = SmtpReceiver::start().await;
        for (email, role) in [("ada@acme.com", "admin"), ("boss@acme.com", "owner"), ("eve@acme.com", "auditor"), ("bob@acme.com", "user")] {
            person(&test, email, role).await;
        }
        let app = gateway::app(&test, |app| {
            app.limits.budget = Some(Budget { usd: NanoUsd(1_000), per: Period::Total });
            app.alert_thresholds = vec![80];
        }).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        for (sequence, used) in [(1, 700), (2, 150), (3, 50)] {
            gateway.record(vec![record(&test, &app, sequence, vec![(gateway::bucket(&app, CostBudget, 0), used)])]).await;
        }
        let mailer = mailer(&test, &server);
        let told = sent(&mailer, &server).await;
        let to = ["ada@acme.com", "boss@acme.com"].map(str::to_owned);
        assert_eq!(told.iter().map(|(to, _)| to.clone()).collect::<Vec<_>>(), to);
        assert!(told.iter().all(|(_, subject)| subject.ends_with(": 80% of the budget is used")), "{told:?}");
        assert_eq!(recipients(&mailer, &server).await, [""; 0]);
    }
}

on_both! {
    async fn those_in_charge_are_named_to_ask_for_changes(test: Test) {
        let server = SmtpReceiver::start().await;
        person(&test, "boss@acme.com", "owner").await;
        let app = app(&test).await;
        let (alice, bob, carol) =
            (test.user("alice@acme.com").await, test.user("bob@acme.com").await, test.user("carol@acme.com").await);
        let team = test.group("Team", &[&bob, &carol]).await;
        let mailer = mailer(&test, &server);
        let told = async |rule| {
            test.self_service(&app, json!({"access": {"settings_request": rule}})).await;
            happen(&test, "quota.exceeded", &id(&app), "", budget()).await;
            recipients(&mailer, &server).await
        };
        let named = json!({"mode": "specific", "allow": {"users": [alice], "groups": [team]}, "exceptions": {"users": [carol]}});
        assert_eq!(told(named.clone()).await, ["alice@acme.com", "bob@acme.com"]);
        assert_eq!(told(json!({"mode": "everyone", "allow": {"users": [], "groups": []}, "exceptions": {"users": []}})).await, ["boss@acme.com"]);
        let nobody = json!({"mode": "specific", "allow": {"users": [carol], "groups": []}, "exceptions": {"users": [carol]}});
        assert_eq!(told(nobody).await, ["boss@acme.com"]);
        // More than can be in charge.
        let mut many = Vec::new();
        for index in 0..51 {
            many.push(test.user(&format!("user{index}@acme.com")).await);
        }
        assert_eq!(told(json!({"mode": "specific", "allow": {"users": many}, "exceptions": {"users": []}})).await, ["boss@acme.com"]);
        // An app's own key has no owner.
        test.self_service(&app, json!({"access": {"settings_request": named}})).await;
        happen(&test, "key.expiring", &id(&app), &id(&app["key"]), json!({"days": 7, "expires_at": "2026-01-08T00:00:00Z"})).await;
        assert_eq!(recipients(&mailer, &server).await, ["alice@acme.com", "bob@acme.com"]);
    }
}

on_both! {
    async fn who_may_not_know_of_it_gets_nothing(test: Test) {
        let server = SmtpReceiver::start().await;
        let app = app(&test).await;
        let alice = test.user("alice@acme.com").await;
        let key = key(&test, &app, &alice).await;
        let mailer = mailer(&test, &server);
        let expires = json!({"days": 1, "expires_at": "2026-01-02T00:00:00Z"});
        let told = async || {
            happen(&test, "key.expiring", &id(&app), &key, expires.clone()).await;
            recipients(&mailer, &server).await
        };
        assert_eq!(told().await, ["alice@acme.com"]);
        test.act(&format!("/users/{alice}/deactivate")).await.expect(StatusCode::OK);
        assert_eq!(told().await, [""; 0]);
        test.act(&format!("/users/{alice}/reactivate")).await.expect(StatusCode::OK);
        test.self_service(&app, json!({"access": {"viewer": {"mode": "disabled"}}})).await;
        assert_eq!(told().await, [""; 0]);
        // Auditors and admins see every app.
        test.patch(&format!("/users/{alice}"), json!({"role": "auditor"})).await.expect(StatusCode::OK);
        assert_eq!(told().await, ["alice@acme.com"]);
        test.sql(&["UPDATE users SET email = 'owner@localhost'".to_owned()]).await;
        assert_eq!(told().await, [""; 0]);
        test.sql(&["UPDATE users SET email = 'alice@acme.com'".to_owned()]).await;
        test.delete(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(told().await, [""; 0]);
        assert_eq!(states(&test).await, ["sent", "sent"]);
    }
}

on_both! {
    async fn change_requests_are_told_to_those_who_decide_and_decisions_to_who_asked(test: Test) {
        let server = SmtpReceiver::start().await;
        let ada = person(&test, "ada@acme.com", "admin").await;
        let app = test.app(json!({})).await;
        let everyone = json!({"mode": "everyone"});
        test.self_service(&app, json!({"access": {"viewer": everyone, "settings_request": everyone}})).await;
        let alice = test.user("alice@acme.com").await;
        let mailer = mailer(&test, &server);
        let ask = async |user: &str, tag: &str| {
            let wish = json!({"kind": "set_tags", "edit": {"tags": [tag]}, "reason": "for <b>sk-quilr-0123456789abcdef</b>"});
            let token = test.token_of(user).await;
            let asked = test.with(&token, "POST", &format!("/me/apps/{}/change-requests", id(&app)), Some(wish)).await;
            id(&asked.expect(StatusCode::CREATED))
        };
        let request = ask(&alice, "blue").await;
        mailer.send_due().await.unwrap();
        let [mail] = server.take().try_into().unwrap();
        assert_eq!((mail.recipients.join(", "), mail.header("Subject")), ("ada@acme.com".to_owned(), "alice@acme.com requested a change to Support Bot".to_owned()));
        let [text, html] = mail.parts();
        assert!(text.contains(&format!("https://keys.acme.com/admin/requests/{request}\n")), "{text}");
        assert!(text.contains("Reason: for <b>[key]</b>") && html.contains("for &lt;b&gt;[key]&lt;/b&gt;"), "{text} {html}");
        let told = async |path: &str, body| {
            test.post(path, body).await.expect(StatusCode::OK);
            sent(&mailer, &server).await
        };
        let alice_is_told = |what: &str| vec![("alice@acme.com".to_owned(), format!("Your change request for Support Bot {what}"))];
        assert_eq!(told(&format!("/change-requests/{request}/reject"), json!({"reason": "no"})).await, alice_is_told("was rejected"));
        let request = ask(&alice, "red").await;
        assert_eq!(recipients(&mailer, &server).await, ["ada@acme.com"]);
        assert_eq!(told(&format!("/change-requests/{request}/approve"), json!({})).await, alice_is_told("was approved"));
        ask(&alice, "green").await;
        recipients(&mailer, &server).await;
        test.patch(&format!("/apps/{}", id(&app)), json!({"tags": ["black"]})).await.expect(StatusCode::OK);
        assert_eq!(sent(&mailer, &server).await, alice_is_told("is out of date"));
        // Nobody decides on their own, and is told to.
        ask(&ada, "white").await;
        assert_eq!(recipients(&mailer, &server).await, [""; 0]);
    }
}

on_both! {
    async fn admins_are_told_of_webhooks_that_are_disabled(test: Test) {
        let server = SmtpReceiver::start().await;
        person(&test, "ada@acme.com", "admin").await;
        person(&test, "eve@acme.com", "auditor").await;
        happen(&test, "webhook.disabled", "", "", json!({"subject": {"name": "On-call"}, "reason": "it responded with 410 Gone"})).await;
        // What is many, or one's own doing, is not told.
        for kind in ["key.created", "guardrail.violation", "audit.action", "change_request.withdrawn"] {
            happen(&test, kind, "", "", json!({})).await;
        }
        let told = sent(&mailer(&test, &server), &server).await;
        assert_eq!(told, [("ada@acme.com".to_owned(), "The webhook On-call was disabled".to_owned())]);
    }
}
