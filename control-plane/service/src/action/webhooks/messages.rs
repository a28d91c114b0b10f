//! Messages to webhooks: from events, again, and to try.

use jiff::Timestamp;
use latchkey_core::event::TEST;
use latchkey_core::webhook::EventPattern;
use latchkey_core::webhook::message::{MessageSubject, message};
use latchkey_store::deliveries::{Delivery, NewDelivery};
use latchkey_store::events::EventMessage;
use latchkey_store::webhooks::Webhook;
use latchkey_store::{Store, Tx};
use latchkey_world::World;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{done, find};
use crate::action::{Context, Refusal, mails};

/// How many events one transaction gives to webhooks and people: few, for each may be for many.
const AT_ONCE: i64 = 20;
/// How many messages may wait for one webhook.
const MOST_PENDING: u64 = 10_000;
/// How many events may be sent again at once, and how many are looked at for that.
const MOST_REPLAYED: usize = 1_000;
const MOST_LOOKED_AT: i64 = 20_000;

/// Which events to send again.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Those that happened at this moment or later,
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// and before this one.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// Of these kinds, among those that the webhook asks for; all of them by default.
    #[serde(default)]
    pub types: Option<Vec<EventPattern>>,
}

/// Whether email is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailing {
    On,
    /// It is not set up: nobody is told by it, now or later.
    Off,
}

/// Gives events to the webhooks that ask for them, and queues email to the people whom they concern, each event in the
/// transaction that notes it as given; how many.
///
/// # Errors
/// The database is away; nothing was given.
pub async fn give_events(store: &Store, world: &World, mailing: Mailing) -> latchkey_store::Result<usize> {
    if !store.has_undispatched_events().await? {
        return Ok(0);
    }
    let mut tx = store.begin().await?;
    let events = tx.take_undispatched_events(AT_ONCE).await?;
    for webhook in tx.webhooks().await?.iter().filter(|webhook| webhook.enabled) {
        let asked = |event: &&EventMessage| webhook.asks_for(&event.kind, &event.app_id);
        let asked: Vec<_> = events.iter().filter(asked).collect();
        if !asked.is_empty() {
            give(&mut tx, world, webhook, &asked).await?;
        }
    }
    if mailing == Mailing::On {
        for event in &events {
            match mails::queue::queue(&mut tx, world, event).await {
                // What cannot be read holds up neither the webhooks nor the other events.
                Err(latchkey_store::Error::ColumnDecode { index, source }) => {
                    tracing::error!(%source, column = index, event = event.id, "nobody is told by email");
                }
                queued => queued?,
            }
        }
    }
    tx.commit().await?;
    Ok(events.len())
}

/// Gives events to a webhook. Where too many messages wait for it, the rest fails at once, and its log says why.
async fn give(
    tx: &mut Tx,
    world: &World,
    webhook: &Webhook,
    events: &[&EventMessage],
) -> latchkey_store::Result<()> {
    let mut pending = tx.pending_deliveries(webhook.id, MOST_PENDING).await?;
    for event in events {
        if pending < MOST_PENDING {
            queue(tx, world, webhook, event).await?;
            pending += 1;
        } else {
            let why = format!("not sent: {MOST_PENDING} messages were waiting");
            tx.log_unsent(delivery(world, webhook, event), &why, world.now()).await?;
        }
    }
    Ok(())
}

/// Sends a test.
///
/// # Errors
/// There is no such webhook, or it is disabled.
pub async fn test(tx: &mut Tx, context: Context<'_>, id: Uuid) -> Result<String, Refusal> {
    let webhook = enabled(find(tx, id).await?)?;
    let now = context.world.now();
    let data = json!({"webhook": webhook.name, "sent_by": context.actor.name});
    let body = message(TEST, now, MessageSubject::default(), data);
    let message_id = new_message_id(context.world);
    let new = NewDelivery {
        webhook_id: id,
        event_id: None,
        message_id: message_id.clone(),
        kind: TEST,
        app_id: "",
        at: now,
        body: &body,
    };
    tx.queue_delivery(new, now).await?;
    context.audit(tx, done("webhook.tested", &webhook, json!({ "message_id": message_id })));
    Ok(message_id)
}

