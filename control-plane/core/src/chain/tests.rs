use proptest::prelude::*;
use proptest::sample::Index;

use super::{Anchor, AuditEntry, AuditLink, ChainFault, ChainHead, ChainWalk, Hash};

fn entry() -> impl Strategy<Value = AuditEntry> {
    (any::<i64>(), prop::collection::vec("[a-cé]{0,3}", 10)).prop_map(|(at_ms, texts)| {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap();
        AuditEntry {
            at_ms,
            actor_kind: next(),
            actor_id: next(),
            actor_name: next(),
            client_address: next(),
            action: next(),
            subject_kind: next(),
            subject_id: next(),
            subject_name: next(),
            app_id: next(),
            data: next(),
        }
    })
}

fn chain(entries: Vec<AuditEntry>) -> Vec<AuditLink> {
    let mut previous = Hash::START;
    let link = |(number, entry): (i64, AuditEntry)| {
        let hash = entry.hash(number, previous);
        let link = AuditLink { number, entry, previous: previous.0.to_vec(), hash: hash.0.to_vec() };
        previous = hash;
        link
    };
    (1..).zip(entries).map(link).collect()
}

fn chains() -> impl Strategy<Value = Vec<AuditLink>> {
    prop::collection::vec(entry(), 1..12).prop_map(chain)
}

fn head(links: &[AuditLink]) -> ChainHead {
    let last = links.last().map(|link| (link.number, link.hash.clone()));
    let (number, hash) = last.unwrap_or((0, Hash::START.0.to_vec()));
    ChainHead { number, hash, last: number }
}

fn check(links: &[AuditLink], head: &ChainHead, anchor: Option<Anchor>) -> Result<Anchor, ChainFault> {
    let mut walk = ChainWalk::new(anchor);
    links.iter().try_for_each(|link| walk.follow(link))?;
    walk.end_at(head)
}

fn anchor(link: &AuditLink) -> Anchor {
    Anchor { number: link.number, hash: Hash::try_from(link.hash.as_slice()).unwrap() }
}

/// Changes one of the 14 columns to something else.
fn change(link: &mut AuditLink, column: usize) {
    let AuditLink { number, entry, previous, hash } = link;
    let texts = [
        &mut entry.actor_kind,
        &mut entry.actor_id,
        &mut entry.actor_name,
        &mut entry.client_address,
        &mut entry.action,
        &mut entry.subject_kind,
        &mut entry.subject_id,
        &mut entry.subject_name,
        &mut entry.app_id,
        &mut entry.data,
    ];
    match column {
        0 => *number = number.wrapping_add(1),
        1 => entry.at_ms = entry.at_ms.wrapping_add(1),
        2 => previous[7] ^= 1,
        3 => hash[7] ^= 1,
        column => {
            let text = texts.into_iter().nth(column - 4).unwrap();
            if text.pop().is_none() {
                text.push('x');
            }
        }
    }
}

