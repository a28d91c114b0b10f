//! How apps look from outside.

use jiff::Timestamp;
use latchkey_core::expiry::{self, Lifetime};
use latchkey_core::name::Name;
use latchkey_core::selection::Selection;
use latchkey_core::settings::{AppSettings, CredentialMode};
use latchkey_core::status::Standing;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::action::{Issued, Refusal};
use crate::api::body::nullable;
use crate::api::propagation::Propagation;
use crate::store::apps::App;
use crate::store::keys::Key;

/// An app.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AppView {
    /// Opaque.
    pub id: Uuid,
    /// What people see.
    #[schema(value_type = String)]
    pub name: Name,
    /// Whether it works.
    pub status: Standing,
    /// Which credential opens it.
    pub mode: CredentialMode,
    /// When it and its keys stop; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Names of providers.
    pub allowed_providers: Selection,
    /// Names of models; `*` stands for any run of characters.
    pub allowed_models: Selection,
    /// Ranges of client addresses; null for any.
    pub ip_allow_list: Option<Vec<String>>,
    /// Free JSON, kept with the app.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// Labels.
    pub tags: Vec<String>,
    /// Whether key values are kept, encrypted, to be seen again.
    pub keep_key_values: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The app's own key; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<AppKeyView>,
}

/// An app's own key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AppKeyView {
    /// Opaque; it stays when the secret is rotated.
    pub id: Uuid,
    /// What the client presents; only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// When its secret was last replaced.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rotated_at: Option<Timestamp>,
    /// When the replaced secret stops or stopped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_secret_stops_at: Option<Timestamp>,
}

/// An app to create.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    /// What people see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
    /// Which credential opens it.
    #[serde(default)]
    pub mode: CredentialMode,
    /// When it and its keys stop.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The same, as a lifetime.
    pub expires_in: Option<Lifetime>,
    /// Names of providers.
    #[serde(default)]
    pub allowed_providers: Selection,
    /// Names of models; `*` stands for any run of characters.
    #[serde(default)]
    pub allowed_models: Selection,
    /// Addresses and CIDR ranges; null for any.
    pub ip_allow_list: Option<Vec<String>>,
    /// Free JSON, kept with the app.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether key values are kept, encrypted, to be seen again.
    #[serde(default)]
    pub keep_key_values: bool,
}

/// What to change of an app.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditApp {
    /// What people see.
    #[schema(value_type = Option<String>)]
    pub name: Option<Name>,
    /// Which credential opens it.
    pub mode: Option<CredentialMode>,
    /// When it and its keys stop; null for never.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Option<Timestamp>>,
    /// The same, as a lifetime from now.
    pub expires_in: Option<Lifetime>,
    /// Names of providers.
    pub allowed_providers: Option<Selection>,
    /// Names of models.
    pub allowed_models: Option<Selection>,
    /// Addresses and CIDR ranges; null for any.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>)]
    pub ip_allow_list: Option<Option<Vec<String>>>,
    /// Free JSON; replaced as a whole.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// Labels; replaced as a whole.
    pub tags: Option<Vec<String>>,
    /// Whether key values are kept. Turning it off forgets those that were.
    pub keep_key_values: Option<bool>,
}

/// How to rotate.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// For how long the old secret still works: 0 (the default) to 2592000 seconds (30 days).
    #[serde(default)]
    pub grace_seconds: u32,
}

/// A key with its new secret, and how far that has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rotated<K> {
    /// The key.
    pub key: K,
    /// Which gateways have applied it.
    pub propagation: Propagation,
}

/// What was switched, and how far that has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Switched<T> {
    /// The app or key as it is now.
    #[serde(flatten)]
    pub item: T,
    /// Which gateways have applied it.
    pub propagation: Propagation,
}

/// What was deleted, and how far that has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// Which gateways have applied it.
    pub propagation: Propagation,
}

/// A key's value.
#[derive(Clone, Serialize, ToSchema)]
pub struct KeyValue {
    /// What the client presents.
    pub value: String,
}

impl AppView {
    /// The view of `app` at `now`, without its key.
    #[must_use]
    pub fn new(app: App, now: Timestamp) -> Self {
        let App { id, name, status, settings, created_at, updated_at, revision: _ } = app;
        let AppSettings {
            mode,
            expires_at,
            allowed_providers,
            allowed_models,
            ip_allow_list,
            metadata,
            tags,
            keep_key_values,
        } = settings;
        Self {
            id,
            name,
            status: status.standing(expires_at, now),
            mode,
            expires_at,
            allowed_providers,
            allowed_models,
            ip_allow_list,
            metadata,
            tags,
            keep_key_values,
            created_at,
            updated_at,
            key: None,
        }
    }
}

impl AppKeyView {
    /// The view of a key, without its value.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        let old_secret_stops_at = key.retired.map(|retired| retired.at);
        Self { id: key.id, value: None, rotated_at: key.rotated_at, old_secret_stops_at }
    }

    /// The view of a key that was just made.
    #[must_use]
    pub fn issued(issued: &Issued) -> Self {
        Self { value: Some(issued.value.expose_secret().to_owned()), ..Self::new(&issued.key) }
    }
}

impl EditApp {
    /// Makes the edit.
    ///
    /// # Errors
    /// An expiration in the past, or two.
    pub fn apply(self, name: &mut Name, settings: &mut AppSettings, now: Timestamp) -> Result<(), Refusal> {
        replace(&mut settings.expires_at, expiry::edited(self.expires_at, self.expires_in, now)?);
        replace(name, self.name);
        replace(&mut settings.mode, self.mode);
        replace(&mut settings.allowed_providers, self.allowed_providers);
        replace(&mut settings.allowed_models, self.allowed_models);
        replace(&mut settings.ip_allow_list, self.ip_allow_list);
        replace(&mut settings.metadata, self.metadata);
        replace(&mut settings.tags, self.tags);
        replace(&mut settings.keep_key_values, self.keep_key_values);
        Ok(())
    }
}

fn replace<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}
