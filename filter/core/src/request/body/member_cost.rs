//! What a top-level member may cost beyond its bytes, where tokens or money are limited. A member that is not
//! known to be harmless is not bounded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::answer::denial::{Code, Denial};

/// The cost of a member beyond its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberCost {
    Bounded,
    /// The provider reads outside input, at most the model's context window.
    Window(&'static str),
    /// Not bounded, for this reason.
    Unbounded(&'static str),
}

/// Members that make the provider read more, within the model's context window.
const WINDOW: [&str; 14] = [
    "previous_response_id",
    "conversation",
    "background",
    "cached_content",
    "cachedContent",
    "documents",
    "chat_template",
    "chat_template_kwargs",
    "prompt_embeds",
    "mm_processor_kwargs",
    "media_io_kwargs",
    "file_id",
    "file_ids",
    "file_url",
];

const SEARCH: &str = "it lets the provider search, which costs more than tokens and adds input that the \
     gateway cannot see";
const HOSTED: &str = "it lets the provider run tools, whose rounds and fees the gateway cannot bound";
const LENGTH: &str = "servers that know it write longer answers than the limit allows";
const MANY: &str = "it multiplies the answers that are written";

impl MemberCost {
    pub(super) fn of(name: &str, value: &str) -> Self {
        if says_nothing(value) {
            return Self::Bounded;
        }
        if let Some(known) = WINDOW.iter().find(|known| **known == name) {
            let is_plain = name == "chat_template_kwargs" && has_only_settings(value);
            return if is_plain { Self::Bounded } else { Self::Window(known) };
        }
        match name {
            "modalities" if value.split_whitespace().collect::<String>() == "[\"text\"]" => Self::Bounded,
            "modalities" | "audio" => Self::Unbounded("answers that are not text have a price of their own"),
            "prediction" => {
                Self::Unbounded("rejected predictions are billed as output, beyond the limit of the answer")
            }
            "web_search_options" | "search_parameters" | "enable_search" | "search_options"
            | "search_settings" | "data_sources" => Self::Unbounded(SEARCH),
            "container" | "mcp_servers" | "plugins" => Self::Unbounded(HOSTED),
            "use_beam_search" | "num_beams" | "beam_width" | "num_generations" | "candidate_count" => {
                Self::Unbounded(MANY)
            }
            name if is_other_limit(name) => Self::Unbounded(LENGTH),
            _ => Self::Unbounded("the gateway does not know what it may cost"),
        }
    }
}

/// Whether a member is another server's output limit, or holds one.
pub(super) fn is_other_limit(name: &str) -> bool {
    matches!(
        name,
        "n_predict"
            | "num_predict"
            | "max_new_tokens"
            | "max_gen_len"
            | "max_length"
            | "max_tokens_to_sample"
            | "max_gen_tokens"
            | "maxTokens"
            | "maxOutputTokens"
            | "options"
            | "generation_config"
            | "generationConfig"
    )
}

/// The denial of a request with this member where tokens or money are limited.
pub(super) fn refusal(member: &str, why: &str) -> Denial {
    let shown = shown(member);
    let message = format!(
        "`{}` cannot be used where tokens or money are limited: {why}. Leave it out.",
        shown.as_deref().unwrap_or("a member of an unusual name")
    );
    Denial { param: shown.map(Cow::Owned), ..Denial::new(Code::InputNotBounded, message) }
}

/// The denial of a request with a tool that the provider runs.
pub(super) fn hosted_tool(kind: Option<&str>) -> Denial {
    let shown = kind.and_then(shown);
    let hint = match kind {
        Some(kind) if kind.starts_with("web_search") => {
            " In Codex, set `web_search = \"disabled\"` in config.toml; elsewhere, turn web search off."
        }
        _ => "",
    };
    let message = format!(
        "`tools` has {}, which the provider runs: the gateway cannot bound what it reads and costs, so it \
         cannot be used where tokens or money are limited. Leave it out.{hint}",
        shown.map_or_else(|| "a tool of an unknown type".to_owned(), |kind| format!("`{kind}`")),
    );
    Denial { param: Some("tools".into()), ..Denial::new(Code::InputNotBounded, message) }
}

/// The denial of a body that two parsers may read differently.
pub(super) fn unreadable(what: &str) -> Denial {
    let message = format!(
        "The body has {what}, so that the gateway cannot tell what it may cost: it cannot be used where tokens \
         or money are limited."
    );
    Denial::new(Code::InputNotBounded, message)
}

/// The name if it may be repeated to the client.
fn shown(name: &str) -> Option<String> {
    let is_usual =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'$');
    (!name.is_empty() && name.len() <= 64 && name.bytes().all(is_usual)).then(|| name.to_owned())
}

/// Whether a value turns nothing on.
pub(super) fn says_nothing(value: &str) -> bool {
    let list = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
    matches!(value, "null" | "false") || list.is_some_and(|list| list.trim().is_empty())
}

/// Whether an object holds no more than switches, numbers and short words.
fn has_only_settings(value: &str) -> bool {
    const SHORT: usize = 32;
    let members: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(value);
    members.is_ok_and(|members| {
        let is_setting =
            |value: &RawValue| !value.get().starts_with(['{', '[']) && value.get().len() <= SHORT;
        members.into_values().all(is_setting)
    })
}
