//! What the arguments of an app's tool calls must be. A call that cannot be read in one way is refused.

use std::fmt;

use latchkey_guardrails::folded_name;
use latchkey_proto::discovery as wire;
use serde_json::value::RawValue;
use wire::mcp_argument_rule::Check;

use super::decimal::Decimal;
use super::document::{FoundMember, JsonNode, LONGEST_DOCUMENT, ObjectNode, UnreadDocument};
use crate::answer::denial::{Code, Denial};
use crate::snapshot::{Glob, InvalidResource, McpEntry};

/// The rules of one app.
#[derive(Clone, Debug, Default)]
pub struct ArgumentRules(Vec<ArgumentRule>);

/// What one member must be.
#[derive(Clone, Debug)]
struct ArgumentRule {
    /// The tools that it is about, as they are written: `server/tool`.
    tool: String,
    tools: McpEntry,
    /// The folded names of these tools, which a lenient server takes for theirs.
    alike: McpEntry,
    /// As it is written: a JSON pointer.
    path: String,
    /// The names on the way to the member.
    steps: Vec<String>,
    is_optional: bool,
    check: ArgumentCheck,
}

#[derive(Clone, Debug)]
enum ArgumentCheck {
    /// A string that matches. With the pattern as it is written.
    Glob(Glob, String),
    OneOf(Vec<AllowedValue>),
    /// A number; both ends belong to the range.
    Range {
        min: Option<Decimal>,
        max: Option<Decimal>,
    },
    Absent,
}

/// A string, a number, `true`, `false` or `null`.
#[derive(Clone, Debug)]
struct AllowedValue {
    /// In canonical form.
    form: String,
    /// What the string says, where it is one.
    string: Option<String>,
}

impl ArgumentRules {
    /// Whether there are rules about tools of this server.
    #[must_use]
    pub fn are_about(&self, server: &str) -> bool {
        self.0.iter().any(|rule| rule.tools.is_of(server))
    }

    /// Whether there are rules about this tool.
    #[must_use]
    pub fn are_about_tool(&self, server: &str, tool: &str) -> bool {
        self.0.iter().any(|rule| rule.tools.is_of(server) && rule.tools.allows(tool))
    }

    /// Whether a tool may be called with these arguments.
    ///
    /// # Errors
    /// The first rule that does not hold, or the tool's name is another spelling of one that has rules. The denial says
    /// the member and the rule, never the value.
    pub fn check(&self, server: &str, tool: &str, arguments: Option<&RawValue>) -> Result<(), Denial> {
        if !self.are_about(server) {
            return Ok(());
        }
        let folded = folded_name(tool);
        // Whoever wrote its name knows that the server tells the spellings apart. A pattern says nothing of that.
        let is_named = self.0.iter().any(|rule| rule.tools.is_of(server) && rule.tools.names(tool));
        let mut rules = Vec::new();
        for rule in self.0.iter().filter(|rule| rule.tools.is_of(server)) {
            match (rule.tools.allows(tool), rule.alike.allows(&folded)) {
                (true, _) => rules.push(rule),
                // The server might take the one for the other, and no rule would have been asked.
                (false, true) if !is_named => {
                    let text = format!(
                        "The app is not allowed to call the tool `{tool}`: its name is another spelling of `{}`, which has rules for \
                         its arguments. Use the name that the server lists.",
                        rule.tool
                    );
                    return Err(Denial::new(Code::McpArgumentDenied, text));
                }
                (false, _) => {}
            }
        }
        if rules.is_empty() {
            return Ok(());
        }
        let denied = |why: String| {
            let message =
                format!("The app is not allowed to call the tool `{tool}` with these arguments: {why}.");
            Denial::new(Code::McpArgumentDenied, message)
        };
        let text = arguments.map(RawValue::get).filter(|text| *text != "null").unwrap_or("{}");
        let arguments = match JsonNode::read(text) {
            Ok(JsonNode::Object(arguments)) => arguments,
            Ok(_) | Err(UnreadDocument::Unclear) => {
                return Err(denied("they must be an object that has no member twice".to_owned()));
            }
            Err(UnreadDocument::TooDeep) => return Err(denied("they are nested too deeply".to_owned())),
            Err(UnreadDocument::TooLong) => {
                let most = LONGEST_DOCUMENT >> 20;
                return Err(denied(format!(
                    "they are longer than {most} MiB, which is the most that the gateway checks"
                )));
            }
        };
        rules.into_iter().try_for_each(|rule| rule.check(&arguments).map_err(denied))
    }
}

impl ArgumentRule {
    fn check(&self, arguments: &ObjectNode<'_>) -> Result<(), String> {
        let Self { path, steps, is_optional, check, .. } = self;
        match (find(arguments, steps), check) {
            (FoundMember::Unclear, _) => Err(format!(
                "`{path}` is spelled in another way or more than once, or is not within an object, and {check}"
            )),
            (FoundMember::Missing, ArgumentCheck::Absent) => Ok(()),
            (FoundMember::Missing, _) if *is_optional => Ok(()),
            (FoundMember::Missing, _) => Err(format!("`{path}` is missing, and {check}")),
            (FoundMember::Value(value), check) if check.holds(value) => Ok(()),
            (FoundMember::Value(_), _) => Err(format!("`{path}` {check}")),
        }
    }
}

