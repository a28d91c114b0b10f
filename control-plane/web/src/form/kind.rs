//! How fields are typed, and what JSON they are.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use latchkey_core::distinct::DistinctValue;
use serde_json::{Value, json};

use super::number::{amount, whole};
use super::{FormInput, argument_rule};

/// How a field is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    /// The page itself looks at it: it decides which other fields there are, and is none of the API's.
    Aside,
    /// A text, or null where nothing is typed.
    Optional,
    /// An amount such as `1,250.50`, or null where nothing is typed.
    Amount,
    /// A whole number, or null where nothing is typed.
    Number,
    /// A box: true where it is ticked.
    Flag,
    /// One of two choices, `true` or `false`, or null where neither is chosen.
    Choice,
    /// A box that narrows a list: true where it is ticked, or null.
    Only,
    /// Texts, each on a line of its own or after a comma.
    List,
    /// The same, or null where there is none.
    OptionalList,
    /// Whole numbers, each after a comma.
    Numbers,
    /// What was ticked of several boxes of one name.
    Choices,
    /// `all`, `none`, or `only` with what stands in the field `….only`.
    Selection,
    /// The same, and `none` where nothing is chosen.
    Grant,
    /// Boxes of one name, each on or off, of which `….shown` names all: `all` where every one is ticked, so
    /// that what is added later is on, too.
    Switches,
    /// Switches of which none was turned: they are left as they are.
    UnturnedSwitches,
    /// A day, at whose end (in UTC) it is over.
    Day,
    /// Service tiers, each on a line of its own: `priority 2`, or `flex input 1.25 output 7.5`.
    Tiers,
    /// Rules about the arguments of MCP tools, each on a line of its own.
    ArgumentRules,
    /// An object, written as JSON; empty where nothing is typed.
    Json,
    /// US dollars in `….usd` for the time in `….per`; null where there are no dollars.
    Budget,
    /// Tokens in `….tokens` for the time in `….per`; null where there are no tokens.
    TokenBudget,
}

const NO_TIER: &str = "is not a valid tier: enter a name and a multiple of the standard price, such as \"priority 2\", or its \
     own prices, such as \"flex input 1.25 output 7.5\"";

impl FieldKind {
    /// The JSON of what was typed into the field at `path`.
    pub(super) fn read(self, typed: &FormInput, path: &str) -> Result<Value, String> {
        let text = typed.text(path);
        let of = |name: &str| typed.text(&format!("{path}.{name}")).to_owned();
        Ok(match self {
            Self::Text | Self::Aside | Self::UnturnedSwitches => json!(text),
            Self::Optional => json!(Some(text).filter(|text| !text.is_empty())),
            Self::Amount => json!(amount(text)?),
            Self::Number => json!(whole(text)?),
            Self::Flag => json!(typed.has(path)),
            Self::Choice => match text {
                "" => Value::Null,
                "true" | "false" => json!(text == "true"),
                _ => return Err("must be yes or no".to_owned()),
            },
            Self::Only => json!(typed.has(path).then_some(true)),
            Self::List => json!(list(text)),
            Self::OptionalList => json!(Some(list(text)).filter(|list| !list.is_empty())),
            Self::Numbers => list(text).into_iter().map(whole).collect::<Result<_, _>>()?,
            Self::Choices => json!(typed.all(path).collect::<Vec<_>>()),
            Self::Selection | Self::Grant => match text {
                "all" | "none" => json!(text),
                "" if of("only").is_empty() => json!(if self == Self::Grant { "none" } else { "all" }),
                _ => selected(&of("only"))?,
            },
            Self::Switches => {
                let (on, field) = (typed.all(path).collect::<Vec<_>>(), format!("{path}.shown"));
                let shown: Vec<_> = typed.all(&field).collect();
                let off = shown.iter().any(|name| !on.contains(name));
                match (on.is_empty(), off || on.iter().any(|name| !shown.contains(name))) {
                    (_, false) => json!("all"),
                    (true, true) => json!("none"),
                    (false, true) => json!(on),
                }
            }
            Self::Day => json!(end_of(text)?.to_string()),
            Self::Tiers => tiers(text)?,
            Self::ArgumentRules => argument_rule::read_all(text)?,
            Self::Json => object(text)?,
            Self::Budget => match amount(&of("usd"))? {
                None => Value::Null,
                Some(usd) => json!({ "usd": usd, "per": of("per") }),
            },
            Self::TokenBudget => match whole(&of("tokens"))? {
                None => Value::Null,
                Some(tokens) => json!({ "tokens": tokens, "per": of("per") }),
            },
        })
    }

    /// Into which field of a form this one at `path` is typed.
    pub(super) fn typed_at(self, path: &str) -> String {
        match self {
            Self::Budget => format!("{path}.usd"),
            Self::TokenBudget => format!("{path}.tokens"),
            _ => path.to_owned(),
        }
    }
}

fn list(text: &str) -> Vec<&str> {
    text.split(['\n', ',']).map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// The end of a day in UTC.
fn end_of(text: &str) -> Result<Timestamp, String> {
    let day: Date = text.parse().map_err(|_| "enter a date such as 2027-01-31".to_owned())?;
    let end = day.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
    end.map(|end| end.timestamp()).map_err(|_| "is too far in the future".to_owned())
}

fn selected(text: &str) -> Result<Value, String> {
    let names = list(text);
    if names.is_empty() {
        return Err("enter at least one, or choose \u{201c}All\u{201d} or \u{201c}None\u{201d}".to_owned());
    }
    Ok(json!(names))
}

fn tiers(text: &str) -> Result<Value, String> {
    let mut tiers = serde_json::Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words = line.split(|c: char| c.is_whitespace() || c == ':');
        let mut words = words.map(|word| word.trim_end_matches(',')).filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let of_line = |wrong: String| format!("`{line}`: {wrong}");
        let tier = tier(&words.collect::<Vec<_>>()).map_err(of_line)?;
        if tiers.insert(name.to_owned(), tier).is_some() {
            return Err(format!("`{name}` is listed twice"));
        }
    }
    Ok(Value::Object(tiers))
}

/// What a tier costs, from the words behind its name.
fn tier(words: &[&str]) -> Result<Value, String> {
    if let [times] = words {
        return Ok(json!({ "multiplier": amount(times)? }));
    }
    let mut rates = serde_json::Map::new();
    for pair in words.chunks(2) {
        let [rate, price] = pair else { return Err(NO_TIER.to_owned()) };
        if rates.insert((*rate).to_owned(), json!(amount(price)?)).is_some() {
            return Err(format!("`{rate}` is listed twice"));
        }
    }
    if rates.is_empty() { Err(NO_TIER.to_owned()) } else { Ok(Value::Object(rates)) }
}

fn object(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(json!({}));
    }
    let DistinctValue(json) = serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => error.to_string(),
        false => format!("is not valid JSON: {error}"),
    })?;
    if json.is_object() {
        Ok(json)
    } else {
        Err("must be an object, such as {\"team\": \"backend\"}".to_owned())
    }
}
