//! The answer to a request under guardrails.

use super::inspection::{Editor, Inspection, denial};
use super::policy::Direction;
use super::report::{BlockDetail, InspectionReport};
use crate::answer::reply::Reply;
use crate::answer::usage::{AnswerHead, is_event_stream};
use crate::content::{self, StreamEditor};
use crate::request::endpoint::ModelOperation;

/// Looks at one answer as it passes.
#[derive(Debug)]
pub struct AnswerInspector {
    inspection: Box<Inspection>,
    /// None for an MCP server's.
    operation: Option<ModelOperation>,
    mode: AnswerMode,
    stream: StreamEditor,
    /// The answer was ended because of this.
    blocked: Option<BlockDetail>,
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
        let operation = match call {
            UpstreamCall::Model(call) => Some(call.operation),
            UpstreamCall::Mcp(_) => None,
        };
        Self { inspection, operation, mode: AnswerMode::Pass, stream: StreamEditor::new(operation), blocked: None }
    }

    /// How its body passes.
    #[must_use]
    pub fn mode(&self) -> AnswerMode {
        self.mode
    }

    /// The answer's headers have come, and a body will.
    pub fn answered(&mut self, status: u16, head: AnswerHead<'_>) -> AnswerMode {
        let is_read = (200..300).contains(&status) && self.inspection.concerns_answer();
        self.mode = match head.content_type {
            Some(content_type) if is_read && is_event_stream(content_type) => AnswerMode::Stream,
            _ if is_read => AnswerMode::Whole,
            _ => AnswerMode::Pass,
        };
        self.mode
    }

    /// The whole body of an answer.
    pub fn whole(&mut self, body: &[u8]) -> WholeAnswer {
        let mut editor = Editor { inspection: &mut self.inspection, direction: Direction::Response, block: None };
        let edited = match self.operation {
            Some(operation) => content::edit_answer(operation, body, &mut editor),
            None => content::edit_mcp(body, &mut editor),
        };
        match (editor.block.take(), edited) {
            (Some(block), _) => WholeAnswer::Refuse(self.refusal(block)),
            (None, Some(edited)) => WholeAnswer::Replace(edited),
            (None, None) => WholeAnswer::Pass,
        }
    }

    /// A chunk of a stream: what the client gets in its place.
    pub fn chunk(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        if self.blocked.is_some() {
            return Vec::new();
        }
        let mut editor = Editor { inspection: &mut self.inspection, direction: Direction::Response, block: None };
        let shown = self.stream.push(bytes, last, &mut editor);
        let Some(block) = editor.block.take() else { return shown };
        self.blocked = Some(block.clone());
        // Nothing that came with it is shown.
        content::stream_error(self.operation, &self.refusal(block).body)
    }

    #[must_use]
    pub fn into_report(self) -> InspectionReport {
        self.inspection.into_report()
    }

    fn refusal(&self, block: BlockDetail) -> Reply {
        let denial = denial(block, "answer");
        match self.operation {
            Some(operation) => denial.reply(operation.client_api()),
            None => denial.rpc_reply(None),
        }
    }
}
