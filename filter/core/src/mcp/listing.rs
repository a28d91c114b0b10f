//! The answer to `tools/list` for an app that may use some tools only: it shows those. What cannot be
//! read becomes an error, never the whole list.

use std::rc::Rc;

use serde_json::value::RawValue;

use super::events::events;
use crate::body::{Object, span};
use crate::denial::{Code, Denial};
use crate::snapshot::{AppPolicy, McpServer};
use crate::usage::is_event_stream;

/// The byte order mark that an event stream may begin with.
const MARK: &str = "\u{feff}";

/// What of an answer the client may see.
#[derive(Debug)]
pub struct Listing {
    app: Rc<AppPolicy>,
    server: Rc<McpServer>,
    /// Of the request.
    id: Option<Box<RawValue>>,
    form: Form,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One message.
    Json,
    /// A stream of events, whose data are messages.
    Events,
    /// It cannot be read: an error takes its place, as [`Form::Json`].
    Unreadable,
}

/// It is not known which tools a message lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unreadable;

impl Listing {
    /// Of an answer to the request of this id, for an app that may use a part of the server.
    #[must_use]
    pub fn new(app: Rc<AppPolicy>, server: Rc<McpServer>, id: Option<Box<RawValue>>) -> Self {
        Self { app, server, id, form: Form::Unreadable }
    }

    /// The answer's headers have come: its `content-type` and `content-encoding`.
    pub fn answered(&mut self, content_type: Option<&str>, encoding: Option<&str>) -> Form {
        let is_plain = encoding.is_none_or(|encoding| encoding.trim().eq_ignore_ascii_case("identity"));
        self.form = match content_type {
            Some(kind) if is_plain && is_json(kind) => Form::Json,
            Some(kind) if is_plain && is_event_stream(kind) => Form::Events,
            _ => Form::Unreadable,
        };
        self.form
    }

    /// What the client gets in the place of the whole answer.
    #[must_use]
    pub fn filter(&self, body: &[u8]) -> Vec<u8> {
        if body.is_empty() {
            return Vec::new();
        }
        let text = str::from_utf8(body).map_err(|_| Unreadable);
        let filtered = match self.form {
            Form::Json => text.and_then(|text| Ok(self.message(text)?.unwrap_or_else(|| text.to_owned()))),
            Form::Events => text.and_then(|text| self.stream(text)),
            Form::Unreadable => Err(Unreadable),
        };
        filtered.unwrap_or_else(|Unreadable| self.error()).into_bytes()
    }

    fn stream(&self, text: &str) -> Result<String, Unreadable> {
        let (mark, stream) =
            text.split_at_checked(MARK.len()).filter(|(mark, _)| *mark == MARK).unwrap_or(("", text));
        let mut out = String::with_capacity(text.len());
        out.push_str(mark);
        for event in events(stream) {
            // An event without a message may be there to give the stream an id.
            let data = event.data.as_deref().filter(|data| !data.is_empty());
            match data.map(|data| self.message(data)).transpose()?.flatten() {
                Some(message) => out.push_str(&event.with_data(&message)),
                None => out.push_str(event.text),
            }
        }
        Ok(out)
    }

    /// The message without the tools that the app may not use; none where it has none of them.
    fn message(&self, text: &str) -> Result<Option<String>, Unreadable> {
        let names = ["jsonrpc", "id", "method", "params", "result", "error"];
        let message = Object::read(text, names).map_err(|_| Unreadable)?;
        let Some(result) = message.get("result") else { return Ok(None) };
        let result = Object::read(result.get(), ["tools"]).map_err(|_| Unreadable)?;
        let Some(tools) = result.get("tools") else { return Ok(None) };
        let listed: Vec<&RawValue> = serde_json::from_str(tools.get()).map_err(|_| Unreadable)?;
        let shown: Vec<_> =
            listed.iter().map(|tool| tool.get()).filter(|tool| self.may_be_shown(tool)).collect();
        if shown.len() == listed.len() {
            return Ok(None);
        }
        let at = span(text, tools.get()).ok_or(Unreadable)?;
        let (before, after) =
            (text.get(..at.start).ok_or(Unreadable)?, text.get(at.end..).ok_or(Unreadable)?);
        Ok(Some([before, "[", &shown.join(","), "]", after].concat()))
    }

    /// One whose name cannot be told is not.
    fn may_be_shown(&self, tool: &str) -> bool {
        let name = Object::read(tool, ["name"]).ok().and_then(|tool| tool.string("name"));
        name.is_some_and(|name| self.app.allows_mcp_tool(&self.server.name, &name))
    }

    fn error(&self) -> String {
        let message = "The gateway could not read which tools the MCP server lists.";
        let error = Denial::new(Code::InternalError, message).rpc_error(self.id.as_deref());
        match self.form {
            Form::Events => format!("data: {error}\n\n"),
            Form::Json | Form::Unreadable => error,
        }
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
#[path = "listing/tests.rs"]
mod tests;
