//! Scans a body for what makes the provider read or do more than the body's own text. The scan follows the
//! APIs' structure, so names in tool arguments, schemas and text do not matter. What it does not know where
//! it matters counts as outside.

mod known;

use super::cursor::JsonCursor;
use super::member_cost::{hosted_tool, refusal, says_nothing, unreadable};
use super::member_name::among;
use crate::answer::denial::Denial;
use crate::request::endpoint::{ClientApi, ModelOperation};
use known::{ITEMS_WITH_TOOLS, OUTSIDE_PARTS, SCANNED_MEMBERS, ToolRunner, WHOLE_ITEMS, is_known_part};

/// Scans a body for what makes the provider read or do more than the body's own text. The scan follows the
/// APIs' structure, so names in tool arguments, schemas and text do not matter. What it does not know where
/// it matters counts as outside.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InputScan {
    /// The first member that makes the provider read outside input, within the model's context window.
    pub outside: Option<&'static str>,
    /// Why nothing bounds what it reads or does.
    pub unbounded: Option<Box<Denial>>,
    /// Inline images.
    pub images: u64,
    /// Bytes of inline images.
    pub image_bytes: usize,
    /// Bytes of inline sound.
    pub audio_bytes: usize,
    pub tools: bool,
    /// Tools that the provider defines and the client runs.
    pub defined_tools: u64,
    /// Whether the provider searches the body's tools, and reads all of it again after each search.
    pub searches_tools: bool,
}

/// How deep tool results and tools may nest.
const MAX_NESTING: u8 = 8;

impl InputScan {
    /// Of a body whose members are valid JSON.
    pub(super) fn read<'a>(operation: ModelOperation, member: impl Fn(&str) -> Option<&'a str>) -> Self {
        let mut scan = Self::default();
        // Compaction reads the context once more. An escape might spell it, too.
        if member("context_management").is_some_and(|edits| edits.contains("compact") || edits.contains('\\'))
        {
            scan.is_unbounded_by(
                "context_management",
                "compaction reads and writes once more than the request says",
            );
        }
        if operation == ModelOperation::Responses {
            if member("prompt").is_some_and(|prompt| !says_nothing(prompt)) {
                scan.is_unbounded_by(
                    "prompt",
                    "a stored prompt may bring input and tools that the gateway cannot see",
                );
            }
            scan.walk(member("input"), |walk| walk.items());
        } else {
            scan.walk(member("input"), |walk| walk.content(0));
        }
        scan.walk(member("messages"), |walk| walk.messages());
        scan.walk(member("tools"), |walk| walk.tools(operation.client_api(), 0));
        scan
    }

    fn walk<'a>(&mut self, value: Option<&'a str>, visit: impl FnOnce(&mut InputWalk<'a, '_>) -> Option<()>) {
        if let Some(value) = value {
            let whole = visit(&mut InputWalk { at: JsonCursor(value), scan: self });
            if whole.is_none() {
                self.is_unreadable("an unreadable member");
            }
        }
    }

    fn is_unreadable(&mut self, what: &str) {
        self.unbounded.get_or_insert_with(|| Box::new(unreadable(what)));
    }

    fn is_unbounded_by(&mut self, name: &str, why: &str) {
        self.unbounded.get_or_insert_with(|| Box::new(refusal(name, why)));
    }

    fn reads_outside(&mut self, name: &'static str) {
        self.outside.get_or_insert(name);
    }
}

