//! Parses a JSON body strictly, in one pass.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::input_scan::InputScan;
use super::member_cost::{self, MemberCost, refusal};
use super::member_name::{MemberMeaning, READ};
use super::number::Number;
use super::object::JsonObject;
use super::stream_options::{IncludeUsage, StreamOptions};
use super::thinking_budget::{self, ThinkingBudget};
use super::usage_bounds::names_hours;
use super::{BodyLayout, RequestBody, UsageBounds, model_required};
use crate::answer::denial::{Code, Denial};
use crate::price::TierChoice;
use crate::request::endpoint::ModelOperation;

/// The spans of the members that may be edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberSpans {
    /// The model's name, with its quotes.
    pub model: Range<usize>,
    /// Empty, right after the first brace. The object has members: at least a model.
    pub inside: Range<usize>,
    /// The operation's output limits that the body has.
    pub limits: [Option<OutputLimitMember>; 2],
    pub options: StreamOptions,
    pub budgets: Vec<ThinkingBudget>,
    pub tools: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutputLimitMember {
    pub name: &'static str,
    pub span: Range<usize>,
    pub number: Number,
    /// Whether it is plain digits.
    pub plain: bool,
}

pub(super) fn read(operation: ModelOperation, body: &[u8]) -> Result<RequestBody, Denial> {
    if body.is_empty() {
        return Err(invalid("The body is empty."));
    }
    let text = str::from_utf8(body).map_err(|_| invalid("The body is not valid JSON: it is not UTF-8."))?;
    let mut members: BodyMembers<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    if let Some(name) = members.ambiguous {
        return Err(invalid(format!("The body has more than one `{name}`.")));
    }
    if members.lists_models {
        return Err(Code::ModelListNotSupported.into());
    }
    let (model, span) = members.model(text)?;
    let limits = members.limits(operation, text)?;
    let options = StreamOptions::read(members.get("stream_options"), text)?;
    let scan = InputScan::read(operation, |name| members.get(name));
    let tools = scan.tools;
    let mut bounds = UsageBounds::of_input(body, scan);
    bounds.tier = members.tier(body);
    bounds.stream = members.flag("stream")?;
    bounds.wants_usage = matches!(options, StreamOptions::Object { include: IncludeUsage::Asked, .. });
    bounds.max_output = max_output(&limits);
    bounds.unbounded = bounds.unbounded.or(members.window);
    let (choices, unread) = members.choices(operation);
    bounds.choices = choices;
    let costs = [bounds.obstacles.cost.take(), unread, members.cost.take(), members.reasoning_mode()];
    bounds.obstacles.cost = costs.into_iter().flatten().next();
    let (budgets, unread) = match thinking_budget::budgets(text, |name| members.get(name)) {
        Ok(budgets) => (budgets, None),
        Err(member) => (Vec::new(), Some(Box::new(thinking_budget::unread(member)))),
    };
    bounds.obstacles.least_output = budgets.iter().filter_map(ThinkingBudget::least_output).max();
    bounds.obstacles.output = members.unread_limit(operation, &limits).or(unread);
    let inside = after_brace(text).ok_or(Code::InternalError)?;
    let spans = MemberSpans { model: span, inside, limits, options, budgets, tools };
    Ok(RequestBody { model, bounds, layout: BodyLayout::Json(Box::new(spans)) })
}

/// The larger of the client's limits; none where one of them means no limit.
fn max_output(limits: &[Option<OutputLimitMember>; 2]) -> Option<u64> {
    if limits.iter().flatten().any(|limit| limit.number == Number::Endless) {
        return None;
    }
    limits.iter().flatten().filter_map(|limit| limit.number.whole()).max()
}

pub(super) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::new(Code::InvalidJson, message)
}

/// The parser's message may quote the body.
fn malformed(error: &serde_json::Error) -> Denial {
    match error.classify() {
        serde_json::error::Category::Data => invalid("The body is not a JSON object."),
        _ => {
            invalid(format!("The body is not valid JSON: line {}, column {}.", error.line(), error.column()))
        }
    }
}

/// The members of a body.
#[derive(Default)]
struct BodyMembers<'a> {
    /// In the order of [`READ`].
    values: [Option<&'a RawValue>; READ.len()],
    /// A member that some parser may find twice.
    ambiguous: Option<&'static str>,
    lists_models: bool,
    /// The first other member that makes the provider read more, within the context window.
    window: Option<&'static str>,
    /// Why the cost of another member is not bounded.
    cost: Option<Box<Denial>>,
    /// The first other member that makes the provider read more, within the context window.
    other_limit: Option<Box<str>>,
}

impl<'a> BodyMembers<'a> {
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

    fn other(&mut self, name: Box<str>, value: &str) {
        if member_cost::is_other_limit(&name) && !member_cost::says_nothing(value) {
            self.other_limit.get_or_insert(name);
            return;
        }
        match MemberCost::of(&name, value) {
            MemberCost::Bounded => {}
            MemberCost::Window(known) => {
                self.window.get_or_insert(known);
            }
            MemberCost::Unbounded(why) => {
                self.cost.get_or_insert_with(|| Box::new(refusal(&name, why)));
            }
        }
    }

    /// A value that is no string stands for a tier without a price.
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

