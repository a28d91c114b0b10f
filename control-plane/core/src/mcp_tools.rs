//! Pinned tools of MCP servers: which definitions may be used, and what a gateway's sighting of another one does.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which of a server's tools may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolPinning {
    /// Whatever the server lists.
    #[default]
    Unpinned,
    /// Each as gateways see it first; one that changes waits for an admin.
    TrustFirstUse,
    /// Those that an admin has approved.
    Approval,
}

/// What became of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolState {
    /// It may be used as it was approved.
    Approved,
    /// Quarantined: another definition than the approved one was seen.
    Changed,
    /// It waits for an admin.
    New,
    /// An admin does not want it, whatever its definition.
    Rejected,
}

/// What is known of a tool's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionForm {
    /// It reads in one way.
    Clear,
    /// It reads in one way, and is longer than what is kept.
    TooLong,
    /// It reads in one way, and is not kept since a key is in it.
    HoldsKey,
    /// Two programs could read it differently, or it is nested too deeply or too long to be read. Its fingerprint is of
    /// the text as it was written.
    Unreadable,
    /// The gateway does not say.
    Unknown,
}

/// A word in the database that is no pinning, no state, or no form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid value")]
pub struct NotAWord(String);

/// A tool of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// As its server calls it.
    pub name: String,
    /// What became of it.
    pub state: ToolState,
    /// None of one that is new or rejected.
    pub approved: Option<ApprovedTool>,
    /// As it was seen last.
    pub seen: SeenTool,
    /// When it was seen first.
    pub first_seen_at: Timestamp,
}

/// A definition that was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedTool {
    /// What it is.
    pub definition: ToolVersion,
    /// Who approved it: an email address, or a token's name; none where it was trusted at first use.
    pub by: Option<String>,
    /// When it was approved.
    pub at: Timestamp,
}

/// A definition that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTool {
    /// What it is.
    pub definition: ToolVersion,
    /// When it was seen.
    pub at: Timestamp,
}

/// A definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolVersion {
    /// SHA-256 of the canonical JSON, in hexadecimal.
    pub hash: String,
    /// What is known of it.
    pub form: DefinitionForm,
    /// Canonical JSON; none where the form says why, or the gateway had it no more.
    pub text: Option<String>,
}

/// What gateways hold of a tool: the approved definition's fingerprint, and whether the tool has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedTool {
    /// In hexadecimal.
    pub hash: String,
    /// Whether it is quarantined.
    pub changed: bool,
    /// When it was approved, in Unix milliseconds; 0 as from a gateway that does not say.
    pub approved_at_ms: i64,
}

/// What a gateway has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolSighting {
    /// The tool's name.
    pub name: String,
    /// As it was seen.
    pub seen: SeenTool,
    /// What the gateway held of the tool then.
    pub pinned: Option<PinnedTool>,
}

/// What a sighting does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SightingOutcome {
    /// The tool as it is from now on.
    pub tool: Tool,
    /// Whether gateways must know.
    pub pins: bool,
}

/// The most tools that are remembered of one server.
pub const MOST_TOOLS: usize = 512;

/// How old the first sighting of a tool may be: gateways forget it, too. An older one is from before the tool was forgotten.
const FIRST_SEEN: SignedDuration = SignedDuration::from_mins(5);

/// How old it may be that a tool was seen last, before a sighting of the same is worth writing.
const SEEN_LAST: SignedDuration = SignedDuration::from_hours(1);

impl Tool {
    /// What gateways hold of it; none where it may not be used.
    #[must_use]
    pub fn pinned(&self) -> Option<PinnedTool> {
        let ApprovedTool { definition, at, .. } = self.approved.as_ref()?;
        Some(PinnedTool {
            hash: definition.hash.clone(),
            changed: self.state == ToolState::Changed,
            approved_at_ms: at.as_millisecond(),
        })
    }

    /// Approves the definition that was seen last, which is readable.
    pub fn approve(&mut self, by: Option<String>, at: Timestamp) {
        self.approved = Some(ApprovedTool { definition: self.seen.definition.clone(), by, at });
        self.state = ToolState::Approved;
    }

    /// Takes it out of use, whatever its definition.
    pub fn reject(&mut self) {
        self.approved = None;
        self.state = ToolState::Rejected;
    }

