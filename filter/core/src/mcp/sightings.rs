//! What the gates of a process have seen of pinned servers' tools and is not as it is pinned, for the control plane
//! and for one another.
//!
//! One value of the shared data lists the tools, another has their definitions. A tool that is pinned stays listed as
//! long as its pin is in force, though the server lists it as it was approved again: what a server shows once may be
//! what it does next. Tools without pins are as many as the server likes, and make room for one another only; they are
//! forgotten soon after they were seen last, so that what an admin forgets stays forgotten. The next list of any server
//! drops what is left of servers that are gone or not pinned any more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use latchkey_proto::ledger as wire;
use prost::Message as _;
use wire::DefinitionForm;

use crate::snapshot::{McpServer, ToolHash, ToolPin, ToolPins, UnixMs};
use crate::store::layout::{self, Generation};
use crate::store::{NotStored, SharedStore, Stored, Swap};

/// Tools without pins that are remembered of a server; of more the one that was seen longest ago is forgotten.
pub const MOST_UNPINNED: usize = 512;

/// How long a tool without a pin is remembered. Longer than [`SEEN_AGAIN_MS`].
const UNPINNED_MS: i64 = 5 * 60_000;

/// So many lists of a server may tell something of tools without pins in [`NEWS_MS`], and of [`MOST_UNPINNED`] of them.
const MOST_LISTS: usize = 20;
const NEWS_MS: i64 = 10_000;

/// Definitions that are kept of a server, in bytes; of more the oldest goes, those of tools without pins first, and
/// its fingerprint alone is reported.
const MOST_BYTES: usize = 2 << 20;

/// How long a tool is not told again that changes with every list, and one that does not.
const CHANGED_AGAIN_MS: i64 = 10_000;
const SEEN_AGAIN_MS: i64 = 60_000;

/// Attempts of a compare-and-swap.
const MOST_TRIES: u32 = 100;

