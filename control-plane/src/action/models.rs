//! Models.

use latchkey_core::name::ModelName;
use uuid::Uuid;

use super::{Context, Refusal, taken};
use crate::store::Tx;
use crate::store::models::Model;

/// The most models there may be: gateways get them all in one message.
const MOST_MODELS: i64 = 2000;

/// Adds a model that `provider` offers.
///
/// # Errors
/// There is no such provider, or it already offers a model of this name.
pub async fn create(
    tx: &mut Tx,
    context: Context<'_>,
    name: ModelName,
    provider: String,
    upstream_name: Option<ModelName>,
    enabled: bool,
) -> Result<Model, Refusal> {
    if tx.provider(&provider).await?.is_none() {
        return Err(Refusal::field(
            "provider",
            format!("there is no provider `{provider}`: create it first"),
        ));
    }
    if tx.count_models().await? >= MOST_MODELS {
        return Err(Refusal::conflict("too_many_models", format!("{MOST_MODELS} models are all that fit")));
    }
    let upstream_name = upstream_name.unwrap_or_else(|| name.clone());
    let created_at = context.world.now();
    let model = Model { id: context.world.id(), name, provider, upstream_name, enabled, created_at };
    tx.insert_model(&model)
        .await
        .map_err(|error| taken(error, "name", "this provider already offers a model of this name"))?;
    tx.catalogue_revision(context.world).await?;
    Ok(model)
}

/// Writes a model's upstream name and whether it is enabled.
///
/// # Errors
/// There is no such model.
pub async fn update(tx: &mut Tx, context: Context<'_>, model: &Model) -> Result<(), Refusal> {
    if !tx.update_model(model.id, &model.upstream_name, model.enabled).await? {
        return Err(Refusal::NotFound("model"));
    }
    tx.catalogue_revision(context.world).await?;
    Ok(())
}

/// Removes a model.
///
/// # Errors
/// There is no such model.
pub async fn delete(tx: &mut Tx, context: Context<'_>, id: Uuid) -> Result<(), Refusal> {
    if !tx.delete_model(id).await? {
        return Err(Refusal::NotFound("model"));
    }
    tx.catalogue_revision(context.world).await?;
    Ok(())
}
