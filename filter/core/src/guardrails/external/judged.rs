//! Follows the app's rules where detectors have found something.

use std::collections::HashMap;
use std::ops::Range;

use latchkey_guardrails::{Category, Finding, Risk};

use super::protocol::{AnsweredFinding, DetectorAnswer};
use super::question::AskedText;
use crate::content::{Place, Replacement, TextEditor};
use crate::guardrails::inspection::Editor;
use crate::guardrails::policy::{Action, DetectorInfo, ExternalRule, Guardrails, Ruling, word};
use crate::guardrails::report::BlockDetail;
use crate::snapshot::UnixMs;

/// A second look at the texts, by what detectors have found in them.
pub(super) struct JudgedTexts<'a> {
    editor: Editor<'a>,
    guardrails: &'a Guardrails,
    now: UnixMs,
    findings: HashMap<&'a str, Vec<JudgedFinding<'a>>>,
}

struct JudgedFinding<'a> {
    rule: &'a ExternalRule,
    span: Range<usize>,
    label: Option<&'a str>,
    risk: Risk,
}

/// What a detector was asked, and what it said.
type Answered<'a> = (&'a ExternalRule, &'a [AskedText], DetectorAnswer);

impl<'a> JudgedTexts<'a> {
    pub(super) fn new(
        editor: Editor<'a>,
        guardrails: &'a Guardrails,
        now: UnixMs,
        answers: &'a [Answered<'a>],
    ) -> Self {
        let mut findings: HashMap<&str, Vec<JudgedFinding<'_>>> = HashMap::new();
        for (rule, texts, answer) in answers {
            for AnsweredFinding { text, span, label, risk } in &answer.findings {
                let Some(AskedText { text, .. }) = texts.get(*text) else { continue };
                let (span, label, risk) = (span.clone(), label.as_deref(), *risk);
                findings.entry(text).or_default().push(JudgedFinding { rule, span, label, risk });
            }
        }
        for found in findings.values_mut() {
            found.sort_by_key(|finding| finding.span.start);
        }
        Self { editor, guardrails, now, findings }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// What blocks the request.
    pub(super) fn into_block(self) -> Option<BlockDetail> {
        self.editor.block
    }
}

/// A replacement, and the action that asks for it.
struct Edit {
    span: Range<usize>,
    text: String,
    /// In its place where more than the value is replaced: a placeholder would bring only the value back.
    redacted: String,
    action: Option<Action>,
    /// What the rule asks for that is followed.
    own: Range<usize>,
}

impl TextEditor for JudgedTexts<'_> {
    fn edit(&mut self, text: &str, _: Range<usize>, place: &Place<'_>) -> Vec<Replacement> {
        let mut edits: Vec<Edit> = Vec::new();
        let Some(findings) = self.findings.get(text).filter(|_| self.editor.block.is_none()) else {
            return Vec::new();
        };
        let mut path = None;
        for JudgedFinding { rule, span, label, risk } in findings {
            let Ruling { in_force, .. } = rule.ruling(*risk, self.now);
            let Some(value) = text.get(span.clone()).map(|value| self.editor.restored(value)) else {
                continue;
            };
            if self.guardrails.excepts(&value) {
                continue;
            }
            let name = match label {
                Some(label) => [&rule.detector, "/", label].concat(),
                None => rule.detector.clone(),
            };
            let placeholder = label.map_or_else(|| rule.placeholder.clone(), word);
            let detector = DetectorInfo {
                category: Category::External,
                name: &name,
                risk: *risk,
                placeholder: &placeholder,
            };
            // Like a category of the app's own, it shows nothing of the value.
            let found = Finding::Custom(0);
            let ruling = rule.ruling(*risk, self.now);
            if let Some(text) = self.editor.replacement(&value, detector, found, ruling, place, &mut path) {
                let redacted = ["[", &placeholder, "]"].concat();
                let (span, own) = (span.clone(), span.clone());
                add(&mut edits, Edit { span, text, redacted, action: in_force, own });
            }
        }
        edits.into_iter().map(|Edit { span, text, .. }| Replacement { span, text }).collect()
    }
}

/// Where the findings of several detectors overlap, all of it is replaced as the strictest of their rules says.
fn add(edits: &mut Vec<Edit>, edit: Edit) {
    match edits.last_mut() {
        Some(last) if edit.span.start < last.span.end => {
            let span = last.span.start..last.span.end.max(edit.span.end);
            if edit.action > last.action {
                *last = edit;
            }
            if span != last.own {
                last.text.clone_from(&last.redacted);
            }
            last.span = span;
        }
        _ => edits.push(edit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(span: Range<usize>, text: &str, action: Action) -> Edit {
        let redacted = ["[", &text[1..2], "]"].concat();
        Edit { span: span.clone(), text: text.to_owned(), redacted, action: Some(action), own: span }
    }

    fn added(all: Vec<Edit>) -> Vec<(Range<usize>, String)> {
        let mut edits = Vec::new();
        for edit in all {
            add(&mut edits, edit);
        }
        edits.into_iter().map(|edit| (edit.span, edit.text)).collect()
    }

    #[test]
    fn what_is_put_back_is_all_that_was_replaced() {
        use Action::{Anonymize, Redact};
        let told = |edits: &[(Range<usize>, &str)]| {
            edits.iter().map(|(span, text)| (span.clone(), (*text).to_owned())).collect::<Vec<_>>()
        };
        let both = |one, two| added(vec![one, two]);
        let (a, b) = (|span| edit(span, "[A_1]", Anonymize), |span| edit(span, "[B_2]", Anonymize));
        assert_eq!(both(a(0..4), b(2..6)), told(&[(0..6, "[A]")]), "more than the value");
        assert_eq!(both(a(0..4), b(4..6)), told(&[(0..4, "[A_1]"), (4..6, "[B_2]")]));
        assert_eq!(both(a(0..4), b(0..4)), told(&[(0..4, "[A_1]")]), "the value itself");
        assert_eq!(both(a(0..9), b(2..6)), told(&[(0..9, "[A_1]")]));
        let redacted = |span| edit(span, "[C]", Redact);
        assert_eq!(both(redacted(0..4), b(2..6)), told(&[(0..6, "[C]")]));
        assert_eq!(both(a(0..4), redacted(2..6)), told(&[(0..6, "[C]")]));
        assert_eq!(added(vec![a(0..4), b(0..4), b(3..8)]), told(&[(0..8, "[A]")]));
    }
}
