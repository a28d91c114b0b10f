//! An app's own categories of content, and its prompts.

use latchkey_core::content::{CustomCategory, Prompt};
use latchkey_core::invalid::Invalid;
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

/// What is done to an app's prompts.
#[derive(Clone, Debug)]
pub enum PromptEdit {
    Create(Prompt),
    /// Remove the one of this name.
    Delete(String),
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

/// Adds or removes a prompt of an app.
///
/// # Errors
/// There is no such app or prompt, the app is revoked, or the prompt is wrong.
pub async fn edit_prompts(
    tx: &mut Tx,
    context: Context<'_>,
    app: Uuid,
    edit: PromptEdit,
) -> Result<SavedApp, Refusal> {
    update(tx, context, app, |_, settings| edit.apply(settings)).await
}

impl PromptEdit {
    /// Makes the edit.
    ///
    /// # Errors
    /// The new prompt is wrong or its name is taken, or there is none to remove.
    pub fn apply(self, settings: &mut AppSettings) -> Result<(), Refusal> {
        match self {
            Self::Create(prompt) => {
                let mut invalid = Invalid::default();
                prompt.check("", &mut invalid);
                let same = |other: &Prompt| other.name.to_lowercase() == prompt.name.to_lowercase();
                if settings.prompts.iter().any(same) {
                    let message = "another prompt of the app has this name: delete that first";
                    invalid.check::<(), _>("name", Err(message));
                }
                invalid.into_result()?;
                settings.prompts.push(prompt);
            }
            Self::Delete(name) => {
                let before = settings.prompts.len();
                settings.prompts.retain(|prompt| prompt.name != name);
                if settings.prompts.len() == before {
                    return Err(Refusal::NotFound("prompt"));
                }
            }
        }
        Ok(())
    }
}
