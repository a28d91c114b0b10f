//! Secrets that say by their prefix what they are.

use crate::class::{
    self, ALNUM, Class, DASH, DIGIT, DOT, HEX, LOWER, LOWER_HEX, PADDED, UPPER, URL_SAFE, WORD,
};
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
    /// What a webhook's address goes on with: path segments.
    Path(usize, usize),
}

use DetectorId as D;
use Part::{Path, Run, Text};

/// Every form, by vendor. A longer prefix comes before a shorter one that it begins with.
pub(crate) static FORMS: &[SecretForm] = &[
    // Models
    form(D::OpenAiKey, "sk-proj-", &[Run(URL_SAFE, 40, 200)]),
    form(D::OpenAiKey, "sk-svcacct-", &[Run(URL_SAFE, 40, 200)]),
    form(D::OpenAiKey, "sk-admin-", &[Run(URL_SAFE, 40, 200)]),
    form(D::OpenAiKey, "sk-None-", &[Run(URL_SAFE, 40, 200)]),
    form(D::OpenAiKey, "sk-", &[Run(ALNUM, 32, 64)]),
    form(D::AnthropicKey, "sk-ant-", &[Run(URL_SAFE, 40, 200)]),
    form(D::ModelProviderKey, "sk-or-v1-", &[Run(LOWER_HEX, 64, 64)]),
    form(D::ModelProviderKey, "gsk_", &[Run(ALNUM, 52, 52)]),
    form(D::ModelProviderKey, "xai-", &[Run(ALNUM, 80, 80)]),
    form(D::ModelProviderKey, "pplx-", &[Run(ALNUM, 40, 64)]),
    form(D::ModelProviderKey, "r8_", &[Run(ALNUM, 37, 40)]),
    form(D::ModelProviderKey, "fw_", &[Run(ALNUM, 22, 32)]),
    form(D::ModelProviderKey, "csk-", &[Run(ALNUM, 40, 56)]),
    form(D::HuggingFaceToken, "hf_", &[Run(ALNUM, 34, 40)]),
    form(D::HuggingFaceToken, "api_org_", &[Run(ALNUM, 34, 34)]),
    // Clouds
    form(D::AwsAccessKey, "AKIA", &[Run(UPPER | DIGIT, 16, 16)]),
    form(D::AwsAccessKey, "ASIA", &[Run(UPPER | DIGIT, 16, 16)]),
    form(D::AwsAccessKey, "ABIA", &[Run(UPPER | DIGIT, 16, 16)]),
    form(D::AwsAccessKey, "ACCA", &[Run(UPPER | DIGIT, 16, 16)]),
    form(D::GoogleKey, "AIza", &[Run(URL_SAFE, 35, 35)]),
    form(D::GoogleKey, "GOCSPX-", &[Run(URL_SAFE, 28, 28)]),
    form(D::GoogleKey, "ya29.", &[Run(URL_SAFE | DOT, 30, 400)]),
    form(D::AzureKey, "AccountKey=", &[Run(ALNUM | PADDED, 64, 88)]),
    form(D::AzureKey, "SharedAccessKey=", &[Run(ALNUM | PADDED, 40, 88)]),
    form(D::CloudToken, "dop_v1_", &[Run(LOWER_HEX, 64, 64)]),
    form(D::CloudToken, "doo_v1_", &[Run(LOWER_HEX, 64, 64)]),
    form(D::CloudToken, "dor_v1_", &[Run(LOWER_HEX, 64, 64)]),
    form(D::CloudToken, "dapi", &[Run(LOWER_HEX, 32, 32)]),
    form(D::CloudToken, "HRKU-", &[Run(URL_SAFE, 36, 64)]),
    form(D::CloudToken, "fo1_", &[Run(URL_SAFE, 43, 43)]),
    form(D::CloudToken, "FlyV1 fm2_", &[Run(ALNUM | PADDED, 80, 1000)]),
    form(D::CloudToken, "sbp_", &[Run(LOWER_HEX, 40, 40)]),
    form(D::CloudToken, "pscale_tkn_", &[Run(URL_SAFE | DOT, 32, 64)]),
    form(D::CloudToken, "pscale_pw_", &[Run(URL_SAFE | DOT, 32, 64)]),
    form(D::CloudToken, "LTAI", &[Run(ALNUM, 16, 24)]),
    form(D::CloudToken, "AKID", &[Run(ALNUM, 32, 32)]),
    form(D::CloudToken, "v1.0-", &[Run(LOWER_HEX, 24, 24), Text("-"), Run(LOWER_HEX, 146, 146)]),
    // Code and packages
    form(D::GitHubToken, "ghp_", &[Run(ALNUM, 36, 36)]),
    form(D::GitHubToken, "gho_", &[Run(ALNUM, 36, 36)]),
    form(D::GitHubToken, "ghu_", &[Run(ALNUM, 36, 36)]),
    form(D::GitHubToken, "ghs_", &[Run(ALNUM, 36, 36)]),
    form(D::GitHubToken, "ghr_", &[Run(ALNUM, 36, 80)]),
    form(D::GitHubToken, "github_pat_", &[Run(ALNUM, 22, 22), Text("_"), Run(ALNUM, 59, 59)]),
    form(D::GitLabToken, "glpat-", &[Run(URL_SAFE | DOT, 20, 64)]),
    form(D::GitLabToken, "gldt-", &[Run(URL_SAFE, 20, 64)]),
    form(D::GitLabToken, "glrt-", &[Run(URL_SAFE | DOT, 20, 64)]),
    form(D::GitLabToken, "glptt-", &[Run(LOWER_HEX, 40, 40)]),
    form(D::GitLabToken, "glcbt-", &[Run(URL_SAFE, 20, 64)]),
    form(D::GitLabToken, "glsoat-", &[Run(URL_SAFE, 20, 64)]),
    form(D::GitLabToken, "gloas-", &[Run(URL_SAFE, 64, 64)]),
    form(D::NpmToken, "npm_", &[Run(ALNUM, 36, 36)]),
    form(D::PyPiToken, "pypi-AgE", &[Run(URL_SAFE, 50, 250)]),
    form(D::RegistryToken, "dckr_pat_", &[Run(URL_SAFE, 27, 32)]),
    form(D::RegistryToken, "dckr_oat_", &[Run(URL_SAFE, 27, 40)]),
    form(D::RegistryToken, "rubygems_", &[Run(LOWER_HEX, 48, 48)]),
    form(D::RegistryToken, "cio", &[Run(ALNUM, 32, 32)]),
    // Messages
    form(D::SlackToken, "xoxb-", &[Run(ALNUM | DASH, 20, 120)]),
    form(D::SlackToken, "xoxp-", &[Run(ALNUM | DASH, 20, 120)]),
    form(D::SlackToken, "xoxa-", &[Run(ALNUM | DASH, 20, 120)]),
    form(D::SlackToken, "xoxr-", &[Run(ALNUM | DASH, 20, 120)]),
    form(D::SlackToken, "xoxs-", &[Run(ALNUM | DASH, 20, 120)]),
    form(D::SlackToken, "xoxc-", &[Run(ALNUM | DASH, 20, 120)]),
    form(D::SlackToken, "xoxe.", &[Run(ALNUM | DASH | DOT, 20, 200)]),
    form(D::SlackToken, "xoxe-", &[Run(ALNUM | DASH, 20, 200)]),
    form(D::SlackToken, "xapp-", &[Run(ALNUM | DASH, 20, 120)]),
    form(D::Webhook, "hooks.slack.com/", &[Path(3, 100)]),
    form(D::Webhook, "discord.com/api/webhooks/", &[Path(2, 100)]),
    form(D::Webhook, "discordapp.com/api/webhooks/", &[Path(2, 100)]),
    form(D::Webhook, "webhook.office.com/", &[Path(3, 200)]),
    form(D::MailKey, "SG.", &[Run(URL_SAFE, 22, 22), Text("."), Run(URL_SAFE, 43, 43)]),
    form(D::MailKey, "key-", &[Run(LOWER_HEX, 32, 32)]),
    form(D::MailKey, "xkeysib-", &[Run(LOWER_HEX, 64, 64), Text("-"), Run(ALNUM, 16, 16)]),
    form(D::TwilioKey, "SK", &[Run(LOWER_HEX, 32, 32)]),
    // Money
    form(D::StripeKey, "sk_live_", &[Run(ALNUM, 16, 128)]),
    form(D::StripeKey, "sk_test_", &[Run(ALNUM, 16, 128)]),
    form(D::StripeKey, "rk_live_", &[Run(ALNUM, 16, 128)]),
    form(D::StripeKey, "rk_test_", &[Run(ALNUM, 16, 128)]),
    form(D::StripeKey, "whsec_", &[Run(ALNUM | PADDED, 32, 80)]),
    form(D::CommerceToken, "shpat_", &[Run(HEX, 32, 32)]),
    form(D::CommerceToken, "shpca_", &[Run(HEX, 32, 32)]),
    form(D::CommerceToken, "shppa_", &[Run(HEX, 32, 32)]),
    form(D::CommerceToken, "shpss_", &[Run(HEX, 32, 32)]),
    form(D::CommerceToken, "sq0atp-", &[Run(URL_SAFE, 22, 22)]),
    form(D::CommerceToken, "sq0csp-", &[Run(URL_SAFE, 43, 43)]),
    form(D::CommerceToken, "EAAA", &[Run(URL_SAFE, 60, 60)]),
    form(
        D::CommerceToken,
        "access_token$production$",
        &[Run(ALNUM, 16, 16), Text("$"), Run(LOWER_HEX, 32, 32)],
    ),
    // Infrastructure
    form(D::InfrastructureToken, "hvs.", &[Run(URL_SAFE, 24, 200)]),
    form(D::InfrastructureToken, "hvb.", &[Run(URL_SAFE, 100, 300)]),
    form(D::InfrastructureToken, "hvr.", &[Run(URL_SAFE, 24, 200)]),
    form(D::InfrastructureToken, "pul-", &[Run(LOWER_HEX, 40, 40)]),
    form(D::InfrastructureToken, "dp.pt.", &[Run(ALNUM, 40, 44)]),
    form(D::InfrastructureToken, "dp.st.", &[Run(URL_SAFE | DOT, 40, 80)]),
    form(D::InfrastructureToken, "ops_eyJ", &[Run(ALNUM | PADDED, 200, 1000)]),
    form(D::InfrastructureToken, "tskey-", &[Run(ALNUM | DASH, 30, 80)]),
    // Monitoring
    form(D::MonitoringKey, "glc_", &[Run(ALNUM | PADDED, 32, 400)]),
    form(D::MonitoringKey, "glsa_", &[Run(ALNUM, 32, 32), Text("_"), Run(HEX, 8, 8)]),
    form(D::MonitoringKey, "NRAK-", &[Run(UPPER | DIGIT, 27, 27)]),
    form(D::MonitoringKey, "NRJS-", &[Run(LOWER_HEX, 19, 19)]),
    form(D::MonitoringKey, "NRII-", &[Run(URL_SAFE, 32, 32)]),
    form(D::MonitoringKey, "sntrys_", &[Run(ALNUM | PADDED | class::UNDERSCORE, 40, 400)]),
    form(D::MonitoringKey, "sntryu_", &[Run(LOWER_HEX, 64, 64)]),
    form(D::MonitoringKey, "dt0c01.", &[Run(UPPER | DIGIT, 24, 24), Text("."), Run(UPPER | DIGIT, 64, 64)]),
    form(D::MonitoringKey, "phx_", &[Run(ALNUM, 40, 50)]),
    // Workspaces
    form(D::WorkspaceToken, "lin_api_", &[Run(ALNUM, 40, 40)]),
    form(D::WorkspaceToken, "secret_", &[Run(ALNUM, 43, 43)]),
    form(D::WorkspaceToken, "ntn_", &[Run(ALNUM, 40, 50)]),
    form(D::WorkspaceToken, "PMAK-", &[Run(LOWER_HEX, 24, 24), Text("-"), Run(LOWER_HEX, 34, 34)]),
    form(D::WorkspaceToken, "figd_", &[Run(URL_SAFE, 40, 44)]),
    form(D::WorkspaceToken, "ATATT3xFf", &[Run(URL_SAFE | PADDED, 100, 250)]),
    form(D::WorkspaceToken, "tfp_", &[Run(URL_SAFE, 40, 80)]),
    form(D::AgeKey, "AGE-SECRET-KEY-1", &[Run(UPPER | DIGIT, 58, 58)]),
    form(D::AgeKey, "AGE-SECRET-KEY-PQ-1", &[Run(UPPER | DIGIT, 58, 80)]),
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
            let read = match part {
                Run(classes, least, most) => {
                    last = *classes;
                    cursor.run(*classes, *most).len() >= *least
                }
                Text(text) => cursor.literal(text),
                Path(segments, most) => {
                    last = URL_SAFE;
                    path(cursor, *segments, *most)
                }
            };
            if !read {
                return None;
            }
        }
        let value = cursor.since(body);
        let ends = !cursor.next_is(last & !DOT | WORD);
        let end = cursor.at().saturating_sub(value.iter().rev().take_while(|byte| **byte == b'.').count());
        let detector = match is_placeholder(value) {
            false if is_random(value) => self.detector,
            true if is_sample(value) => D::SampleSecret,
            _ => return None,
        };
        ends.then_some((detector, start..end))
    }
}

