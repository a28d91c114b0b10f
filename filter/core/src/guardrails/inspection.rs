//! One request under guardrails, from its body to the end of its answer.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use latchkey_guardrails::{Category, End, Finding as Found, Match, Part, Progress, Scanner, mask};

use super::external::Judgement;
use super::placeholder::{self, Placeholders, ValueHashes};
use super::policy::{Action, DetectorInfo, Direction, Guardrails, Ruling, UnseenTexts};
use super::report::{BlockDetail, FindingAction, FoundMatch, InspectionReport, TrialReport};
use super::trial::RuleSource;
use crate::answer::denial::{Code, Denial};
use crate::content::{self, Place, Replacement, TextEditor, Unread, UnreadableBody};
use crate::request::body::{BodyFormat, JsonObject, UnreadObject};
use crate::request::endpoint::ModelOperation;
use crate::snapshot::{AppPolicy, UnixMs};

/// What guardrails know of a request: what they found, and which values its placeholders stand for.
#[derive(Debug)]
pub struct Inspection {
    app: Rc<AppPolicy>,
    /// Which of the app's rules it follows.
    rules: RuleSource,
    scanner: Rc<Scanner>,
    /// Rules on trial end by it.
    now: UnixMs,
    /// Whether the answer has texts in which placeholders can be restored.
    is_restorable: bool,
    placeholders: Placeholders,
    hashes: ValueHashes,
    report: InspectionReport,
    /// Matches, restored values, and what was unread.
    outcomes: u64,
    /// What a change request's guardrails make of the same texts, where they are tried.
    pub(super) trial: Option<Box<Inspection>>,
    /// The request would have been blocked, and would have had no answer.
    would_block: bool,
}

/// A request that guardrails let pass.
#[derive(Debug)]
pub struct InspectedRequest {
    /// Replaces the client's, where something was replaced in it.
    pub body: Option<Vec<u8>>,
    pub inspection: Box<Inspection>,
    /// How far external detectors have judged it.
    pub(super) judgement: Judgement,
}

/// A request that guardrails refuse.
#[derive(Debug)]
pub struct Blocked {
    pub denial: Denial,
    /// None where nothing was looked for.
    pub report: Option<Box<InspectionReport>>,
}

