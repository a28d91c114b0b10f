//! The first event of a stream: whether it is an error.

use crate::mcp::sse::{self, SseSplitter};

/// The most that is held of a stream whose first event is not complete, in bytes.
const MOST: usize = 64 * 1024;

/// What is known of the first event that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstEvent {
    /// It has not come yet.
    Unknown,
    Good,
    Error,
}

#[derive(Debug, Default)]
pub(super) struct FirstEventReader {
    splitter: SseSplitter,
    seen: usize,
}

#[derive(serde::Deserialize)]
struct ErrorEvent<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    error: serde_json::Value,
}

impl FirstEventReader {
    /// More of the stream has come.
    pub(super) fn push(&mut self, bytes: &[u8]) -> FirstEvent {
        self.seen = self.seen.saturating_add(bytes.len());
        let mut rest = bytes;
        while let Some((event, after)) = self.splitter.next(rest) {
            rest = after;
            match read(&event) {
                FirstEvent::Unknown => {}
                known => return known,
            }
        }
        if self.seen > MOST { FirstEvent::Good } else { FirstEvent::Unknown }
    }
}

/// Comments and pings say nothing.
fn read(event: &[u8]) -> FirstEvent {
    let text = String::from_utf8_lossy(event);
    let (mut rest, mut name, mut data) = (text.trim_start_matches('\u{feff}'), "", String::new());
    while let Some((line, _, after)) = sse::line(rest) {
        rest = after;
        name = sse::field(line, "event").unwrap_or(name);
        data.extend(sse::value(line).into_iter().flat_map(|value| [value, "\n"]));
    }
    match name {
        "error" => return FirstEvent::Error,
        "ping" => return FirstEvent::Unknown,
        _ if data.trim().is_empty() => return FirstEvent::Unknown,
        _ => {}
    }
    let is_error = serde_json::from_str::<ErrorEvent<'_>>(&data)
        .is_ok_and(|event| is_error(&event.error) || event.kind.as_deref() == Some("error"));
    if is_error { FirstEvent::Error } else { FirstEvent::Good }
}

/// Some servers always have the member.
fn is_error(member: &serde_json::Value) -> bool {
    member.is_object() || member.as_str().is_some_and(|text| !text.is_empty())
}
