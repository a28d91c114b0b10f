//! External detectors: a company's own models behind HTTP. What they are asked about a request, and what follows
//! from their answers. They see a text only after the detectors of the gateway have replaced what they found.

mod breaker;
mod judged;
mod protocol;
mod question;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use super::inspection::{self, Blocked, Editor, InspectedContent, InspectedRequest, edit};
use super::policy::{Direction, ExternalRule, Guardrails};
use crate::answer::denial::{Code, Denial};
use crate::snapshot::{AppId, AppPolicy, Catalogue, Detector};

pub use breaker::Breakers;
pub use protocol::{DetectorAnswer, DetectorFailure, MOST_ANSWER_BYTES};

use judged::JudgedTexts;
use question::{AskedText, TextCollector};

/// How far external detectors have judged a request.
#[derive(Debug, Default)]
pub(super) enum Judgement {
    #[default]
    Open,
    /// The questions, in the order of their calls.
    Asked(Vec<Question>),
    Closed,
}

/// What one detector is asked.
#[derive(Debug)]
pub(super) struct Question {
    /// Among the app's external rules.
    rule: usize,
    texts: Rc<[AskedText]>,
}

/// What is to be done next.
#[derive(Debug)]
pub enum JudgementStep {
    /// Nothing: no detector is to be asked any more.
    Done,
    /// The same, and the request has another body now.
    Edited,
    Ask(Vec<DetectorCall>),
}

/// A request to a detector.
#[derive(Debug)]
pub struct DetectorCall {
    pub detector: Rc<Detector>,
    pub app: AppId,
    /// In JSON.
    pub body: Vec<u8>,
    texts: Rc<[AskedText]>,
}

impl DetectorCall {
    /// The headers, pseudo headers first. Envoy adds the credential.
    #[must_use]
    pub fn headers(&self) -> Vec<(&str, &str)> {
        vec![
            (":method", "POST"),
            (":path", &self.detector.path),
            (":authority", &self.detector.authority),
            ("content-type", "application/json"),
            ("accept", "application/json"),
        ]
    }

    /// Reads the detector's answer.
    ///
    /// # Errors
    /// It is none: whatever it found is not known.
    pub fn read(&self, status: u16, body: &[u8]) -> Result<DetectorAnswer, DetectorFailure> {
        protocol::read(status, body, &self.texts)
    }
}

/// What became of a call.
pub type DetectorOutcome = Result<DetectorAnswer, DetectorFailure>;