    /// What the sighting of another definition does. None: nothing, since the gateway did not know the pin that is in
    /// force, or has seen nothing new.
    #[must_use]
    pub fn sighted(&self, sighting: ToolSighting) -> Option<SightingOutcome> {
        let held = self.pinned();
        let is_of_pin_in_force = match (&held, &sighting.pinned) {
            (Some(held), Some(pinned)) => held.is(pinned),
            (held, pinned) => held.is_none() && pinned.is_none(),
        };
        if !is_of_pin_in_force {
            return None;
        }
        let mut tool = self.clone();
        let mut pins = false;
        let ToolVersion { hash, form, text } = &sighting.seen.definition;
        let kept = sighting.seen.definition.clone().as_kept().form;
        let is_as_before = tool.seen.definition.hash == *hash;
        if tool.state == ToolState::Approved {
            let is_same = held.is_some_and(|held| held.hash == *hash);
            if is_same && *form != DefinitionForm::Unreadable {
                return None;
            }
            (tool.state, pins) = (ToolState::Changed, true);
        } else if sighting.seen.at < tool.seen.at {
            // Another gateway has seen it later.
            return None;
        } else if is_as_before
            && (tool.seen.definition.form == *form || tool.seen.definition.form == kept)
            && (text.is_none() || tool.seen.definition.text.is_some())
            && sighting.seen.at.duration_since(tool.seen.at) < SEEN_LAST
        {
            return None;
        }
        let known = tool.seen.definition.text.take().filter(|_| is_as_before);
        tool.seen = sighting.seen;
        tool.seen.definition.text = tool.seen.definition.text.or(known);
        Some(SightingOutcome { tool, pins })
    }
}

impl PinnedTool {
    /// Whether a gateway that held `other` held this one. A definition that was approved again is another pin.
    fn is(&self, other: &Self) -> bool {
        let is_same_approval = other.approved_at_ms == 0 || other.approved_at_ms == self.approved_at_ms;
        self.hash == other.hash && self.changed == other.changed && is_same_approval
    }
}

impl ToolVersion {
    /// As it is read back: a clear definition whose text is missing may be what an older version of the control plane has
    /// left of an unclear one.
    #[must_use]
    pub fn as_kept(mut self) -> Self {
        if self.text.is_none() && self.form == DefinitionForm::Clear {
            self.form = DefinitionForm::Unknown;
        }
        self
    }
}

impl DefinitionForm {
    /// Whether it is known that all programs read the definition alike, so that its fingerprint stands for what it says.
    #[must_use]
    pub fn is_clear(self) -> bool {
        matches!(self, Self::Clear | Self::TooLong | Self::HoldsKey)
    }
}

impl ToolPinning {
    /// What the sighting of a tool does of which nothing is known. None: nothing, since it was known when the gateway
    /// saw it, or may have been. What does not read in one way is trusted by nobody but an admin.
    #[must_use]
    pub fn first_sighted(self, sighting: ToolSighting, now: Timestamp) -> Option<SightingOutcome> {
        let ToolSighting { name, seen, pinned } = sighting;
        let at = seen.at;
        if self == Self::Unpinned || pinned.is_some() || now.duration_since(at) > FIRST_SEEN {
            return None;
        }
        let mut tool = Tool { name, state: ToolState::New, approved: None, seen, first_seen_at: at };
        let pins = self == Self::TrustFirstUse && tool.seen.definition.form.is_clear();
        if pins {
            tool.approve(None, now);
        }
        Some(SightingOutcome { tool, pins })
    }
}

macro_rules! words {
    ($($type:ident { $($word:literal $variant:ident),* })*) => {$(
        impl $type {
            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl FromStr for $type {
            type Err = NotAWord;

            fn from_str(word: &str) -> Result<Self, NotAWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(NotAWord(word.to_owned())),
                }
            }
        }
    )*};
}

