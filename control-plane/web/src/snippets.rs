//! What to paste into a program, so that it calls the gateway with a key.

use askama::Template;
use askama::filters::HtmlSafe;
use serde_json::json;

/// What stands for a key that is not shown.
const KEY: &str = "YOUR_API_KEY";
/// What is asked for where it is not known which models there are.
const MODEL: &str = "gpt-4o-mini";

/// Ready to paste for Python, JavaScript and curl: `{{ snippets }}` in a template.
#[derive(Clone, Template)]
#[template(path = "snippets.html")]
pub struct Snippets {
    /// Where the SDK is to call.
    pub base_url: String,
    python: String,
    javascript: String,
    curl: String,
}

impl Snippets {
    /// For the gateway at this origin, with a key's value where it may be seen, and a model to ask for.
    #[must_use]
    pub fn new(gateway_url: &str, key: Option<&str>, model: Option<&str>) -> Self {
        let base_url = format!("{gateway_url}/openai_compatible/");
        let (key, model) = (key.unwrap_or(KEY), model.unwrap_or(MODEL));
        // A string of JSON is one of Python and of JavaScript, too.
        let (url, secret, name) = (json!(base_url), json!(key), json!(model));
        let python = format!(
            "from openai import OpenAI\n\n\
             client = OpenAI(\n    base_url={url},\n    api_key={secret},\n)\n\n\
             response = client.chat.completions.create(\n    model={name},\n    \
             messages=[{{\"role\": \"user\", \"content\": \"Hello!\"}}],\n)\n\
             print(response.choices[0].message.content)"
        );
        let javascript = format!(
            "import OpenAI from \"openai\";\n\n\
             const client = new OpenAI({{\n  baseURL: {url},\n  apiKey: {secret},\n}});\n\n\
             const response = await client.chat.completions.create({{\n  model: {name},\n  \
             messages: [{{ role: \"user\", content: \"Hello!\" }}],\n}});\n\
             console.log(response.choices[0].message.content);"
        );
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello!" }] });
        let curl = format!(
            "curl {} \\\n  -H {} \\\n  -H 'Content-Type: application/json' \\\n  -d {}",
            word(&format!("{base_url}chat/completions")),
            word(&format!("Authorization: Bearer {key}")),
            word(&body.to_string())
        );
        Self { base_url, python, javascript, curl }
    }
}

// The template escapes what it shows.
impl HtmlSafe for Snippets {}

/// One word of a shell's line, whatever is in it.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_snippet_has_the_base_url_the_key_and_the_model() {
        let key = Some("sk-quilr-a:ss1.b.c");
        let Snippets { python, javascript, curl, .. } =
            Snippets::new("https://llm.acme.com", key, Some("claude-sonnet-4"));
        for snippet in [&python, &javascript, &curl] {
            for part in ["https://llm.acme.com/openai_compatible/", "sk-quilr-a:ss1.b.c", "claude-sonnet-4"] {
                assert!(snippet.contains(part), "{part}: {snippet}");
            }
        }
        insta::assert_snapshot!(curl, @r#"
        curl 'https://llm.acme.com/openai_compatible/chat/completions' \
          -H 'Authorization: Bearer sk-quilr-a:ss1.b.c' \
          -H 'Content-Type: application/json' \
          -d '{"messages":[{"content":"Hello!","role":"user"}],"model":"claude-sonnet-4"}'
        "#);
    }

    #[test]
    fn a_models_name_cannot_leave_its_string() {
        let Snippets { python, curl, .. } = Snippets::new("http://a", None, Some("a\"'`$(b)<i>"));
        assert!(python.contains(r#"model="a\"'`$(b)<i>","#), "{python}");
        assert!(curl.contains(r#""model":"a\"'\''`$(b)<i>"}'"#), "{curl}");
        let page = Snippets::new("http://a", None, Some("a\"'`$(b)<i>")).to_string();
        assert!(!page.contains("<i>") && page.contains(KEY), "{page}");
    }
}
