//! `/api/v1/email`: how email is doing, and `/api/v1/me/email`: which of it one gets.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use latchkey_core::mail::{MailPreferences, is_reachable};
use latchkey_service::action::mails::{self, EditMailPreferences};
use latchkey_store::mails::MailSums;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::auth::{AdminGuard, Person};
use super::body::JsonBody;
use super::problem::Problem;

/// How email is doing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EmailStatus {
    /// Whether email is set up: without that, none is queued or sent.
    pub configured: bool,
    /// The SMTP server, as host and port; null where email is not set up.
    pub server: Option<String>,
    /// Who email is from; null where email is not set up.
    pub from: Option<String>,
    /// What is queued, sent, and failed.
    #[serde(flatten)]
    pub sums: MailSums,
}

/// Which email one gets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MyEmail {
    /// Whether email is set up: without that, none is sent.
    pub configured: bool,
    /// Where it is sent.
    pub address: String,
    /// Whether that is an address that mail can reach.
    pub reachable: bool,
    /// How often one gets it about what.
    #[serde(flatten)]
    pub preferences: MailPreferences,
}

/// An email that is being sent.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct TestEmailSent {
    /// What its `Message-ID` begins with.
    pub message_id: String,
}

impl MyEmail {
    fn of(api: &Api, person: &Person, preferences: MailPreferences) -> Self {
        let address = person.user.email.as_str().to_owned();
        Self { configured: api.mail.is_some(), reachable: is_reachable(&address), address, preferences }
    }
}

/// Shows how email is doing.
#[utoipa::path(get, path = "/api/v1/email", tag = "email", operation_id = "read_email_status",
    security(("token" = [])), responses((status = 200, body = EmailStatus), (status = "4XX", body = Problem)))]
pub async fn status(_: AdminGuard, State(api): State<Api>) -> Result<Json<EmailStatus>, Problem> {
    let since = api.world.now().checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::UNIX_EPOCH);
    let sums = api.store.mail_sums(since).await?;
    let (server, from) = api.mail.clone().map(|server| (server.address, server.from)).unzip();
    Ok(Json(EmailStatus { configured: server.is_some(), server, from, sums }))
}

/// Shows which email one gets.
#[utoipa::path(get, path = "/api/v1/me/email", tag = "me", operation_id = "read_my_email",
    security(("token" = [])), responses((status = 200, body = MyEmail), (status = "4XX", body = Problem)))]
pub async fn mine(person: Person, State(api): State<Api>) -> Result<Json<MyEmail>, Problem> {
    let preferences = api.store.mail_preferences(person.user.id).await?;
    Ok(Json(MyEmail::of(&api, &person, preferences)))
}

/// Changes how often one gets email about what. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/me/email", tag = "me", operation_id = "update_my_email",
    request_body = EditMailPreferences,
    security(("token" = [])), responses((status = 200, body = MyEmail), (status = "4XX", body = Problem)))]
pub async fn update_mine(
    person: Person,
    State(api): State<Api>,
    JsonBody(edit): JsonBody<EditMailPreferences>,
) -> Result<Json<MyEmail>, Problem> {
    let mut tx = api.store.begin().await?;
    let by = api.context(&person.actor).by();
    let preferences = mails::set_preferences(&mut tx, by, &person.user, edit).await?;
    tx.commit().await?;
    Ok(Json(MyEmail::of(&api, &person, preferences)))
}

/// Sends a test to oneself.
#[utoipa::path(post, path = "/api/v1/me/email/test", tag = "me", operation_id = "test_my_email",
    security(("token" = [])), responses((status = 202, body = TestEmailSent), (status = "4XX", body = Problem)))]
pub async fn test(
    Person { actor, user }: Person,
    State(api): State<Api>,
) -> Result<(StatusCode, Json<TestEmailSent>), Problem> {
    let mut tx = api.store.begin().await?;
    let message_id = mails::test(&mut tx, api.context(&actor).by(), api.mail.as_ref(), &user).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(TestEmailSent { message_id })))
}