impl InspectedRequest {
    /// The next step, given the outcomes of the calls that were asked for last, in their order. `body` is the
    /// request's as it was before guardrails looked at it.
    ///
    /// # Errors
    /// A detector has found what the app's rules block, or has not looked at what it must look at.
    pub fn judge<'b>(
        &mut self,
        outcomes: Vec<DetectorOutcome>,
        content: InspectedContent<'_>,
        body: impl FnOnce() -> &'b [u8],
        catalogue: impl FnOnce() -> Rc<Catalogue>,
    ) -> Result<JudgementStep, Blocked> {
        let app = Rc::clone(self.inspection.app());
        let guardrails = app.guardrails.as_ref().filter(|it| !it.external.is_empty());
        let Some(guardrails) = guardrails else { return Ok(JudgementStep::Done) };
        match std::mem::replace(&mut self.judgement, Judgement::Closed) {
            Judgement::Closed => Ok(JudgementStep::Done),
            Judgement::Open => self.ask(&app, guardrails, content, body(), &catalogue()),
            Judgement::Asked(questions) => self.apply(guardrails, questions, outcomes, content, body()),
        }
    }

    fn ask(
        &mut self,
        app: &Rc<AppPolicy>,
        guardrails: &Guardrails,
        content: InspectedContent<'_>,
        body: &[u8],
        catalogue: &Catalogue,
    ) -> Result<JudgementStep, Blocked> {
        let now = self.inspection.now();
        let asked = |(_, rule): &(usize, &ExternalRule)| rule.is_asked(now);
        let rules: Vec<_> = guardrails.external.iter().enumerate().filter(asked).collect();
        if rules.is_empty() {
            return Ok(JudgementStep::Done);
        }
        let mut collector = TextCollector::default();
        // A body that cannot be read was refused before, or counted.
        let _ = edit(content, self.body.as_deref().unwrap_or(body), &mut collector);
        let (mut questions, mut calls) = (Vec::new(), Vec::new());
        for (index, rule) in rules {
            let Some(detector) = catalogue.detector(&rule.detector) else {
                let texts = collector.count(rule.only_notes());
                self.fail(rule, texts, &DetectorFailure::Missing)?;
                continue;
            };
            let (texts, beyond) = collector.choose(rule.only_notes(), detector.max_text_bytes);
            if beyond > 0 {
                self.exceed(rule, beyond, detector)?;
            }
            if texts.is_empty() {
                continue;
            }
            let texts: Rc<[AskedText]> = texts.into();
            questions.push(Question { rule: index, texts: Rc::clone(&texts) });
            calls.push(DetectorCall {
                detector: Rc::clone(detector),
                app: app.id,
                body: protocol::write(&app.name, &texts),
                texts,
            });
        }
        if calls.is_empty() {
            return Ok(JudgementStep::Done);
        }
        self.judgement = Judgement::Asked(questions);
        Ok(JudgementStep::Ask(calls))
    }

    fn apply(
        &mut self,
        guardrails: &Guardrails,
        questions: Vec<Question>,
        outcomes: Vec<DetectorOutcome>,
        content: InspectedContent<'_>,
        body: &[u8],
    ) -> Result<JudgementStep, Blocked> {
        let mut answers = Vec::new();
        let mut outcomes = outcomes.into_iter();
        for Question { rule, texts } in &questions {
            let Some(rule) = guardrails.external.get(*rule) else { continue };
            // What was not heard of has failed.
            match outcomes.next().unwrap_or(Err(DetectorFailure::Unreachable)) {
                Ok(answer) => answers.push((rule, &**texts, answer)),
                Err(failure) => self.fail(rule, texts.len(), &failure)?,
            }
        }
        let now = self.inspection.now();
        let editor = Editor::new(&mut self.inspection, Direction::Request);
        let mut judged = JudgedTexts::new(editor, guardrails, now, &answers);
        if judged.is_empty() {
            return Ok(JudgementStep::Done);
        }
        let edited = edit(content, self.body.as_deref().unwrap_or(body), &mut judged);
        if let Some(block) = judged.into_block() {
            return Err(self.blocked(inspection::denial(block, "request")));
        }
        match edited {
            Ok(Some(edited)) => {
                self.body = Some(edited);
                Ok(JudgementStep::Edited)
            }
            Ok(None) => Ok(JudgementStep::Done),
            // It was read before.
            Err(_) => Err(self.blocked(Code::InternalError.into())),
        }
    }

    /// A detector has not looked at these texts.
    fn fail(&mut self, rule: &ExternalRule, texts: usize, failure: &DetectorFailure) -> Result<(), Blocked> {
        let message = format!(
            "The detector `{}` must check this request, and {failure}: try again later, or tell an admin.",
            rule.detector
        );
        self.leave_unread(rule, texts, Denial::new(Code::GuardrailUnavailable, message))
    }

    /// A request has more text than its detector is sent.
    fn exceed(&mut self, rule: &ExternalRule, texts: usize, detector: &Detector) -> Result<(), Blocked> {
        let message = format!(
            "The detector `{}` must check all text of this request, and gets at most {} bytes per request: \
             send less text, or ask an admin to raise `max_text_bytes`.",
            detector.name, detector.max_text_bytes
        );
        self.leave_unread(rule, texts, Denial::new(Code::ContentNotInspected, message))
    }

    fn leave_unread(&mut self, rule: &ExternalRule, texts: usize, denial: Denial) -> Result<(), Blocked> {
        self.inspection.count_all_unread(texts);
        if texts > 0 && rule.must_look() { Err(self.blocked(denial)) } else { Ok(()) }
    }

    fn blocked(&self, denial: Denial) -> Blocked {
        Blocked { denial, report: Some(self.inspection.report().clone().into()) }
    }
}