/// The prompts in a completion's `prompt`; a list of numbers is one.
pub(super) fn prompts(value: &str) -> u64 {
    let mut scan = InputScan::default();
    let mut walk = InputWalk { at: JsonCursor(value), scan: &mut scan };
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

/// Walks over valid JSON; none where it is not.
struct InputWalk<'a, 'r> {
    at: JsonCursor<'a>,
    scan: &'r mut InputScan,
}

impl<'a> InputWalk<'a, '_> {
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
            self.scan.reads_outside("content");
            return self.at.skip();
        }
        match self.at.peek()? {
            b'[' => self.elements(|walk| walk.part(nesting)),
            _ => self.part(nesting),
        }
    }

    fn part(&mut self, nesting: u8) -> Option<()> {
        let mut kind = None;
        self.members(|walk, name| match name {
            "type" => walk.text(&mut kind),
            name => walk.part_member(name, nesting),
        })?;
        if kind.is_some_and(|kind| !is_known_part(kind)) {
            self.scan.reads_outside("content");
        }
        Some(())
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
            self.scan.reads_outside(name);
        }
        Some(())
    }

    fn inline_image(&mut self, bytes: usize) {
        self.scan.images = self.scan.images.saturating_add(1);
        self.scan.image_bytes = self.scan.image_bytes.saturating_add(bytes);
    }

    fn audio(&mut self) -> Option<()> {
        if self.at.peek()? != b'"' {
            return self.outside("input_audio");
        }
        let data = self.at.string()?;
        if data.contains(':') && !data.starts_with("data:") {
            self.scan.reads_outside("input_audio");
        }
        self.scan.audio_bytes = self.scan.audio_bytes.saturating_add(data.len());
        Some(())
    }

    /// The source of an image or document in Anthropic's API. A search result has only a label.
    fn source(&mut self, nesting: u8) -> Option<()> {
        if nesting > MAX_NESTING {
            self.scan.reads_outside("source");
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
            _ if object => self.scan.reads_outside("source"),
            _ => {}
        }
        Some(())
    }

    fn items(&mut self) -> Option<()> {
        self.elements(|walk| {
            let (mut kind, mut role, mut sealed, mut id, mut tools) = (None, None, None, None, None);
            let object = walk.at.peek()? == b'{';
            walk.members(|walk, name| match name {
                "type" => walk.text(&mut kind),
                "role" => walk.text(&mut role),
                "encrypted_content" => walk.text(&mut sealed),
                "id" => walk.text(&mut id),
                "tools" => walk.later(&mut tools),
                name => walk.part_member(name, 0),
            })?;
            let whole = match kind {
                Some("reasoning") => sealed.is_some() || id.is_none(),
                Some(kind) => WHOLE_ITEMS.contains(&kind),
                None => role.is_some(),
            };
            if object && !whole {
                walk.scan.reads_outside("input");
            }
            let brings_tools = kind.is_some_and(|kind| ITEMS_WITH_TOOLS.contains(&kind));
            match tools.filter(|_| brings_tools) {
                Some(tools) => walk.inside(tools).tools(ClientApi::OpenAi, 0),
                None => Some(()),
            }
        })
    }

    fn tools(&mut self, api: ClientApi, nesting: u8) -> Option<()> {
        self.elements(|walk| {
            let (mut kind, mut execution, mut environment, mut tools) = (None, None, None, None);
            walk.members(|walk, name| match name {
                "type" => walk.text(&mut kind),
                "execution" => walk.text(&mut execution),
                "environment" => walk.members(|walk, name| match name {
                    "type" => walk.text(&mut environment),
                    _ => walk.at.skip(),
                }),
                "tools" => walk.later(&mut tools),
                _ => walk.at.skip(),
            })?;
            walk.scan.tools = true;
            let runner = match api {
                ClientApi::Anthropic => ToolRunner::of_anthropic(kind),
                ClientApi::OpenAi => ToolRunner::of_openai(kind, execution, environment),
            };
            match (runner, tools) {
                (ToolRunner::Client, _) | (ToolRunner::Namespace, None) => {}
                (ToolRunner::Defined(tools), _) => {
                    walk.scan.defined_tools = walk.scan.defined_tools.saturating_add(tools);
                }
                (ToolRunner::Search, _) => walk.scan.searches_tools = true,
                (ToolRunner::Namespace, Some(tools)) if nesting < MAX_NESTING => {
                    return walk.inside(tools).tools(api, nesting.saturating_add(1));
                }
                (ToolRunner::Namespace | ToolRunner::Provider, _) => {
                    walk.scan.unbounded.get_or_insert_with(|| Box::new(hosted_tool(kind)));
                }
            }
            Some(())
        })
    }

    /// A walk over a skipped value.
    fn inside(&mut self, value: &'a str) -> InputWalk<'a, '_> {
        InputWalk { at: JsonCursor(value), scan: self.scan }
    }

    /// A value that makes the provider read outside input, unless it turns nothing on.
    fn outside(&mut self, name: &'static str) -> Option<()> {
        if !says_nothing(self.value()?) {
            self.scan.reads_outside(name);
        }
        Some(())
    }

    /// A value as it is written.
    fn value(&mut self) -> Option<&'a str> {
        self.at.peek()?;
        let before = self.at.0;
        self.at.skip()?;
        before.get(..before.len().checked_sub(self.at.0.len())?)
    }

    /// A string, as it is written.
    fn text(&mut self, slot: &mut Option<&'a str>) -> Option<()> {
        if self.at.peek()? != b'"' {
            return self.at.skip();
        }
        let text = self.at.string()?;
        self.only(slot, text)
    }

    /// A value to walk over once the others are known.
    fn later(&mut self, slot: &mut Option<&'a str>) -> Option<()> {
        let value = self.value()?;
        self.only(slot, value)
    }

    /// A repeated member makes the body unreadable.
    fn only(&mut self, slot: &mut Option<&'a str>, value: &'a str) -> Option<()> {
        if slot.replace(value).is_some() {
            self.scan.is_unreadable("a repeated member");
        }
        Some(())
    }

    /// Visits the members of an object that matter; skips another value.
    fn members(&mut self, mut visit: impl FnMut(&mut Self, &'static str) -> Option<()>) -> Option<()> {
        if self.at.peek()? != b'{' {
            return self.at.skip();
        }
        self.at.take(1)?;
        while self.at.peek()? != b'}' {
            let name = self.at.string()?;
            if name.contains('\\') {
                self.scan.is_unreadable("an escaped name");
            }
            if self.at.peek()? != b':' {
                return None;
            }
            self.at.take(1)?;
            match among(name, &SCANNED_MEMBERS).or_else(|| among(name, &OUTSIDE_PARTS)) {
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
mod tests;
