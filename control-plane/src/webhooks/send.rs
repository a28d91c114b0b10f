//! One attempt to send a message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use latchkey_core::upstream::Opened;
use latchkey_core::webhook::check_address;
use latchkey_core::webhook::message::in_format;
use latchkey_core::webhook::schedule::asked_wait;
use latchkey_filter_core::request::redaction::without_keys;
use latchkey_service::action::webhooks::signing_secrets;
use latchkey_service::outbound::Outbound;
use latchkey_store::deliveries::Delivery;
use latchkey_store::seal::{MasterKey, Purpose};
use latchkey_store::webhooks::Webhook;
use latchkey_world::World;
use secrecy::ExposeSecret as _;

use super::signature::signatures;

/// How much of an answer is kept, in bytes.
const KEPT: usize = 1024;

/// Sends messages, to addresses that are allowed.
pub struct MessageSender {
    outbound: Outbound,
    world: World,
    master: MasterKey,
}

/// What came of an attempt.
#[derive(Debug, Default)]
pub struct SendOutcome {
    /// Of the answer; none where there was none.
    pub status: Option<u16>,
    /// Why it did not succeed.
    pub error: Option<String>,
    pub elapsed_ms: u64,
    /// The first kilobyte of the answer, without keys.
    pub body: String,
    /// What the answer asks to wait.
    pub asked_wait: Option<Duration>,
}

impl MessageSender {
    /// `opened` says which private addresses are allowed.
    ///
    /// # Errors
    /// This machine has no certificate authorities.
    pub fn new(world: World, master: MasterKey, opened: Arc<Opened>) -> anyhow::Result<Self> {
        let outbound = Outbound::checked(move |host, address| Ok(check_address(&opened, host, address)?))?;
        Ok(Self { outbound, world, master })
    }

    /// Sends a message once, which may take `patience`.
    pub async fn send(&self, webhook: &Webhook, delivery: &Delivery, patience: Duration) -> SendOutcome {
        let begun = Instant::now();
        let mut outcome = match self.request(webhook, delivery) {
            Ok(request) => self.exchange(request, patience).await,
            Err(error) => SendOutcome { error: Some(error), ..SendOutcome::default() },
        };
        outcome.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        outcome
    }

    fn request(&self, webhook: &Webhook, delivery: &Delivery) -> Result<Request<Vec<u8>>, String> {
        let now = self.world.now();
        let body = in_format(webhook.format, &delivery.body);
        let url = self.master.open(Purpose::WebhookUrl(webhook.id), &webhook.sealed_url);
        let url = url.map_err(|error| error.to_string())?;
        let mut request = Request::post(url.expose_secret())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "latchkey");
        if webhook.format.is_signed() {
            let secrets = signing_secrets(&self.master, webhook, now).map_err(|error| error.to_string())?;
            let (id, at) = (&delivery.message_id, now.as_second());
            let signatures = signatures(&secrets, id, at, &body).filter(|signed| !signed.is_empty());
            request = request
                .header("webhook-id", id)
                .header("webhook-timestamp", at)
                .header("webhook-signature", signatures.ok_or("the webhook has no secret: rotate it")?);
        }
        request.body(body.into_bytes()).map_err(|_| "the URL cannot be requested".to_owned())
    }

    async fn exchange(&self, request: Request<Vec<u8>>, patience: Duration) -> SendOutcome {
        let deadline = tokio::time::Instant::now() + patience;
        let (parts, body) = match tokio::time::timeout_at(deadline, self.outbound.open(request)).await {
            Ok(Ok(response)) => response.into_parts(),
            Ok(Err(failed)) => {
                return SendOutcome { error: Some(failed.to_string()), ..SendOutcome::default() };
            }
            Err(_) => {
                let error = format!("no response within {patience:?}");
                return SendOutcome { error: Some(error), ..SendOutcome::default() };
            }
        };
        let mut kept = Vec::new();
        // The status says whether it was taken, however the rest of the answer ends.
        let _in_time = tokio::time::timeout_at(deadline, read(body, &mut kept)).await;
        kept.truncate(KEPT);
        let status = parts.status;
        let error = match status {
            status if status.is_success() => None,
            status if status.is_redirection() => Some(format!(
                "it responded with {status}: redirects are not followed, so use the URL that it redirects to"
            )),
            status => Some(format!("it responded with {status}")),
        };
        let may_ask = matches!(status.as_u16(), 429 | 502..=504);
        let asked = parts.headers.get(header::RETRY_AFTER).filter(|_| may_ask);
        let asked = asked.and_then(|value| asked_wait(value.to_str().ok()?, self.world.now()));
        let text = String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}");
        SendOutcome {
            status: Some(status.as_u16()),
            error,
            elapsed_ms: 0,
            body: without_keys(&text).into_owned(),
            asked_wait: asked,
        }
    }
}

impl SendOutcome {
    /// Whether the webhook wants no more messages.
    pub fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }
}

/// Reads the beginning of a body.
async fn read(mut body: Body, kept: &mut Vec<u8>) {
    while kept.len() < KEPT {
        let Some(Ok(frame)) = body.frame().await else { return };
        if let Ok(data) = frame.into_data() {
            kept.extend_from_slice(&data);
        }
    }
}
