//! What a provider may read because of a body, beyond the body's own text. The walk follows the
//! APIs' own structure, so names in tool arguments, schemas and text mean nothing to it; what it
//! does not know where it matters counts as outside.

mod known;

use super::cursor::Cursor;
use super::member::among;
use crate::endpoint::{Operation, Shape};
use known::{ANTHROPIC_TOOLS, LOOKED_AT, OPENAI_TOOLS, OUTSIDE, OUTSIDE_PARTS, WHOLE_ITEMS};

/// What a provider may read because of a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// The first member that makes it read something else.
    pub outside: Option<&'static str>,
    /// How many images are inline.
    pub images: u64,
    /// How many bytes of the body they are.
    pub image_bytes: usize,
    /// How many bytes of the body are inline sound.
    pub audio_bytes: usize,
    /// Whether there are tools.
    pub tools: bool,
    /// How many tools the provider defines and the client runs.
    pub defined_tools: u64,
}

/// How deep tool results may nest.
const MAX_NESTING: u8 = 8;

impl Reach {
    /// Of a body whose members are valid JSON.
    pub(super) fn read<'a>(operation: Operation, member: impl Fn(&str) -> Option<&'a str>) -> Self {
        let mut reach = Self::default();
        for name in OUTSIDE {
            reach.walk(member(name), |walk| walk.outside(name));
        }
        // Compaction reads the context once more. An escape might spell it.
        if member("context_management").is_some_and(|edits| edits.contains("compact") || edits.contains('\\'))
        {
            reach.leaves("context_management");
        }
        if operation == Operation::Responses {
            reach.walk(member("prompt"), |walk| walk.outside("prompt"));
            reach.walk(member("input"), |walk| walk.items());
        } else {
            reach.walk(member("input"), |walk| walk.content(0));
        }
        reach.walk(member("messages"), |walk| walk.messages());
        reach.walk(member("tools"), |walk| walk.tools(operation.shape()));
        reach
    }

    fn walk<'a>(&mut self, value: Option<&'a str>, visit: impl FnOnce(&mut Walk<'a, '_>) -> Option<()>) {
        if let Some(value) = value {
            let whole = visit(&mut Walk { at: Cursor(value), reach: self });
            if whole.is_none() {
                self.leaves("an unreadable member");
            }
        }
    }

    fn leaves(&mut self, name: &'static str) {
        self.outside.get_or_insert(name);
    }
}

/// How many prompts a completion's `prompt` holds; a list of numbers is one.
pub(super) fn prompts(value: &str) -> u64 {
    let mut reach = Reach::default();
    let mut walk = Walk { at: Cursor(value), reach: &mut reach };
    let mut texts = 0_u64;
    let counted = walk.elements(|walk| {
        if matches!(walk.at.peek()?, b'"' | b'[') {
            texts = texts.saturating_add(1);
        }
        walk.at.skip()
    });
    match counted {
        Some(()) => texts.max(1),
        None => u64::MAX,
    }
}

/// A walk over valid JSON. None where it is not.
struct Walk<'a, 'r> {
    at: Cursor<'a>,
    reach: &'r mut Reach,
}