impl From<Denial> for Blocked {
    fn from(denial: Denial) -> Self {
        Self { denial, report: None }
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub enum InspectedContent<'a> {
    Model(ModelOperation, &'a BodyFormat),
    /// A JSON-RPC message.
    Mcp,
}

/// Whether an operation's answer is text that a person or a program reads.
fn answers_in_text(operation: ModelOperation) -> bool {
    matches!(
        operation,
        ModelOperation::ChatCompletions
            | ModelOperation::Completions
            | ModelOperation::Responses
            | ModelOperation::Messages
    )
}

/// Members of a request that refer to texts which the provider has.
const UNSEEN: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// An item of a Responses request that stands for another one, which the provider has.
const REFERENCE: &str = "item_reference";

impl Inspection {
    fn new(
        app: &Rc<AppPolicy>,
        rules: RuleSource,
        scanner: &Rc<Scanner>,
        is_restorable: bool,
        now: UnixMs,
    ) -> Self {
        Self {
            app: Rc::clone(app),
            rules,
            scanner: Rc::clone(scanner),
            now,
            is_restorable,
            placeholders: Placeholders::default(),
            hashes: ValueHashes::default(),
            report: InspectionReport {
                is_tried_only: app.guardrails.is_none(),
                ..InspectionReport::default()
            },
            outcomes: 0,
            trial: None,
            would_block: false,
        }
    }

    /// Looks at a request's body.
    ///
    /// # Errors
    /// The request is blocked, or refers to texts that cannot be seen.
    pub fn of_request(
        app: &Rc<AppPolicy>,
        scanner: &Rc<Scanner>,
        content: InspectedContent<'_>,
        body: &[u8],
        now: UnixMs,
    ) -> Result<InspectedRequest, Blocked> {
        let is_restorable = match content {
            InspectedContent::Model(operation, _) => answers_in_text(operation),
            InspectedContent::Mcp => true,
        };
        let of = |rules| Box::new(Self::new(app, rules, scanner, is_restorable, now));
        let mut inspection = of(RuleSource::App);
        if app.guardrails.is_some()
            && let InspectedContent::Model(ModelOperation::Responses, _) = content
        {
            inspection.check_unseen(body)?;
        }
        if app.guardrail_trial.as_ref().is_some_and(|trial| trial.runs(now)) {
            let mut trial = of(RuleSource::Trial);
            let mut editor = Editor::new(&mut trial, Direction::Request);
            // In a body that cannot be read there is nothing to find.
            let _ = edit(content, body, &mut editor);
            trial.would_block = editor.block.is_some();
            inspection.report.trial = trial.trial_report();
            inspection.trial = Some(trial);
        }
        if app.guardrails.is_none() {
            return Ok(InspectedRequest { body: None, inspection, judgement: Judgement::default() });
        }
        let mut editor = Editor::new(&mut inspection, Direction::Request);
        let edited = edit(content, body, &mut editor);
        if let Some(block) = editor.block {
            let denial = denial(block, "request");
            return Err(Blocked { denial, report: Some(inspection.into_report().into()) });
        }
        let body = match edited {
            Ok(body) => body,
            Err(_) if inspection.intervenes(Direction::Request) => {
                let message =
                    "The body cannot be read as text, but this app's guardrails must inspect all text.";
                return Err(Denial::new(Code::ContentNotInspected, message).into());
            }
            Err(_) => {
                inspection.count_unread();
                None
            }
        };
        Ok(InspectedRequest { body, inspection, judgement: Judgement::default() })
    }

    /// Whether it follows this policy.
    #[must_use]
    pub fn is_by(&self, app: &Rc<AppPolicy>) -> bool {
        Rc::ptr_eq(&self.app, app)
    }

    /// What was found so far; by a trial, in the request.
    #[must_use]
    pub fn report(&self) -> &InspectionReport {
        &self.report
    }

    #[must_use]
    pub fn into_report(self) -> InspectionReport {
        self.report
    }

    /// What a change request's guardrails would have done so far; none of the app's own.
    pub(super) fn trial_report(&self) -> Option<Box<TrialReport>> {
        let trial = self.app.guardrail_trial.as_ref().filter(|_| self.is_trial())?;
        let findings = self.report.findings.clone();
        Some(Box::new(TrialReport { change_request: trial.change_request, findings }))
    }

    /// Whether it only says what would be done.
    pub(super) fn is_trial(&self) -> bool {
        self.rules == RuleSource::Trial
    }

    /// Whether there is something to do with the answer.
    #[must_use]
    pub fn concerns_answer(&self) -> bool {
        !self.would_block
            && (!self.placeholders.is_empty()
                || self.guardrails().is_some_and(|guardrails| guardrails.looks(Direction::Response)))
    }

    /// Whether something that is found in the answer may change it.
    pub(super) fn may_change_answer(&self) -> bool {
        !self.placeholders.is_empty() || self.intervenes(Direction::Response)
    }

    pub(super) fn app(&self) -> &Rc<AppPolicy> {
        &self.app
    }

    pub(super) fn now(&self) -> UnixMs {
        self.now
    }

    fn guardrails(&self) -> Option<&Guardrails> {
        self.rules.guardrails(&self.app)
    }

    /// Whether a rule may change or refuse what goes this way.
    fn intervenes(&self, direction: Direction) -> bool {
        !self.is_trial() && self.guardrails().is_some_and(|guardrails| guardrails.intervenes(direction))
    }

    pub(super) fn count_unread(&mut self) {
        self.count_all_unread(1);
    }

    pub(super) fn count_all_unread(&mut self, texts: usize) {
        self.report.unread = self.report.unread.saturating_add(u32::try_from(texts).unwrap_or(u32::MAX));
        self.outcomes = self.outcomes.saturating_add(1);
    }

    /// Refuses a request that refers to texts which the provider has and the gateway does not see.
    fn check_unseen(&mut self, body: &[u8]) -> Result<(), Denial> {
        let Some(name) = unseen(body) else { return Ok(()) };
        let is_refused = self.guardrails().is_some_and(|it| it.unseen_texts == UnseenTexts::Refuse);
        if !is_refused || !self.intervenes(Direction::Request) {
            self.count_unread();
            return Ok(());
        }
        let message = format!(
            "`{name}` refers to text that the gateway cannot see, but this app's guardrails must inspect \
             all text: send the text itself, or ask an admin to allow it (`guardrails.unseen_texts`)."
        );
        Err(Denial { param: Some(name.into()), ..Denial::new(Code::ContentNotInspected, message) })
    }
}

/// The member of a Responses request that refers, or may refer, to texts which the provider has.
fn unseen(body: &[u8]) -> Option<&'static str> {
    let [response, conversation, prompt] = UNSEEN;
    match JsonObject::read(str::from_utf8(body).ok()?, [response, conversation, prompt, "input"]) {
        Ok(object) => {
            let is_set = |name: &&str| object.get(name).is_some_and(|value| value.get() != "null");
            let refers = || object.get("input").is_some_and(|input| refers_to_items(input.get()));
            UNSEEN.into_iter().find(is_set).or_else(|| refers().then_some(REFERENCE))
        }
        // Some parser may find it set.
        Err(UnreadObject::Ambiguous(name)) => Some(name),
        Err(UnreadObject::Malformed(..) | UnreadObject::NotAnObject) => None,
    }
}

/// Whether one of these items stands, or may stand, for another.
fn refers_to_items(input: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Item<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<Cow<'a, str>>,
    }
    match serde_json::from_str::<Vec<Item<'_>>>(input) {
        Ok(items) => items.iter().any(|item| item.kind.as_deref() == Some(REFERENCE)),
        // One text; or items of which some reader may make something else.
        Err(_) => input.starts_with('['),
    }
}

