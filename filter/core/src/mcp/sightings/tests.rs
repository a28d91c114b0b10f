use latchkey_proto::discovery as discovery_wire;
use proptest::prelude::*;

use super::*;
use crate::testing::{self, TestMemory};

const A: ToolHash = ToolHash([1; 32]);
const B: ToolHash = ToolHash([2; 32]);
const C: ToolHash = ToolHash([3; 32]);

fn store() -> TestMemory {
    let store = TestMemory::default();
    begin(&store).unwrap();
    store
}

/// When the tools of [`server`] were approved.
const APPROVED: i64 = 500;

fn pin(hash: ToolHash, approved_at: i64) -> ToolPin {
    ToolPin { hash, is_changed: false, approved_at: UnixMs(approved_at) }
}

/// A server of this name with these pins.
fn server(name: &str, pins: &[(&str, ToolPin)]) -> McpServer {
    let pin = |(tool, pin): &(&str, ToolPin)| discovery_wire::McpPin {
        tool: (*tool).to_owned(),
        hash: pin.hash.0.to_vec(),
        changed: pin.is_changed,
        approved_at_ms: pin.approved_at.0,
    };
    let pins = pins.iter().map(pin).collect();
    let pins = Some(discovery_wire::McpPins { pins, trust_first_use: false });
    McpServer::try_from(discovery_wire::McpServer { pins, ..testing::mcp_server(name) }).unwrap()
}

fn github(pins: &[(&str, ToolPin)]) -> McpServer {
    server("github", pins)
}

fn seen_as(server: &McpServer, tool: &str, hash: ToolHash) -> wire::ToolSighting {
    sighting(&server.name, tool, hash, DefinitionForm::Clear, format!("{{{hash}}}"))
}

/// Notes it where all servers are pinned.
fn note(store: &TestMemory, server: &McpServer, seen: Vec<wire::ToolSighting>, now: UnixMs) {
    super::note(store, server, |_| true, seen, now);
}

fn see(store: &TestMemory, server: &McpServer, tool: &str, hash: ToolHash, now: i64) {
    note(store, server, vec![seen_as(server, tool, hash)], UnixMs(now));
}

fn has_changed(store: &TestMemory, server: &str, tool: &str, pin: &ToolPin) -> bool {
    read(store).have_changed(server, tool, pin)
}

/// The fingerprint of a tool that is one of many.
fn hash_of(n: usize) -> ToolHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    ToolHash(hash)
}

/// A list of so many tools without pins, whose numbers begin with this one.
fn new_tools(server: &McpServer, first: usize, count: usize) -> Vec<wire::ToolSighting> {
    (first..first + count).map(|n| seen_as(server, &format!("new-{n}"), hash_of(n))).collect()
}

/// The tools without pins that are listed, and the definitions that are kept.
fn kept(store: &TestMemory) -> (Vec<String>, usize) {
    let definitions: Definitions = decode(&store.get(layout::DEFINITIONS).unwrap());
    let unpinned = read(store).tools.into_iter().filter(|it| it.pinned_hash.is_empty());
    (unpinned.map(|it| it.tool).collect(), definitions.definitions.len())
}

/// Each tool with the first byte of its fingerprint and its definition.
fn seen(store: &TestMemory) -> Vec<(String, u8, String)> {
    let tools = with_definitions(store, read(store).tools, usize::MAX);
    tools.into_iter().map(|seen| (seen.tool, seen.hash[0], seen.definition)).collect()
}

#[test]
fn a_changed_tool_is_changed_for_every_gate_until_its_pin_is_another() {
    let store = store();
    let approved = pin(A, APPROVED);
    let server = github(&[("add", approved), ("other", approved)]);
    assert!(!has_changed(&store, "github", "add", &approved));
    see(&store, &server, "add", B, 1_000);
    assert!(has_changed(&store, "github", "add", &approved));
    assert!(!has_changed(&store, "github", "other", &approved));
    assert!(!has_changed(&store, "docs", "add", &approved));
    assert!(!has_changed(&store, "github", "add", &pin(B, 1_500)));
    assert_eq!(seen(&store), [("add".to_owned(), 2, format!("{{{B}}}"))]);
    see(&store, &server, "add", A, 2_000);
    assert!(has_changed(&store, "github", "add", &approved), "it changed back, and nobody has looked");
}

#[test]
fn what_was_seen_before_an_approval_says_nothing_of_it() {
    let store = store();
    let first = pin(A, 500);
    see(&store, &github(&[("add", first)]), "add", B, 1_000);
    // B was approved, and then A again.
    let again = pin(A, 3_000);
    assert!(has_changed(&store, "github", "add", &first));
    assert!(!has_changed(&store, "github", "add", &again));
    note(&store, &github(&[("add", again)]), vec![], UnixMs(3_500));
    assert_eq!(seen(&store), [], "the next list forgets it");
    see(&store, &github(&[("add", again)]), "add", B, 4_000);
    assert!(has_changed(&store, "github", "add", &again), "it changed again");
}

