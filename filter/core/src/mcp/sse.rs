//! Splits an event stream, without its byte order mark, into events as WHATWG's HTML defines them.

use memchr::memchr2;

/// One event, or the rest of the stream after the last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SseEvent<'a> {
    /// As written, with its final line.
    pub text: &'a str,
    /// The lines of data, joined by line feeds; none without such a line.
    pub data: Option<String>,
}

/// The events of a stream.
pub(super) fn events(stream: &str) -> impl Iterator<Item = SseEvent<'_>> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let (event, after) = next(rest)?;
        rest = after;
        Some(event)
    })
}

impl SseEvent<'_> {
    /// Whether a line other than data may be part of a JSON object or array.
    pub(super) fn has_json_beside_data(&self) -> bool {
        let mut rest = self.text;
        while let Some((line, _, after)) = line(rest) {
            rest = after;
            if value(line).is_none() && line.contains(['{', '[', '"']) {
                return true;
            }
        }
        false
    }

    /// The same event with other data.
    pub(super) fn with_data(&self, data: &str) -> String {
        let mut out = String::with_capacity(data.len().saturating_add(32));
        let (mut rest, mut written) = (self.text, false);
        while let Some((line, end, after)) = line(rest) {
            rest = after;
            if value(line).is_none() {
                out.push_str(line);
                out.push_str(end);
                continue;
            }
            if std::mem::replace(&mut written, true) {
                continue;
            }
            let end = if end.is_empty() { "\n" } else { end };
            for line in data.split('\n') {
                out.extend(["data: ", line, end]);
            }
        }
        out
    }
}

fn next(stream: &str) -> Option<(SseEvent<'_>, &str)> {
    if stream.is_empty() {
        return None;
    }
    let (mut rest, mut data) = (stream, None::<String>);
    while let Some((line, _, after)) = line(rest) {
        rest = after;
        if line.is_empty() {
            break;
        }
        let Some(value) = value(line) else { continue };
        match &mut data {
            Some(data) => data.extend(["\n", value]),
            None => data = Some(value.to_owned()),
        }
    }
    let (text, rest) = stream.split_at_checked(stream.len().saturating_sub(rest.len()))?;
    Some((SseEvent { text, data }, rest))
}

/// A line, its line end, and the rest; none at the stream's end.
pub(crate) fn line(text: &str) -> Option<(&str, &str, &str)> {
    if text.is_empty() {
        return None;
    }
    let at = memchr2(b'\n', b'\r', text.as_bytes()).unwrap_or(text.len());
    let (line, rest) = text.split_at_checked(at)?;
    let end = match rest.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [] => 0,
        _ => 1,
    };
    let (end, after) = rest.split_at_checked(end)?;
    Some((line, end, after))
}

/// The value of a line of data.
pub(crate) fn value(line: &str) -> Option<&str> {
    field(line, "data")
}

/// The value of a line of the field of this name.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(name)?;
    let value = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
    Some(value.strip_prefix(' ').unwrap_or(value))
}

/// Cuts a stream that comes in chunks into whole events.
#[derive(Debug, Default)]
pub(crate) struct SseSplitter {
    /// The beginning of the current event.
    held: Vec<u8>,
    at: LinePosition,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LinePosition {
    #[default]
    Start,
    /// After a carriage return: a line feed would belong to the same line end.
    Return,
    Inside,
}

impl SseSplitter {
    /// The next event that `rest` completes, and the rest after it. None if there is none; the bytes are
    /// kept.
    pub(crate) fn next<'a>(&mut self, rest: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        let mut next = 0;
        while let Some(byte) = rest.get(next) {
            let at = next;
            next = at.saturating_add(1);
            if !matches!(byte, b'\n' | b'\r') {
                self.at = LinePosition::Inside;
                let tail = rest.get(next..).unwrap_or_default();
                next = next.saturating_add(memchr2(b'\n', b'\r', tail).unwrap_or(tail.len()));
                continue;
            }
            let (before, is_new) = (self.at, self.held.is_empty() && at == 0);
            self.at = if *byte == b'\r' { LinePosition::Return } else { LinePosition::Start };
            let ends = match (before, byte) {
                // The rest of the previous event's line end.
                (LinePosition::Return, b'\n') => is_new,
                (LinePosition::Start | LinePosition::Return, _) => true,
                _ => false,
            };
            if !ends {
                continue;
            }
            let mut end = at.saturating_add(1);
            if *byte == b'\r' && rest.get(end) == Some(&b'\n') {
                self.at = LinePosition::Start;
                end = end.saturating_add(1);
            }
            let (event, after) = rest.split_at_checked(end)?;
            self.held.extend_from_slice(event);
            return Some((std::mem::take(&mut self.held), after));
        }
        self.held.extend_from_slice(rest);
        None
    }

