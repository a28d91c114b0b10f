//! What an event is, and which channels end with it.

use crate::content::object::members;
use crate::content::place::Segment;
use crate::request::body::JsonCursor;
use crate::request::endpoint::ModelOperation;

/// How an API streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamApi {
    /// Chat and text completions: choices with deltas.
    Choices,
    /// Typed events, whose deltas are strings.
    Responses,
    /// Typed events, whose deltas are of content blocks.
    Messages,
}

/// What the top level of an event's data says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::content) struct EventHead<'a> {
    api: StreamApi,
    kind: &'a str,
    /// Anthropic's content block.
    index: Option<usize>,
    output_index: Option<usize>,
    /// The part of content, or of a summary.
    part: Option<usize>,
    has_error: bool,
    /// The value of `choices`.
    choices: Option<&'a str>,
}

impl StreamApi {
    pub(super) fn of(operation: ModelOperation) -> Self {
        match operation {
            ModelOperation::Messages | ModelOperation::CountTokens => Self::Messages,
            ModelOperation::ChatCompletions | ModelOperation::Completions => Self::Choices,
            _ => Self::Responses,
        }
    }
}

impl<'a> EventHead<'a> {
    /// None where the data is no object.
    pub(super) fn read(api: StreamApi, data: &'a str) -> Option<Self> {
        let mut head = Self {
            api,
            kind: "",
            index: None,
            output_index: None,
            part: None,
            has_error: false,
            choices: None,
        };
        members(&mut JsonCursor(data), |name, value| {
            let written = value.written()?;
            match name {
                "type" => head.kind = written.trim_matches('"'),
                "index" => head.index = written.parse().ok(),
                "output_index" => head.output_index = written.parse().ok(),
                "content_index" | "summary_index" => head.part = written.parse().ok(),
                "error" => head.has_error = written != "null",
                "choices" => head.choices = Some(written),
                _ => {}
            }
            Some(())
        })?;
        Some(head)
    }

    pub(super) fn api(&self) -> StreamApi {
        self.api
    }

    pub(super) fn index(&self) -> Option<usize> {
        self.index
    }

    pub(super) fn choices(&self) -> Option<&'a str> {
        self.choices
    }

    /// Whether its deltas are media.
    pub(in crate::content) fn is_media(&self) -> bool {
        self.api == StreamApi::Responses && self.kind.ends_with("audio.delta")
    }

    /// Whether its deltas are pieces of JSON.
    pub(in crate::content) fn is_json(&self) -> bool {
        self.api == StreamApi::Responses && self.kind.ends_with("arguments.delta")
    }

    /// The key of the channel of which the text at this path is a piece; none for a whole text.
    pub(in crate::content) fn channel(&self, path: &[Segment]) -> Option<Vec<Segment>> {
        match (self.api, path) {
            (StreamApi::Choices, [Segment::Member("choices"), _, Segment::Member("delta" | "text"), ..]) => {
                Some(path.to_vec())
            }
            (StreamApi::Messages, [Segment::Member(outer), name]) => {
                let is_piece = match (self.kind, outer, name) {
                    ("content_block_delta", &"delta", _) => true,
                    ("content_block_start", &"content_block", Segment::Member(name)) => {
                        matches!(*name, "text" | "thinking")
                    }
                    _ => false,
                };
                is_piece.then(|| vec![Segment::Index(self.index.unwrap_or(0)), *name])
            }
            (StreamApi::Responses, [Segment::Member("delta"), ..]) => {
                let stem = self.kind.strip_suffix(".delta")?;
                Some([&self.part_key(stem), path].concat())
            }
            _ => None,
        }
    }

    /// Where the text whose piece is at this path stands in the answer.
    pub(in crate::content) fn place(&self, path: &[Segment]) -> Vec<Segment> {
        let (list, index, path) = match self.api {
            StreamApi::Choices => return path.to_vec(),
            StreamApi::Messages => ("content", self.index, path.get(1..).unwrap_or_default()),
            StreamApi::Responses => ("output", self.output_index, path),
        };
        [&[Segment::Member(list), Segment::Index(index.unwrap_or(0))], path].concat()
    }

    /// The beginning of the keys of one kind of text in one part of the output.
    fn part_key(&self, stem: &str) -> Vec<Segment> {
        let part = Segment::Index(self.part.unwrap_or(0));
        vec![Segment::Index(self.output_index.unwrap_or(0)), part, Segment::other(stem)]
    }

    /// Whether no text goes on after it.
    pub(super) fn ends_all(&self) -> bool {
        self.has_error
            || match self.api {
                StreamApi::Choices => false,
                StreamApi::Messages => matches!(self.kind, "message_delta" | "message_stop" | "error"),
                StreamApi::Responses => {
                    let of_response = self.kind.strip_prefix("response.").unwrap_or(self.kind);
                    matches!(of_response, "completed" | "failed" | "incomplete" | "cancelled" | "error")
                }
            }
    }

    /// The beginnings of the keys of the channels that it ends.
    pub(super) fn ends(&self) -> Option<Vec<Segment>> {
        match self.api {
            StreamApi::Choices => None,
            StreamApi::Messages => {
                (self.kind == "content_block_stop").then(|| vec![Segment::Index(self.index.unwrap_or(0))])
            }
            StreamApi::Responses => {
                let stem = self.kind.strip_suffix(".done")?;
                let mut key = self.part_key(stem);
                if stem.ends_with(".output_item") {
                    key.truncate(1);
                } else if stem.ends_with("_part") {
                    key.truncate(2);
                }
                Some(key)
            }
        }
    }
}
