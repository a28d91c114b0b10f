//! Email to people: which they want, which is queued, and what it says when it is sent.

pub mod concerned;
pub mod letter;
pub mod queue;

use jiff::{SignedDuration, Timestamp};
use latchkey_core::limits::given;
use latchkey_core::mail::{MailFrequency, MailPreferences, MailServer, is_reachable};
use latchkey_store::Tx;
use latchkey_store::mails::MailKind;
use latchkey_store::users::User;
use latchkey_world::World;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit::AuditedAction;
use super::{By, Refusal};

/// How many emails may be pending for one person.
const MOST_PENDING: u64 = 50;
/// How long it takes until somebody may ask for another test.
const BETWEEN_TESTS: SignedDuration = SignedDuration::from_mins(1);

/// What to change of how often one gets email. What is not named stays.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditMailPreferences {
    /// Budgets of one's keys, and of apps that one is in charge of.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = MailFrequency)]
    pub budgets: Option<MailFrequency>,
    /// The same of keys that expire soon.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = MailFrequency)]
    pub expiring_keys: Option<MailFrequency>,
    /// Change requests that wait for a decision: for admins.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = MailFrequency)]
    pub requests_to_decide: Option<MailFrequency>,
    /// What became of one's own change requests.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = MailFrequency)]
    pub my_requests: Option<MailFrequency>,
    /// Webhooks that Latchkey has disabled: for admins.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = MailFrequency)]
    pub webhooks: Option<MailFrequency>,
}

/// Changes how often somebody gets email about what.
///
/// # Errors
/// The database is away.
pub async fn set_preferences(
    tx: &mut Tx,
    by: By<'_>,
    user: &User,
    edit: EditMailPreferences,
) -> Result<MailPreferences, Refusal> {
    let before = tx.lock_mail_preferences(user.id).await?;
    let EditMailPreferences { budgets, expiring_keys, requests_to_decide, my_requests, webhooks } = edit;
    let preferences = MailPreferences {
        budgets: budgets.unwrap_or(before.budgets),
        expiring_keys: expiring_keys.unwrap_or(before.expiring_keys),
        requests_to_decide: requests_to_decide.unwrap_or(before.requests_to_decide),
        my_requests: my_requests.unwrap_or(before.my_requests),
        webhooks: webhooks.unwrap_or(before.webhooks),
    };
    if preferences == before {
        return Ok(before);
    }
    tx.put_mail_preferences(user.id, &preferences).await?;
    let data = json!({"before": before, "after": preferences});
    by.audit(tx, done("user.email_preferences_updated", user, data));
    Ok(preferences)
}

/// Sends a test to whoever asks for it; what its `Message-ID` begins with.
///
/// # Errors
/// Email is not set up, or they have no address that mail can reach.
pub async fn test(
    tx: &mut Tx,
    by: By<'_>,
    server: Option<&MailServer>,
    user: &User,
) -> Result<String, Refusal> {
    if server.is_none() {
        let detail = "email is not set up: an operator must set LATCHKEY_SMTP_URL";
        return Err(Refusal::conflict("email_not_set_up", detail));
    }
    if !is_reachable(user.email.as_str()) {
        let detail =
            format!("email can't be delivered to {}: sign in as a user with a real address", user.email);
        return Err(Refusal::conflict("no_email_address", detail));
    }
    if tx.pending_mails(user.id).await? >= MOST_PENDING {
        let detail = format!("{MOST_PENDING} emails to you are waiting to be sent: try again later");
        return Err(Refusal::conflict("too_many_pending", detail));
    }
    let minute_ago = by.world.now().saturating_sub(BETWEEN_TESTS).unwrap_or(Timestamp::MIN);
    if let Some(at) = tx.last_test_mail(user.id, minute_ago).await? {
        let wait = at.duration_since(minute_ago).as_secs().saturating_add(1);
        let detail = format!("a test was queued less than a minute ago: try again in {wait} seconds");
        return Err(Refusal::conflict("tested_just_now", detail));
    }
    let message_id = new_message_id(by.world);
    tx.queue_mail(user.id, MailKind::Test, &message_id, by.world.now()).await?;
    by.audit(tx, done("user.email_tested", user, json!({ "message_id": message_id })));
    Ok(message_id)
}

fn new_message_id(world: &World) -> String {
    world.id().simple().to_string()
}

fn done<'a>(action: &'static str, user: &'a User, data: serde_json::Value) -> AuditedAction<'a> {
    AuditedAction {
        action,
        kind: "user",
        id: user.id.to_string(),
        name: user.email.as_str(),
        app: None,
        data,
    }
}