impl<'a> Walk<'a, '_> {
    fn messages(&mut self) -> Option<()> {
        self.elements(|walk| {
            walk.members(|walk, name| match name {
                "content" => walk.content(0),
                name => walk.part_member(name, 0),
            })
        })
    }

    /// Text, a part, or a list of them.
    fn content(&mut self, nesting: u8) -> Option<()> {
        if nesting > MAX_NESTING {
            self.reach.leaves("content");
            return self.at.skip();
        }
        match self.at.peek()? {
            b'[' => self.elements(|walk| walk.part(nesting)),
            _ => self.part(nesting),
        }
    }

    fn part(&mut self, nesting: u8) -> Option<()> {
        self.members(|walk, name| walk.part_member(name, nesting))
    }

    fn part_member(&mut self, name: &'static str, nesting: u8) -> Option<()> {
        match name {
            "content" | "output" => self.content(nesting.saturating_add(1)),
            "image" | "image_url" => self.image(name),
            "input_audio" => self.members(|walk, name| match name {
                "data" => walk.audio(),
                "url" => walk.outside("input_audio"),
                _ => walk.at.skip(),
            }),
            "source" => self.source(nesting),
            name => match OUTSIDE_PARTS.iter().find(|outside| **outside == name) {
                Some(name) => self.outside(name),
                None => self.at.skip(),
            },
        }
    }

    /// An image as a URL, or an object with one.
    fn image(&mut self, name: &'static str) -> Option<()> {
        if self.at.peek()? != b'{' {
            return self.image_url(name);
        }
        self.members(|walk, member| match member {
            "url" | "data" => walk.image_url(name),
            "file_id" => walk.outside("file_id"),
            _ => walk.at.skip(),
        })
    }

    fn image_url(&mut self, name: &'static str) -> Option<()> {
        if self.at.peek()? != b'"' {
            return self.outside(name);
        }
        let url = self.at.string()?;
        if is_image(url.strip_prefix("data:").unwrap_or_default()) {
            self.inline_image(url.len());
        } else {
            self.reach.leaves(name);
        }
        Some(())
    }

    fn inline_image(&mut self, bytes: usize) {
        self.reach.images = self.reach.images.saturating_add(1);
        self.reach.image_bytes = self.reach.image_bytes.saturating_add(bytes);
    }

    fn audio(&mut self) -> Option<()> {
        if self.at.peek()? != b'"' {
            return self.outside("input_audio");
        }
        let data = self.at.string()?;
        if data.contains(':') && !data.starts_with("data:") {
            self.reach.leaves("input_audio");
        }
        self.reach.audio_bytes = self.reach.audio_bytes.saturating_add(data.len());
        Some(())
    }

    /// Where an image or a document of Anthropic's comes from. A search result has a mere label.
    fn source(&mut self, nesting: u8) -> Option<()> {
        if nesting > MAX_NESTING {
            self.reach.leaves("source");
            return self.at.skip();
        }
        let (mut kind, mut media, mut data) = (None, None, 0);
        let object = self.at.peek()? == b'{';
        self.members(|walk, name| match name {
            "type" => walk.text(&mut kind),
            "media_type" => walk.text(&mut media),
            "data" => {
                let mut text = None;
                walk.text(&mut text)?;
                data = text.map_or(0, str::len);
                Some(())
            }
            name => walk.part_member(name, nesting.saturating_add(1)),
        })?;
        match kind {
            Some("base64") if media.is_some_and(is_image) => self.inline_image(data),
            Some("text" | "content") => {}
            _ if object => self.reach.leaves("source"),
            _ => {}
        }
        Some(())
    }

    fn items(&mut self) -> Option<()> {
        self.elements(|walk| {
            let (mut kind, mut role, mut sealed) = (None, None, None);
            let object = walk.at.peek()? == b'{';
            walk.members(|walk, name| match name {
                "type" => walk.text(&mut kind),
                "role" => walk.text(&mut role),
                "encrypted_content" => walk.text(&mut sealed),
                name => walk.part_member(name, 0),
            })?;
            let whole = match kind {
                Some("reasoning") => sealed.is_some(),
                Some(kind) => WHOLE_ITEMS.contains(&kind),
                None => role.is_some(),
            };
            if object && !whole {
                walk.reach.leaves("input");
            }
            Some(())
        })
    }

    fn tools(&mut self, shape: Shape) -> Option<()> {
        self.elements(|walk| {
            let mut kind = None;
            walk.members(|walk, name| match name {
                "type" => walk.text(&mut kind),
                _ => walk.at.skip(),
            })?;
            let defined = match (shape, kind) {
                (Shape::Anthropic, None | Some("custom")) => Some(false),
                (Shape::Anthropic, Some(kind)) => {
                    ANTHROPIC_TOOLS.iter().any(|tool| kind.starts_with(tool)).then_some(true)
                }
                (Shape::OpenAi, kind) => {
                    OPENAI_TOOLS.iter().find(|(tool, _)| Some(*tool) == kind).map(|(_, defined)| *defined)
                }
            };
            walk.reach.tools = true;
            match defined {
                Some(true) => walk.reach.defined_tools = walk.reach.defined_tools.saturating_add(1),
                Some(false) => {}
                None => walk.reach.leaves("tools"),
            }
            Some(())
        })
    }

    /// A value that reaches outside, unless it says that it does not.
    fn outside(&mut self, name: &'static str) -> Option<()> {
        self.at.peek()?;
        let before = self.at.0;
        self.at.skip()?;
        let value = before.get(..before.len().checked_sub(self.at.0.len())?)?;
        let list = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
        let harmless = matches!(value, "null" | "false") || list.is_some_and(|list| list.trim().is_empty());
        if !harmless {
            self.reach.leaves(name);
        }
        Some(())
    }

    /// A string, as it is written. A second one of the same name is no longer to be trusted.
    fn text(&mut self, slot: &mut Option<&'a str>) -> Option<()> {
        if self.at.peek()? != b'"' {
            return self.at.skip();
        }
        if slot.replace(self.at.string()?).is_some() {
            self.reach.leaves("a repeated member");
        }
        Some(())
    }

    /// Visits the members of an object by those names that matter; skips another value.
    fn members(&mut self, mut visit: impl FnMut(&mut Self, &'static str) -> Option<()>) -> Option<()> {
        if self.at.peek()? != b'{' {
            return self.at.skip();
        }
        self.at.take(1)?;
        while self.at.peek()? != b'}' {
            let name = self.at.string()?;
            if name.contains('\\') {
                self.reach.leaves("an escaped name");
            }
            if self.at.peek()? != b':' {
                return None;
            }
            self.at.take(1)?;
            match among(name, &LOOKED_AT).or_else(|| among(name, &OUTSIDE_PARTS)) {
                Some(name) => visit(self, name)?,
                None => self.at.skip()?,
            }
            self.at.comma()?;
        }
        self.at.take(1)
    }

    /// Visits the elements of a list; skips another value.
    fn elements(&mut self, mut visit: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.at.peek()? != b'[' {
            return self.at.skip();
        }
        self.at.take(1)?;
        while self.at.peek()? != b']' {
            visit(self)?;
            self.at.comma()?;
        }
        self.at.take(1)
    }
}

/// Whether a media type, perhaps with an escaped slash, is of an image.
fn is_image(media: &str) -> bool {
    media.starts_with("image/") || media.starts_with("image\\/")
}

#[cfg(test)]
#[path = "reach/tests.rs"]
mod tests;