/// Has an editor look at all texts of a request.
pub(super) fn edit(
    content: InspectedContent<'_>,
    body: &[u8],
    editor: &mut dyn TextEditor,
) -> Result<Option<Vec<u8>>, UnreadableBody> {
    match content {
        InspectedContent::Model(operation, format) => content::edit_request(operation, format, body, editor),
        // Only a POST has a message.
        InspectedContent::Mcp if body.is_empty() => Ok(None),
        InspectedContent::Mcp => content::edit_mcp(body, editor),
    }
}

/// Follows the app's rules in texts that go one way.
pub(super) struct Editor<'a> {
    inspection: &'a mut Inspection,
    direction: Direction,
    /// The first match that blocks.
    pub block: Option<BlockDetail>,
}

impl<'a> Editor<'a> {
    /// For the texts of an answer.
    pub(super) fn of_answer(inspection: &'a mut Inspection) -> Self {
        Self::new(inspection, Direction::Response)
    }

    pub(super) fn new(inspection: &'a mut Inspection, direction: Direction) -> Self {
        Self { inspection, direction, block: None }
    }

    /// What replaces these matches.
    fn replacements(&mut self, text: &str, matches: Vec<Match>, place: &Place<'_>) -> Vec<Replacement> {
        let mut replacements = Vec::new();
        if matches.is_empty() {
            return replacements;
        }
        let app = Rc::clone(&self.inspection.app);
        let Some(guardrails) = self.inspection.rules.guardrails(&app) else { return replacements };
        self.inspection.outcomes = self.inspection.outcomes.saturating_add(1);
        let mut path = None;
        for found in matches {
            let ruling = guardrails.ruling(found.finding, self.direction, self.inspection.now);
            let Some(value) = text.get(found.span.clone()) else { continue };
            let detector = guardrails.detector(found.finding);
            if let Some(text) = self.replacement(value, detector, found.finding, ruling, place, &mut path) {
                replacements.push(Replacement { span: found.span, text });
            }
        }
        replacements
    }

    /// Whether there are placeholders to restore.
    fn restores(&self) -> bool {
        self.direction == Direction::Response && !self.inspection.placeholders.is_empty()
    }

