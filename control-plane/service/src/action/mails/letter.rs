//! What an email says, by what is so when it is sent.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use latchkey_core::mail::content::{
    MOST_LISTED, MailContent, MailPages, MailReader, digest_mail, event_mail, test_mail,
};
use latchkey_core::mail::{MailFrequency, MailTopic};
use latchkey_core::name::{Email, Name};
use latchkey_core::role::Permission;
use latchkey_filter_core::request::redaction::without_keys;
use latchkey_store::mails::{Mail, MailKind};
use latchkey_store::users::User;
use latchkey_store::{Store, Tx};
use serde_json::Value;

use super::concerned::{MailEvent, concerned, is_told};

/// How many events of a digest are read at a time.
const PAGE: i64 = 200;
/// What happened longer ago is not told any more: email was not set up for a while.
const OLDEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An email to send.
#[derive(Clone, Debug)]
pub struct Letter {
    pub to: Email,
    pub name: Name,
    pub content: MailContent,
    /// Where its reader chooses which email they get.
    pub preferences: String,
}

/// What an email says at `now`. None where there is nothing left to say: its reader is not active, may not know of it any
/// more, or does not want it any more, or it is too old. `origin` is where browsers find Latchkey.
///
/// # Errors
/// The database is away.
pub async fn letter(
    store: &Store,
    origin: &str,
    mail: &Mail,
    now: Timestamp,
) -> latchkey_store::Result<Option<Letter>> {
    let oldest = now.checked_sub(OLDEST).unwrap_or(Timestamp::MIN);
    let mut snapshot = store.snapshot().await?;
    let letter = read(&mut snapshot, origin, mail, oldest).await;
    snapshot.abandon().await?;
    letter
}

async fn read(
    tx: &mut Tx,
    origin: &str,
    mail: &Mail,
    oldest: Timestamp,
) -> latchkey_store::Result<Option<Letter>> {
    let Some(user) = tx.user(mail.user_id).await?.filter(is_told) else { return Ok(None) };
    let pages = match user.role.permits(Permission::GatewayRead) {
        true => MailPages::Console,
        false => MailPages::Portal,
    };
    let reader = MailReader { origin, pages };
    let content = match mail.kind {
        MailKind::Test => (mail.at >= oldest).then(|| test_mail(reader)),
        MailKind::Event => {
            let told = told(tx, mail, &user, oldest).await?;
            told.messages.first().and_then(|only| event_mail(only, reader))
        }
        MailKind::Digest => {
            let told = told(tx, mail, &user, oldest).await?;
            digest_mail(&told.messages, told.more, reader)
        }
    };
    let preferences = reader.preferences();
    Ok(content.map(|content| Letter { to: user.email, name: user.name, content, preferences }))
}

/// What a reader is told of.
#[derive(Default)]
struct Told {
    /// The messages of the first events, without keys that people may have written into a reason or a name.
    messages: Vec<String>,
    /// How many more events there are.
    more: u64,
}

/// The events since `oldest` that the email is about, and that its reader is still to be told of.
async fn told(tx: &mut Tx, mail: &Mail, user: &User, oldest: Timestamp) -> latchkey_store::Result<Told> {
    let preferences = tx.mail_preferences(&[user.id].into()).await?.remove(&user.id).unwrap_or_default();
    let mut told = Told::default();
    // Of many events, most concern the same.
    let mut concerns = HashMap::new();
    let mut after = 0;
    loop {
        let events = tx.events_of_mail(mail.id, after, PAGE).await?;
        let Some(last) = events.last() else { return Ok(told) };
        after = last.id;
        for event in events {
            let wanted = MailTopic::of(&event.kind)
                .is_some_and(|topic| preferences.frequency(topic) != MailFrequency::Off);
            if !wanted || event.at < oldest {
                continue;
            }
            let mail_event = MailEvent::of(&event);
            let subject = mail_event.subject();
            let concerned = match concerns.get(&subject) {
                Some(concerned) => *concerned,
                None => {
                    let concerned = concerned(tx, &mail_event).await?.iter().any(|each| each.id == user.id);
                    concerns.insert(subject, concerned);
                    concerned
                }
            };
            match (concerned, told.messages.len() < MOST_LISTED) {
                (true, true) => told.messages.push(redacted(&event.body)),
                (true, false) => told.more += 1,
                (false, _) => {}
            }
        }
    }
}

/// A message whose every text is without keys.
fn redacted(message: &str) -> String {
    fn redact(value: &mut Value) {
        match value {
            Value::String(text) => *text = without_keys(text).into_owned(),
            Value::Array(values) => values.iter_mut().for_each(redact),
            Value::Object(members) => members.values_mut().for_each(redact),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let Ok(mut value) = serde_json::from_str(message) else { return String::new() };
    redact(&mut value);
    value.to_string()
}