/// Sends a message again, the same with the same id.
///
/// # Errors
/// There is no such webhook or delivery, or the webhook is disabled.
pub async fn replay_one(
    tx: &mut Tx,
    context: Context<'_>,
    id: Uuid,
    delivery: i64,
) -> Result<Delivery, Refusal> {
    let webhook = enabled(find(tx, id).await?)?;
    let delivery = tx.requeue_delivery(id, delivery, context.world.now()).await?;
    let delivery = delivery.ok_or(Refusal::NotFound("delivery"))?;
    let data = json!({ "message_id": delivery.message_id });
    context.audit(tx, done("webhook.replayed", &webhook, data));
    Ok(delivery)
}

/// Sends all that happened in some time and that the webhook asks for, also what it was never sent. What it was sent
/// keeps its id. Gives how many messages that are.
///
/// # Errors
/// There is no such webhook, it is disabled, or too much happened.
pub async fn replay(tx: &mut Tx, context: Context<'_>, id: Uuid, which: Replay) -> Result<u64, Refusal> {
    let Replay { from, to, types } = which;
    if from >= to {
        return Err(Refusal::field("to", "must be after `from`"));
    }
    let webhook = enabled(find(tx, id).await?)?;
    let events = tx.event_messages(from, to, MOST_LOOKED_AT.saturating_add(1)).await?;
    let narrow = |most: &dyn std::fmt::Display| {
        let detail = format!(
            "there were more than {most} events in this time range: choose a shorter range or fewer types"
        );
        Refusal::conflict("too_many_events", detail)
    };
    if i64::try_from(events.len()).is_ok_and(|count| count > MOST_LOOKED_AT) {
        return Err(narrow(&MOST_LOOKED_AT));
    }
    let is_meant = |event: &&EventMessage| {
        webhook.asks_for(&event.kind, &event.app_id)
            && types.as_ref().is_none_or(|types| types.iter().any(|pattern| pattern.matches(&event.kind)))
    };
    let events: Vec<_> = events.iter().filter(is_meant).collect();
    if events.len() > MOST_REPLAYED {
        return Err(narrow(&MOST_REPLAYED));
    }
    if tx.pending_deliveries(id, MOST_PENDING).await? >= MOST_PENDING {
        let detail =
            format!("{MOST_PENDING} messages are waiting for this webhook: try again once they are sent");
        return Err(Refusal::conflict("too_many_pending", detail));
    }
    let mut queued = 0;
    for event in events {
        queued += u64::from(queue(tx, context.world, &webhook, event).await?);
    }
    let data = json!({"from": from, "to": to, "types": types, "messages": queued});
    context.audit(tx, done("webhook.replayed", &webhook, data));
    Ok(queued)
}

async fn queue(
    tx: &mut Tx,
    world: &World,
    webhook: &Webhook,
    event: &EventMessage,
) -> latchkey_store::Result<bool> {
    tx.queue_delivery(delivery(world, webhook, event), world.now()).await
}

fn delivery<'a>(world: &World, webhook: &Webhook, event: &'a EventMessage) -> NewDelivery<'a> {
    let EventMessage { id, at, kind, app_id, body } = event;
    NewDelivery {
        webhook_id: webhook.id,
        event_id: Some(*id),
        message_id: new_message_id(world),
        kind,
        app_id,
        at: *at,
        body,
    }
}

fn new_message_id(world: &World) -> String {
    format!("msg_{}", world.id().simple())
}

fn enabled(webhook: Webhook) -> Result<Webhook, Refusal> {
    if webhook.enabled {
        return Ok(webhook);
    }
    Err(Refusal::conflict("disabled", "this webhook is disabled: enable it first"))
}
