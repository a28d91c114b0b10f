//! Which texts of a request a detector is asked about.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::content::{Place, Replacement, Role, TextEditor};

/// How many texts one detector is asked about.
const MOST_TEXTS: usize = 2_000;

/// A text that a detector is asked about.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct AskedText {
    pub text: Rc<str>,
    /// How much of it is sent, in bytes.
    pub sent: usize,
    pub role: Role,
}

/// The texts of a request, each once, in their order.
#[derive(Default)]
pub(super) struct TextCollector {
    texts: Vec<CollectedText>,
    /// The position of each.
    known: HashMap<Rc<str>, usize>,
}

struct CollectedText {
    text: Rc<str>,
    role: Role,
    /// Whether it stands somewhere after the last answer of the model.
    is_new: bool,
}

impl AskedText {
    /// What the detector gets to see.
    pub(super) fn shown(&self) -> &str {
        self.text.get(..self.sent).unwrap_or(&self.text)
    }
}

/// The text may be what must not be printed.
impl std::fmt::Debug for AskedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a text of {} bytes", self.text.len())
    }
}

impl TextCollector {
    /// How many texts there are, or new ones.
    pub(super) fn count(&self, only_new: bool) -> usize {
        self.texts.iter().filter(|text| text.is_new || !only_new).count()
    }

    /// The texts to ask about, and how many are left out or cut since there is no room for all: those of earlier
    /// turns first, and of them the oldest.
    pub(super) fn choose(&self, only_new: bool, most_bytes: usize) -> (Vec<AskedText>, usize) {
        let new = self.texts.iter().enumerate().filter(|(_, text)| text.is_new);
        let old = self.texts.iter().enumerate().filter(|(_, text)| !text.is_new && !only_new);
        let (mut chosen, mut beyond, mut room) = (Vec::new(), 0_usize, most_bytes);
        for (position, CollectedText { text, role, .. }) in new.chain(old.rev()) {
            let sent = if chosen.len() < MOST_TEXTS { text.floor_char_boundary(room) } else { 0 };
            if sent < text.len() {
                beyond = beyond.saturating_add(1);
                room = 0;
            }
            room = room.saturating_sub(sent);
            if sent > 0 {
                chosen.push((position, AskedText { text: Rc::clone(text), sent, role: *role }));
            }
        }
        chosen.sort_by_key(|(position, _)| *position);
        (chosen.into_iter().map(|(_, text)| text).collect(), beyond)
    }
}

impl TextEditor for TextCollector {
    fn edit(&mut self, text: &str, _: Range<usize>, place: &Place<'_>) -> Vec<Replacement> {
        if text.trim().is_empty() {
            return Vec::new();
        }
        let known = self.known.get(text).and_then(|position| self.texts.get_mut(*position));
        if let Some(known) = known {
            known.is_new |= place.is_new;
            return Vec::new();
        }
        let (text, role, is_new): (Rc<str>, _, _) = (text.into(), place.role, place.is_new);
        self.known.insert(Rc::clone(&text), self.texts.len());
        self.texts.push(CollectedText { text, role, is_new });
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts, each with whether it is new.
    fn collected(texts: &[(&str, bool)]) -> TextCollector {
        let mut collector = TextCollector::default();
        for (text, is_new) in texts {
            let mut place = crate::content::whole_place(Role::User);
            place.is_new = *is_new;
            assert!(collector.edit(text, 0..text.len(), &place).is_empty());
        }
        collector
    }

    fn chosen(collector: &TextCollector, only_new: bool, most_bytes: usize) -> (Vec<String>, usize) {
        let (texts, beyond) = collector.choose(only_new, most_bytes);
        (texts.iter().map(|text| text.shown().to_owned()).collect(), beyond)
    }

    #[test]
    fn a_text_is_asked_about_once_and_is_new_where_it_stands_somewhere_new() {
        let collector = collected(&[("a", false), ("b", false), (" \n", true), ("a", true)]);
        assert_eq!(chosen(&collector, false, 100), (vec!["a".to_owned(), "b".to_owned()], 0));
        assert_eq!(chosen(&collector, true, 100), (vec!["a".to_owned()], 0));
        assert_eq!((collector.count(false), collector.count(true)), (2, 1));
    }

    #[test]
    fn where_there_is_no_room_for_all_the_oldest_texts_are_left_out() {
        let collector = collected(&[("old1", false), ("old2", false), ("new1", true), ("new2", true)]);
        let told = |texts: &[&str], beyond| (texts.iter().map(|&text| text.to_owned()).collect(), beyond);
        assert_eq!(chosen(&collector, false, 16), told(&["old1", "old2", "new1", "new2"], 0));
        assert_eq!(chosen(&collector, false, 12), told(&["old2", "new1", "new2"], 1));
        assert_eq!(chosen(&collector, false, 10), told(&["ol", "new1", "new2"], 2));
        assert_eq!(chosen(&collector, false, 6), told(&["new1", "ne"], 3));
        assert_eq!(chosen(&collector, true, 6), told(&["new1", "ne"], 1));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(chosen(&collected(&[("éé", true)]), false, 3), (vec!["é".to_owned()], 1));
        assert_eq!(chosen(&collected(&[("é", true)]), false, 1), (vec![], 1));
    }

    #[test]
    fn more_texts_than_a_detector_is_asked_about_are_counted() {
        let texts: Vec<_> = (0..MOST_TEXTS + 5).map(|n| n.to_string()).collect();
        let texts: Vec<_> = texts.iter().map(|text| (text.as_str(), true)).collect();
        let (asked, beyond) = chosen(&collected(&texts), false, 1 << 20);
        assert_eq!((asked.len(), beyond), (MOST_TEXTS, 5));
    }
}
