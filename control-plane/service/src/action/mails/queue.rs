//! Email is queued in the transaction that gives its event to webhooks.

use std::collections::BTreeSet;

use latchkey_core::mail::schedule::{LONGEST_WAIT, digest_due};
use latchkey_core::mail::{MailFrequency, MailTopic};
use latchkey_core::retry::due_span;
use latchkey_store::events::EventMessage;
use latchkey_store::mails::MailKind;
use latchkey_store::{Store, Tx};
use latchkey_world::World;

use super::concerned::{MailEvent, concerned};
use super::{MOST_PENDING, new_message_id};

/// How many digests are made at a time.
const AT_ONCE: i64 = 100;

/// Queues email about an event for the people whom it concerns, each as often as they want it. For whom many are pending,
/// it waits for the digest.
///
/// # Errors
/// The database is away.
pub async fn queue(tx: &mut Tx, world: &World, event: &EventMessage) -> latchkey_store::Result<()> {
    let Some(topic) = MailTopic::of(&event.kind) else { return Ok(()) };
    let event = MailEvent::of(event);
    let people = concerned(tx, &event).await?;
    let ids: BTreeSet<_> = people.iter().map(|user| user.id).collect();
    let preferences = tx.mail_preferences(&ids).await?;
    let now = world.now();
    for user in ids {
        let frequency = preferences.get(&user).copied().unwrap_or_default().frequency(topic);
        let mail = match frequency {
            MailFrequency::Off => continue,
            MailFrequency::AtOnce if tx.pending_mails(user).await? < MOST_PENDING => {
                Some(tx.queue_mail(user, MailKind::Event, &new_message_id(world), now).await?)
            }
            MailFrequency::AtOnce | MailFrequency::Daily => None,
        };
        tx.tell_by_mail(event.id, user, mail, digest_due(now)).await?;
    }
    Ok(())
}

/// Queues the digests that are due, each in a transaction with what it is about; how many.
///
/// # Errors
/// The database is away.
pub async fn queue_digests(store: &Store, world: &World) -> latchkey_store::Result<usize> {
    let now = world.now();
    let span = due_span(now, LONGEST_WAIT);
    let mut queued = 0;
    for user in store.digests_due(span, AT_ONCE).await? {
        let mut tx = store.begin().await?;
        let mail = tx.queue_mail(user, MailKind::Digest, &new_message_id(world), now).await?;
        if tx.take_digest(user, mail, span).await? == 0 {
            // Another has made it.
            tx.abandon().await?;
            continue;
        }
        tx.commit().await?;
        queued += 1;
    }
    Ok(queued)
}
