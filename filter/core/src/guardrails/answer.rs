//! The answer to a request under guardrails.

use serde_json::value::RawValue;

use super::inspection::{Editor, Inspection, denial};
use super::report::{BlockDetail, InspectionReport};
use crate::answer::reply::Reply;
use crate::answer::usage::{AnswerHead, is_event_stream};
use crate::content::{self, StreamEditor};
use crate::request::endpoint::ModelOperation;
use crate::request::header::essence;
use crate::upstream::call::UpstreamCall;

/// Looks at one answer as it passes.
#[derive(Debug)]
pub struct AnswerInspector {
    inspection: Box<Inspection>,
    source: AnswerSource,
    mode: AnswerMode,
    stream: StreamEditor,
    /// The stream was ended: nothing more is shown.
    is_ended: bool,
    /// A match has ended it.
    is_blocked: bool,
    /// The document so far that came as a stream.
    document: Option<Vec<u8>>,
    /// Something other than white space has come.
    has_begun: bool,
    /// The last chunk has come.
    has_ended: bool,
    /// Shows the same to a change request's guardrails, where they are tried. It passes or watches.
    trial: Option<Box<AnswerInspector>>,
}

/// Who answers.
#[derive(Debug)]
enum AnswerSource {
    Model(ModelOperation),
    /// An MCP server, to the request with this id.
    Mcp(Option<Box<RawValue>>),
}

/// How an answer's body passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerMode {
    /// As it comes.
    Pass,
    /// As it comes, and it is looked at meanwhile: nothing that is found can change it.
    Watch,
    /// Once it is whole: its headers wait for that.
    Whole,
    /// Event by event.
    Stream,
}

/// What becomes of a whole answer.
#[derive(Debug)]
pub enum WholeAnswer {
    Pass,
    Replace(Vec<u8>),
    /// The client gets this instead.
    Refuse(Reply),
}

/// The longest JSON document that is held where a stream was announced, in bytes.
const LONGEST_DOCUMENT: usize = 8 << 20;

/// The longest JSON document of which a copy is kept to look at, in bytes.
const LONGEST_WATCHED: usize = 1 << 20;

/// Whether an operation's answer is of numbers and labels alone.
fn answers_without_text(operation: ModelOperation) -> bool {
    matches!(
        operation,
        ModelOperation::Embeddings | ModelOperation::Moderations | ModelOperation::CountTokens
    )
}

/// Whether an answer is sound, an image or a file.
fn is_media(content_type: &str) -> bool {
    let kind = essence(content_type).to_ascii_lowercase();
    ["audio/", "image/", "video/", "application/octet-stream"].iter().any(|media| kind.starts_with(media))
}

impl AnswerInspector {
    #[must_use]
    pub fn new(mut inspection: Box<Inspection>, call: &UpstreamCall) -> Self {
        let trial = inspection.trial.take().map(|trial| Box::new(Self::new(trial, call)));
        let (source, stream) = match call {
            UpstreamCall::Model(call) => {
                (AnswerSource::Model(call.operation), StreamEditor::new(call.operation))
            }
            UpstreamCall::Mcp(call) => (AnswerSource::Mcp(call.id.clone()), StreamEditor::mcp()),
        };
        Self {
            inspection,
            source,
            mode: AnswerMode::Pass,
            stream,
            is_ended: false,
            is_blocked: false,
            document: None,
            has_begun: false,
            has_ended: false,
            trial,
        }
    }

    /// How its body passes.
    #[must_use]
    pub fn mode(&self) -> AnswerMode {
        match &self.trial {
            Some(trial) if self.mode == AnswerMode::Pass => trial.mode,
            _ => self.mode,
        }
    }

    /// The answer's headers have come, and a body will.
    pub fn answered(&mut self, status: u16, head: AnswerHead<'_>) -> AnswerMode {
        if let Some(trial) = &mut self.trial {
            trial.answered(status, head);
        }
        let is_read = (200..300).contains(&status) && self.inspection.concerns_answer();
        if is_read && head.is_encoded() {
            self.inspection.count_unread();
        }
        self.mode = match head.content_type {
            _ if head.is_encoded() => AnswerMode::Pass,
            Some(content_type) if is_read && is_media(content_type) => {
                self.inspection.count_unread();
                AnswerMode::Pass
            }
            _ if !is_read => AnswerMode::Pass,
            Some(content_type) if is_event_stream(content_type) => self.watch_or(AnswerMode::Stream),
            _ => self.watch_or(AnswerMode::Whole),
        };
        let is_events = head.content_type.is_some_and(is_event_stream);
        if self.mode == AnswerMode::Watch && !is_events {
            (self.has_begun, self.document) = (true, Some(Vec::new()));
        }
        self.mode()
    }

    fn watch_or(&self, mode: AnswerMode) -> AnswerMode {
        match self.source {
            AnswerSource::Model(_) if self.inspection.may_change_answer() => mode,
            AnswerSource::Model(operation) if answers_without_text(operation) => AnswerMode::Pass,
            AnswerSource::Model(_) => AnswerMode::Watch,
            AnswerSource::Mcp(_) if self.inspection.is_trial() => AnswerMode::Watch,
            AnswerSource::Mcp(_) => mode,
        }
    }

    /// The whole body of an answer.
    pub fn whole(&mut self, body: &[u8]) -> WholeAnswer {
        self.watch_trial(body, true);
        self.edit_whole(body)
    }