    /// Whether the next byte begins an event, whatever it is.
    pub(crate) fn is_between(&self) -> bool {
        self.held.is_empty() && self.at == LinePosition::Start
    }

    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the unfinished event: the stream has ended, or the event is too long.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_end_at_an_empty_line_however_lines_end() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = "data: a~data:b~~: c~id: 1~data~~~event: x~~data: rest".replace('~', end);
            let data: Vec<_> = events(&stream).map(|event| event.data).collect();
            let some = |text: &str| Some(text.to_owned());
            assert_eq!(data, [some("a\nb"), some(""), None, None, some("rest")], "{end:?}");
        }
    }

    #[test]
    fn other_data_takes_the_place_of_what_was_there() {
        let event = |text| events(text).next().unwrap();
        assert_eq!(
            event("event: message\r\ndata: a\r\nid: 7\r\ndata: b\r\n\r\n").with_data("x\ny"),
            "event: message\r\ndata: x\r\ndata: y\r\nid: 7\r\n\r\n"
        );
        assert_eq!(event("data: a").with_data("x"), "data: x\n");
    }

    /// What a splitter gives that gets the stream in these parts.
    fn split(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut splitter, mut out) = (SseSplitter::default(), Vec::new());
        for part in parts {
            let mut rest = *part;
            while let Some((event, after)) = splitter.next(rest) {
                out.push(event);
                rest = after;
            }
        }
        out.extend(Some(splitter.take()).filter(|rest| !rest.is_empty()));
        out
    }

    #[test]
    fn an_event_is_whole_as_soon_as_its_empty_line_begins_to_end() {
        let split = |text: &str| {
            let mut splitter = SseSplitter::default();
            splitter.next(text.as_bytes()).map(|(event, rest)| (event.len(), rest.len()))
        };
        assert_eq!(split("data: a\n\n"), Some((9, 0)));
        assert_eq!(split("data: a\r\n\r"), Some((10, 0)));
        assert_eq!(split("data: a\r\n\r\n: b"), Some((11, 3)));
        assert_eq!(split("data: a\r\n"), None);
        assert_eq!(split("data: a\n: b"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn events_are_the_same_however_the_stream_arrives(
            stream in "(data|id|:|a| |\n|\r){0,40}",
            cuts in prop::collection::vec(0_usize..60, 0..4),
        ) {
            let whole: Vec<Vec<u8>> = events(&stream).map(|event| event.text.into()).collect();
            prop_assert_eq!(split(&[stream.as_bytes()]), whole.clone());
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).chain([0, stream.len()]).collect();
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]).collect();
            let given = split(&parts);
            prop_assert_eq!(given.concat(), stream.as_bytes());
            let data = |events: &[Vec<u8>]| -> Vec<_> {
                let texts = events.iter().map(|event| str::from_utf8(event).unwrap());
                texts.flat_map(|text| super::events(text).collect::<Vec<_>>()).filter_map(|event| event.data).collect()
            };
            prop_assert_eq!(data(&given), data(&whole));
        }

        #[test]
        fn no_byte_is_lost(stream in "(data|id|:|a|é| |\n|\r)*") {
            let whole: String = events(&stream).map(|event| event.text).collect();
            prop_assert_eq!(&whole, &stream);
            for event in events(&stream) {
                if let Some(data) = &event.data {
                    let again = event.with_data(data);
                    let read = events(&again).next();
                    prop_assert_eq!(read.and_then(|event| event.data), Some(data.clone()));
                }
            }
        }
    }
}