    fn limits(
        &self,
        operation: ModelOperation,
        body: &str,
    ) -> Result<[Option<OutputLimitMember>; 2], Denial> {
        let mut found = [None, None];
        for (slot, name) in found.iter_mut().zip(limit_members(operation)) {
            let Some(raw) = self.get(name) else { continue };
            let span = span(body, raw).ok_or(Code::InternalError)?;
            let plain = raw.bytes().all(|byte| byte.is_ascii_digit());
            *slot = Some(OutputLimitMember { name, span, number: Number::read(raw), plain });
        }
        Ok(found)
    }

    /// Why the output cannot be limited by what the client wrote.
    fn unread_limit(
        &self,
        operation: ModelOperation,
        limits: &[Option<OutputLimitMember>; 2],
    ) -> Option<Box<Denial>> {
        let reads_zero = operation != ModelOperation::Messages;
        let unread = limits.iter().flatten().find_map(|limit| match limit.number {
            Number::Other => Some((limit.name, "is not a whole number")),
            Number::Whole(0) if reads_zero => {
                Some((limit.name, "is 0, which several servers read as no limit"))
            }
            _ => None,
        });
        let (name, what) = match unread {
            Some(unread) => unread,
            None => (self.foreign_limit(operation)?, "is not the limit of the output at this endpoint"),
        };
        let usual = limit_members(operation).first().copied().unwrap_or("max_tokens");
        let message = format!(
            "`{name}` {what}, and the output is limited here: give `{usual}` as a whole number from 1, or leave \
             it out."
        );
        let denial =
            Denial { param: Some(name.to_owned().into()), ..Denial::new(Code::InvalidParameter, message) };
        Some(Box::new(denial))
    }

    /// An output limit of another endpoint, which might be followed instead of the right one.
    fn foreign_limit(&self, operation: ModelOperation) -> Option<&str> {
        const LIMITS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        let known = limit_members(operation);
        let read = LIMITS.into_iter().filter(|name| !known.contains(name));
        let set = |name: &&str| self.get(name).is_some_and(|value| value != "null");
        operation.has_output().then(|| read.into_iter().find(set).or(self.other_limit.as_deref())).flatten()
    }

    /// How many answers are written, and why that is uncertain. Completions are written for each prompt of a
    /// list.
    fn choices(&self, operation: ModelOperation) -> (u64, Option<Box<Denial>>) {
        let knows = matches!(operation, ModelOperation::ChatCompletions | ModelOperation::Completions);
        let (mut choices, mut unread) = (1_u64, None);
        for name in ["n", "best_of"] {
            match self.get(name).map(Number::read) {
                None | Some(Number::Null | Number::Whole(0 | 1)) => {}
                Some(Number::Whole(number)) if knows => choices = choices.max(number),
                Some(_) => {
                    let why = "the gateway cannot tell how many answers it asks for";
                    unread.get_or_insert_with(|| Box::new(refusal(name, why)));
                }
            }
        }
        let prompts = match operation {
            ModelOperation::Completions => self.get("prompt").map_or(1, super::input_scan::prompts),
            _ => 1,
        };
        (choices.saturating_mul(prompts), unread)
    }

    /// Why the output limit does not bound the mode of reasoning.
    fn reasoning_mode(&self) -> Option<Box<Denial>> {
        let value = self.get("reasoning").filter(|value| value.starts_with('{'))?;
        let mode = JsonObject::read(value, ["mode"]);
        let is_usual = mode.is_ok_and(|object| {
            object.get("mode").is_none_or(|mode| matches!(mode.get(), "null" | "\"standard\"" | "\"auto\""))
        });
        let why = "the gateway does not know what this mode may cost";
        (!is_usual).then(|| Box::new(refusal("reasoning.mode", why)))
    }
}

/// The members that limit an operation's output.
fn limit_members(operation: ModelOperation) -> &'static [&'static str] {
    match operation {
        ModelOperation::ChatCompletions => &["max_tokens", "max_completion_tokens"],
        ModelOperation::Completions | ModelOperation::Messages => &["max_tokens"],
        ModelOperation::Responses => &["max_output_tokens"],
        _ => &[],
    }
}

/// The span of a part within its text.
pub(crate) fn span(text: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    Some(start..start.checked_add(part.len())?)
}

fn after_brace(body: &str) -> Option<Range<usize>> {
    let start = body.find('{')?.checked_add(1)?;
    Some(start..start)
}

impl<'de> Deserialize<'de> for BodyMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = BodyMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BodyMembers<'de>, A::Error> {
        let mut members = BodyMembers::default();
        while let Some(member) = map.next_key::<MemberMeaning>()? {
            match member {
                MemberMeaning::Read(name) => members.set(name, map.next_value()?),
                MemberMeaning::Other(name) => members.other(name, map.next_value::<&RawValue>()?.get()),
                MemberMeaning::Like(name) => {
                    map.next_value::<IgnoredAny>()?;
                    members.ambiguous.get_or_insert(name);
                }
                MemberMeaning::List => {
                    map.next_value::<IgnoredAny>()?;
                    members.lists_models = true;
                }
                MemberMeaning::Harmless => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}

impl<'de> Deserialize<'de> for MemberMeaning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(MemberVisitor)
    }
}

struct MemberVisitor;

impl Visitor<'_> for MemberVisitor {
    type Value = MemberMeaning;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<MemberMeaning, E> {
        Ok(MemberMeaning::named(name))
    }
}
