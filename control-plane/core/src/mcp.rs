//! Which MCP servers, and which of their tools, an app may use, and with what arguments.

mod arguments;

use crate::invalid::Invalid;
use crate::name::Slug;
use crate::selection::Selection;

pub use arguments::{McpArgumentRule, check_arguments, refuse_arguments_without_effect};

/// The longest name of a tool, in characters: what MCP's specification allows.
const LONGEST_TOOL: usize = 128;

/// An entry of a scope, taken apart: a server, and a tool where it names one.
#[must_use]
pub fn entry(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(server, tool)| (server, Some(tool)))
}

/// Whether a scope holds a server, or a tool of it.
#[must_use]
pub fn reaches(scope: &Selection, server: &str) -> bool {
    match scope {
        Selection::All => true,
        Selection::None => false,
        Selection::Only(entries) => entries.iter().any(|text| entry(text).0 == server),
    }
}

/// The tools of a server that a scope holds; none where that is all of them.
#[must_use]
pub fn tools(scope: &Selection, server: &str) -> Option<Vec<String>> {
    let entries = match scope {
        Selection::All => return None,
        Selection::None => return Some(Vec::new()),
        Selection::Only(entries) => entries,
    };
    let of_server = entries.iter().map(|text| entry(text)).filter(|(name, _)| *name == server);
    of_server.map(|(_, tool)| tool.filter(|tool| *tool != "*").map(str::to_owned)).collect()
}

/// Notes each entry that is neither `server` nor `server/tool`.
pub fn check(path: &str, scope: &Selection, invalid: &mut Invalid) {
    let Selection::Only(entries) = scope else { return };
    for (i, text) in entries.iter().enumerate() {
        invalid.check(&format!("{path}[{i}]"), well_formed(text));
    }
}

fn well_formed(text: &str) -> Result<(), String> {
    let (server, tool) = entry(text);
    if Slug::try_from(server.to_owned()).is_err() {
        return Err(format!(
            "`{server}` is not a valid MCP server name: an entry is `server` or `server/tool`, and `*` in a \
             tool matches any characters"
        ));
    }
    let is_tool = |tool: &str| {
        (1..=LONGEST_TOOL).contains(&tool.chars().count())
            && tool.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-./*".contains(&c))
    };
    if tool.is_some_and(|tool| !is_tool(tool)) {
        return Err(format!(
            "a tool's name is 1 to {LONGEST_TOOL} letters, digits, `_`, `-`, `.` and `/`; `*` matches any \
             characters"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(entries: &[&str]) -> Selection {
        Selection::Only(entries.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn a_scope_reaches_the_servers_that_it_or_a_tool_of_it_names() {
        let scope = only(&["github", "files/read_*"]);
        assert!(reaches(&scope, "github") && reaches(&scope, "files"));
        assert!(!reaches(&scope, "file") && !reaches(&scope, "git"));
        assert!(reaches(&Selection::All, "any") && !reaches(&Selection::None, "any"));
        assert_eq!(tools(&scope, "files"), Some(vec!["read_*".to_owned()]));
        assert_eq!(tools(&scope, "github"), None);
        assert_eq!(tools(&only(&["files/read", "files"]), "files"), None, "the whole server is named, too");
        assert_eq!(tools(&only(&["files/*"]), "files"), None);
        assert_eq!(tools(&Selection::None, "files"), Some(vec![]));
    }

    #[test]
    fn what_is_neither_a_server_nor_a_tool_is_refused_with_its_path() {
        let long = format!("files/{}", "a".repeat(129));
        let scope =
            only(&["github", "Files", "files/", "files/a b", "*", "git*/x", &long, "files/ns/read.v2-*"]);
        let mut invalid = Invalid::default();
        check("mcp_scope", &scope, &mut invalid);
        let paths: Vec<_> = invalid.0.iter().map(|error| error.path.as_str()).collect();
        let wrong = [1, 2, 3, 4, 5, 6].map(|i| format!("mcp_scope[{i}]"));
        assert_eq!(paths, wrong);
    }
}
