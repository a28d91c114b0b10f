//! Minting secrets.

use latchkey_proto::key::{ApiKey, AppKey, KeyClaim, KeyEnding, KeyHash, NamedKey};
use latchkey_store::keys::Key as Record;
use latchkey_store::seal::{Purpose, Sealed};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::action::{Context, Refusal};

#[derive(Debug)]
pub struct NewSecret {
    pub value: SecretString,
    /// What it is found by.
    pub hash: KeyHash,
    /// What people recognize it by.
    pub ending: Option<KeyEnding>,
    /// The value, encrypted, where it is kept.
    pub sealed_value: Option<Vec<u8>>,
}

/// A fresh app key for the record `id`.
#[must_use]
pub fn app_key(context: Context<'_>, id: Uuid, keep: bool) -> NewSecret {
    let key = AppKey::new(context.world.random());
    minted(context, id, keep, key.expose(), key.hash())
}

/// A fresh named key for the record `id` of `user`, under the app key `parent`.
///
/// # Errors
/// The parent's value was not kept, or does not open.
pub fn named_key(
    context: Context<'_>,
    parent: &Record,
    user: Uuid,
    id: Uuid,
    keep: bool,
) -> Result<NewSecret, Refusal> {
    let sealed = parent.sealed_value.as_deref().ok_or_else(|| {
        Refusal::conflict("app_key_not_kept", "the app key's value is not stored: rotate the app key first")
    })?;
    let value = context.master.open(Purpose::KeyValue(parent.id), sealed)?;
    let Ok(ApiKey::App(parent)) = ApiKey::parse(value.expose_secret()) else { return Err(Sealed.into()) };
    let key = NamedKey::new(&parent, KeyClaim { user, key: id }, context.world.random());
    Ok(minted(context, id, keep, key.expose(), key.hash()))
}

fn minted(context: Context<'_>, id: Uuid, keep: bool, value: &str, hash: KeyHash) -> NewSecret {
    let seal = || context.master.seal(context.world, Purpose::KeyValue(id), value.as_bytes());
    NewSecret {
        value: value.to_owned().into(),
        hash,
        ending: KeyEnding::of(value),
        sealed_value: keep.then(seal),
    }
}
