//! The names of members that count, however a lenient parser may spell them.

/// The members at a body's top that the gate reads. Each may stand there once.
pub(super) const READ: [&str; 28] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "best_of",
    "messages",
    "input",
    "prompt",
    "tools",
    "previous_response_id",
    "conversation",
    "background",
    "web_search_options",
    "search_parameters",
    "data_sources",
    "plugins",
    "container",
    "context_management",
    "mcp_servers",
    "file_id",
    "file_ids",
    "file_url",
    "service_tier",
    "speed",
    "inference_geo",
];

/// Where providers that resell others' models look for further ones.
const LISTS: [&str; 2] = ["models", "fallbacks"];

/// What a member at the body's top means, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// One of [`READ`].
    Read(&'static str),
    /// A lenient parser takes it for one of [`READ`], though it is not spelled so.
    Like(&'static str),
    /// One of [`LISTS`], or what a lenient parser takes for it.
    List,
    Other,
}

impl Member {
    pub(super) fn named(name: &str) -> Self {
        if let Some(known) = READ.iter().find(|known| **known == name) {
            return Self::Read(known);
        }
        let stem = name.split('[').next().unwrap_or(name).trim();
        if LISTS.iter().any(|list| folds_to(stem, list)) {
            return Self::List;
        }
        if is_plain(name) {
            return Self::Other;
        }
        READ.iter().find(|known| folds_to(stem, known)).map_or(Self::Other, |known| Self::Like(known))
    }
}

/// The one of `names` that the most lenient parser takes `text` for.
pub(super) fn among(text: &str, names: &[&'static str]) -> Option<&'static str> {
    let plain = is_plain(text);
    names.iter().find(|name| **name == text || !plain && folds_to(text, name)).copied()
}

/// The same for the name of a member, of which some parsers read no more than what comes before a
/// bracket.
pub(super) fn among_members(text: &str, names: &[&'static str]) -> Option<&'static str> {
    if is_plain(text) {
        return names.iter().find(|name| **name == text).copied();
    }
    let stem = text.split('[').next().unwrap_or(text).trim();
    names.iter().find(|name| folds_to(stem, name)).copied()
}

/// Whether the most lenient parser takes a member's name for `name`.
pub(crate) fn may_be_member(text: &str, name: &'static str) -> bool {
    among_members(text, &[name]).is_some()
}

/// Whether no parser takes it for another name.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Whether the most lenient parsers take `text` for `name`: Go's fold two letters into ASCII.
fn folds_to(text: &str, name: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    };
    text.chars().map(fold).eq(name.chars())
}
