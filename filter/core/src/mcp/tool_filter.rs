//! Filters an MCP server's answers: lists show only the tools that the app may use and that are as they are pinned.
//! What cannot be read becomes an error.

use std::rc::Rc;

use latchkey_proto::ledger::DefinitionForm;
use serde_json::value::RawValue;

use super::definition::{LONGEST_DEFINITION, ToolDefinition, fingerprint};
use super::message::is_tool_name;
use super::sightings::{self, SeenTools, sighting};
use super::sse::{SseEvent, SseSplitter, events};
use super::tool_list::{ListedTool, without_hidden_tools};
use crate::answer::denial::{Code, Denial};
use crate::answer::usage::is_event_stream;
use crate::discovery::view::View;
use crate::request::header::essence;
use crate::request::redaction::holds_key;
use crate::snapshot::{AppPolicy, McpServer, UnixMs};
use crate::store::SharedStore;

/// A byte order mark.
const MARK: &str = "\u{feff}";

/// The longest JSON answer and the longest event, in MiB: each is buffered whole.
const LONGEST_MIB: usize = 8;

/// The same in bytes.
const LONGEST: usize = LONGEST_MIB << 20;

/// Filters one answer as it arrives.
#[derive(Debug)]
pub struct ToolFilter {
    app: Rc<AppPolicy>,
    server: Rc<McpServer>,
    /// The request's id; none where the answer may not be to it.
    id: Option<Box<RawValue>>,
    format: McpAnswerFormat,
    events: SseSplitter,
    state: FilterState,
    /// Tools that are not as they are pinned, until they are told.
    seen: SeenTools,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpAnswerFormat {
    /// A message or a batch. It is buffered whole.
    Json,
    /// An event stream of messages. Each event passes when it is whole.
    Events,
    /// It cannot be read, and is replaced by an error.
    Unreadable,
    /// An HTTP error, which should not be a message. It is buffered whole, and read as
    /// [`McpAnswerFormat::Json`] if it begins like JSON.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FilterState {
    Start,
    Inside,
    /// In an event that is too long.
    TooLong,
    /// The client has got everything.
    Done,
}

/// It cannot be told which tools a message lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl ToolFilter {
    /// For an answer to the request with this id.
    #[must_use]
    pub fn new(app: Rc<AppPolicy>, server: Rc<McpServer>, id: Option<Box<RawValue>>) -> Self {
        Self {
            app,
            server,
            id,
            format: McpAnswerFormat::Unreadable,
            events: SseSplitter::default(),
            state: FilterState::Start,
            seen: SeenTools::default(),
        }
    }

    /// The answer's headers have come.
    pub fn answered(
        &mut self,
        status: u16,
        content_type: Option<&str>,
        encoding: Option<&str>,
    ) -> McpAnswerFormat {
        let is_plain = encoding.is_none_or(|encoding| encoding.trim().eq_ignore_ascii_case("identity"));
        self.format = match content_type {
            _ if !is_plain => McpAnswerFormat::Unreadable,
            Some(kind) if is_json(kind) => McpAnswerFormat::Json,
            Some(kind) if is_event_stream(kind) => McpAnswerFormat::Events,
            _ if status >= 400 => McpAnswerFormat::Plain,
            _ => McpAnswerFormat::Unreadable,
        };
        self.format
    }

    /// Whether to wait for more of the body.
    #[must_use]
    pub fn waits(&self, bytes: usize, last: bool) -> bool {
        matches!(self.format, McpAnswerFormat::Json | McpAnswerFormat::Plain)
            && !last
            && self.state == FilterState::Start
            && bytes <= LONGEST
    }

    /// What replaces these bytes: the whole body, where it had to wait.
    pub fn pass(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        match self.format {
            McpAnswerFormat::Events => self.stream(bytes, last),
            McpAnswerFormat::Plain if self.state == FilterState::Start && !begins_as_json(bytes) => {
                self.state = FilterState::Inside;
                bytes.to_vec()
            }
            McpAnswerFormat::Plain if self.state == FilterState::Inside => bytes.to_vec(),
            _ if bytes.is_empty() || self.state == FilterState::Done => Vec::new(),
            McpAnswerFormat::Json | McpAnswerFormat::Plain | McpAnswerFormat::Unreadable => {
                self.state = FilterState::Done;
                self.document(bytes).into_bytes()
            }
        }
    }

    /// Notes which tools in what has passed are not as they are pinned by now.
    pub fn tell<S: SharedStore>(&mut self, view: &View<S>, now: impl FnOnce() -> UnixMs) {
        let Some(seen) = self.seen.take() else { return };
        let Some(snapshot) = view.snapshot() else { return };
        let catalogue = view.catalogue(snapshot);
        let is_pinned = |server: &str| catalogue.mcp_server(server).is_some_and(|it| it.pins.is_some());
        if let Some(server) = catalogue.mcp_server(&self.server.name) {
            sightings::note(view.store(), server, is_pinned, seen, now());
        }
    }

    fn document(&mut self, body: &[u8]) -> String {
        if body.len() > LONGEST {
            return self.error(&too_long());
        }
        let text = str::from_utf8(body)
            .ok()
            .filter(|_| self.format != McpAnswerFormat::Unreadable)
            .ok_or(Unreadable);
        let shown = text.and_then(|text| Ok(self.message(text)?.unwrap_or_else(|| text.to_owned())));
        shown.unwrap_or_else(|Unreadable| self.error(&unreadable()))
    }

