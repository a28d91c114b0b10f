//! Queues email about events and sends what is due, for as long as the process runs. Replicas share the queue: each
//! email is sent by one of them at a time, and taken over from one that no longer lives.

pub mod send;
pub mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use latchkey_core::mail::schedule::{LONGEST_WAIT, wait_after};
use latchkey_core::retry::due_span;
use latchkey_service::action::mails::letter::letter;
use latchkey_service::action::mails::queue::queue_digests;
use latchkey_service::action::webhooks::messages::{Mailing, give_events};
use latchkey_store::Store;
use latchkey_store::mails::{Mail, MailAttempt, MailState};
use latchkey_store::queue::Queue;
use latchkey_world::World;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::leases::{Leases, SeenLeases, stopped};
use send::{MailSender, SendFailure};
use settings::MailSettings;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_millis(500);
/// How many emails are sent at once, each over a connection of its own.
const AT_ONCE: usize = 4;
/// What is waited until it is tried again to note an outcome.
const REST: Duration = Duration::from_secs(1);

/// Sends email.
#[derive(Clone, Debug)]
pub struct Mailer {
    store: Store,
    world: World,
    sender: Arc<MailSender>,
    leases: Leases,
    /// Where browsers find Latchkey: without a path.
    origin: Arc<str>,
}

impl Mailer {
    /// One that has sent nothing yet. `origin` is where browsers find Latchkey.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(store: Store, world: World, settings: MailSettings, origin: &str) -> anyhow::Result<Self> {
        let leases = Leases::new(store.clone(), Queue::Mails, world.id().to_string());
        let sender = Arc::new(MailSender::new(settings, origin)?);
        Ok(Self { store, world, sender, leases, origin: origin.into() })
    }

    /// Sends until the process is to end, and then ends what is on its way.
    pub async fn keep(self, stopping: watch::Receiver<bool>) {
        // Beside each other, so that leases are kept however long it takes to queue.
        let ((), in_flight) = tokio::join!(self.leases.keep(stopping.clone()), self.send_all(stopping));
        self.leases.end(in_flight).await;
    }

    /// Sends until the process is to end; what is on its way then.
    async fn send_all(&self, stopping: watch::Receiver<bool>) -> JoinSet<()> {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut in_flight = JoinSet::new();
        loop {
            tokio::select! {
                () = stopped(stopping.clone()) => return in_flight,
                _ = looks.tick() => {
                    if let Err(error) = self.look(&mut in_flight).await {
                        tracing::warn!(%error, "could not look after email");
                    }
                }
                Some(ended) = in_flight.join_next() => {
                    noted(ended);
                    if let Err(error) = self.fill(&mut in_flight).await {
                        tracing::warn!(%error, "could not look which email is due");
                    }
                }
            }
        }
    }

    /// Queues email and sends all that is due now, once.
    ///
    /// # Errors
    /// The database is away.
    pub async fn send_due(&self) -> latchkey_store::Result<()> {
        let mut in_flight = JoinSet::new();
        self.look(&mut in_flight).await?;
        while let Some(ended) = in_flight.join_next().await {
            noted(ended);
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

    /// Gives events to people, makes the digests that are due, and begins to send.
    async fn look(&self, in_flight: &mut JoinSet<()>) -> latchkey_store::Result<()> {
        while give_events(&self.store, &self.world, Mailing::On).await? > 0 {
            self.fill(in_flight).await?;
        }
        queue_digests(&self.store, &self.world).await?;
        self.fill(in_flight).await
    }

    /// Begins to send what is due, as much as may be sent at once.
    async fn fill(&self, in_flight: &mut JoinSet<()>) -> latchkey_store::Result<()> {
        let room = AT_ONCE.saturating_sub(in_flight.len());
        let Some(room) = i64::try_from(room).ok().filter(|room| *room > 0) else { return Ok(()) };
        let span = due_span(self.world.now(), LONGEST_WAIT);
        for mail in self.store.lease_mails(self.leases.worker(), span, room).await? {
            let this = self.clone();
            let sending = self.leases.begin(mail.id);
            in_flight.spawn(async move {
                this.send(&mail).await;
                drop(sending);
            });
        }
        Ok(())
    }

    /// Sends an email, and notes the outcome however long that takes: else it would be sent again.
    async fn send(&self, mail: &Mail) {
        let attempt = match letter(&self.store, &self.origin, mail, self.world.now()).await {
            Ok(Some(letter)) => self.ended(mail, self.sender.send(&letter, mail).await.err()),
            Ok(None) => {
                tracing::info!(mail = mail.message_id, "an email has nothing left to say and is not sent");
                self.attempt(MailState::Dropped, String::new())
            }
            Err(latchkey_store::Error::ColumnDecode { index, source }) => {
                tracing::error!(%source, column = index, mail = mail.message_id, "what an email is about cannot be read");
                self.attempt(MailState::Failed, "its content cannot be read: see the log".to_owned())
            }
            // The lease stays, and is taken over once the database is back.
            Err(error) => {
                return tracing::warn!(%error, mail = mail.message_id, "could not read what an email says");
            }
        };
        if !attempt.error.is_empty() {
            let (mail, attempts, error) = (&mail.message_id, mail.attempts.saturating_add(1), &attempt.error);
            tracing::info!(mail, attempts, error, "an email was not sent");
        }
        while let Err(error) = self.store.end_mail_attempt(self.leases.worker(), mail, &attempt).await {
            tracing::warn!(%error, mail = mail.message_id, "could not note the outcome of an email");
            tokio::time::sleep(REST).await;
        }
    }

    /// What an attempt makes of an email.
    fn ended(&self, mail: &Mail, failure: Option<SendFailure>) -> MailAttempt {
        let Some(SendFailure { error, is_final }) = failure else {
            return self.attempt(MailState::Sent, String::new());
        };
        let [a, b, c, d] = self.world.random::<4>();
        let wait = wait_after(mail.attempts.saturating_add(1), u32::from_be_bytes([a, b, c, d]));
        let next = wait.filter(|_| !is_final).and_then(|wait| SignedDuration::try_from(wait).ok());
        let Some(next_at) = next.and_then(|wait| self.world.now().checked_add(wait).ok()) else {
            return self.attempt(MailState::Failed, error);
        };
        MailAttempt { next_at, ..self.attempt(MailState::Pending, error) }
    }

    fn attempt(&self, state: MailState, error: String) -> MailAttempt {
        let now = self.world.now();
        MailAttempt { state, at: now, next_at: now, error }
    }
}

fn noted(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an email could not be sent");
    }
}
