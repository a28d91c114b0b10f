//! What is said between the gateway and a detector, in JSON: `docs/guardrails.md` describes it.

use std::ops::Range;

use latchkey_guardrails::Risk;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::question::AskedText;
use crate::content::Role;

/// The longest answer that is read.
pub const MOST_ANSWER_BYTES: usize = 1 << 20;

/// How many findings one answer may have.
const MOST_FINDINGS: usize = 10_000;

/// Characters of a label.
const LONGEST_LABEL: usize = 64;

/// What a detector has found; the default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectorAnswer {
    /// By text, and within it by span.
    pub(super) findings: Vec<AnsweredFinding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnsweredFinding {
    /// Among the texts that were asked about.
    pub text: usize,
    /// In bytes of it.
    pub span: Range<usize>,
    pub label: Option<String>,
    pub risk: Risk,
}

/// Why it is not known what a detector found; what follows "the detector must look at this request, and".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DetectorFailure {
    #[error("no enabled detector has this name")]
    Missing,
    #[error("it is left alone for some seconds, since it failed repeatedly")]
    Resting,
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it did not answer in time")]
    Late,
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is longer than {MOST_ANSWER_BYTES} bytes")]
    LongAnswer,
    #[error("its answer is not JSON with a list of findings")]
    Malformed,
    #[error("its answer has more than {MOST_FINDINGS} findings")]
    ManyFindings,
    #[error("its finding {0} is of a text that it was not sent")]
    UnknownText(usize),
    #[error("its finding {0} has no span within its text")]
    Span(usize),
    #[error("two of its findings overlap")]
    Overlap,
    #[error("its finding {0} has a label that is not 1 to {LONGEST_LABEL} letters, digits, `_`, `-` and `.`")]
    Label(usize),
}

#[derive(Serialize)]
struct WireQuestion<'a> {
    app: &'a str,
    direction: &'static str,
    texts: Vec<WireText<'a>>,
}

#[derive(Serialize)]
struct WireText<'a> {
    id: usize,
    role: Option<&'static str>,
    text: &'a str,
}

#[derive(Deserialize)]
struct WireAnswer {
    findings: Vec<WireFinding>,
}