/// What one answer shows that is not as it is pinned: each tool once, as it shows it last.
#[derive(Debug, Default)]
pub struct SeenTools {
    /// By name.
    tools: BTreeMap<String, wire::ToolSighting>,
    /// Those without pins among them.
    unpinned: usize,
    /// Whether it has a list of tools.
    lists: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KnownTools {
    /// Without their definitions.
    #[prost(message, repeated, tag = "1")]
    tools: Vec<wire::ToolSighting>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Definitions {
    #[prost(message, repeated, tag = "1")]
    definitions: Vec<Definition>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Definition {
    #[prost(bytes = "vec", tag = "1")]
    hash: Vec<u8>,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(string, tag = "3")]
    server: String,
    /// Whether its tool is pinned.
    #[prost(bool, tag = "4")]
    is_pinned: bool,
}

/// A list of seen tools, as it was read.
#[derive(Debug, Default)]
pub struct Sightings {
    /// Without their definitions.
    pub tools: Vec<wire::ToolSighting>,
    /// Of the value that they stand in; 0 where there is none.
    pub write: u32,
}

/// The list as it was decoded last: again only when it was written since.
#[derive(Debug, Default)]
pub struct LastSightings(RefCell<Rc<Sightings>>);

impl SeenTools {
    /// There is a list of tools.
    pub fn lists(&mut self) {
        self.lists = true;
    }

    /// Whether another tool of this name and pin is remembered.
    #[must_use]
    pub fn has_room(&self, tool: &str, pin: Option<&ToolPin>) -> bool {
        pin.is_some() || self.unpinned < MOST_UNPINNED || self.tools.contains_key(tool)
    }

    /// Remembers a tool as it is seen now.
    pub fn add(&mut self, seen: wire::ToolSighting, pin: Option<&ToolPin>) {
        let is_new = self.tools.insert(seen.tool.clone(), seen).is_none();
        if is_new && pin.is_none() {
            self.unpinned = self.unpinned.saturating_add(1);
        }
    }

    /// Takes what was seen since, if there was a list.
    pub fn take(&mut self) -> Option<Vec<wire::ToolSighting>> {
        let Self { tools, lists, .. } = std::mem::take(self);
        lists.then(|| tools.into_values().collect())
    }
}

/// Creates the lists, once in a process: workers change only what is there.
///
/// # Errors
/// When the host refuses it.
pub fn begin<S: SharedStore>(store: &S) -> Result<(), NotStored> {
    for (name, empty) in [
        (layout::SIGHTINGS, encode(&KnownTools::default())),
        (layout::DEFINITIONS, encode(&Definitions::default())),
    ] {
        if store.get(name).is_none() {
            store.put(name, &empty)?;
        }
    }
    Ok(())
}

/// The number of the list's last write: it changes with the list. 0 where there is none.
pub fn last_write<S: SharedStore>(store: &S) -> u32 {
    store.get(layout::SIGHTINGS).map_or(0, |stored| stored.write)
}

/// The tools that were seen.
pub fn read<S: SharedStore>(store: &S) -> Sightings {
    let Some(stored) = store.get(layout::SIGHTINGS) else { return Sightings::default() };
    Sightings { tools: decode::<KnownTools>(&stored).tools, write: stored.write }
}

/// The same tools with their definitions, where those are still there: the first, and as many as fit behind it.
pub fn with_definitions<S: SharedStore>(
    store: &S,
    mut tools: Vec<wire::ToolSighting>,
    most_bytes: usize,
) -> Vec<wire::ToolSighting> {
    if tools.is_empty() {
        return tools;
    }
    let kept: Definitions = store.get(layout::DEFINITIONS).map(|stored| decode(&stored)).unwrap_or_default();
    let of_hash = kept.definitions.iter().map(|kept| (kept.hash.as_slice(), kept.text.as_str()));
    let of_hash: BTreeMap<_, _> = of_hash.collect();
    let (mut fit, mut bytes) = (0_usize, 0_usize);
    for tool in &mut tools {
        tool.definition = of_hash.get(tool.hash.as_slice()).copied().unwrap_or_default().to_owned();
        bytes = bytes.saturating_add(tool.encoded_len());
        if fit > 0 && bytes > most_bytes {
            break;
        }
        fit = fit.saturating_add(1);
    }
    tools.truncate(fit);
    tools
}

impl LastSightings {
    pub fn read<S: SharedStore>(&self, store: &S) -> Rc<Sightings> {
        let mut last = self.0.borrow_mut();
        let stored = store.get(layout::SIGHTINGS);
        let write = stored.as_ref().map_or(0, |stored| stored.write);
        if last.write != write {
            let tools = stored.map(|stored| decode::<KnownTools>(&stored).tools).unwrap_or_default();
            *last = Rc::new(Sightings { tools, write });
        }
        Rc::clone(&last)
    }
}

impl Sightings {
    /// Whether a gate of this process has seen another definition than the approved one since that was approved.
    #[must_use]
    pub fn have_changed(&self, server: &str, tool: &str, pin: &ToolPin) -> bool {
        self.tools.iter().any(|seen| {
            seen.server == server
                && seen.tool == tool
                && is_about(seen, Some(pin))
                && !is_as_approved(seen, Some(pin))
        })
    }
}

/// Whether it says nothing any more: it is of a tool without a pin, and was seen too long ago.
pub fn is_outdated(seen: &wire::ToolSighting, now: UnixMs) -> bool {
    seen.pinned_hash.is_empty() && now.0.saturating_sub(seen.at_ms) > UNPINNED_MS
}

/// Whether it says something of this pin.
fn is_about(seen: &wire::ToolSighting, pin: Option<&ToolPin>) -> bool {
    basis(seen) == pin_basis(pin)
}

/// A pin as sightings name it: its fingerprint, whether it is quarantined, and when it was approved.
type Basis<'a> = (&'a [u8], bool, i64);

fn basis(seen: &wire::ToolSighting) -> Basis<'_> {
    (&seen.pinned_hash, seen.pinned_changed, seen.pinned_approved_at_ms)
}

fn pin_basis(pin: Option<&ToolPin>) -> Basis<'_> {
    pin.map_or((&[], false, 0), |pin| (&pin.hash.0, pin.is_changed, pin.approved_at.0))
}

