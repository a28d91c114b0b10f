//! Gives events to webhooks and sends what is due, for as long as the process runs. Replicas share the queue: each
//! message is sent by one of them at a time, and taken over from one that no longer lives.

mod send;
mod signature;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use latchkey_core::retry::due_span;
use latchkey_core::upstream::Opened;
use latchkey_core::webhook::schedule::{LONGEST_WAIT, wait_after};
use latchkey_service::action::webhooks::messages::{Mailing, give_events};
use latchkey_service::action::webhooks::note_failure;
use latchkey_store::Store;
use latchkey_store::deliveries::{Delivery, DeliveryAttempt, DeliveryState};
use latchkey_store::queue::Queue;
use latchkey_store::seal::MasterKey;
use latchkey_store::webhooks::Webhook;
use latchkey_world::World;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::leases::{Leases, SeenLeases, stopped};
use send::MessageSender;

/// How long an attempt may take, whole.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_millis(500);
/// How many messages are sent to one webhook at once, so that a slow one holds up no other. There are at most a
/// hundred.
const AT_ONCE: usize = 4;
/// What is waited until it is tried again to note an outcome.
const REST: Duration = Duration::from_secs(1);

/// Sends messages.
#[derive(Clone)]
pub struct Deliverer {
    store: Store,
    world: World,
    sender: Arc<MessageSender>,
    leases: Leases,
    /// Whether email about the events that it gives to webhooks is queued, too.
    mailing: Mailing,
    /// How long an attempt may take, whole.
    patience: Duration,
}

/// What is being sent, by webhook.
#[derive(Debug, Default)]
struct InFlight {
    tasks: JoinSet<Uuid>,
    counts: HashMap<Uuid, usize>,
}

impl Deliverer {
    /// One that has sent nothing yet. `opened` says which private addresses webhooks may have.
    ///
    /// # Errors
    /// This machine has no certificate authorities.
    pub fn new(store: Store, world: World, master: MasterKey, opened: Arc<Opened>) -> anyhow::Result<Self> {
        let leases = Leases::new(store.clone(), Queue::Deliveries, world.id().to_string());
        let sender = Arc::new(MessageSender::new(world.clone(), master, opened)?);
        Ok(Self { store, world, sender, leases, mailing: Mailing::Off, patience: PATIENCE })
    }

    /// The same, where email is set up or not.
    #[must_use]
    pub fn mailing(self, mailing: Mailing) -> Self {
        Self { mailing, ..self }
    }

    /// One whose attempts may each take so long: 15 seconds where it is not said.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends until the process is to end, and then ends what is on its way.
    pub async fn keep(self, stopping: watch::Receiver<bool>) {
        // Beside each other, so that leases are kept however long it takes to give events.
        let ((), in_flight) = tokio::join!(self.leases.keep(stopping.clone()), self.send_all(stopping));
        self.leases.end(in_flight.tasks).await;
    }

    /// Sends until the process is to end; what is on its way then.
    async fn send_all(&self, stopping: watch::Receiver<bool>) -> InFlight {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut in_flight = InFlight::default();
        loop {
            tokio::select! {
                () = stopped(stopping.clone()) => return in_flight,
                _ = looks.tick() => {
                    if let Err(error) = self.look(&mut in_flight).await {
                        tracing::warn!(%error, "could not look after the webhooks");
                    }
                }
                Some(ended) = in_flight.tasks.join_next() => {
                    in_flight.ended(ended);
                    if let Err(error) = self.fill(&mut in_flight).await {
                        tracing::warn!(%error, "could not look what is due for webhooks");
                    }
                }
            }
        }
    }

    /// Gives events to webhooks and sends all that is due now, once.
    ///
    /// # Errors
    /// The database is away.
    pub async fn deliver_due(&self) -> latchkey_store::Result<()> {
        let mut in_flight = InFlight::default();
        self.look(&mut in_flight).await?;
        while let Some(ended) = in_flight.tasks.join_next().await {
            in_flight.ended(ended);
            self.fill(&mut in_flight).await?;
        }
        Ok(())
    }

    /// Shows that this worker lives, and takes over what others hold that do not: see [`Leases::watch`].
    ///
    /// # Errors
    /// The database is away.
    pub async fn watch_leases(&self, seen: &mut SeenLeases, now: Instant) -> latchkey_store::Result<()> {
        self.leases.watch(seen, now).await
    }