    fn edit_whole(&mut self, body: &[u8]) -> WholeAnswer {
        if !body.trim_ascii_start().first().is_some_and(|byte| b"{[\"".contains(byte)) {
            return self.unlabelled(body);
        }
        let mut editor = Editor::of_answer(&mut self.inspection);
        let edited = match &self.source {
            AnswerSource::Model(operation) => content::edit_answer(*operation, body, &mut editor),
            AnswerSource::Mcp(_) => content::edit_mcp(body, &mut editor),
        };
        match (editor.block.take(), edited) {
            (Some(block), _) => WholeAnswer::Refuse(self.refusal(block)),
            (None, Ok(Some(edited))) => WholeAnswer::Replace(edited),
            (None, Ok(None)) => WholeAnswer::Pass,
            (None, Err(_)) => self.unlabelled(body),
        }
    }

    /// An answer that is not the JSON that its label promises: a stream, or one text.
    fn unlabelled(&mut self, body: &[u8]) -> WholeAnswer {
        let Ok(text) = str::from_utf8(body) else {
            self.inspection.count_unread();
            return WholeAnswer::Pass;
        };
        let mut editor = Editor::of_answer(&mut self.inspection);
        let begin = text.trim_start_matches(['\u{feff}', '\r', '\n']);
        let is_stream =
            ["data:", "event:", "id:", "retry:", ":"].iter().any(|field| begin.starts_with(field));
        let edited = match is_stream {
            true => Some(self.stream.push(body, true, &mut editor)),
            false => content::edit_text(text, &mut editor),
        };
        match (editor.block.take(), edited) {
            (Some(block), _) => WholeAnswer::Refuse(self.refusal(block)),
            (None, Some(edited)) if edited != body => WholeAnswer::Replace(edited),
            (None, _) => WholeAnswer::Pass,
        }
    }

    /// A chunk of an answer that passes as it comes.
    pub fn watch(&mut self, bytes: &[u8], last: bool) {
        self.watch_trial(bytes, last);
        if self.mode == AnswerMode::Watch {
            // What would be shown is what has come.
            let _ = self.edit_chunk(bytes, last);
            self.has_ended |= last;
        }
    }

    fn watch_trial(&mut self, bytes: &[u8], last: bool) {
        if let Some(trial) = &mut self.trial {
            trial.watch(bytes, last);
        }
    }

    /// A chunk of a stream: what the client gets in its place.
    pub fn chunk(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        self.watch_trial(bytes, last);
        self.edit_chunk(bytes, last)
    }

    fn edit_chunk(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        if self.is_ended {
            return Vec::new();
        }
        if let Some(shown) = self.document(bytes, last) {
            return shown;
        }
        let mut editor = Editor::of_answer(&mut self.inspection);
        let shown = self.stream.push(bytes, last, &mut editor);
        let Some(block) = editor.block.take() else { return shown };
        (self.is_ended, self.is_blocked) = (true, true);
        // Nothing that came with it is shown.
        let denial = denial(block, "answer");
        match &self.source {
            AnswerSource::Model(operation) => content::stream_error(*operation, &denial),
            AnswerSource::Mcp(id) => format!("data: {}\n\n", denial.rpc_error(id.as_deref())).into_bytes(),
        }
    }

    /// Holds a JSON document that came as a stream until it is whole; none where it is a stream.
    fn document(&mut self, bytes: &[u8], last: bool) -> Option<Vec<u8>> {
        if let (false, Some(first)) = (self.has_begun, bytes.trim_ascii_start().first()) {
            self.has_begun = true;
            self.document = b"{[".contains(first).then(Vec::new);
        }
        let document = self.document.as_mut()?;
        if self.mode == AnswerMode::Watch && document.len().saturating_add(bytes.len()) > LONGEST_WATCHED {
            (self.document, self.is_ended) = (None, true);
            self.inspection.count_unread();
            return Some(Vec::new());
        }
        document.extend_from_slice(bytes);
        if !last && document.len() <= LONGEST_DOCUMENT {
            return Some(Vec::new());
        }
        let document = self.document.take().unwrap_or_default();
        self.is_ended = !last;
        Some(match self.edit_whole(&document) {
            _ if !last => {
                self.inspection.count_unread();
                Vec::new()
            }
            WholeAnswer::Pass => document,
            WholeAnswer::Replace(edited) => edited,
            WholeAnswer::Refuse(reply) => {
                self.is_blocked = true;
                reply.body
            }
        })
    }

    /// Whether it was ended because of a match.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    #[must_use]
    pub fn into_report(mut self) -> InspectionReport {
        let Some(trial) = self.trial.take() else { return self.ended().into_report() };
        InspectionReport { trial: trial.ended().trial_report(), ..self.ended().into_report() }
    }

    fn ended(mut self) -> Box<Inspection> {
        // What has passed counts, wherever it was cut.
        if self.mode == AnswerMode::Watch && !self.has_ended {
            self.watch(&[], true);
        }
        self.inspection
    }

    fn refusal(&self, block: BlockDetail) -> Reply {
        let denial = denial(block, "answer");
        match &self.source {
            AnswerSource::Model(operation) => denial.reply(operation.client_api()),
            AnswerSource::Mcp(id) => denial.rpc_reply(id.as_deref()),
        }
    }
}
