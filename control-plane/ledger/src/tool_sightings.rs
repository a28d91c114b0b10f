//! Tools of MCP servers that gateways have seen and that are not as they are pinned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use latchkey_core::mcp_tools::{DefinitionForm, PinnedTool, SeenTool, ToolSighting, ToolVersion};
use latchkey_filter_core::mcp::{LONGEST_DEFINITION, ToolDefinition, is_tool_name};
use latchkey_filter_core::snapshot::ToolHash;
use latchkey_proto::ledger as wire;
use tokio::sync::mpsc;

use super::intake::believed;
use super::stats::Stats;

pub mod writer;

/// Sightings of one report, by server.
pub type ReportedSightings = BTreeMap<String, Vec<ToolSighting>>;

/// Where streams leave sightings for the [`writer`]. A report does not wait for it.
#[derive(Clone, Debug)]
pub struct SightingQueue {
    pub(super) queue: mpsc::Sender<ReportedSightings>,
    pub(super) stats: Arc<Stats>,
}

impl SightingQueue {
    /// Leaves what fits. What does not is dropped: gateways cut such tools from their lists whether the control plane
    /// knows of them or not, and tell of them again.
    pub fn push(&self, sightings: ReportedSightings) {
        if sightings.is_empty() {
            return;
        }
        if let Err(error) = self.queue.try_send(sightings) {
            let dropped = count(&error.into_inner());
            self.stats.sightings_dropped.fetch_add(dropped, Ordering::Relaxed);
            tracing::warn!(dropped, "sightings of MCP tools were dropped: too many wait to be written");
        }
    }
}

fn count(sightings: &ReportedSightings) -> u64 {
    sightings.values().map(|of_server| of_server.len() as u64).sum()
}

/// Sightings off the wire, by server. Those that cannot be read are left out: the gateway tells them again.
pub(super) fn by_server(tools: Vec<wire::ToolSighting>, now: Timestamp) -> ReportedSightings {
    let mut read = ReportedSightings::new();
    for tool in tools {
        let server = tool.server.clone();
        match sighting(tool, now) {
            Ok(sighting) => read.entry(server).or_default().push(sighting),
            Err(reason) => tracing::warn!(server, reason, "a sighting of a tool cannot be read"),
        }
    }
    read
}

fn sighting(sighting: wire::ToolSighting, now: Timestamp) -> Result<ToolSighting, &'static str> {
    let form = form(sighting.form());
    let wire::ToolSighting {
        server: _,
        tool: name,
        hash,
        definition,
        at_ms,
        pinned_hash,
        pinned_changed: changed,
        pinned_approved_at_ms: approved_at_ms,
        form: _,
    } = sighting;
    if !is_tool_name(&name) {
        return Err("it has no tool's name");
    }
    let hash = read_hash(&hash).ok_or("its fingerprint is none")?;
    let (form, text) = match definition.as_str() {
        "" => (form, None),
        text if text.len() > LONGEST_DEFINITION => return Err("its definition is too long"),
        text => {
            let read = ToolDefinition::read(text).filter(|read| read.hash == hash && read.name == name);
            let read = read.ok_or("its fingerprint is not its definition's")?;
            (DefinitionForm::Clear, Some(read.text))
        }
    };
    let pinned = match pinned_hash.as_slice() {
        [] => None,
        hash => {
            let hash = read_hash(hash).ok_or("its pin is none")?.to_string();
            Some(PinnedTool { hash, changed, approved_at_ms })
        }
    };
    let definition = ToolVersion { hash: hash.to_string(), form, text };
    Ok(ToolSighting { name, seen: SeenTool { definition, at: believed(at_ms, now) }, pinned })
}

fn form(form: wire::DefinitionForm) -> DefinitionForm {
    match form {
        wire::DefinitionForm::Unspecified => DefinitionForm::Unknown,
        wire::DefinitionForm::Clear => DefinitionForm::Clear,
        wire::DefinitionForm::TooLong => DefinitionForm::TooLong,
        wire::DefinitionForm::HoldsKey => DefinitionForm::HoldsKey,
        wire::DefinitionForm::Unreadable => DefinitionForm::Unreadable,
    }
}