/// Other members are for the detector's other clients.
#[derive(Deserialize)]
struct WireFinding {
    id: usize,
    /// In Unicode code points. Without a span it is the whole text.
    start: Option<usize>,
    end: Option<usize>,
    label: Option<String>,
    risk: Option<WireRisk>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRisk {
    Low,
    High,
}

/// The body of the request to a detector.
pub(super) fn write(app: &str, texts: &[AskedText]) -> Vec<u8> {
    let text = |(id, text): (usize, &'_ AskedText)| (id, role(text.role));
    let roles = texts.iter().enumerate().map(text);
    let texts = roles.zip(texts).map(|((id, role), text)| WireText { id, role, text: text.shown() });
    let question = WireQuestion { app, direction: "request", texts: texts.collect() };
    // Strings and numbers can always be written.
    serde_json::to_vec(&question).unwrap_or_default()
}

/// Reads an answer about these texts.
pub(super) fn read(status: u16, body: &[u8], texts: &[AskedText]) -> Result<DetectorAnswer, DetectorFailure> {
    match status {
        200 => {}
        // Envoy's own, too.
        504 => return Err(DetectorFailure::Late),
        0 => return Err(DetectorFailure::Unreachable),
        other => return Err(DetectorFailure::Status(other)),
    }
    if body.len() > MOST_ANSWER_BYTES {
        return Err(DetectorFailure::LongAnswer);
    }
    let WireAnswer { findings } = serde_json::from_slice(body).map_err(|_| DetectorFailure::Malformed)?;
    if findings.len() > MOST_FINDINGS {
        return Err(DetectorFailure::ManyFindings);
    }
    let findings = findings.into_iter().enumerate().map(|(index, finding)| place(index, finding, texts));
    let mut findings: Vec<_> = findings.collect::<Result<_, _>>()?;
    findings.sort_by_key(|finding| (finding.text, finding.start()));
    let overlap = |pair: &[PlacedFinding]| match pair {
        [one, next] => one.text == next.text && next.start() < one.end(),
        _ => false,
    };
    if findings.windows(2).any(overlap) {
        return Err(DetectorFailure::Overlap);
    }
    let mut cursor = CodePoints::new(0, texts.first().map(AskedText::shown).unwrap_or_default());
    let in_bytes = |finding: PlacedFinding| {
        if cursor.number != finding.text {
            let shown = texts.get(finding.text).map(AskedText::shown);
            cursor = CodePoints::new(finding.text, shown.unwrap_or_default());
        }
        in_bytes(finding, &mut cursor, texts)
    };
    let findings: Vec<_> = findings.into_iter().map(in_bytes).collect::<Result<_, _>>()?;
    Ok(DetectorAnswer { findings })
}

/// A finding whose span is still in code points.
struct PlacedFinding {
    index: usize,
    text: usize,
    /// None where it is the whole text, that which was not sent included.
    span: Option<Range<usize>>,
    label: Option<String>,
    risk: Risk,
}

impl PlacedFinding {
    fn start(&self) -> usize {
        self.span.as_ref().map_or(0, |span| span.start)
    }

    fn end(&self) -> usize {
        self.span.as_ref().map_or(usize::MAX, |span| span.end)
    }
}

fn place(index: usize, finding: WireFinding, texts: &[AskedText]) -> Result<PlacedFinding, DetectorFailure> {
    let WireFinding { id, start, end, label, risk } = finding;
    if id >= texts.len() {
        return Err(DetectorFailure::UnknownText(index));
    }
    if label.as_ref().is_some_and(|label| !is_label(label)) {
        return Err(DetectorFailure::Label(index));
    }
    let span = match (start, end) {
        (Some(start), Some(end)) if start < end => Some(start..end),
        (None, None) => None,
        _ => return Err(DetectorFailure::Span(index)),
    };
    let risk = match risk {
        Some(WireRisk::Low) => Risk::Low,
        Some(WireRisk::High) | None => Risk::High,
    };
    Ok(PlacedFinding { index, text: id, span, label, risk })
}

fn in_bytes(
    finding: PlacedFinding,
    cursor: &mut CodePoints<'_>,
    texts: &[AskedText],
) -> Result<AnsweredFinding, DetectorFailure> {
    let PlacedFinding { index, text, span, label, risk } = finding;
    let whole = texts.get(text).map_or(0, |text| text.text.len());
    let span = match span {
        Some(Range { start, end }) => {
            let start = cursor.offset(start).ok_or(DetectorFailure::Span(index))?;
            start..cursor.offset(end).ok_or(DetectorFailure::Span(index))?
        }
        None => 0..whole,
    };
    Ok(AnsweredFinding { text, span, label, risk })
}

/// Goes once over a text, however many places of it are asked for.
struct CodePoints<'a> {
    /// The text's.
    number: usize,
    text: &'a str,
    /// So many code points are before `byte`.
    count: usize,
    byte: usize,
}

impl<'a> CodePoints<'a> {
    fn new(number: usize, text: &'a str) -> Self {
        Self { number, text, count: 0, byte: 0 }
    }

    /// Where the code point of this number begins, or the text ends. Numbers ascend.
    fn offset(&mut self, number: usize) -> Option<usize> {
        let further = number.checked_sub(self.count)?;
        let rest = self.text.get(self.byte..)?;
        let at = rest.char_indices().map(|(at, _)| at).chain([rest.len()]).nth(further)?;
        (self.count, self.byte) = (number, self.byte.saturating_add(at));
        Some(self.byte)
    }
}

fn is_label(label: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(is_plain)
}

fn role(role: Role) -> Option<&'static str> {
    match role {
        Role::System => Some("system"),
        Role::Developer => Some("developer"),
        Role::User => Some("user"),
        Role::Assistant => Some("assistant"),
        Role::Tool => Some("tool"),
        Role::None => None,
    }
}
