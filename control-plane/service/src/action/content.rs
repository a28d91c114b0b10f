//! An app's own categories of content.

use latchkey_core::content::{self, CustomCategory};
use latchkey_core::settings::AppSettings;
use latchkey_core::status::{Final, Status};
use latchkey_store::Tx;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::apps::save::SavedApp;
use super::apps::update::update;
use super::{Context, Refusal};

/// All categories of an app.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomCategories {
    /// Sorted by name; at most 50.
    pub custom_categories: Vec<CustomCategory>,
}

/// Replaces an app's categories.
///
/// # Errors
/// There is no such app, it is revoked, or a category is wrong.
pub async fn set_categories(
    tx: &mut Tx,
    context: Context<'_>,
    app: Uuid,
    new: CustomCategories,
) -> Result<SavedApp, Refusal> {
    let new = new.hashed(tx, app).await?;
    let edit = |_: &mut _, settings: &mut AppSettings| {
        settings.custom_categories = new.custom_categories;
        Ok(())
    };
    update(tx, context, app, edit).await
}

/// An app's categories as they would be saved: values hashed, and examples learned from and measured.
///
/// # Errors
/// As [`set_categories`].
pub async fn preview_categories(
    tx: &mut Tx,
    app: Uuid,
    new: CustomCategories,
) -> Result<CustomCategories, Refusal> {
    let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
    if app.status == Status::Revoked {
        return Err(Final.into());
    }
    let CustomCategories { custom_categories } = new.hashed(tx, app.id).await?;
    let settings = AppSettings { custom_categories, ..app.settings.clone() };
    let AppSettings { custom_categories, .. } = settings.validated_over(&app.settings)?;
    Ok(CustomCategories { custom_categories })
}

impl CustomCategories {
    /// The same with keyed hashes in the place of the values that were typed, which are kept nowhere.
    ///
    /// # Errors
    /// A value cannot be looked for, or is to be taken off a list that does not have it.
    pub async fn hashed(mut self, tx: &mut Tx, app: Uuid) -> Result<Self, Refusal> {
        let has_values = |it: &CustomCategory| !it.values.is_empty() || !it.remove_values.is_empty();
        if self.custom_categories.iter().any(has_values) {
            let key = tx.list_key(app).await?;
            content::hash_values(&mut self.custom_categories, &key)?;
        }
        Ok(self)
    }
}
