//! Email, sent to a server of the test's own by a clock that the test moves.

mod choices;
mod people;
mod sending;
pub mod server;

use axum::http::StatusCode;
use latchkey::mail::Mailer;
use latchkey::mail::settings::{MailSettings, Smtp};
use latchkey_store::events::NewEvent;
use serde_json::{Value, json};

use crate::support::{Test, id};
use server::SmtpReceiver;

fn settings(server: &SmtpReceiver) -> MailSettings {
    let smtp = Smtp {
        smtp_url: Some(format!("smtp://{}?tls=none", server.address).into()),
        smtp_password_file: None,
        smtp_from: Some("Latchkey <latchkey@acme.com>".to_owned()),
    };
    smtp.settings(false).unwrap().unwrap()
}

/// A control plane by which email is set up.
pub fn with_mail(mut test: Test, server: &SmtpReceiver) -> Test {
    test.api.mail = Some(settings(server).shown());
    test.renew_router();
    test
}

pub fn mailer(test: &Test, server: &SmtpReceiver) -> Mailer {
    Mailer::new(test.store.clone(), test.world.clone(), settings(server), "https://keys.acme.com").unwrap()
}

/// Something that people are told of.
async fn happen(test: &Test, kind: &'static str, app: &str, key: &str, data: Value) {
    let mut tx = test.store.begin().await.unwrap();
    let (at, app_id, key_id) = (test.world.now(), app.to_owned(), key.to_owned());
    tx.insert_event(NewEvent { at, kind, app_id, key_id, data, once: None }).await.unwrap();
    tx.commit().await.unwrap();
}

fn budget() -> Value {
    json!({"bucket": "cost_budget", "per": "month", "limit": "10", "used": "8.12", "percent": 80})
}

/// An app that everyone sees.
async fn app(test: &Test) -> Value {
    let app = test.app(json!({"mode": "named"})).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    app
}

/// A key of this user, as its id.
async fn key(test: &Test, app: &Value, user: &str) -> String {
    let new = json!({"user_id": user, "name": "laptop"});
    id(&test.post(&format!("/apps/{}/keys", id(app)), new).await.expect(StatusCode::CREATED))
}

/// A user of this role, as their id.
async fn person(test: &Test, email: &str, role: &str) -> String {
    let user = test.user(email).await;
    test.patch(&format!("/users/{user}"), json!({ "role": role })).await.expect(StatusCode::OK);
    user
}

/// Changes how often somebody gets email.
async fn choose(test: &Test, user: &str, edit: Value) {
    let token = test.token_of(user).await;
    test.with(&token, "PATCH", "/me/email", Some(edit)).await.expect(StatusCode::OK);
}

/// Sends all that is due: to whom, and with which subject.
async fn sent(mailer: &Mailer, server: &SmtpReceiver) -> Vec<(String, String)> {
    mailer.send_due().await.unwrap();
    let received = server.take();
    let mut sent: Vec<_> =
        received.iter().map(|mail| (mail.recipients.join(", "), mail.header("Subject"))).collect();
    sent.sort();
    sent
}

/// The recipients alone.
async fn recipients(mailer: &Mailer, server: &SmtpReceiver) -> Vec<String> {
    sent(mailer, server).await.into_iter().map(|(recipient, _)| recipient).collect()
}

async fn states(test: &Test) -> Vec<String> {
    test.column("SELECT state FROM mails ORDER BY id").await
}
