//! What the audit log is told.

use latchkey_core::chain::AuditEntry;
use latchkey_store::Tx;
use latchkey_store::apps::App;
use latchkey_store::keys::Key;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{By, Context};

/// Something that was done, as an action tells it.
#[derive(Clone, Debug)]
pub struct AuditedAction<'a> {
    /// What was done: `key.revoked`, `group.member_removed`, ….
    pub action: &'static str,
    /// What kind of thing it was done to.
    pub kind: &'static str,
    pub id: String,
    pub name: &'a str,
    /// The app that it is about.
    pub app: Option<Uuid>,
    /// More of it, an object without secrets.
    pub data: Value,
}

impl<'a> AuditedAction<'a> {
    #[must_use]
    pub fn to_app(action: &'static str, app: &'a App, data: Value) -> Self {
        Self { action, kind: "app", id: app.id.to_string(), name: app.name.as_str(), app: Some(app.id), data }
    }

    /// To a key; `data` is an object, to which whose key it is is added.
    #[must_use]
    pub fn to_key(action: &'static str, key: &'a Key, mut data: Value) -> Self {
        let whose = key.user_id.map_or(json!("app"), |_| json!("user"));
        data["of"] = whose;
        if let Some(user) = key.user_id {
            data["user_id"] = json!(user);
        }
        Self {
            action,
            kind: "key",
            id: key.id.to_string(),
            name: key.name.as_str(),
            app: Some(key.app_id),
            data,
        }
    }
}

impl By<'_> {
    /// Adds what was done to the audit log, within the transaction that did it.
    pub fn audit(&self, tx: &mut Tx, done: AuditedAction<'_>) {
        let actor = self.actor;
        tx.audit(AuditEntry {
            at_ms: self.world.now().as_millisecond(),
            actor_kind: actor.kind().to_owned(),
            actor_id: actor.id(),
            actor_name: actor.name.clone(),
            client_address: actor.address.map(|address| address.to_string()).unwrap_or_default(),
            action: done.action.to_owned(),
            subject_kind: done.kind.to_owned(),
            subject_id: done.id,
            subject_name: done.name.to_owned(),
            app_id: done.app.map(|id| id.to_string()).unwrap_or_default(),
            data: done.data.to_string(),
        });
    }
}

impl Context<'_> {
    /// As [`By::audit`].
    pub fn audit(&self, tx: &mut Tx, done: AuditedAction<'_>) {
        self.by().audit(tx, done);
    }
}
