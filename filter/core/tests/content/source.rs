//! Random JSON as somebody might write it, and what must become of it byte for byte.

use proptest::prelude::*;
use serde_json::Value;

use crate::planted::WORDS;

/// A part of a text: plain, or one of the planted words.
#[derive(Clone, Debug)]
pub enum Part {
    Plain(String),
    Word(usize),
}

#[derive(Clone, Debug)]
pub enum Tree {
    Text(Vec<Part>),
    /// Something that is not a text, as it is written.
    Fixed(String),
    List(Vec<Tree>),
    /// Names that the API has.
    Object(Vec<(&'static str, Tree)>),
    /// Names that are texts.
    Free(Vec<(Vec<Part>, Tree)>),
    /// JSON in a string.
    Json(Box<Tree>),
}

/// What comes, and what goes out: parts that stay, and parts that change.
#[derive(Clone, Debug, Default)]
pub struct Source(Vec<(String, Option<String>)>);

impl Source {
    pub fn both(&mut self, text: &str) {
        self.0.push((text.to_owned(), None));
    }

    fn changed(&mut self, before: String, after: String) {
        self.0.push((before, Some(after)));
    }

    pub fn before(&self) -> String {
        self.0.iter().map(|(before, _)| before.as_str()).collect()
    }

    pub fn after(&self) -> String {
        self.0.iter().map(|(before, after)| after.as_ref().unwrap_or(before).as_str()).collect()
    }
}

/// How characters are written: one choice after another.
#[derive(Clone, Debug)]
pub struct Style(u64);

impl Style {
    pub fn choice(&mut self, of: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % of
    }

    fn blank(&mut self) -> &'static str {
        ["", "", "", " ", "\t ", " \r\n"][self.choice(6) as usize]
    }

    /// A text between quotes, with some more escapes than needed.
    pub fn escaped(&mut self, text: &str) -> String {
        let mut out = String::new();
        for char in text.chars() {
            let must = char < ' ' || matches!(char, '"' | '\\');
            if self.choice(5) == 0 || must && self.choice(2) == 0 {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out += &if self.choice(2) == 0 {
                        format!("\\u{unit:04x}")
                    } else {
                        format!("\\u{unit:04X}")
                    };
                }
            } else if must {
                out += &plain_escape(char.encode_utf8(&mut [0; 4]));
            } else if char == '/' {
                out += "\\/";
            } else {
                out.push(char);
            }
        }
        out
    }

    pub fn text(&mut self, parts: &[Part], out: &mut Source) {
        for part in parts {
            match part {
                Part::Plain(text) => out.both(&self.escaped(text)),
                Part::Word(word) => {
                    let (word, replacement) = WORDS[*word];
                    out.changed(self.escaped(word), plain_escape(replacement));
                }
            }
        }
    }

    pub fn tree(&mut self, tree: &Tree, out: &mut Source) {
        out.both(self.blank());
        match tree {
            Tree::Text(parts) => {
                out.both("\"");
                self.text(parts, out);
                out.both("\"");
            }
            Tree::Fixed(source) => out.both(source),
            Tree::List(trees) => {
                out.both("[");
                for (at, tree) in trees.iter().enumerate() {
                    out.both(if at == 0 { "" } else { "," });
                    self.tree(tree, out);
                }
                out.both("]");
            }
            Tree::Object(members) => {
                out.both("{");
                for (at, (name, tree)) in members.iter().enumerate() {
                    out.both(if at == 0 { "" } else { "," });
                    out.both(self.blank());
                    out.both(&format!("\"{name}\":"));
                    self.tree(tree, out);
                }
                out.both("}");
            }
            Tree::Free(members) => {
                out.both("{");
                for (at, (name, tree)) in members.iter().enumerate() {
                    out.both(if at == 0 { "" } else { "," });
                    out.both("\"");
                    self.text(name, out);
                    out.both("\":");
                    self.tree(tree, out);
                }
                out.both("}");
            }
            Tree::Json(inner) => {
                let mut source = Source::default();
                self.tree(inner, &mut source);
                out.both("\"");
                self.quoted(&source, out);
                out.both("\"");
            }
        }
        out.both(self.blank());
    }

    /// A source and what becomes of it, in a string.
    fn quoted(&mut self, source: &Source, out: &mut Source) {
        for (before, after) in &source.0 {
            match after {
                None => out.both(&self.escaped(before)),
                Some(after) => out.changed(self.escaped(before), plain_escape(after)),
            }
        }
    }
}

/// The escapes that replacements get.
pub fn plain_escape(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What the parts say, and what they say after the edit.
pub fn decoded(parts: &[Part]) -> Source {
    let mut out = Source::default();
    for part in parts {
        match part {
            Part::Plain(text) => out.both(text),
            Part::Word(word) => {
                out.changed(WORDS[*word].0.to_owned(), WORDS[*word].1.to_owned());
            }
        }
    }
    out
}

pub fn styles() -> impl Strategy<Value = Style> {
    any::<u64>().prop_map(Style)
}

/// No plain text has the beginning of a word: two parts would become one.
pub fn parts() -> impl Strategy<Value = Vec<Part>> {
    let plain = "[a-zé\"\\\\\n\r\t/\u{1}\u{7f}\u{2028}😁日\\]_1]{0,6}".prop_map(Part::Plain);
    let word = (0..WORDS.len()).prop_map(Part::Word);
    prop::collection::vec(prop_oneof![3 => plain, 2 => word], 0..8)
}

pub fn texts() -> impl Strategy<Value = Tree> {
    parts().prop_map(Tree::Text)
}

fn numbers() -> impl Strategy<Value = Tree> {
    prop::sample::select(vec!["1", "-1.50e+3", "true", "null", "0.1", "12345678901234567890", "[]", "{}"])
        .prop_map(|text| Tree::Fixed(text.to_owned()))
}

/// Any JSON.
pub fn free() -> impl Strategy<Value = Tree> {
    prop_oneof![texts(), numbers()].prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::List),
            prop::collection::vec((parts(), inner), 0..4).prop_map(Tree::Free),
        ]
    })
}

/// An object of any JSON.
pub fn free_object() -> impl Strategy<Value = Tree> {
    prop::collection::vec((parts(), free()), 0..4).prop_map(Tree::Free)
}
