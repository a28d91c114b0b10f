//! How fields are typed, and what JSON they are.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Typed;

/// How a field is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// The page itself looks at it: it decides which other fields there are, and is none of the API's.
    Aside,
    /// A text, or null where nothing is typed.
    Optional,
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
    /// Boxes of one name, each on or off, of which `….shown` names all: `all` where every one is ticked, so
    /// that what is added later is on, too.
    Switches,
    /// A day, at whose end (in UTC) it is over.
    Day,
    /// Service tiers, each on a line of its own: `priority 2`, or `flex input 1.25 output 7.5`.
    Tiers,
    /// An object, written as JSON; empty where nothing is typed.
    Json,
    /// US dollars in `….usd` for the time in `….per`; null where there are no dollars.
    Budget,
    /// Tokens in `….tokens` for the time in `….per`; null where there are no tokens.
    TokenBudget,
}

impl Kind {
    /// The JSON of what was typed into the field at `path`.
    pub(super) fn read(self, typed: &Typed, path: &str) -> Result<Value, String> {
        let text = typed.text(path);
        let of = |name: &str| typed.text(&format!("{path}.{name}")).to_owned();
        Ok(match self {
            Self::Text | Self::Aside => json!(text),
            Self::Optional => json!(Some(text).filter(|text| !text.is_empty())),
            Self::Number => number(text)?,
            Self::Flag => json!(typed.has(path)),
            Self::Choice => match text {
                "" => Value::Null,
                "true" | "false" => json!(text == "true"),
                _ => return Err("must be yes or no".to_owned()),
            },
            Self::Only => json!(typed.has(path).then_some(true)),
            Self::List => json!(list(text)),
            Self::OptionalList => json!(Some(list(text)).filter(|list| !list.is_empty())),
            Self::Numbers => Value::Array(list(text).into_iter().map(number).collect::<Result<_, _>>()?),
            Self::Choices => json!(typed.all(path).collect::<Vec<_>>()),
            Self::Selection => match text {
                "all" | "none" => json!(text),
                "" if of("only").is_empty() => json!("all"),
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
            Self::Json => object(text)?,
            Self::Budget => match of("usd") {
                usd if usd.is_empty() => Value::Null,
                usd => json!({ "usd": usd.trim_start_matches('$').replace(',', ""), "per": of("per") }),
            },
            Self::TokenBudget => match number(&of("tokens"))? {
                Value::Null => Value::Null,
                tokens => json!({ "tokens": tokens, "per": of("per") }),
            },
        })
    }
}

fn list(text: &str) -> Vec<&str> {
    text.split(['\n', ',']).map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn number(text: &str) -> Result<Value, String> {
    let digits = text.replace([',', ' ', '_'], "");
    if digits.is_empty() {
        return Ok(Value::Null);
    }
    digits.parse::<u64>().map(Value::from).map_err(|_| "must be a whole number, such as 60".to_owned())
}

/// The end of a day in UTC.
fn end_of(text: &str) -> Result<Timestamp, String> {
    let day: Date = text.parse().map_err(|_| "name the last day, such as 2027-01-31".to_owned())?;
    let end = day.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
    end.map(|end| end.timestamp()).map_err(|_| "lies too far in the future".to_owned())
}

fn selected(text: &str) -> Result<Value, String> {
    let names = list(text);
    if names.is_empty() {
        return Err("name at least one, or choose all or none".to_owned());
    }
    Ok(json!(names))
}

fn tiers(text: &str) -> Result<Value, String> {
    let mut tiers = serde_json::Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let between = |c: char| c.is_whitespace() || matches!(c, ',' | ':');
        let mut words = line.split(between).filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let tier = match words.collect::<Vec<_>>().as_slice() {
            [times] => json!({ "multiplier": times }),
            prices if !prices.is_empty() && prices.len().is_multiple_of(2) => {
                let pairs = prices.chunks(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
                pairs.map(|(name, price)| (name.to_owned(), json!(price))).collect()
            }
            _ => {
                return Err(format!(
                    "`{line}` is no tier: write its name and how many times the standard price it is, as in \
                     \"priority 2\", or its own prices, as in \"flex input 1.25 output 7.5\""
                ));
            }
        };
        if tiers.insert(name.to_owned(), tier).is_some() {
            return Err(format!("`{name}` is there twice"));
        }
    }
    Ok(Value::Object(tiers))
}

fn object(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(json!({}));
    }
    let json: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    if json.is_object() {
        Ok(json)
    } else {
        Err("must be an object, such as {\"team\": \"backend\"}".to_owned())
    }
}
