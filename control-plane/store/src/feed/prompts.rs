//! An app's prompts, as gateways hold them.

use latchkey_core::prompts::Prompt;
use latchkey_core::settings::AppSettings;
use latchkey_proto::discovery as wire;

/// None where nothing is to be taken for a reference.
pub(super) fn prompts(settings: &AppSettings) -> Option<wire::Prompts> {
    let AppSettings { prompts, prompt_required, .. } = settings;
    let prompt = |prompt: &Prompt| wire::Prompt {
        id: prompt.name.clone(),
        versions: prompt
            .versions()
            .map(|(number, text)| wire::PromptVersion { number, text: text.to_owned() })
            .collect(),
        labels: prompt
            .labels
            .iter()
            .map(|(name, version)| wire::PromptLabel { name: name.clone(), version: *version })
            .collect(),
    };
    let is_used = !prompts.is_empty() || *prompt_required;
    is_used
        .then(|| wire::Prompts { prompts: prompts.iter().map(prompt).collect(), required: *prompt_required })
}
