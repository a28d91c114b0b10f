//! Replaces the references in a request's body.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use latchkey_proto::prompt::{Piece, pieces};

use super::reference::{Reference, ReferenceName, may_refer, references};
use super::stored::{NotFound, PromptVersion, Prompts};
use super::variables::{Variables, VariablesHeader, invalid, shown};
use crate::answer::denial::{Code, Denial};
use crate::content::{self, Place, Replacement, Role, TextEditor, Unread};
use crate::request::body::{BodyFormat, JsonObject};
use crate::request::endpoint::ModelOperation;
use crate::snapshot::AppPolicy;

/// A request after references were replaced.
#[derive(Debug)]
pub struct ExpandedRequest {
    app: Rc<AppPolicy>,
    /// Replaces the client's, where it had references.
    pub body: Option<Vec<u8>>,
    /// None where it had no references.
    pub prompts: Option<UsedPrompts>,
}

/// The prompts that a request referred to, each once and with its version: `summary@v3`. At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedPrompts(pub Vec<String>);

/// The most that prompts may add to a request, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// The most versions that one request may refer to: each is named in its record.
const MOST_PROMPTS: usize = 32;

impl ExpandedRequest {
    /// Whether it follows this policy.
    #[must_use]
    pub fn is_by(&self, app: &Rc<AppPolicy>) -> bool {
        Rc::ptr_eq(&self.app, app)
    }
}

/// Replaces the references in a body's system, developer and `instructions` texts.
///
/// # Errors
/// A prompt, a version, a label or a variable is unknown, a variable is missing, or the app wants such texts to be
/// references and one is not.
pub fn expand(
    app: &Rc<AppPolicy>,
    prompts: &Prompts,
    operation: ModelOperation,
    format: &BodyFormat,
    body: &[u8],
    header: &VariablesHeader,
) -> Result<ExpandedRequest, Denial> {
    let is_required = prompts.is_required && instructs(operation);
    if is_required && operation == ModelOperation::Responses {
        check_provider_prompt(body)?;
    }
    let variables = header.read()?;
    let mut expander = Expander {
        prompts,
        operation,
        is_required,
        variables: &variables,
        rendered: BTreeMap::new(),
        read_variables: BTreeSet::new(),
        added: 0,
        has_reference: false,
        denial: None,
    };
    // A form has no system texts.
    let edited = match format {
        BodyFormat::Json if is_required || may_refer(body) => {
            content::edit_request(operation, format, body, &mut expander)
                .map_err(|_| Denial::new(Code::InvalidJson, "The body cannot be read as text."))?
        }
        _ => None,
    };
    if let Some(denial) = expander.denial {
        return Err(denial);
    }
    if is_required && !expander.has_reference {
        return Err(required(
            "Refer to one of the app's stored prompts by `{{prompt:<id>}}` in the system text.",
        ));
    }
    let unknown = variables.keys().find(|name| !expander.read_variables.contains(name.as_str()));
    if let Some(name) = unknown {
        let message = format!(
            "The variable `{}` is not in any of the stored prompts that the request refers to.",
            shown(name)
        );
        return Err(invalid(message));
    }
    let used: Vec<_> = expander.rendered.keys().map(|(id, number)| format!("{id}@v{number}")).collect();
    let prompts = (!used.is_empty()).then_some(UsedPrompts(used));
    Ok(ExpandedRequest { app: Rc::clone(app), body: edited, prompts })
}

/// Whether its requests have a system text, or a text that a model follows in its place.
fn instructs(operation: ModelOperation) -> bool {
    use ModelOperation::{ChatCompletions, Completions, CountTokens, Messages, Responses};
    matches!(operation, ChatCompletions | Completions | CountTokens | Messages | Responses)
}

/// Refuses instructions that the provider keeps.
fn check_provider_prompt(body: &[u8]) -> Result<(), Denial> {
    let read = str::from_utf8(body).ok().and_then(|body| JsonObject::read(body, ["prompt"]).ok());
    let prompt = read.and_then(|object| object.get("prompt"));
    if prompt.is_none_or(|prompt| prompt.get() == "null") {
        return Ok(());
    }
    let denial =
        required("`prompt` refers to a prompt that the provider keeps, and not to one of the app's.");
    Err(Denial { param: Some("prompt".into()), ..denial })
}

fn required(message: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::new(Code::PromptRequired, message)
}

struct Expander<'a> {
    prompts: &'a Prompts,
    operation: ModelOperation,
    is_required: bool,
    variables: &'a Variables,
    /// The texts of the versions that were referred to.
    rendered: BTreeMap<(&'a str, u32), Rc<str>>,
    /// Variables of these.
    read_variables: BTreeSet<&'a str>,
    /// Bytes of all replacements.
    added: usize,
    /// Whether there is a reference where this API has its system text.
    has_reference: bool,
    /// The first one; nothing else is looked at then.
    denial: Option<Denial>,
}

