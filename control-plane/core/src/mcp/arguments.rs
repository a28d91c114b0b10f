//! What the arguments of an app's calls of MCP tools must be.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use utoipa::ToSchema;

use super::{entry, reaches, well_formed};
use crate::hidden;
use crate::invalid::Invalid;
use crate::selection::Selection;

/// What one member of a tool's arguments must be: exactly one of `glob`, `one_of`, `min` and `max`, and `absent`. A
/// member that is missing is refused, unless the rule is `optional` or `absent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpArgumentRule {
    /// The tool, as `server/tool`; `*` in the tool stands for any run of characters. All rules of a tool hold.
    pub tool: String,
    /// The member, as a JSON pointer (RFC 6901) into the arguments: `/repo`, `/filter/owner`.
    pub argument: String,
    /// A string; `*` matches any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// One of these strings, numbers, `true`, `false` and null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Value>>)]
    pub one_of: Option<Vec<Value>>,
    /// A number that is not less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub min: Option<Number>,
    /// A number that is not more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub max: Option<Number>,
    /// It must not be given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// The most rules of an app.
const MOST_RULES: usize = 200;
/// The most values of a list.
const MOST_VALUES: usize = 100;
/// Of a pattern, a value or a path, in bytes.
const LONGEST: usize = 200;

const ONE_CHECK: &str = "must have exactly one of: `glob`, `one_of`, `min` and/or `max`, or `absent`";

/// Notes every rule that gateways could not follow.
pub fn check_arguments(path: &str, rules: &[McpArgumentRule], invalid: &mut Invalid) {
    if rules.len() > MOST_RULES {
        let message = format!("has {} rules; the maximum is {MOST_RULES}", rules.len());
        invalid.check::<(), _>(path, Err(message));
    }
    for (i, rule) in rules.iter().enumerate() {
        rule.check(&format!("{path}[{i}]"), invalid);
        if rules.iter().take(i).any(|before| before == rule) {
            invalid.check::<(), _>(&format!("{path}[{i}]"), Err("is duplicated"));
        }
    }
}

/// Notes every rule that is new over `before` and about a server that the scope does not hold: it would change nothing.
pub fn refuse_arguments_without_effect(
    path: &str,
    before: &[McpArgumentRule],
    rules: &[McpArgumentRule],
    scope: &Selection,
    invalid: &mut Invalid,
) {
    for (i, rule) in rules.iter().enumerate() {
        let (server, _) = entry(&rule.tool);
        if !before.contains(rule) && !reaches(scope, server) {
            let message = format!("has no effect: `mcp_scope` contains no tool of `{server}`");
            invalid.check::<(), _>(&format!("{path}[{i}].tool"), Err(message));
        }
    }
}

impl McpArgumentRule {
    /// The server that it is about.
    #[must_use]
    pub fn server(&self) -> &str {
        entry(&self.tool).0
    }

    fn check(&self, path: &str, invalid: &mut Invalid) {
        let Self { tool, argument, glob, one_of, min, max, absent, optional } = self;
        let of_tool = match entry(tool) {
            (_, Some(_)) => well_formed(tool),
            (_, None) => Err("must be `server/tool`, in which `*` matches any characters".to_owned()),
        };
        invalid.check(&format!("{path}.tool"), of_tool);
        invalid.check(&format!("{path}.argument"), pointer(argument));
        let checks =
            [glob.is_some(), one_of.is_some(), min.is_some() || max.is_some(), *absent].map(usize::from);
        if checks.iter().sum::<usize>() != 1 {
            invalid.check::<(), _>(path, Err(ONE_CHECK));
        }
        if let Some(glob) = glob {
            invalid.check(&format!("{path}.glob"), readable(glob));
        }
        for (i, value) in one_of.iter().flatten().enumerate() {
            invalid.check(&format!("{path}.one_of[{i}]"), scalar(value));
        }
        let count = one_of.as_ref().map_or(1, Vec::len);
        if !(1..=MOST_VALUES).contains(&count) {
            let message = format!("must have 1 to {MOST_VALUES} values");
            invalid.check::<(), _>(&format!("{path}.one_of"), Err(message));
        }
        if let (Some(min), Some(max)) = (min, max)
            && min.as_f64() > max.as_f64()
        {
            invalid.check::<(), _>(&format!("{path}.max"), Err("must not be less than `min`"));
        }
        if *absent && *optional {
            let message = "has no effect: with `absent`, the member must be missing";
            invalid.check::<(), _>(&format!("{path}.optional"), Err(message));
        }
    }
}

