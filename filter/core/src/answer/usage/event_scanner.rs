//! Scans the lines of an event stream, as WHATWG's HTML defines them, cut anywhere. What may come before the
//! first line is removed before: see [`super::format`].

use memchr::memchr2;

/// The state at the next byte.
#[derive(Debug)]
pub(super) struct EventScanner {
    at: LineState,
    /// The event has a field.
    fields: bool,
}

#[derive(Clone, Copy, Debug)]
enum LineState {
    LineStart,
    /// After this many letters of `data`.
    Name(usize),
    /// After `data:`.
    Space,
    Data,
    /// In a comment, or in another field.
    Other,
    /// After a carriage return: a line feed would still belong to the line.
    Return(EndedLine),
}

#[derive(Clone, Copy, Debug)]
enum EndedLine {
    Event,
    Field,
    Outside,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum StreamPiece<'a> {
    /// Some of an event's data.
    Data(&'a [u8]),
    /// A line of data has ended.
    DataEnd,
    /// Another field of an event.
    Field,
    /// A comment before any field.
    Outside,
    End,
    /// The line feed after an end by a carriage return.
    EndRest,
}

const NAME: &[u8] = b"data";

impl Default for EventScanner {
    fn default() -> Self {
        Self { at: LineState::LineStart, fields: false }
    }
}

impl EventScanner {
    /// The next piece, and the bytes after it; none when there are no more bytes.
    pub(super) fn next<'a>(&mut self, mut rest: &'a [u8]) -> Option<(StreamPiece<'a>, &'a [u8])> {
        loop {
            let (byte, tail) = rest.split_first()?;
            match (self.at, byte) {
                (LineState::Return(ended), byte) => {
                    self.at = LineState::LineStart;
                    if *byte == b'\n' {
                        let piece = match ended {
                            EndedLine::Event => StreamPiece::EndRest,
                            EndedLine::Field => StreamPiece::Field,
                            EndedLine::Outside => StreamPiece::Outside,
                        };
                        return Some((piece, tail));
                    }
                }
                (LineState::LineStart, b'\n' | b'\r') => {
                    self.fields = false;
                    self.at = if *byte == b'\r' {
                        LineState::Return(EndedLine::Event)
                    } else {
                        LineState::LineStart
                    };
                    return Some((StreamPiece::End, tail));
                }
                (LineState::LineStart, b':') => self.at = LineState::Other,
                (LineState::LineStart, _) => {
                    self.fields = true;
                    self.at = LineState::Name(0);
                }
                (LineState::Name(seen), b'\n' | b'\r') => {
                    return Some((self.end_line(*byte, seen == NAME.len()), tail));
                }
                (LineState::Name(seen), byte) => {
                    self.at = match NAME.get(seen) {
                        Some(expected) if expected == byte => LineState::Name(seen.saturating_add(1)),
                        None if *byte == b':' => LineState::Space,
                        _ => LineState::Other,
                    };
                    rest = tail;
                }
                (LineState::Space, byte) => {
                    self.at = LineState::Data;
                    rest = if *byte == b' ' { tail } else { rest };
                }
                (LineState::Data, b'\n' | b'\r') => return Some((self.end_line(*byte, true), tail)),
                (LineState::Data, _) => {
                    let (data, after) = rest.split_at_checked(line_end(rest))?;
                    return Some((StreamPiece::Data(data), after));
                }
                (LineState::Other, b'\n' | b'\r') => return Some((self.end_line(*byte, false), tail)),
                (LineState::Other, _) => rest = rest.get(line_end(rest)..)?,
            }
        }
    }

    fn end_line(&mut self, byte: u8, data: bool) -> StreamPiece<'static> {
        let ended = if self.fields { EndedLine::Field } else { EndedLine::Outside };
        self.at = if byte == b'\r' { LineState::Return(ended) } else { LineState::LineStart };
        match ended {
            _ if data => StreamPiece::DataEnd,
            EndedLine::Outside => StreamPiece::Outside,
            _ => StreamPiece::Field,
        }
    }
}

fn line_end(bytes: &[u8]) -> usize {
    memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of each event.
    fn data(chunks: &[&[u8]]) -> Vec<String> {
        let (mut events, mut read, mut all) = (EventScanner::default(), String::new(), Vec::new());
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some((piece, after)) = events.next(rest) {
                rest = after;
                match piece {
                    StreamPiece::Data(data) => read += str::from_utf8(data).unwrap(),
                    StreamPiece::DataEnd => read += "|",
                    StreamPiece::End => all.push(std::mem::take(&mut read)),
                    StreamPiece::Field | StreamPiece::Outside | StreamPiece::EndRest => {}
                }
            }
        }
        all
    }

    #[test]
    fn lines_end_in_every_way_and_data_may_have_a_space() {
        for end in ["\n", "\r\n", "\r"] {
            let stream =
                "data: a~~: c~event: x~data:b~data~data:  c~id: data: no~datax: no~~".replace('~', end);
            let expected = ["a|", "b|| c|"];
            assert_eq!(data(&[stream.as_bytes()]), expected, "{end:?}");
            for at in 0..stream.len() {
                let (before, after) = stream.as_bytes().split_at(at);
                assert_eq!(data(&[before, after]), expected, "{end:?} {at}");
            }
        }
    }
}