impl ArgumentCheck {
    fn holds(&self, value: &JsonNode<'_>) -> bool {
        match (self, value) {
            (Self::Glob(glob, _), JsonNode::String(text)) => glob.matches(text),
            (Self::OneOf(values), value) => values.iter().any(|allowed| allowed.is(value)),
            (Self::Range { min, max }, JsonNode::Number(text)) => {
                Decimal::parse(text).is_some_and(|number| {
                    min.as_ref().is_none_or(|min| *min <= number)
                        && max.as_ref().is_none_or(|max| number <= *max)
                })
            }
            (Self::Glob(..) | Self::Range { .. } | Self::Absent, _) => false,
        }
    }
}

impl AllowedValue {
    /// None where it is an object or a list, or no JSON.
    fn read(text: &str) -> Option<Self> {
        let node = JsonNode::read(text).ok()?;
        let form = node.canonical()?;
        match node {
            JsonNode::String(string) => Some(Self { form, string: Some(string.into_owned()) }),
            JsonNode::Number(_) | JsonNode::Literal(_) => Some(Self { form, string: None }),
            JsonNode::Object(_) | JsonNode::Array(_) => None,
        }
    }

    fn is(&self, value: &JsonNode<'_>) -> bool {
        match (value, &self.string) {
            (JsonNode::String(text), Some(string)) => text == string,
            (JsonNode::Number(text), None) => *text == self.form,
            (JsonNode::Literal(text), None) => *text == self.form,
            _ => false,
        }
    }
}

impl fmt::Display for ArgumentCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob(_, pattern) => write!(f, "must be a string like `{pattern}`"),
            Self::OneOf(values) => {
                let forms: Vec<_> = values.iter().map(|value| value.form.as_str()).collect();
                write!(f, "must be one of {}", forms.join(", "))
            }
            Self::Range { min: Some(min), max: Some(max) } => {
                write!(f, "must be a number from {min} to {max}")
            }
            Self::Range { min: Some(min), max: None } => write!(f, "must be a number of at least {min}"),
            Self::Range { max: Some(max), .. } => write!(f, "must be a number of at most {max}"),
            Self::Range { .. } => f.write_str("must be a number"),
            Self::Absent => f.write_str("must not be given"),
        }
    }
}

/// The member at the end of these steps, as every server finds it.
fn find<'n, 'a>(object: &'n ObjectNode<'a>, steps: &[String]) -> FoundMember<'n, 'a> {
    let Some((first, rest)) = steps.split_first() else { return FoundMember::Unclear };
    let mut found = object.find(first);
    for step in rest {
        found = match found {
            FoundMember::Value(JsonNode::Object(object)) => object.find(step),
            FoundMember::Value(_) => FoundMember::Unclear,
            FoundMember::Missing | FoundMember::Unclear => return found,
        };
    }
    found
}

impl TryFrom<Vec<wire::McpArgumentRule>> for ArgumentRules {
    type Error = InvalidResource;

    fn try_from(rules: Vec<wire::McpArgumentRule>) -> Result<Self, InvalidResource> {
        rules.into_iter().map(ArgumentRule::try_from).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<wire::McpArgumentRule> for ArgumentRule {
    type Error = InvalidResource;

    fn try_from(rule: wire::McpArgumentRule) -> Result<Self, InvalidResource> {
        let wire::McpArgumentRule { tool, argument: path, optional, check } = rule;
        let malformed =
            |what: &str| InvalidResource::ArgumentRule(format!("{what} of `{tool}` is malformed"));
        let number = |text: Option<String>| {
            text.map(|text| Decimal::parse(&text).ok_or_else(|| malformed("the range"))).transpose()
        };
        let steps = steps(&path).ok_or_else(|| malformed("the argument"))?;
        let check = match check {
            None => return Err(malformed("the check")),
            Some(Check::Glob(pattern)) => ArgumentCheck::Glob(Glob::new(&pattern), pattern),
            Some(Check::OneOf(wire::JsonValues { values })) => {
                let values: Option<Vec<_>> = values.iter().map(|text| AllowedValue::read(text)).collect();
                let values = values.filter(|values| !values.is_empty());
                ArgumentCheck::OneOf(values.ok_or_else(|| malformed("the list of values"))?)
            }
            Some(Check::Range(wire::NumberRange { min: None, max: None })) => {
                return Err(malformed("the range"));
            }
            Some(Check::Range(wire::NumberRange { min, max })) => {
                ArgumentCheck::Range { min: number(min)?, max: number(max)? }
            }
            Some(Check::Absent(wire::Nothing {})) => ArgumentCheck::Absent,
        };
        let tools = McpEntry::new(&tool);
        let alike = tools.folded();
        Ok(Self { tool, tools, alike, path, steps, is_optional: optional, check })
    }
}

/// The names that a JSON pointer (RFC 6901) leads by; none where it is none, or leads nowhere.
#[must_use]
pub fn steps(pointer: &str) -> Option<Vec<String>> {
    let step = |step: &str| {
        let mut tildes = step.split('~').skip(1);
        let is_escaped = tildes.all(|rest| rest.starts_with(['0', '1']));
        is_escaped.then(|| step.replace("~1", "/").replace("~0", "~"))
    };
    pointer.strip_prefix('/')?.split('/').map(step).collect()
}

#[cfg(test)]
mod tests;
