//! Long runs of letters, digits and `+ / - _`: base64, and secrets that only a word before them names.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::class::{self, BASE64, HEX};
use crate::cursor::{Cursor, after_escape};
use crate::detector::DetectorId as D;
use crate::rules::context::Context;
use crate::rules::secret::is_placeholder;
use crate::scanner;
use crate::sink::{Decode, Sink};

/// Runs that are looked at.
pub(crate) const SHORTEST: usize = 24;
/// Runs that are decoded, in characters without padding. A longer one is a file.
const LONGEST: usize = 4096;
/// Runs that a word may name.
const LONGEST_NAMED: usize = 64;
/// Characters that decode to whole bytes, and tell text from data.
const PROBE: usize = 16;

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const URL_SAFE_ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

/// Looks at a run, which the byte at `end` or the end of the text ends.
#[inline(never)]
pub(crate) fn ended(sink: &mut Sink<'_>, start: usize, end: usize) {
    let start = after_escape(sink.bytes, start);
    let run = sink.bytes.get(start..end).unwrap_or_default();
    if end == sink.bytes.len() {
        hold(sink, start, run);
    }
    if !(SHORTEST..=LONGEST).contains(&run.len()) || start < sink.from {
        return;
    }
    if sink.contexts.any_near(start) && run.len() <= LONGEST_NAMED {
        named(sink, start, run);
    }
    if sink.decode == Decode::Once {
        encoded(sink, start, run);
    }
}

/// Holds back a run that the text ends with: all of it while it is short or may be text.
fn hold(sink: &mut Sink<'_>, start: usize, run: &[u8]) {
    let may_be_text = run.len() <= LONGEST && run.get(..PROBE).is_none_or(|probe| decode(probe).is_some());
    if run.len() <= LONGEST_NAMED || may_be_text {
        sink.hold(start);
    }
}

/// Secrets without a form of their own.
fn named(sink: &mut Sink<'_>, start: usize, run: &[u8]) {
    let all = |classes| run.iter().all(|byte| class::is(*byte, classes));
    let uuid = || {
        let parts: Vec<usize> = run.split(|byte| *byte == b'-').map(<[u8]>::len).collect();
        parts == [8, 4, 4, 4, 12] && all(HEX | class::DASH)
    };
    let fits = |context: Context| match context {
        Context::AwsSecret => {
            run.len() == 40
                && all(class::ALNUM | class::PADDED)
                && !all(HEX)
                && run.iter().any(u8::is_ascii_digit)
        }
        Context::HexKey => matches!(run.len(), 32 | 40) && all(class::LOWER_HEX),
        Context::UuidKey => run.len() == 36 && uuid(),
        _ => false,
    };
    let named = [
        (Context::AwsSecret, D::AwsSecretKey),
        (Context::HexKey, D::VendorKey),
        (Context::UuidKey, D::VendorKey),
    ];
    for (context, detector) in named {
        if fits(context) && sink.context(context, start).is_some() && !is_placeholder(run) {
            sink.add(detector, start..start.saturating_add(run.len()));
        }
    }
}

/// What is found in the text that a run decodes to makes the whole run a match.
fn encoded(sink: &mut Sink<'_>, start: usize, run: &[u8]) {
    let Some(text) = run.get(..PROBE).and_then(decode).and_then(|_| decode(run)) else {
        return;
    };
    let Some((rank, finding)) = scanner::strongest(sink.dictionary, &text, sink.wanted) else {
        return;
    };
    let mut cursor = Cursor::new(sink.bytes, start.saturating_add(run.len()));
    let _ = cursor.eat(b'=') && cursor.eat(b'=');
    if cursor.undecided().is_some() {
        sink.hold(start);
    }
    sink.push(start..cursor.at(), rank, finding);
}

/// Decodes base64 of either alphabet, if it is printable text.
fn decode(run: &[u8]) -> Option<String> {
    if !run.iter().all(|byte| class::is(*byte, BASE64)) {
        return None;
    }
    let engine =
        if run.iter().any(|byte| matches!(byte, b'-' | b'_')) { URL_SAFE_ENGINE } else { STANDARD_ENGINE };
    // A last character alone holds no byte.
    let whole = if run.len() % 4 == 1 { run.split_last().map_or(run, |(_, rest)| rest) } else { run };
    let bytes = engine.decode(whole).ok()?;
    let readable = match std::str::from_utf8(&bytes) {
        Ok(text) => text.to_owned(),
        // A character may be cut at the end of the probe.
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default()).into_owned()
        }
        Err(_) => return None,
    };
    let printable = !readable.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    printable.then_some(readable)
}
