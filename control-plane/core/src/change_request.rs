//! Requests of users for changes of an app's configuration, which an admin decides on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::{Change, Configuration};

/// What is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeRequestKind)]
pub enum Kind {
    /// Limits, models and the like.
    UpdateConfig,
    /// Its tags.
    SetTags,
    /// How users are recognised.
    JwtAuthSettings,
    /// Its own categories of content.
    CustomCategories,
    /// One prompt.
    PromptStore,
}

/// How far a request has come. All but `pending` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeRequestStatus)]
pub enum Status {
    /// Nobody has decided.
    Pending,
    /// It was applied.
    Approved,
    /// An admin said no.
    Rejected,
    /// It was approved, but could not be applied.
    Failed,
    /// A field that it touches was changed since.
    Stale,
    /// The requester took it back.
    Withdrawn,
}

/// Why a word is no kind or status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid value")]
pub struct NotAWord(String);

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::UpdateConfig, Self::SetTags, Self::JwtAuthSettings, Self::CustomCategories, Self::PromptStore];

    /// The fields of a configuration that users may ask to change with this kind. The name, the mode and
    /// whether values are kept (which replace or forget keys), the metadata (which may hold what only
    /// admins see) and the self-service settings are in none.
    #[must_use]
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::UpdateConfig => &[
                "alert_thresholds",
                "allowed_models",
                "allowed_providers",
                "expires_at",
                "guardrails",
                "ip_allow_list",
                "limits",
                "mcp_argument_rules",
                "mcp_scope",
                "named_key_limits",
                "prompt_required",
                "require_conversation_id",
                "routing_groups",
                "target_header",
                "time_zone",
            ],
            Self::SetTags => &["tags"],
            Self::JwtAuthSettings => &["identity"],
            Self::CustomCategories => &["custom_categories"],
            Self::PromptStore => &["prompts"],
        }
    }

    /// Those of `changes` that this kind may make.
    #[must_use]
    pub fn only(self, mut changes: Vec<Change>) -> Vec<Change> {
        changes.retain(|change| self.fields().contains(&change.path.root()));
        changes
    }
}

/// Why a request for `wanted` is stale once `changes` have led to `now`; none while it is not.
#[must_use]
pub fn outdated(wanted: &[Change], changes: &[Change], now: &Configuration) -> Option<String> {
    let touched: Vec<_> = wanted
        .iter()
        .filter(|change| change.is_stale(changes, now))
        .map(|change| format!("`{}`", change.path))
        .collect();
    (!touched.is_empty()).then(|| touched.join(", "))
}

macro_rules! words {
    ($($type:ident { $($word:literal $variant:ident),* })*) => {$(
        impl $type {
            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl std::str::FromStr for $type {
            type Err = NotAWord;

            fn from_str(word: &str) -> Result<Self, NotAWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(NotAWord(word.to_owned())),
                }
            }
        }
    )*};
}

words! {
    Kind {
        "update_config" UpdateConfig, "set_tags" SetTags, "jwt_auth_settings" JwtAuthSettings,
        "custom_categories" CustomCategories, "prompt_store" PromptStore
    }
    Status {
        "pending" Pending, "approved" Approved, "rejected" Rejected, "failed" Failed, "stale" Stale,
        "withdrawn" Withdrawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_api() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for status in ["pending", "approved", "rejected", "failed", "stale", "withdrawn"] {
            let read: Status = status.parse().unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), status);
        }
    }

    #[test]
    fn no_kind_reaches_keys_or_access() {
        for kind in Kind::ALL {
            for field in ["name", "mode", "keep_key_values", "self_service", "metadata"] {
                assert!(!kind.fields().contains(&field), "{field}");
            }
        }
    }
}