impl<'a> Expander<'a> {
    fn replacements(&mut self, text: &str, place: &Place<'_>) -> Result<Vec<Replacement>, Denial> {
        let found = references(text, self.prompts);
        if self.is_required {
            let starts = found.iter().map(|reference| reference.span.start).chain([text.len()]);
            let ends = [0].into_iter().chain(found.iter().map(|reference| reference.span.end));
            let mut between = ends.zip(starts).map(|(end, start)| text.get(end..start).unwrap_or_default());
            if between.any(|between| !between.trim().is_empty()) {
                return Err(only_references(place));
            }
        }
        if !found.is_empty() && self.is_system_text(place) {
            self.has_reference = true;
        }
        found.into_iter().map(|reference| self.replacement(reference, place)).collect()
    }

    fn replacement(
        &mut self,
        Reference { span, name }: Reference<'_>,
        place: &Place<'_>,
    ) -> Result<Replacement, Denial> {
        let prompts = self.prompts;
        let found = match name {
            ReferenceName::Closed(name) => prompts.find(name).map_err(|why| not_found(name, why)),
            ReferenceName::Open(name) => Err(Denial::new(
                Code::PromptNotFound,
                format!("The reference `{{{{prompt:{name}` has no `}}}}`: write `{{{{prompt:<id>}}}}`."),
            )),
        };
        let found =
            found.map_err(|denial| Denial { param: Some(place.path().to_string().into()), ..denial })?;
        let text = self.text(found)?;
        self.added = self.added.saturating_add(text.len());
        if self.added > MOST_BYTES {
            return Err(too_long());
        }
        Ok(Replacement { span, text: text.as_ref().to_owned() })
    }

    /// The version's text, with values in it.
    fn text(&mut self, version: PromptVersion<'a>) -> Result<Rc<str>, Denial> {
        if let Some(text) = self.rendered.get(&(version.id, version.number)) {
            return Ok(Rc::clone(text));
        }
        if self.rendered.len() >= MOST_PROMPTS {
            let message = format!("The request refers to more than {MOST_PROMPTS} stored prompts.");
            return Err(Denial::new(Code::InvalidParameter, message));
        }
        let mut text = String::with_capacity(version.text.len());
        for piece in pieces(version.text) {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable(name) => {
                    self.read_variables.insert(name);
                    let value = self.variables.get(name).ok_or_else(|| missing(name, version))?;
                    text.push_str(value);
                }
            }
            if text.len() > MOST_BYTES {
                return Err(too_long());
            }
        }
        let text: Rc<str> = text.into();
        self.rendered.insert((version.id, version.number), Rc::clone(&text));
        Ok(text)
    }

    /// Whether this API has its system text here.
    fn is_system_text(&self, place: &Place<'_>) -> bool {
        use ModelOperation::{ChatCompletions, CountTokens, Messages, Responses};
        place.is_of_system()
            && place.is_content()
            && match self.operation {
                ChatCompletions => place.root() == "messages",
                Responses => matches!(place.root(), "instructions" | "input"),
                Messages | CountTokens => matches!(place.root(), "system" | "messages"),
                _ => false,
            }
    }

    /// Whether a text here must be a reference: all that a system message has for the model to read, and what a
    /// message says whose speaker is not known.
    fn must_refer(&self, place: &Place<'_>) -> bool {
        if !self.is_required || place.is_name || place.is_member("name") {
            return false;
        }
        place.is_of_system() || place.role == Role::None && place.is_content()
    }
}

impl TextEditor for Expander<'_> {
    fn looks_at(&self, place: &Place<'_>) -> bool {
        self.denial.is_none()
            && (self.must_refer(place) || place.editable && place.is_of_system() && place.is_content())
    }

    fn edit(&mut self, text: &str, _: Range<usize>, place: &Place<'_>) -> Vec<Replacement> {
        if self.denial.is_some() {
            return Vec::new();
        }
        self.replacements(text, place).unwrap_or_else(|denial| {
            self.denial = Some(denial);
            Vec::new()
        })
    }

    /// What is not looked at may say anything.
    fn unread(&mut self, _: Unread, place: &Place<'_>) {
        if self.must_refer(place) {
            self.denial.get_or_insert_with(|| only_references(place));
        }
    }
}

fn not_found(name: &str, why: NotFound) -> Denial {
    let (id, selector) = name.rsplit_once('@').unwrap_or((name, ""));
    let (id, selector) = (shown(id), shown(selector));
    let message = match why {
        NotFound::Prompt => format!("The app has no stored prompt `{}`.", shown(name)),
        NotFound::Version => format!("The stored prompt `{id}` has no version `{selector}`."),
        NotFound::Label => format!("The stored prompt `{id}` has no label `{selector}`."),
    };
    Denial::new(Code::PromptNotFound, message)
}

fn only_references(place: &Place<'_>) -> Denial {
    let path = place.path().to_string();
    let message = format!(
        "`{path}` must be references to the app's stored prompts, such as `{{{{prompt:<id>}}}}`, and nothing else."
    );
    Denial { param: Some(path.into()), ..required(message) }
}

fn missing(name: &str, PromptVersion { id, number, .. }: PromptVersion<'_>) -> Denial {
    invalid(format!(
        "The stored prompt `{id}@v{number}` needs the variable `{name}`: give it in `X-Prompt-Variables`."
    ))
}

fn too_long() -> Denial {
    let message = format!("The stored prompts that the request refers to have more than {MOST_BYTES} bytes.");
    Denial::new(Code::InvalidParameter, message)
}
