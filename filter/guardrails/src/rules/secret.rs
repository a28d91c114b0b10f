//! Secrets that say by their prefix what they are.

use crate::class::{ALNUM, Class, DIGIT, UPPER, URL_SAFE, WORD};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::sink::Found;

/// What a secret is made of.
pub(crate) struct SecretForm {
    pub(crate) detector: DetectorId,
    pub(crate) prefix: &'static str,
    parts: &'static [Part],
}

enum Part {
    /// Bytes of these classes: at least, and at most.
    Run(Class, usize, usize),
    /// Exactly this.
    Text(&'static str),
}

use DetectorId as D;
use Part::{Run, Text};

/// Every form, by vendor.
pub(crate) static FORMS: &[SecretForm] = &[
    form(D::OpenAiKey, "sk-proj-", &[Run(URL_SAFE, 40, 200)]),
    form(D::OpenAiKey, "sk-", &[Run(ALNUM, 20, 20), Text("T3BlbkFJ"), Run(ALNUM, 20, 20)]),
    form(D::AnthropicKey, "sk-ant-", &[Run(URL_SAFE, 40, 200)]),
    form(D::AwsAccessKey, "AKIA", &[Run(UPPER | DIGIT, 16, 16)]),
    form(D::GitHubToken, "ghp_", &[Run(ALNUM, 36, 36)]),
    form(D::GitHubToken, "github_pat_", &[Run(WORD, 82, 82)]),
];

const fn form(detector: DetectorId, prefix: &'static str, parts: &'static [Part]) -> SecretForm {
    SecretForm { detector, prefix, parts }
}

impl SecretForm {
    /// Reads a secret that begins here.
    pub(crate) fn read(&self, cursor: &mut Cursor<'_>) -> Option<Found> {
        let start = cursor.at();
        if !cursor.literal(self.prefix) {
            return None;
        }
        let body = cursor.at();
        let mut last: Class = 0;
        for part in self.parts {
            match part {
                Run(classes, least, most) => {
                    last = *classes;
                    if cursor.run(*classes, *most).len() < *least {
                        return None;
                    }
                }
                Text(text) => {
                    if !cursor.literal(text) {
                        return None;
                    }
                }
            }
        }
        let ends = !cursor.next_is(last);
        (ends && !is_placeholder(cursor.since(body))).then(|| (self.detector, start..cursor.at()))
    }
}

/// Whether a value stands for a secret in documentation: too few different characters, or words for it.
pub(crate) fn is_placeholder(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 8] =
        [b"example", b"xxxx", b"your", b"placeholder", b"dummy", b"0000000", b"changeme", b"redacted"];
    let lower = value.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.windows(word.len()).any(|part| part == *word)) || distinct(value) < 6
}

fn distinct(value: &[u8]) -> u32 {
    let (low, high) = value.iter().fold((0_u128, 0_u128), |(low, high), byte| match byte {
        0..=127 => (low | 1_u128.wrapping_shl(u32::from(*byte)), high),
        _ => (low, high | 1_u128.wrapping_shl(u32::from(*byte & 127))),
    });
    low.count_ones().saturating_add(high.count_ones())
}
