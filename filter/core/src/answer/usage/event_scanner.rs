//! The lines of an event stream, as WHATWG's HTML defines them, cut anywhere. What may stand before
//! the first line is taken off before: see [`super::format`].

use memchr::memchr2;

/// Where in the stream the next byte stands.
#[derive(Debug)]
pub(super) struct Events {
    at: At,
    /// The event has a field.
    fields: bool,
}

#[derive(Clone, Copy, Debug)]
enum At {
    LineStart,
    /// After so many letters of `data`.
    Name(usize),
    /// After `data:`.
    Space,
    Data,
    /// In a comment, or in another field.
    Other,
    /// After a carriage return, whose line feed belongs to what it has ended.
    Return(Ended),
}

#[derive(Clone, Copy, Debug)]
enum Ended {
    Event,
    Field,
    Outside,
}

/// A part of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Some of an event's data.
    Data(&'a [u8]),
    /// A line of data has ended.
    DataEnd,
    /// Something else of an event.
    Field,
    /// A comment before any field.
    Outside,
    /// The event has ended.
    End,
    /// The line feed after an end by a carriage return.
    EndRest,
}

const NAME: &[u8] = b"data";

impl Default for Events {
    fn default() -> Self {
        Self { at: At::LineStart, fields: false }
    }
}

impl Events {
    /// The next part, and the bytes after it; none when there are no more bytes.
    pub(super) fn next<'a>(&mut self, mut rest: &'a [u8]) -> Option<(Piece<'a>, &'a [u8])> {
        loop {
            let (byte, tail) = rest.split_first()?;
            match (self.at, byte) {
                (At::Return(ended), byte) => {
                    self.at = At::LineStart;
                    if *byte == b'\n' {
                        let piece = match ended {
                            Ended::Event => Piece::EndRest,
                            Ended::Field => Piece::Field,
                            Ended::Outside => Piece::Outside,
                        };
                        return Some((piece, tail));
                    }
                }
                (At::LineStart, b'\n' | b'\r') => {
                    self.fields = false;
                    self.at = if *byte == b'\r' { At::Return(Ended::Event) } else { At::LineStart };
                    return Some((Piece::End, tail));
                }
                (At::LineStart, b':') => self.at = At::Other,
                (At::LineStart, _) => {
                    self.fields = true;
                    self.at = At::Name(0);
                }
                (At::Name(seen), b'\n' | b'\r') => {
                    return Some((self.end_line(*byte, seen == NAME.len()), tail));
                }
                (At::Name(seen), byte) => {
                    self.at = match NAME.get(seen) {
                        Some(expected) if expected == byte => At::Name(seen.saturating_add(1)),
                        None if *byte == b':' => At::Space,
                        _ => At::Other,
                    };
                    rest = tail;
                }
                (At::Space, byte) => {
                    self.at = At::Data;
                    rest = if *byte == b' ' { tail } else { rest };
                }
                (At::Data, b'\n' | b'\r') => return Some((self.end_line(*byte, true), tail)),
                (At::Data, _) => {
                    let (data, after) = rest.split_at_checked(line_end(rest))?;
                    return Some((Piece::Data(data), after));
                }
                (At::Other, b'\n' | b'\r') => return Some((self.end_line(*byte, false), tail)),
                (At::Other, _) => rest = rest.get(line_end(rest)..)?,
            }
        }
    }

    fn end_line(&mut self, byte: u8, data: bool) -> Piece<'static> {
        let ended = if self.fields { Ended::Field } else { Ended::Outside };
        self.at = if byte == b'\r' { At::Return(ended) } else { At::LineStart };
        match ended {
            _ if data => Piece::DataEnd,
            Ended::Outside => Piece::Outside,
            _ => Piece::Field,
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
        let (mut events, mut read, mut all) = (Events::default(), String::new(), Vec::new());
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some((piece, after)) = events.next(rest) {
                rest = after;
                match piece {
                    Piece::Data(data) => read += str::from_utf8(data).unwrap(),
                    Piece::DataEnd => read += "|",
                    Piece::End => all.push(std::mem::take(&mut read)),
                    Piece::Field | Piece::Outside | Piece::EndRest => {}
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
