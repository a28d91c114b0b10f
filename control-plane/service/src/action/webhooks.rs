//! Webhooks: where events are sent to.

pub mod messages;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use latchkey_core::actor::Actor;
use latchkey_core::change::changed;
use latchkey_core::invalid::Invalid;
use latchkey_core::limits::given;
use latchkey_core::name::Name;
use latchkey_core::rotation::Grace;
use latchkey_core::selection::Selection;
use latchkey_core::upstream::Opened;
use latchkey_core::webhook::{EventPattern, WebhookFormat, webhook_url};
use latchkey_store::Tx;
use latchkey_store::seal::{MasterKey, Purpose, Sealed};
use latchkey_store::webhooks::Webhook;
use latchkey_world::World;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::AuditedAction;
use super::{By, Context, Refusal};

/// What secrets begin with.
pub const SECRET_PREFIX: &str = "whsec_";

/// The most webhooks there may be.
const MOST_WEBHOOKS: usize = 100;
/// The most patterns of events, and apps, that a webhook names.
const MOST_NAMED: usize = 200;

/// A webhook is disabled whose deliveries have failed for so long, none succeeding,
const FAILING_FOR: SignedDuration = SignedDuration::from_hours(5 * 24);
/// and so often: a clock that jumps ahead is not enough.
const FAILURES: u64 = 5;

/// A webhook to create.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// What people see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
    /// Where messages are sent to: `https://…`.
    pub url: String,
    /// Who reads them: `standard`, signed messages for programs, by default.
    #[serde(default)]
    pub format: WebhookFormat,
    /// Which events: kinds such as `quota.exceeded`, prefixes such as `change_request.*`, or `*`.
    pub events: Vec<EventPattern>,
    /// Of which apps: "all", with what is about no app; "none", only what is about no app; or a list of ids.
    pub apps: Selection,
    /// Whether it gets anything: true by default.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What to change of a webhook. Its format cannot be changed.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditWebhook {
    /// What people see.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub name: Option<Name>,
    /// Where messages are sent to.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub url: Option<String>,
    /// Which events; replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<EventPattern>)]
    pub events: Option<Vec<EventPattern>>,
    /// Of which apps; replaced as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Selection)]
    pub apps: Option<Selection>,
    /// Whether it gets anything. To enable one that Latchkey disabled forgets why.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub enabled: Option<bool>,
}

/// A webhook with its secret, which is shown now or never; none where its messages are not signed.
#[derive(Debug)]
pub struct IssuedWebhook {
    /// The record.
    pub webhook: Webhook,
    /// `whsec_…`.
    pub secret: Option<SecretString>,
}

fn yes() -> bool {
    true
}

/// Adds a webhook. `opened` says which private addresses it may have.
///
/// # Errors
/// A field is wrong, or there are too many webhooks.
pub async fn create(
    tx: &mut Tx,
    context: Context<'_>,
    opened: &Opened,
    new: NewWebhook,
) -> Result<IssuedWebhook, Refusal> {
    let NewWebhook { name, url, format, events, apps, enabled } = new;
    let mut invalid = Invalid::default();
    let url = invalid.check("url", webhook_url(&url, opened));
    invalid.check("events", named(&events));
    invalid.into_result()?;
    let url = url.ok_or_else(|| Refusal::field("url", "is not a URL"))?;
    refuse_unknown_apps(tx, &apps).await?;
    if tx.webhooks().await?.len() >= MOST_WEBHOOKS {
        let detail = format!("there can be at most {MOST_WEBHOOKS} webhooks: delete one first");
        return Err(Refusal::conflict("too_many_webhooks", detail));
    }
    let (id, now) = (context.world.id(), context.world.now());
    let secret = format.is_signed().then(|| new_secret(context.world));
    let webhook = Webhook {
        id,
        name,
        format,
        sealed_url: context.master.seal(context.world, Purpose::WebhookUrl(id), url.as_str().as_bytes()),
        shown_url: format.shown(&url),
        events: distinct(events),
        apps,
        sealed_secret: secret.as_ref().map(|secret| seal(context, id, secret)),
        previous_secret: None,
        enabled,
        disabled_reason: String::new(),
        failing_since: None,
        failures: 0,
        created_at: now,
        updated_at: now,
    };
    tx.insert_webhook(&webhook).await?;
    context.audit(tx, done("webhook.created", &webhook, shape(&webhook)));
    Ok(IssuedWebhook { webhook, secret })
}

