//! Showing a key's value again, where the app keeps values.
//!
//! It is written to the audit log, so it takes a transaction that is committed before the value is given.

use latchkey_store::Tx;
use latchkey_store::keys::Key;
use latchkey_store::seal::Purpose;
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use crate::action::audit::AuditedAction;
use crate::action::{Context, Refusal};

/// The value of an app key.
///
/// # Errors
/// There is no such app, or it keeps no values.
pub async fn app_key(tx: &mut Tx, context: Context<'_>, app: Uuid) -> Result<SecretString, Refusal> {
    let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
    let mut key = tx.app_key(app.id).await?;
    key.sealed_value = key.sealed_value.filter(|_| app.settings.keep_key_values);
    show(tx, context, &key)
}

/// The value of a named key.
///
/// # Errors
/// There is no such key, or its value was not kept.
pub async fn named_key(
    tx: &mut Tx,
    context: Context<'_>,
    app: Uuid,
    id: Uuid,
) -> Result<SecretString, Refusal> {
    let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
    let key = tx.named_key(app.id, id).await?.ok_or(Refusal::NotFound("key"))?;
    show(tx, context, &key)
}

fn show(tx: &mut Tx, context: Context<'_>, key: &Key) -> Result<SecretString, Refusal> {
    let sealed = key.sealed_value.as_deref().ok_or_else(|| {
        let detail = "the value is not stored: rotate the key to get a new one";
        Refusal::conflict("value_not_kept", detail)
    })?;
    let value = context.master.open(Purpose::KeyValue(key.id), sealed)?;
    context.audit(tx, AuditedAction::to_key("key.value_shown", key, json!({})));
    Ok(value)
}
