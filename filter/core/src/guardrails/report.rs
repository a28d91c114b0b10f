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

/// A match, but for its value and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundMatch<'a> {
    pub category: &'static str,
    pub detector: &'a str,
    pub risk: Risk,
    pub action: FindingAction,
    pub direction: Direction,
    pub message: Option<u32>,
    /// Whether it ends the search.
    pub is_block: bool,
}

/// What was done about a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingAction {
    Monitored,
    Redacted,
    Anonymized,
    Blocked,
    /// Guardrails that are tried would have.
    WouldMonitor,
    /// A rule on trial would have, or guardrails that are tried.
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
    /// The app has no guardrails in force: nobody hears of more than of the trial.
    pub is_tried_only: bool,
    /// What a change request's guardrails would have done; none where none were tried.
    pub trial: Option<Box<TrialReport>>,
}

/// What a change request's guardrails would have done to one request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialReport {
    /// Its id, a UUID.
    pub change_request: [u8; 16],
    pub findings: Vec<Finding>,
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

    /// Of a rule on trial, or of guardrails that are tried.
    pub(super) fn would_be_done(action: Action) -> Self {
        match action {
            Action::Monitor => Self::WouldMonitor,
            Action::Redact => Self::WouldRedact,
            Action::Anonymize => Self::WouldAnonymize,
            Action::Block => Self::WouldBlock,
        }
    }
}

impl InspectionReport {
    /// Counts a match: with an equal one, or as one of its own while there is room. `hash` is of its value; none
    /// where there is no room for another value.
    pub(super) fn add(
        &mut self,
        found: FoundMatch<'_>,
        hash: Option<[u8; 8]>,
        place: &str,
        excerpt: impl FnOnce() -> String,
    ) {
        let FoundMatch { category, detector, risk, action, direction, message, is_block } = found;
        let place = place.get(..place.floor_char_boundary(LONGEST_PLACE)).unwrap_or_default();
        let is_alike = |known: &Finding| {
            known.action == action && known.direction == direction && known.detector == detector
        };
        let mut known = self.findings.iter_mut();
        let same =
            known.find(|known| Some(known.value_hash) == hash && known.place == place && is_alike(known));
        if let Some(known) = same {
            known.count = known.count.saturating_add(1);
            return;
        }
        // What blocked is never among the rest, which leave a row for it.
        let most_rows = MAX_FINDINGS.saturating_mul(2);
        let most = if is_block { most_rows } else { MAX_FINDINGS };
        let most_rest = most_rows.saturating_sub(usize::from(!is_block));
        let finding = Finding {
            category,
            detector: String::new(),
            risk,
            action,
            direction,
            place: String::new(),
            message: None,
            count: 1,
            excerpt: String::new(),
            value_hash: [0; 8],
        };
        if let Some(value_hash) = hash.filter(|_| self.findings.len() < most) {
            let (detector, place) = (detector.to_owned(), place.to_owned());
            self.findings.push(Finding {
                detector,
                place,
                message,
                excerpt: excerpt(),
                value_hash,
                ..finding
            });
            return;
        }
        let is_rest =
            |known: &&mut Finding| known.value_hash == [0; 8] && known.place.is_empty() && is_alike(known);
        if let Some(known) = self.findings.iter_mut().find(is_rest) {
            known.count = known.count.saturating_add(1);
        } else if self.findings.len() < most_rest {
            self.findings.push(Finding { detector: detector.to_owned(), ..finding });
        }
    }

    /// The header that tells the client: `redacted=1; anonymized=0; monitored=2; unread=0`. None where the app has no
    /// guardrails in force: a trial changes nothing.
    #[must_use]
    pub fn header(&self) -> Option<(&'static str, String)> {
        let Self { findings: _, unread, redacted, anonymized, monitored, is_tried_only, trial: _ } = self;
        let told =
            format!("redacted={redacted}; anonymized={anonymized}; monitored={monitored}; unread={unread}");
        (!is_tried_only).then_some((HEADER, told))
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
            change_request: Vec::new(),
        }
    }
}

impl From<TrialReport> for Vec<wire::Finding> {
    fn from(TrialReport { change_request, findings }: TrialReport) -> Self {
        let tried = |finding| wire::Finding {
            change_request: change_request.to_vec(),
            ..wire::Finding::from(finding)
        };
        findings.into_iter().map(tried).collect()
    }
}

impl From<FindingAction> for wire::FindingAction {
    fn from(action: FindingAction) -> Self {
        match action {
            FindingAction::Monitored => Self::Monitored,
            FindingAction::Redacted => Self::Redacted,
            FindingAction::Anonymized => Self::Anonymized,
            FindingAction::Blocked => Self::Blocked,
            FindingAction::WouldMonitor => Self::WouldMonitor,
            FindingAction::WouldRedact => Self::WouldRedact,
            FindingAction::WouldAnonymize => Self::WouldAnonymize,
            FindingAction::WouldBlock => Self::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(report: &mut InspectionReport, hash: Option<[u8; 8]>) {
        let found = FoundMatch {
            category: "pii",
            detector: "email",
            risk: Risk::Low,
            action: FindingAction::Redacted,
            direction: Direction::Request,
            message: Some(0),
            is_block: false,
        };
        report.add(found, hash, "messages[0].content", || "k••••@example.com".to_owned());
    }

    #[test]
    fn what_blocks_is_told_with_its_place_however_much_was_found_before() {
        fn found(detector: &str, action: FindingAction) -> FoundMatch<'_> {
            FoundMatch {
                category: "custom",
                detector,
                risk: Risk::Low,
                action,
                direction: Direction::Request,
                message: Some(0),
                is_block: action == FindingAction::Blocked,
            }
        }
        let mut report = InspectionReport::default();
        for n in 1..=200_u8 {
            let detector = n.to_string();
            let monitored = found(&detector, FindingAction::Monitored);
            report.add(monitored, Some([n; 8]), "messages[0].content", String::new);
        }
        assert_eq!(report.findings.len(), 2 * MAX_FINDINGS - 1);
        let blocked = found("cards", FindingAction::Blocked);
        report.add(blocked, Some([201; 8]), "messages[1].content", || "••••".to_owned());
        assert_eq!(report.findings.len(), 2 * MAX_FINDINGS);
        let last = report.findings.last().unwrap();
        assert_eq!((last.action, last.detector.as_str()), (FindingAction::Blocked, "cards"));
        assert_eq!((last.place.as_str(), last.excerpt.as_str()), ("messages[1].content", "••••"));
        assert_eq!(last.value_hash, [201; 8]);
    }

    #[test]
    fn equal_findings_are_counted_and_none_is_lost() {
        let mut report = InspectionReport::default();
        for n in 1..=200 {
            add(&mut report, Some([n; 8]));
            add(&mut report, (n <= 100).then_some([n; 8]));
        }
        assert_eq!(report.findings.len(), MAX_FINDINGS + 1);
        assert_eq!(report.findings.iter().map(|finding| finding.count).sum::<u32>(), 400);
        assert_eq!(report.findings.first().map(|finding| finding.count), Some(2));
        let rest = report.findings.last().unwrap();
        assert_eq!((rest.place.as_str(), rest.excerpt.as_str()), ("", ""));
    }
}
