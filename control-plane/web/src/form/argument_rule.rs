//! The line of one rule about the arguments of an MCP tool: `github/create_issue /repo: like acme/*`.

use latchkey_core::mcp::McpArgumentRule;
use serde_json::{Number, Value, json};

const SHAPE: &str = "must be like `github/create_issue /repo: like acme/*`: the tool, the argument as a JSON pointer, a \
     colon, and `like`, `one of`, `from … to …`, `at least`, `at most`, or `absent`, optionally preceded by \
     `optional`";

/// The rules, each on a line.
#[must_use]
pub fn write_all(rules: &[McpArgumentRule]) -> String {
    rules.iter().map(write).collect::<Vec<_>>().join("\n")
}

fn write(rule: &McpArgumentRule) -> String {
    let McpArgumentRule { tool, argument, glob, one_of, min, max, absent: _, optional } = rule;
    let check = match (glob, one_of, min, max) {
        (Some(glob), ..) => format!("like {glob}"),
        (_, Some(values), ..) => {
            let values: Vec<_> = values.iter().map(Value::to_string).collect();
            format!("one of {}", values.join(", "))
        }
        (_, _, Some(min), Some(max)) => format!("from {min} to {max}"),
        (_, _, Some(min), None) => format!("at least {min}"),
        (_, _, None, Some(max)) => format!("at most {max}"),
        _ => "absent".to_owned(),
    };
    format!("{tool} {argument}: {}{check}", if *optional { "optional " } else { "" })
}

/// The rules that the lines of a text say.
pub(super) fn read_all(text: &str) -> Result<Value, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| read(line).map_err(|why| format!("`{line}`: {why}")))
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

fn read(line: &str) -> Result<Value, String> {
    let (tool, rest) = line.split_once(char::is_whitespace).ok_or(SHAPE)?;
    // A name may have a colon, and no blank behind it.
    let (argument, check) = rest.split_once(": ").ok_or(SHAPE)?;
    let check = check.trim();
    let (optional, check) =
        check.strip_prefix("optional ").map_or((false, check), |check| (true, check.trim()));
    let mut rule = json!({ "tool": tool, "argument": argument.trim(), "optional": optional });
    let of = |word: &str| check.strip_prefix(word).and_then(|rest| rest.strip_prefix(' ')).map(str::trim);
    if check == "absent" {
        rule["absent"] = json!(true);
    } else if let Some(glob) = of("like") {
        rule["glob"] = json!(glob);
    } else if let Some(values) = of("one of") {
        let values: Vec<Value> = serde_json::from_str(&format!("[{values}]")).map_err(|_| {
            "after `one of`, list quoted strings, numbers, true, false, or null, separated by commas"
                .to_owned()
        })?;
        rule["one_of"] = json!(values);
    } else if let Some((min, max)) = of("from").and_then(|range| range.split_once(" to ")) {
        (rule["min"], rule["max"]) = (number(min)?, number(max)?);
    } else if let Some(min) = of("at least") {
        rule["min"] = number(min)?;
    } else if let Some(max) = of("at most") {
        rule["max"] = number(max)?;
    } else {
        return Err(SHAPE.to_owned());
    }
    Ok(rule)
}

fn number(text: &str) -> Result<Value, String> {
    let text = text.trim();
    serde_json::from_str::<Number>(text).map(Value::Number).map_err(|_| format!("`{text}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back() {
        let lines = "github/create_issue /repo: like acme/* \u{2014} x\n\
                     github/* /a~1b/c: optional one of \"bug, or not\", 7, 0.5, true, null\n\
                     github/search /limit: from 1 to 100\n\
                     github/search /limit: at least -1.5\n\
                     github/search /limit: at most 7\n\
                     github/merge /force: absent";
        let read = read_all(lines).unwrap();
        let rules: Vec<McpArgumentRule> = serde_json::from_value(read.clone()).unwrap();
        assert_eq!(write_all(&rules), lines);
        assert_eq!(rules.len(), 6);
        assert_eq!(read_all("\n \n").unwrap(), json!([]));
        assert_eq!(read_all(&lines.replace('\n', "\r\n")).unwrap(), read);
    }

    #[test]
    fn a_line_that_says_no_rule_is_refused() {
        for line in
            ["github/x", "github/x /a", "github/x /a: maybe", "github/x /a: from 1", "github/x /a:absent"]
        {
            assert!(read_all(line).unwrap_err().contains("must be like"), "{line}");
        }
        assert!(read_all("a/b /c: one of bug").unwrap_err().contains("quoted strings"));
        assert!(read_all("a/b /c: at least x").unwrap_err().contains("`x` is not a number"));
    }
}
