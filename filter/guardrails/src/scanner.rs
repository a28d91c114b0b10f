//! Finds what is wanted in a text.

use std::ops::Range;

use crate::category::{Category, Risk};
use crate::detector::DetectorId;
use crate::dictionary::Dictionary;
use crate::normalize::View;
use crate::overlap::{self, Candidate, Rank};
use crate::pass::Resume;
use crate::sink::{Decode, Sink};
use crate::wanted::Wanted;
use crate::{custom, pass};

/// Bytes before a part of a text that [`Scanner::scan`] looks at.
pub const CONTEXT: usize = 256;

/// The longest match, in bytes of the text as given. Only private keys and runs of base64 are longer than 1 KiB.
pub const LONGEST_MATCH: usize = 8 * 1024;

/// Sensitive content in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Bytes of the text as given, on character boundaries.
    pub span: Range<usize>,
    pub finding: Finding,
}

/// What a match is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Finding {
    Detector(DetectorId),
    /// Of a custom category, by its position in [`Wanted`].
    Custom(u16),
}

/// Whether more text may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The text is complete.
    Closed,
    /// More may follow.
    Open,
}

/// What was found in a part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Ascending. They overlap only where sentences are noted (of categories that were learned from examples, with a
    /// precedence of 1) in which something else was found. All of them begin before `decided`.
    pub matches: Vec<Match>,
    /// Up to where the text is decided whatever comes after it: every match that begins before it ends before
    /// it, and no text appended would add, remove or change one. The next scan continues here.
    pub decided: usize,
}

/// What a scan of a stream's text has settled, so that the next one need not read it again.
#[derive(Default)]
pub struct Progress {
    /// Where the next pass goes on, and the state there.
    resume: Option<(usize, Resume)>,
    /// What was found before, in bytes of the stream's text.
    candidates: Vec<Candidate<Finding>>,
}

/// A part of a stream's text, at least from [`CONTEXT`] bytes before what is not decided.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub text: &'a str,
    /// Where it begins in the stream's text.
    pub origin: usize,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress")
            .field("at", &self.resume.as_ref().map(|(at, _)| at))
            .finish_non_exhaustive()
    }
}

/// Finds sensitive content. One per VM is enough: it holds the keywords, and nothing of any text.
pub struct Scanner {
    dictionary: Dictionary,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scanner")
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Finding {
    /// The category, of custom ones with the position.
    #[must_use]
    pub fn category(self) -> Category {
        match self {
            Self::Detector(id) => id.detector().category,
            Self::Custom(position) => Category::Custom(position),
        }
    }

    /// How much harm it does if it passes. Custom categories are high: somebody asked for them.
    #[must_use]
    pub fn risk(self) -> Risk {
        match self {
            Self::Detector(id) => id.detector().risk,
            Self::Custom(_) => Risk::High,
        }
    }

    /// The word for a value that was taken out.
    #[must_use]
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Detector(id) => id.detector().placeholder,
            Self::Custom(_) => "CUSTOM",
        }
    }
}

impl Scanner {
    #[must_use]
    pub fn new() -> Self {
        Self { dictionary: Dictionary::built_in() }
    }

    /// All matches of a complete text: as [`Scan::matches`].
    #[must_use]
    pub fn find(&self, text: &str, wanted: &Wanted) -> Vec<Match> {
        self.scan(text, 0, End::Closed, wanted).matches
    }

    /// Up to where a text is decided whatever comes after it. See [`Scan::decided`].
    #[must_use]
    pub fn decided_until(&self, text: &str, wanted: &Wanted) -> usize {
        self.scan(text, 0, End::Open, wanted).decided
    }

    /// The matches of a text that begin at `from` or later, where `from` is 0 or what an earlier scan gave as
    /// [`Scan::decided`]. Of the text before `from` only the last [`CONTEXT`] bytes are looked at, so a stream
    /// need not keep more: text scanned in parts, wherever it is cut, has exactly the matches that
    /// [`Self::find`] gives for the whole.
    #[must_use]
    pub fn scan(&self, text: &str, from: usize, end: End, wanted: &Wanted) -> Scan {
        self.scan_part(Part { text, origin: 0 }, from, end, wanted, &mut Progress::default())
    }

    /// The same for what has come of a stream's text: most of what an earlier scan has read is not read again.
    /// `from`, in bytes of the part, is not before that of the earlier scan, nor behind its [`Scan::decided`].
    pub fn scan_part(
        &self,
        part: Part<'_>,
        from: usize,
        end: End,
        wanted: &Wanted,
        progress: &mut Progress,
    ) -> Scan {
        let text = part.text;
        if wanted.is_empty() || from >= text.len() {
            return Scan { matches: Vec::new(), decided: text.len() };
        }
        let base = text.floor_char_boundary(from.saturating_sub(CONTEXT));
        let view = View::new(text, base);
        let mut sink = Sink::new(&self.dictionary, &view, wanted, view.place(from), Decode::Once, end);
        let settled = if wanted.built_in() { progress.pass(&mut sink, part, from, base) } else { Vec::new() };
        custom::scan::run(&mut sink);
        let Placed { mut candidates, noted, extents, undecided } = Placed::of(sink);
        candidates.extend(settled);
        let decided = match end {
            End::Closed => text.len(),
            End::Open => overlap::retreat(
                candidates.iter().chain(&noted).map(|candidate| &candidate.span).chain(&extents),
                view.origin(undecided).max(from),
            ),
        };
        let has_noted = !noted.is_empty();
        let kept = overlap::resolve(candidates).into_iter().chain(noted);
        let matches = kept.map(|candidate| Match { span: candidate.span, finding: candidate.item });
        let mut matches: Vec<_> = matches.filter(|found| found.span.start < decided).collect();
        if has_noted {
            matches.sort_by_key(|found| (found.span.start, found.span.end));
        }
        Scan { matches, decided }
    }
}

