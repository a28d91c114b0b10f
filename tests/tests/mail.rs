//! Email end to end: a real SMTP server, the real program, and the mail parser of Python.

use std::process::Command;
use std::time::Duration;

use latchkey_tests::load::{self, Call};
use latchkey_tests::smtp::{SmtpOptions, SmtpServer};
use latchkey_tests::stack::api::Api;
use latchkey_tests::stack::control_plane::ControlPlane;
use latchkey_tests::stack::ledger::DEAR;
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{Stack, postgres, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "hunter2/+ %";

/// Control planes without gateways, an admin who is told of change requests, and a user who makes them.
struct Planes {
    planes: Vec<ControlPlane>,
    api: Api,
    /// The user's.
    own: Api,
    app: String,
    dir: TempDir,
}

fn url(server: &SmtpServer) -> String {
    format!("smtp://{}?tls=none", server.address())
}

impl Planes {
    async fn start(count: usize, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut planes = Vec::new();
        for _ in 0..count {
            let mut plane = ControlPlane::new(dir.path(), Port::free().unwrap(), Port::free().unwrap());
            plane.set_variable("LATCHKEY_OWNER_EMAIL", "boss@acme.com");
            plane.set_variable("LATCHKEY_SMTP_FROM", "Latchkey <latchkey@acme.com>");
            plane.set_variable("LATCHKEY_PUBLIC_URL", &plane.url());
            for (name, value) in variables {
                plane.set_variable(name, value);
            }
            planes.push(plane);
        }
        let token = planes[0].token("tests", "owner").await.unwrap();
        for plane in &mut planes {
            plane.start().await.unwrap();
        }
        let api = Api::new(&planes[0].url(), &token);
        let app = api.create_app(json!({"name": "Süpport Bot"})).await.unwrap();
        let everyone = json!({"mode": "everyone"});
        let access = json!({"access": {"viewer": everyone, "settings_request": everyone}});
        let path = format!("{}/self-service", app.path());
        api.send("PATCH".parse().unwrap(), &path, Some(access)).await.unwrap().ok().unwrap();
        let user = api.create_user("alice@acme.com").await.unwrap();
        let token = json!({"name": "alice", "role": "user", "user_id": user});
        let token = api.post("/api/v1/tokens", token).await.unwrap().ok().unwrap();
        let own = api.with_token(token["value"].as_str().unwrap());
        Self { planes, api, own, app: app.id, dir }
    }

    /// The same, that share a database.
    async fn start_on_postgres(count: usize, server: &SmtpServer) -> Self {
        let database = postgres::database().await.unwrap();
        Self::start(count, &[("LATCHKEY_SMTP_URL", &url(server)), ("DATABASE_URL", &database)]).await
    }

    /// The user asks for a change: the admin is told. Tells the request.
    async fn ask(&self, tag: &str) -> String {
        let wish = json!({"kind": "set_tags", "edit": {"tags": [tag]}, "reason": "why not"});
        let path = format!("/api/v1/me/apps/{}/change-requests", self.app);
        let asked = self.own.post(&path, wish).await.unwrap().ok().unwrap();
        asked["id"].as_str().unwrap().to_owned()
    }

    async fn withdraw(&self, request: &str) {
        let path = format!("/api/v1/me/change-requests/{request}/withdraw");
        self.own.post(&path, json!({})).await.unwrap().ok().unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("control-plane.log")).unwrap()
    }

    async fn status(&self) -> Value {
        self.api.get("/api/v1/email").await.unwrap().ok().unwrap()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, SOON, async || Ok(Some(self.status().await).filter(|status| is_so(status))))
            .await
            .unwrap()
    }

    /// Until nothing is pending.
    async fn until_idle(&self) -> Value {
        self.until("all email to be sent", |status| status["pending"] == 0 && status["sent_at"].is_string())
            .await
    }
}

async fn until(server: &SmtpServer, count: usize) -> Vec<Value> {
    let what = format!("{count} emails");
    let received = || Some(server.received()).filter(|all| all.len() >= count);
    wait::until(&what, SOON, async || Ok(received())).await.unwrap()
}

