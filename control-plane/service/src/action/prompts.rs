//! An app's prompts: their versions and labels.

use latchkey_core::invalid::Invalid;
use latchkey_core::prompts::{Prompt, check_label};
use latchkey_core::settings::AppSettings;
use latchkey_store::Tx;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::apps::save::SavedApp;
use super::apps::update::update;
use super::{Context, Refusal};

/// A prompt to add to an app.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPrompt {
    /// By which texts refer to it, as `{{prompt:<name>}}`. Unique in the app, in any case: 1 to 100 letters,
    /// digits and `-_./`, with a letter or digit at both ends.
    pub name: String,
    /// The text of its first version: 1 to 32768 characters. `{{name}}` in it is a variable.
    pub text: String,
    /// Labels of this version.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// A further version of a prompt.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPromptVersion {
    /// Another text than that of the newest version: 1 to 32768 characters.
    pub text: String,
    /// Labels to set to this version; those that other versions have move to it.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// Where a label is set.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelledVersion {
    /// The number of one of the prompt's versions.
    pub version: u32,
}

/// What is done to an app's prompts.
#[derive(Clone, Debug)]
pub enum PromptEdit {
    Create(NewPrompt),
    AddVersion {
        name: String,
        new: NewPromptVersion,
    },
    SetLabel {
        name: String,
        label: String,
        version: u32,
    },
    RemoveLabel {
        name: String,
        label: String,
    },
    /// Remove the one of this name.
    Delete(String),
}

/// Adds, changes or removes a prompt of an app.
///
/// # Errors
/// There is no such app, prompt or label, the app is revoked, or what is new is wrong.
pub async fn edit_prompts(
    tx: &mut Tx,
    context: Context<'_>,
    app: Uuid,
    edit: PromptEdit,
) -> Result<SavedApp, Refusal> {
    update(tx, context, app, |_, settings| edit.apply(settings)).await
}

impl PromptEdit {
    /// Makes the edit. Another text becomes another version when the settings are validated.
    ///
    /// # Errors
    /// What is new is wrong or taken, or there is none to change.
    pub fn apply(self, settings: &mut AppSettings) -> Result<(), Refusal> {
        match self {
            Self::Create(NewPrompt { name, text, labels }) => {
                let mut prompt = Prompt::new(name, text);
                let mut invalid = Invalid::default();
                prompt.check_new("", &mut invalid);
                let same = |other: &Prompt| other.name.to_lowercase() == prompt.name.to_lowercase();
                if settings.prompts.iter().any(same) {
                    let message =
                        "another prompt of the app has this name: add a version to it, or delete it first";
                    invalid.check::<(), _>("name", Err(message));
                }
                check_labels(&labels, &mut invalid);
                invalid.into_result()?;
                let version = prompt.version;
                prompt.labels.extend(labels.into_iter().map(|label| (label, version)));
                settings.prompts.push(prompt);
            }
            Self::AddVersion { name, new: NewPromptVersion { text, labels } } => {
                let prompt = find(settings, &name)?;
                let mut invalid = Invalid::default();
                let new = Prompt::new(name, text);
                new.check_version("", &mut invalid);
                if new.text == prompt.text {
                    let message = format!("is already the text of version {}", prompt.version);
                    invalid.check::<(), _>("text", Err(message));
                }
                check_labels(&labels, &mut invalid);
                invalid.into_result()?;
                prompt.add_version(new.text);
                let version = prompt.version;
                prompt.labels.extend(labels.into_iter().map(|label| (label, version)));
            }
            Self::SetLabel { name, label, version } => {
                let prompt = find(settings, &name)?;
                let mut invalid = Invalid::default();
                invalid.check("label", check_label(&label));
                if !prompt.has(version) {
                    let message = format!("the prompt has no version {version}");
                    invalid.check::<(), _>("version", Err(message));
                }
                invalid.into_result()?;
                prompt.labels.insert(label, version);
            }
            Self::RemoveLabel { name, label } => {
                find(settings, &name)?.labels.remove(&label).ok_or(Refusal::NotFound("label"))?;
            }
            Self::Delete(name) => {
                find(settings, &name)?;
                settings.prompts.retain(|prompt| prompt.name != name);
            }
        }
        Ok(())
    }
}

fn find<'a>(settings: &'a mut AppSettings, name: &str) -> Result<&'a mut Prompt, Refusal> {
    let found = settings.prompts.iter_mut().find(|prompt| prompt.name == name);
    found.ok_or(Refusal::NotFound("prompt"))
}

fn check_labels(labels: &[String], invalid: &mut Invalid) {
    for (i, label) in labels.iter().enumerate() {
        invalid.check(&format!("labels[{i}]"), check_label(label));
    }
}