#[test]
fn an_unreadable_definition_is_a_change_whatever_was_approved() {
    let store = store();
    let approved = pin(A, APPROVED);
    let server = github(&[("add", approved)]);
    let unreadable = sighting("github", "add", A, DefinitionForm::Unreadable, String::new());
    note(&store, &server, vec![unreadable], UnixMs(1_000));
    assert!(has_changed(&store, "github", "add", &approved));
}

#[test]
fn a_tool_that_always_changes_is_told_now_and_then() {
    let store = store();
    let pinned = github(&[("add", pin(A, APPROVED))]);
    let mut writes = 0;
    for n in 10..110 {
        let before = last_write(&store);
        see(&store, &pinned, "add", ToolHash([n; 32]), 1_000 + i64::from(n) * 1_000);
        writes += u32::from(last_write(&store) != before);
    }
    assert_eq!(writes, 10);
    let unpinned = github(&[]);
    see(&store, &unpinned, "add", B, 111_000);
    assert_eq!(seen(&store)[0].1, 2, "what is said of another pin is told at once");
    let before = last_write(&store);
    see(&store, &unpinned, "add", B, 160_000);
    assert_eq!(last_write(&store), before);
    see(&store, &unpinned, "add", B, 171_000);
    assert_ne!(last_write(&store), before, "it is still there");
    see(&store, &unpinned, "add", C, 5);
    assert_eq!(seen(&store)[0].1, 3, "the clock was set back");
}

#[test]
fn no_number_of_new_tools_hides_a_change_or_another_servers_tools() {
    let store = store();
    let approved = pin(A, APPROVED);
    let (ours, other) = (github(&[("add", approved)]), server("docs", &[]));
    see(&store, &other, "search", B, 1_000);
    see(&store, &ours, "add", B, 1_001);
    for list in 0..3 {
        let junk = |n: usize| {
            let text = if n.is_multiple_of(8) { "x".repeat(60 << 10) } else { String::new() };
            let hash = hash_of(1_000 * list + n);
            sighting("github", &format!("junk-{list}-{n}"), hash, DefinitionForm::Clear, text)
        };
        let now = UnixMs(2_000 + i64::try_from(list).unwrap() * NEWS_MS);
        note(&store, &ours, (0..600).map(junk).collect(), now);
    }
    assert!(has_changed(&store, "github", "add", &approved));
    let kept = read(&store).tools;
    let unpinned = kept.iter().filter(|it| it.server == "github" && it.pinned_hash.is_empty()).count();
    assert_eq!((unpinned, kept.len()), (MOST_UNPINNED, MOST_UNPINNED + 2));
    let seen = seen(&store);
    let told = |tool: &str| seen.iter().find(|(name, ..)| name == tool).unwrap().2.clone();
    assert_eq!((told("add"), told("search")), (format!("{{{B}}}"), format!("{{{B}}}")));
    let definitions: Definitions = decode(&store.get(layout::DEFINITIONS).unwrap());
    let of_server = definitions.definitions.iter().filter(|it| it.server == "github");
    assert!(of_server.map(|it| it.text.len()).sum::<usize>() <= MOST_BYTES);
}

#[test]
fn definitions_are_as_many_as_the_tools_that_are_listed() {
    let (store, server) = (store(), github(&[]));
    for list in 0..10 {
        // Each list comes after the rest of the one before, and shows other tools.
        let now = UnixMs(i64::try_from(list).unwrap() * (NEWS_MS + 1));
        note(&store, &server, new_tools(&server, list * MOST_UNPINNED, MOST_UNPINNED), now);
        let (listed, definitions) = kept(&store);
        assert_eq!(listed.len(), MOST_UNPINNED);
        assert!(listed.contains(&format!("new-{}", list * MOST_UNPINNED)), "the newest are listed");
        assert!(definitions <= 2 * MOST_UNPINNED, "{definitions}");
    }
    assert!(seen(&store).iter().all(|(.., definition)| !definition.is_empty()), "all have theirs");
}

#[test]
fn new_tools_are_told_at_a_rate_that_all_of_a_server_share() {
    let (store, server) = (store(), github(&[("add", pin(A, APPROVED))]));
    note(&store, &server, new_tools(&server, 0, MOST_UNPINNED), UnixMs(1_000));
    let write = last_write(&store);
    for n in 1..100 {
        note(&store, &server, new_tools(&server, n * 1_000, 500), UnixMs(1_000 + n as i64));
    }
    assert_eq!(last_write(&store), write, "there is no room for others");
    see(&store, &server, "add", B, 1_200);
    assert!(has_changed(&store, "github", "add", &pin(A, APPROVED)), "a change is told at once");
    note(&store, &server, new_tools(&server, 7_000, 1), UnixMs(1_000 + NEWS_MS));
    assert_eq!(kept(&store).0.last().map(String::as_str), Some("new-7000"), "the oldest makes room");
    // One by one, they are told with so many lists.
    let (store, other) = (self::store(), self::server("docs", &[]));
    for n in 0..100 {
        note(&store, &server, new_tools(&server, n, 1), UnixMs(1_000 + n as i64));
        note(&store, &other, new_tools(&other, n, 1), UnixMs(1_000 + n as i64));
    }
    assert_eq!(kept(&store).0.len(), 2 * MOST_LISTS, "each server has its own");
    note(&store, &server, new_tools(&server, 0, 100), UnixMs(1_000 + NEWS_MS));
    assert_eq!(kept(&store).0.len(), 100 + MOST_LISTS);
}