fn pointer(path: &str) -> Result<(), String> {
    let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
    if !path.starts_with('/') || !path.split('~').skip(1).all(is_escaped) {
        return Err(
            "must be a JSON pointer, such as `/repo` or `/filter/owner`; in a name, `~` is written `~0` \
                    and `/` is `~1`"
                .to_owned(),
        );
    }
    readable(path)
}

fn scalar(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) if text.is_empty() => Ok(()),
        Value::String(text) => readable(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::Array(_) | Value::Object(_) => {
            Err("must be a string, a number, true, false, or null".to_owned())
        }
    }
}

fn readable(text: &str) -> Result<(), String> {
    if let Some(hidden) = hidden::find(text) {
        return Err(format!("must not contain the invisible character {hidden}"));
    }
    if !(1..=LONGEST).contains(&text.len()) || text.chars().any(char::is_control) {
        return Err(format!("must be 1 to {LONGEST} bytes without control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(fields: Value) -> McpArgumentRule {
        let mut rule = json!({"tool": "github/create_issue", "argument": "/repo"});
        rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(rule).unwrap()
    }

    fn wrong(rules: &[McpArgumentRule]) -> Vec<String> {
        let mut invalid = Invalid::default();
        check_arguments("r", rules, &mut invalid);
        invalid.0.into_iter().map(|error| error.path).collect()
    }

    #[test]
    fn rules_that_gateways_can_follow_pass_and_read_back() {
        for fields in [
            json!({"glob": "acme/*"}),
            json!({"one_of": ["a", "", 7, 0.5, true, null], "optional": true}),
            json!({"min": 1, "max": 1}),
            json!({"max": -0.5}),
            json!({"absent": true, "tool": "github/*", "argument": "/a~1b/~0/0"}),
        ] {
            let rule = rule(fields.clone());
            assert_eq!(wrong(std::slice::from_ref(&rule)), [""; 0], "{fields}");
            let written = serde_json::to_value(&rule).unwrap();
            assert_eq!(serde_json::from_value::<McpArgumentRule>(written).unwrap(), rule);
        }
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_with_its_path() {
        for (fields, path) in [
            (json!({}), "r[0]"),
            (json!({"glob": "a", "absent": true}), "r[0]"),
            (json!({"glob": "a", "min": 1}), "r[0]"),
            (json!({"glob": "", }), "r[0].glob"),
            (json!({"glob": "a\u{200b}"}), "r[0].glob"),
            (json!({"one_of": []}), "r[0].one_of"),
            (json!({"one_of": ["a", ["b"]]}), "r[0].one_of[1]"),
            (json!({"min": 2, "max": 1}), "r[0].max"),
            (json!({"absent": true, "optional": true}), "r[0].optional"),
            (json!({"glob": "a", "tool": "github"}), "r[0].tool"),
            (json!({"glob": "a", "tool": "Git hub/x"}), "r[0].tool"),
            (json!({"glob": "a", "argument": "repo"}), "r[0].argument"),
            (json!({"glob": "a", "argument": ""}), "r[0].argument"),
            (json!({"glob": "a", "argument": "/a~2"}), "r[0].argument"),
        ] {
            assert_eq!(wrong(&[rule(fields.clone())]), [path], "{fields}");
        }
        let same = rule(json!({"glob": "a"}));
        assert_eq!(wrong(&[same.clone(), same.clone()]), ["r[1]"]);
        let many: Vec<_> = (0..=MOST_RULES).map(|n| rule(json!({"glob": n.to_string()}))).collect();
        assert_eq!(wrong(&many), ["r"]);
        assert!(
            serde_json::from_value::<McpArgumentRule>(json!({"tool": "a/b", "argument": "/c", "x": 1}))
                .is_err()
        );
    }

    #[test]
    fn a_new_rule_about_what_may_not_be_called_is_refused() {
        let rules = [rule(json!({"glob": "a"}))];
        let refused = |before: &[McpArgumentRule], scope: &Selection| {
            let mut invalid = Invalid::default();
            refuse_arguments_without_effect("r", before, &rules, scope, &mut invalid);
            invalid.0.into_iter().map(|error| error.path).collect::<Vec<_>>()
        };
        let only = |entry: &str| Selection::Only(vec![entry.to_owned()]);
        assert_eq!(refused(&[], &Selection::None), ["r[0].tool"]);
        assert_eq!(refused(&[], &only("files")), ["r[0].tool"]);
        assert_eq!(refused(&rules, &Selection::None), [""; 0], "it was there before");
        assert_eq!(refused(&[], &only("github/create_*")), [""; 0]);
        assert_eq!(refused(&[], &Selection::All), [""; 0]);
    }
}
