//! What the pass does at a byte, by what the byte is and what precedes it.

use crate::class::{BASE64, Class, DIGIT, EVENT as EVENTS, LOWER, UPPER};

/// A word begins.
pub(crate) const WORD: u8 = 1;
/// With [`WORD`]: a backslash precedes, so that the letter may be an escape such as `\n`.
pub(crate) const MAY_ESCAPE: u8 = 1 << 1;
/// A run of digits begins.
pub(crate) const DIGITS: u8 = 1 << 2;
/// A rule may begin with this sign.
pub(crate) const EVENT: u8 = 1 << 3;
/// A run of base64 begins.
pub(crate) const BEGINS_RUN: u8 = 1 << 4;
/// A run of base64 has ended.
pub(crate) const ENDS_RUN: u8 = 1 << 5;

/// What a byte is to the pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Other,
    Lower,
    Upper,
    Digit,
    /// Of a run of base64.
    RunSign,
    /// The same, and a rule may begin with it.
    RunEvent,
    Event,
    Backslash,
    /// The letter of an escape such as `\n`. Known only by what precedes it.
    Escaped,
}

const KINDS: [Kind; 9] = [
    Kind::Other,
    Kind::Lower,
    Kind::Upper,
    Kind::Digit,
    Kind::RunSign,
    Kind::RunEvent,
    Kind::Event,
    Kind::Backslash,
    Kind::Escaped,
];

static OF_BYTE: [Kind; 256] = of_bytes();
static STEPS: [u8; 256] = steps();

impl Kind {
    #[inline]
    pub(crate) fn of(byte: u8) -> Self {
        OF_BYTE.get(usize::from(byte)).copied().unwrap_or(Self::Other)
    }

    pub(crate) const fn is_in_run(self) -> bool {
        matches!(
            self,
            Self::Lower | Self::Upper | Self::Digit | Self::RunSign | Self::RunEvent | Self::Escaped
        )
    }
}

/// What is to be done at a byte.
#[inline]
pub(crate) fn step(before: Kind, now: Kind) -> u8 {
    STEPS.get(usize::from((before as u8) << 4 | now as u8)).copied().unwrap_or(0)
}

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn of_bytes() -> [Kind; 256] {
    let mut kinds = [Kind::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = kind(byte as u8, crate::class::TABLE[byte]);
        byte += 1;
    }
    kinds
}

const fn kind(byte: u8, class: Class) -> Kind {
    if class & LOWER != 0 {
        Kind::Lower
    } else if class & UPPER != 0 {
        Kind::Upper
    } else if class & DIGIT != 0 {
        Kind::Digit
    } else if class & BASE64 != 0 {
        if class & EVENTS != 0 { Kind::RunEvent } else { Kind::RunSign }
    } else if class & EVENTS != 0 {
        Kind::Event
    } else if byte == b'\\' {
        Kind::Backslash
    } else {
        Kind::Other
    }
}

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn steps() -> [u8; 256] {
    let mut table = [0; 256];
    let mut before = 0;
    while before < KINDS.len() {
        let mut now = 0;
        while now < KINDS.len() {
            table[before << 4 | now] = steps_at(KINDS[before], KINDS[now]);
            now += 1;
        }
        before += 1;
    }
    table
}

const fn steps_at(before: Kind, now: Kind) -> u8 {
    let mut steps = match now {
        Kind::Lower | Kind::Upper => match before {
            Kind::Backslash => WORD | MAY_ESCAPE,
            Kind::Upper | Kind::Digit => 0,
            Kind::Lower if matches!(now, Kind::Lower) => 0,
            _ => WORD,
        },
        Kind::Digit if !matches!(before, Kind::Digit) => DIGITS,
        Kind::Event | Kind::RunEvent => EVENT,
        _ => 0,
    };
    if now.is_in_run() && !before.is_in_run() {
        steps |= BEGINS_RUN;
    } else if !now.is_in_run() && before.is_in_run() {
        steps |= ENDS_RUN;
    }
    steps
}