/// The prefix of a secret that its vendor made public.
pub(crate) fn public_prefix(text: &str, detector: DetectorId) -> &'static str {
    let prefix = |form: &&SecretForm| form.detector == detector && text.starts_with(form.prefix);
    FORMS.iter().find(prefix).map_or("", |form| form.prefix)
}

/// Reads path segments: at least so many, the last of at least 16 characters.
fn path(cursor: &mut Cursor<'_>, least: usize, most: usize) -> bool {
    let (mut segments, mut last) = (0_usize, 0);
    loop {
        last = match cursor.run(URL_SAFE | DOT, most).len() {
            0 => return segments >= least && last >= 16,
            length => length,
        };
        segments = segments.saturating_add(1);
        let more = cursor.peek() == Some(b'/') && segments < 6;
        if !more {
            return segments >= least && last >= 16;
        }
        cursor.skip(1);
    }
}

/// Whether a value stands for a secret in documentation: words for it, or too few different characters.
pub(crate) fn is_placeholder(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 14] = [
        b"example",
        b"xxxx",
        b"your",
        b"placeholder",
        b"dummy",
        b"00000000",
        b"changeme",
        b"redacted",
        b"insert",
        b"replace",
        b"1234567890abcd",
        b"abcdefghijkl",
        b"notareal",
        b"....",
    ];
    const FIRST: u128 = bits(b"exypdcrian.01");
    let may_begin = |byte: u8| FIRST.wrapping_shr(u32::from(byte.to_ascii_lowercase() & 127)) & 1 == 1;
    let worded = |(i, byte): (usize, &u8)| {
        may_begin(*byte) && WORDS.iter().any(|word| starts_with(value.get(i..).unwrap_or_default(), word))
    };
    distinct(value) < 6 || value.iter().enumerate().any(worded)
}

/// Whether a placeholder is written like a secret: `AKIAIOSFODNN7EXAMPLE`, and not `ghp_xxxx…` or
/// `sk-your-key-here`.
fn is_sample(value: &[u8]) -> bool {
    distinct(value) >= 6 && value.iter().any(u8::is_ascii_digit) && !value.iter().any(u8::is_ascii_lowercase)
}

/// The bits of these ASCII characters.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn bits(characters: &[u8]) -> u128 {
    let (mut bits, mut i) = (0, 0);
    while i < characters.len() {
        bits |= 1 << (characters[i] & 127);
        i += 1;
    }
    bits
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b);
    text.len() >= word.len() && text.iter().zip(word).all(same)
}

/// Whether a value has a digit, or capitals and small letters: names of things in code have neither.
fn is_random(value: &[u8]) -> bool {
    let has = |classes| value.iter().any(|byte| class::is(*byte, classes));
    has(DIGIT) || (has(UPPER) && has(LOWER))
}

/// How many different bytes there are.
pub(crate) fn distinct(value: &[u8]) -> u32 {
    let seen = value.iter().fold(0_u128, |seen, byte| seen | 1_u128.wrapping_shl(u32::from(*byte & 127)));
    seen.count_ones()
}