fn is_as_approved(seen: &wire::ToolSighting, pin: Option<&ToolPin>) -> bool {
    let is_clear = seen.form() != DefinitionForm::Unreadable;
    is_clear && pin.is_some_and(|pin| !pin.is_changed && seen.hash == pin.hash.0)
}

/// A tool as it was seen just now.
#[must_use]
pub fn sighting(
    server: &str,
    tool: &str,
    hash: ToolHash,
    form: DefinitionForm,
    definition: String,
) -> wire::ToolSighting {
    wire::ToolSighting {
        server: server.to_owned(),
        tool: tool.to_owned(),
        hash: hash.0.to_vec(),
        definition,
        form: form.into(),
        ..wire::ToolSighting::default()
    }
}

/// A sighting beside the pin in force, which may be another one than that of its answer; none where it is as it was
/// approved.
fn beside(mut seen: wire::ToolSighting, pins: &ToolPins) -> Option<wire::ToolSighting> {
    let pin = pins.get(&seen.tool);
    if is_as_approved(&seen, pin) {
        return None;
    }
    let (hash, is_changed, approved_at_ms) = pin_basis(pin);
    seen.pinned_hash = hash.to_vec();
    seen.pinned_changed = is_changed;
    seen.pinned_approved_at_ms = approved_at_ms;
    Some(seen)
}

/// Notes what was seen just now of a server's tools, and forgets what was seen under pins that are not in force any
/// more. Where the host fails, the next list tells it again.
///
/// `server` is as the catalogue has it now: a stream may be older than a pin. `is_pinned`: whether there is a server of
/// this name whose tools are pinned.
pub fn note<S: SharedStore>(
    store: &S,
    server: &McpServer,
    is_pinned: impl Fn(&str) -> bool,
    seen: Vec<wire::ToolSighting>,
    now: UnixMs,
) {
    let Some(pins) = &server.pins else { return };
    let is_stale = |known: &wire::ToolSighting| match known.server == server.name {
        true => is_outdated(known, now) || !is_about(known, pins.get(&known.tool)),
        false => is_outdated(known, now) || !is_pinned(&known.server),
    };
    let known = read(store).tools;
    let seen: Vec<_> = seen.into_iter().filter_map(|seen| beside(seen, pins)).collect();
    let mut due = news(&known, &server.name, seen, now);
    if due.is_empty() && !known.iter().any(is_stale) {
        return;
    }
    let mut new = Vec::new();
    for due in &mut due {
        due.at_ms = now.0;
        let text = std::mem::take(&mut due.definition);
        if !text.is_empty() {
            let (hash, is_pinned) = (due.hash.clone(), !due.pinned_hash.is_empty());
            new.push(Definition { hash, text, server: server.name.clone(), is_pinned });
        }
    }
    let listed = known.iter().filter(|known| !is_stale(known)).chain(&due);
    let listed: BTreeSet<_> = listed.map(|it| (it.server.as_str(), it.hash.as_slice())).collect();
    // First, so that whoever reads of a tool finds its definition.
    change(store, layout::DEFINITIONS, |kept: &mut Definitions| {
        kept.definitions.retain(|kept| listed.contains(&(kept.server.as_str(), kept.hash.as_slice())));
        keep_definitions(&mut kept.definitions, &new, &server.name);
    });
    change(store, layout::SIGHTINGS, |kept: &mut KnownTools| {
        let kept = &mut kept.tools;
        kept.retain(|known| !is_stale(known));
        // Another worker may have been faster.
        let due = news(kept, &server.name, due.clone(), now);
        let names: BTreeSet<_> = due.iter().map(|due| due.tool.as_str()).collect();
        kept.retain(|known| known.server != server.name || !names.contains(known.tool.as_str()));
        kept.extend(due.iter().cloned());
        let is_unpinned =
            |known: &wire::ToolSighting| known.server == server.name && known.pinned_hash.is_empty();
        let unpinned = kept.iter().filter(|known| is_unpinned(known)).count();
        let mut beyond = unpinned.saturating_sub(MOST_UNPINNED);
        kept.retain(|known| {
            let goes = beyond > 0 && is_unpinned(known);
            beyond = beyond.saturating_sub(usize::from(goes));
            !goes
        });
    });
}

