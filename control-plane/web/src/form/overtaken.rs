//! Forms of two people who edit the same thing. A form carries what it was shown with, so that whoever comes second is
//! told what the other one changed, and keeps what they typed.

use std::collections::{BTreeMap, BTreeSet};

use super::{FormInput, HtmlForm};

/// The hidden field with the `ETag` of what a form edits.
pub const IF_MATCH: &str = "if_match";
/// The hidden field with what the form held when it was shown, as JSON.
pub(super) const SHOWN: &str = "shown";

/// A field that somebody else has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OvertakenField {
    pub path: String,
    /// When the form was shown.
    pub before: String,
    pub now: String,
    /// What was typed instead; none where it was not touched.
    pub typed: Option<String>,
}

/// Who has changed it, and what to do.
pub(super) fn who(by: &[String]) -> String {
    let who = if by.is_empty() { "Someone else".to_owned() } else { by.join(" and ") };
    format!(
        "Not saved. {who} changed this while you were editing. The form below has their changes, with yours on top. \
         Check it, then save again."
    )
}

impl FormInput {
    /// The form as it was shown; none where it does not say.
    #[must_use]
    pub fn as_shown(&self) -> Option<HtmlForm> {
        let values = serde_json::from_str(self.text(SHOWN)).ok()?;
        Some(HtmlForm { values, ..HtmlForm::default() })
    }
}

impl HtmlForm {
    /// What the form holds, for its hidden field; what it held first, where it was refused.
    #[must_use]
    pub fn shown(&self) -> String {
        let own = || {
            let fields: BTreeMap<_, _> = self.values.iter().filter(|(path, _)| *path != IF_MATCH).collect();
            serde_json::to_string(&fields).unwrap_or_default()
        };
        self.values.get(SHOWN).cloned().unwrap_or_else(own)
    }

    /// This form, which was refused, where what it edits is as `now`. Where somebody else has changed that, fields that
    /// were not touched become as they are now.
    #[must_use]
    pub fn on_top_of(mut self, now: &Self) -> Self {
        let Some(overtaken) = &mut self.overtaken else {
            if let (false, Some(tag)) = (self.has(IF_MATCH), now.values.get(IF_MATCH)) {
                self.values.insert(IF_MATCH.to_owned(), tag.clone());
            }
            return self;
        };
        let shown = self.values.remove(SHOWN).unwrap_or_default();
        let shown: BTreeMap<String, String> = serde_json::from_str(&shown).unwrap_or_default();
        let paths: BTreeSet<_> =
            shown.keys().chain(now.values.keys()).filter(|path| *path != IF_MATCH).collect();
        for path in paths {
            let (before, now) = (plain(shown.get(path)), plain(now.values.get(path)));
            if before == now {
                continue;
            }
            let typed = plain(self.values.get(path));
            let is_touched = typed != before;
            if !is_touched {
                self.values.insert(path.clone(), now.clone());
            }
            if is_shown(path, &before, &now) {
                let typed = is_touched.then_some(typed);
                overtaken.push(OvertakenField { path: path.clone(), before, now, typed });
            }
        }
        self.values.insert(SHOWN.to_owned(), now.shown());
        self.values.insert(IF_MATCH.to_owned(), now.value(IF_MATCH).to_owned());
        self
    }
}

/// A box that is not ticked is not sent, and browsers end lines in their own way.
fn plain(value: Option<&String>) -> String {
    let plain = value.map(|text| text.replace("\r\n", "\n").trim().to_owned()).unwrap_or_default();
    if plain == "false" { String::new() } else { plain }
}

/// Whether people are told of a field: objects and lists are there twice.
fn is_shown(path: &str, before: &str, now: &str) -> bool {
    path != "updated_at"
        && !path.ends_with(".only")
        && ![before, now].iter().any(|text| text.starts_with('{'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(value: serde_json::Value, tag: &str) -> HtmlForm {
        HtmlForm::of(&value).with(IF_MATCH, tag)
    }

    #[test]
    fn whoever_comes_second_keeps_what_they_typed_and_gets_what_was_changed() {
        let shown = form(json!({"url": "a", "enabled": true, "note": "x", "kind": "k"}), "1");
        let typed = HtmlForm::default()
            .with(SHOWN, shown.shown())
            .with(IF_MATCH, "1")
            .with("url", "mine")
            .with("note", "x")
            .with("kind", "mine too");
        let now = form(json!({"url": "theirs", "enabled": true, "note": "theirs", "kind": "k"}), "2");
        let merged = HtmlForm { overtaken: Some(Vec::new()), ..typed }.on_top_of(&now);
        // The box was unticked here.
        assert_eq!(
            [merged.value("url"), merged.value("note"), merged.value("kind")],
            ["mine", "theirs", "mine too"]
        );
        assert!(!merged.ticked("enabled"));
        let told = |path: &str, before: &str, now: &str, typed: Option<&str>| OvertakenField {
            path: path.to_owned(),
            before: before.to_owned(),
            now: now.to_owned(),
            typed: typed.map(str::to_owned),
        };
        let expected = vec![told("note", "x", "theirs", None), told("url", "a", "theirs", Some("mine"))];
        assert_eq!(merged.overtaken, Some(expected));
        assert_eq!((merged.value(IF_MATCH), merged.shown()), ("2", now.shown()));
    }

    #[test]
    fn a_form_that_is_refused_for_what_was_typed_keeps_what_it_was_shown_with() {
        let shown = form(json!({"url": "a"}), "1");
        let typed = HtmlForm::default().with(SHOWN, shown.shown()).with(IF_MATCH, "1").with("url", "?");
        let again = typed.on_top_of(&form(json!({"url": "b"}), "2"));
        assert_eq!((again.value("url"), again.value(IF_MATCH), again.shown()), ("?", "1", shown.shown()));
    }
}