fn ids(mails: &[Value]) -> Vec<String> {
    let mut ids: Vec<_> =
        mails.iter().map(|mail| mail["headers"]["message-id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[tokio::test]
async fn a_change_request_is_told_in_a_mail_that_others_can_read() {
    let server = SmtpServer::start(SmtpOptions::default()).await.unwrap();
    let planes = Planes::start(1, &[("LATCHKEY_SMTP_URL", &url(&server))]).await;
    let request = planes.ask("blue").await;
    let [mail] = until(&server, 1).await.try_into().unwrap();
    assert_eq!((&mail["from"], &mail["to"]), (&json!("latchkey@acme.com"), &json!(["boss@acme.com"])));
    let headers = &mail["headers"];
    assert_eq!(headers["subject"], "alice@acme.com requested a change to Süpport Bot");
    assert_eq!(headers["from"], "Latchkey <latchkey@acme.com>");
    assert_eq!(
        (&headers["content-language"], &headers["auto-submitted"]),
        (&json!("en"), &json!("auto-generated"))
    );
    assert_eq!((&headers["mime-version"], &mail["type"]), (&json!("1.0"), &json!("multipart/alternative")));
    let portal = planes.planes[0].url();
    assert_eq!(headers["list-unsubscribe"], format!("<{portal}/account#email>"));
    assert!(headers["message-id"].as_str().unwrap().ends_with("@acme.com>"), "{headers}");
    let link = format!("{portal}/admin/requests/{request}");
    let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap());
    assert!(
        text.contains(&link) && text.contains("App: Süpport Bot") && text.contains("Reason: why not"),
        "{text}"
    );
    assert!(html.contains(&format!("href=\"{link}\"")) && html.contains("Süpport Bot"), "{html}");
    // What comes of it is told to whoever asked, and never twice.
    let reject = format!("/api/v1/change-requests/{request}/reject");
    planes.api.post(&reject, json!({"reason": "not now"})).await.unwrap().ok().unwrap();
    let mails = until(&server, 2).await;
    assert_eq!(mails[1]["to"], json!(["alice@acme.com"]));
    assert_eq!(mails[1]["headers"]["subject"], "Your change request for Süpport Bot was rejected");
    planes.until_idle().await;
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn a_threshold_under_load_is_told_once() {
    let server = SmtpServer::start(SmtpOptions::default()).await.unwrap();
    let stack = Stack::builder()
        .priced()
        .concurrency(2)
        .variable("LATCHKEY_OWNER_EMAIL", "boss@acme.com")
        .variable("LATCHKEY_SMTP_URL", &url(&server))
        .variable("LATCHKEY_SMTP_FROM", "latchkey@acme.com")
        .variable("LATCHKEY_PUBLIC_URL", "http://localhost:8080")
        .start()
        .await
        .unwrap();
    let limits = json!({ "budget": { "usd": "0.10", "per": "total" } });
    let app = stack.api().create_limited_app("budgeted", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    // Ten of a cent each, at once.
    let call = Call::chat(&app.key, DEAR.name, 1_000, "tokens=1000");
    let calls = (0..12).map(|_| load::once(stack.gateway().address(), &call));
    futures::future::join_all(calls).await;
    let subjects = || {
        let received = server.received();
        let mut subjects: Vec<_> =
            received.iter().map(|mail| mail["headers"]["subject"].as_str().unwrap().to_owned()).collect();
        subjects.sort();
        subjects
    };
    wait::until("the budget to be told of", SOON, async || {
        Ok(subjects().iter().any(|subject| subject.ends_with("is used up")).then_some(()))
    })
    .await
    .unwrap();
    wait::until("all email to be sent", SOON, async || {
        let status = stack.api().get("/api/v1/email").await?.ok()?;
        Ok((status["pending"] == 0).then_some(()))
    })
    .await
    .unwrap();
    let told = subjects();
    let mut once = told.clone();
    once.dedup();
    assert_eq!(told, once);
    assert!(told.iter().any(|subject| subject.ends_with("% of the budget is used")), "{told:?}");
}

#[tokio::test]
async fn a_server_that_refuses_for_now_gets_it_again_and_one_that_refuses_for_good_does_not() {
    let options = SmtpOptions { answers: &["451 4.7.1 later", "554 5.6.0 never"], ..SmtpOptions::default() };
    let server = SmtpServer::start(options).await.unwrap();
    let planes = Planes::start(1, &[("LATCHKEY_SMTP_URL", &url(&server))]).await;
    planes.ask("blue").await;
    let waiting = planes.until("the first attempt", |status| status["last_failure"].is_object()).await;
    assert_eq!(
        (&waiting["pending"], &waiting["last_failure"]["error"]),
        (&json!(1), &json!("the server responded with 451: 4.7.1 later"))
    );
    planes.planes[0].sql("UPDATE mails SET next_at = 0").await.unwrap();
    let refused = planes.until("the second attempt", |status| status["failed"] == 1).await;
    assert_eq!(
        (&refused["pending"], &refused["last_failure"]["error"]),
        (&json!(0), &json!("the server responded with 554: 5.6.0 never"))
    );
    planes.planes[0].sql("UPDATE mails SET next_at = 0").await.unwrap();
    planes.ask("red").await;
    let mails = until(&server, 3).await;
    assert_eq!((ids(&mails[..2]).len(), ids(&mails).len()), (1, 2));
    planes.until_idle().await;
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn a_server_that_dies_between_data_and_reply_gets_the_same_again() {
    let options = SmtpOptions { answers: &["die"], ..SmtpOptions::default() };
    let mut server = SmtpServer::start(options).await.unwrap();
    let planes = Planes::start(1, &[("LATCHKEY_SMTP_URL", &url(&server))]).await;
    planes.ask("blue").await;
    server.until_ended().await.unwrap();
    let first = until(&server, 1).await;
    planes.until("the first attempt", |status| status["last_failure"].is_object()).await;
    // While nobody listens there.
    planes.planes[0].sql("UPDATE mails SET next_at = 0").await.unwrap();
    planes
        .until("the second attempt", |status| {
            status["last_failure"]["error"].as_str().is_some_and(|error| error.contains("refused"))
        })
        .await;
    let again = SmtpOptions { port: Some(server.address().port()), ..SmtpOptions::default() };
    let again = SmtpServer::start(again).await.unwrap();
    planes.planes[0].sql("UPDATE mails SET next_at = 0").await.unwrap();
    let second = until(&again, 1).await;
    planes.until_idle().await;
    assert_eq!(first, second);
}

/// A certificate of `localhost` and its key, by their files.
fn certificate(dir: &TempDir) -> (String, String) {
    let [certificate, key] =
        ["cert.pem", "key.pem"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate])
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[tokio::test]
async fn nothing_is_sent_in_plaintext_where_tls_is_required() {
    let server = SmtpServer::start(SmtpOptions::default()).await.unwrap();
    let required = format!("smtp://latchkey:hunter2@{}", server.address());
    let planes = Planes::start(1, &[("LATCHKEY_SMTP_URL", &required)]).await;
    planes.ask("blue").await;
    let status = planes.until("an attempt", |status| status["last_failure"].is_object()).await;
    assert!(
        status["last_failure"]["error"].as_str().unwrap().contains("STARTTLS is not supported"),
        "{status}"
    );
    assert_eq!((&status["pending"], server.received().len()), (&json!(1), 0));
    assert!(!planes.log().contains("hunter2"));
}

#[tokio::test]
async fn starttls_and_a_password_are_used_and_a_wrong_one_loses_nothing() {
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(&files);
    let options = SmtpOptions {
        certificate: Some((&certificate, &key)),
        password: Some(PASSWORD),
        ..SmtpOptions::default()
    };
    let server = SmtpServer::start(options).await.unwrap();
    let with = |password: &str| format!("smtp://latchkey:{password}@localhost:{}", server.address().port());
    let wrong = with("hunter3");
    let mut planes =
        Planes::start(1, &[("LATCHKEY_SMTP_URL", &wrong), ("SSL_CERT_FILE", &certificate)]).await;
    planes.ask("blue").await;
    let status = planes.until("an attempt", |status| status["last_failure"].is_object()).await;
    assert!(
        status["last_failure"]["error"].as_str().unwrap().contains("the server responded with 535"),
        "{status}"
    );
    assert_eq!((&status["pending"], server.received().len()), (&json!(1), 0));
    let plane = &mut planes.planes[0];
    plane.set_variable("LATCHKEY_SMTP_URL", &with("hunter2%2F%2B%20%25"));
    plane.restart().await.unwrap();
    plane.sql("UPDATE mails SET next_at = 0").await.unwrap();
    let [mail] = until(&server, 1).await.try_into().unwrap();
    assert_eq!((&mail["encrypted"], &mail["signed_in"]), (&json!(true), &json!(true)));
    planes.until_idle().await;
    assert!(!planes.log().contains("hunter"));
}

#[tokio::test]
async fn tls_from_the_beginning_is_used_and_a_certificate_of_somebody_else_is_not_trusted() {
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(&files);
    for implicit_tls in [true, false] {
        let options = SmtpOptions {
            certificate: Some((&certificate, &key)),
            implicit_tls,
            password: Some(PASSWORD),
            ..SmtpOptions::default()
        };
        let server = SmtpServer::start(options).await.unwrap();
        let scheme = if implicit_tls { "smtps" } else { "smtp" };
        let port = server.address().port();
        let at = |host: &str| format!("{scheme}://latchkey:hunter2%2F%2B%20%25@{host}:{port}");
        // By an authority that is not known.
        let mut planes = Planes::start(1, &[("LATCHKEY_SMTP_URL", &at("localhost"))]).await;
        planes.ask("blue").await;
        let refused = |status: &Value| {
            status["last_failure"]["error"].as_str().is_some_and(|error| error.contains("certificate"))
        };
        planes.until("an untrusted certificate", refused).await;
        // Of another host.
        let plane = &mut planes.planes[0];
        plane.set_variable("SSL_CERT_FILE", &certificate);
        plane.set_variable("LATCHKEY_SMTP_URL", &at("127.0.0.1"));
        plane.restart().await.unwrap();
        plane.sql("UPDATE mails SET next_at = 0, error = ''").await.unwrap();
        planes.until("a certificate of another host", refused).await;
        assert_eq!(server.received().len(), 0);
        let plane = &mut planes.planes[0];
        plane.set_variable("LATCHKEY_SMTP_URL", &at("localhost"));
        plane.restart().await.unwrap();
        plane.sql("UPDATE mails SET next_at = 0").await.unwrap();
        let [mail] = until(&server, 1).await.try_into().unwrap();
        assert_eq!((&mail["encrypted"], &mail["signed_in"]), (&json!(true), &json!(true)));
    }
}

#[tokio::test]
async fn two_replicas_send_each_mail_once() {
    let server = SmtpServer::start(SmtpOptions::default()).await.unwrap();
    let planes = Planes::start_on_postgres(2, &server).await;
    for index in 0..30 {
        let request = planes.ask(&format!("tag{index}")).await;
        planes.withdraw(&request).await;
    }
    until(&server, 30).await;
    planes.until_idle().await;
    assert_eq!((server.received().len(), ids(&server.received()).len()), (30, 30));
}

#[tokio::test]
async fn what_a_killed_replica_was_sending_is_sent_by_another() {
    let options = SmtpOptions { answers: &["hang"], ..SmtpOptions::default() };
    let server = SmtpServer::start(options).await.unwrap();
    let mut planes = Planes::start_on_postgres(2, &server).await;
    planes.planes[1].kill();
    planes.ask("blue").await;
    until(&server, 1).await;
    planes.planes[1].start().await.unwrap();
    planes.planes[0].kill();
    let mails = until(&server, 2).await;
    assert_eq!(ids(&mails).len(), 1);
}

#[tokio::test]
async fn who_wants_none_gets_none_and_a_digest_is_one_mail() {
    let server = SmtpServer::start(SmtpOptions::default()).await.unwrap();
    let planes = Planes::start(1, &[("LATCHKEY_SMTP_URL", &url(&server))]).await;
    let choose = async |how: &str| {
        let edit = json!({ "my_requests": how });
        planes
            .own
            .send("PATCH".parse().unwrap(), "/api/v1/me/email", Some(edit))
            .await
            .unwrap()
            .ok()
            .unwrap();
    };
    let decided = async |tag: &str| {
        let request = planes.ask(tag).await;
        let reject = format!("/api/v1/change-requests/{request}/reject");
        planes.api.post(&reject, json!({"reason": "no"})).await.unwrap().ok().unwrap();
    };
    choose("daily").await;
    decided("blue").await;
    decided("red").await;
    planes.until("both to wait", |status| status["waiting_for_digest"] == 2 && status["pending"] == 0).await;
    choose("off").await;
    decided("green").await;
    // What happened before something that the admin is told of has been given to people.
    planes.ask("black").await;
    let told = |mail: &&Value| mail["to"] == json!(["boss@acme.com"]);
    wait::until("four requests", SOON, async || {
        Ok((server.received().iter().filter(told).count() == 4).then_some(()))
    })
    .await
    .unwrap();
    choose("daily").await;
    planes.planes[0].sql("UPDATE mail_events SET due_at = 0").await.unwrap();
    planes.until("the digest", |status| status["waiting_for_digest"] == 0 && status["pending"] == 0).await;
    let mails: Vec<_> =
        server.received().into_iter().filter(|mail| mail["to"] == json!(["alice@acme.com"])).collect();
    let [digest] = mails.try_into().unwrap();
    assert_eq!(digest["headers"]["subject"], "Latchkey daily digest: 2 notifications");
    let text = digest["text"].as_str().unwrap();
    assert_eq!(text.matches("Your change request for Süpport Bot was rejected").count(), 2, "{text}");
}

#[tokio::test]
async fn a_bad_setting_is_refused_at_start_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    for (url, from, said) in [
        ("https://u:hunter2@mail.acme.com", "latchkey@acme.com", "LATCHKEY_SMTP_URL must begin with"),
        ("smtp://u:hunter2@mail.acme.com?tls=none", "latchkey@acme.com", "in plaintext"),
        ("smtps://u:hunter2@mail.acme.com", "", "is set without LATCHKEY_SMTP_FROM"),
        ("smtps://u:hunter2@mail.acme.com", "latchkey@acme.com", "requires LATCHKEY_PUBLIC_URL"),
    ] {
        let mut plane = ControlPlane::new(dir.path(), Port::free().unwrap(), Port::free().unwrap());
        plane.set_variable("LATCHKEY_SMTP_URL", url);
        plane.set_variable("LATCHKEY_SMTP_FROM", from);
        let error = format!("{:#}", plane.command(&["serve"]).await.unwrap_err());
        assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
    }
}