    fn stream(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
        while let Some((event, after)) = self.events.next(rest) {
            rest = after;
            match self.state {
                FilterState::TooLong => self.state = FilterState::Inside,
                _ => out.extend(self.event(&event)),
            }
        }
        if last && self.state != FilterState::TooLong {
            let event = self.events.take();
            out.extend(self.event(&event));
        }
        if self.events.held() > LONGEST {
            self.events.take();
            if self.state != FilterState::TooLong {
                out.extend(self.in_place(&too_long()));
            }
            self.state = FilterState::TooLong;
        } else if self.state == FilterState::TooLong {
            // Only the end of an event that is too long matters.
            self.events.take();
        }
        out
    }

    /// A whole event, or the rest of the stream.
    fn event(&mut self, event: &[u8]) -> Vec<u8> {
        if event.is_empty() {
            return Vec::new();
        }
        let is_first = std::mem::replace(&mut self.state, FilterState::Inside) == FilterState::Start;
        let Ok(text) = str::from_utf8(event) else { return self.in_place(&unreadable()) };
        let (mark, text) = match text.split_at_checked(MARK.len()) {
            Some((MARK, text)) if is_first => (MARK, text),
            _ => ("", text),
        };
        let mut out = mark.to_owned();
        for event in events(text) {
            match self.data(&event) {
                Ok(None) => out.push_str(event.text),
                Ok(Some(data)) => out.push_str(&event.with_data(&data)),
                Err(Unreadable) => return self.in_place(&unreadable()),
            }
        }
        out.into_bytes()
    }

    /// An event without data may carry the stream's id. Some clients read a message outside of the data
    /// lines; the gate does not, and refuses it.
    fn data(&mut self, event: &SseEvent<'_>) -> Result<Option<String>, Unreadable> {
        if event.has_json_beside_data() {
            return Err(Unreadable);
        }
        let data = event.data.as_deref().filter(|data| !data.is_empty());
        data.map_or(Ok(None), |data| self.message(data))
    }

    /// The message without hidden tools; none where it has none.
    fn message(&mut self, text: &str) -> Result<Option<String>, Unreadable> {
        let Self { app, server, seen, .. } = self;
        without_hidden_tools(text, &mut |tool| {
            // Both are asked: a tool that the app may not use is looked at, too.
            let is_pinned = is_pinned(server, tool, seen);
            is_pinned && app.allows_mcp_tool(&server.name, tool.name)
        })
    }

    /// Replaces an event: an error where it has a request to answer, otherwise a comment.
    fn in_place(&self, denial: &Denial) -> Vec<u8> {
        match &self.id {
            Some(_) => format!("data: {}\n\n", self.error(denial)).into_bytes(),
            None => format!(": {}\n\n", denial.message).into_bytes(),
        }
    }

    fn error(&self, denial: &Denial) -> String {
        denial.rpc_error(self.id.as_deref())
    }
}

/// Whether a tool may be used as it is listed; what is not as it is pinned is noted.
fn is_pinned(server: &McpServer, tool: ListedTool<'_>, seen: &mut SeenTools) -> bool {
    let Some(pins) = &server.pins else { return true };
    let pin = pins.get(tool.name);
    let approved = pin.filter(|pin| !pin.is_changed);
    let Some(text) = tool.definition else { return approved.is_some() };
    if tool.is_answer {
        seen.lists();
    }
    let is_told = tool.is_answer && seen.has_room(tool.name, pin) && is_tool_name(tool.name);
    let is_told = is_told && !holds_key(tool.name);
    if approved.is_none() && !is_told {
        return false;
    }
    // One that two readers may read differently is told, so that an admin sees it, and never listed.
    let (hash, form, definition) = match ToolDefinition::read(text) {
        None => (fingerprint(text), DefinitionForm::Unreadable, String::new()),
        Some(read) if approved.is_some_and(|pin| pin.hash == read.hash) => return true,
        Some(read) if read.text.len() > LONGEST_DEFINITION => {
            (read.hash, DefinitionForm::TooLong, String::new())
        }
        Some(read) if holds_key(&read.text) => (read.hash, DefinitionForm::HoldsKey, String::new()),
        Some(read) => (read.hash, DefinitionForm::Clear, read.text),
    };
    if is_told {
        seen.add(sighting(&server.name, tool.name, hash, form, definition), pin);
    }
    false
}

fn unreadable() -> Denial {
    Denial::new(Code::InternalError, "The gateway could not read which tools the MCP server lists.")
}

fn too_long() -> Denial {
    let message = format!(
        "The MCP server's answer is longer than {LONGEST_MIB} MiB. The gateway does not read more than that \
         if some of the server's tools are not allowed."
    );
    Denial::new(Code::InternalError, message)
}

/// Whether these bytes may be read as JSON: an object, an array or a string, perhaps after a byte order mark.
fn begins_as_json(bytes: &[u8]) -> bool {
    let first = bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes).trim_ascii_start().first();
    first.is_some_and(|first| b"{[\"".contains(first))
}

fn is_json(content_type: &str) -> bool {
    essence(content_type).eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests;
