//! What guardrails found, off the wire.

use latchkey_proto::ledger as wire;
use uuid::Uuid;

use super::intake::{text, text_if_any, text_up_to, uuid};

/// A finding of one request, without what its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFinding {
    pub category: String,
    pub detector: String,
    pub risk: &'static str,
    pub action: &'static str,
    pub direction: &'static str,
    pub place: Option<String>,
    pub message: Option<u64>,
    pub count: u64,
    pub excerpt: String,
    /// Hexadecimal.
    pub value_hash: String,
    /// The change request that was tried.
    pub change_request: Option<Uuid>,
}

/// Of a detector's name, in bytes: a custom category's has up to 100 characters.
const LONGEST_DETECTOR: usize = 400;
/// Of a value's hash, in bytes.
const LONGEST_HASH: usize = 32;

/// None where it does not say what it is: the record counts it all the same.
pub(super) fn finding(finding: wire::Finding) -> Option<NewFinding> {
    let risk = match finding.risk() {
        wire::FindingRisk::Low => "low",
        wire::FindingRisk::High => "high",
        wire::FindingRisk::Unspecified => return unreadable("risk"),
    };
    let direction = match finding.direction() {
        wire::FindingDirection::Request => "request",
        wire::FindingDirection::Response => "response",
        wire::FindingDirection::Unspecified => return unreadable("direction"),
    };
    let Some(action) = action(finding.action()) else { return unreadable("action") };
    let wire::Finding {
        category,
        detector,
        risk: _,
        action: _,
        direction: _,
        place,
        message,
        count,
        excerpt,
        value_hash,
        change_request,
    } = finding;
    let Some(category) = text_if_any(category) else { return unreadable("category") };
    Some(NewFinding {
        category,
        detector: text_up_to(LONGEST_DETECTOR, detector),
        risk,
        action,
        direction,
        place: text_if_any(place),
        message: message.map(u64::from),
        count: count.max(1).into(),
        excerpt: text(excerpt),
        value_hash: value_hash.iter().take(LONGEST_HASH).map(|byte| format!("{byte:02x}")).collect(),
        change_request: uuid(&change_request),
    })
}

fn action(action: wire::FindingAction) -> Option<&'static str> {
    Some(match action {
        wire::FindingAction::Unspecified => return None,
        wire::FindingAction::Monitored => "monitored",
        wire::FindingAction::Redacted => "redacted",
        wire::FindingAction::Anonymized => "anonymized",
        wire::FindingAction::Blocked => "blocked",
        wire::FindingAction::WouldRedact => "would_redact",
        wire::FindingAction::WouldAnonymize => "would_anonymize",
        wire::FindingAction::WouldBlock => "would_block",
        wire::FindingAction::WouldMonitor => "would_monitor",
    })
}

fn unreadable<T>(field: &str) -> Option<T> {
    tracing::warn!(field, "a finding cannot be read");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_finding() -> wire::Finding {
        wire::Finding {
            category: "pci".to_owned(),
            detector: "credit_card".to_owned(),
            risk: wire::FindingRisk::High.into(),
            action: wire::FindingAction::Blocked.into(),
            direction: wire::FindingDirection::Request.into(),
            place: "messages[3].content".to_owned(),
            message: Some(0),
            count: 0,
            excerpt: "4111 \u{2022}\u{2022}\u{2022}\u{2022} 1111".to_owned(),
            value_hash: vec![0, 255, 16],
            change_request: Vec::new(),
        }
    }

    #[test]
    fn texts_are_cut_and_the_hash_is_hexadecimal() {
        let odd = wire::Finding { excerpt: "\u{2022}\0".repeat(1000), ..wire_finding() };
        let read = finding(odd).unwrap();
        assert!(read.excerpt.len() <= 256 && read.excerpt.chars().all(|c| c == '\u{2022}'));
        assert_eq!((read.value_hash.as_str(), read.count, read.message), ("00ff10", 1, Some(0)));
        let long = wire::Finding { value_hash: vec![1; 1000], ..wire_finding() };
        assert_eq!(finding(long).unwrap().value_hash.len(), 2 * LONGEST_HASH);
        let name = "\u{1f511}".repeat(100);
        let own = wire::Finding { detector: name.clone(), ..wire_finding() };
        assert_eq!(finding(own).unwrap().detector, name, "a category's longest name");
    }

    #[test]
    fn one_that_does_not_say_what_it_is_is_left_out() {
        assert!(finding(wire_finding()).is_some());
        for wrong in [
            wire::Finding { risk: 0, ..wire_finding() },
            wire::Finding { action: 99, ..wire_finding() },
            wire::Finding { direction: 0, ..wire_finding() },
            wire::Finding { category: String::new(), ..wire_finding() },
        ] {
            assert_eq!(finding(wrong), None);
        }
    }

    #[test]
    fn every_action_of_the_wire_has_a_word() {
        let all = (1..).map_while(|number| wire::FindingAction::try_from(number).ok());
        for known in all {
            let word = known.as_str_name().trim_start_matches("FINDING_ACTION_").to_lowercase();
            assert_eq!(action(known), Some(word.as_str()));
        }
    }
}
