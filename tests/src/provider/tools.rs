//! Tool calls: a tool is called when the last message names it, or the request insists.

use serde_json::{Map, Value, json};

use super::answer::tokens;

/// A call of one tool.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// A JSON object that fits the tool's parameters.
    pub(super) arguments: String,
}

/// A tool as any dialect declares it.
pub(super) struct Tool<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: &'a Value,
}

/// Which tools must be called, whatever the prompt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    Auto,
    None,
    Any,
    Named(&'a str),
}

impl Call {
    pub(super) fn tokens(&self) -> u64 {
        tokens(&self.name) + tokens(&self.arguments)
    }

    /// The arguments in the pieces that a stream sends.
    pub(super) fn pieces(&self) -> Vec<String> {
        let letters = self.arguments.chars().collect::<Vec<_>>();
        letters.chunks(6).map(|piece| piece.iter().collect()).collect()
    }
}

impl<'a> Choice<'a> {
    /// Reads `tool_choice` of any dialect: a word, or an object with a type and a name.
    pub(super) fn read(choice: &'a Value) -> Self {
        let name = choice["function"]["name"].as_str().or_else(|| choice["name"].as_str());
        match (choice.as_str().or_else(|| choice["type"].as_str()), name) {
            (Some("none"), _) => Self::None,
            (Some("required" | "any"), _) => Self::Any,
            (_, Some(name)) => Self::Named(name),
            _ => Self::Auto,
        }
    }
}

/// The calls that answer `prompt`.
pub(super) fn calls(tools: &[Tool<'_>], choice: Choice<'_>, prompt: &str) -> Vec<Call> {
    let named = |tool: &&Tool<'_>| match choice {
        Choice::None => false,
        Choice::Named(name) => tool.name == name,
        Choice::Auto | Choice::Any => !tool.name.is_empty() && prompt.contains(tool.name),
    };
    let mut called = tools.iter().filter(named).collect::<Vec<_>>();
    if called.is_empty() && choice == Choice::Any {
        called.extend(tools.first());
    }
    called
        .into_iter()
        .map(|tool| Call { name: tool.name.to_owned(), arguments: sample(tool.parameters).to_string() })
        .collect()
}

/// A value that fits a JSON schema.
fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("string") => json!("sample"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(&schema["items"])]),
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(
                properties.map(|(name, schema)| (name.clone(), sample(schema))).collect::<Map<_, _>>(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_called_when_named_or_insisted_on() {
        let parameters = json!({ "type": "object", "properties": {
            "city": { "type": "string" }, "unit": { "enum": ["c", "f"] }, "days": { "type": "integer" },
        } });
        let tools = [Tool { name: "weather", parameters: &parameters }];
        let call = || {
            vec![Call {
                name: "weather".to_owned(),
                arguments: r#"{"city":"sample","days":1,"unit":"c"}"#.to_owned(),
            }]
        };
        assert_eq!(calls(&tools, Choice::Auto, "the weather, please"), call());
        assert_eq!(calls(&tools, Choice::Auto, "hello"), vec![]);
        assert_eq!(calls(&tools, Choice::Any, "hello"), call());
        assert_eq!(calls(&tools, Choice::None, "the weather, please"), vec![]);
        assert_eq!(
            calls(
                &tools,
                Choice::read(&json!({ "type": "function", "function": { "name": "weather" } })),
                ""
            ),
            call()
        );
        assert_eq!(Choice::read(&json!({ "type": "tool", "name": "weather" })), Choice::Named("weather"));
    }
}
