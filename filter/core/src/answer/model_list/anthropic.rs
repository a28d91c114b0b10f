//! The model list in the shape of Anthropic's API.

use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::answer::denial::{Code, Denial};
use crate::answer::reply::Reply;
use crate::snapshot::Offer;

#[derive(Serialize)]
struct AnthropicModelPage<'a> {
    data: Vec<AnthropicModel<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AnthropicModel<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: String,
    max_input_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

/// The parameters of a list request.
#[derive(Debug, PartialEq, Eq)]
struct ModelPageQuery {
    limit: usize,
    after: Option<String>,
    before: Option<String>,
}

const LIMIT: usize = 20;
const MOST: usize = 1_000;

pub(crate) fn one(name: &str, offer: &Offer) -> Reply {
    Reply::ok(&AnthropicModel::new(name, offer))
}

/// The page of these models that a query asks for.
///
/// # Errors
/// When it asks for one that there is not.
pub(crate) fn page(models: Vec<(&str, &Offer)>, query: &str) -> Result<Reply, Denial> {
    let ModelPageQuery { limit, after, before } = ModelPageQuery::read(query)?;
    let at = |member, id: String| {
        let found = models.iter().position(|(name, _)| *name == id);
        found.ok_or_else(|| wrong(member, "is not a model in this list"))
    };
    let backwards = before.is_some();
    let (start, end) = match (after, before) {
        (Some(_), Some(_)) => return Err(wrong("before_id", "cannot be combined with `after_id`")),
        (Some(id), None) => {
            let start = at("after_id", id)?.saturating_add(1);
            (start, start.saturating_add(limit).min(models.len()))
        }
        (None, Some(id)) => {
            let end = at("before_id", id)?;
            (end.saturating_sub(limit), end)
        }
        (None, None) => (0, limit.min(models.len())),
    };
    let has_more = if backwards { start > 0 } else { end < models.len() };
    let shown = models.get(start..end).unwrap_or_default();
    let data: Vec<_> = shown.iter().map(|(name, offer)| AnthropicModel::new(name, offer)).collect();
    let (first_id, last_id) = (shown.first().map(|(name, _)| *name), shown.last().map(|(name, _)| *name));
    Ok(Reply::ok(&AnthropicModelPage { data, has_more, first_id, last_id }))
}

impl ModelPageQuery {
    fn read(query: &str) -> Result<Self, Denial> {
        let mut asked = Self { limit: LIMIT, after: None, before: None };
        for (name, value) in parameters(query) {
            match name {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    asked.limit = limit.ok_or_else(|| wrong("limit", "is not a number from 1 to 1000"))?;
                }
                "after_id" => asked.after = Some(value),
                "before_id" => asked.before = Some(value),
                _ => {}
            }
        }
        Ok(asked)
    }
}

/// The non-empty parameters of a query, which begins with a question mark.
fn parameters(query: &str) -> impl Iterator<Item = (&str, String)> {
    query.trim_start_matches('?').split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        (!value.is_empty()).then_some((name, value))
    })
}

fn wrong(parameter: &'static str, what: &str) -> Denial {
    let denial = Denial::new(Code::InvalidParameter, format!("`{parameter}` {what}."));
    Denial { param: Some(parameter.into()), ..denial }
}

impl<'a> AnthropicModel<'a> {
    fn new(name: &'a str, offer: &Offer) -> Self {
        Self {
            kind: "model",
            id: name,
            display_name: name,
            created_at: date(offer.created_at),
            max_input_tokens: offer.context_window,
            max_tokens: offer.max_output_tokens,
        }
    }
}

/// Unix seconds as RFC 3339, with the Gregorian calendar's days counted in eras of 400 years.
fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let leap_days = day_of_era.div_euclid(1_460).saturating_sub(day_of_era.div_euclid(36_524));
    let leap_days = leap_days.saturating_add(day_of_era.div_euclid(146_096));
    let year_of_era = day_of_era.saturating_sub(leap_days).div_euclid(365);
    let before = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era.div_euclid(4))
        .saturating_sub(year_of_era.div_euclid(100));
    // A year begins in March here.
    let day_of_year = day_of_era.saturating_sub(before);
    let month = day_of_year.saturating_mul(5).saturating_add(2).div_euclid(153);
    let first = month.saturating_mul(153).saturating_add(2).div_euclid(5);
    let day = day_of_year.saturating_sub(first).saturating_add(1);
    let (month, next) = if month < 10 { (month.saturating_add(3), 0) } else { (month.saturating_sub(9), 1) };
    let year = era.saturating_mul(400).saturating_add(year_of_era).saturating_add(next);
    let (hour, minute) = (second.div_euclid(3_600), second.div_euclid(60).rem_euclid(60));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second.rem_euclid(60))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::snapshot::Catalogue;
    use crate::testing;

    fn offer() -> Offer {
        let catalogue = Catalogue::try_from(testing::catalogue()).unwrap();
        Offer { created_at: 1_700_000_000, ..catalogue.offers("claude")[0].clone() }
    }

    fn shown(query: &str) -> Value {
        let offer = offer();
        let models = ["a", "b", "c/d", "e"].into_iter().map(|name| (name, &offer)).collect();
        serde_json::from_slice(&page(models, query).unwrap().body).unwrap()
    }

    fn ids(query: &str) -> (Vec<Value>, bool) {
        let page = shown(query);
        let ids = page["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
        (ids, page["has_more"].as_bool().unwrap())
    }

    #[test]
    fn a_page_is_as_anthropic_shows_it() {
        let page = shown("?limit=1");
        assert_eq!(
            page,
            json!({"data": [{"type": "model", "id": "a", "display_name": "a", "created_at": "2023-11-14T22:13:20Z",
                "max_input_tokens": null, "max_tokens": null}], "has_more": true, "first_id": "a", "last_id": "a"})
        );
        let none: Value = serde_json::from_slice(&super::page(vec![], "").unwrap().body).unwrap();
        assert_eq!(none, json!({"data": [], "has_more": false, "first_id": null, "last_id": null}));
    }

    #[test]
    fn pages_go_either_way() {
        for (query, expected, has_more) in [
            ("", vec!["a", "b", "c/d", "e"], false),
            ("?limit=1000&beta=true", vec!["a", "b", "c/d", "e"], false),
            ("?limit=2", vec!["a", "b"], true),
            ("?after_id=b&limit=1", vec!["c/d"], true),
            ("?after_id=b&limit=2", vec!["c/d", "e"], false),
            ("?after_id=c%2Fd", vec!["e"], false),
            ("?after_id=e", vec![], false),
            ("?before_id=e&limit=2", vec!["b", "c/d"], true),
            ("?before_id=b&limit=2", vec!["a"], false),
            ("?before_id=&after_id=", vec!["a", "b", "c/d", "e"], false),
        ] {
            assert_eq!(ids(query), (expected.into_iter().map(Value::from).collect(), has_more), "{query}");
        }
    }

    #[test]
    fn a_page_that_there_is_not_is_refused_by_name() {
        for (query, param) in [
            ("?limit=0", "limit"),
            ("?limit=1001", "limit"),
            ("?limit=x", "limit"),
            ("?after_id=x", "after_id"),
            ("?before_id=x", "before_id"),
            ("?before_id=a&after_id=b", "before_id"),
        ] {
            let offer = offer();
            let denial = page(vec![("a", &offer), ("b", &offer)], query).unwrap_err();
            assert_eq!(
                (denial.code, denial.param.as_deref()),
                (Code::InvalidParameter, Some(param)),
                "{query}"
            );
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
        date(i64::MAX);
        date(i64::MIN);
    }
}
