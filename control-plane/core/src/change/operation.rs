//! What a version of an app's configuration came of.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Change;

/// What a version came of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = VersionOperation)]
pub enum Operation {
    /// The app was created.
    Create,
    /// Its settings, or several kinds of them at once.
    UpdateConfig,
    /// Its tags alone.
    SetTags,
    /// How users are recognised.
    JwtAuthSettings,
    /// Its own categories of content.
    UpdateCustomCategory,
    /// Prompts, versions or labels were added, or labels removed.
    PromptStoreCreate,
    /// Prompts were removed.
    PromptStoreDelete,
    /// What users may do by themselves.
    SelfService,
    /// An older version was restored.
    Rollback,
}

/// Why a word is not an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an operation")]
pub struct NotAnOperation(String);

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::UpdateConfig,
        Self::SetTags,
        Self::JwtAuthSettings,
        Self::UpdateCustomCategory,
        Self::PromptStoreCreate,
        Self::PromptStoreDelete,
        Self::SelfService,
        Self::Rollback,
    ];

    /// What an edit that makes these changes is.
    #[must_use]
    pub fn of(changes: &[Change]) -> Self {
        let all_in = |root: &str| changes.iter().all(|change| change.path.root() == root);
        match () {
            () if changes.is_empty() => Self::UpdateConfig,
            () if all_in("tags") => Self::SetTags,
            () if all_in("identity") => Self::JwtAuthSettings,
            () if all_in("custom_categories") => Self::UpdateCustomCategory,
            () if all_in("self_service") => Self::SelfService,
            () if all_in("prompts") && changes.iter().all(removes_prompt) => Self::PromptStoreDelete,
            () if all_in("prompts") => Self::PromptStoreCreate,
            () => Self::UpdateConfig,
        }
    }

    /// The operation's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::UpdateConfig => "update_config",
            Self::SetTags => "set_tags",
            Self::JwtAuthSettings => "jwt_auth_settings",
            Self::UpdateCustomCategory => "update_custom_category",
            Self::PromptStoreCreate => "prompt_store_create",
            Self::PromptStoreDelete => "prompt_store_delete",
            Self::SelfService => "self_service",
            Self::Rollback => "rollback",
        }
    }
}

/// Whether a whole prompt goes, and not one of its labels.
fn removes_prompt(change: &Change) -> bool {
    change.after.is_none() && change.path.segments().len() == 2
}

impl std::str::FromStr for Operation {
    type Err = NotAnOperation;

    fn from_str(word: &str) -> Result<Self, NotAnOperation> {
        let mut all = Self::ALL.into_iter();
        all.find(|known| known.as_str() == word).ok_or_else(|| NotAnOperation(word.to_owned()))
    }
}
