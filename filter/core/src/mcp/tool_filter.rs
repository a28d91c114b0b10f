//! The answers of an MCP server to an app that may use some of its tools only: they list those. What
//! cannot be read becomes an error, never a list.

use std::rc::Rc;

use serde_json::value::RawValue;

use super::sse::{SseEvent, SseSplitter, events};
use super::tool_list::without_hidden_tools;
use crate::answer::denial::{Code, Denial};
use crate::answer::usage::is_event_stream;
use crate::request::header::essence;
use crate::snapshot::{AppPolicy, McpServer};

/// The byte order mark that an event stream may begin with.
const MARK: &str = "\u{feff}";

/// The longest answer in JSON, and the longest event of a stream, in MiB. It is kept until it is whole.
const LONGEST_MIB: usize = 8;

/// The same in bytes.
const LONGEST: usize = LONGEST_MIB << 20;

/// What of an answer the client may see, as it arrives.
#[derive(Debug)]
pub struct ToolFilter {
    app: Rc<AppPolicy>,
    server: Rc<McpServer>,
    /// Of the request; none where an answer to it is not known to be here.
    id: Option<Box<RawValue>>,
    format: McpAnswerFormat,
    events: SseSplitter,
    state: FilterState,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpAnswerFormat {
    /// One message, or a batch. It is kept until its end.
    Json,
    /// A stream of events, whose data are messages. Each passes when it is whole.
    Events,
    /// It cannot be read: an error takes its place, as [`McpAnswerFormat::Json`].
    Unreadable,
    /// It tells of an error, and should not be a message. It is kept until its end, and read as [`McpAnswerFormat::Json`]
    /// where it begins like one.
    Plain,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FilterState {
    Start,
    Inside,
    /// In an event that is too long.
    TooLong,
    /// The client has got all that it gets.
    Done,
}

/// It is not known which tools a message lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl ToolFilter {
    /// Of an answer to the request of this id, for an app that may use a part of the server.
    #[must_use]
    pub fn new(app: Rc<AppPolicy>, server: Rc<McpServer>, id: Option<Box<RawValue>>) -> Self {
        Self {
            app,
            server,
            id,
            format: McpAnswerFormat::Unreadable,
            events: SseSplitter::default(),
            state: FilterState::Start,
        }
    }

    /// The answer's headers have come: its status, `content-type` and `content-encoding`.
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

    /// Whether so many bytes of the body are kept until there are more.
    #[must_use]
    pub fn waits(&self, bytes: usize, last: bool) -> bool {
        matches!(self.format, McpAnswerFormat::Json | McpAnswerFormat::Plain)
            && !last
            && self.state == FilterState::Start
            && bytes <= LONGEST
    }

    /// What the client gets in the place of these bytes: of the whole body, where it had to wait.
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

    fn document(&self, body: &[u8]) -> String {
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
            // Of what is too long its end alone matters.
            self.events.take();
        }
        out
    }

    /// A whole event, or what a stream ends with.
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

    /// An event without a message may be there to give the stream an id. A message outside of the data is read
    /// by some clients, and not by this gate.
    fn data(&self, event: &SseEvent<'_>) -> Result<Option<String>, Unreadable> {
        if event.has_json_beside_data() {
            return Err(Unreadable);
        }
        let data = event.data.as_deref().filter(|data| !data.is_empty());
        data.map_or(Ok(None), |data| self.message(data))
    }

    /// The message without the tools that the app may not use; none where it has none of them.
    fn message(&self, text: &str) -> Result<Option<String>, Unreadable> {
        without_hidden_tools(text, &|tool| self.app.allows_mcp_tool(&self.server.name, tool))
    }

    /// What stands in the place of an event: an error, where there is a request that it can be of.
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

fn unreadable() -> Denial {
    Denial::new(Code::InternalError, "The gateway could not read which tools the MCP server lists.")
}

fn too_long() -> Denial {
    let message = format!(
        "The MCP server's answer is longer than {LONGEST_MIB} MiB. The gateway reads no more than that for an app \
         that may use some of the server's tools only."
    );
    Denial::new(Code::InternalError, message)
}

/// Whether somebody may read these bytes as JSON: an object, an array or, after a byte order mark, another text.
fn begins_as_json(bytes: &[u8]) -> bool {
    let first = bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes).trim_ascii_start().first();
    first.is_some_and(|first| b"{[\"".contains(first))
}

fn is_json(content_type: &str) -> bool {
    essence(content_type).eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests;
