//! The answer to a request under guardrails.

use serde_json::value::RawValue;

use super::inspection::{Editor, Inspection, denial};
use super::report::{BlockDetail, InspectionReport};
use crate::answer::reply::Reply;
use crate::answer::usage::{AnswerHead, is_event_stream};
use crate::content::{self, StreamEditor};
use crate::request::endpoint::ModelOperation;
use crate::upstream::call::UpstreamCall;

/// Looks at one answer as it passes.
#[derive(Debug)]
pub struct AnswerInspector {
    inspection: Box<Inspection>,
    source: AnswerSource,
    mode: AnswerMode,
    stream: StreamEditor,
    /// The stream was ended.
    is_ended: bool,
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

impl AnswerInspector {
    #[must_use]
    pub fn new(inspection: Box<Inspection>, call: &UpstreamCall) -> Self {
        let (source, stream) = match call {
            UpstreamCall::Model(call) => {
                (AnswerSource::Model(call.operation), StreamEditor::new(call.operation))
            }
            UpstreamCall::Mcp(call) => (AnswerSource::Mcp(call.id.clone()), StreamEditor::mcp()),
        };
        Self { inspection, source, mode: AnswerMode::Pass, stream, is_ended: false }
    }

    /// How its body passes.
    #[must_use]
    pub fn mode(&self) -> AnswerMode {
        self.mode
    }

    /// The answer's headers have come, and a body will.
    pub fn answered(&mut self, status: u16, head: AnswerHead<'_>) -> AnswerMode {
        let is_read = (200..300).contains(&status) && self.inspection.concerns_answer();
        if is_read && head.is_encoded() {
            self.inspection.count_unread();
        }
        self.mode = match head.content_type {
            _ if head.is_encoded() => AnswerMode::Pass,
            _ if !is_read => AnswerMode::Pass,
            Some(content_type) if is_event_stream(content_type) => AnswerMode::Stream,
            _ => AnswerMode::Whole,
        };
        self.mode
    }

    /// The whole body of an answer.
    pub fn whole(&mut self, body: &[u8]) -> WholeAnswer {
        let mut editor = Editor::of_answer(&mut self.inspection);
        let edited = match &self.source {
            AnswerSource::Model(operation) => content::edit_answer(*operation, body, &mut editor),
            AnswerSource::Mcp(_) => content::edit_mcp(body, &mut editor),
        };
        match (editor.block.take(), edited) {
            (Some(block), _) => WholeAnswer::Refuse(self.refusal(block)),
            (None, Ok(Some(edited))) => WholeAnswer::Replace(edited),
            (None, Ok(None)) => WholeAnswer::Pass,
            (None, Err(_)) => {
                self.inspection.count_unread();
                WholeAnswer::Pass
            }
        }
    }

    /// A chunk of a stream: what the client gets in its place.
    pub fn chunk(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        if self.is_ended {
            return Vec::new();
        }
        let mut editor = Editor::of_answer(&mut self.inspection);
        let shown = self.stream.push(bytes, last, &mut editor);
        let Some(block) = editor.block.take() else { return shown };
        self.is_ended = true;
        // Nothing that came with it is shown.
        let denial = denial(block, "answer");
        match &self.source {
            AnswerSource::Model(operation) => content::stream_error(*operation, &denial),
            AnswerSource::Mcp(id) => format!("data: {}\n\n", denial.rpc_error(id.as_deref())).into_bytes(),
        }
    }

    #[must_use]
    pub fn into_report(self) -> InspectionReport {
        self.inspection.into_report()
    }

    fn refusal(&self, block: BlockDetail) -> Reply {
        let denial = denial(block, "answer");
        match &self.source {
            AnswerSource::Model(operation) => denial.reply(operation.client_api()),
            AnswerSource::Mcp(id) => denial.rpc_reply(id.as_deref()),
        }
    }
}