words! {
    ToolPinning { "unpinned" Unpinned, "trust_first_use" TrustFirstUse, "approval" Approval }
    ToolState { "approved" Approved, "changed" Changed, "new" New, "rejected" Rejected }
    DefinitionForm {
        "clear" Clear, "too_long" TooLong, "holds_key" HoldsKey, "unreadable" Unreadable, "unknown" Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn version(hash: &str) -> ToolVersion {
        let text = Some(format!("{{\"name\":\"{hash}\"}}"));
        ToolVersion { hash: hash.to_owned(), form: DefinitionForm::Clear, text }
    }

    /// What gateways hold that was approved at this second.
    fn pin(hash: &str, changed: bool, second: i64) -> PinnedTool {
        PinnedTool { hash: hash.to_owned(), changed, approved_at_ms: at(second).as_millisecond() }
    }

    fn sighting(hash: &str, second: i64, pinned: Option<(&str, bool)>) -> ToolSighting {
        ToolSighting {
            name: "add".to_owned(),
            seen: SeenTool { definition: version(hash), at: at(second) },
            pinned: pinned.map(|(hash, changed)| PinnedTool { approved_at_ms: 0, ..pin(hash, changed, 0) }),
        }
    }

    /// The same with a pin that was approved at this second.
    fn sighting_of(hash: &str, second: i64, pinned: PinnedTool) -> ToolSighting {
        ToolSighting { pinned: Some(pinned), ..sighting(hash, second, None) }
    }

    fn first(pinning: ToolPinning) -> Option<SightingOutcome> {
        pinning.first_sighted(sighting("a", 1, None), at(1))
    }

    fn trusted() -> Tool {
        first(ToolPinning::TrustFirstUse).unwrap().tool
    }

    #[test]
    fn a_new_tool_is_trusted_or_waits_as_its_server_says() {
        assert_eq!(first(ToolPinning::Unpinned), None);
        let SightingOutcome { tool, pins } = first(ToolPinning::Approval).unwrap();
        assert_eq!((tool.state, tool.pinned(), pins), (ToolState::New, None, false));
        let SightingOutcome { tool, pins } = first(ToolPinning::TrustFirstUse).unwrap();
        assert_eq!((tool.state, pins), (ToolState::Approved, true));
        assert_eq!(tool.pinned(), Some(pin("a", false, 1)));
        assert_eq!(tool.approved.unwrap().by, None);
        let late = ToolPinning::TrustFirstUse.first_sighted(sighting("b", 1, Some(("a", false))), at(1));
        assert_eq!(late, None, "it was forgotten meanwhile");
        for (seconds, is_new) in [(0, true), (300, true), (301, false), (-60, true)] {
            let outcome = ToolPinning::TrustFirstUse.first_sighted(sighting("a", 0, None), at(seconds));
            assert_eq!(outcome.is_some(), is_new, "{seconds}");
        }
    }

    #[test]
    fn what_does_not_read_in_one_way_is_never_trusted_at_first_use() {
        for (form, is_trusted) in [
            (DefinitionForm::Clear, true),
            (DefinitionForm::TooLong, true),
            (DefinitionForm::HoldsKey, true),
            (DefinitionForm::Unreadable, false),
            (DefinitionForm::Unknown, false),
        ] {
            let mut seen = sighting("a", 1, None);
            seen.seen.definition = ToolVersion { hash: "a".to_owned(), form, text: None };
            let outcome = ToolPinning::TrustFirstUse.first_sighted(seen.clone(), at(1)).unwrap();
            assert_eq!((outcome.pins, outcome.tool.pinned().is_some()), (is_trusted, is_trusted), "{form:?}");
            let state = if is_trusted { ToolState::Approved } else { ToolState::New };
            assert_eq!(outcome.tool.state, state, "{form:?}");
        }
        let mut seen = sighting("a", 2, Some(("a", false)));
        seen.seen.definition.form = DefinitionForm::Unreadable;
        let changed = trusted().sighted(seen).unwrap();
        assert_eq!(
            (changed.tool.state, changed.pins),
            (ToolState::Changed, true),
            "whatever its fingerprint"
        );
    }

    #[test]
    fn what_was_seen_before_an_approval_says_nothing_of_it() {
        let mut tool = trusted().sighted(sighting_of("b", 2, pin("a", false, 1))).unwrap().tool;
        tool.approve(Some("boss".to_owned()), at(3));
        tool = tool.sighted(sighting_of("a", 4, pin("b", false, 3))).unwrap().tool;
        tool.approve(Some("boss".to_owned()), at(5));
        assert_eq!(tool.pinned(), Some(pin("a", false, 5)));
        let stale = tool.sighted(sighting_of("b", 2, pin("a", false, 1)));
        assert_eq!(stale, None, "it was seen beside the first approval of the same definition");
        let again = tool.sighted(sighting_of("b", 6, pin("a", false, 5))).unwrap();
        assert_eq!((again.tool.state, again.pins), (ToolState::Changed, true));
        let unsaid = tool.sighted(sighting("b", 6, Some(("a", false)))).unwrap();
        assert_eq!(unsaid.tool.state, ToolState::Changed, "in doubt it is a change");
    }

    #[test]
    fn a_sighting_of_the_same_is_written_once_an_hour() {
        let changed = trusted().sighted(sighting("b", 2, Some(("a", false)))).unwrap().tool;
        let again = |second| sighting("b", second, Some(("a", true)));
        assert_eq!(changed.sighted(again(3)), None);
        assert_eq!(changed.sighted(again(3_601)), None);
        assert_eq!(changed.sighted(again(3_602)).unwrap().tool.seen.at, at(3_602));
        let mut bare = changed;
        bare.seen.definition.text = None;
        assert_eq!(bare.sighted(again(3)).unwrap().tool.seen.definition, version("b"), "now it is known");
    }

    #[test]
    fn a_clear_definition_without_its_text_is_read_back_as_unknown() {
        let bare = |form| ToolVersion { hash: "a".to_owned(), form, text: None };
        for (form, kept) in [
            (DefinitionForm::Clear, DefinitionForm::Unknown),
            (DefinitionForm::TooLong, DefinitionForm::TooLong),
            (DefinitionForm::Unreadable, DefinitionForm::Unreadable),
        ] {
            assert_eq!(bare(form).as_kept(), bare(kept));
        }
        assert_eq!(version("a").as_kept(), version("a"));
        let mut tool = first(ToolPinning::Approval).unwrap().tool;
        tool.seen.definition = bare(DefinitionForm::Unknown);
        let again = |form| {
            let mut again = sighting("a", 60, None);
            again.seen.definition = bare(form);
            tool.sighted(again)
        };
        assert_eq!(again(DefinitionForm::Clear), None, "it is not written with each list");
        assert!(again(DefinitionForm::Unreadable).is_some());
        assert!(tool.sighted(sighting("a", 60, None)).is_some(), "its text is known now");
    }

    #[test]
    fn the_first_definition_wins_where_two_gateways_see_two() {
        let tool = trusted();
        assert_eq!(tool.sighted(sighting("b", 1, None)), None, "the second did not know the first");
        let SightingOutcome { tool, pins } = tool.sighted(sighting("b", 2, Some(("a", false)))).unwrap();
        assert_eq!((tool.state, pins), (ToolState::Changed, true));
        assert_eq!(tool.pinned(), Some(pin("a", true, 1)));
    }

    #[test]
    fn a_changed_tool_stays_so_until_somebody_approves_what_it_is_now() {
        let changed = trusted().sighted(sighting("b", 2, Some(("a", false)))).unwrap().tool;
        assert_eq!(changed.sighted(sighting("b", 3, Some(("a", false)))), None, "it is known");
        let again = changed.sighted(sighting("c", 4, Some(("a", true)))).unwrap();
        assert_eq!((again.pins, again.tool.seen.definition.hash.as_str()), (false, "c"));
        assert_eq!(again.tool.sighted(sighting("b", 3, Some(("a", true)))), None, "it came late");
        let back = again.tool.sighted(sighting("a", 5, Some(("a", true)))).unwrap();
        assert_eq!((back.tool.state, back.pins), (ToolState::Changed, false));
        let mut approved = again.tool;
        approved.approve(Some("boss".to_owned()), at(6));
        assert_eq!(approved.pinned(), Some(pin("c", false, 6)));
        assert_eq!(approved.sighted(sighting("c", 7, Some(("c", false)))), None, "it is as it was approved");
        let stale = approved.sighted(sighting("b", 7, Some(("a", true))));
        assert_eq!(stale, None, "the gateway does not know of the approval yet");
    }

    #[test]
    fn a_rejected_tool_stays_rejected() {
        let mut tool = trusted();
        tool.reject();
        assert_eq!(tool.pinned(), None);
        let SightingOutcome { tool, pins } = tool.sighted(sighting("b", 2, None)).unwrap();
        assert_eq!((tool.state, pins, tool.seen.at), (ToolState::Rejected, false, at(2)));
    }

    #[test]
    fn a_definition_that_a_gateway_has_no_more_is_kept() {
        let tool = first(ToolPinning::Approval).unwrap().tool;
        let mut without = sighting("a", 9_999, None);
        without.seen.definition.text = None;
        let seen = tool.sighted(without).unwrap().tool.seen;
        assert_eq!((seen.definition, seen.at), (version("a"), at(9_999)));
        let mut other = sighting("b", 9, None);
        other.seen.definition.text = None;
        assert_eq!(tool.sighted(other).unwrap().tool.seen.definition.text, None);
    }

    #[test]
    fn words_read_back() {
        for word in ["unpinned", "trust_first_use", "approval"] {
            assert_eq!(word.parse::<ToolPinning>().unwrap().as_str(), word);
            assert_eq!(serde_json::to_value(word.parse::<ToolPinning>().unwrap()).unwrap(), word);
        }
        for word in ["approved", "changed", "new", "rejected"] {
            assert_eq!(word.parse::<ToolState>().unwrap().as_str(), word);
        }
        for word in ["clear", "too_long", "holds_key", "unreadable", "unknown"] {
            assert_eq!(word.parse::<DefinitionForm>().unwrap().as_str(), word);
            assert_eq!(serde_json::to_value(word.parse::<DefinitionForm>().unwrap()).unwrap(), word);
        }
        assert!("pinned".parse::<ToolPinning>().is_err() && "".parse::<ToolState>().is_err());
    }
}