/// What is worth telling beside what is known. Of tools without pins only what there is room for: none of them makes
/// room for another that was told within [`NEWS_MS`], and no more than [`MOST_LISTS`] lists tell some within that.
fn news(
    known: &[wire::ToolSighting],
    server: &str,
    mut seen: Vec<wire::ToolSighting>,
    now: UnixMs,
) -> Vec<wire::ToolSighting> {
    let known = by_name(known, server);
    let is_recent = |known: &&&wire::ToolSighting| {
        known.pinned_hash.is_empty() && (0..NEWS_MS).contains(&now.0.saturating_sub(known.at_ms))
    };
    let recent: Vec<_> = known.values().filter(is_recent).map(|known| known.at_ms).collect();
    let mut room = MOST_UNPINNED.saturating_sub(recent.len());
    if recent.into_iter().collect::<BTreeSet<_>>().len() >= MOST_LISTS {
        room = 0;
    }
    seen.retain(|seen| {
        if !is_news(seen, known.get(seen.tool.as_str()).copied(), now) {
            return false;
        }
        let has_room = !seen.pinned_hash.is_empty() || room > 0;
        room = room.saturating_sub(usize::from(seen.pinned_hash.is_empty()));
        has_room
    });
    seen
}

/// Adds a server's definitions, and drops the oldest of that server until the rest fits.
fn keep_definitions(kept: &mut Vec<Definition>, new: &[Definition], server: &str) {
    let hashes: BTreeSet<_> = new.iter().map(|new| new.hash.as_slice()).collect();
    kept.retain(|kept| kept.server != server || !hashes.contains(kept.hash.as_slice()));
    kept.extend(new.iter().cloned());
    let of_server = kept.iter().filter(|kept| kept.server == server);
    let bytes: usize = of_server.map(|kept| kept.text.len()).fold(0, usize::saturating_add);
    let mut beyond = bytes.saturating_sub(MOST_BYTES);
    for is_pinned in [false, true] {
        kept.retain(|kept| {
            let goes = beyond > 0 && kept.server == server && kept.is_pinned == is_pinned;
            if goes {
                beyond = beyond.saturating_sub(kept.text.len());
            }
            !goes
        });
    }
}

/// What is known of a server's tools, by their names.
fn by_name<'a>(known: &'a [wire::ToolSighting], server: &str) -> BTreeMap<&'a str, &'a wire::ToolSighting> {
    let of_server = known.iter().filter(|known| known.server == server);
    of_server.map(|known| (known.tool.as_str(), known)).collect()
}

/// Whether what is seen now is worth telling beside what is known of the tool.
fn is_news(seen: &wire::ToolSighting, known: Option<&wire::ToolSighting>, now: UnixMs) -> bool {
    let Some(known) = known else { return true };
    if basis(seen) != basis(known) {
        return true;
    }
    let rest_ms = if seen.hash == known.hash { SEEN_AGAIN_MS } else { CHANGED_AGAIN_MS };
    // A clock that was set back does not make it longer.
    !(0..rest_ms).contains(&now.0.saturating_sub(known.at_ms))
}

fn change<S: SharedStore, M: prost::Message + Default + Clone + PartialEq>(
    store: &S,
    name: &str,
    edit: impl Fn(&mut M),
) {
    for _ in 0..MOST_TRIES {
        let Some(stored) = store.get(name) else { return };
        let before: M = decode(&stored);
        let mut after = before.clone();
        edit(&mut after);
        if after == before {
            return;
        }
        match store.swap(name, &encode(&after), stored.write) {
            Swap::Changed => {}
            Swap::Done | Swap::Failed => return,
        }
    }
}

fn encode(message: &impl prost::Message) -> Vec<u8> {
    layout::encode_resource(Generation(0), &message.encode_to_vec())
}

fn decode<M: prost::Message + Default>(stored: &Stored) -> M {
    let resource = layout::decode_resource(&stored.bytes).map(|(_, resource)| resource);
    resource.and_then(|resource| M::decode(resource).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