impl Progress {
    /// Passes over what is not settled. Gives what was found before, in bytes of the part.
    fn pass(
        &mut self,
        sink: &mut Sink<'_>,
        Part { origin, .. }: Part<'_>,
        from: usize,
        base: usize,
    ) -> Vec<Candidate<Finding>> {
        let view = sink.view;
        // Of a row of invisible characters, which count depends on where the view begins.
        let resume = self.resume.take().filter(|_| !view.has_dropped());
        let resume = resume.and_then(|(at, resume)| {
            let at = at.checked_sub(origin).filter(|at| *at >= base)?;
            Some(resume.moved(view.place(at)))
        });
        let mut settled = std::mem::take(&mut self.candidates);
        if resume.is_none() {
            settled.clear();
        }
        for Candidate { span, .. } in &mut settled {
            *span = span.start.saturating_sub(origin)..span.end.saturating_sub(origin);
        }
        settled.retain(|candidate| candidate.span.start >= from);
        let next = pass::run(sink, resume);
        // Not within what one character was mapped to.
        let is_between = |next: &Resume| view.place(view.origin(next.at)) == next.at;
        let next = next.filter(|next| !view.has_dropped() && is_between(next));
        if let Some(next) = next {
            let in_stream = |mut candidate: Candidate<Finding>| {
                let Range { start, end } = candidate.span;
                candidate.span = start.saturating_add(origin)..end.saturating_add(origin);
                candidate
            };
            let found = sink.candidates.get(..next.candidates).unwrap_or_default().to_vec().into_iter();
            let found = found.filter_map(|candidate| placed_one(sink, candidate));
            self.candidates.extend(settled.iter().cloned().chain(found).map(in_stream));
            self.resume = Some((view.origin(next.at).saturating_add(origin), next));
        }
        settled
    }
}

/// The finding that counts most in a text that was decoded from another.
pub(crate) fn strongest(dictionary: &Dictionary, text: &str, wanted: &Wanted) -> Option<(Rank, Finding)> {
    let view = View::new(text, 0);
    let mut sink = Sink::new(dictionary, &view, wanted, 0, Decode::Never, End::Closed);
    if wanted.built_in() {
        pass::run(&mut sink, None);
    }
    custom::scan::run(&mut sink);
    Placed::of(sink).candidates.into_iter().map(|candidate| (candidate.rank, candidate.item)).max()
}

/// What was found, as bytes of the text. What is too long or excepted is left out.
struct Placed {
    candidates: Vec<Candidate<Finding>>,
    /// Beside them.
    noted: Vec<Candidate<Finding>>,
    extents: Vec<Range<usize>>,
    /// From where on more could begin, as a byte of the view.
    undecided: usize,
}

impl Placed {
    fn of(mut sink: Sink<'_>) -> Self {
        let (candidates, noted) = (std::mem::take(&mut sink.candidates), std::mem::take(&mut sink.noted));
        let mut place = |found: Vec<_>| -> Vec<_> {
            found.into_iter().filter_map(|candidate| placed_one(&mut sink, candidate)).collect()
        };
        let (candidates, noted) = (place(candidates), place(noted));
        let extents = sink.extents.iter().map(|extent| sink.view.span(extent)).collect();
        Self { candidates, noted, extents, undecided: sink.undecided }
    }
}

fn placed_one(sink: &mut Sink<'_>, candidate: Candidate<Finding>) -> Option<Candidate<Finding>> {
    let found = sink.bytes.get(candidate.span.clone()).unwrap_or_default();
    let placed = Candidate { span: sink.view.span(&candidate.span), ..candidate };
    (placed.span.len() <= LONGEST_MATCH && !sink.wanted.exceptions().cover(found, &mut sink.excepting))
        .then_some(placed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_holds_back() {
        let scanner = Scanner::new();
        let wanted = Wanted::all();
        let text = "Write to ann@example.com, card 4111 1111 1111 1111, ssn 536-90-4399.";
        let found = scanner.find(text, &wanted);
        let found: Vec<_> = found.iter().map(|m| (&text[m.span.clone()], m.finding)).collect();
        assert_eq!(
            found,
            [
                ("ann@example.com", Finding::Detector(DetectorId::Email)),
                ("4111 1111 1111 1111", Finding::Detector(DetectorId::CreditCard)),
                ("536-90-4399", Finding::Detector(DetectorId::UsSsn)),
            ]
        );
        assert_eq!(scanner.decided_until("Some prose that ends in a wor", &wanted), 26);
        assert!(scanner.find(text, &Wanted::default()).is_empty());
    }
}
