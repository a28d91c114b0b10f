//! Where a text stands.

use std::fmt;

/// Where a text stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The message or input item.
    pub message: Option<usize>,
    pub role: Role,
    /// Whether it came after the last answer of the model. A last message by the assistant counts as new: it is
    /// the beginning of the answer. Texts outside messages are new while there is no answer.
    pub is_new: bool,
    /// Whether it is the name of an object's member.
    pub is_name: bool,
    /// Whether replacements take effect.
    pub editable: bool,
    pub(super) path: &'a [Segment],
}

/// Who speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    /// Nobody, or somebody unknown.
    #[default]
    None,
}

/// A step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Member(&'static str),
    /// A member whose name only the sender knows, as a hash: names may hold what must not be written down.
    Other(u32),
    Index(usize),
}

impl Place<'_> {
    /// The path of fields, such as `messages[3].content[0].text`. Names that the gateway does not know are shown
    /// as `*`, and what is within a tool's arguments is not told apart.
    #[must_use]
    pub fn path(&self) -> impl fmt::Display {
        DisplayPath(self.path)
    }

    /// Whether the model is instructed here: by a system or developer message, or by `system` or `instructions`.
    #[must_use]
    pub fn is_of_system(&self) -> bool {
        matches!(self.role, Role::System | Role::Developer)
    }

    /// The member of the body in which it stands; empty where that is not known.
    #[must_use]
    pub fn root(&self) -> &'static str {
        match self.path.first() {
            Some(Segment::Member(name)) => name,
            _ => "",
        }
    }

    /// Whether it is the content of a message, of `system` or of `instructions`, or the text of a part of it.
    #[must_use]
    pub fn is_content(&self) -> bool {
        use Segment::{Index, Member};
        let part = match self.path {
            [Member("system" | "instructions"), part @ ..]
            | [Member("messages" | "input"), Index(_), Member("content"), part @ ..] => part,
            _ => return false,
        };
        !self.is_name && matches!(part, [] | [Index(_)] | [Index(_), Member("text")])
    }

    /// Whether it is the value of a member of this name.
    #[must_use]
    pub fn is_member(&self, name: &str) -> bool {
        !self.is_name && matches!(self.path.last(), Some(Segment::Member(last)) if *last == name)
    }
}

struct DisplayPath<'a>(&'a [Segment]);

impl fmt::Display for DisplayPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match segment {
                Segment::Member(name) => write!(f, "{dot}{name}")?,
                Segment::Other(_) => write!(f, "{dot}*")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Segment {
    /// A member that the walk does not know.
    pub(super) fn other(name: &str) -> Self {
        // FNV-1a: it only tells the members of one object apart.
        let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        Self::Other(name.bytes().fold(0x811c_9dc5, hash))
    }
}