proptest! {
    #[test]
    fn an_untouched_chain_is_whole_and_tells_its_head(links in chains(), at: Index) {
        let last = anchor(links.last().unwrap());
        prop_assert_eq!(check(&links, &head(&links), None), Ok(last));
        prop_assert_eq!(check(&links, &head(&links), Some(anchor(at.get(&links)))), Ok(last));
    }

    #[test]
    fn any_change_of_any_column_is_found_where_it_was_made(mut links in chains(), at: Index, column in 0..14usize) {
        let head = head(&links);
        let at = at.index(links.len());
        change(&mut links[at], column);
        let number = at as i64 + 1;
        let expected = match column {
            0 => ChainFault::Missing { from: number, to: number },
            2 => ChainFault::Unlinked { number },
            _ => ChainFault::Changed { number },
        };
        prop_assert_eq!(check(&links, &head, None), Err(expected));
    }

    #[test]
    fn a_change_with_its_hash_made_to_fit_is_found_at_the_next(mut links in chains(), at: Index, column in 4..14usize) {
        let head = head(&links);
        let at = at.index(links.len());
        let previous = Hash::try_from(links[at].previous.as_slice()).unwrap();
        change(&mut links[at], column);
        links[at].hash = links[at].entry.hash(links[at].number, previous).0.to_vec();
        let number = at as i64 + 1;
        let expected = if at + 1 == links.len() { ChainFault::Head { number } } else { ChainFault::Unlinked { number: number + 1 } };
        prop_assert_eq!(check(&links, &head, None), Err(expected));
    }

    #[test]
    fn a_removal_is_found_and_named(mut links in chains(), at: Index) {
        let head = head(&links);
        let at = at.index(links.len());
        links.remove(at);
        let number = at as i64 + 1;
        let expected = if at == links.len() { ChainFault::CutOff { from: number, to: number } } else { ChainFault::Missing { from: number, to: number } };
        prop_assert_eq!(check(&links, &head, None), Err(expected));
    }

    #[test]
    fn a_cut_off_end_is_found_by_the_head_and_with_the_head_by_an_anchor(links in chains(), at: Index) {
        let kept = at.index(links.len());
        let cut = &links[..kept];
        let (from, to) = (kept as i64 + 1, links.len() as i64);
        prop_assert_eq!(check(cut, &head(&links), None), Err(ChainFault::CutOff { from, to }));
        prop_assert!(check(cut, &head(cut), None).is_ok(), "the head was set back with it");
        let kept = anchor(links.last().unwrap());
        let expected = ChainFault::NoAnchor { number: to, from: 1, to: from - 1 };
        prop_assert_eq!(check(cut, &head(cut), Some(kept)), Err(expected));
    }

    #[test]
    fn entries_that_change_places_are_found(links in chains(), a: Index, b: Index, renumbered: bool) {
        let (a, b) = (a.index(links.len()), b.index(links.len()));
        prop_assume!(a != b);
        let mut swapped = links.clone();
        swapped.swap(a, b);
        if renumbered {
            (swapped[a].number, swapped[b].number) = (links[a].number, links[b].number);
        }
        prop_assert!(check(&swapped, &head(&links), None).is_err());
    }

    #[test]
    fn entries_beyond_the_head_are_found(links in chains(), back in 1..12i64) {
        let known = links.len() as i64 - back.min(links.len() as i64);
        let mut stale = head(&links[..known as usize]);
        prop_assert_eq!(check(&links, &stale, None), Err(ChainFault::Beyond { last: links.len() as i64, head: known }));
        stale.last = links.len() as i64;
        let walked = &links[..known as usize];
        prop_assert_eq!(check(walked, &stale, None), Err(ChainFault::Beyond { last: links.len() as i64, head: known }));
    }

    #[test]
    fn a_chain_written_anew_is_found_by_an_anchor_from_the_change_on(links in chains(), at: Index, kept: Index, column in 4..14usize) {
        let (at, kept) = (at.index(links.len()), kept.index(links.len()));
        let mut forged = links.clone();
        change(&mut forged[at], column);
        let forged = chain(forged.into_iter().map(|link| link.entry).collect());
        prop_assert!(check(&forged, &head(&forged), None).is_ok(), "nothing in it tells");
        let outcome = check(&forged, &head(&forged), Some(anchor(&links[kept])));
        if kept < at {
            prop_assert!(outcome.is_ok());
        } else {
            prop_assert_eq!(outcome, Err(ChainFault::Anchor { number: kept as i64 + 1 }));
        }
    }

    #[test]
    fn a_part_of_the_chain_is_checked_from_its_first_entry(links in chains(), at: Index, column in 1..14usize) {
        let from = at.index(links.len());
        let mut part = links[from..].to_vec();
        let check = |part: &[AuditLink]| {
            let mut walk = ChainWalk::from(&part[0], None)?;
            part.iter().try_for_each(|link| walk.follow(link))?;
            walk.end()
        };
        prop_assert_eq!(check(&part), Ok(anchor(links.last().unwrap())));
        let last = part.len() - 1;
        change(&mut part[last], column);
        prop_assert!(check(&part).is_err());
    }

    #[test]
    fn an_export_reads_back_as_it_was(links in chains()) {
        let text = serde_json::to_string(&links).unwrap();
        prop_assert_eq!(serde_json::from_str::<Vec<AuditLink>>(&text).unwrap(), links);
    }

    #[test]
    fn anchors_are_read_as_they_are_printed(number in 0..i64::MAX, bytes: [u8; 32]) {
        let anchor = Anchor { number, hash: Hash(bytes) };
        prop_assert_eq!(anchor.to_string().parse(), Ok(anchor));
    }
}

#[test]
fn text_does_not_move_from_field_to_field() {
    let a = AuditEntry { actor_kind: "user".into(), actor_id: "1".into(), ..AuditEntry::default() };
    let b = AuditEntry { actor_kind: "use".into(), actor_id: "r1".into(), ..AuditEntry::default() };
    assert_ne!(a.hash(1, Hash::START), b.hash(1, Hash::START));
}

/// Computed by another program from the documentation alone.
#[test]
fn the_hash_is_the_documented_one() {
    let entry = AuditEntry {
        at_ms: 1_767_225_600_000,
        actor_kind: "user".into(),
        actor_id: "7".into(),
        actor_name: "älice@acme.com".into(),
        client_address: "10.0.0.1".into(),
        action: "key.revoked".into(),
        subject_kind: "key".into(),
        subject_id: "k".into(),
        subject_name: "laptop".into(),
        app_id: "a".into(),
        data: "{}".into(),
    };
    let first = entry.hash(1, Hash::START);
    assert_eq!(first.to_string(), "ea1d55d6180158c07adaf922267085ad0465e29c1800c71110898a284fa33249");
    assert_eq!(
        entry.hash(2, first).to_string(),
        "2a998675c43ca72004404f1efa06c73dd4b1880da6461e56b35d7ca6e10d8fa3"
    );
}

#[test]
fn an_empty_log_is_whole_unless_its_head_or_an_anchor_says_otherwise() {
    assert_eq!(check(&[], &head(&[]), None), Ok(Anchor::START));
    assert_eq!(check(&[], &head(&[]), Some(Anchor::START)), Ok(Anchor::START));
    let head = ChainHead { number: 3, ..head(&[]) };
    assert_eq!(check(&[], &head, None), Err(ChainFault::CutOff { from: 1, to: 3 }));
}

#[test]
fn texts_that_are_no_anchor_are_refused() {
    for text in ["", "1", "1:", ":00", "x:00", "1:0g", "-1:00", &format!("1:{}0", "00".repeat(32))] {
        assert!(text.parse::<Anchor>().is_err(), "{text}");
    }
}
