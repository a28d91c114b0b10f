//! An app's prompts, ready to be referred to.

use std::collections::BTreeMap;

use latchkey_proto::discovery as wire;
use latchkey_proto::prompt::version;

use crate::snapshot::InvalidResource;

/// An app's prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    by_id: BTreeMap<String, StoredPrompt>,
    /// Whether system, developer and `instructions` texts must be references and nothing else.
    pub is_required: bool,
}

/// One prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredPrompt {
    /// By number; at least one.
    versions: BTreeMap<u32, String>,
    labels: BTreeMap<String, u32>,
}

/// A version of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PromptVersion<'a> {
    pub id: &'a str,
    pub number: u32,
    pub text: &'a str,
}

/// What a reference names, and the app does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    Prompt,
    Version,
    Label,
}

impl Prompts {
    /// The version that `<id>`, `<id>@v3` or `<id>@<label>` names.
    pub(super) fn find(&self, name: &str) -> Result<PromptVersion<'_>, NotFound> {
        if let Some((id, prompt)) = self.by_id.get_key_value(name) {
            return prompt.newest(id).ok_or(NotFound::Prompt);
        }
        let (id, selector) = name.rsplit_once('@').ok_or(NotFound::Prompt)?;
        let (id, prompt) = self.by_id.get_key_value(id).ok_or(NotFound::Prompt)?;
        match version(selector) {
            Some(number) => prompt.version(id, number).ok_or(NotFound::Version),
            None => {
                let number = prompt.labels.get(selector);
                let found = number.and_then(|number| prompt.version(id, *number));
                found.ok_or(NotFound::Label)
            }
        }
    }

    /// The longest id at the beginning of the text that `is_whole` accepts by what follows it.
    pub(super) fn longest_id(&self, text: &str, is_whole: impl Fn(&str) -> bool) -> Option<&str> {
        let ids = self.by_id.keys().map(String::as_str);
        ids.filter(|id| text.strip_prefix(id).is_some_and(&is_whole)).max_by_key(|id| id.len())
    }
}

impl StoredPrompt {
    fn newest<'a>(&'a self, id: &'a str) -> Option<PromptVersion<'a>> {
        let (number, text) = self.versions.last_key_value()?;
        Some(PromptVersion { id, number: *number, text })
    }

    fn version<'a>(&'a self, id: &'a str, number: u32) -> Option<PromptVersion<'a>> {
        self.versions.get(&number).map(|text| PromptVersion { id, number, text })
    }
}

impl TryFrom<wire::Prompts> for Prompts {
    type Error = InvalidResource;

    fn try_from(wire::Prompts { prompts, required }: wire::Prompts) -> Result<Self, InvalidResource> {
        let mut by_id = BTreeMap::new();
        for wire::Prompt { id, versions, labels } in prompts {
            let refused = |why: &str| InvalidResource::Prompts(format!("`{id}` {why}"));
            if id.is_empty() || id.chars().any(char::is_control) {
                return Err(InvalidResource::Name("prompts.id"));
            }
            let mut prompt = StoredPrompt::default();
            for wire::PromptVersion { number, text } in versions {
                if number == 0 {
                    return Err(InvalidResource::Zero("prompts.versions.number"));
                }
                if prompt.versions.insert(number, text).is_some() {
                    return Err(refused(&format!("has version {number} twice")));
                }
            }
            if prompt.versions.is_empty() {
                return Err(refused("has no version"));
            }
            for wire::PromptLabel { name: label, version: number } in labels {
                if !prompt.versions.contains_key(&number) {
                    return Err(refused(&format!(
                        "has the label `{label}` on a version that it does not have"
                    )));
                }
                if prompt.labels.contains_key(&label) {
                    return Err(refused(&format!("has the label `{label}` twice")));
                }
                prompt.labels.insert(label, number);
            }
            if by_id.contains_key(&id) {
                return Err(refused("is there twice"));
            }
            by_id.insert(id, prompt);
        }
        Ok(Self { by_id, is_required: required })
    }
}
