//! What was typed, and would have no effect as things are chosen beside it.

use latchkey_core::invalid::{FieldError, Invalid};

use super::overtaken::{IF_MATCH, SHOWN};
use super::{FieldKind, FormInput};

/// Fields that every form may have.
const OWN: [&str; 4] = ["csrf", "once", IF_MATCH, SHOWN];

const NO_EFFECT: &str =
    "has no effect with the options selected in this form: clear it, or select the option it belongs to";

impl FieldKind {
    /// The fields of a form that this one is typed into, beside the one at its path.
    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Selection | Self::Grant => &["only"],
            Self::Switches | Self::UnturnedSwitches => &["shown"],
            Self::Budget => &["usd", "per"],
            Self::TokenBudget => &["tokens", "per"],
            _ => &[],
        }
    }

    /// Whether several values of one field make one.
    fn is_plural(self) -> bool {
        matches!(self, Self::Choices | Self::Switches | Self::UnturnedSwitches)
    }

    /// Whether it is none of the fields that are sent to the API.
    pub(super) fn is_left_out(self) -> bool {
        matches!(self, Self::Aside | Self::UnturnedSwitches)
    }
}

impl FormInput {
    /// Everything that none of these fields takes, each by its name.
    pub(crate) fn unused(&self, fields: &[(&str, FieldKind)]) -> Invalid {
        let mut wrong = Invalid::default();
        for (name, value) in self.pairs() {
            let known = wrong.0.iter().any(|error| error.path == name);
            if !known && let Some(refusal) = self.refusal(name, value, fields) {
                wrong.0.push(FieldError::new(name, refusal));
            }
        }
        for (path, kind) in fields {
            if let Some(refusal) = self.contradiction(path, *kind) {
                wrong.0.push(FieldError::new(*path, refusal));
            }
        }
        wrong
    }

    fn refusal(&self, name: &str, value: &str, fields: &[(&str, FieldKind)]) -> Option<&'static str> {
        if value.trim().is_empty() || OWN.contains(&name) {
            return None;
        }
        match fields.iter().find(|(path, kind)| takes(*kind, path, name)) {
            Some((_, kind)) if !kind.is_plural() && self.all(name).any(|other| other != value) => {
                Some("is listed twice with different values")
            }
            Some(_) => None,
            None if self.is_as_shown(name) || self.is_period_of_nothing(name) => None,
            None => Some(NO_EFFECT),
        }
    }

    /// A list beside an answer that needs none.
    fn contradiction(&self, path: &str, kind: FieldKind) -> Option<&'static str> {
        let only = format!("{path}.only");
        let is_list = matches!(kind, FieldKind::Selection | FieldKind::Grant)
            && !self.text(&only).is_empty()
            && !self.is_as_shown(&only);
        match self.text(path) {
            "all" if is_list => Some(
                "\u{201c}All\u{201d} is chosen, but names are entered: choose \u{201c}Only these\u{201d}, or clear the list",
            ),
            "none" if is_list => Some(
                "\u{201c}None\u{201d} is chosen, but names are entered: choose \u{201c}Only these\u{201d}, or clear the list",
            ),
            _ => None,
        }
    }

    /// Whether a field holds what it held when the form was shown.
    pub(crate) fn is_as_shown(&self, name: &str) -> bool {
        let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
        plain(self.shown.get(name).map_or("", String::as_str)) == plain(self.raw(name))
    }

    /// A period is always chosen, and says nothing without an amount.
    fn is_period_of_nothing(&self, name: &str) -> bool {
        let budget = name.strip_suffix(".per");
        budget.is_some_and(|path| {
            ["usd", "tokens"].iter().all(|amount| self.text(&format!("{path}.{amount}")).is_empty())
        })
    }
}

fn takes(kind: FieldKind, path: &str, name: &str) -> bool {
    match name.strip_prefix(path) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('.').is_some_and(|part| kind.parts().contains(&part)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Field, HtmlForm};
    use super::*;

    const FIELDS: &[Field] = &[
        ("name", FieldKind::Text),
        ("models", FieldKind::Selection),
        ("budget", FieldKind::Budget),
        ("from", FieldKind::Aside),
        ("tags", FieldKind::Choices),
    ];

    fn typed(pairs: &[(&str, &str)]) -> FormInput {
        pairs.iter().fold(FormInput::default(), |mut typed, (name, value)| {
            typed.said.push(((*name).to_owned(), (*value).to_owned()));
            typed
        })
    }

    fn unused(pairs: &[(&str, &str)]) -> Vec<String> {
        typed(pairs).unused(FIELDS).0.into_iter().map(|error| error.path).collect()
    }

    #[test]
    fn what_no_field_takes_is_refused_by_name() {
        assert_eq!(
            unused(&[("csrf", "x"), ("once", "y"), ("name", "a"), ("from", "url"), ("url", " ")]),
            [""; 0]
        );
        assert_eq!(unused(&[("url", "https://a"), ("price.input", "1")]), ["url", "price.input"]);
        assert_eq!(unused(&[("limits.budget.per", "month"), ("budget.per", "month")]), [""; 0]);
        assert_eq!(
            unused(&[("limits.budget.per", "month"), ("limits.budget.usd", "1")]),
            ["limits.budget.per", "limits.budget.usd"]
        );
    }

    #[test]
    fn a_field_says_one_thing() {
        assert_eq!(unused(&[("name", "a"), ("name", "b"), ("tags", "a"), ("tags", "b")]), ["name"]);
        assert_eq!(unused(&[("name", "a"), ("name", "a")]), [""; 0]);
    }

    #[test]
    fn names_beside_all_or_none_contradict_it() {
        for chosen in ["all", "none"] {
            assert_eq!(unused(&[("models", chosen), ("models.only", "gpt-4o")]), ["models"]);
            assert_eq!(unused(&[("models", chosen), ("models.only", "")]), [""; 0]);
        }
        assert_eq!(unused(&[("models", "only"), ("models.only", "gpt-4o")]), [""; 0]);
        let read = |pairs: &[(&str, &str)]| typed(pairs).json(FIELDS).map(|json| json["models"].clone()).ok();
        assert_eq!(read(&[("models.only", "gpt-4o")]), Some(json!(["gpt-4o"])), "typing chooses");
        assert_eq!(read(&[("models", "all"), ("models.only", "gpt-4o")]), None);
    }

    #[test]
    fn what_stands_there_as_it_was_shown_was_not_typed() {
        let now = || HtmlForm::of(&json!({ "models": ["a", "b"], "keys": { "pem": "x\ny" } }));
        let unused = |pairs: &[(&str, &str)]| typed(pairs).over(now()).unused(FIELDS).0.len();
        assert_eq!(unused(&[("models", "all"), ("models.only", "a, b"), ("keys.pem", "x\r\ny")]), 0);
        assert_eq!(unused(&[("models", "all"), ("models.only", "a, c"), ("keys.pem", "z")]), 2);
    }
}
