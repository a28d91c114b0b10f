//! The categories that guardrails look for, and their detectors: those of the gateway's engine.

use std::fmt;
use std::str::FromStr;

use latchkey_guardrails::custom::CustomDefinition;
use latchkey_guardrails::{Category, CustomCategory as Engine, DETECTORS, Detector, Risk};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::GuardrailRisk;
use crate::content::CustomCategory;

/// A category that is built in, `custom` for the app's own, or `external`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuardrailCategory(Category);

/// Why a word is no category.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", names())]
pub struct NotACategory;

impl GuardrailCategory {
    /// The app's own categories, all of them.
    pub const CUSTOM: Self = Self(Category::Custom(0));

    /// What external detectors find, each by its name.
    pub const EXTERNAL: Self = Self(Category::External);

    /// Every category: those that are built in, then `custom` and `external`.
    pub fn all() -> impl Iterator<Item = Self> {
        Category::BUILT_IN.into_iter().map(Self).chain([Self::CUSTOM, Self::EXTERNAL])
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.name()
    }

    /// What looks for it; nothing that is built in looks for `custom` or `external`.
    pub fn detectors(self) -> impl Iterator<Item = &'static Detector> {
        DETECTORS.iter().filter(move |detector| detector.category == self.0)
    }

    /// Whether what was taken out may be put back.
    #[must_use]
    pub fn is_restored(self) -> bool {
        self.0 != Category::Secrets
    }

    fn is_built_in(self) -> bool {
        Category::BUILT_IN.contains(&self.0)
    }

    /// Refuses what is no detector of it, in an app with these categories of its own.
    pub(super) fn refuse_unknown(self, detector: &str, own: &[CustomCategory]) -> Result<(), String> {
        // Whether there is an external one of this name is asked where the database is.
        if self == Self::EXTERNAL {
            return Ok(());
        }
        if self == Self::CUSTOM {
            return match own.iter().any(|category| category.name == detector) {
                true => Ok(()),
                false => Err(format!("the app has no custom category called `{detector}`: add it first")),
            };
        }
        if self.detectors().any(|known| known.name == detector) {
            return Ok(());
        }
        let elsewhere = DETECTORS.iter().find(|known| known.name == detector);
        let known: Vec<_> = self.detectors().map(|known| format!("`{}`", known.name)).collect();
        Err(match elsewhere {
            Some(known) => format!("is a detector of the category `{}`", known.category.name()),
            None => format!("is not a detector of `{}`, which has {}", self.as_str(), known.join(", ")),
        })
    }

    /// Whether it, or this detector of it, finds nothing of this risk.
    pub(super) fn finds_nothing_of(self, detector: Option<&str>, least: GuardrailRisk) -> bool {
        let named = |known: &&Detector| detector.is_none_or(|name| known.name == name);
        let is_low = |known: &Detector| known.risk == Risk::Low;
        least == GuardrailRisk::High && self.is_built_in() && self.detectors().filter(named).all(is_low)
    }
}

fn names() -> String {
    let names: Vec<_> = GuardrailCategory::all().map(|category| format!("`{category}`")).collect();
    names.join(", ")
}

/// Refuses a pattern that the gateway's engine does not take.
///
/// # Errors
/// Why, and what to do.
pub fn usable_pattern(pattern: &str) -> Result<(), String> {
    let patterns = vec![pattern.to_owned()];
    compile(&CustomDefinition { patterns, ..CustomDefinition::default() })
}

/// Refuses a keyword that the gateway's engine does not take.
///
/// # Errors
/// Why, and what to do.
pub fn usable_keyword(keyword: &str) -> Result<(), String> {
    let keywords = vec![keyword.to_owned()];
    compile(&CustomDefinition { keywords, ..CustomDefinition::default() })
}

fn compile(definition: &CustomDefinition) -> Result<(), String> {
    Engine::compile(definition).map(|_| ()).map_err(|refused| refused.to_string())
}

/// Refuses an app's categories that together would cost too much in a text that is made for it. What gateways
/// do not get, since they cannot use it, costs nothing.
///
/// # Errors
/// How much that is, and what to do.
pub(crate) fn affordable(own: &[CustomCategory]) -> Result<(), String> {
    let definition = |CustomCategory { keywords, patterns, .. }: &CustomCategory| CustomDefinition {
        keywords: keywords.iter().filter(|keyword| usable_keyword(keyword).is_ok()).cloned().collect(),
        patterns: patterns.iter().filter(|pattern| usable_pattern(pattern).is_ok()).cloned().collect(),
        ..CustomDefinition::default()
    };
    let definitions: Vec<_> = own.iter().map(definition).collect();
    Engine::check(&definitions).map_err(|refused| refused.to_string())
}

impl fmt::Display for GuardrailCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for GuardrailCategory {
    type Err = NotACategory;

    fn from_str(word: &str) -> Result<Self, NotACategory> {
        Self::all().find(|category| category.as_str() == word).ok_or(NotACategory)
    }
}

impl Serialize for GuardrailCategory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for GuardrailCategory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl PartialSchema for GuardrailCategory {
    fn schema() -> RefOr<Schema> {
        let words = Self::all().map(Self::as_str);
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
        schema.description(Some("What is looked for; `custom`: the app's own categories; `external`: what an external detector finds.")).into()
    }
}

impl ToSchema for GuardrailCategory {}