    /// Gives events to webhooks, and begins to send.
    async fn look(&self, in_flight: &mut InFlight) -> latchkey_store::Result<()> {
        while give_events(&self.store, &self.world, self.mailing).await? > 0 {
            self.fill(in_flight).await?;
        }
        self.fill(in_flight).await
    }

    /// Begins to send what is due, as much as may be sent at once.
    async fn fill(&self, in_flight: &mut InFlight) -> latchkey_store::Result<()> {
        let span = due_span(self.world.now(), LONGEST_WAIT);
        for webhook in self.store.webhooks_with_due(span.0, span.1).await? {
            let room = AT_ONCE.saturating_sub(in_flight.to(webhook.id));
            let Some(room) = i64::try_from(room).ok().filter(|room| *room > 0) else { continue };
            for delivery in self.store.lease_deliveries(webhook.id, self.leases.worker(), span, room).await? {
                let (this, webhook) = (self.clone(), webhook.clone());
                let sending = self.leases.begin(delivery.id);
                in_flight.begin(webhook.id, async move {
                    this.deliver(&webhook, delivery).await;
                    drop(sending);
                });
            }
        }
        Ok(())
    }

    /// Sends a message, and notes the outcome however long that takes: else it would be sent again.
    async fn deliver(&self, webhook: &Webhook, delivery: Delivery) {
        let answer = self.sender.send(webhook, &delivery, self.patience).await;
        let now = self.world.now();
        let (step, attempts) = (delivery.step.saturating_add(1), delivery.attempts.saturating_add(1));
        let delivered = answer.error.is_none();
        let [a, b, c, d] = self.world.random::<4>();
        let wait = wait_after(step, answer.asked_wait, u32::from_be_bytes([a, b, c, d]));
        let next_at = wait.and_then(|wait| now.checked_add(SignedDuration::try_from(wait).ok()?).ok());
        let state = match (delivered, next_at) {
            (true, _) => DeliveryState::Delivered,
            (false, Some(_)) => DeliveryState::Pending,
            (false, None) => DeliveryState::Failed,
        };
        let ended = Delivery { state, step, attempts, next_at: next_at.unwrap_or(now), ..delivery };
        let gone = answer.is_gone();
        let attempt = DeliveryAttempt {
            at: now,
            status: answer.status.map(Into::into),
            error: answer.error,
            elapsed_ms: answer.elapsed_ms,
            answer: answer.body,
        };
        if let Some(error) = &attempt.error {
            let (webhook, message) = (webhook.id, &ended.message_id);
            tracing::info!(%webhook, message, attempts, error, "a message was not delivered");
        }
        while let Err(error) = self.note(&ended, &attempt, gone).await {
            tracing::warn!(%error, message = ended.message_id, "could not note the outcome of a message to a webhook");
            tokio::time::sleep(REST).await;
        }
    }

    async fn note(
        &self,
        ended: &Delivery,
        attempt: &DeliveryAttempt,
        gone: bool,
    ) -> latchkey_store::Result<()> {
        let mut tx = self.store.begin().await?;
        // Its row is locked before those of its messages, as by whoever replays them.
        let is_there = tx.webhook(ended.webhook_id).await?.is_some();
        if !is_there || !tx.end_attempt(self.leases.worker(), ended, attempt).await? {
            // The webhook was deleted, or another has the message.
            return Ok(());
        }
        match &attempt.error {
            None => tx.webhook_succeeded(ended.webhook_id).await?,
            Some(_) => note_failure(&mut tx, &self.world, ended.webhook_id, gone).await?,
        }
        tx.commit().await
    }
}

impl InFlight {
    fn to(&self, webhook: Uuid) -> usize {
        self.counts.get(&webhook).copied().unwrap_or(0)
    }

    fn begin(&mut self, webhook: Uuid, sending: impl Future<Output = ()> + Send + 'static) {
        *self.counts.entry(webhook).or_default() += 1;
        self.tasks.spawn(async move {
            sending.await;
            webhook
        });
    }

    fn ended(&mut self, ended: Result<Uuid, tokio::task::JoinError>) {
        match ended {
            Ok(webhook) => {
                if let Some(count) = self.counts.get_mut(&webhook) {
                    *count = count.saturating_sub(1);
                }
                self.counts.retain(|_, count| *count > 0);
            }
            // Whose it was is not known: what is counted too much is a place less for that webhook.
            Err(error) => tracing::error!(%error, "a message to a webhook could not be sent"),
        }
    }
}
