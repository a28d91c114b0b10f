//! Thinking budgets, which providers require to be below the output limit.

use std::ops::Range;

use super::json::span;
use super::number::Number;
use super::object::JsonObject;
use crate::answer::denial::{Code, Denial};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ThinkingBudget {
    pub span: Range<usize>,
    pub tokens: u64,
    /// The least that the provider accepts.
    floor: u64,
}

const LEAST: u64 = 1_024;

/// Top-level budgets, each of one server.
const FLAT: [&str; 4] =
    ["thinking_budget", "thinking_budget_tokens", "thinking_token_budget", "reasoning_budget"];

/// The member that cannot be read.
pub(super) type UnreadBudget = &'static str;

/// The budgets of a body.
///
/// # Errors
/// The first that cannot be read.
pub(super) fn budgets<'a>(
    body: &str,
    member: impl Fn(&str) -> Option<&'a str>,
) -> Result<Vec<ThinkingBudget>, UnreadBudget> {
    let mut budgets = Vec::new();
    for (outer, inner) in [("thinking", "budget_tokens"), ("reasoning", "max_tokens")] {
        let Some(value) = member(outer).filter(|value| value.starts_with('{')) else { continue };
        let object = JsonObject::read(value, [inner]).map_err(|_| outer)?;
        let Some(raw) = object.get(inner) else { continue };
        budgets.extend(budget(body, raw.get(), LEAST).ok_or(inner)?);
    }
    for name in FLAT {
        let Some(raw) = member(name) else { continue };
        budgets.extend(budget(body, raw, 0).ok_or(name)?);
    }
    Ok(budgets)
}

fn budget(body: &str, raw: &str, floor: u64) -> Option<Option<ThinkingBudget>> {
    match Number::read(raw) {
        Number::Whole(tokens) => Some(Some(ThinkingBudget { span: span(body, raw)?, tokens, floor })),
        Number::Null | Number::Endless => Some(None),
        Number::Other => None,
    }
}

/// The denial of a budget that cannot be read.
pub(super) fn unread(member: &'static str) -> Denial {
    let message = format!(
        "`{member}` is not a whole number, so the gateway cannot keep it below the limit of the output: give \
         a number such as 4096, or leave it out."
    );
    Denial { param: Some(member.into()), ..Denial::new(Code::InvalidParameter, message) }
}

impl ThinkingBudget {
    /// The shortest output that this budget allows; none for any.
    pub(super) fn least_output(&self) -> Option<u64> {
        (self.floor > 0).then(|| self.floor.saturating_add(1))
    }

    /// The budget that fits an output of `limit` tokens where the client asked for `asked`: both shrink
    /// alike. None where it may stay, or cannot fit.
    pub(super) fn below(&self, limit: u64, asked: Option<u64>) -> Option<u64> {
        let most = limit.checked_sub(1).filter(|most| *most >= self.floor && self.tokens > *most)?;
        let asked = u128::from(asked.unwrap_or(0).max(self.tokens.saturating_add(1)));
        let shrunk = u128::from(self.tokens).saturating_mul(u128::from(limit)).checked_div(asked)?;
        Some(u64::try_from(shrunk).unwrap_or(most).clamp(self.floor, most))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_lowered_budget_is_one_that_the_provider_accepts(tokens: u64, limit: u64, asked: Option<u64>, anthropic: bool) {
            let floor = if anthropic { LEAST } else { 0 };
            let budget = ThinkingBudget { span: 0..0, tokens, floor };
            match budget.below(limit, asked) {
                Some(lowered) => prop_assert!((floor..limit).contains(&lowered) && lowered < tokens),
                None => prop_assert!(tokens < limit || limit <= floor),
            }
            prop_assert!(budget.least_output().is_none_or(|least| budget.below(least, asked).is_some() || tokens < least));
        }
    }

    #[test]
    fn thinking_and_answer_shrink_alike() {
        let below = |tokens, limit, asked| {
            ThinkingBudget { span: 0..0, tokens, floor: LEAST }.below(limit, Some(asked))
        };
        assert_eq!(below(31_999, 8_000, 32_000), Some(7_999));
        assert_eq!(below(16_000, 8_000, 32_000), Some(4_000));
        assert_eq!(below(16_000, 2_080, 32_000), Some(1_040));
        assert_eq!(below(31_999, 1_025, 32_000), Some(1_024));
        assert_eq!(below(31_999, 1_024, 32_000), None);
        assert_eq!(below(2_000, 8_000, 32_000), None);
    }
}