fn read_hash(bytes: &[u8]) -> Option<ToolHash> {
    bytes.try_into().ok().map(ToolHash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn wire_sighting(definition: &str) -> wire::ToolSighting {
        let read = ToolDefinition::read(definition).unwrap();
        wire::ToolSighting {
            server: "github".to_owned(),
            tool: read.name,
            hash: read.hash.0.to_vec(),
            definition: definition.to_owned(),
            at_ms: now().as_millisecond(),
            ..wire::ToolSighting::default()
        }
    }

    #[test]
    fn what_a_gateway_says_of_a_tool_is_checked() {
        let told = wire_sighting(r#"{ "name":"add", "description":"Adds." }"#);
        let read = sighting(told.clone(), now()).unwrap();
        assert_eq!(read.seen.definition.text.as_deref(), Some(r#"{"description":"Adds.","name":"add"}"#));
        assert_eq!((read.seen.definition.hash.len(), read.seen.at, read.pinned), (64, now(), None));
        let pinned = wire::ToolSighting {
            pinned_hash: vec![0xab; 32],
            pinned_changed: true,
            pinned_approved_at_ms: 7,
            ..told.clone()
        };
        let held = PinnedTool { hash: "ab".repeat(32), changed: true, approved_at_ms: 7 };
        assert_eq!(sighting(pinned, now()).unwrap().pinned, Some(held));
        let bare = wire::ToolSighting { definition: String::new(), ..told.clone() };
        assert_eq!(sighting(bare.clone(), now()).unwrap().seen.definition.text, None);
        for (form, read) in [
            (wire::DefinitionForm::Unspecified, DefinitionForm::Unknown),
            (wire::DefinitionForm::TooLong, DefinitionForm::TooLong),
            (wire::DefinitionForm::Unreadable, DefinitionForm::Unreadable),
        ] {
            let told = wire::ToolSighting { form: form.into(), ..bare.clone() };
            assert_eq!(sighting(told, now()).unwrap().seen.definition.form, read);
        }
        let late = wire::ToolSighting { at_ms: i64::MAX, ..told.clone() };
        assert_eq!(sighting(late, now()).unwrap().seen.at, now());
        for (wrong, why) in [
            (wire::ToolSighting { tool: String::new(), ..told.clone() }, "it has no tool's name"),
            (wire::ToolSighting { tool: "a\0".to_owned(), ..told.clone() }, "it has no tool's name"),
            (wire::ToolSighting { tool: "x".repeat(201), ..told.clone() }, "it has no tool's name"),
            (wire::ToolSighting { hash: vec![1; 31], ..told.clone() }, "its fingerprint is none"),
            (
                wire::ToolSighting { hash: vec![1; 32], ..told.clone() },
                "its fingerprint is not its definition's",
            ),
            (
                wire::ToolSighting { tool: "rm".to_owned(), ..told.clone() },
                "its fingerprint is not its definition's",
            ),
            (wire::ToolSighting { pinned_hash: vec![1], ..told.clone() }, "its pin is none"),
            (
                wire::ToolSighting { definition: "x".repeat(70_000), ..told.clone() },
                "its definition is too long",
            ),
        ] {
            assert_eq!(sighting(wrong, now()), Err(why));
        }
    }

    #[test]
    fn what_does_not_fit_the_queue_is_dropped_and_counted() {
        let (queue, mut waiting) = mpsc::channel(1);
        let queue = SightingQueue { queue, stats: Arc::default() };
        let told =
            || by_server(vec![wire_sighting(r#"{"name":"add"}"#), wire_sighting(r#"{"name":"b"}"#)], now());
        for _ in 0..3 {
            queue.push(told());
        }
        queue.push(ReportedSightings::new());
        assert_eq!(queue.stats.sightings_dropped.load(Ordering::Relaxed), 4);
        assert_eq!(count(&waiting.try_recv().unwrap()), 2);
        assert!(waiting.try_recv().is_err());
    }

    #[test]
    fn sightings_are_told_apart_by_server() {
        let add = wire_sighting(r#"{"name":"add"}"#);
        let other = wire::ToolSighting { server: "docs".to_owned(), ..add.clone() };
        let broken = wire::ToolSighting { hash: vec![], ..add.clone() };
        let read = by_server(vec![add, other, broken], now());
        assert_eq!(
            read.iter().map(|(server, tools)| (server.as_str(), tools.len())).collect::<Vec<_>>(),
            [("docs", 1), ("github", 1)]
        );
    }
}
