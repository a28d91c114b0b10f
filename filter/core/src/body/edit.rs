//! The gate's edits of a body: every other byte stays as it is.

use std::ops::Range;

use serde_json::to_vec;

use super::json::Spans;
use super::options::{Include, Options};
use super::{Body, Layout};
use crate::endpoint::Operation;
use crate::snapshot::ProviderKind;

/// An edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Names another model.
    Model(&'a str),
    /// Limits the output of each choice, in whichever members the client has used. What the
    /// client has limited to less stays.
    MaxOutput {
        /// The member that is added where the client has used none: see [`max_output_member`].
        member: &'static str,
        /// The limit.
        tokens: u64,
    },
    /// Asks for the usage of a stream.
    IncludeUsage,
}

/// The member that limits an operation's output at such a provider.
#[must_use]
pub fn max_output_member(operation: Operation, kind: ProviderKind) -> Option<&'static str> {
    match (operation, kind) {
        (Operation::ChatCompletions, ProviderKind::OpenAi | ProviderKind::AzureOpenAi) => {
            Some("max_completion_tokens")
        }
        (Operation::ChatCompletions | Operation::Completions | Operation::Messages, _) => Some("max_tokens"),
        (Operation::Responses, _) => Some("max_output_tokens"),
        _ => None,
    }
}

/// What stands in a range's place.
type Splice = (Range<usize>, Vec<u8>);

impl Body {
    /// The edited body; none when `bytes` is not the body that was read, or when it is a form and
    /// a change is not of the model.
    #[must_use]
    pub fn edit(&self, bytes: &[u8], changes: &[Change<'_>]) -> Option<Vec<u8>> {
        let mut splices = Vec::new();
        for change in changes {
            match (&self.layout, change) {
                (Layout::Form { model }, Change::Model(name)) => {
                    splices.push((model.clone(), name.as_bytes().to_vec()));
                }
                (Layout::Form { .. }, _) => return None,
                (Layout::Json(spans), Change::Model(name)) => {
                    splices.push((spans.model.clone(), to_vec(name).ok()?));
                }
                (Layout::Json(spans), Change::MaxOutput { member, tokens }) => {
                    limit(spans, member, *tokens, &mut splices);
                }
                (Layout::Json(spans), Change::IncludeUsage) => splices.extend(include_usage(spans)),
            }
        }
        splice(bytes, splices)
    }
}

fn limit(spans: &Spans, member: &str, tokens: u64, splices: &mut Vec<Splice>) {
    let before = splices.len();
    for limit in spans.limits.iter().flatten() {
        let lowered = limit.tokens.map(|asked| asked.min(tokens));
        splices.extend(lowered.map(|tokens| (limit.span.clone(), tokens.to_string().into_bytes())));
    }
    if splices.len() > before {
        return;
    }
    match spans.limits.iter().flatten().find(|limit| limit.name == member) {
        Some(null) => splices.push((null.span.clone(), tokens.to_string().into_bytes())),
        None => splices.push((spans.inside.clone(), format!("\"{member}\":{tokens},").into_bytes())),
    }
}

fn include_usage(spans: &Spans) -> Option<Splice> {
    let (span, text) = match &spans.options {
        Options::Absent => (&spans.inside, "\"stream_options\":{\"include_usage\":true},"),
        Options::Null(span) => (span, "{\"include_usage\":true}"),
        Options::Object { include: Include::Asked, .. } => return None,
        Options::Object { include: Include::Declined(span), .. } => (span, "true"),
        Options::Object { include: Include::Absent, inside, empty: true } => {
            (inside, "\"include_usage\":true")
        }
        Options::Object { include: Include::Absent, inside, empty: false } => {
            (inside, "\"include_usage\":true,")
        }
    };
    Some((span.clone(), text.as_bytes().to_vec()))
}

/// One copy, with every splice in its place.
fn splice(bytes: &[u8], mut splices: Vec<Splice>) -> Option<Vec<u8>> {
    splices.sort_by_key(|(span, _)| span.start);
    let added: usize = splices.iter().map(|(_, text)| text.len()).sum();
    let mut edited = Vec::with_capacity(bytes.len().saturating_add(added));
    let mut at = 0;
    for (span, text) in splices {
        edited.extend_from_slice(bytes.get(at..span.start)?);
        edited.extend_from_slice(&text);
        at = span.end;
    }
    edited.extend_from_slice(bytes.get(at..)?);
    Some(edited)
}
