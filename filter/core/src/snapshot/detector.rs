use latchkey_proto::discovery as wire;

use super::catalogue::{is_authority, is_token};
use super::{InvalidResource, McpServer, name};

/// The longest that a request waits for a detector, in milliseconds.
pub const LONGEST_TIMEOUT_MS: u32 = 5_000;

/// The most text of one request that a detector is sent, in bytes.
pub const MOST_TEXT_BYTES: u32 = 1 << 20;

/// A company's own model, which judges texts. Its values may stand in headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detector {
    /// As guardrails name it.
    pub name: String,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// The host, and port where needed, of its URL.
    pub authority: String,
    /// The path of its URL.
    pub path: String,
    /// How long a request waits for its answer.
    pub timeout_ms: u32,
    /// How much text of one request it is sent.
    pub max_text_bytes: usize,
}

impl TryFrom<wire::Detector> for Detector {
    type Error = InvalidResource;

    fn try_from(detector: wire::Detector) -> Result<Self, InvalidResource> {
        let wire::Detector { name: detector_name, cluster, authority, path, timeout_ms, max_text_bytes } =
            detector;
        let name = name(detector_name, "detectors.name")?;
        let malformed = |field| InvalidResource::Detector { detector: name.clone(), field };
        if !McpServer::is_name(&name) {
            return Err(malformed("name"));
        }
        if !is_token(&cluster) {
            return Err(malformed("cluster"));
        }
        if !is_authority(&authority) {
            return Err(malformed("authority"));
        }
        if !path.starts_with('/') || !is_token(&path) || path.contains(['?', '#']) {
            return Err(malformed("path"));
        }
        if !(1..=LONGEST_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(malformed("timeout_ms"));
        }
        if !(1..=MOST_TEXT_BYTES).contains(&max_text_bytes) {
            return Err(malformed("max_text_bytes"));
        }
        let max_text_bytes = usize::try_from(max_text_bytes).map_err(|_| malformed("max_text_bytes"))?;
        Ok(Self { name, cluster, authority, path, timeout_ms, max_text_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_could_not_be_asked_is_refused() {
        let refused = |edit: fn(&mut wire::Detector)| {
            let mut detector = testing::detector("company");
            edit(&mut detector);
            Detector::try_from(detector).unwrap_err().to_string()
        };
        Detector::try_from(testing::detector("company")).unwrap();
        let malformed = |field: &str| format!("detector `company`: {field} is malformed");
        assert_eq!(refused(|it| it.cluster.clear()), malformed("cluster"));
        assert_eq!(refused(|it| it.authority = "user@host".into()), malformed("authority"));
        assert_eq!(refused(|it| it.path = "judge".into()), malformed("path"));
        assert_eq!(refused(|it| it.path = "/a?b".into()), malformed("path"));
        assert_eq!(refused(|it| it.timeout_ms = 0), malformed("timeout_ms"));
        assert_eq!(refused(|it| it.timeout_ms = 5_001), malformed("timeout_ms"));
        assert_eq!(refused(|it| it.max_text_bytes = 0), malformed("max_text_bytes"));
        assert_eq!(refused(|it| it.max_text_bytes = (1 << 20) + 1), malformed("max_text_bytes"));
        assert_eq!(refused(|it| it.name = "A".into()), "detector `A`: name is malformed");
    }
}
