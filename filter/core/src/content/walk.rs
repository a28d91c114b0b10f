//! Walks over a JSON body by the APIs' structure, and asks about every text. It does not recurse.

use super::editor::{Replacement, TextEditor, Unread};
use super::json_string::decode;
use super::leaf::{FreeKind, LeafEditor};
use super::names::{self, Meaning, data_of};
use super::object;
use super::place::{Place, Role, Segment};
use super::stream::{DeltaLeaf, EventHead, Opaque};
use super::turns::Turns;
use crate::request::body::JsonCursor;
use crate::request::endpoint::ModelOperation;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Request(ModelOperation),
    Answer(ModelOperation),
    /// A JSON-RPC message, in either direction.
    Mcp,
    /// The data of an event in a stream.
    Event(EventHead<'a>),
}

/// What nests more deeply in the APIs' own structure is not looked at. Tool arguments may nest as they like.
const MAX_DEPTH: usize = 64;

pub(super) struct Walk<'a, 'e> {
    subject: Subject<'a>,
    text: &'a str,
    at: JsonCursor<'a>,
    frames: Vec<Frame<'a>>,
    position: Position,
    turns: Turns,
    leaf: LeafEditor<'e>,
    replacements: Vec<Replacement>,
    /// What would take log probabilities out.
    logprobs: Vec<Replacement>,
    logprobs_known: bool,
    deltas: Vec<DeltaLeaf>,
    ends: Vec<Vec<Segment>>,
    opaque: Vec<Opaque>,
}

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Within the body.
    pub replacements: Vec<Replacement>,
    /// What takes log probabilities out, which spell the text once more.
    pub logprobs: Vec<Replacement>,
    /// Pieces of a stream's texts, which the editor has not seen.
    pub deltas: Vec<DeltaLeaf>,
    /// The channels that end here, by the beginning of their keys.
    pub ends: Vec<Vec<Segment>>,
    /// Values of an event that change nothing, and often differ from one event to the next.
    pub opaque: Vec<Opaque>,
}

impl Findings {
    /// Whether something else is to be done than to look at pieces of texts.
    pub(super) fn is_special(&self) -> bool {
        !self.replacements.is_empty() || !self.logprobs.is_empty() || !self.ends.is_empty()
    }
}

/// An open object or list.
struct Frame<'a> {
    is_object: bool,
    /// What a list's elements are.
    meaning: Meaning,
    /// From its bracket on.
    source: &'a str,
    /// The object's `type`, once it was asked for.
    kind: Option<Option<&'a str>>,
    /// The next element of a list.
    index: usize,
    /// The role around it.
    role: Role,
}

/// Where the walk is.
#[derive(Default)]
struct Position {
    path: Vec<Segment>,
    message: Option<usize>,
    role: Role,
    is_new: bool,
}

impl Position {
    fn place(&self, editable: bool) -> Place<'_> {
        let Self { path, message, role, is_new } = self;
        Place { message: *message, role: *role, is_new: *is_new, is_name: false, editable, path }
    }
}

impl<'a, 'e> Walk<'a, 'e> {
    pub(super) fn new(subject: Subject<'a>, text: &'a str, editor: &'e mut dyn TextEditor) -> Self {
        Self {
            subject,
            text,
            at: JsonCursor(text),
            frames: Vec::new(),
            position: Position::default(),
            turns: Turns::default(),
            leaf: LeafEditor::new(editor),
            replacements: Vec::new(),
            logprobs: Vec::new(),
            logprobs_known: false,
            deltas: Vec::new(),
            ends: Vec::new(),
            opaque: Vec::new(),
        }
    }

    /// Log probabilities have been counted before.
    pub(super) fn with_known_logprobs(self) -> Self {
        Self { logprobs_known: true, ..self }
    }

    /// None where the body is malformed.
    pub(super) fn run(mut self) -> Option<Findings> {
        match self.subject {
            Subject::Request(_) => self.turns = Turns::of_request(self.text).unwrap_or_default(),
            Subject::Answer(_) | Subject::Event(_) => self.position.role = Role::Assistant,
            Subject::Mcp => {}
        }
        self.position.is_new = self.turns.all_new();
        self.value(Meaning::Text)?;
        while let Some(frame) = self.frames.last() {
            if frame.is_object { self.member()? } else { self.element()? }
        }
        if self.at.peek().is_some() {
            return None;
        }
        let Self { replacements, logprobs, deltas, ends, opaque, .. } = self;
        Some(Findings { replacements, logprobs, deltas, ends, opaque })
    }