/// Edits a webhook.
///
/// # Errors
/// There is no such webhook, or a field is wrong.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    opened: &Opened,
    id: Uuid,
    edit: EditWebhook,
) -> Result<Webhook, Refusal> {
    let before = find(tx, id).await?;
    let EditWebhook { name, url, events, apps, enabled } = edit;
    let mut invalid = Invalid::default();
    let url = url.and_then(|url| invalid.check("url", webhook_url(&url, opened)));
    if let Some(events) = &events {
        invalid.check("events", named(events));
    }
    invalid.into_result()?;
    if let Some(apps) = &apps {
        refuse_unknown_apps(tx, apps).await?;
    }
    let mut webhook = before.clone();
    webhook.name = name.unwrap_or(webhook.name);
    webhook.events = events.map_or(webhook.events, distinct);
    webhook.apps = apps.unwrap_or(webhook.apps);
    let mut moved = false;
    if let Some(url) = url {
        let stored = context.master.open(Purpose::WebhookUrl(id), &before.sealed_url)?;
        moved = stored.expose_secret() != url.as_str();
        if moved {
            let url = url.as_str().as_bytes();
            webhook.sealed_url = context.master.seal(context.world, Purpose::WebhookUrl(id), url);
        }
        webhook.shown_url = webhook.format.shown(&url);
    }
    if let Some(enabled) = enabled.filter(|enabled| *enabled != before.enabled) {
        webhook.enabled = enabled;
        webhook.disabled_reason = String::new();
        webhook.failing_since = None;
        webhook.failures = 0;
    }
    if webhook == before {
        return Ok(before);
    }
    webhook.updated_at = context.world.now();
    tx.update_webhook(&webhook).await?;
    let (before, after) = (shape(&before), shape(&webhook));
    let mut paths: Vec<_> = changed(&before, &after).iter().map(ToString::to_string).collect();
    // What is shown of it may be the same.
    if moved && before["url"] == after["url"] {
        paths.push("url".to_owned());
    }
    let data = json!({"before": before, "after": after, "changed": paths});
    context.audit(tx, done("webhook.updated", &webhook, data));
    Ok(webhook)
}

/// Removes a webhook and all its deliveries.
///
/// # Errors
/// There is no such webhook.
pub async fn delete(tx: &mut Tx, context: Context<'_>, id: Uuid) -> Result<(), Refusal> {
    let webhook = find(tx, id).await?;
    tx.delete_webhook(id).await?;
    context.audit(tx, done("webhook.deleted", &webhook, json!({})));
    Ok(())
}

/// Replaces the secret of a webhook. For the grace, messages are signed with both.
///
/// # Errors
/// There is no such webhook, or its messages are not signed.
pub async fn rotate_secret(
    tx: &mut Tx,
    context: Context<'_>,
    id: Uuid,
    grace: Grace,
) -> Result<IssuedWebhook, Refusal> {
    let mut webhook = find(tx, id).await?;
    let Some(replaced) = webhook.sealed_secret.take() else {
        let detail = format!("messages in the format {} are not signed", webhook.format.as_str());
        return Err(Refusal::conflict("not_signed", detail));
    };
    let (now, secret) = (context.world.now(), new_secret(context.world));
    webhook.previous_secret = (grace != Grace::NONE).then(|| (replaced, grace.ends(now)));
    webhook.sealed_secret = Some(seal(context, id, &secret));
    webhook.updated_at = now;
    tx.update_webhook(&webhook).await?;
    let data = json!({ "grace_seconds": grace.as_seconds() });
    context.audit(tx, done("webhook.secret_rotated", &webhook, data));
    Ok(IssuedWebhook { webhook, secret: Some(secret) })
}

