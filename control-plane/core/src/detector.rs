//! External detectors: a company's own models behind HTTP, which judge the texts of requests.

/// How long a request waits for a detector's answer, unless an admin says otherwise.
pub const USUAL_TIMEOUT_MS: u32 = 500;

/// How much text of one request a detector is sent, unless an admin says otherwise.
pub const USUAL_TEXT_BYTES: u32 = 65_536;

/// The shortest timeout: less than a round trip within one data center would fail by itself.
const SHORTEST_TIMEOUT_MS: u32 = 10;

/// The same bound as gateways have.
const LONGEST_TIMEOUT_MS: u32 = 5_000;

const LEAST_TEXT_BYTES: u32 = 1_024;

/// The same bound as gateways have.
const MOST_TEXT_BYTES: u32 = 1 << 20;

/// # Errors
/// What would do.
pub fn check_timeout(ms: u32) -> Result<(), String> {
    match (SHORTEST_TIMEOUT_MS..=LONGEST_TIMEOUT_MS).contains(&ms) {
        true => Ok(()),
        false => Err(format!("must be {SHORTEST_TIMEOUT_MS} to {LONGEST_TIMEOUT_MS} milliseconds")),
    }
}

/// # Errors
/// What would do.
pub fn check_text_bytes(bytes: u32) -> Result<(), String> {
    match (LEAST_TEXT_BYTES..=MOST_TEXT_BYTES).contains(&bytes) {
        true => Ok(()),
        false => Err(format!("must be {LEAST_TEXT_BYTES} to {MOST_TEXT_BYTES} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_gateways() {
        use latchkey_filter_core::snapshot;
        assert_eq!(
            (LONGEST_TIMEOUT_MS, MOST_TEXT_BYTES),
            (snapshot::LONGEST_TIMEOUT_MS, snapshot::MOST_TEXT_BYTES)
        );
        for (ms, fits) in [(9, false), (10, true), (5_000, true), (5_001, false)] {
            assert_eq!(check_timeout(ms).is_ok(), fits, "{ms}");
        }
        for (bytes, fits) in [(1_023, false), (1_024, true), (1 << 20, true), ((1 << 20) + 1, false)] {
            assert_eq!(check_text_bytes(bytes).is_ok(), fits, "{bytes}");
        }
        assert!(check_timeout(USUAL_TIMEOUT_MS).is_ok() && check_text_bytes(USUAL_TEXT_BYTES).is_ok());
    }
}