    /// The next member of the innermost object, or its end.
    fn member(&mut self) -> Option<()> {
        if self.at.peek()? == b'}' {
            return self.close();
        }
        let raw = self.at.string()?;
        if self.at.peek()? != b':' {
            return None;
        }
        self.at.take(1)?;
        let mut buffer = String::new();
        let name = decode(raw, &mut buffer);
        let (segment, meaning) = match names::member(name) {
            Some((name, meaning)) => (Segment::Member(name), meaning),
            None => (Segment::other(name), Meaning::Text),
        };
        self.position.path.push(segment);
        match segment {
            Segment::Member(name) if self.frames.len() == 1 => self.enter_root_member(name),
            Segment::Member(_) => {}
            _ => {
                let place = Place { is_name: true, ..self.position.place(false) };
                self.leaf.string(raw, &place);
            }
        }
        self.value(meaning)
    }

    /// The next element of the innermost list, or its end.
    fn element(&mut self) -> Option<()> {
        let byte = self.at.peek()?;
        if byte == b']' {
            return self.close();
        }
        let frame = self.frames.last_mut()?;
        let (index, meaning) = (frame.index, frame.meaning);
        frame.index = index.saturating_add(1);
        let number = match self.subject {
            Subject::Event(_) if byte == b'{' => object::number(self.at, "index").unwrap_or(index),
            _ => index,
        };
        self.position.path.push(Segment::Index(number));
        if let (Subject::Request(_), [Segment::Member(list @ ("messages" | "input")), _]) =
            (self.subject, self.position.path.as_slice())
        {
            self.position.message = Some(index);
            self.position.role = self.turns.role(list, index);
            self.position.is_new = self.turns.is_new(list, index);
        }
        if index == 0 && byte.is_ascii_digit() && self.is_prompt() {
            self.leaf.editor.unread(Unread::TokenIds, &self.position.place(false));
        }
        self.value(meaning)
    }

    fn is_prompt(&self) -> bool {
        matches!(self.subject, Subject::Request(_))
            && matches!(self.position.path.first(), Some(Segment::Member("prompt" | "input")))
    }

    fn close(&mut self) -> Option<()> {
        self.at.take(1)?;
        let frame = self.frames.pop()?;
        self.position.role = frame.role;
        self.leave()
    }

    /// After a value.
    fn leave(&mut self) -> Option<()> {
        self.position.path.pop();
        match self.frames.len() {
            0 => return Some(()),
            1 => {
                self.position.role = self.outer_role();
            }
            2 => {
                self.position.message = None;
                self.position.is_new = self.turns.all_new();
            }
            _ => {}
        }
        self.at.comma()
    }

    fn outer_role(&self) -> Role {
        match self.subject {
            Subject::Answer(_) | Subject::Event(_) => Role::Assistant,
            _ => Role::None,
        }
    }

    fn enter_root_member(&mut self, name: &str) {
        self.position.role = match (self.subject, name) {
            (Subject::Request(_) | Subject::Answer(_) | Subject::Event(_), "system" | "instructions") => {
                Role::System
            }
            (Subject::Request(_), "prompt" | "input" | "suffix") => Role::User,
            (Subject::Mcp, "result") => Role::Tool,
            _ => self.outer_role(),
        };
    }

    fn value(&mut self, meaning: Meaning) -> Option<()> {
        match self.at.peek()? {
            b'"' => {
                let raw = self.at.string()?;
                self.string(raw, meaning)?;
            }
            byte @ (b'{' | b'[') => match meaning {
                Meaning::Nothing if !self.is_clients() => self.at.skip()?,
                Meaning::LogProbs => self.logprobs()?,
                Meaning::Free | Meaning::Json => self.free(FreeKind::Data)?,
                Meaning::FreeObject if byte == b'{' => self.free(FreeKind::Data)?,
                Meaning::Schema => self.free(FreeKind::Schema)?,
                _ if self.frames.len() >= MAX_DEPTH => {
                    self.leaf.editor.unread(Unread::Nesting, &self.position.place(false));
                    self.at.skip()?;
                }
                _ => return self.open(byte == b'{', meaning),
            },
            byte => {
                let start = self.offset(self.at.0)?;
                self.at.skip()?;
                if byte.is_ascii_digit() {
                    self.opaque(start, true)?;
                }
            }
        }
        self.leave()
    }

    /// Notes a value that ends here, if it changes nothing.
    fn opaque(&mut self, start: usize, is_number: bool) -> Option<()> {
        let end = self.offset(self.at.0)?;
        let names: &[&str] =
            if is_number { &["sequence_number", "created", "created_at"] } else { &["obfuscation"] };
        if let (Subject::Event(_), [Segment::Member(name)]) = (self.subject, self.position.path.as_slice())
            && names.contains(name)
        {
            self.opaque.push(Opaque { span: start..end, is_number });
        }
        Some(())
    }

