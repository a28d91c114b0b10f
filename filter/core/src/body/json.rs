//! One strict pass over a JSON body.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::member::{Member, READ};
use super::options::{Include, Options};
use super::reach::Reach;
use super::terms::names_hours;
use super::{Body, Layout, Terms, model_required};
use crate::denial::{Code, Denial};
use crate::endpoint::Operation;
use crate::price::TierChoice;

/// Where the members stand that may be edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spans {
    /// The model's name, with its quotes.
    pub model: Range<usize>,
    /// Nothing, right after the first brace. The object is not empty: it has a model.
    pub inside: Range<usize>,
    /// The limits of output that the operation knows and the body has.
    pub limits: [Option<Limit>; 2],
    pub options: Options,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub name: &'static str,
    pub span: Range<usize>,
    /// None for `null`.
    pub tokens: Option<u64>,
}

pub(super) fn read(operation: Operation, body: &[u8]) -> Result<Body, Denial> {
    if body.is_empty() {
        return Err(invalid("The body is empty."));
    }
    let text = str::from_utf8(body).map_err(|_| invalid("The body is not valid JSON: it is not UTF-8."))?;
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    if let Some(name) = members.ambiguous {
        return Err(invalid(format!("The body has more than one `{name}`.")));
    }
    if members.lists_models {
        return Err(Code::ModelListNotSupported.into());
    }
    let (model, span) = members.model(text)?;
    let limits = members.limits(operation, text)?;
    let options = Options::read(members.get("stream_options"), text)?;
    let mut terms = Terms::of_input(body, &Reach::read(operation, |name| members.get(name)));
    terms.tier = members.tier(body);
    terms.stream = members.flag("stream")?;
    terms.wants_usage = matches!(options, Options::Object { include: Include::Asked, .. });
    terms.max_output = limits.iter().flatten().filter_map(|limit| limit.tokens).max();
    terms.choices = members.choices(operation)?;
    let inside = after_brace(text).ok_or(Code::InternalError)?;
    let spans = Spans { model: span, inside, limits, options };
    Ok(Body { model, terms, layout: Layout::Json(Box::new(spans)) })
}

pub(super) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::new(Code::InvalidJson, message)
}

/// The parser's own message may quote the body, which is not ours to repeat.
fn malformed(error: &serde_json::Error) -> Denial {
    match error.classify() {
        serde_json::error::Category::Data => invalid("The body is not a JSON object."),
        _ => {
            invalid(format!("The body is not valid JSON: line {}, column {}.", error.line(), error.column()))
        }
    }
}

/// All of a body that is looked at.
struct Members<'a> {
    /// In the order of [`READ`].
    values: [Option<&'a RawValue>; READ.len()],
    /// What some parser may find twice.
    ambiguous: Option<&'static str>,
    lists_models: bool,
}

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = READ.iter().zip(&self.values).find(|(known, _)| **known == name)?;
        value.map(RawValue::get)
    }

    fn set(&mut self, name: &'static str, value: &'a RawValue) {
        let slot = READ.iter().zip(&mut self.values).find(|(known, _)| **known == name);
        if slot.is_some_and(|(_, slot)| slot.replace(value).is_some()) {
            self.ambiguous.get_or_insert(name);
        }
    }

    fn model(&self, body: &str) -> Result<(String, Range<usize>), Denial> {
        let raw = self.get("model").ok_or_else(|| model_required("The body has no `model`."))?;
        let name: String =
            serde_json::from_str(raw).map_err(|_| model_required("`model` is not a string."))?;
        if name.is_empty() {
            return Err(model_required("`model` is empty."));
        }
        Ok((name, span(body, raw).ok_or(Code::InternalError)?))
    }

    fn flag(&self, name: &'static str) -> Result<bool, Denial> {
        match self.get(name) {
            None | Some("null" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(format!("`{name}` is not true or false."))),
        }
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, Denial> {
        let Some(raw) = self.get(name).filter(|raw| *raw != "null") else {
            return Ok(None);
        };
        let number = raw.parse().map_err(|_| invalid(format!("`{name}` is not a whole number from 0.")))?;
        Ok(Some(number))
    }

    /// What is no text names a tier that has no price.
    fn tier(&self, body: &[u8]) -> TierChoice {
        let said = |name| {
            let raw = self.get(name).filter(|raw| *raw != "null")?;
            Some(serde_json::from_str(raw).unwrap_or_else(|_| "not a string".to_owned()))
        };
        TierChoice {
            service_tier: said("service_tier"),
            speed: said("speed"),
            inference_geo: said("inference_geo"),
            long_cache: names_hours(body),
        }
    }

    fn limits(&self, operation: Operation, body: &str) -> Result<[Option<Limit>; 2], Denial> {
        let limit = |name| {
            let Some(raw) = self.get(name) else {
                return Ok(None);
            };
            let span = span(body, raw).ok_or(Code::InternalError)?;
            Ok::<_, Denial>(Some(Limit { name, span, tokens: self.number(name)? }))
        };
        Ok(match operation {
            Operation::ChatCompletions => [limit("max_tokens")?, limit("max_completion_tokens")?],
            Operation::Completions | Operation::Messages => [limit("max_tokens")?, None],
            Operation::Responses => [limit("max_output_tokens")?, None],
            _ => [None, None],
        })
    }

    /// Completions are written for each prompt of a list.
    fn choices(&self, operation: Operation) -> Result<u64, Denial> {
        if !matches!(operation, Operation::ChatCompletions | Operation::Completions) {
            return Ok(1);
        }
        let choices = self.number("n")?.max(self.number("best_of")?).unwrap_or(1).max(1);
        let prompts = match operation {
            Operation::Completions => self.get("prompt").map_or(1, super::reach::prompts),
            _ => 1,
        };
        Ok(choices.saturating_mul(prompts))
    }
}

/// Where a part of a text stands in it.
pub(crate) fn span(text: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    Some(start..start.checked_add(part.len())?)
}

fn after_brace(body: &str) -> Option<Range<usize>> {
    let start = body.find('{')?.checked_add(1)?;
    Some(start..start)
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members { values: [None; READ.len()], ambiguous: None, lists_models: false };
        while let Some(member) = map.next_key::<Member>()? {
            if let Member::Read(name) = member {
                members.set(name, map.next_value()?);
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            if let Member::Like(name) = member {
                members.ambiguous.get_or_insert(name);
            }
            members.lists_models |= member == Member::List;
        }
        Ok(members)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(MemberVisitor)
    }
}

struct MemberVisitor;

impl Visitor<'_> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        Ok(Member::named(name))
    }
}
