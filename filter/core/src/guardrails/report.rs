//! What guardrails tell of a request: findings, without the values.

use latchkey_guardrails::Risk;
use latchkey_proto::ledger as wire;
use serde::Serialize;

use super::policy::{Action, Direction};

/// Findings of one record. What is beyond is counted in those of the same detector.
const MAX_FINDINGS: usize = 32;

/// Tells the client what was done to its request.
const HEADER: &str = "x-latchkey-guardrails";

/// Bytes of a place.
const LONGEST_PLACE: usize = 128;

/// Matches of one value in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub category: &'static str,
    /// Of a custom category its name.
    pub detector: String,
    pub risk: Risk,
    pub action: FindingAction,
    pub direction: Direction,
    /// `messages[3].content`; empty where it is in places beyond those that are told.
    pub place: String,
    pub message: Option<u32>,
    pub count: u32,
    /// The value, masked.
    pub excerpt: String,
    /// Of the value, by the app's key.
    pub value_hash: [u8; 8],
}

/// What was done about a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingAction {
    Monitored,
    Redacted,
    Anonymized,
    Blocked,
    /// A rule on trial would have.
    WouldRedact,
    WouldAnonymize,
    WouldBlock,
}

/// What blocked a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockDetail {
    pub category: &'static str,
    pub detector: String,
    /// The message's index.
    pub message: Option<u32>,
    /// `messages[3].content`.
    pub place: String,
}

/// What guardrails did to one request and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InspectionReport {
    pub findings: Vec<Finding>,
    /// Texts and media that could not be looked at.
    pub unread: u32,
    /// Matches that were replaced, those of earlier turns included.
    pub redacted: u32,
    pub anonymized: u32,
    pub monitored: u32,
}

impl FindingAction {
    /// Of a rule in force.
    pub(super) fn done(action: Action) -> Self {
        match action {
            Action::Monitor => Self::Monitored,
            Action::Redact => Self::Redacted,
            Action::Anonymize => Self::Anonymized,
            Action::Block => Self::Blocked,
        }
    }

    /// Of a rule on trial; none where it would do nothing.
    pub(super) fn would_be_done(action: Action) -> Option<Self> {
        match action {
            Action::Monitor => None,
            Action::Redact => Some(Self::WouldRedact),
            Action::Anonymize => Some(Self::WouldAnonymize),
            Action::Block => Some(Self::WouldBlock),
        }
    }
}

impl InspectionReport {
    /// Counts a match: with an equal one, or as one of its own while there is room.
    pub(super) fn add(&mut self, finding: Finding) {
        let is_same = |known: &&mut Finding| {
            known.value_hash == finding.value_hash
                && known.place == finding.place
                && known.detector == finding.detector
                && known.action == finding.action
                && known.direction == finding.direction
        };
        if let Some(known) = self.findings.iter_mut().find(is_same) {
            known.count = known.count.saturating_add(finding.count);
            return;
        }
        // What blocked is never among the rest.
        let is_block = finding.action == FindingAction::Blocked;
        let most = if is_block { MAX_FINDINGS.saturating_mul(2) } else { MAX_FINDINGS };
        if self.findings.len() < most {
            let mut finding = finding;
            finding.place.truncate(finding.place.floor_char_boundary(LONGEST_PLACE));
            self.findings.push(finding);
            return;
        }
        let rest = Finding {
            place: String::new(),
            message: None,
            excerpt: String::new(),
            value_hash: [0; 8],
            ..finding
        };
        let is_rest = |known: &&mut Finding| {
            known.place.is_empty()
                && known.value_hash == [0; 8]
                && known.detector == rest.detector
                && known.action == rest.action
                && known.direction == rest.direction
        };
        if let Some(known) = self.findings.iter_mut().find(is_rest) {
            known.count = known.count.saturating_add(rest.count);
        } else if self.findings.len() < MAX_FINDINGS.saturating_mul(2) {
            self.findings.push(rest);
        }
    }

    /// The header that tells the client: `redacted=1; anonymized=0; monitored=2; unread=0`.
    #[must_use]
    pub fn header(&self) -> (&'static str, String) {
        let Self { findings: _, unread, redacted, anonymized, monitored } = self;
        let told =
            format!("redacted={redacted}; anonymized={anonymized}; monitored={monitored}; unread={unread}");
        (HEADER, told)
    }
}

impl From<Finding> for wire::Finding {
    fn from(finding: Finding) -> Self {
        let Finding {
            category,
            detector,
            risk,
            action,
            direction,
            place,
            message,
            count,
            excerpt,
            value_hash,
        } = finding;
        Self {
            category: category.to_owned(),
            detector,
            risk: match risk {
                Risk::Low => wire::FindingRisk::Low,
                Risk::High => wire::FindingRisk::High,
            }
            .into(),
            action: wire::FindingAction::from(action).into(),
            direction: match direction {
                Direction::Request => wire::FindingDirection::Request,
                Direction::Response => wire::FindingDirection::Response,
            }
            .into(),
            place,
            message,
            count,
            excerpt,
            value_hash: value_hash.to_vec(),
        }
    }
}

impl From<FindingAction> for wire::FindingAction {
    fn from(action: FindingAction) -> Self {
        match action {
            FindingAction::Monitored => Self::Monitored,
            FindingAction::Redacted => Self::Redacted,
            FindingAction::Anonymized => Self::Anonymized,
            FindingAction::Blocked => Self::Blocked,
            FindingAction::WouldRedact => Self::WouldRedact,
            FindingAction::WouldAnonymize => Self::WouldAnonymize,
            FindingAction::WouldBlock => Self::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(n: u8) -> Finding {
        Finding {
            category: "pii",
            detector: "email".to_owned(),
            risk: Risk::Low,
            action: FindingAction::Redacted,
            direction: Direction::Request,
            place: "messages[0].content".to_owned(),
            message: Some(0),
            count: 1,
            excerpt: "k••••@example.com".to_owned(),
            value_hash: [n; 8],
        }
    }

    #[test]
    fn equal_findings_are_counted_and_none_is_lost() {
        let mut report = InspectionReport::default();
        for n in 1..=200 {
            report.add(finding(n));
            report.add(finding(n));
        }
        assert_eq!(report.findings.len(), MAX_FINDINGS + 1);
        assert_eq!(report.findings.iter().map(|finding| finding.count).sum::<u32>(), 400);
        assert_eq!(report.findings.first().map(|finding| finding.count), Some(2));
        let rest = report.findings.last().unwrap();
        assert_eq!((rest.place.as_str(), rest.excerpt.as_str()), ("", ""));
    }
}
