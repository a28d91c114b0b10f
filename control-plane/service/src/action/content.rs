//! An app's own categories of content.

use latchkey_core::content::CustomCategory;
use latchkey_core::settings::AppSettings;
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
    let edit = |_: &mut _, settings: &mut AppSettings| {
        settings.custom_categories = new.custom_categories;
        Ok(())
    };
    update(tx, context, app, edit).await
}
