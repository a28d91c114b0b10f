//! Edits a body. Every other byte stays as it is.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memrchr;
use serde_json::to_vec;

use super::json::{MemberSpans, OutputLimitMember};
use super::number::Number;
use super::stream_options::{IncludeUsage, StreamOptions};
use super::thinking_budget::ThinkingBudget;
use super::{BodyLayout, RequestBody};
use crate::request::endpoint::ModelOperation;
use crate::snapshot::ProviderKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEdit<'a> {
    Model(&'a str),
    /// Limits the output of each choice, in the members that the client has used, and keeps thinking budgets
    /// below it. A lower limit of the client's stays.
    MaxOutput {
        /// The member to add where the client has used none: see [`max_output_member`].
        member: &'static str,
        tokens: u64,
    },
    /// The same for a model that takes the limit under this name only: a limit under another name is renamed.
    OnlyMaxOutput {
        member: &'static str,
        tokens: u64,
    },
    /// Asks for the usage of a stream.
    IncludeUsage,
}

/// The member that limits an operation's output at a kind of provider.
#[must_use]
pub fn max_output_member(operation: ModelOperation, kind: ProviderKind) -> Option<&'static str> {
    match (operation, kind) {
        (ModelOperation::ChatCompletions, ProviderKind::OpenAi | ProviderKind::AzureOpenAi) => {
            Some("max_completion_tokens")
        }
        (ModelOperation::ChatCompletions | ModelOperation::Completions | ModelOperation::Messages, _) => {
            Some("max_tokens")
        }
        (ModelOperation::Responses, _) => Some("max_output_tokens"),
        _ => None,
    }
}

/// The replacement of a range.
type Splice = (Range<usize>, Vec<u8>);

impl RequestBody {
    /// The edited body; none when `bytes` is not the body that was read, or a form would need more than
    /// another model.
    #[must_use]
    pub fn edit<'b>(&self, bytes: &'b [u8], changes: &[BodyEdit<'_>]) -> Option<Cow<'b, [u8]>> {
        let mut splices = Vec::new();
        for change in changes {
            match (&self.layout, change) {
                (BodyLayout::Form { model }, BodyEdit::Model(name)) => {
                    splices.push((model.clone(), name.as_bytes().to_vec()));
                }
                (BodyLayout::Form { .. }, _) => return None,
                (BodyLayout::Json(spans), BodyEdit::Model(name)) => {
                    splices.push((spans.model.clone(), to_vec(name).ok()?));
                }
                (BodyLayout::Json(spans), BodyEdit::MaxOutput { member, tokens }) => {
                    limit(spans, member, *tokens, &mut splices);
                    think(spans, *tokens, self.bounds.max_output, &mut splices);
                }
                (BodyLayout::Json(spans), BodyEdit::OnlyMaxOutput { member, tokens }) => {
                    limit(spans, member, *tokens, &mut splices);
                    think(spans, *tokens, self.bounds.max_output, &mut splices);
                    rename(spans, bytes, member, &mut splices);
                }
                (BodyLayout::Json(spans), BodyEdit::IncludeUsage) => splices.extend(include_usage(spans)),
            }
        }
        if splices.is_empty() {
            return Some(Cow::Borrowed(bytes));
        }
        splice(bytes, splices).map(Cow::Owned)
    }

    /// The body of a client that lets the model think between tool calls. With tools, a thinking budget at or
    /// above the output limit is for the whole turn, and stays.
    #[must_use]
    pub fn interleaved(mut self) -> Self {
        if let BodyLayout::Json(spans) = &mut self.layout
            && spans.tools
        {
            let limit = self.bounds.max_output.unwrap_or(u64::MAX);
            spans.budgets.retain(|budget| budget.tokens < limit);
            self.bounds.obstacles.least_output =
                spans.budgets.iter().filter_map(ThinkingBudget::least_output).max();
        }
        self
    }
}

fn limit(spans: &MemberSpans, member: &str, tokens: u64, splices: &mut Vec<Splice>) {
    let mut is_limited = false;
    for limit in spans.limits.iter().flatten() {
        let most = match limit.number {
            Number::Whole(asked) => asked.min(tokens),
            Number::Endless => tokens,
            Number::Null | Number::Other => continue,
        };
        is_limited = true;
        if !limit.plain || limit.number.whole() != Some(most) {
            splices.push((limit.span.clone(), most.to_string().into_bytes()));
        }
    }
    if is_limited {
        return;
    }
    match spans.limits.iter().flatten().find(|limit| limit.name == member) {
        Some(null) => splices.push((null.span.clone(), tokens.to_string().into_bytes())),
        None => splices.push((spans.inside.clone(), format!("\"{member}\":{tokens},").into_bytes())),
    }
}

/// Renames the client's one limit unless it has that name. A `null` of that name becomes the limit, and the
/// other becomes `null`.
fn rename(spans: &MemberSpans, bytes: &[u8], member: &str, splices: &mut Vec<Splice>) {
    let limits = || spans.limits.iter().flatten();
    let is_set = |limit: &&OutputLimitMember| limit.number != Number::Null;
    let named = limits().find(|limit| limit.name == member);
    let Some(other) = limits().filter(is_set).find(|limit| limit.name != member) else { return };
    match named {
        None => splices.extend(key(bytes, other).map(|key| (key, format!("\"{member}\"").into_bytes()))),
        Some(null) if null.number == Number::Null => {
            let written = splices.iter_mut().find(|(span, _)| *span == other.span);
            let value = match written {
                Some((_, value)) => std::mem::replace(value, b"null".to_vec()),
                None => {
                    splices.push((other.span.clone(), b"null".to_vec()));
                    bytes.get(other.span.clone()).unwrap_or_default().to_vec()
                }
            };
            splices.push((null.span.clone(), value));
        }
        Some(_) => {}
    }
}

/// The span of a member's name with its quotes, before its value.
fn key(bytes: &[u8], limit: &OutputLimitMember) -> Option<Range<usize>> {
    let before = bytes.get(..limit.span.start)?;
    let end = memrchr(b'"', before)?;
    let start = memrchr(b'"', before.get(..end)?)?;
    Some(start..end.checked_add(1)?)
}

fn think(spans: &MemberSpans, tokens: u64, asked: Option<u64>, splices: &mut Vec<Splice>) {
    let limit = asked.map_or(tokens, |asked| asked.min(tokens));
    for budget in &spans.budgets {
        if let Some(lowered) = budget.below(limit, asked) {
            splices.push((budget.span.clone(), lowered.to_string().into_bytes()));
        }
    }
}

fn include_usage(spans: &MemberSpans) -> Option<Splice> {
    let (span, text) = match &spans.options {
        StreamOptions::Absent => (&spans.inside, "\"stream_options\":{\"include_usage\":true},"),
        StreamOptions::Null(span) => (span, "{\"include_usage\":true}"),
        StreamOptions::Object { include: IncludeUsage::Asked, .. } => return None,
        StreamOptions::Object { include: IncludeUsage::Declined(span), .. } => (span, "true"),
        StreamOptions::Object { include: IncludeUsage::Absent, inside, empty: true } => {
            (inside, "\"include_usage\":true")
        }
        StreamOptions::Object { include: IncludeUsage::Absent, inside, empty: false } => {
            (inside, "\"include_usage\":true,")
        }
    };
    Some((span.clone(), text.as_bytes().to_vec()))
}

/// Copies once, with every replacement.
pub(crate) fn splice(bytes: &[u8], mut splices: Vec<Splice>) -> Option<Vec<u8>> {
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