    /// What the rules have put in the place of a match; none where it stays.
    pub(super) fn replacement(
        &mut self,
        value: &str,
        detector: DetectorInfo<'_>,
        found: Found,
        ruling: Ruling,
        place: &Place<'_>,
        path: &mut Option<String>,
    ) -> Option<String> {
        let Inspection { app, rules, placeholders, hashes, report, is_restorable, .. } =
            &mut *self.inspection;
        let guardrails = rules.guardrails(app)?;
        let is_trial = *rules == RuleSource::Trial;
        // A message of an earlier turn was reported when it was new.
        let is_new = self.direction == Direction::Response || place.is_new;
        let is_final = !*is_restorable
            || self.direction == Direction::Response
            || detector.category == Category::Secrets;
        let action = match ruling.in_force {
            // It does not block the chat for ever, and does not pass either.
            Some(Action::Block) if !is_new => Some(Action::Redact),
            Some(Action::Anonymize) if is_final => Some(Action::Redact),
            action => action,
        };
        let action = match action {
            // It cannot be replaced: nobody shall believe that it was.
            Some(Action::Anonymize | Action::Redact) if !place.editable => {
                report.unread = report.unread.saturating_add(1);
                Some(Action::Monitor)
            }
            action => action,
        };
        let placeholder = match action {
            Some(Action::Anonymize) if !is_trial => {
                placeholders.of(&guardrails.key, detector.placeholder, value)
            }
            _ => None,
        };
        let action = match action {
            Some(Action::Anonymize) if placeholder.is_none() && !is_trial => Some(Action::Redact),
            action => action,
        };
        let message = place.message.and_then(|message| u32::try_from(message).ok());
        // A rule on trial that is tried would go on doing nothing.
        let (done, on_trial) = match is_trial {
            true => (action.map(FindingAction::would_be_done), None),
            false => (action.map(FindingAction::done), ruling.on_trial),
        };
        let on_trial = on_trial.filter(|action| *action > Action::Monitor).map(FindingAction::would_be_done);
        for action in done.into_iter().chain(on_trial) {
            if !is_new {
                break;
            }
            let is_block = match is_trial {
                true => action == FindingAction::WouldBlock,
                false => action == FindingAction::Blocked,
            };
            let found_match = FoundMatch {
                category: detector.category.name(),
                detector: detector.name,
                risk: detector.risk,
                action,
                direction: self.direction,
                message,
                is_block,
            };
            let hash = match hashes.of(&guardrails.key, detector.placeholder, value) {
                // What blocks is always told apart, and ends the search.
                None if is_block && self.block.is_none() => {
                    Some(guardrails.key.short_hash(detector.placeholder, value))
                }
                hash => hash,
            };
            let path = path.get_or_insert_with(|| place.path().to_string());
            report.add(found_match, hash, path, || mask(value, found));
        }
        if is_trial && action != Some(Action::Block) {
            return None;
        }
        match action? {
            Action::Monitor => {
                report.monitored = report.monitored.saturating_add(u32::from(is_new));
                None
            }
            Action::Redact => {
                report.redacted = report.redacted.saturating_add(1);
                Some(["[", detector.placeholder, "]"].concat())
            }
            Action::Anonymize => {
                report.anonymized = report.anonymized.saturating_add(1);
                placeholder
            }
            Action::Block => {
                self.block.get_or_insert_with(|| BlockDetail {
                    category: detector.category.name(),
                    detector: detector.name.to_owned(),
                    message,
                    place: place.path().to_string(),
                });
                None
            }
        }
    }

    /// A value as the client has written it, where placeholders stand in it.
    pub(super) fn restored(&mut self, value: &str) -> String {
        let (mut restored, mut replacements) = (value.to_owned(), Vec::new());
        self.restore(value, &(0..value.len()), &mut replacements);
        for Replacement { span, text } in replacements.iter().rev() {
            restored.replace_range(span.clone(), text);
        }
        restored
    }

    /// Puts the values of placeholders back.
    pub(super) fn restore(&mut self, text: &str, range: &Range<usize>, replacements: &mut Vec<Replacement>) {
        let placeholders = &self.inspection.placeholders;
        let Some(part) = text.get(range.clone()) else { return };
        for at in memchr::memchr_iter(b'[', part.as_bytes()) {
            let start = range.start.saturating_add(at);
            let tail = text.get(start..).unwrap_or_default().as_bytes();
            let tail = tail.get(..placeholder::LONGEST).unwrap_or(tail);
            let Some(end) = memchr::memchr(b']', tail) else { continue };
            let end = end.saturating_add(1);
            let span = start..start.saturating_add(end);
            let Some(value) = text.get(span.clone()).and_then(|found| placeholders.value(found)) else {
                continue;
            };
            replacements.push(Replacement { span, text: value.to_owned() });
        }
        let restored = u64::from(!replacements.is_empty());
        self.inspection.outcomes = self.inspection.outcomes.saturating_add(restored);
        replacements.sort_by_key(|replacement| replacement.span.start);
    }
}

