//! What users do with their own keys.
//!
//! An app that they may not view, and a key that is not theirs, are not there for them; but their own key they
//! can always revoke.

use jiff::Timestamp;
use latchkey_core::access::{Capability, Member};
use latchkey_core::expiry::Lifetime;
use latchkey_core::name::Name;
use latchkey_core::rotation::Grace;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::{Standing, Switch};
use latchkey_store::apps::App;
use latchkey_store::keys::Key;
use latchkey_store::{Store, Tx};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::keys;
use super::keys::create::NewKey;
use super::keys::update::EditKey;
use super::{Context, Issued, Refusal};

/// A key to create for oneself. Its limits are those that the app gives each named key.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOwnKey {
    /// What people see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
    /// When it stops. Left out, with `expires_in` too: never, or as late as the app's longest lifetime of
    /// keys lets it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The same, as a lifetime.
    pub expires_in: Option<Lifetime>,
}

/// What to change of one's own key.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditOwnKey {
    /// What people see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
}

/// The app, if this user may view it, with what decides that.
///
/// # Errors
/// There is no such app for them.
pub async fn viewed(store: &Store, user: Uuid, app: Uuid) -> Result<(App, Member), Refusal> {
    let app = store.app(app).await?.ok_or(Refusal::NotFound("app"))?;
    let member = store.member(user).await?.ok_or(Refusal::NotFound("app"))?;
    seen_by(app, member)
}

/// Creates a key for this user.
///
/// # Errors
/// There is no such app for them, it is not in named mode or does not work, or they would have more than
/// it gives.
pub async fn create(
    tx: &mut Tx,
    context: Context<'_>,
    user: Uuid,
    app: Uuid,
    new: NewOwnKey,
) -> Result<Issued, Refusal> {
    let app = locked(tx, context, user, app).await?;
    usable(&app, context)?;
    let NewOwnKey { name, expires_at, expires_in } = new;
    let new = NewKey { user_id: user, name, expires_at, expires_in, limits: None };
    keys::create::create(tx, context, app.id, new).await
}

/// Renames a key of this user's; what it was and is.
///
/// # Errors
/// There is no such key for them, or it is revoked.
pub async fn rename(
    tx: &mut Tx,
    context: Context<'_>,
    user: Uuid,
    (app, key): (Uuid, Uuid),
    EditOwnKey { name }: EditOwnKey,
) -> Result<(Key, Key), Refusal> {
    let app = locked(tx, context, user, app).await?;
    own(tx, user, &app, key).await?;
    keys::update::update(tx, context, app.id, key, EditKey { name: Some(name), ..EditKey::default() }).await
}

/// Replaces the secret of a key of this user's.
///
/// # Errors
/// There is no such key for them, it is revoked, its app does not work, or it would outlive what that
/// allows.
pub async fn rotate(
    tx: &mut Tx,
    context: Context<'_>,
    user: Uuid,
    (app, key): (Uuid, Uuid),
    grace: Grace,
) -> Result<Issued, Refusal> {
    let app = locked(tx, context, user, app).await?;
    own(tx, user, &app, key).await?;
    usable(&app, context)?;
    keys::rotate::named_key(tx, context, &app, key, grace).await
}

/// Revokes a key of this user's for good, also where they may no longer view its app.
///
/// # Errors
/// There is no such key for them.
pub async fn revoke(
    tx: &mut Tx,
    context: Context<'_>,
    user: Uuid,
    (app, key): (Uuid, Uuid),
) -> Result<Key, Refusal> {
    let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
    own(tx, user, &app, key).await?;
    keys::switch::switch(tx, context, app.id, key, Switch::Revoke).await
}

/// Refuses who may not see stored key values.
///
/// # Errors
/// They may not.
pub fn sees_values(app: &App, member: &Member) -> Result<(), Refusal> {
    if app.settings.self_service.access.grants(Capability::KeyVisibility, member) {
        return Ok(());
    }
    let detail = "this requires key visibility, which you do not have for this app: ask an admin, or rotate the key \
         to get a new value";
    Err(Refusal::Forbidden { code: "no_key_visibility", detail: detail.to_owned() })
}

/// The app, locked, if this user may view it. The revision is taken before their groups are read, as
/// [`refresh`](super::access::refresh) says, and after the app's lock, as everywhere.
async fn locked(tx: &mut Tx, context: Context<'_>, user: Uuid, app: Uuid) -> Result<App, Refusal> {
    let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
    tx.revision(context.world).await?;
    let member = tx.member(user).await?.ok_or(Refusal::NotFound("app"))?;
    seen_by(app, member).map(|(app, _)| app)
}

fn seen_by(app: App, member: Member) -> Result<(App, Member), Refusal> {
    if app.settings.self_service.access.grants(Capability::Viewer, &member) {
        return Ok((app, member));
    }
    Err(Refusal::NotFound("app"))
}

async fn own(tx: &mut Tx, user: Uuid, app: &App, key: Uuid) -> Result<Key, Refusal> {
    let key = tx.named_key(app.id, key).await?.filter(|key| key.user_id == Some(user));
    key.ok_or(Refusal::NotFound("key"))
}

/// Refuses an app whose keys would not work.
fn usable(app: &App, context: Context<'_>) -> Result<(), Refusal> {
    if app.settings.mode != CredentialMode::Named {
        let detail = "the app is in shared mode: its users share one key";
        return Err(Refusal::conflict("not_in_named_mode", detail));
    }
    let (code, what) = match app.status.standing(app.settings.expires_at, context.world.now()) {
        Standing::Active => return Ok(()),
        Standing::Inactive => ("inactive", "the app is deactivated"),
        Standing::Expired => ("expired", "the app is expired"),
        Standing::Revoked => ("revoked", "the app is revoked"),
    };
    Err(Refusal::conflict(code, format!("{what}: ask an admin")))
}
