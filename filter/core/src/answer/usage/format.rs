//! Detects the format of an answer's body from its first bytes, not from its label: a proxy before the
//! provider may label every answer JSON, and clients read by what they asked for.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFormat {
    /// One JSON document, or several in a row.
    Document,
    Events,
    Unreadable,
}

/// What an event stream can begin with, after a byte order mark and white space.
const EVENTS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];

const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The longest undecided beginning, and one byte.
const LONGEST: usize = 6;

/// The beginning of a body.
#[derive(Debug, Default)]
pub(crate) struct FormatDetector {
    mark: usize,
    word: [u8; LONGEST],
    length: usize,
}

/// What a byte at the beginning tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatHint {
    /// White space, or part of a byte order mark.
    Blank,
    /// Part of a word that may become either.
    Undecided,
    /// None where only the label can tell.
    Decided(Option<AnswerFormat>),
}

impl FormatDetector {
    pub(crate) fn push(&mut self, byte: u8) -> FormatHint {
        if self.length == 0 {
            if MARK.get(self.mark) == Some(&byte) {
                self.mark = self.mark.saturating_add(1);
                return FormatHint::Blank;
            }
            if byte.is_ascii_whitespace() {
                return FormatHint::Blank;
            }
        }
        if let Some(slot) = self.word.get_mut(self.length) {
            *slot = byte;
            self.length = self.length.saturating_add(1);
        }
        let word = self.word();
        match byte {
            b'{' | b'[' if word.len() == 1 => FormatHint::Decided(Some(AnswerFormat::Document)),
            _ if EVENTS.contains(&word) => FormatHint::Decided(Some(AnswerFormat::Events)),
            _ if EVENTS.iter().any(|begin| begin.starts_with(word)) => FormatHint::Undecided,
            _ => FormatHint::Decided(None),
        }
    }

    pub(crate) fn word(&self) -> &[u8] {
        self.word.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form, and how many bytes it took.
    fn form(body: &str) -> Option<(Option<AnswerFormat>, usize)> {
        let mut beginning = FormatDetector::default();
        body.bytes().zip(1..).find_map(|(byte, count)| match beginning.push(byte) {
            FormatHint::Decided(form) => Some((form, count)),
            FormatHint::Blank | FormatHint::Undecided => None,
        })
    }

    #[test]
    fn the_first_word_decides() {
        for (body, expected) in [
            ("data: {", Some((Some(AnswerFormat::Events), 5))),
            ("\u{feff} \r\n\n\tdata:", Some((Some(AnswerFormat::Events), 13))),
            (": ping", Some((Some(AnswerFormat::Events), 1))),
            ("event: x", Some((Some(AnswerFormat::Events), 6))),
            ("id:1", Some((Some(AnswerFormat::Events), 3))),
            ("retry: 5", Some((Some(AnswerFormat::Events), 6))),
            ("\n {\"a\":1}", Some((Some(AnswerFormat::Document), 3))),
            ("[DONE]", Some((Some(AnswerFormat::Document), 1))),
            ("date: x", Some((None, 4))),
            ("data x", Some((None, 5))),
            ("i", None),
            ("", None),
            ("\u{feff}\n", None),
            ("upstream connect error", Some((None, 1))),
        ] {
            assert_eq!(form(body), expected, "{body:?}");
        }
    }
}