#[test]
fn a_tool_without_a_pin_is_forgotten_soon_after_it_was_seen_last() {
    let (store, approved) = (store(), pin(A, APPROVED));
    let server = github(&[("add", approved)]);
    see(&store, &server, "add", B, 1_000);
    see(&store, &server, "gone", B, 1_000);
    for now in (1_000..=1_000 + UNPINNED_MS).step_by(60_000) {
        see(&store, &server, "stays", C, now);
        note(&store, &server, vec![], UnixMs(now));
    }
    assert_eq!(kept(&store).0, ["gone", "stays"]);
    let now = UnixMs(1_001 + UNPINNED_MS);
    let outdated = read(&store).tools.into_iter().filter(|it| is_outdated(it, now));
    assert_eq!(outdated.map(|it| it.tool).collect::<Vec<_>>(), ["gone"]);
    note(&store, &server, vec![], now);
    assert_eq!(kept(&store).0, ["stays"]);
    note(&store, &server, vec![], UnixMs(100 * UNPINNED_MS));
    assert!(has_changed(&store, "github", "add", &approved), "a change is never forgotten");
}

#[test]
fn nothing_is_kept_of_a_server_that_is_gone_or_not_pinned_any_more() {
    let (store, approved) = (store(), pin(A, APPROVED));
    let (ours, other) = (github(&[("add", approved)]), server("docs", &[("add", approved)]));
    for server in [&ours, &other] {
        see(&store, server, "add", B, 1_000);
        see(&store, server, "new", C, 1_000);
    }
    super::note(&store, &ours, |server| server == "github", vec![], UnixMs(2_000));
    assert!(read(&store).tools.iter().all(|it| it.server == "github"));
    assert_eq!((read(&store).tools.len(), kept(&store).1), (2, 2));
}

#[test]
fn the_list_is_decoded_again_where_it_was_written_since() {
    let (store, last) = (TestMemory::default(), LastSightings::default());
    assert_eq!(last.read(&store).tools.len(), 0);
    begin(&store).unwrap();
    let before = last.read(&store);
    assert!(Rc::ptr_eq(&before, &last.read(&store)));
    see(&store, &github(&[]), "add", B, 1_000);
    assert_eq!(last.read(&store).tools.len(), 1);
}

#[test]
fn workers_do_not_lose_what_another_sees() {
    let store = store();
    store.interrupt(|store| see(store, &github(&[]), "other", B, 1_000));
    see(&store, &github(&[]), "add", C, 1_000);
    let tools: Vec<_> = seen(&store).into_iter().map(|(tool, ..)| tool).collect();
    assert_eq!(tools, ["other", "add"]);
}

#[test]
fn without_the_sync_role_nothing_is_kept() {
    let store = TestMemory::default();
    see(&store, &github(&[("add", pin(A, APPROVED))]), "add", B, 1_000);
    assert_eq!((store.entries(), last_write(&store)), (0, 0));
}

proptest! {
    /// Whatever one list shows, and in which order, every changed tool that is pinned is known to have changed.
    #[test]
    fn every_change_of_a_pinned_tool_is_noted(
        shown in prop::collection::vec((0_u16..900, 1_u8..4), 0..1_500),
        pinned in prop::collection::btree_set(0_u16..900, 0..40),
    ) {
        let store = store();
        let names: Vec<_> = pinned.iter().map(|n| format!("t{n}")).collect();
        let approved = pin(A, APPROVED);
        let server = github(&names.iter().map(|name| (name.as_str(), approved)).collect::<Vec<_>>());
        let pins = server.pins.as_ref().unwrap();
        let mut seen = SeenTools::default();
        seen.lists();
        for (n, version) in &shown {
            let name = format!("t{n}");
            let pin = pins.get(&name);
            let is_as_approved = pin.is_some() && *version == 1;
            if !is_as_approved && seen.has_room(&name, pin) {
                seen.add(seen_as(&server, &name, ToolHash([*version; 32])), pin);
            }
        }
        note(&store, &server, seen.take().unwrap(), UnixMs(1_000));
        for n in &pinned {
            let is_changed = shown.iter().any(|(shown, version)| shown == n && *version != 1);
            prop_assert_eq!(has_changed(&store, "github", &format!("t{n}"), &approved), is_changed);
        }
        let unpinned = read(&store).tools.iter().filter(|it| it.pinned_hash.is_empty()).count();
        prop_assert!(unpinned <= MOST_UNPINNED);
    }
}