/// Notes that an attempt has failed, which may be one too many: then the webhook is disabled.
///
/// # Errors
/// The database is away.
pub async fn note_failure(tx: &mut Tx, world: &World, id: Uuid, gone: bool) -> latchkey_store::Result<()> {
    let now = world.now();
    let Some(failing) = tx.webhook_failed(id, now).await? else { return Ok(()) };
    let long = now.duration_since(failing.since) >= FAILING_FOR && failing.failures >= FAILURES;
    let reason = match (gone, long) {
        (true, _) => "it responded with 410 Gone",
        (_, true) => "every delivery has failed for 5 days",
        (false, false) => return Ok(()),
    };
    if !failing.enabled {
        return Ok(());
    }
    tx.disable_webhook(id, reason, now).await?;
    tracing::warn!(webhook = %id, name = failing.name, reason, "a webhook is disabled");
    let by = By { actor: &Actor::system("webhooks"), world };
    by.audit(
        tx,
        AuditedAction {
            action: "webhook.disabled",
            kind: "webhook",
            id: id.to_string(),
            name: &failing.name,
            app: None,
            data: json!({"reason": reason, "failing_since": failing.since}),
        },
    );
    Ok(())
}

/// The secrets that a message is signed with at `now`, the newest first.
///
/// # Errors
/// A stored secret does not open.
pub fn signing_secrets(
    master: &MasterKey,
    webhook: &Webhook,
    now: Timestamp,
) -> Result<Vec<SecretString>, Sealed> {
    let previous = webhook.previous_secret.as_ref().filter(|(_, until)| now < *until);
    let sealed = webhook.sealed_secret.iter().chain(previous.map(|(sealed, _)| sealed));
    let purpose = Purpose::WebhookSecret(webhook.id);
    sealed.map(|sealed| master.open(purpose, sealed)).collect()
}

async fn find(tx: &mut Tx, id: Uuid) -> Result<Webhook, Refusal> {
    tx.webhook(id).await?.ok_or(Refusal::NotFound("webhook"))
}

fn new_secret(world: &World) -> SecretString {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(world.random::<32>())).into()
}

fn seal(context: Context<'_>, id: Uuid, secret: &SecretString) -> Vec<u8> {
    context.master.seal(context.world, Purpose::WebhookSecret(id), secret.expose_secret().as_bytes())
}

/// Refuses no events, and too many patterns.
fn named(events: &[EventPattern]) -> Result<(), String> {
    match events.len() {
        0 => Err("is empty: use `*` for all events".to_owned()),
        1..=MOST_NAMED => Ok(()),
        _ => Err(format!("has more than {MOST_NAMED} events: use a prefix such as `quota.*`")),
    }
}

fn distinct(events: Vec<EventPattern>) -> Vec<EventPattern> {
    let mut seen = BTreeSet::new();
    events.into_iter().filter(|event| seen.insert(event.as_str().to_owned())).collect()
}

/// Refuses apps that do not exist.
async fn refuse_unknown_apps(tx: &mut Tx, apps: &Selection) -> Result<(), Refusal> {
    let Selection::Only(ids) = apps else { return Ok(()) };
    if ids.len() > MOST_NAMED {
        return Err(Refusal::field("apps", format!("has more than {MOST_NAMED} apps: use \"all\"")));
    }
    for (index, id) in ids.iter().enumerate() {
        let known = match id.parse::<Uuid>() {
            // As it is stored, and compared.
            Ok(app) if app.to_string() == *id => tx.has_app(app).await?,
            _ => false,
        };
        if !known {
            return Err(Refusal::field(&format!("apps[{index}]"), "no app has this ID"));
        }
    }
    Ok(())
}

/// What the audit log is told of a webhook.
fn shape(webhook: &Webhook) -> Value {
    let Webhook { name, format, shown_url, events, apps, enabled, .. } = webhook;
    json!({"name": name, "format": format, "url": shown_url, "events": events, "apps": apps, "enabled": enabled})
}

fn done<'a>(action: &'static str, webhook: &'a Webhook, data: Value) -> AuditedAction<'a> {
    let (id, name) = (webhook.id.to_string(), webhook.name.as_str());
    AuditedAction { action, kind: "webhook", id, name, app: None, data }
}