    fn open(&mut self, is_object: bool, meaning: Meaning) -> Option<()> {
        let (source, role) = (self.at.0, self.position.role);
        let meaning = if meaning == Meaning::FreeObject { Meaning::Text } else { meaning };
        let frame = Frame { is_object, meaning, source, kind: None, index: 0, role };
        match (self.subject, self.position.path.as_slice()) {
            _ if !is_object => {}
            (Subject::Request(_), [Segment::Member("messages"), _, Segment::Member("content"), _])
                if role == Role::User
                    && object::first_member(self.at, "type")
                        .is_some_and(|kind| kind.ends_with("tool_result")) =>
            {
                self.position.role = Role::Tool;
            }
            (Subject::Mcp, [_, Segment::Member("messages"), _]) => {
                self.position.role = object::first_member(self.at, "role").map_or(role, Role::of);
            }
            _ => {}
        }
        self.frames.push(frame);
        self.at.take(1)
    }

    /// Free JSON.
    fn free(&mut self, kind: FreeKind) -> Option<()> {
        let (text, start) = (self.at.0, self.offset(self.at.0)?);
        let mut replacements = Vec::new();
        let end = self.leaf.free(text, kind, &self.position.place(true), &mut replacements)?;
        self.replace(replacements, start);
        self.at.take(end)
    }

    fn logprobs(&mut self) -> Option<()> {
        let (source, start) = (self.at.0, self.offset(self.at.0)?);
        self.at.skip()?;
        let end = self.offset(self.at.0)?;
        let is_list = source.starts_with('[');
        let inside = source.get(1..)?.trim_ascii_start();
        if !inside.starts_with([']', '}']) {
            if !std::mem::replace(&mut self.logprobs_known, true) {
                self.leaf.editor.unread(Unread::LogProbs, &self.position.place(false));
            }
            let text = if is_list { "[]" } else { "null" };
            self.logprobs.push(Replacement { span: start..end, text: text.to_owned() });
        }
        Some(())
    }

    fn string(&mut self, raw: &'a str, meaning: Meaning) -> Option<()> {
        if let (Subject::Event(_), [choices @ .., Segment::Member("finish_reason")]) =
            (self.subject, self.position.path.as_slice())
        {
            self.ends.push(choices.to_vec());
        }
        let unread = match meaning {
            Meaning::Nothing if !self.is_clients() => {
                let start = self.offset(raw)?;
                return self.opaque(start.checked_sub(1)?, false);
            }
            Meaning::Nothing | Meaning::Setting if !names::may_be_text(raw) => return Some(()),
            Meaning::Media | Meaning::Data | Meaning::Result if !names::may_be_base64(raw) => None,
            Meaning::Media => Some(Unread::Media),
            Meaning::Encrypted => Some(Unread::Encrypted),
            Meaning::Data => self.data(),
            Meaning::Result => (self.kind() == Some("image_generation_call")).then_some(Unread::Media),
            _ => None,
        };
        if let Some(unread) = unread.filter(|_| !raw.is_empty()) {
            self.leaf.editor.unread(unread, &self.position.place(false));
            return Some(());
        }
        let editable = !matches!(meaning, Meaning::Name | Meaning::Signed);
        let start = self.offset(raw)?;
        if let Subject::Event(head) = self.subject
            && meaning != Meaning::Name
            && let Some(key) = head.channel(&self.position.path)
        {
            if head.is_media() {
                self.leaf.editor.unread(Unread::Media, &self.position.place(false));
                return Some(());
            }
            let span = start..start.checked_add(raw.len())?;
            let is_json = meaning == Meaning::Json || head.is_json();
            let path = self.position.path.clone();
            let place = head.place(&path);
            let is_plain = matches!(meaning, Meaning::Text | Meaning::Json | Meaning::Signed);
            self.deltas.push(DeltaLeaf { key, path, place, span, is_json, is_plain, editable });
            return Some(());
        }
        let place = self.position.place(editable);
        let replacements = match meaning {
            Meaning::Json => self.leaf.json(raw, &place),
            _ => self.leaf.string(raw, &place),
        };
        self.replace(replacements, start);
        Some(())
    }

    /// Whether a client has written it, or its MCP server: they may put text anywhere.
    fn is_clients(&self) -> bool {
        matches!(self.subject, Subject::Request(_) | Subject::Mcp)
    }

    /// What the innermost object's `data` is.
    fn data(&mut self) -> Option<Unread> {
        match self.position.path.as_slice() {
            [.., Segment::Member("input_audio" | "audio"), _] => Some(Unread::Media),
            _ => data_of(self.kind()),
        }
    }

    fn kind(&mut self) -> Option<&'a str> {
        self.frames.last_mut()?.kind()
    }

    fn replace(&mut self, replacements: Vec<Replacement>, start: usize) {
        self.replacements.extend(replacements.into_iter().map(|replacement| replacement.moved(start)));
    }

    /// Where a rest or a part of the body begins.
    fn offset(&self, part: &str) -> Option<usize> {
        part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())
    }
}

impl<'a> Frame<'a> {
    fn kind(&mut self) -> Option<&'a str> {
        *self.kind.get_or_insert_with(|| object::member(JsonCursor(self.source), "type"))
    }
}