impl TextEditor for Editor<'_> {
    /// What a trial would do to earlier turns was told when they were new.
    fn looks_at(&self, place: &Place<'_>) -> bool {
        place.is_new || self.direction == Direction::Response || !self.inspection.is_trial()
    }

    fn edit(&mut self, text: &str, range: Range<usize>, place: &Place<'_>) -> Vec<Replacement> {
        if self.block.is_some() {
            return Vec::new();
        }
        let mut matches = Vec::new();
        if let Some(guardrails) = self.inspection.guardrails().filter(|it| it.looks(self.direction)) {
            let wanted = match self.direction {
                Direction::Request if !place.is_new => guardrails.wanted_earlier(),
                direction => guardrails.wanted(direction),
            };
            matches = self.inspection.scanner.scan(text, range.start, End::Closed, wanted).matches;
            matches.retain(|found| found.span.start < range.end);
        }
        let mut replacements = self.replacements(text, matches, place);
        if self.restores() {
            self.restore(text, &range, &mut replacements);
        }
        replacements
    }

    fn edit_part(
        &mut self,
        part: Part<'_>,
        from: usize,
        progress: &mut Progress,
        place: &Place<'_>,
    ) -> (usize, Vec<Replacement>) {
        let Part { text, .. } = part;
        let (mut decided, mut matches) = (text.len(), Vec::new());
        if self.block.is_some() {
            return (decided, Vec::new());
        }
        if let Some(guardrails) = self.inspection.guardrails().filter(|it| it.looks(self.direction)) {
            let wanted = guardrails.wanted(self.direction);
            let scan = self.inspection.scanner.scan_part(part, from, End::Open, wanted, progress);
            (decided, matches) = (scan.decided, scan.matches);
        }
        if self.restores() {
            decided = decided.min(restorable_until(text));
        }
        decided = text.floor_char_boundary(decided).max(from);
        matches.retain(|found| found.span.start < decided);
        let mut replacements = self.replacements(text, matches, place);
        if self.restores() {
            self.restore(text, &(from..decided), &mut replacements);
        }
        (decided, replacements)
    }

    fn outcomes(&self) -> Option<u64> {
        Some(self.inspection.outcomes)
    }

    /// They would spell what is taken out, and those before the first match have left by then.
    fn removes_logprobs(&self) -> bool {
        self.direction == Direction::Response && self.inspection.intervenes(Direction::Response)
    }

    fn unread(&mut self, _: Unread, _: &Place<'_>) {
        self.inspection.count_unread();
    }
}

/// How much of a text's beginning has no placeholder that more text could complete.
fn restorable_until(text: &str) -> usize {
    let window = text.floor_char_boundary(text.len().saturating_sub(placeholder::LONGEST));
    let tail = text.get(window..).unwrap_or_default();
    let open = memchr::memchr_iter(b'[', tail.as_bytes())
        .find(|at| tail.get(*at..).is_some_and(placeholder::may_become));
    open.map_or(text.len(), |at| window.saturating_add(at))
}

/// The refusal of what a match blocks.
pub(super) fn denial(block: BlockDetail, what: &str) -> Denial {
    let BlockDetail { category, detector, place, .. } = &block;
    let place = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
    let message =
        format!("The app's guardrails blocked this {what}: {category} ({detector}) was found{place}.");
    Denial { block: Some(Box::new(block)), ..Denial::new(Code::GuardrailBlocked, message) }
}

#[cfg(test)]
mod tests {
    use latchkey_proto::discovery as wire;

    use super::*;
    use crate::content::Role;
    use crate::testing;

    #[test]
    fn a_scan_is_of_one_text() {
        let rule = wire::GuardrailRule {
            category: "pii".to_owned(),
            detector: String::new(),
            action: wire::GuardrailAction::Redact.into(),
            direction: wire::GuardrailDirection::Both.into(),
            min_risk: wire::GuardrailRisk::Low.into(),
            ..wire::GuardrailRule::default()
        };
        let guardrails =
            wire::Guardrails { rules: vec![rule], key: vec![7; 32], ..wire::Guardrails::default() };
        let app = wire::AppPolicy { guardrails: Some(guardrails), ..testing::app() };
        let app = Rc::new(AppPolicy::try_from(app).unwrap());
        let mut inspection = Inspection::new(&app, RuleSource::App, &Rc::default(), true, UnixMs(1));
        let mut editor = Editor::of_answer(&mut inspection);
        let place = content::whole_place(Role::Assistant);
        let (harmless, address) = ("nothing that is here. ", "mail kim@example.com, ");
        assert_eq!(harmless.len(), address.len());
        let part = Part { text: harmless, origin: 0 };
        let (decided, edits) = editor.edit_part(part, 0, &mut Progress::default(), &place);
        assert_eq!((decided, edits.as_slice()), (harmless.len(), [].as_slice()));
        let edits = editor.edit(address, 0..address.len(), &place);
        assert_eq!(edits.first().map(|edit| edit.text.as_str()), Some("[EMAIL]"), "{edits:?}");
        let part = Part { text: address, origin: 0 };
        let (_, edits) = editor.edit_part(part, 0, &mut Progress::default(), &place);
        assert_eq!(edits.first().map(|edit| edit.text.as_str()), Some("[EMAIL]"), "{edits:?}");
    }
}
